//! `polity_trace…`: the call tree of a transaction of any machine, in full.

use std::sync::Arc;

use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use polity_evm::Waiver;
use serde::{Deserialize, Serialize};

use super::{
    CallError, Ethereum,
    resolve::no_block,
    scene::{unsigned, whole},
    tree::Told,
};
use crate::{
    chain::Block,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("polity_traceTransaction", transaction);
    methods.heavy("polity_traceCall", call);
}

/// By what a transaction is known.
#[derive(Deserialize)]
#[serde(untagged)]
enum Known {
    /// A hash, or what another machine's transactions are known by.
    Text(String),
    /// Its place in a block.
    Place { block: BlockId, index: U64 },
}

/// A transaction and its call tree.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Traced {
    transaction_hash: B256,
    block_hash: B256,
    block_number: U64,
    /// Its index among the block's transactions of all machines.
    index: U64,
    trace: Option<Told>,
}

/// A call's tree.
#[derive(Serialize)]
struct TracedCall {
    trace: Option<Told>,
}

fn transaction(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let (block, index) = match params.required()? {
        Known::Text(text) => {
            door.known(&text)?.ok_or_else(|| RpcError::server("transaction not found"))?
        }
        Known::Place { block, index } => {
            let found = door.find(block)?.ok_or_else(|| no_block(block))?;
            (found, usize::try_from(index.to::<u64>()).unwrap_or(usize::MAX))
        }
    };
    let looked = door.look_at(block.clone())?;
    let past = looked.past(door);
    let tx = past.transactions.get(index);
    let tx = *tx.ok_or_else(|| RpcError::server("transaction not found"))?;
    let mut stage = past.until(index)?;
    let trace = stage.retell(tx)?;
    reply(&Traced {
        transaction_hash: tx.hash,
        block_hash: block.hash,
        block_number: U64::from(block.number()),
        index: U64::from(index),
        trace: Told::of(&trace, stage.names()),
    })
}

fn call(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let request: TransactionRequest = params.required()?;
    let at = door.at(params.optional()?)?;
    let state: Option<StateOverride> = params.optional()?;
    let block: Option<BlockOverrides> = params.optional()?;
    let mut stage = door.scene(&at).stage(state.as_ref(), block.as_ref())?;
    stage.watch();
    let tx = unsigned(stage.envelope(&request)?, Waiver::CALL);
    let trace = stage.run_decoded(&tx)?.trace;
    let trace = trace.ok_or_else(|| CallError::Internal("a call was not traced".into()))?;
    whole(&trace)?;
    reply(&TracedCall { trace: Told::of(&trace, stage.names()) })
}

impl Ethereum {
    /// The block that a transaction of any machine is in, and its index there.
    fn known(&self, text: &str) -> Result<Option<(Arc<Block>, usize)>, RpcError> {
        let chain = &self.node.chain;
        let hash = text.parse::<B256>().ok();
        if let Some(hash) = hash
            && let Some((block, index)) = chain.transaction(&hash)?
            && let Some(included) = block.transactions.get(index)
        {
            let index = usize::try_from(included.index).unwrap_or(usize::MAX);
            return Ok(Some((block, index)));
        }
        for guest in chain.guests().iter() {
            let Some(hash) = hash.or_else(|| guest.read_transaction(text)) else { continue };
            if let Some((block, index)) = chain.guest_transaction(guest.kind(), &hash)? {
                return Ok(Some((block, usize::try_from(index).unwrap_or(usize::MAX))));
            }
        }
        Ok(None)
    }
}
