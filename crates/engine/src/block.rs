use crate::OverlayError;
use alloc::vec::Vec;
use core::fmt;
use polity_kernel::{BlockContext, Decoded, EndOfBlock, Halt, Invalid, Totals, TransactionOutput};
use polity_types::{B256, Effects, MachineKind, Resources};

/// A block to execute: its context and its transactions of all machines, in
/// one order.
#[derive(Clone, Debug)]
pub struct Block {
    /// What every machine knows about the block.
    pub context: BlockContext,
    /// The transactions, decoded and authenticated.
    pub transactions: Vec<Decoded>,
    /// What one transaction may use of the kernel's meters at most.
    pub transaction_limit: Resources,
}

/// What a machine did at the begin or the end of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemOutput {
    /// The machine.
    pub machine: MachineKind,
    /// What it changed.
    pub effects: Effects,
    /// What it handed out besides; nothing at the begin.
    pub end: EndOfBlock,
}

/// What executing a block gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOutput {
    /// Before the first transaction, by machine in the order of registration.
    pub begin: Vec<SystemOutput>,
    /// The transactions, in order.
    pub transactions: Vec<TransactionOutput>,
    /// After the last transaction, by machine in the order of registration.
    pub end: Vec<SystemOutput>,
    /// What each machine's transactions used, in the order of registration.
    pub totals: Vec<(MachineKind, Totals)>,
}

impl BlockOutput {
    /// All effects in the order in which they take place.
    pub fn effects(&self) -> impl Iterator<Item = &Effects> {
        self.begin
            .iter()
            .map(|output| &output.effects)
            .chain(self.transactions.iter().map(|output| &output.effects))
            .chain(self.end.iter().map(|output| &output.effects))
    }

    /// What one machine's transactions used.
    pub fn totals_of(&self, machine: MachineKind) -> Totals {
        crate::build::totals_of(&self.totals, machine)
    }
}

/// Where in a block something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A machine's work before the first transaction.
    Begin(MachineKind),
    /// The transaction with this index and hash.
    Transaction(usize, B256),
    /// A machine's work after the last transaction.
    End(MachineKind),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(machine) => write!(f, "begin of the block, machine {machine}"),
            Self::Transaction(index, hash) => write!(f, "transaction {index} ({hash})"),
            Self::End(machine) => write!(f, "end of the block, machine {machine}"),
        }
    }
}

/// Why a block could not be executed. It then has no output at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A transaction may not be in the block at its place.
    #[error("{place}: {invalid}")]
    Invalid {
        /// Where.
        place: Place,
        /// Why.
        invalid: Invalid,
    },
    /// The state could not be read, or a machine broke a rule of the kernel.
    #[error("{place}: {halt}")]
    Halt {
        /// Where.
        place: Place,
        /// Why.
        halt: Halt,
    },
    /// Effects did not fit the state that they were computed on.
    #[error("{place}: {error}")]
    Overlay {
        /// Where.
        place: Place,
        /// Why.
        error: OverlayError,
    },
}
