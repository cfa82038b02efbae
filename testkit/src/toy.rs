//! Toy machines: their contracts and transactions are lists of host operations.
//!
//! A [`Toy`] can be registered any number of times with different kinds. Its transaction
//! ([`ToyTransaction`]), the input of a call to it and the code of its contracts are all a
//! [`Program`], a list of [`Op`]s. A program records what it [sees](Seen) into the output of its
//! frame, so that a test can compare what was read and not only what came of it.
//!
//! | status of a frame | when |
//! | --- | --- |
//! | success | the program ran to its end |
//! | reverted | [`Op::Revert`] |
//! | failed: `Failed` | [`Op::Fail`] |
//! | failed: `BadProgram` | the input is no program |
//! | failed: `NoSuchMeter` | [`Op::Charge`] or [`Op::Drain`] names a meter that is none |
//! | failed: `Nesting` | [`Op::Attempt`] is nested deeper than [`MAX_NESTING`] |
//! | failed: `ReadOnly` | a change in a read-only frame, unless [unruly](Toy::unruly) |
//! | failed: `Border` | a change of a foreign account, unless [unruly](Toy::unruly) |
//! | failed: `InsufficientBalance` | [`Op::Burn`] of more than there is |

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use alloy_primitives::keccak256;
use borsh::{BorshDeserialize, BorshSerialize};
use polity_kernel::{
    Account, BlockContext, Call, Code, DecodeError, Decoded, EndOfBlock, Halt, Hint, Host, Invalid,
    Machine, Outcome, Session, Totals, Transacted, TransactionOutput,
};
use polity_types::{
    AccountId, B256, Bytes, CodeRef, Event, LocalKey, MachineKind, Meter, Receipt, Resources,
    Status, U256, Value,
};

/// How deep [`Op::Attempt`]s may be nested in one frame.
pub const MAX_NESTING: usize = 8;

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
    /// What it is asked.
    pub input: Program,
}

impl Invocation {
    /// A call with all resources and no value.
    pub const fn new(target: AccountId, input: Program) -> Self {
        let limit = Resources::UNLIMITED;
        Self { target, value: U256::ZERO, limit, read_only: false, input }
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

/// A transaction of a toy machine. Nobody signs it: the sender is taken at its word.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ToyTransaction {
    /// Who sends it: an account of the machine.
    pub sender: AccountId,
    /// The sender's sequence number, which the transaction raises by 1.
    pub sequence: u64,
    /// What the sender pays to the block's beneficiary, whatever becomes of the program.
    pub fee: U256,
    /// What it takes of the block's limit ([`ToyBlock::gas_limit`]); nothing else looks at it.
    pub gas_limit: u64,
    /// What it does.
    pub program: Program,
}

impl ToyTransaction {
    /// A transaction without a fee.
    pub fn new(sender: AccountId, sequence: u64, ops: &[Op]) -> Self {
        let program = Program::new(ops);
        Self { sender, sequence, fee: U256::ZERO, gas_limit: 0, program }
    }

    /// Pays a fee.
    #[must_use]
    pub fn fee(mut self, fee: u64) -> Self {
        self.fee = U256::from(fee);
        self
    }

    /// Its encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A vector takes all that it is given.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// The form in which the kernel executes it: what [`Machine::decode`] gives for its encoding.
    /// The accounts that the program names on its outermost level are the hints.
    pub fn decoded(self) -> Decoded {
        let hash = keccak256(self.encode());
        let (sender, sequence, gas_limit) = (self.sender, self.sequence, self.gas_limit);
        let ops = self.program.ops().unwrap_or_default();
        let hints = ops.iter().filter_map(hint).collect();
        Decoded::new(sender.machine, hash, sender, sequence, gas_limit, self).with_hints(hints)
    }
}

fn hint(op: &Op) -> Option<Hint> {
    match op {
        Op::ReadSlot { account, key } | Op::WriteSlot { account, key, .. } => {
            Some(Hint { account: *account, key: Some(slot_key(*key)) })
        }
        Op::Transfer { to, .. } => Some(Hint { account: *to, key: None }),
        Op::Call(call) => Some(Hint { account: call.target, key: None }),
        _ => None,
    }
}

/// What a toy machine needs to know of a block; it travels in [`BlockContext::inputs`]. Without it
/// the machine does nothing at a block's begin and end and knows no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToyBlock {
    /// The most gas that the machine's transactions may take together.
    pub gas_limit: u64,
    /// What runs before the first transaction.
    pub begin: Program,
    /// What runs after the last transaction; its output is the only request.
    pub end: Program,
}

