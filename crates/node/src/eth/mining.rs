//! Powers over blocks to come: when they are made, with what time and fees.

use std::time::Duration;

use alloy_primitives::{Address, B256, U64, U256};
use serde::Deserialize;

use super::{Ethereum, convert};
use crate::{
    miner::Mining,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// So many blocks can be asked for at once.
pub(super) const MOST_BLOCKS: u64 = 100_000;

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("evm_mine", evm_mine);
    methods.heavy("evm_mine_detailed", evm_mine_detailed);
    methods.alias("anvil_mine_detailed", "evm_mine_detailed");
    methods.heavy("anvil_mine", |door, params| {
        mine(door, params)?;
        reply(&())
    });
    methods.heavy("hardhat_mine", |door, params| {
        mine(door, params)?;
        reply(&true)
    });
    methods.quick("evm_setAutomine", set_automine);
    methods.alias("anvil_setAutomine", "evm_setAutomine");
    methods.quick("anvil_getAutomine", |door, _| {
        reply(&door.node.miner.settings().mining.is_instant())
    });
    methods.alias("hardhat_getAutomine", "anvil_getAutomine");
    methods.quick("evm_setIntervalMining", set_interval);
    methods.alias("anvil_setIntervalMining", "evm_setIntervalMining");
    methods.quick("anvil_getIntervalMining", |door, _| {
        let interval = door.node.miner.settings().mining.interval();
        reply(&interval.map(|interval| interval.as_secs()))
    });
    methods.quick("evm_increaseTime", increase_time);
    methods.alias("anvil_increaseTime", "evm_increaseTime");
    methods.quick("evm_setTime", set_time);
    methods.alias("anvil_setTime", "evm_setTime");
    methods.quick("evm_setNextBlockTimestamp", set_next_timestamp);
    methods.alias("anvil_setNextBlockTimestamp", "evm_setNextBlockTimestamp");
    methods.quick("anvil_setBlockTimestampInterval", |door, params| {
        let seconds: U64 = params.required()?;
        door.node.miner.set(|settings| settings.block_interval = Some(seconds.to()));
        reply(&())
    });
    methods.quick("anvil_removeBlockTimestampInterval", |door, _| {
        let before = door.node.miner.settings().block_interval;
        door.node.miner.set(|settings| settings.block_interval = None);
        reply(&before.is_some())
    });
    methods.quick("anvil_setNextBlockBaseFeePerGas", |door, params| {
        let wei: U64 = params.required()?;
        door.node.miner.set(|settings| settings.next_base_fee = Some(wei.to()));
        reply(&())
    });
    methods.alias("hardhat_setNextBlockBaseFeePerGas", "anvil_setNextBlockBaseFeePerGas");
    methods.quick("anvil_setMinGasPrice", |_, _| {
        // As all do that know EIP-1559.
        Err(RpcError::params("there is no minimum gas price: the chain has a base fee (EIP-1559)"))
    });
    methods.alias("hardhat_setMinGasPrice", "anvil_setMinGasPrice");
    methods.quick("anvil_setCoinbase", |door, params| {
        let beneficiary: Address = params.required()?;
        door.node.miner.set(|settings| settings.beneficiary = beneficiary);
        reply(&())
    });
    methods.alias("hardhat_setCoinbase", "anvil_setCoinbase");
    methods.quick("hardhat_setPrevRandao", |door, params| {
        let randomness: U256 = params.required()?;
        let randomness = B256::from(randomness);
        door.node.miner.set(|settings| settings.next_randomness = Some(randomness));
        reply(&true)
    });
    methods.alias("anvil_setPrevRandao", "hardhat_setPrevRandao");
    methods.alias("anvil_setNextBlockPrevRandao", "hardhat_setPrevRandao");
    methods.quick("evm_setBlockGasLimit", |door, params| {
        let gas: U64 = params.required()?;
        door.node.miner.set(|settings| settings.gas_limit = Some(gas.to()));
        reply(&true)
    });
    methods.alias("anvil_setBlockGasLimit", "evm_setBlockGasLimit");
}

/// What `evm_mine` may be given: a timestamp, or more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wish {
    Timestamp(U64),
    More {
        #[serde(default)]
        timestamp: Option<U64>,
        #[serde(default)]
        blocks: Option<U64>,
    },
}

