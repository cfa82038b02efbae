//! The kernel's meaning, written down as plainly as possible: an interpreter of toy programs that
//! copies the whole world when a frame opens and takes the copy back when it fails. No undo log, no
//! deltas, no reliance.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;
use polity_kernel::MAX_DEPTH;
use polity_testkit::{
    state::State,
    toy::{Invocation, MAX_NESTING, Op, Program, Seen, ToyTransaction, slot_key},
};
use polity_types::{
    AccountId, AccountRecord, B256, Bytes, CodeRef, Event, LocalKey, MachineKind, Meter, Resources,
    Status, U256, Value,
};

/// A machine: its kind, and whether it tries every change on the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    pub(crate) kind: MachineKind,
    pub(crate) unruly: bool,
}

/// What becomes of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A rule of the kernel is broken.
    Fault,
    /// The state lacks something.
    Missing,
    /// It may not be in a block, for this reason.
    Invalid(&'static str),
    /// It is in the block.
    Included(Box<Included>),
}

/// An included transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Included {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    pub(crate) status: Status,
    pub(crate) output: Bytes,
    pub(crate) gas_used: u64,
    /// Without what is only known at the end: writes and growth.
    pub(crate) used: Resources,
    pub(crate) burned: U256,
}

/// All that a failed frame undoes.
#[derive(Clone)]
struct World {
    records: BTreeMap<AccountId, AccountRecord>,
    existence: BTreeMap<AccountId, bool>,
    slots: BTreeMap<(AccountId, LocalKey), Value>,
    written: BTreeSet<(AccountId, LocalKey)>,
    reset: BTreeSet<AccountId>,
    transient: BTreeMap<(MachineKind, u8), u64>,
    later: BTreeMap<MachineKind, Vec<Event>>,
    events: Vec<Event>,
    minted: U256,
    burned: U256,
}

struct Frame {
    guest: Guest,
    account: AccountId,
    read_only: bool,
    limit: Resources,
    before: Resources,
}

enum Stop {
    Status(Status),
    Exhausted(Meter),
    Fault,
    Missing,
}

fn failed(reason: &str) -> Stop {
    Stop::Status(Status::Failed(reason.into()))
}

/// The interpreter during one transaction.
pub(crate) struct Naive<'a> {
    guests: &'a [Guest],
    beneficiary: AccountId,
    before: &'a State,
    world: World,
    frames: Vec<Frame>,
    // What no frame undoes.
    used: Resources,
    accounts: BTreeSet<AccountId>,
    fetched: BTreeSet<(AccountId, LocalKey)>,
    fetched_codes: BTreeSet<B256>,
    codes: BTreeMap<B256, Bytes>,
}

impl<'a> Naive<'a> {
    /// What becomes of `tx` on `state`.
    pub(crate) fn transact(
        guests: &'a [Guest],
        beneficiary: AccountId,
        state: &'a State,
        tx: &ToyTransaction,
        limit: Resources,
    ) -> Verdict {
        let world = World {
            records: state.accounts.clone(),
            existence: BTreeMap::new(),
            slots: state.slots.clone(),
            written: BTreeSet::new(),
            reset: BTreeSet::new(),
            transient: BTreeMap::new(),
            later: BTreeMap::new(),
            events: Vec::new(),
            minted: U256::ZERO,
            burned: U256::ZERO,
        };
        let mut naive = Naive {
            guests,
            beneficiary,
            before: state,
            world,
            frames: Vec::new(),
            used: Resources::default(),
            accounts: BTreeSet::new(),
            fetched: BTreeSet::new(),
            fetched_codes: BTreeSet::new(),
            codes: BTreeMap::new(),
        };
        naive.run_transaction(tx, limit).unwrap_or_else(|stop| match stop {
            Stop::Status(_) => unreachable!("a status ends a program, not a transaction"),
            Stop::Exhausted(_) => Verdict::Invalid("RESOURCES_EXHAUSTED"),
            Stop::Fault => Verdict::Fault,
            Stop::Missing => Verdict::Missing,
        })
    }

