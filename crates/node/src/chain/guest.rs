//! Machines other than Ethereum's, as far as a chain has to know them.
//!
//! The chain is Ethereum's in its form: header, hash, base fee. What else of a
//! machine cannot be told from its [`Machine`](polity_kernel::Machine) is a
//! [`Guest`]: how its transactions are told apart, stored and found again, and
//! what it wants to know of a block.

use std::{fmt, sync::Arc};

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use polity_evm::{Evm, spec::ChainSpec};
use polity_kernel::{
    BlockContext, DecodeError, Decoded, Inputs, Machines, RegistrationError, TransactionOutput,
    View, ViewError,
};
use polity_state::{Changes, StateError};
use polity_types::{AccountId, Event, MachineKind, Receipt};

/// How many ancestors of a block its guests are told of, at most.
pub const ANCESTORS: usize = 512;

/// A machine beside Ethereum's on a chain.
///
/// Whatever it answers depends on nothing but what it is asked with: a block is
/// executed again by whoever wants to see it, and has to come out the same.
pub trait Guest: Send + Sync {
    /// The byte of the machine. All the chain's transactions with this byte are
    /// the guest's.
    fn kind(&self) -> MachineKind;

    /// Adds the machine to those of a chain.
    ///
    /// # Errors
    /// Another machine has the same byte.
    fn register(&self, machines: Machines) -> Result<Machines, RegistrationError>;

    /// Decodes and authenticates what a client sends.
    ///
    /// # Errors
    /// The bytes are no transaction, or the signatures are not good.
    fn decode(&self, raw: &[u8]) -> Result<Decoded, DecodeError>;

    /// Decodes a transaction of a stored block. It was authenticated before it
    /// came there, or a power of development took it in without.
    ///
    /// # Errors
    /// The bytes are no transaction.
    fn restore(&self, raw: &[u8]) -> Result<Decoded, DecodeError>;

    /// Adds what the machine needs to know of the block with this header: its
    /// parent, height, time, beneficiary, randomness and limits. What only
    /// execution tells (roots, gas used, extra data) is not known yet when the
    /// block is built, and is there when it is executed again. `ancestors` are
    /// the hashes of the blocks before it, its parent's first, at most
    /// [`ANCESTORS`].
    fn input(&self, inputs: Inputs, header: &Header, ancestors: &Arc<[B256]>) -> Inputs;

    /// Adds what the chain's first block puts into the machine's address space:
    /// what it is built of, and what its funded accounts hold. It is part of what
    /// tells a chain from others, where `header` has the time zero.
    ///
    /// # Errors
    /// The state cannot hold it.
    fn genesis(&self, header: &Header, changes: &mut Changes) -> Result<(), StateError>;

    /// The accounts by which a transaction in a block is to be found again.
    fn addresses(&self, included: &IncludedGuest) -> Vec<AccountId>;

    /// What the machine's front door wants to know of an executed transaction
    /// later and the receipt does not say, such as balances before and after it.
    /// Both views are of the block under construction, and whatever is read from
    /// them is nothing that the execution relies on.
    ///
    /// # Errors
    /// The state failed.
    fn supplement(
        &self,
        transaction: &Decoded,
        output: &TransactionOutput,
        before: &dyn View,
        after: &dyn View,
    ) -> Result<Vec<u8>, ViewError>;

    /// An account of the machine's as its own tools write it.
    fn write_account(&self, account: &AccountId) -> String {
        account.address.to_string()
    }

    /// The hash of the transaction that the machine's own tools know by this text; `None`
    /// where it is none of theirs.
    fn read_transaction(&self, _text: &str) -> Option<B256> {
        None
    }

    /// For how many blocks a transaction waits for one that takes it.
    fn expires(&self) -> u64;
}

/// The guests of a chain, in the order of registration.
#[derive(Clone, Default)]
pub struct Guests(Arc<[Arc<dyn Guest>]>);

impl Guests {
    /// Adds a guest.
    #[must_use]
    pub fn with(self, guest: impl Guest + 'static) -> Self {
        let guest: Arc<dyn Guest> = Arc::new(guest);
        Self(self.0.iter().cloned().chain([guest]).collect())
    }

    /// The guest with this byte.
    pub fn get(&self, kind: MachineKind) -> Option<&dyn Guest> {
        self.iter().find(|guest| guest.kind() == kind)
    }

    /// All guests, in the order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Guest> {
        self.0.iter().map(|guest| &**guest)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The machines of a chain with these guests: Ethereum's first.
    ///
    /// # Errors
    /// Two of them have the same byte.
    pub fn machines(&self, spec: &ChainSpec) -> Result<Machines, RegistrationError> {
        let machines = Machines::default().with(Evm::new(spec.clone()))?;
        self.iter().try_fold(machines, |machines, guest| guest.register(machines))
    }

    /// What the first block puts into the guests' address spaces.
    pub(super) fn genesis(&self, header: &Header, changes: &mut Changes) -> Result<(), StateError> {
        self.iter().try_for_each(|guest| guest.genesis(header, changes))
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Guest::kind)).finish()
    }
}

/// What the guests of a chain are told of a block: they themselves, and the
/// block's ancestors.
#[derive(Clone, Debug)]
pub struct Company {
    /// The guests.
    pub guests: Guests,
    /// The hashes of the blocks before, the parent's first.
    pub ancestors: Arc<[B256]>,
}

impl Default for Company {
    fn default() -> Self {
        Self { guests: Guests::default(), ancestors: Arc::new([]) }
    }
}

impl Company {
    /// Adds the guests' inputs to the context of the block with this header.
    #[must_use]
    pub fn join(&self, mut context: BlockContext, header: &Header) -> BlockContext {
        let inputs = std::mem::take(&mut context.inputs);
        let input = |inputs, guest: &dyn Guest| guest.input(inputs, header, &self.ancestors);
        context.inputs = self.guests.iter().fold(inputs, input);
        context
    }
}

/// A transaction of a guest.
#[derive(Clone, Debug)]
pub struct GuestTransaction {
    /// As the kernel executes it.
    pub decoded: Decoded,
    /// As its sender wrote it.
    pub raw: Bytes,
}

impl GuestTransaction {
    /// The machine.
    pub const fn kind(&self) -> MachineKind {
        self.decoded.machine
    }

    /// The hash by which the chain knows it.
    pub const fn hash(&self) -> B256 {
        self.decoded.hash
    }
}

/// A guest's transaction in a block.
#[derive(Clone, Debug)]
pub struct IncludedGuest {
    /// The transaction.
    pub transaction: Arc<GuestTransaction>,
    /// Its index among the block's transactions of all machines.
    pub index: u32,
    /// What became of it.
    pub receipt: Receipt,
    /// What it told the world.
    pub events: Vec<Event>,
    /// What its machine's front door keeps besides ([`Guest::supplement`]).
    pub supplement: Bytes,
}
