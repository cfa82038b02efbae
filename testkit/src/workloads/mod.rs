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
mod setup;
pub mod swaps;

use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use polity_engine::{Block, Overlay};
use polity_evm::{
    BlockInput, Evm, KIND, Unsigned, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Inputs, Machines};
use polity_types::{AccountRecord, Resources};
use revm::context::TxEnv;

pub use polity_analysis::Rng;

/// The chain that every workload is of.
pub const CHAIN_ID: u64 = 31_337;

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
    pub fn new(name: impl Into<String>, state: Overlay<'static>, transactions: Vec<TxEnv>) -> Self {
        Self { name: name.into(), machines: machines(), state, block: block(1, transactions) }
    }
}

/// The machines of a workload's chain.
fn machines() -> Machines {
    // One machine cannot clash with another.
    Machines::default().with(Evm::new(ChainSpec::single(Fork::Osaka))).unwrap_or_default()
}

/// A block of these transactions, twelve seconds after the one before.
fn block(number: u64, transactions: Vec<TxEnv>) -> Block {
    let gas_limit = transactions.iter().map(|tx| tx.gas_limit).sum();
    let input = BlockInput {
        gas_limit,
        base_fee: BASE_FEE,
        excess_blob_gas: Some(0),
        transactions_only: true,
        ..BlockInput::default()
    };
    let context = BlockContext {
        chain_id: CHAIN_ID,
        number,
        timestamp: number.saturating_mul(12).saturating_add(1),
        beneficiary: account(Address::repeat_byte(0xbe)),
        randomness: B256::repeat_byte(0x5e),
        inputs: Inputs::default().with(KIND, input),
    };
    let power = Unsigned::for_simulation();
    let transactions = (0_u64..)
        .zip(transactions)
        .map(|(index, tx)| power.transaction(tx, B256::from(U256::from(index))))
        .collect();
    Block { context, transactions, transaction_limit: Resources::UNLIMITED }
}

/// A transaction (EIP-1559) of `from`.
fn transaction(from: Address, nonce: u64, to: TxKind, gas_limit: u64) -> TxEnv {
    TxEnv {
        tx_type: 2,
        caller: from,
        gas_limit,
        gas_price: u128::from(BASE_FEE).saturating_add(TIP),
        gas_priority_fee: Some(TIP),
        kind: to,
        nonce,
        chain_id: Some(CHAIN_ID),
        ..TxEnv::default()
    }
}

/// The address of the `index`-th member of a group: as scattered as real addresses are.
fn address(group: &str, index: usize) -> Address {
    let index = U256::from(index);
    Address::from_word(keccak256([group.as_bytes(), &index.to_be_bytes::<32>()].concat()))
}

/// A state in which these addresses hold [`FUNDS`].
fn funded(addresses: impl IntoIterator<Item = Address>) -> Overlay<'static> {
    let mut state = Overlay::empty();
    let record = AccountRecord { balance: U256::from(FUNDS), ..AccountRecord::default() };
    for address in addresses {
        state.insert_account(account(address), Some(record));
    }
    state
}
