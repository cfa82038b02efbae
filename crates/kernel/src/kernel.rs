mod assets;
mod watch;

use crate::{
    Account, BlockContext, Call, Code, Decoded, EndOfBlock, Executed, Halt, Host, Invalid, Ledger,
    Machine, Machines, Outcome, Session, Trace, Transacted, TransactionOutput, View, alias,
    journal::{Journal, Mark},
    trace,
};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, CodeRef, Delta, Effects, Event, LocalKey,
    MachineKind, Meter, Resources, Seen, U256, Value,
};

/// The most frames of the kernel's call stack: calls from machine to machine,
/// one inside the other. A machine's own calls have that machine's own limit.
pub const MAX_DEPTH: usize = 32;

/// What is being executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A machine's work at the begin or the end of a block, which may mint.
    System,
    /// A transaction.
    Transaction,
}

/// A place to which [`Host::revert`] can go back.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    journal: Mark,
    sessions: Vec<(MachineKind, u64)>,
    trace: trace::Mark,
}

/// Memory that one transaction leaves to the next: one per worker, reused for
/// as long as wanted.
#[derive(Default)]
pub struct Scratch {
    journal: Journal,
    frames: Vec<Frame>,
    sessions: Vec<(MachineKind, Option<Box<dyn Session>>)>,
}

impl Scratch {
    /// The accounts of the last transaction, in the order of its effects, each with its record as
    /// the transaction left it, `None` where it does not exist: what effects say, without a need to
    /// unpack them or to read the state again.
    pub fn seen(&self) -> impl Iterator<Item = (Seen<'_>, Option<AccountRecord>)> {
        self.journal.seen()
    }

    /// Of these accounts those whose record changed.
    pub fn written(&self) -> impl Iterator<Item = (&AccountId, Option<AccountRecord>)> {
        self.journal.written()
    }

    /// Takes a machine's session out between transactions: for the machine
    /// itself, which may look at what the last one left.
    pub fn take_session(&mut self, machine: MachineKind) -> Option<Box<dyn Session>> {
        let mut sessions = self.sessions.iter_mut();
        sessions.find(|(known, _)| *known == machine)?.1.take()
    }

    /// Gives a machine's session back, with what the machine wants to find in it
    /// in the next transaction, which clears it first.
    pub fn put_session(&mut self, machine: MachineKind, session: Box<dyn Session>) {
        match self.sessions.iter_mut().find(|(known, _)| *known == machine) {
            Some((_, slot)) => *slot = Some(session),
            None => self.sessions.push((machine, Some(session))),
        }
    }
}

struct Frame {
    machine: MachineKind,
    /// Whose code runs; of the frames within the machine the kernel knows nothing.
    account: Option<AccountId>,
    read_only: bool,
    /// The account that may be spent from although it is another machine's.
    delegated: Option<AccountId>,
    /// What the frame may use, and what had been used when it was opened.
    limit: Resources,
    before: Resources,
}

/// The kernel during one transaction (or one machine's begin or end of a
/// block): the [`Host`] of every machine that takes part.
pub struct Kernel<'a> {
    machines: &'a Machines,
    block: &'a BlockContext,
    view: &'a dyn View,
    phase: Phase,
    used: Resources,
    journal: &'a mut Journal,
    frames: &'a mut Vec<Frame>,
    sessions: &'a mut Vec<(MachineKind, Option<Box<dyn Session>>)>,
    /// Accounts that may not be called, with the number of frames there were when
    /// that was said.
    locks: Vec<(usize, AccountId)>,
    /// Stands in for the session where no machine runs.
    no_session: Option<Box<dyn Session>>,
    /// The call tree, where somebody wants to see it.
    trace: Option<&'a mut Trace>,
}

