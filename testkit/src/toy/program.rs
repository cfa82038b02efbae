//! What programs are made of, and what they see.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use polity_types::{
    AccountId, B256, Bytes, CodeRef, MachineKind, Meter, Resources, Status, U256, Value,
};

/// A list of operations in its encoding, or any other bytes: the input of a call to another
/// machine.
#[derive(Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Program(pub Bytes);

impl Program {
    /// Encodes operations.
    pub fn new(ops: &[Op]) -> Self {
        let mut bytes = Vec::new();
        // A vector takes all that it is given.
        let _ = ops.serialize(&mut bytes);
        Self(bytes.into())
    }

    /// Decodes the operations; `None` where the bytes are no program.
    pub fn ops(&self) -> Option<Vec<Op>> {
        borsh::from_slice(&self.0).ok()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ops() {
            Some(ops) => ops.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

/// A call that a program makes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Invocation {
    /// Whom to call.
    pub target: AccountId,
    /// The native asset that goes along.
    pub value: U256,
    /// What the callee may use.
    pub limit: Resources,
    /// Whether the callee may change nothing.
    pub read_only: bool,
    /// Whether the callee may act in the caller's name.
    pub delegate: bool,
    /// What it is asked.
    pub input: Program,
}

impl Invocation {
    /// A call with all resources and no value.
    pub const fn new(target: AccountId, input: Program) -> Self {
        let limit = Resources::UNLIMITED;
        Self { target, value: U256::ZERO, limit, read_only: false, delegate: false, input }
    }

    /// A call of a contract of a toy machine with a program.
    pub fn program(target: AccountId, ops: &[Op]) -> Self {
        Self::new(target, Program::new(ops))
    }

    /// Sends the native asset along.
    #[must_use]
    pub fn value(mut self, value: u64) -> Self {
        self.value = U256::from(value);
        self
    }

    /// Limits the callee.
    #[must_use]
    pub const fn limit(mut self, limit: Resources) -> Self {
        self.limit = limit;
        self
    }

    /// Lets the callee act in the caller's name.
    #[must_use]
    pub const fn delegate(mut self) -> Self {
        self.delegate = true;
        self
    }

    /// Forbids the callee every change.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// One operation. Each charges [`Meter::Compute`] with 1 first.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Op {
    /// Sees a slot.
    ReadSlot {
        /// Whose.
        account: AccountId,
        /// The word that is its name.
        key: u64,
    },
    /// Sets a slot.
    WriteSlot {
        /// Whose.
        account: AccountId,
        /// The word that is its name.
        key: u64,
        /// The new value.
        value: Value,
    },
    /// Empties all slots.
    ResetStorage(AccountId),
    /// Sees the exact balance.
    ReadBalance(AccountId),
    /// Sees the sequence number.
    ReadSequence(AccountId),
    /// Sees the code reference.
    ReadCode(AccountId),
    /// Sees whether the account existed before the transaction.
    ReadExistence(AccountId),
    /// Sees whether the account was empty or absent before the transaction.
    ReadEmptiness(AccountId),
    /// Sees the hash of an ancestor block.
    ReadBlockHash(u64),
    /// Debits one account and, if that succeeds, credits another; sees whether it did.
    Transfer {
        /// Who pays: an account of the machine.
        from: AccountId,
        /// Who receives: any account.
        to: AccountId,
        /// How much.
        amount: U256,
    },
    /// Debits and burns.
    Burn {
        /// Who pays.
        from: AccountId,
        /// How much.
        amount: U256,
    },
    /// Mints and credits.
    Mint {
        /// Who receives.
        to: AccountId,
        /// How much.
        amount: U256,
    },
    /// Debits, and lets the amount vanish unless a [`Op::Credit`] takes it up; sees whether the
    /// balance sufficed.
    Debit {
        /// Who pays.
        from: AccountId,
        /// How much.
        amount: U256,
    },
    /// Credits, out of thin air unless a [`Op::Debit`] went before.
    Credit {
        /// Who receives.
        to: AccountId,
        /// How much.
        amount: U256,
    },
    /// Sets the sequence number.
    SetSequence {
        /// Whose.
        account: AccountId,
        /// The new number.
        sequence: u64,
    },
    /// Sets or removes the code.
    SetCode {
        /// Whose.
        account: AccountId,
        /// The new code and the machine that runs it; its hash is the keccak-256.
        code: Option<(MachineKind, Bytes)>,
    },
    /// Makes an account exist or not.
    SetExistence {
        /// Which.
        account: AccountId,
        /// Whether it exists from now on.
        exists: bool,
    },
    /// Emits an event in the name of the account whose frame it is.
    Emit(Bytes),
    /// Emits an event when the transaction is settled.
    EmitLater(Bytes),
    /// Charges a meter.
    Charge {
        /// The place of the meter in [`Meter::ALL`].
        meter: u8,
        /// How much.
        amount: u64,
    },
    /// Charges a meter with all that is left of it.
    Drain {
        /// The place of the meter in [`Meter::ALL`].
        meter: u8,
    },
    /// Sees how much compute is left, of which 1 was taken for this operation.
    ReadLeft,
    /// Sees a value of the machine's session.
    ReadTransient(u8),
    /// Sets a value of the machine's session.
    WriteTransient {
        /// Its name.
        key: u8,
        /// Its new value; zero deletes it.
        value: u64,
    },
    /// Runs a program in the same frame, and undoes what it did unless it ends well and `keep`.
    /// Sees the status.
    Attempt {
        /// The program.
        program: Program,
        /// Whether it is kept.
        keep: bool,
    },
    /// Runs two programs in the same frame, one after the other, and undoes both from the same
    /// checkpoint, each after it ran.
    AttemptTwice(Program, Program),
    /// Calls another account; sees the outcome.
    Call(Invocation),
    /// Ends the frame and undoes it.
    Revert,
    /// Ends the frame as a failure.
    Fail,
    /// Sends an asset of the ledger; sees whether the ledger did so.
    SendAsset {
        /// The asset.
        asset: B256,
        /// Who sends: an account of the machine.
        from: AccountId,
        /// Who receives: any account.
        to: AccountId,
        /// How much.
        amount: U256,
    },
    /// Adds a word to a slot, and sees the sum.
    AddSlot {
        /// Whose.
        account: AccountId,
        /// The word that is its name.
        key: u64,
        /// What is added.
        word: u64,
    },
}

impl Op {
    /// Sets a slot to a word.
    pub fn write(account: AccountId, key: u64, word: u64) -> Self {
        Self::WriteSlot { account, key, value: Value::word(U256::from(word)) }
    }

    /// Sees a slot.
    pub const fn read(account: AccountId, key: u64) -> Self {
        Self::ReadSlot { account, key }
    }

    /// Moves the native asset.
    pub fn transfer(from: AccountId, to: AccountId, amount: u64) -> Self {
        Self::Transfer { from, to, amount: U256::from(amount) }
    }

    /// Charges a meter.
    pub const fn charge(meter: Meter, amount: u64) -> Self {
        Self::Charge { meter: meter as u8, amount }
    }

    /// Calls a contract of a toy machine with a program.
    pub fn call(target: AccountId, ops: &[Self]) -> Self {
        Self::Call(Invocation::program(target, ops))
    }

    /// Runs operations and undoes them.
    pub fn undone(ops: &[Self]) -> Self {
        Self::Attempt { program: Program::new(ops), keep: false }
    }
}

/// What a program saw. The output of a frame is the list of what it saw, in order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Seen {
    /// The value of a slot.
    Value(Value),
    /// A balance.
    Amount(U256),
    /// A sequence number, what is left of a meter, or a value of the session.
    Number(u64),
    /// Whether something is so.
    Flag(bool),
    /// A code reference.
    Code(Option<CodeRef>),
    /// A block hash.
    Hash(B256),
    /// How an attempt ended.
    Attempted(Status),
    /// How a call ended.
    Called {
        /// Its status.
        status: Status,
        /// Its output.
        output: Bytes,
    },
}

impl Seen {
    /// The encoding of a list of these: a frame's output.
    pub fn output(seen: &[Self]) -> Bytes {
        let mut bytes = Vec::new();
        // A vector takes all that it is given.
        let _ = seen.serialize(&mut bytes);
        bytes.into()
    }

    /// Decodes a frame's output.
    pub fn list(output: &[u8]) -> Option<Vec<Self>> {
        borsh::from_slice(output).ok()
    }
}
