//! Runs programs.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use alloy_primitives::keccak256;
use polity_kernel::{Account, Call, Code, Halt, Host, Session};
use polity_types::{AccountId, AssetId, CodeRef, Event, MachineKind, Meter, Status, U256, Value};

use super::{Invocation, Op, Program, Seen, slot_key};

/// How deep [`Op::Attempt`]s may be nested in one frame.
pub const MAX_NESTING: usize = 8;

#[derive(Default)]
pub(super) struct ToySession {
    transient: BTreeMap<u8, u64>,
    pub(super) later: Vec<Event>,
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
    pub(super) fn of(host: &mut dyn Host) -> Result<&mut Self, Halt> {
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
pub(super) struct Frame<'a> {
    kind: MachineKind,
    unruly: bool,
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

impl<'a> Frame<'a> {
    /// A frame in the name of an account of the machine, which writes down what it sees.
    pub(super) const fn new(
        kind: MachineKind,
        unruly: bool,
        account: AccountId,
        seen: &'a mut Vec<Seen>,
    ) -> Self {
        Self { kind, unruly, account, seen, nesting: 0 }
    }

    /// Runs a program to its end.
    pub(super) fn run(&mut self, program: &Program, host: &mut dyn Host) -> Result<Status, Halt> {
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
        if !self.unruly && id.machine != self.kind {
            return Err(failed("Border"));
        }
        Ok(host.account(id)?)
    }

    fn changes(&self, host: &dyn Host) -> Result<(), Stop> {
        if !self.unruly && host.is_read_only() {
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
            Op::SendAsset { asset, from, to, amount } => {
                self.own(&from, host)?;
                let sent = host.transfer(AssetId(asset), &from, &to, amount)?;
                self.see(Seen::Flag(sent.is_ok()))
            }
            Op::AddSlot { account, key, word } => {
                let owner = self.own(&account, host)?;
                let sum = host.read(owner, &slot_key(key))?.as_word().unwrap_or_default();
                let sum = Value::word(sum.wrapping_add(U256::from(word)));
                host.write(owner, &slot_key(key), sum.clone())?;
                self.see(Seen::Value(sum))
            }
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
            payer: self.account,
            input: call.input.0,
            limit: call.limit,
            read_only: call.read_only,
            delegate: call.delegate,
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