/// Makes the blocks that `evm_mine` asks for; gives the height before them.
fn wished(door: &Ethereum, params: &mut Params<'_>) -> Result<u64, RpcError> {
    let (timestamp, blocks) = match params.optional()? {
        None => (None, None),
        Some(Wish::Timestamp(timestamp)) => (Some(timestamp), None),
        Some(Wish::More { timestamp, blocks }) => (timestamp, blocks),
    };
    let before = door.node.chain.head();
    if let Some(timestamp) = timestamp {
        let timestamp = timestamp.to::<u64>();
        check_timestamp(timestamp, before.header.timestamp)?;
        door.node.miner.set(|settings| settings.next_timestamp = Some(timestamp));
    }
    door.mine(blocks.map_or(1, |blocks| blocks.to()), None)?;
    Ok(before.number())
}

fn evm_mine(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    wished(door, params)?;
    reply(&"0x0")
}

fn evm_mine_detailed(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let chain = &door.node.chain;
    let first = wished(door, params)?.saturating_add(1);
    let mut blocks = Vec::new();
    for number in first..=chain.head().number() {
        blocks.extend(chain.block(number)?.map(|block| convert::block(&block, true)));
    }
    reply(&blocks)
}

fn mine(door: &Ethereum, params: &mut Params<'_>) -> Result<(), RpcError> {
    let blocks: Option<U64> = params.optional()?;
    let interval: Option<U64> = params.optional()?;
    let blocks = blocks.map_or(1, |blocks| blocks.to());
    // Tools that were told no interval say 0.
    door.mine(blocks, interval.map(|interval| interval.to()).filter(|interval| *interval > 0))
}

impl Ethereum {
    /// Makes so many blocks, so many seconds apart.
    pub(super) fn mine(&self, blocks: u64, interval: Option<u64>) -> Result<(), RpcError> {
        if blocks > MOST_BLOCKS {
            return Err(RpcError::limit(format!("more than {MOST_BLOCKS} blocks at once")));
        }
        for index in 0..blocks {
            if let Some(interval) = interval.filter(|_| index > 0) {
                let next = self.node.chain.head().header.timestamp.saturating_add(interval);
                self.node.miner.set(|settings| settings.next_timestamp = Some(next));
            }
            self.node.miner.mine()?;
        }
        Ok(())
    }
}

fn set_automine(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let on: bool = params.required()?;
    door.node.miner.set(|settings| {
        settings.mining = match (on, settings.mining.interval()) {
            (true, None) => Mining::Instant,
            (true, Some(interval)) => Mining::Mixed(interval),
            (false, Some(interval)) => Mining::Interval(interval),
            (false, None) => Mining::Manual,
        }
    });
    // What waited for a request need not wait any more.
    drop(door.node.miner.announce());
    reply(&true)
}

/// Seconds between two blocks; zero makes none by itself any more.
fn set_interval(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let seconds: U64 = params.required()?;
    let interval = Duration::from_secs(seconds.to());
    door.node.miner.set(|settings| {
        settings.mining = match (interval.is_zero(), settings.mining.is_instant()) {
            (false, _) => Mining::Interval(interval),
            (true, true) => Mining::Instant,
            (true, false) => Mining::Manual,
        }
    });
    reply(&true)
}

fn increase_time(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let seconds: U64 = params.required()?;
    // Blocks that follow each other within a second run ahead of the clock, and the time is to pass
    // after the last of them.
    let behind = door.node.chain.head().header.timestamp.saturating_sub(door.node.miner.now());
    let moved = i128::from(seconds.to::<u64>()).saturating_add(behind.into());
    let mut offset = 0;
    door.node.miner.set(|settings| {
        settings.offset = settings.offset.saturating_add(moved);
        offset = settings.offset;
    });
    reply(&i64::try_from(offset).unwrap_or(i64::MAX))
}

fn set_time(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let timestamp: U64 = params.required()?;
    let timestamp = timestamp.to::<u64>();
    let moved = i128::from(timestamp).saturating_sub(i128::from(door.node.miner.now()));
    door.node.miner.set(|settings| settings.offset = settings.offset.saturating_add(moved));
    reply(&i64::try_from(moved).unwrap_or(i64::MAX))
}

fn set_next_timestamp(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let timestamp: U64 = params.required()?;
    let timestamp = timestamp.to::<u64>();
    check_timestamp(timestamp, door.node.chain.head().header.timestamp)?;
    door.node.miner.set(|settings| settings.next_timestamp = Some(timestamp));
    reply(&())
}

fn check_timestamp(timestamp: u64, last: u64) -> Result<(), RpcError> {
    if timestamp > last {
        return Ok(());
    }
    Err(RpcError::params(format!(
        "Timestamp error: {timestamp} is lower than or equal to previous block's timestamp {last}"
    )))
}
