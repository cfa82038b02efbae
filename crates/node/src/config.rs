//! What a node is started with.

use std::{num::NonZeroUsize, path::PathBuf};

use alloy_genesis::Genesis;
use alloy_primitives::{Address, U256};
use polity_evm::spec::Fork;
use polity_state::History;

use crate::{
    accounts::{DERIVATION_PATH, MNEMONIC},
    chain::Guests,
    fork::Forking,
    genesis::CHAIN_ID,
    miner::Mining,
    pool::Order,
};

/// The settings of a node. The default is a development chain in memory.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first block; that of a
    /// [`Development`](crate::genesis::Development) chain where it is not given.
    pub genesis: Option<Box<Genesis>>,
    /// The chain to go on from, instead of a first block.
    pub forking: Option<Forking>,
    /// The machines beside Ethereum's.
    pub guests: Guests,
    /// The chain id of a development chain.
    pub chain_id: u64,
    /// The rules of a development chain.
    pub fork: Fork,
    /// The height of a development chain's first block.
    pub first_block: u64,
    /// The time of a development chain's first block, in seconds; now where it
    /// is not given.
    pub timestamp: Option<u64>,
    /// How many accounts have keys and funds.
    pub accounts: u32,
    /// What each of them has at first, in wei.
    pub balance: U256,
    /// What they are derived from.
    pub mnemonic: String,
    /// The path under which they are derived.
    pub derivation_path: String,
    /// The block gas limit.
    pub gas_limit: u64,
    /// The first base fee, in wei.
    pub base_fee: u64,
    /// Who receives the fees.
    pub beneficiary: Address,
    /// When blocks are made.
    pub mining: Mining,
    /// The order of transactions in blocks.
    pub order: Order,
    /// Where the chain is kept; in memory where it is not given.
    pub data_dir: Option<PathBuf>,
    /// How far back the state can be read.
    pub history: History,
    /// How many threads execute a block.
    pub threads: NonZeroUsize,
    /// How many transactions may wait.
    pub pool_limit: usize,
    /// Whether the chain is for development: its clients may do what no real
    /// chain allows.
    pub development: bool,
    /// What its clients may ask for.
    pub limits: Limits,
}

/// What a client may ask for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request.
    pub body: usize,
    /// Requests in a batch.
    pub batch: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Subscriptions and filters of one connection.
    pub subscriptions: usize,
    /// Blocks that a search for logs looks at.
    pub log_blocks: u64,
    /// Logs that it finds.
    pub logs: usize,
    /// Gas of a simulated call.
    pub call_gas: u64,
    /// Seconds that a request may take.
    pub seconds: u64,
    /// Requests that compute, such as calls and traces, at the same time.
    pub computing: usize,
}

fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            batch: 1000,
            connections: 1000,
            subscriptions: 1000,
            log_blocks: 1_000_000,
            logs: 100_000,
            call_gas: 1 << 29,
            seconds: 60,
            // More threads than processors only get in each other's way; some more, so
            // that a long trace does not hold up every call.
            computing: processors().get().saturating_mul(2).max(4),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            genesis: None,
            forking: None,
            guests: Guests::default(),
            chain_id: CHAIN_ID,
            fork: Fork::Osaka,
            first_block: 0,
            timestamp: None,
            accounts: 10,
            balance: U256::from(10_000) * U256::from(10).pow(U256::from(18)),
            mnemonic: MNEMONIC.into(),
            derivation_path: DERIVATION_PATH.into(),
            gas_limit: 30_000_000,
            base_fee: 1_000_000_000,
            beneficiary: Address::ZERO,
            mining: Mining::Instant,
            order: Order::Fees,
            data_dir: None,
            history: History::Archive,
            threads: processors(),
            pool_limit: 500_000,
            development: true,
            limits: Limits::default(),
        }
    }
}