impl<'a> Kernel<'a> {
    /// A kernel over the state that `view` shows, in memory of `scratch`.
    pub fn new(
        machines: &'a Machines,
        block: &'a BlockContext,
        view: &'a dyn View,
        scratch: &'a mut Scratch,
    ) -> Self {
        let Scratch { journal, frames, sessions } = scratch;
        journal.clear();
        frames.clear();
        for (_, session) in sessions.iter_mut() {
            if let Some(session) = session.as_mut().filter(|session| !session.is_clear()) {
                session.clear();
            }
        }
        Self {
            machines,
            block,
            view,
            phase: Phase::Transaction,
            used: Resources::default(),
            journal,
            frames,
            sessions,
            locks: Vec::new(),
            no_session: None,
            trace: None,
        }
    }

    /// The same kernel, which writes down the call tree. Looking on changes nothing: a
    /// transaction comes out as it does without.
    #[must_use]
    pub fn traced(mut self, trace: &'a mut Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Executes a transaction on its machine. `limit` bounds the meters beside
    /// the machine's own gas; a transaction that needs more is invalid.
    ///
    /// # Errors
    /// A [`Halt`] leaves nothing behind.
    pub fn transact(mut self, tx: &Decoded, limit: Resources) -> Result<Executed, Halt> {
        // A session of before the transaction holds nothing, so it is cleared.
        let before = Checkpoint {
            journal: self.journal.mark(),
            sessions: Vec::new(),
            trace: trace::Mark::default(),
        };
        self.trace_transaction(tx);
        let transacted =
            match self.enter(tx.machine, limit, |machine, host| machine.transact(tx, host)) {
                Err(Halt::Exhausted(meter)) => Transacted::Invalid(beyond_limit(meter)),
                other => other?,
            };
        match transacted {
            Transacted::Invalid(invalid) => {
                self.revert(before);
                Ok(Executed::Invalid { invalid, relied: self.finish()? })
            }
            Transacted::Included(mut receipt) => {
                let effects = self.finish()?;
                // These two are only known now.
                let exceeds = |meter: &Meter| self.used.get(*meter) > limit.get(*meter);
                if let Some(meter) = [Meter::Writes, Meter::Growth].into_iter().find(exceeds) {
                    let relied = without_changes(effects);
                    return Ok(Executed::Invalid { invalid: beyond_limit(meter), relied });
                }
                receipt.used = self.used;
                self.trace_receipt(&receipt);
                Ok(Executed::Included(TransactionOutput { effects, receipt }))
            }
        }
    }

    /// Runs a machine's work before the first transaction.
    pub fn begin_block(mut self, machine: MachineKind) -> Result<Effects, Halt> {
        self.phase = Phase::System;
        self.enter(machine, Resources::UNLIMITED, |machine, host| machine.begin_block(host))?;
        self.finish()
    }

    /// Runs a machine's work after the last transaction.
    pub fn end_block(
        mut self,
        machine: MachineKind,
        outputs: &[TransactionOutput],
    ) -> Result<(Effects, EndOfBlock), Halt> {
        self.phase = Phase::System;
        let end = self.enter(machine, Resources::UNLIMITED, |machine, host| {
            machine.end_block(outputs, host)
        })?;
        Ok((self.finish()?, end))
    }

    fn enter<T>(
        &mut self,
        kind: MachineKind,
        limit: Resources,
        run: impl FnOnce(&dyn Machine, &mut dyn Host) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let machine = self.machine(kind)?;
        self.frames.push(Frame {
            machine: kind,
            account: None,
            read_only: false,
            delegated: None,
            limit,
            before: self.used,
        });
        let result = run(machine, self);
        self.frames.pop();
        result
    }

    fn machine(&self, kind: MachineKind) -> Result<&'a dyn Machine, Halt> {
        let machines = self.machines;
        machines
            .get(kind)
            .ok_or_else(|| Halt::Fault(format!("no machine with the kind {kind} is registered")))
    }

    /// Lets every machine that took part complete its work, and takes the
    /// effects. The sessions stand in an order that earlier transactions left;
    /// that of registration is the same everywhere.
    fn finish(&mut self) -> Result<Effects, Halt> {
        let machines = self.machines;
        for kind in machines.iter().map(Machine::kind) {
            let open = |(of, session): &(_, Option<Box<dyn Session>>)| {
                *of == kind && session.as_ref().is_some_and(|session| !session.is_clear())
            };
            if self.sessions.iter().any(open) {
                self.enter(kind, Resources::UNLIMITED, |machine, host| machine.settle(host))?;
            }
        }
        self.trace_settled();
        let (effects, growth) = self.journal.finish()?;
        self.used.writes = growth.writes;
        self.used.growth = growth.bytes;
        Ok(effects)
    }

