//! Blocks that are all of one kind, as large as wanted, for benches and for the tests of engines.
//!
//! A [`Workload`] is a state and a block on it; the same arguments give the same workload on every
//! computer. [`raw`] moves ether; [`erc20`] and [`swaps`] call contracts whose code comes from npm
//! packages at run time ([`artifacts`]).
//!
//! | generator | conflicts |
//! | --- | --- |
//! | [`raw::independent`], [`erc20::independent`], [`swaps::many_pools`] | none but the beneficiary's fees |
//! | [`raw::one_recipient`] | every transaction credits one account |
//! | [`raw::chain`] | every transaction credits the sender of the next |
//! | [`erc20::random_recipients`] | some recipients are others' senders |
//! | [`erc20::hot`], [`swaps::one_pool`] | nearly every transaction waits for an earlier one |

pub mod artifacts;
pub mod erc20;
pub mod raw;
mod rng;
mod setup;
pub mod swaps;

use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use polity_engine::{Block, Overlay};
use polity_evm::{BlockInput, Evm, KIND, Unsigned, account, genesis};
use polity_kernel::{BlockContext, Inputs, Machines};
use polity_types::{AccountRecord, Bytes, Resources};
use revm::context::TxEnv;

pub use rng::Rng;

/// Wei per gas that are burnt in every workload's block.
pub const BASE_FEE: u64 = 7;

/// Wei per gas that the beneficiary of a workload's block gets.
pub const TIP: u128 = 1;

/// What every sender owns at first: 1,000 ether.
pub const FUNDS: u128 = 1_000_000_000_000_000_000_000;

/// A block and the state before it.
pub struct Workload {
    /// What it is called in tables.
    pub name: String,
    /// The machines of the chain: Ethereum's, by the rules of Osaka.
    pub machines: Machines,
    /// The state before the block.
    pub state: Overlay<'static>,
    /// The block, with the transactions alone: no system calls, no withdrawals.
    pub block: Block,
}

/// Why a workload cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The contracts' code cannot be had.
    #[error(transparent)]
    Artifacts(#[from] artifacts::ArtifactError),
    /// A transaction that sets the contracts up did not do what it should.
    #[error("setting up {what}: {reason}")]
    Setup {
        /// What the transaction is for.
        what: String,
        /// What happened instead.
        reason: String,
    },
}

impl Workload {
    /// A block of these transactions on `state`.
    fn new(name: impl Into<String>, state: Overlay<'static>, transactions: Vec<TxEnv>) -> Self {
        Self { name: name.into(), machines: machines(), state, block: block(transactions) }
    }
}

/// The machines of a workload's chain.
fn machines() -> Machines {
    let spec = genesis::chain_spec(&osaka(), U256::ZERO, 0).unwrap_or_default();
    // One machine cannot clash with another.
    Machines::default().with(Evm::new(spec)).unwrap_or_default()
}