    fn run_transaction(&mut self, tx: &ToyTransaction, limit: Resources) -> Result<Verdict, Stop> {
        let guest = self.guest(tx.sender.machine).ok_or(Stop::Fault)?;
        let before = self.used;
        let account = tx.sender;
        self.frames.push(Frame { guest, account, read_only: false, limit, before });
        self.fetch(tx.sender)?;
        let sequence = self.record(tx.sender).sequence;
        if sequence != tx.sequence || sequence == u64::MAX {
            return Ok(Verdict::Invalid("SEQUENCE"));
        }
        if !tx.fee.is_zero() {
            if !self.debit(tx.sender, tx.fee) {
                return Ok(Verdict::Invalid("FUNDS"));
            }
            self.fetch(self.beneficiary)?;
            self.credit(self.beneficiary, tx.fee);
        }
        self.record_mut(tx.sender).sequence = sequence + 1;
        let saved = self.world.clone();
        let left = self.left().compute;
        let mut seen = Vec::new();
        let status = self.run(&tx.program, 0, &mut seen)?;
        if !status.is_success() {
            self.world = saved;
        }
        let gas_used = left - self.left().compute;
        self.frames.pop();
        for guest in self.guests {
            let later = self.world.later.remove(&guest.kind).unwrap_or_default();
            self.world.events.extend(later);
        }
        Ok(Verdict::Included(Box::new(Included {
            state: self.after().ok_or(Stop::Fault)?,
            events: self.world.events.clone(),
            status,
            output: Seen::output(&seen),
            gas_used,
            used: Resources { writes: 0, growth: 0, ..self.used },
            burned: self.world.burned,
        })))
    }

    /// The state after the transaction; `None` where it breaks a rule.
    fn after(&self) -> Option<State> {
        let mut state = State { slots: self.world.slots.clone(), ..self.before.clone() };
        state.accounts.clear();
        let mut sum = U256::ZERO;
        for (id, record) in &self.world.records {
            sum = sum.wrapping_add(record.balance);
            let existed = self.before.accounts.contains_key(id);
            let exists = self.world.existence.get(id).copied();
            if exists.unwrap_or(existed || !record.is_empty()) {
                state.accounts.insert(*id, *record);
            } else if !record.is_empty() {
                return None;
            }
        }
        for id in self.world.existence.iter().filter(|(_, exists)| **exists).map(|(id, _)| id) {
            state.accounts.entry(*id).or_default();
        }
        for code in state.accounts.values().filter_map(|record| record.code) {
            if let Some(bytes) = self.codes.get(&code.hash) {
                state.codes.insert(code.hash, bytes.clone());
            }
        }
        let before = self.before.accounts.values();
        let before = before.fold(U256::ZERO, |sum, record| sum.wrapping_add(record.balance));
        let made = self.world.minted.wrapping_sub(self.world.burned);
        (sum == before.wrapping_add(made)).then_some(state)
    }

    fn guest(&self, kind: MachineKind) -> Option<Guest> {
        self.guests.iter().find(|guest| guest.kind == kind).copied()
    }

    fn frame(&self) -> &Frame {
        self.frames.last().unwrap()
    }

    fn left(&self) -> Resources {
        let frame = self.frame();
        frame.limit.left(&self.used.left(&frame.before))
    }

    fn charge(&mut self, meter: Meter, amount: u64) -> Result<(), Stop> {
        let frame = self.frame();
        // A limit of all numbers is none.
        let most = frame.before.get(meter).saturating_add(frame.limit.get(meter));
        let wanted = self.used.get(meter).saturating_add(amount);
        *self.used.get_mut(meter) = wanted.min(most);
        if wanted > most { Err(Stop::Exhausted(meter)) } else { Ok(()) }
    }

    fn fetch(&mut self, account: AccountId) -> Result<(), Stop> {
        if self.accounts.insert(account) { self.charge(Meter::Reads, 1) } else { Ok(()) }
    }