/// A toy machine.
#[derive(Clone, Copy, Debug)]
pub struct Toy {
    kind: MachineKind,
    unruly: bool,
}

impl Toy {
    /// A machine that keeps to the rules: a change that a program may not make fails its frame.
    pub const fn new(kind: MachineKind) -> Self {
        Self { kind, unruly: false }
    }

    /// A machine that tries every change on the kernel.
    pub const fn unruly(kind: MachineKind) -> Self {
        Self { kind, unruly: true }
    }

    /// The account that programs at a block's begin and end call from.
    pub const fn system(&self) -> AccountId {
        AccountId::new(self.kind, B256::ZERO)
    }
}

/// The key of a slot.
pub fn slot_key(key: u64) -> LocalKey {
    LocalKey::storage(U256::from(key))
}

/// An account of a toy machine.
pub fn account(kind: MachineKind, number: u8) -> AccountId {
    AccountId::new(kind, B256::with_last_byte(number))
}

#[derive(Default)]
struct ToySession {
    transient: BTreeMap<u8, u64>,
    later: Vec<Event>,
    undo: Vec<Undo>,
}

enum Undo {
    Transient(u8, u64),
    Later,
}

impl Session for ToySession {
    fn mark(&mut self) -> u64 {
        self.undo.len() as u64
    }

