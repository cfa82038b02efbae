use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, Log};
use polity_evm::{logs, receipt::ReceiptParts};
use polity_kernel::TransactionOutput;
use polity_types::{Event, Receipt};

use super::Transaction;

/// A block of the chain, with what became of its transactions.
#[derive(Clone, Debug)]
pub struct Block {
    /// The header. Its `state_root` is the root of Polity's state.
    pub header: Header,
    /// The hash of the header.
    pub hash: B256,
    /// The transactions, in order.
    pub transactions: Vec<Included>,
    /// Withdrawals (EIP-4895).
    pub withdrawals: Vec<Withdrawal>,
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct Included {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// What became of it.
    pub receipt: Receipt,
    /// What it told the world.
    pub events: Vec<Event>,
}

impl Included {
    /// A transaction with its output, of which the reads and writes are left out.
    pub fn new(transaction: Arc<Transaction>, output: TransactionOutput) -> Self {
        Self { transaction, receipt: output.receipt, events: output.effects.events }
    }

    /// The Ethereum logs.
    pub fn logs(&self) -> Vec<Log> {
        logs(&self.events)
    }

    /// What Ethereum's receipt is made of.
    pub fn parts(&self) -> ReceiptParts {
        ReceiptParts {
            tx_type: self.transaction.kind(),
            success: self.receipt.status.is_success(),
            gas_used: self.receipt.gas_used,
            logs: self.logs(),
            post_state: None,
        }
    }
}

impl Block {
    /// The height.
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// The base fee in wei; zero before London.
    pub fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }
}