    fn record(&self, account: AccountId) -> AccountRecord {
        self.world.records.get(&account).copied().unwrap_or_default()
    }

    fn record_mut(&mut self, account: AccountId) -> &mut AccountRecord {
        self.world.records.entry(account).or_default()
    }

    fn debit(&mut self, account: AccountId, amount: U256) -> bool {
        match self.record(account).balance.checked_sub(amount) {
            Some(rest) => {
                self.record_mut(account).balance = rest;
                true
            }
            None => false,
        }
    }

    fn credit(&mut self, account: AccountId, amount: U256) {
        self.record_mut(account).balance += amount;
        self.revive(account, !amount.is_zero());
    }

    /// Something was put in an account, which may have been removed before.
    fn revive(&mut self, account: AccountId, something: bool) {
        if something && self.world.existence.get(&account) == Some(&false) {
            self.world.existence.remove(&account);
        }
    }

    fn slot(&mut self, account: AccountId, key: u64) -> Result<Value, Stop> {
        let slot = (account, slot_key(key));
        let known = self.world.written.contains(&slot) || self.world.reset.contains(&account);
        if !known && self.fetched.insert(slot.clone()) {
            self.charge(Meter::Reads, 1)?;
        }
        Ok(self.world.slots.get(&slot).cloned().unwrap_or_default())
    }

