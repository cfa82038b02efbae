//! The power to take blocks back and to put others in their place.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_primitives::{Address, Bytes, U64};
use alloy_rpc_types_eth::TransactionRequest;
use polity_evm::account;
use polity_kernel::View;
use serde::Deserialize;

use super::{At, Ethereum, estimate_gas, mining::MOST_BLOCKS};
use crate::{
    chain::{Candidate, Tip, Transaction},
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("anvil_reorg", reorg);
}

/// What the new blocks hold: each transaction with the number of its block among them.
type Pairs = Vec<(Given, U64)>;

/// The first parameter: the depth, or both by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum First {
    Depth(U64),
    Named {
        depth: U64,
        #[serde(default)]
        tx_block_pairs: Pairs,
    },
}

/// A transaction, signed or to be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Raw(Bytes),
    Request(Box<TransactionRequest>),
}

fn reorg(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let (depth, mut pairs) = match params.required()? {
        First::Depth(depth) => (depth, params.optional()?.unwrap_or_default()),
        First::Named { depth, tx_block_pairs } => (depth, tx_block_pairs),
    };
    let depth = depth.to::<u64>();
    let chain = &door.node.chain;
    let head = chain.head().number();
    let common = head.checked_sub(depth).filter(|common| *common >= chain.first());
    let Some(common) = common.filter(|_| depth <= MOST_BLOCKS) else {
        let text = format!(
            "Reorg depth must not exceed current chain height: current height {head}, depth {depth}"
        );
        return Err(RpcError::params(text));
    };
    if let Some((_, block)) = pairs.iter().find(|(_, block)| block.to::<u64>() >= depth) {
        let text =
            format!("Block number for reorg tx will exceed the reorged chain height: {block}");
        return Err(RpcError::params(text));
    }
    if depth == 0 {
        // What was edited since the last block stays.
        return reply(&());
    }
    pairs.sort_by_key(|(_, block)| *block);
    let at = door.at(Some(common.into()))?;
    let mut blocks: Vec<Vec<Candidate>> = (0..depth).map(|_| Vec::new()).collect();
    let mut nonces = BTreeMap::new();
    for (given, block) in pairs {
        let transaction = door.remake(&at, given, &mut nonces)?;
        if let Some(block) = blocks.get_mut(block.to::<usize>()) {
            block.push(Candidate::Ethereum(Arc::new(transaction)));
        }
    }
    let to = Tip { block: at.block, edits: Arc::default() };
    let done = door.node.miner.reorganize(door.powers()?, &to, blocks);
    door.renew_pools()?;
    reply(&done?)
}

impl Ethereum {
    /// A transaction of a new block. `nonces` are the next ones of senders that have some already.
    fn remake(
        &self,
        at: &At,
        given: Given,
        nonces: &mut BTreeMap<Address, u64>,
    ) -> Result<Transaction, RpcError> {
        let mut request = match given {
            Given::Raw(raw) => return self.decode(&raw, &at.block.header),
            Given::Request(request) => *request,
        };
        let none = || RpcError::server("no sender: `from` is missing");
        let first = self.node.accounts.addresses().first().copied();
        let from = request.from.or(first).ok_or_else(none)?;
        request.from = Some(from);
        let signs = self.is_signer(from)?;
        let nonce = match (request.nonce, nonces.get(&from)) {
            (Some(nonce), _) => nonce,
            (None, Some(next)) => *next,
            (None, None) => at.state.account(&account(from))?.unwrap_or_default().sequence,
        };
        nonces.insert(from, nonce.saturating_add(1));
        request.nonce = Some(nonce);
        if request.gas.is_none() {
            // One that builds on those before it cannot be estimated.
            let most = at.block.header.gas_limit.min(MAX_TX_GAS_LIMIT_OSAKA);
            let estimate = estimate_gas(&self.scene(at), &request, None, None);
            request.gas = Some(estimate.unwrap_or(most));
        }
        let typed = self.fill(request)?;
        if signs {
            return self.decode(&self.sign(from, typed)?, &at.block.header);
        }
        Ok(self.unsigned(from, typed))
    }

    fn decode(&self, raw: &[u8], header: &Header) -> Result<Transaction, RpcError> {
        let chain = &self.node.chain;
        Transaction::decode(raw, chain.spec().chain_id, chain.fork(header))
            .map_err(|error| RpcError::server(error.to_string()))
    }
}
