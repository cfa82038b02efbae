//! The power to begin anew, be it on another chain.

use alloy_primitives::U64;
use serde::Deserialize;

use super::Ethereum;
use crate::{
    Node,
    config::Config,
    fork::Forking,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("anvil_reset", reset);
    methods.alias("hardhat_reset", "anvil_reset");
}

/// How a chain is to begin anew.
#[derive(Default, Deserialize)]
struct Wish {
    #[serde(default)]
    forking: Option<Fork>,
}

/// What it is to go on from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fork {
    /// The node to ask; the same as now where it is not given.
    #[serde(default)]
    json_rpc_url: Option<String>,
    /// The block; the latest where it is not given.
    #[serde(default)]
    block_number: Option<Height>,
}

/// A height, as a number or in hexadecimal.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Height {
    Plain(u64),
    Hexadecimal(U64),
}

fn reset(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let wish: Wish = params.optional()?.unwrap_or_default();
    door.powers()?;
    let now = door.forking();
    match (wish.forking, now) {
        (None, None) => door.begin_again()?,
        (None, Some(_)) => door.begin_anew(None)?,
        (Some(Fork { json_rpc_url, block_number }), now) => {
            let forking =
                now.or_else(|| json_rpc_url.as_ref().map(Forking::of)).ok_or_else(|| {
                    let text =
                        "this chain is no fork: give a jsonRpcUrl, or start one with --fork-url";
                    RpcError::params(text)
                })?;
            let url = json_rpc_url.unwrap_or_else(|| forking.url.clone());
            let block = block_number.map(u64::from);
            door.begin_anew(Some(Forking { url, block, ..forking }))?;
        }
    }
    reply(&())
}

impl From<Height> for u64 {
    fn from(height: Height) -> Self {
        match height {
            Height::Plain(number) => number,
            Height::Hexadecimal(number) => number.to(),
        }
    }
}

impl Ethereum {
    /// What the chain was forked from, with the block at which they part.
    fn forking(&self) -> Option<Forking> {
        let block = Some(self.node.chain.remote()?.number());
        Some(Forking { block, ..self.node.config.forking.clone()? })
    }

    /// Back to the first block.
    pub(crate) fn begin_again(&self) -> Result<(), RpcError> {
        self.forget_moments();
        self.node.pool.clear();
        self.node.guests.clear();
        let chain = &self.node.chain;
        self.go_back_to(chain.first())?;
        // The clock of a fork goes on from the block that it goes on from.
        let forked = chain.remote().map(|remote| remote.origin().header.inner.timestamp);
        let now = self.node.miner.now();
        self.node.miner.set(|settings| {
            let ahead = |then: u64| i128::from(then) - i128::from(now) + settings.offset;
            settings.offset = forked.map_or(0, ahead);
            settings.next_timestamp = None;
            settings.next_base_fee = None;
            settings.next_randomness = None;
            settings.block_interval = None;
        });
        Ok(())
    }

    /// Puts a new node in the place of this one.
    fn begin_anew(&self, forking: Option<Forking>) -> Result<(), RpcError> {
        let node = &self.node;
        if node.config.data_dir.is_some() {
            let is_same = |now: Forking, then: &Forking| {
                now.url == then.url && then.block.is_none_or(|block| now.block == Some(block))
            };
            if self.forking().zip(forking.as_ref()).is_some_and(|(now, then)| is_same(now, then)) {
                return self.begin_again();
            }
            let text = "a chain that is kept in a folder stays the one that it is: start another";
            return Err(RpcError::server(text));
        }
        let door = self.door.get().and_then(|door| door.upgrade());
        let door = door.ok_or_else(|| RpcError::server("this chain cannot be replaced here"))?;
        let config = Config { forking, ..node.config.clone() };
        let new = Node::start(&config).map_err(|error| RpcError::server(error.to_string()))?;
        let settings = node.miner.settings();
        new.miner.set(|new| {
            new.mining = settings.mining;
            new.order = settings.order;
            new.beneficiary = settings.beneficiary;
        });
        let new = Self::new(new.into());
        // It is new, and so has none yet.
        let _ = new.door.set(door.downgrade());
        door.set(new.into());
        node.miner.stop();
        Ok(())
    }
}
