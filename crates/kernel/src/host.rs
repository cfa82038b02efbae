use crate::{BlockContext, Call, Checkpoint, Code, Halt, Ledger, Outcome, Trace};
use alloc::{boxed::Box, sync::Arc};
use core::any::Any;
use polity_types::{
    AccountId, AccountRecord, B256, CodeRef, Event, LocalKey, Meter, Resources, U256, Value,
};

/// An account of the current transaction: a small number that stands for the
/// 33 bytes of its [`AccountId`]. Valid until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub(crate) u32);

impl Account {
    /// The number, for machines that keep handles in tables of their own.
    pub const fn index(self) -> u32 {
        self.0
    }

    /// The account with this number. A number that was not handed out in this
    /// transaction is a [`Halt::Fault`] where it is used.
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// What a machine keeps for one transaction, such as warm sets or transient
/// storage. It takes part in the kernel's checkpoints.
pub trait Session: Any {
    /// A mark to which [`Session::revert`] can go back.
    fn mark(&mut self) -> u64;

    /// Undoes everything since the mark.
    fn revert(&mut self, mark: u64);

    /// Forgets the transaction; buffers may be kept for the next one.
    fn clear(&mut self);

    /// Whether it holds nothing of a transaction, so that nothing is to be settled or
    /// forgotten.
    fn is_clear(&self) -> bool {
        false
    }
}

/// What a machine sees of the world while it executes.
///
/// **Reads and reliance.** [`Host::peek`] and [`Host::original`] show values
/// without noting that the execution depends on them, so that a machine can say
/// precisely on what it does: `rely_*`. The other reads note the exact value.
/// A machine that lets a peeked value influence anything must state its
/// reliance, or parallel execution will differ from sequential.
///
/// **Borders.** Cells of an account are written, and its balance debited, only
/// by the machine whose address space it is in, or where it delegated that to the
/// current frame ([`Call::delegate`]); anyone may credit.
pub trait Host: Ledger {
    /// The block that is being executed.
    fn block(&self) -> &BlockContext;

    /// Whether the current frame may change nothing.
    fn is_read_only(&self) -> bool;

    /// Looks an account up and returns its handle.
    fn account(&mut self, id: &AccountId) -> Result<Account, Halt>;

    /// Which account a handle stands for.
    fn id(&self, account: Account) -> Result<AccountId, Halt>;

    /// The account's cells as they are now, without reliance; `None` where it
    /// does not exist.
    fn peek(&self, account: Account) -> Result<Option<AccountRecord>, Halt>;

    /// The account's cells before the transaction, without reliance.
    fn original(&self, account: Account) -> Result<Option<AccountRecord>, Halt>;

    /// Relies on whether the account existed before the transaction.
    fn rely_existence(&mut self, account: Account) -> Result<(), Halt>;

    /// Relies on whether the account was empty or absent before the transaction
    /// ([EIP-161](https://eips.ethereum.org/EIPS/eip-161)).
    fn rely_emptiness(&mut self, account: Account) -> Result<(), Halt>;

    /// Relies on the sequence number before the transaction.
    fn rely_sequence(&mut self, account: Account) -> Result<(), Halt>;

    /// Relies on the code reference before the transaction.
    fn rely_code(&mut self, account: Account) -> Result<(), Halt>;

    /// Relies on `lo <= balance before the transaction <= hi`.
    fn rely_balance(&mut self, account: Account, lo: U256, hi: U256) -> Result<(), Halt>;

    /// Relies on whether the account can pay `amount` where a session says that it
    /// has `now`: "at least" or "less than" that much.
    fn rely_can_pay(&mut self, account: Account, now: &U256, amount: &U256) -> Result<(), Halt>;

    /// The exact balance now.
    fn balance(&mut self, account: Account) -> Result<U256, Halt>;

    /// The sequence number now.
    fn sequence(&mut self, account: Account) -> Result<u64, Halt>;

    /// The code reference now.
    fn code(&mut self, account: Account) -> Result<Option<CodeRef>, Halt>;

    /// The code with this hash.
    fn code_by_hash(&mut self, hash: &B256) -> Result<Arc<Code>, Halt>;