    fn current(&self) -> MachineKind {
        self.frames.last().map_or(MachineKind::KERNEL, |frame| frame.machine)
    }

    /// Refuses a change of an account of another machine's address space, or
    /// in a read-only frame.
    fn guard(&self, account: Account) -> Result<(), Halt> {
        self.guard_read_only()?;
        self.guard_owner(self.journal.owner(account.0)?)
    }

    fn guard_owner(&self, owner: MachineKind) -> Result<(), Halt> {
        if owner == self.current() {
            return Ok(());
        }
        Err(Halt::Fault(format!(
            "machine {} changes an account of machine {owner}",
            self.current()
        )))
    }

    /// Refuses to issue in the name of another machine's account.
    fn guard_issuer(&self, issuer: &AccountId) -> Result<(), Halt> {
        self.guard_read_only()?;
        self.guard_owner(issuer.machine)
    }

    /// Writes a slot, whoever's it is.
    fn write_own(&mut self, account: Account, key: &LocalKey, value: Value) -> Result<(), Halt> {
        self.trace_write(account, key)?;
        self.journal.write(account.0, key, value)
    }

    fn guard_read_only(&self) -> Result<(), Halt> {
        if self.is_read_only() {
            return Err(Halt::Fault(format!(
                "machine {} changes the state in a read-only frame",
                self.current()
            )));
        }
        Ok(())
    }

    /// What a unit of the current machine's gas stands for.
    fn unit(&self) -> u64 {
        self.machines.get(self.current()).map_or(1, Machine::unit)
    }

    /// Moves the value, opens the callee's frame and runs the callee's machine.
    fn run_call(&mut self, mut call: Call) -> Result<Outcome, Halt> {
        let mut target = self.account(&call.target)?;
        // What stands for an asset is its machine's to answer for.
        if let Some(id) = self.aliased(target)?
            && id.machine != MachineKind::KERNEL
        {
            call.target = id;
            target = self.account(&id)?;
        }
        // A machine might take it for another, which would get what this one is given.
        let own = self.machines.get(call.target.machine);
        if own.is_some_and(|machine| !machine.is_address(&call.target.address)) {
            return Ok(Outcome::failed("NoSuchAccount"));
        }
        if self.locks.iter().any(|(_, locked)| *locked == call.target) {
            return Ok(Outcome::failed("Reentrant"));
        }
        let code = self.journal.rely_code(target.0)?;
        let kind = code.map_or(call.target.machine, |code| code.machine);
        let kind = if kind == MachineKind::KERNEL { call.target.machine } else { kind };
        if !call.value.is_zero() {
            if call.read_only {
                return Ok(Outcome::failed("ValueInReadOnlyCall"));
            }
            let payer = self.account(&call.payer)?;
            if !self.journal.debit(payer.0, call.value)? {
                return Ok(Outcome::failed("InsufficientBalance"));
            }
            self.journal.credit(target.0, call.value)?;
        }
        let Some(machine) = self.machines.get(kind) else {
            return Ok(Outcome::failed("NoMachineForTarget"));
        };
        // Each machine counts in its own gas.
        let (outer, inner) = (self.unit(), machine.unit());
        let used = (outer != inner).then(|| {
            call.limit.compute = scale(call.limit.compute, outer, inner, false);
            core::mem::take(&mut self.used.compute)
        });
        self.frames.push(Frame {
            machine: kind,
            account: Some(call.target),
            read_only: call.read_only,
            delegated: call.delegate.then_some(call.caller),
            limit: call.limit,
            before: self.used,
        });
        if self.trace.is_some() {
            self.trace_answer(&call, kind);
        }
        let entered = self
            .charge(Meter::Frames, 1)
            .and_then(|()| self.charge(Meter::Compute, machine.entry()));
        let outcome = entered.and_then(|()| {
            call.limit = self.left();
            machine.call(call, self)
        });
        self.locks.retain(|(frames, _)| *frames < self.frames.len());
        self.trace_used();
        self.frames.pop();
        if let Some(used) = used {
            let spent = core::mem::replace(&mut self.used.compute, used);
            // What it may use at most was counted out of what is left here.
            let _ = self.charge(Meter::Compute, scale(spent, inner, outer, true));
        }
        match outcome {
            Err(Halt::Exhausted(meter)) => Ok(Outcome::failed(&format!("OutOf:{}", meter.name()))),
            other => other,
        }
    }
}