    fn revert(&mut self, mark: u64) {
        while self.undo.len() as u64 > mark {
            match self.undo.pop() {
                Some(Undo::Transient(key, value)) => self.put(key, value),
                Some(Undo::Later) => {
                    self.later.pop();
                }
                None => {}
            }
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl ToySession {
    fn of(host: &mut dyn Host) -> Result<&mut Self, Halt> {
        let session = host.session().get_or_insert_with(|| Box::new(Self::default()));
        (&mut **session as &mut dyn Any)
            .downcast_mut()
            .ok_or_else(|| Halt::Fault("the session is of another machine".into()))
    }

    fn put(&mut self, key: u8, value: u64) {
        if value == 0 {
            self.transient.remove(&key);
        } else {
            self.transient.insert(key, value);
        }
    }

    fn get(&self, key: u8) -> u64 {
        self.transient.get(&key).copied().unwrap_or_default()
    }
}

/// A frame of a toy machine.
struct Frame<'a> {
    toy: Toy,
    account: AccountId,
    seen: &'a mut Vec<Seen>,
    nesting: usize,
}

/// Ends a program before its end.
enum Stop {
    Status(Status),
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

fn failed(reason: &str) -> Stop {
    Stop::Status(Status::Failed(reason.into()))
}

fn meter(place: u8) -> Result<Meter, Stop> {
    Meter::ALL.get(usize::from(place)).copied().ok_or_else(|| failed("NoSuchMeter"))
}

impl Frame<'_> {
    fn run(&mut self, program: &Program, host: &mut dyn Host) -> Result<Status, Halt> {
        let Some(ops) = program.ops() else { return Ok(Status::Failed("BadProgram".into())) };
        for op in ops {
            match self.step(op, host) {
                Ok(()) => {}
                Err(Stop::Status(status)) => return Ok(status),
                Err(Stop::Halt(halt)) => return Err(halt),
            }
        }
        Ok(Status::Success)
    }

    fn see(&mut self, seen: Seen) -> Result<(), Stop> {
        self.seen.push(seen);
        Ok(())
    }

    /// Looks an account up that is going to be changed.
    fn own(&self, id: &AccountId, host: &mut dyn Host) -> Result<Account, Stop> {
        self.changes(host)?;
        if !self.toy.unruly && id.machine != self.toy.kind {
            return Err(failed("Border"));
        }
        Ok(host.account(id)?)
    }

    fn changes(&self, host: &dyn Host) -> Result<(), Stop> {
        if !self.toy.unruly && host.is_read_only() {
            return Err(failed("ReadOnly"));
        }
        Ok(())
    }

    fn step(&mut self, op: Op, host: &mut dyn Host) -> Result<(), Stop> {
        host.charge(Meter::Compute, 1)?;
        match op {
            Op::ReadSlot { .. }
            | Op::ReadBalance(_)
            | Op::ReadSequence(_)
            | Op::ReadCode(_)
            | Op::ReadExistence(_)
            | Op::ReadEmptiness(_)
            | Op::ReadBlockHash(_)
            | Op::ReadLeft
            | Op::ReadTransient(_) => {
                let seen = look(op, host)?;
                self.see(seen)
            }
            Op::Transfer { .. }
            | Op::Burn { .. }
            | Op::Mint { .. }
            | Op::Debit { .. }
            | Op::Credit { .. } => self.pay(op, host),
            Op::Attempt { .. } | Op::AttemptTwice(..) => self.attempt(op, host),
            Op::Call(call) => self.call(call, host),
            other => self.change(other, host),
        }
    }

    fn pay(&mut self, op: Op, host: &mut dyn Host) -> Result<(), Stop> {
        match op {
            Op::Transfer { from, to, amount } => {
                let from = self.own(&from, host)?;
                let to = host.account(&to)?;
                let paid = host.debit(from, amount)?;
                if paid {
                    host.credit(to, amount)?;
                }
                self.see(Seen::Flag(paid))
            }
            Op::Burn { from, amount } => {
                let from = self.own(&from, host)?;
                if !host.debit(from, amount)? {
                    return Err(failed("InsufficientBalance"));
                }
                Ok(host.burn(amount)?)
            }
            Op::Mint { to, amount } => {
                self.changes(host)?;
                let to = host.account(&to)?;
                host.mint(amount)?;
                Ok(host.credit(to, amount)?)
            }
            Op::Debit { from, amount } => {
                let from = self.own(&from, host)?;
                let paid = host.debit(from, amount)?;
                self.see(Seen::Flag(paid))
            }
            Op::Credit { to, amount } => {
                self.changes(host)?;
                let to = host.account(&to)?;
                Ok(host.credit(to, amount)?)
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, op: Op, host: &mut dyn Host) -> Result<(), Stop> {
        match op {
            Op::WriteSlot { account, key, value } => {
                let account = self.own(&account, host)?;
                let value = match value {
                    Value::Empty => Value::Empty,
                    Value::Word(word) => Value::word(word),
                    Value::Bytes(bytes) => Value::bytes(bytes),
                };
                host.write(account, &slot_key(key), value)?;
            }
            Op::ResetStorage(account) => {
                let account = self.own(&account, host)?;
                host.reset_storage(account)?;
            }
            Op::SetSequence { account, sequence } => {
                let account = self.own(&account, host)?;
                host.set_sequence(account, sequence)?;
            }
            Op::SetCode { account, code } => {
                let account = self.own(&account, host)?;
                let code = code.map(|(machine, bytes)| {
                    let hash = keccak256(&bytes);
                    (CodeRef { machine, hash }, Arc::new(Code::new(bytes)))
                });
                host.set_code(account, code)?;
            }
            Op::SetExistence { account, exists } => {
                let account = self.own(&account, host)?;
                host.set_existence(account, exists)?;
            }
            Op::Emit(data) => {
                self.changes(host)?;
                host.emit(Event { emitter: self.account, topics: Vec::new(), data })?;
            }
            Op::EmitLater(data) => {
                // The kernel cannot see a session: this border is the machine's own.
                if host.is_read_only() {
                    return Err(failed("ReadOnly"));
                }
                let event = Event { emitter: self.account, topics: Vec::new(), data };
                let session = ToySession::of(host)?;
                session.later.push(event);
                session.undo.push(Undo::Later);
            }
            Op::WriteTransient { key, value } => {
                if host.is_read_only() {
                    return Err(failed("ReadOnly"));
                }
                let session = ToySession::of(host)?;
                session.undo.push(Undo::Transient(key, session.get(key)));
                session.put(key, value);
            }
            Op::Charge { meter: place, amount } => host.charge(meter(place)?, amount)?,
            Op::Drain { meter: place } => {
                let meter = meter(place)?;
                let left = host.left().get(meter);
                host.charge(meter, left)?;
            }
            Op::Revert => return Err(Stop::Status(Status::Reverted)),
            _ => return Err(failed("Failed")),
        }
        Ok(())
    }

    fn attempt(&mut self, op: Op, host: &mut dyn Host) -> Result<(), Stop> {
        if self.nesting == MAX_NESTING {
            return Err(failed("Nesting"));
        }
        let checkpoint = host.checkpoint();
        let (first, second, keep) = match op {
            Op::Attempt { program, keep } => (program, None, keep),
            Op::AttemptTwice(first, second) => (first, Some(second), false),
            _ => return Ok(()),
        };
        for program in [Some(first), second].into_iter().flatten() {
            self.nesting += 1;
            let status = self.run(&program, host);
            self.nesting -= 1;
            let status = status?;
            if !(keep && status.is_success()) {
                host.revert(checkpoint.clone());
            }
            self.see(Seen::Attempted(status))?;
        }
        Ok(())
    }

    fn call(&mut self, call: Invocation, host: &mut dyn Host) -> Result<(), Stop> {
        let outcome = host.call(Call {
            caller: self.account,
            target: call.target,
            value: call.value,
            input: call.input.0,
            limit: call.limit,
            read_only: call.read_only,
        })?;
        self.see(Seen::Called { status: outcome.status, output: outcome.output })
    }
}

/// An operation that only looks.
fn look(op: Op, host: &mut dyn Host) -> Result<Seen, Stop> {
    Ok(match op {
        Op::ReadSlot { account, key } => {
            let account = host.account(&account)?;
            Seen::Value(host.read(account, &slot_key(key))?)
        }
        Op::ReadBalance(account) => {
            let account = host.account(&account)?;
            Seen::Amount(host.balance(account)?)
        }
        Op::ReadSequence(account) => {
            let account = host.account(&account)?;
            Seen::Number(host.sequence(account)?)
        }
        Op::ReadCode(account) => {
            let account = host.account(&account)?;
            Seen::Code(host.code(account)?)
        }
        Op::ReadExistence(account) => {
            let account = host.account(&account)?;
            host.rely_existence(account)?;
            Seen::Flag(host.original(account)?.is_some())
        }
        Op::ReadEmptiness(account) => {
            let account = host.account(&account)?;
            host.rely_emptiness(account)?;
            Seen::Flag(host.original(account)?.unwrap_or_default().is_empty())
        }
        Op::ReadBlockHash(number) => Seen::Hash(host.block_hash(number)?),
        Op::ReadTransient(key) => Seen::Number(ToySession::of(host)?.get(key)),
        _ => Seen::Number(host.left().compute),
    })
}

impl Toy {
    /// Runs a program in the name of an account.
    fn run(
        &self,
        account: AccountId,
        program: &Program,
        host: &mut dyn Host,
    ) -> Result<Outcome, Halt> {
        let mut seen = Vec::new();
        let mut frame = Frame { toy: *self, account, seen: &mut seen, nesting: 0 };
        let status = frame.run(program, host)?;
        Ok(Outcome { status, output: Seen::output(&seen) })
    }

    /// Runs what the machine does at a block's begin or end.
    fn run_block(&self, program: &Program, host: &mut dyn Host) -> Result<Option<Bytes>, Halt> {
        if program.0.is_empty() {
            return Ok(None);
        }
        let outcome = self.run(self.system(), program, host)?;
        if outcome.status.is_success() {
            return Ok(Some(outcome.output));
        }
        Err(Halt::Fault(format!("the program of the block: {:?}", outcome.status)))
    }
}

fn invalid(code: &'static str, reason: String) -> Transacted {
    Transacted::Invalid(Invalid { code, reason })
}

impl Machine for Toy {
    fn kind(&self) -> MachineKind {
        self.kind
    }

    fn name(&self) -> &'static str {
        "toy"
    }

    fn decode(&self, raw: &[u8], _: &BlockContext) -> Result<Decoded, DecodeError> {
        let tx: ToyTransaction =
            borsh::from_slice(raw).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if tx.sender.machine != self.kind {
            return Err(DecodeError::Signature(format!("{} is of another machine", tx.sender)));
        }
        Ok(tx.decoded())
    }

    fn admit(&self, tx: &Decoded, used: &Totals, block: &BlockContext) -> Result<(), Invalid> {
        let Some(limits) = block.inputs.get::<ToyBlock>(self.kind) else { return Ok(()) };
        let left = limits.gas_limit.saturating_sub(used.gas_used);
        if tx.gas_limit > left {
            let reason = format!("takes {} of the {left} left in the block", tx.gas_limit);
            return Err(Invalid { code: "BLOCK_FULL", reason });
        }
        Ok(())
    }

    fn begin_block(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let Some(block) = host.block().inputs.get::<ToyBlock>(self.kind).cloned() else {
            return Ok(());
        };
        self.run_block(&block.begin, host).map(drop)
    }

    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt> {
        let tx: &ToyTransaction = tx
            .payload()
            .ok_or_else(|| Halt::Fault("a transaction of another machine came here".into()))?;
        let sender = host.account(&tx.sender)?;
        let sequence = host.sequence(sender)?;
        let next = sequence.checked_add(1);
        let Some(next) = next.filter(|_| sequence == tx.sequence) else {
            let reason = format!("has the sequence number {}, not {sequence}", tx.sequence);
            return Ok(invalid("SEQUENCE", reason));
        };
        if !tx.fee.is_zero() {
            if !host.debit(sender, tx.fee)? {
                return Ok(invalid("FUNDS", format!("{} cannot pay {}", tx.sender, tx.fee)));
            }
            let beneficiary = host.block().beneficiary;
            let beneficiary = host.account(&beneficiary)?;
            host.credit(beneficiary, tx.fee)?;
        }
        host.set_sequence(sender, next)?;
        let checkpoint = host.checkpoint();
        let before = host.left().compute;
        let outcome = self.run(tx.sender, &tx.program, host)?;
        if !outcome.status.is_success() {
            host.revert(checkpoint);
        }
        Ok(Transacted::Included(Receipt {
            machine: self.kind,
            status: outcome.status,
            gas_used: before.saturating_sub(host.left().compute),
            used: Resources::default(),
            output: outcome.output,
            created: None,
        }))
    }

    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
        let program = if call.input.is_empty() {
            let target = host.account(&call.target)?;
            match host.code(target)? {
                Some(code) => Program(host.code_by_hash(&code.hash)?.bytes().clone()),
                None => Program::new(&[]),
            }
        } else {
            Program(call.input)
        };
        self.run(call.target, &program, host)
    }

    fn settle(&self, host: &mut dyn Host) -> Result<(), Halt> {
        for event in core::mem::take(&mut ToySession::of(host)?.later) {
            host.emit(event)?;
        }
        Ok(())
    }

    fn end_block(&self, _: &[TransactionOutput], host: &mut dyn Host) -> Result<EndOfBlock, Halt> {
        let Some(block) = host.block().inputs.get::<ToyBlock>(self.kind).cloned() else {
            return Ok(EndOfBlock::default());
        };
        let output = self.run_block(&block.end, host)?;
        Ok(EndOfBlock { requests: output.into_iter().collect() })
    }
}