    /// The hash of an ancestor block.
    fn block_hash(&mut self, number: u64) -> Result<B256, Halt>;

    /// The value of a slot now.
    fn read(&mut self, account: Account, key: &LocalKey) -> Result<Value, Halt>;

    /// Sets a slot; [`Value::Empty`] deletes it.
    fn write(&mut self, account: Account, key: &LocalKey, value: Value) -> Result<(), Halt>;

    /// Empties all slots of the account.
    fn reset_storage(&mut self, account: Account) -> Result<(), Halt>;

    /// Sets the sequence number.
    fn set_sequence(&mut self, account: Account, sequence: u64) -> Result<(), Halt>;

    /// Sets the code; `None` removes it.
    fn set_code(
        &mut self,
        account: Account,
        code: Option<(CodeRef, Arc<Code>)>,
    ) -> Result<(), Halt>;

    /// Makes the account exist although empty, or removes it: code, sequence
    /// number and slots. A balance must have been debited before the
    /// transaction ends.
    fn set_existence(&mut self, account: Account, exists: bool) -> Result<(), Halt>;

    /// Adds to a balance. Relies on nothing; a balance that would pass 2^256 is
    /// a [`Halt::Fault`], for the supply is smaller.
    fn credit(&mut self, account: Account, amount: U256) -> Result<(), Halt>;

    /// Takes from a balance, or does nothing and returns `false` where it holds
    /// less. Relies on "at least `amount`", or on "less than `amount`".
    fn debit(&mut self, account: Account, amount: U256) -> Result<bool, Halt>;

    /// Makes balance and sequence number those of `record`, as [`Host::credit`] or
    /// [`Host::debit`] and [`Host::set_sequence`] do: how a session writes back what
    /// it holds. `false` where the code is another than the record's; nothing is then
    /// done.
    fn restate(&mut self, account: Account, record: &AccountRecord) -> Result<bool, Halt>;

    /// Destroys an amount that was debited.
    fn burn(&mut self, amount: U256) -> Result<(), Halt>;

    /// Creates an amount that is credited. Only at a block's begin and end.
    fn mint(&mut self, amount: U256) -> Result<(), Halt>;

    /// Makes an account of the machine's address space an alias: another name of
    /// `target`, which is another machine's, or an asset's. What the account held is
    /// from then on the target's.
    fn alias(&mut self, account: Account, target: &AccountId) -> Result<(), Halt>;

    /// Which account this one is an alias of, if it is one. Relies on the code.
    fn aliased(&mut self, account: Account) -> Result<Option<AccountId>, Halt>;

    /// Forbids, until the current frame of the kernel ends, or takes back, that the
    /// account is called once more while it waits for another machine's answer.
    fn lock(&mut self, account: &AccountId, locked: bool);

    /// Whether a frame around the current one has forbidden to call the account.
    fn is_locked(&self, account: &AccountId) -> bool;

    /// Emits an event.
    fn emit(&mut self, event: Event) -> Result<(), Halt>;

    /// Adds to a meter; fails where the frame's limit would be passed.
    fn charge(&mut self, meter: Meter, amount: u64) -> Result<(), Halt>;

    /// What the current frame may still use.
    fn left(&self) -> Resources;

    /// Marks the current state of journal, events and sessions.
    fn checkpoint(&mut self) -> Checkpoint;

    /// Undoes all since the checkpoint but what was used and relied on.
    fn revert(&mut self, checkpoint: Checkpoint);

    /// Calls another account on the machine that its code belongs to.
    fn call(&mut self, call: Call) -> Result<Outcome, Halt>;

    /// Whether somebody wants to see the call tree ([`Host::trace`]).
    fn is_traced(&self) -> bool {
        false
    }

    /// The call tree, where somebody wants to see it. What the kernel itself saw happen so
    /// far is in it.
    fn trace(&mut self) -> Option<&mut Trace> {
        None
    }

    /// The current machine's session. A machine may take it out while it runs
    /// and must put it back before it calls or returns.
    fn session(&mut self) -> &mut Option<Box<dyn Session>>;
}
