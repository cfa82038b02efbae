//! The state that a request looks at, and the block that it is of.

use std::sync::Arc;

use polity_kernel::View;
use serde::{Deserialize, Serialize};
use solana_rpc_client_types::response::{Response, RpcResponseContext};

use super::{Solana, error};
use crate::{
    Node,
    chain::{Block, ChainView, Tip},
    rpc::{Params, Reply, RpcError, reply},
};

/// What nearly every method can be given. Commitments are not looked at: all that there
/// are mean the last block.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    /// The least height that the answer is to be of.
    pub(super) min_context_slot: Option<u64>,
}

/// The end of the chain, as a request found it.
pub(super) struct Moment {
    pub(super) node: Arc<Node>,
    pub(super) tip: Arc<Tip>,
    pub(super) view: ChainView,
}

impl Moment {
    /// The height.
    pub(super) fn slot(&self) -> u64 {
        self.tip.block.number()
    }

    /// The time, in seconds since 1970.
    pub(super) fn time(&self) -> i64 {
        i64::try_from(self.tip.block.header.timestamp).unwrap_or(i64::MAX)
    }

    /// The block.
    pub(super) fn block(&self) -> &Arc<Block> {
        &self.tip.block
    }

    /// The state.
    pub(super) fn view(&self) -> &dyn View {
        &self.view
    }

    /// A value, with the block that it is of.
    pub(super) fn with<T>(&self, value: T) -> Response<T> {
        with_slot(self.slot(), value)
    }

    /// Answers with a value and the block that it is of.
    pub(super) fn reply<T: Serialize>(&self, value: T) -> Reply {
        reply(&self.with(value))
    }
}

/// A value with the height of the block that it is of.
pub(super) fn with_slot<T>(slot: u64, value: T) -> Response<T> {
    Response { context: RpcResponseContext::new(slot), value }
}

impl Solana {
    /// The end of the chain.
    ///
    /// # Errors
    /// It has not come so far as the request wants, or the state failed.
    pub(super) fn moment(&self, least: Option<u64>) -> Result<Moment, RpcError> {
        let node = self.node();
        let tip = node.chain.tip();
        if least.is_some_and(|least| tip.block.number() < least) {
            return Err(error::too_early(tip.block.number()));
        }
        let view = node.chain.view_of(&tip)?;
        Ok(Moment { node, tip, view })
    }

    /// The last block, for a method that takes nothing but a [`Wish`].
    ///
    /// # Errors
    /// It is not as high as wished.
    pub(super) fn head(&self, params: &mut Params<'_>) -> Result<Arc<Block>, RpcError> {
        let wish: Wish = params.optional()?.unwrap_or_default();
        let head = self.node().chain.head();
        match wish.min_context_slot {
            Some(least) if head.number() < least => Err(error::too_early(head.number())),
            _ => Ok(head),
        }
    }
}
