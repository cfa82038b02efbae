use crate::{BlockContext, Call, Halt, Host, Invalid, Outcome};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::{any::Any, fmt};
use polity_types::{AccountId, B256, Bytes, Effects, LocalKey, MachineKind, Receipt, Resources};

/// A virtual machine: a guest of the kernel that runs contracts.
///
/// A machine holds no state of the chain. All that it knows of a transaction
/// comes from the [`Host`], and everything it changes goes through it.
pub trait Machine: Send + Sync {
    /// The byte that marks its address space, code and transactions.
    fn kind(&self) -> MachineKind;

    /// Its name in the command line, tables and errors.
    fn name(&self) -> &'static str;

    /// Decodes and authenticates a transaction from its sender's own format.
    fn decode(&self, raw: &[u8], block: &BlockContext) -> Result<Decoded, DecodeError>;

    /// Whether the machine's own block limits leave room for the transaction,
    /// after what the machine's earlier transactions used.
    fn admit(&self, tx: &Decoded, used: &Totals, block: &BlockContext) -> Result<(), Invalid>;

    /// What one unit of its gas stands for, in picoseconds of work: by these, gas
    /// of one machine is counted in that of another where one calls the other.
    fn unit(&self) -> u64 {
        1000
    }

    /// What it costs to enter the machine from another, in its own gas, beside what
    /// the callee then does.
    fn entry(&self) -> u64 {
        0
    }

    /// How much of its gas limit the transaction will presumably take to execute: what
    /// runs no code takes less than what it pays. For planning alone; nothing depends
    /// on it.
    fn work(&self, tx: &Decoded) -> u64 {
        tx.gas_limit
    }

    /// Whether there can be an account with this address: a machine with shorter ones
    /// knows none that is not padded.
    fn is_address(&self, _address: &B256) -> bool {
        true
    }

    /// The hash by which accounts refer to this code.
    fn code_hash(&self, code: &[u8]) -> B256;

    /// What the machine does before the first transaction of a block.
    fn begin_block(&self, host: &mut dyn Host) -> Result<(), Halt>;

    /// Executes a transaction.
    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt>;

    /// Executes a call from another machine. The kernel has opened the frame
    /// and moved the value, and undoes it unless the outcome is a success.
    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt>;

    /// Completes what the machine left to the end of a transaction. Called once
    /// for every machine with an open session, also where the transaction was
    /// another machine's.
    fn settle(&self, _host: &mut dyn Host) -> Result<(), Halt> {
        Ok(())
    }

    /// What the machine does after the last transaction of a block, given the
    /// outputs of all transactions in it.
    fn end_block(
        &self,
        outputs: &[TransactionOutput],
        host: &mut dyn Host,
    ) -> Result<EndOfBlock, Halt>;
}

/// A decoded and authenticated transaction.
#[derive(Clone)]
pub struct Decoded {
    /// The machine that decoded it and will execute it.
    pub machine: MachineKind,
    /// The transaction's hash in its own ecosystem.
    pub hash: B256,
    /// Who signed it.
    pub sender: AccountId,
    /// The sender's sequence number.
    pub sequence: u64,
    /// The most gas it may use, in the machine's own unit.
    pub gas_limit: u64,
    /// What it is likely to access. Never trusted.
    pub hints: Vec<Hint>,
    payload: Arc<dyn Any + Send + Sync>,
}

impl Decoded {
    /// A decoded transaction with the machine's own form of it.
    pub fn new<P: Any + Send + Sync>(
        machine: MachineKind,
        hash: B256,
        sender: AccountId,
        sequence: u64,
        gas_limit: u64,
        payload: P,
    ) -> Self {
        let payload = Arc::new(payload);
        Self { machine, hash, sender, sequence, gas_limit, hints: Vec::new(), payload }
    }

    /// Adds access hints.
    #[must_use]
    pub fn with_hints(mut self, hints: Vec<Hint>) -> Self {
        self.hints = hints;
        self
    }

    /// The machine's own form of the transaction.
    pub fn payload<P: Any>(&self) -> Option<&P> {
        self.payload.downcast_ref()
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("machine", &self.machine)
            .field("hash", &self.hash)
            .field("sender", &self.sender)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// An access that a transaction declares or is expected to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The account.
    pub account: AccountId,
    /// A slot of it, or the account's own cells.
    pub key: Option<LocalKey>,
}

/// Why bytes are not a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not have the format.
    #[error("malformed transaction: {0}")]
    Malformed(String),
    /// The signature does not belong to the transaction.
    #[error("bad signature: {0}")]
    Signature(String),
    /// The transaction is for another chain.
    #[error("signed for chain {found}, this is chain {expected}")]
    ChainId {
        /// The chain in the transaction.
        found: u64,
        /// The chain of the block.
        expected: u64,
    },
    /// No registered machine has this kind byte.
    #[error("no machine with the kind {0}")]
    UnknownMachine(MachineKind),
}

/// What the transactions of one machine used so far in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// In the machine's own gas, as paid for.
    pub gas_used: u64,
    /// As metered by the kernel.
    pub used: Resources,
}

impl Totals {
    /// Adds a transaction.
    pub fn add(&mut self, receipt: &Receipt) {
        self.gas_used = self.gas_used.saturating_add(receipt.gas_used);
        self.used.add(&receipt.used);
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transacted {
    /// It belongs in the block, whether it succeeded or not. The kernel fills
    /// in [`Receipt::used`].
    Included(Receipt),
    /// It may not be in the block at this place. It has no effects.
    Invalid(Invalid),
}

/// Effects and receipt of an included transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionOutput {
    /// What it reads, writes, adds and emits.
    pub effects: Effects,
    /// What became of it.
    pub receipt: Receipt,
}

/// What executing a transaction gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It belongs in the block.
    Included(TransactionOutput),
    /// It may not be in the block at this place.
    Invalid {
        /// Why.
        invalid: Invalid,
        /// What the verdict relies on; nothing is written.
        relied: Effects,
    },
}

/// What a machine hands out at the end of a block besides effects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndOfBlock {
    /// Requests to the world outside, in the machine's own encoding, such as
    /// [EIP-7685](https://eips.ethereum.org/EIPS/eip-7685)'s.
    pub requests: Vec<Bytes>,
}
