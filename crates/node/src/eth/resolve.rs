use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};

use super::Ethereum;
use crate::{
    chain::{Block, ChainView, Company},
    rpc::RpcError,
};

/// A block that a request names, and the state after it.
pub struct At {
    /// The block. One that is not made yet has the hash zero.
    pub block: Arc<Block>,
    /// The state after it.
    pub state: ChainView,
    /// What machines besides Ethereum's are told of it.
    pub company: Company,
}

impl Ethereum {
    /// The block that a request names.
    ///
    /// # Errors
    /// The store failed. `None` where there is no such block.
    pub fn find(&self, id: BlockId) -> Result<Option<Arc<Block>>, RpcError> {
        let chain = &self.node.chain;
        let tag = match id {
            BlockId::Hash(hash) => return Ok(chain.block_by_hash(&hash.block_hash)?),
            BlockId::Number(tag) => tag,
        };
        Ok(match tag {
            // Nobody but this node makes blocks, and none is taken back but by a
            // power of development.
            BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => {
                Some(chain.head())
            }
            BlockNumberOrTag::Earliest => chain.block(chain.first())?,
            BlockNumberOrTag::Number(number) => chain.block(number)?,
            BlockNumberOrTag::Pending => Some(self.pending()?.block),
        })
    }

    /// The block that a request names, with the state after it.
    ///
    /// # Errors
    /// There is no such block, or its state is not kept.
    pub fn at(&self, id: Option<BlockId>) -> Result<At, RpcError> {
        let chain = &self.node.chain;
        let id = id.unwrap_or_default();
        if id.is_pending() {
            return self.pending();
        }
        if id.is_latest() {
            let tip = chain.tip();
            return self.after(chain.view_of(&tip)?, tip.block.clone());
        }
        let block = self.find(id)?.ok_or_else(|| no_block(id))?;
        let state = chain.state_at(block.number())?;
        self.after(state, block)
    }

    fn after(&self, state: ChainView, block: Arc<Block>) -> Result<At, RpcError> {
        let company = self.node.chain.company(&block.header)?;
        Ok(At { block, state, company })
    }

    /// The block that would be made now, with the state after it.
    fn pending(&self) -> Result<At, RpcError> {
        let node = &self.node;
        let draft = node.miner.draft(&node.chain.head());
        let (block, state) = node.chain.preview(&draft, |header| node.miner.candidates(header))?;
        self.after(state, Arc::new(block))
    }
}

/// There is no such block.
pub(super) fn no_block(id: BlockId) -> RpcError {
    match id {
        BlockId::Hash(hash) => {
            RpcError::server("header for hash not found").with_data(hash.block_hash.to_string())
        }
        BlockId::Number(_) => RpcError::server("header not found"),
    }
}