/// An amount of gas whose unit is `from`, in gas whose unit is `to`. What has no limit
/// has none in any unit.
fn scale(gas: u64, from: u64, to: u64, up: bool) -> u64 {
    if gas == u64::MAX {
        return gas;
    }
    let (work, to) = (u128::from(gas) * u128::from(from), u128::from(to.max(1)));
    let scaled = if up { work.div_ceil(to) } else { work / to };
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn beyond_limit(meter: Meter) -> Invalid {
    Invalid {
        code: "RESOURCES_EXHAUSTED",
        reason: format!("needs more than the transaction's limit of {}", meter.name()),
    }
}

/// What the effects rely on.
fn without_changes(mut effects: Effects) -> Effects {
    let accounts = effects.accounts.iter().map(|account| AccountEffects {
        existence_write: None,
        balance_delta: Delta::ZERO,
        sequence_write: None,
        code_write: None,
        storage_reset: false,
        ..account
    });
    effects.accounts = accounts.collect();
    for slot in &mut effects.slots {
        slot.write = None;
    }
    let Effects { accounts, slots, block_hashes, .. } = effects;
    Effects { accounts, slots, block_hashes, ..Effects::default() }
}

impl Host for Kernel<'_> {
    fn block(&self) -> &BlockContext {
        self.block
    }

    fn is_read_only(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.read_only)
    }

    fn account(&mut self, id: &AccountId) -> Result<Account, Halt> {
        let (account, fetched) = self.journal.intern(id, self.view)?;
        if fetched {
            self.charge(Meter::Reads, 1)?;
        }
        Ok(Account(account))
    }

    fn id(&self, account: Account) -> Result<AccountId, Halt> {
        Ok(self.journal.get(account.0)?.id)
    }

    fn peek(&self, account: Account) -> Result<Option<AccountRecord>, Halt> {
        Ok(self.journal.get(account.0)?.peek())
    }

    fn original(&self, account: Account) -> Result<Option<AccountRecord>, Halt> {
        Ok(self.journal.get(account.0)?.original)
    }

    fn rely_existence(&mut self, account: Account) -> Result<(), Halt> {
        self.journal.rely_existence(account.0)
    }

    fn rely_emptiness(&mut self, account: Account) -> Result<(), Halt> {
        self.journal.rely_emptiness(account.0)
    }

    fn rely_sequence(&mut self, account: Account) -> Result<(), Halt> {
        self.journal.rely_sequence(account.0).map(drop)
    }

    fn rely_code(&mut self, account: Account) -> Result<(), Halt> {
        self.journal.rely_code(account.0).map(drop)
    }

    fn rely_balance(&mut self, account: Account, lo: U256, hi: U256) -> Result<(), Halt> {
        self.journal.rely_balance(account.0, lo, hi)
    }

    fn rely_can_pay(&mut self, account: Account, now: &U256, amount: &U256) -> Result<(), Halt> {
        self.journal.rely_can_pay(account.0, now, amount)
    }

    fn balance(&mut self, account: Account) -> Result<U256, Halt> {
        self.journal.balance(account.0)
    }

    fn sequence(&mut self, account: Account) -> Result<u64, Halt> {
        self.journal.rely_sequence(account.0)
    }

    fn code(&mut self, account: Account) -> Result<Option<CodeRef>, Halt> {
        self.journal.rely_code(account.0)
    }

    fn code_by_hash(&mut self, hash: &B256) -> Result<Arc<Code>, Halt> {
        let (code, fetched) = self.journal.code_by_hash(hash, self.view)?;
        if fetched {
            self.charge(Meter::Reads, 1)?;
        }
        Ok(code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Halt> {
        self.journal.block_hash(number, self.view)
    }

    fn read(&mut self, account: Account, key: &LocalKey) -> Result<Value, Halt> {
        let (value, fetched) = self.journal.read(account.0, key, self.view)?;
        if fetched {
            self.charge(Meter::Reads, 1)?;
        }
        Ok(value)
    }

    fn write(&mut self, account: Account, key: &LocalKey, value: Value) -> Result<(), Halt> {
        self.guard(account)?;
        self.write_own(account, key, value)
    }

    fn reset_storage(&mut self, account: Account) -> Result<(), Halt> {
        self.guard(account)?;
        self.journal.reset_storage(account.0)
    }

    fn set_sequence(&mut self, account: Account, sequence: u64) -> Result<(), Halt> {
        self.guard(account)?;
        self.journal.set_sequence(account.0, sequence)
    }

    fn set_code(
        &mut self,
        account: Account,
        code: Option<(CodeRef, Arc<Code>)>,
    ) -> Result<(), Halt> {
        self.guard(account)?;
        self.journal.set_code(account.0, code)
    }

    fn set_existence(&mut self, account: Account, exists: bool) -> Result<(), Halt> {
        self.guard(account)?;
        self.journal.set_existence(account.0, exists)
    }

    fn credit(&mut self, account: Account, amount: U256) -> Result<(), Halt> {
        self.guard_read_only()?;
        self.journal.credit(account.0, amount)
    }

    fn debit(&mut self, account: Account, amount: U256) -> Result<bool, Halt> {
        self.guard_read_only()?;
        let id = self.journal.get(account.0)?.id;
        if !self.may_spend(&id) {
            self.guard_owner(id.machine)?;
        }
        self.journal.debit(account.0, amount)
    }

    fn restate(&mut self, account: Account, record: &AccountRecord) -> Result<bool, Halt> {
        let now = &self.journal.get(account.0)?.now;
        if now.code != record.code {
            return Ok(false);
        }
        if now.balance != record.balance || now.sequence != record.sequence {
            self.guard(account)?;
            self.journal.restate(account.0, record)?;
        }
        Ok(true)
    }

    fn burn(&mut self, amount: U256) -> Result<(), Halt> {
        self.guard_read_only()?;
        self.journal.burn(amount);
        Ok(())
    }

    fn mint(&mut self, amount: U256) -> Result<(), Halt> {
        if self.phase != Phase::System {
            return Err(Halt::Fault(format!(
                "machine {} mints the native asset in a transaction",
                self.current()
            )));
        }
        self.guard_read_only()?;
        self.journal.mint(amount);
        Ok(())
    }

    fn alias(&mut self, account: Account, target: &AccountId) -> Result<(), Halt> {
        self.guard(account)?;
        let id = self.journal.get(account.0)?.id;
        if target.machine == id.machine {
            return Err(Halt::Fault(format!("{id} would be an alias of {target}, a neighbour")));
        }
        let (reference, bytes) = alias::code(target);
        let known = self.journal.rely_code(account.0)?;
        if known.is_some_and(|known| known != reference) {
            return Err(Halt::Fault(format!("{id} has a code and can be no alias")));
        }
        let held = self.journal.balance(account.0)?;
        if !held.is_zero() {
            let target = self.account(target)?;
            self.journal.debit(account.0, held)?;
            self.journal.credit(target.0, held)?;
        }
        match known {
            Some(_) => Ok(()),
            None => self.journal.set_code(account.0, Some((reference, Arc::new(Code::new(bytes))))),
        }
    }

    fn aliased(&mut self, account: Account) -> Result<Option<AccountId>, Halt> {
        match self.journal.rely_code(account.0)? {
            Some(code) if code.machine == MachineKind::KERNEL => {
                let code = self.code_by_hash(&code.hash)?;
                let damaged = || Halt::Fault("a code of the kernel's is no alias's".into());
                alias::target(code.bytes()).map(Some).ok_or_else(damaged)
            }
            _ => Ok(None),
        }
    }

    fn lock(&mut self, account: &AccountId, locked: bool) {
        let frames = self.frames.len();
        self.locks.retain(|lock| *lock != (frames, *account));
        if locked {
            self.locks.push((frames, *account));
        }
    }

    fn is_locked(&self, account: &AccountId) -> bool {
        let around = |frames: usize| frames < self.frames.len();
        self.locks.iter().any(|(frames, locked)| around(*frames) && locked == account)
    }

    fn emit(&mut self, event: Event) -> Result<(), Halt> {
        self.guard_read_only()?;
        self.trace_event(&event);
        self.journal.emit(event);
        Ok(())
    }

    fn charge(&mut self, meter: Meter, amount: u64) -> Result<(), Halt> {
        // A frame that wants too much has used all that it was given and no
        // more: the rest is its caller's.
        let most = self.frames.last().map_or(u64::MAX, |frame| {
            frame.before.get(meter).saturating_add(frame.limit.get(meter))
        });
        let used = self.used.get_mut(meter);
        let wanted = used.saturating_add(amount);
        *used = wanted.min(most);
        if wanted > most { Err(Halt::Exhausted(meter)) } else { Ok(()) }
    }

    fn left(&self) -> Resources {
        self.frames
            .last()
            .map_or(Resources::UNLIMITED, |frame| frame.limit.left(&self.used.left(&frame.before)))
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let sessions = self
            .sessions
            .iter_mut()
            .filter_map(|(kind, session)| Some((*kind, session.as_mut()?.mark())))
            .collect();
        let trace = self.trace().map(|trace| trace.mark()).unwrap_or_default();
        Checkpoint { journal: self.journal.mark(), sessions, trace }
    }

    fn revert(&mut self, checkpoint: Checkpoint) {
        self.trace_revert(&checkpoint);
        self.journal.revert(checkpoint.journal);
        for (kind, session) in self.sessions.iter_mut() {
            let Some(session) = session else { continue };
            match checkpoint.sessions.iter().find(|(marked, _)| marked == kind) {
                Some((_, mark)) => session.revert(*mark),
                // It was opened after the checkpoint.
                None => session.clear(),
            }
        }
    }

    fn call(&mut self, mut call: Call) -> Result<Outcome, Halt> {
        if self.frames.len() >= MAX_DEPTH {
            let outcome = Outcome::failed("CallDepth");
            let hop = self.trace_call(&call);
            self.trace_outcome(hop, &outcome);
            return Ok(outcome);
        }
        // Neither the caller's account nor its rights can be made up.
        for account in [&call.caller, &call.payer] {
            let own = self.frames.last().is_some_and(|frame| {
                frame.machine == account.machine || frame.account.as_ref() == Some(account)
            });
            if !own {
                return Err(Halt::Fault(format!(
                    "machine {} calls in the name of {account}",
                    self.current()
                )));
            }
        }
        call.read_only |= self.is_read_only();
        call.limit = call.limit.min(&self.left());
        let hop = self.trace_call(&call);
        let checkpoint = self.checkpoint();
        let outcome = self.run_call(call)?;
        if !outcome.status.is_success() {
            self.revert(checkpoint);
        }
        self.trace_outcome(hop, &outcome);
        Ok(outcome)
    }

    fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    fn trace(&mut self) -> Option<&mut Trace> {
        let trace = self.trace.as_deref_mut()?;
        self.journal.tell(trace);
        trace.now = self.used;
        Some(trace)
    }

    fn session(&mut self) -> &mut Option<Box<dyn Session>> {
        let kind = self.current();
        if kind == MachineKind::KERNEL {
            return &mut self.no_session;
        }
        let at = match self.sessions.iter().position(|(known, _)| *known == kind) {
            Some(at) => at,
            None => {
                self.sessions.push((kind, None));
                self.sessions.len() - 1
            }
        };
        match self.sessions.get_mut(at) {
            Some((_, session)) => session,
            None => &mut self.no_session,
        }
    }
}