    fn code(&mut self, hash: B256) -> Result<Bytes, Stop> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        let code = self.before.codes.get(&hash).cloned().ok_or(Stop::Missing)?;
        if self.fetched_codes.insert(hash) {
            self.charge(Meter::Reads, 1)?;
        }
        Ok(code)
    }

    /// The kernel's border: who may change an account.
    fn guard(&self, account: AccountId) -> Result<(), Stop> {
        self.guard_read_only()?;
        if account.machine == self.frame().guest.kind { Ok(()) } else { Err(Stop::Fault) }
    }

    fn guard_read_only(&self) -> Result<(), Stop> {
        if self.frame().read_only { Err(Stop::Fault) } else { Ok(()) }
    }

    /// The machine's own border, before the kernel's.
    fn own(&mut self, account: AccountId) -> Result<(), Stop> {
        self.changes()?;
        if !self.frame().guest.unruly && account.machine != self.frame().guest.kind {
            return Err(failed("Border"));
        }
        self.fetch(account)
    }

    fn changes(&self) -> Result<(), Stop> {
        if !self.frame().guest.unruly && self.frame().read_only {
            return Err(failed("ReadOnly"));
        }
        Ok(())
    }

    fn run(
        &mut self,
        program: &Program,
        nesting: usize,
        seen: &mut Vec<Seen>,
    ) -> Result<Status, Stop> {
        let Some(ops) = program.ops() else { return Ok(Status::Failed("BadProgram".into())) };
        for op in ops {
            match self.step(op, nesting, seen) {
                Ok(()) => {}
                Err(Stop::Status(status)) => return Ok(status),
                Err(stop) => return Err(stop),
            }
        }
        Ok(Status::Success)
    }

    fn step(&mut self, op: Op, nesting: usize, seen: &mut Vec<Seen>) -> Result<(), Stop> {
        self.charge(Meter::Compute, 1)?;
        match op {
            Op::ReadSlot { account, key } => {
                self.fetch(account)?;
                seen.push(Seen::Value(self.slot(account, key)?));
            }
            Op::ReadBalance(account) => {
                self.fetch(account)?;
                seen.push(Seen::Amount(self.record(account).balance));
            }
            Op::ReadSequence(account) => {
                self.fetch(account)?;
                seen.push(Seen::Number(self.record(account).sequence));
            }
            Op::ReadCode(account) => {
                self.fetch(account)?;
                seen.push(Seen::Code(self.record(account).code));
            }
            Op::ReadExistence(account) => {
                self.fetch(account)?;
                seen.push(Seen::Flag(self.before.accounts.contains_key(&account)));
            }
            Op::ReadEmptiness(account) => {
                self.fetch(account)?;
                let before = self.before.accounts.get(&account);
                seen.push(Seen::Flag(before.is_none_or(AccountRecord::is_empty)));
            }
            Op::ReadBlockHash(number) => {
                let hash = self.before.block_hashes.get(&number).ok_or(Stop::Missing)?;
                seen.push(Seen::Hash(*hash));
            }
            Op::ReadLeft => seen.push(Seen::Number(self.left().compute)),
            Op::ReadTransient(key) => {
                let key = (self.frame().guest.kind, key);
                let value = self.world.transient.get(&key).copied();
                seen.push(Seen::Number(value.unwrap_or_default()));
            }
            Op::WriteSlot { account, key, value } => {
                self.own(account)?;
                self.guard(account)?;
                let slot = (account, slot_key(key));
                self.world.written.insert(slot.clone());
                if value.is_empty() || value == Value::Word(U256::ZERO) {
                    self.world.slots.remove(&slot);
                } else {
                    self.world.slots.insert(slot, value);
                }
            }
            Op::ResetStorage(account) => {
                self.own(account)?;
                self.guard(account)?;
                self.reset(account);
            }
            Op::Transfer { from, to, amount } => {
                self.own(from)?;
                self.fetch(to)?;
                self.guard(from)?;
                let paid = self.debit(from, amount);
                if paid {
                    self.credit(to, amount);
                }
                seen.push(Seen::Flag(paid));
            }
            Op::Burn { from, amount } => {
                self.own(from)?;
                self.guard(from)?;
                if !self.debit(from, amount) {
                    return Err(failed("InsufficientBalance"));
                }
                self.world.burned += amount;
            }
            Op::Mint { to, .. } => {
                self.changes()?;
                self.fetch(to)?;
                return Err(Stop::Fault);
            }
            Op::Debit { from, amount } => {
                self.own(from)?;
                self.guard(from)?;
                seen.push(Seen::Flag(self.debit(from, amount)));
            }
            Op::Credit { to, amount } => {
                self.changes()?;
                self.fetch(to)?;
                self.guard_read_only()?;
                self.credit(to, amount);
            }
            Op::SetSequence { account, sequence } => {
                self.own(account)?;
                self.guard(account)?;
                self.record_mut(account).sequence = sequence;
                self.revive(account, sequence != 0);
            }
            Op::SetCode { account, code } => {
                self.own(account)?;
                self.guard(account)?;
                let code = code.map(|(machine, bytes)| {
                    let hash = keccak256(&bytes);
                    self.codes.insert(hash, bytes);
                    CodeRef { machine, hash }
                });
                self.record_mut(account).code = code;
                self.revive(account, code.is_some());
            }
            Op::SetExistence { account, exists } => {
                self.own(account)?;
                self.guard(account)?;
                if !exists {
                    let record = self.record_mut(account);
                    *record = AccountRecord { balance: record.balance, ..AccountRecord::default() };
                    self.reset(account);
                }
                self.world.existence.insert(account, exists);
            }
            Op::Emit(data) => {
                self.changes()?;
                self.guard_read_only()?;
                let event = self.event(data);
                self.world.events.push(event);
            }
            Op::EmitLater(data) => {
                if self.frame().read_only {
                    return Err(failed("ReadOnly"));
                }
                let (kind, event) = (self.frame().guest.kind, self.event(data));
                self.world.later.entry(kind).or_default().push(event);
            }
            Op::WriteTransient { key, value } => {
                if self.frame().read_only {
                    return Err(failed("ReadOnly"));
                }
                self.world.transient.insert((self.frame().guest.kind, key), value);
            }
            Op::Charge { meter, amount } => {
                let meter = Meter::ALL.get(usize::from(meter)).copied();
                self.charge(meter.ok_or_else(|| failed("NoSuchMeter"))?, amount)?;
            }
            Op::Drain { meter } => {
                let meter = Meter::ALL.get(usize::from(meter)).copied();
                let meter = meter.ok_or_else(|| failed("NoSuchMeter"))?;
                self.charge(meter, self.left().get(meter))?;
            }
            Op::Attempt { program, keep } => {
                if nesting == MAX_NESTING {
                    return Err(failed("Nesting"));
                }
                let saved = self.world.clone();
                let status = self.run(&program, nesting + 1, seen)?;
                if !(keep && status.is_success()) {
                    self.world = saved;
                }
                seen.push(Seen::Attempted(status));
            }
            Op::AttemptTwice(first, second) => {
                if nesting == MAX_NESTING {
                    return Err(failed("Nesting"));
                }
                for program in [first, second] {
                    let saved = self.world.clone();
                    let status = self.run(&program, nesting + 1, seen)?;
                    self.world = saved;
                    seen.push(Seen::Attempted(status));
                }
            }
            Op::Call(call) => {
                let (status, output) = self.call(call)?;
                seen.push(Seen::Called { status, output });
            }
            // The model has no ledger of issued assets.
            Op::SendAsset { .. } => return Err(failed("NoLedger")),
            Op::AddSlot { account, key, word } => {
                self.own(account)?;
                let sum = self.slot(account, key)?.as_word().unwrap_or_default();
                let sum = Value::word(sum.wrapping_add(U256::from(word)));
                self.step(Op::WriteSlot { account, key, value: sum.clone() }, nesting, seen)?;
                seen.push(Seen::Value(sum));
            }
            Op::Revert => return Err(Stop::Status(Status::Reverted)),
            Op::Fail => return Err(failed("Failed")),
        }
        Ok(())
    }

    fn reset(&mut self, account: AccountId) {
        self.world.reset.insert(account);
        self.world.slots.retain(|(owner, _), _| *owner != account);
    }

    fn event(&self, data: Bytes) -> Event {
        Event { emitter: self.frame().account, topics: Vec::new(), data }
    }

    fn call(&mut self, call: Invocation) -> Result<(Status, Bytes), Stop> {
        let failure = |reason: &str| Ok((Status::Failed(reason.into()), Bytes::new()));
        if self.frames.len() >= MAX_DEPTH {
            return failure("CallDepth");
        }
        let caller = self.frame().account;
        let read_only = call.read_only || self.frame().read_only;
        let limit = call.limit.min(&self.left());
        let saved = self.world.clone();
        self.fetch(call.target)?;
        let code = self.record(call.target).code;
        let kind = code.map_or(call.target.machine, |code| code.machine);
        if !call.value.is_zero() {
            if read_only {
                return failure("ValueInReadOnlyCall");
            }
            self.fetch(caller)?;
            if !self.debit(caller, call.value) {
                return failure("InsufficientBalance");
            }
            self.credit(call.target, call.value);
        }
        let Some(guest) = self.guest(kind) else {
            self.world = saved;
            return failure("NoMachineForTarget");
        };
        let before = self.used;
        self.frames.push(Frame { guest, account: call.target, read_only, limit, before });
        let mut seen = Vec::new();
        let ended = self.run_callee(call, &mut seen);
        self.frames.pop();
        let (status, output) = match ended {
            Ok(status) => (status, Seen::output(&seen)),
            Err(Stop::Exhausted(meter)) => {
                (Status::Failed(format!("OutOf:{}", meter.name())), Bytes::new())
            }
            Err(stop) => return Err(stop),
        };
        if !status.is_success() {
            self.world = saved;
        }
        Ok((status, output))
    }

    fn run_callee(&mut self, call: Invocation, seen: &mut Vec<Seen>) -> Result<Status, Stop> {
        self.charge(Meter::Frames, 1)?;
        let program = if call.input.0.is_empty() {
            match self.record(call.target).code {
                Some(code) => Program(self.code(code.hash)?),
                None => Program::new(&[]),
            }
        } else {
            call.input
        };
        self.run(&program, 0, seen)
    }
}
