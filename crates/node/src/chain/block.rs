use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, Bytes, Log};
use polity_evm::{KIND, logs, receipt::ReceiptParts};
use polity_kernel::{Decoded, TransactionOutput};
use polity_types::{Event, MachineKind, Receipt};

use super::{GuestTransaction, IncludedGuest, Transaction};

/// A block of the chain, with what became of its transactions.
///
/// Its transactions have one order over all machines; Ethereum's and those of
/// the guests are two lists of it. [`Block::all`] goes through both.
#[derive(Clone, Debug)]
pub struct Block {
    /// The header. Its `state_root` is the root of Polity's state.
    pub header: Header,
    /// The hash of the header.
    pub hash: B256,
    /// Ethereum's transactions, in order.
    pub transactions: Vec<Included>,
    /// The transactions of other machines, in order.
    pub guests: Vec<IncludedGuest>,
    /// Withdrawals (EIP-4895).
    pub withdrawals: Vec<Withdrawal>,
}

/// A transaction of Ethereum's in a block.
#[derive(Clone, Debug)]
pub struct Included {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Its index among the block's transactions of all machines.
    pub index: u32,
    /// What became of it.
    pub receipt: Receipt,
    /// What it told the world.
    pub events: Vec<Event>,
}

impl Included {
    /// A transaction with its index among those of all machines and its output,
    /// of which the reads and writes are left out.
    pub fn new(transaction: Arc<Transaction>, index: u32, output: TransactionOutput) -> Self {
        Self { transaction, index, receipt: output.receipt, events: output.effects.events }
    }

    /// The Ethereum logs.
    pub fn logs(&self) -> Vec<Log> {
        logs(&self.events)
    }

    /// How many Ethereum logs it has.
    pub fn log_count(&self) -> usize {
        self.events.iter().filter(|event| event.emitter.machine == KIND).count()
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
    /// A block without transactions.
    pub const fn empty(header: Header, hash: B256) -> Self {
        let withdrawals = Vec::new();
        Self { header, hash, transactions: Vec::new(), guests: Vec::new(), withdrawals }
    }

    /// The height.
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// The base fee in wei; zero before London.
    pub fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// Whether it has no transaction of any machine.
    pub const fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.guests.is_empty()
    }

    /// How many transactions of all machines it has.
    pub const fn len(&self) -> usize {
        self.transactions.len().saturating_add(self.guests.len())
    }

    /// The transactions of all machines, in order.
    pub fn all(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut own = self.transactions.iter().peekable();
        let mut guests = self.guests.iter().peekable();
        std::iter::from_fn(move || {
            let guest = guests.peek().map(|guest| guest.index);
            let is_next = |own: &&Included| guest.is_none_or(|guest| own.index < guest);
            match own.next_if(is_next) {
                Some(own) => Some(Entry::Ethereum(own)),
                None => guests.next().map(Entry::Guest),
            }
        })
    }

    /// The guest's transaction with this index among those of all machines.
    pub fn guest(&self, index: u32) -> Option<&IncludedGuest> {
        let place = self.guests.binary_search_by_key(&index, |guest| guest.index).ok()?;
        self.guests.get(place)
    }

    /// The transactions of one guest, in order.
    pub fn of(&self, kind: MachineKind) -> impl Iterator<Item = &IncludedGuest> {
        self.guests.iter().filter(move |guest| guest.transaction.kind() == kind)
    }
}

/// A transaction in a block, of any machine.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// Ethereum's.
    Ethereum(&'a Included),
    /// Another machine's.
    Guest(&'a IncludedGuest),
}

impl<'a> Entry<'a> {
    /// Its index among the block's transactions of all machines.
    pub const fn index(&self) -> u32 {
        match self {
            Self::Ethereum(included) => included.index,
            Self::Guest(included) => included.index,
        }
    }

    /// The transaction, as the kernel executes it.
    pub fn decoded(&self) -> &'a Decoded {
        match self {
            Self::Ethereum(included) => &included.transaction.decoded,
            Self::Guest(included) => &included.transaction.decoded,
        }
    }

    /// The transaction, as its sender wrote it.
    pub fn raw(&self) -> Bytes {
        match self {
            Self::Ethereum(included) => included.transaction.raw().into(),
            Self::Guest(included) => included.transaction.raw.clone(),
        }
    }

    /// What became of it.
    pub const fn receipt(&self) -> &'a Receipt {
        match self {
            Self::Ethereum(included) => &included.receipt,
            Self::Guest(included) => &included.receipt,
        }
    }

    /// What it told the world.
    pub fn events(&self) -> &'a [Event] {
        match self {
            Self::Ethereum(included) => &included.events,
            Self::Guest(included) => &included.events,
        }
    }

    /// What a guest's front door keeps of it besides; nothing for Ethereum's.
    pub fn supplement(&self) -> &'a [u8] {
        match self {
            Self::Ethereum(_) => &[],
            Self::Guest(included) => &included.supplement,
        }
    }
}

/// A transaction that a block under construction may take.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Ethereum's.
    Ethereum(Arc<Transaction>),
    /// Another machine's.
    Guest(Arc<GuestTransaction>),
}

impl Candidate {
    /// The transaction, as the kernel executes it.
    pub fn decoded(&self) -> &Decoded {
        match self {
            Self::Ethereum(transaction) => &transaction.decoded,
            Self::Guest(transaction) => &transaction.decoded,
        }
    }
}

impl From<Arc<Transaction>> for Candidate {
    fn from(transaction: Arc<Transaction>) -> Self {
        Self::Ethereum(transaction)
    }
}

impl From<Arc<GuestTransaction>> for Candidate {
    fn from(transaction: Arc<GuestTransaction>) -> Self {
        Self::Guest(transaction)
    }
}
