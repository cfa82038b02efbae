//! The search for logs.

use alloy_eips::BlockId;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};

use super::{Ethereum, convert, transactions::number_of};
use crate::{
    chain::Block,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("eth_getLogs", get_logs);
}

fn get_logs(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    reply(&door.logs(&params.required()?)?)
}

impl Ethereum {
    /// The logs that a filter describes.
    pub(super) fn logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        let chain = &self.node.chain;
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let found = chain.block_by_hash(&hash)?;
                let is_own = found.as_ref().is_some_and(|block| {
                    chain.remote().is_none_or(|remote| block.number() > remote.number())
                });
                if !is_own && let Some(logs) = self.logs_of_block_elsewhere(filter, &hash)? {
                    return Ok(logs);
                }
                let block = found.ok_or_else(|| RpcError::server("unknown block"))?;
                let mut logs = Vec::new();
                matching(&block, filter, &mut logs);
                return Ok(logs);
            }
            FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
        };
        let head = chain.head().number();
        let mut first = number_of(self, from.unwrap_or_default())?;
        let last = number_of(self, to.unwrap_or_default())?;
        if last < first && from.is_some() && to.is_some() {
            return Err(RpcError::params("invalid block range params"));
        }
        let last = last.min(head);
        let mut logs = Vec::new();
        match chain.remote() {
            Some(remote) if first <= remote.number() && first <= last => {
                let border = remote.number();
                logs = self.logs_elsewhere(remote, filter, first, last.min(border))?;
                first = border.saturating_add(1);
            }
            _ => first = first.max(chain.first()),
        }
        if last.saturating_sub(first) >= self.node.config.limits.log_blocks {
            let most = self.node.config.limits.log_blocks;
            return Err(RpcError::limit(format!("query exceeds max block range {most}")));
        }
        logs.extend(self.logs_between(filter, first, last)?);
        Ok(logs)
    }

    /// The logs that a filter describes in blocks from `first` to `last`.
    pub(super) fn logs_between(
        &self,
        filter: &Filter,
        first: u64,
        last: u64,
    ) -> Result<Vec<Log>, RpcError> {
        let mut logs = Vec::new();
        if last < first {
            return Ok(logs);
        }
        let chain = &self.node.chain;
        let store = chain.store();
        let candidates = store
            .search(first, last, |bloom| filter.matches_bloom(*bloom))
            .map_err(crate::chain::ChainError::from)?;
        for number in candidates {
            let block = self.find(BlockId::number(number))?;
            let Some(block) = block else { continue };
            matching(&block, filter, &mut logs);
            if logs.len() > self.node.config.limits.logs {
                let most = self.node.config.limits.logs;
                return Err(RpcError::limit(format!("query returned more than {most} results")));
            }
        }
        Ok(logs)
    }
}

/// Adds the logs of a block that a filter describes.
pub(super) fn matching(block: &Block, filter: &Filter, into: &mut Vec<Log>) {
    if !filter.matches_bloom(block.header.logs_bloom) {
        return;
    }
    into.extend(convert::logs(block).into_iter().filter(|log| filter.matches(&log.inner)));
}
