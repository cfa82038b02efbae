//! Executes a block's transactions on several threads at once.
//!
//! Optimistic, as Block-STM (Gelashvili et al. 2022): workers run transactions
//! ahead of their turn on the multi-version [`memory`], and note on what they
//! relied. Whoever finds the transaction whose turn it is checks its effects
//! against the committed state: what still holds is committed, what does not is
//! run again there and then, on exactly the state that its predecessors left.
//! So
//!
//! - the result is that of [`Sequential`]: what commits was either run in its
//!   turn, or relied on nothing that is different in its turn (law 1);
//! - a transaction runs at most once in its turn and a few times ahead of it, and
//!   no input stops progress: the worker at the frontier needs nothing from any
//!   other;
//! - where running ahead is mostly in vain, because everything depends on
//!   everything, the [`schedule`] lets fewer workers do it, down to one, which
//!   is sequential execution.
//!
//! Outputs are handed over in order, while later transactions still run.

mod draft;
mod marks;
mod memory;
mod predictor;
mod schedule;
mod table;

use crate::{
    Block, BlockError, BlockOutput, Built, Overlay, OverlayError, Place, Sequential, SystemOutput,
    build::{Assembly, Policy, admit},
    overlay::Cells,
    sequential::{at, begin, end},
};
use alloc::{format, string::String, vec::Vec};
use core::{
    any::Any,
    cell::RefCell,
    num::NonZeroUsize,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};
use draft::Draft;
use memory::{Memory, Shards, lock};
use polity_kernel::{
    Decoded, Executed, Halt, Kernel, Machine, Machines, Scratch, Totals, TransactionOutput, View,
    ViewError,
};
use polity_types::{AccountEffects, MachineKind, SlotEffects};
use predictor::Predictor;
use schedule::{Schedule, Turn};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, TryLockError},
    time::{Duration, Instant},
};

/// See [`Parallel::with_least_gas`]. Waking the workers costs as much as
/// executing this: some tenths of a millisecond.
const LEAST_GAS: u64 = 8_000_000;

/// See [`chunks`].
const CHUNKS_PER_THREAD: u64 = 16;

/// Gas that takes some ten microseconds.
const LEAST_CHUNK_GAS: u64 = 200_000;

/// Gas that takes about a millisecond. The larger a chunk, the likelier one of
/// its transactions conflicts, and then each is checked alone.
const MOST_CHUNK_GAS: u64 = 4_000_000;

std::thread_local! {
    /// The memory of a worker, kept from block to block.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
    /// What executes blocks that are too small to share out.
    static SEQUENTIAL: RefCell<Sequential> = RefCell::new(Sequential::new());
}

/// Executes blocks on the calling thread and a pool of others that lives as
/// long as this does.
pub struct Parallel {
    pool: rayon::ThreadPool,
    threads: u32,
    least_gas: u64,
    least_chunk_gas: Option<u64>,
    shards: Shards,
    drafts: Mutex<Vec<Draft>>,
    cells: Mutex<Vec<Cells>>,
    predictor: Predictor,
}

/// The threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("starting {threads} worker threads: {reason}")]
pub struct PoolError {
    /// How many were asked for.
    pub threads: usize,
    /// What the system says.
    pub reason: String,
}

/// How a block was executed, for tables and pictures. Unlike the output it
/// depends on chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Transactions of the block.
    pub transactions: usize,
    /// Executions, those in vain among them.
    pub executions: usize,
    /// How many pieces the block was cut into to be handed out.
    pub chunks: usize,
    /// Whether the block was executed sequentially, being small.
    pub sequential: bool,
}

/// Looks on while a block is executed, from the threads that execute it.
///
/// [`Observer::started`] and [`Observer::finished`] tell a transaction by its
/// index in the block that the engine was given, [`Observer::committed`] by its
/// index in the block that comes of it. The two differ only where a block is
/// built and a candidate is left out.
pub trait Observer: Sync {
    /// A worker begins to run a transaction, in its turn or ahead of it.
    fn started(&self, _worker: usize, _transaction: usize, _in_turn: bool) {}

    /// The worker is done with it. `waits_for` is the earlier transaction whose
    /// result is missing, in which case it will run again.
    fn finished(&self, _worker: usize, _transaction: usize, _waits_for: Option<usize>) {}

    /// What the machines did before the first transaction.
    fn begun(&self, _begin: &[SystemOutput]) {}

    /// The output of the next transaction of the block is final. Called in order,
    /// while later ones run.
    fn committed(&self, _transaction: usize, _output: &TransactionOutput) {}

    /// What the machines did after the last transaction.
    fn ended(&self, _end: &[SystemOutput]) {}
}

/// Nobody looks on.
impl Observer for () {}

impl Parallel {
    /// An engine with this many threads, the caller's among them.
    ///
    /// # Errors
    /// The system refuses to start them.
    pub fn new(threads: NonZeroUsize) -> Result<Self, PoolError> {
        let refused = |reason: String| PoolError { threads: threads.get(), reason };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get().saturating_sub(1).max(1))
            .thread_name(|index| format!("polity-{}", index + 1))
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let count = u32::try_from(threads.get()).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            pool,
            threads: count,
            least_gas: LEAST_GAS,
            least_chunk_gas: None,
            shards: Shards::new(),
            drafts: Mutex::default(),
            cells: Mutex::default(),
            predictor: Predictor::new(),
        })
    }

    /// Executes blocks whose transactions presumably take less gas than this to execute
    /// together ([`polity_kernel::Machine::work`]) sequentially, and hands no more than
    /// this to a worker at once where a block is small: else it would go to one of them
    /// as a whole.
    #[must_use]
    pub const fn with_least_gas(mut self, gas: u64) -> Self {
        self.least_gas = gas;
        self
    }

    /// Hands no less than this much gas to a worker at once, where more than one
    /// transaction is left. Zero hands out every transaction alone, which finds
    /// more conflicts and is slower.
    #[must_use]
    pub const fn with_least_chunk_gas(mut self, gas: u64) -> Self {
        self.least_chunk_gas = Some(gas);
        self
    }

    /// Forgets which transactions conflicted in the blocks so far, as after a
    /// change of the chain.
    pub fn forget(&mut self) {
        self.predictor = Predictor::new();
    }

    /// Executes `block` on `view`, the state before it. The output is that of
    /// [`Sequential::execute`].
    ///
    /// # Errors
    /// Those of [`Sequential::execute`], for the same transaction.
    pub fn execute(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<BlockOutput, BlockError> {
        self.execute_with(machines, view, block, &()).map(|(output, _)| output)
    }

    /// Executes `block` before the eyes of `observer`, and tells how it went.
    ///
    /// # Errors
    /// As [`Parallel::execute`]. Outputs that the observer was told of are then
    /// part of no block.
    pub fn execute_with(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
        observer: &dyn Observer,
    ) -> Result<(BlockOutput, Statistics), BlockError> {
        let (built, statistics) = self.run(machines, view, block, observer, Policy::Execute)?;
        Ok((built.output, statistics))
    }

    /// Builds a block from the transactions of `block`. What comes of it is what
    /// [`Sequential::build`] gives.
    ///
    /// # Errors
    /// Those of [`Sequential::build`].
    pub fn build(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<Built, BlockError> {
        self.build_with(machines, view, block, &()).map(|(built, _)| built)
    }

    /// Builds a block before the eyes of `observer`, and tells how it went.
    ///
    /// # Errors
    /// As [`Parallel::build`]. Outputs that the observer was told of are then part
    /// of no block.
    pub fn build_with(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
        observer: &dyn Observer,
    ) -> Result<(Built, Statistics), BlockError> {
        self.run(machines, view, block, observer, Policy::Build)
    }

    fn run(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
        observer: &dyn Observer,
        policy: Policy,
    ) -> Result<(Built, Statistics), BlockError> {
        let transactions = block.transactions.len();
        let gas = block.transactions.iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.gas_limit));
        let work = |tx: &Decoded| machines.get(tx.machine).map_or(0, |machine| machine.work(tx));
        let mut least = self.least_gas;
        // Only as far as it takes to know.
        let small = !block.transactions.iter().any(|tx| {
            least = least.saturating_sub(work(tx));
            least == 0
        });
        let count = u32::try_from(transactions).ok().filter(|_| self.threads > 1 && !small);
        let Some(count) = count else {
            let built =
                SEQUENTIAL.with(|engine| engine.borrow_mut().run(machines, view, block, policy))?;
            observer.begun(&built.output.begin);
            for (index, output) in built.output.transactions.iter().enumerate() {
                observer.committed(index, output);
            }
            observer.ended(&built.output.end);
            let executions = transactions;
            let statistics = Statistics { transactions, executions, chunks: 1, sequential: true };
            return Ok((built, statistics));
        };
        let mut base = Overlay::over(view);
        let begun =
            SCRATCH.with(|scratch| begin(machines, block, &mut base, &mut scratch.borrow_mut()))?;
        observer.begun(&begun.begin);
        let least = self.least_chunk_gas.unwrap_or(LEAST_CHUNK_GAS.min(self.least_gas));
        let chunks = chunks(block, gas, self.threads, least);
        let units = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let run = Run {
            machines,
            block,
            memory: Memory::new(&base, &mut self.shards, count),
            schedule: Schedule::new(units, self.threads),
            results: chunks.iter().map(|_| Mutex::default()).collect(),
            chunks,
            drafts: &self.drafts,
            cells: &self.cells,
            predictor: &self.predictor,
            executions: AtomicUsize::new(0),
            totals: (policy == Policy::Build).then(|| Mutex::new(begun.totals.clone())),
            commit: Mutex::new(Commit { assembly: Assembly::new(policy, begun), error: None }),
            observer,
        };
        let workers = self.threads.min(units);
        self.pool.in_place_scope(|scope| {
            for worker in 1..workers {
                let run = &run;
                scope.spawn(move |_| run.work(worker));
            }
            run.work(0);
        });
        let Run { memory, commit, executions, chunks, .. } = run;
        let (executions, chunks) = (executions.into_inner(), chunks.len());
        let Commit { assembly, error } =
            commit.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error {
            return Err(error);
        }
        let mut built = assembly.built;
        let output = &mut built.output;
        let mut state = Overlay::over(&memory);
        output.end = SCRATCH.with(|scratch| {
            end(machines, block, &mut state, &mut scratch.borrow_mut(), &output.transactions)
        })?;
        observer.ended(&output.end);
        Ok((built, Statistics { transactions, executions, chunks, sequential: false }))
    }
}

/// The execution of one block.
struct Run<'b> {
    machines: &'b Machines,
    block: &'b Block,
    memory: Memory<'b>,
    schedule: Schedule,
    /// Ranges of transactions that follow on each other.
    chunks: Vec<Range<u32>>,
    /// What running ahead gave, by chunk.
    results: Vec<Mutex<Option<Ahead>>>,
    /// Drafts that nobody needs any more.
    drafts: &'b Mutex<Vec<Draft>>,
    /// Likewise, of states in a chunk's turn.
    cells: &'b Mutex<Vec<Cells>>,
    predictor: &'b Predictor,
    executions: AtomicUsize,
    /// What the committed chunks used, where the block is being built.
    totals: Option<Mutex<Vec<(MachineKind, Totals)>>>,
    /// Held by the worker at the frontier.
    commit: Mutex<Commit>,
    observer: &'b dyn Observer,
}

struct Commit {
    /// What is final, but for the block's end.
    assembly: Assembly,
    error: Option<BlockError>,
}

/// What running a chunk ahead of its turn gave, for its first transactions.
struct Ahead {
    /// `None` where a transaction was left for its turn.
    attempts: Vec<Option<Attempt>>,
    /// The effects of those attempts that have some.
    draft: Draft,
    /// The first transaction that was not committed when the chunk began.
    since: u32,
    /// Whether the draft was shown to the chunks behind.
    published: bool,
}

/// What running a transaction gave.
type Attempt = Result<Executed, Halt>;

/// Cuts the block so that each thread gets many chunks, but no chunk is over
/// faster than it is handed out.
fn chunks(block: &Block, gas: u64, threads: u32, least: u64) -> Vec<Range<u32>> {
    let share = gas / u64::from(threads) / CHUNKS_PER_THREAD;
    let enough = share.min(MOST_CHUNK_GAS).max(least);
    let mut chunks = Vec::new();
    let (mut begin, mut sum) = (0, 0_u64);
    for (end, tx) in (1..).zip(&block.transactions) {
        sum = sum.saturating_add(tx.gas_limit);
        if sum >= enough || end as usize == block.transactions.len() {
            chunks.push(begin..end);
            (begin, sum) = (end, 0);
        }
    }
    chunks
}

/// One of the threads of a run.
struct Worker<'s> {
    number: u32,
    executions: usize,
    scratch: &'s mut Scratch,
}

impl Run<'_> {
    /// Works until the block is done.
    fn work(&self, number: u32) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            SCRATCH.with(|scratch| {
                let mut scratch = scratch.borrow_mut();
                let mut worker = Worker { number, executions: 0, scratch: &mut scratch };
                self.live(&mut worker);
                self.executions.fetch_add(worker.executions, Ordering::SeqCst);
            });
        }));
        // A panic of the engine's own: the others must not wait for this one.
        if let Err(panic) = worked {
            let mut commit = lock(&self.commit);
            let index = commit.assembly.judged();
            let halt = Halt::Fault(format!("a worker panicked: {}", message(&*panic)));
            commit.error.get_or_insert(BlockError::Halt { place: self.place(index), halt });
            self.schedule.stop();
        }
    }

    /// The life of a worker.
    fn live(&self, worker: &mut Worker<'_>) {
        loop {
            let seen = self.schedule.changes();
            self.commit(worker);
            if self.schedule.is_over() {
                return;
            }
            match self.schedule.claim() {
                Some(chunk) => self.run_ahead(chunk, worker),
                None => self.schedule.sleep(seen),
            }
        }
    }

    fn place(&self, index: usize) -> Place {
        let hash = self.block.transactions.get(index).map(|tx| tx.hash).unwrap_or_default();
        Place::Transaction(index, hash)
    }

    fn transaction(&self, index: u32) -> Result<&Decoded, Halt> {
        let missing = || Halt::Fault(format!("the block has no transaction {index}"));
        self.block.transactions.get(index as usize).ok_or_else(missing)
    }

    /// The transactions of a chunk.
    fn range(&self, chunk: u32) -> Range<u32> {
        self.chunks.get(chunk as usize).cloned().unwrap_or_default()
    }

    fn new_draft(&self) -> Draft {
        lock(self.drafts).pop().unwrap_or_default()
    }

    fn drop_draft(&self, mut draft: Draft) {
        draft.clear();
        lock(self.drafts).push(draft);
    }

    /// Runs a transaction on what the ones before it have written so far, all
    /// of which is committed or in its chunk's draft in its turn.
    fn attempt(
        &self,
        index: u32,
        in_turn: bool,
        view: &dyn View,
        worker: &mut Worker<'_>,
    ) -> Attempt {
        let tx = self.transaction(index)?;
        worker.executions += 1;
        let number = worker.number as usize;
        self.observer.started(number, index as usize, in_turn);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            Kernel::new(self.machines, &self.block.context, view, worker.scratch)
                .transact(tx, self.block.transaction_limit)
        }));
        let attempt = attempt.unwrap_or_else(|panic| {
            // The sessions may be in any state.
            *worker.scratch = Scratch::default();
            Err(Halt::Fault(format!("machine {} panicked: {}", tx.machine, message(&*panic))))
        });
        let waits_for = match &attempt {
            Err(Halt::View(ViewError::NotReady(earlier))) => Some(*earlier as usize),
            _ => None,
        };
        self.observer.finished(number, index as usize, waits_for);
        attempt
    }

    /// Runs a chunk before its turn, or the rest of it. Whatever comes of it is
    /// checked in its turn; a failure to run it as well, for it may come of
    /// guesses.
    fn run_ahead(&self, chunk: u32, worker: &mut Worker<'_>) {
        let range = self.range(chunk);
        let Some(results) = self.results.get(chunk as usize) else { return };
        let started = lock(results).take();
        let mut ahead = started.unwrap_or_else(|| Ahead {
            attempts: Vec::with_capacity(range.len()),
            draft: self.new_draft(),
            since: self.range(self.schedule.frontier()).start,
            published: false,
        });
        let done = u32::try_from(ahead.attempts.len()).unwrap_or_default();
        let used = self.totals.as_ref().map(|totals| lock(totals).clone());
        // What finds no room now finds none in its turn.
        let has_room = |tx: &Decoded| {
            let admitted =
                used.as_ref().map(|used| admit(self.machines, &self.block.context, used, tx));
            admitted.is_none_or(|admitted| admitted.is_ok())
        };
        for index in range.start.saturating_add(done)..range.end {
            let Some(tx) = self.block.transactions.get(index as usize) else { return };
            let in_vain = self.predictor.expects_conflict(tx, index) && !self.schedule.is_starved();
            if in_vain || !has_room(tx) {
                ahead.attempts.push(None);
                continue;
            }
            let view = self.memory.ahead(&ahead.draft, version(&range), tx);
            let attempt = self.attempt(index, false, &view, worker);
            match &attempt {
                Err(Halt::View(ViewError::NotReady(earlier))) => {
                    let giver = self.chunks.partition_point(|chunk| chunk.end <= *earlier);
                    let giver = u32::try_from(giver).unwrap_or_default();
                    *lock(results) = Some(ahead);
                    return self.schedule.wait(chunk, giver);
                }
                Ok(Executed::Included(output)) => {
                    let guessed = view.has_guessed();
                    let (seen, slots) = (worker.scratch.seen(), &output.effects.slots);
                    ahead.draft.add(self.memory.hashes(), seen, slots, guessed);
                    self.memory.add_codes(&output.effects);
                }
                _ => {}
            }
            ahead.attempts.push(Some(attempt));
        }
        // In its turn it is committed at once.
        if self.schedule.frontier() != chunk {
            ahead.published = true;
            // A state that fails now fails in the chunk's turn too.
            let _ = self.memory.publish(&ahead.draft, version(&range));
        }
        *lock(results) = Some(ahead);
        self.schedule.done(chunk);
    }

    /// Commits as many chunks as there are to commit, unless another worker
    /// does.
    fn commit(&self, worker: &mut Worker<'_>) {
        while self.schedule.has_turn() {
            let mut commit = match self.commit.try_lock() {
                Ok(commit) => commit,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // It looks again after it has let go of the lock.
                Err(TryLockError::WouldBlock) => return,
            };
            while let Turn::Settle(chunk) = self.schedule.turn() {
                match self.settle(chunk, &mut commit, worker) {
                    Ok(()) => {
                        if let Some(totals) = &self.totals {
                            lock(totals).clone_from(&commit.assembly.built.output.totals);
                        }
                        self.schedule.committed(chunk);
                    }
                    Err(error) => {
                        commit.error = Some(error);
                        self.schedule.stop();
                    }
                }
            }
        }
    }

    /// Commits the chunk whose turn it is, by what running it ahead gave if that
    /// still holds, else by running now what does not.
    fn settle(
        &self,
        chunk: u32,
        commit: &mut Commit,
        worker: &mut Worker<'_>,
    ) -> Result<(), BlockError> {
        let range = self.range(chunk);
        let first = self.place(range.start as usize);
        let fail = |error: ViewError| at(first)(error.into());
        let ahead = self.results.get(chunk as usize).and_then(|results| lock(results).take());
        let (attempts, former) = match ahead {
            None => (Vec::new(), None),
            Some(ahead)
                if ahead.is_whole(range.len())
                    && self.has_room_for(&range, &ahead, commit)
                    && self.memory.holds(&ahead.draft, ahead.since).map_err(fail)? =>
            {
                self.schedule.learn(0, range.len());
                for (index, attempt) in range.clone().zip(ahead.attempts.into_iter().flatten()) {
                    let tx = self.transaction(index).map_err(at(first))?;
                    let index = index as usize;
                    if commit.assembly.admit(self.machines, self.block, index, tx)? {
                        self.predictor.learn(tx, false);
                        self.take(index, tx, attempt, commit)?;
                    }
                }
                let place = version(&range);
                let misfit = self.memory.commit(&ahead.draft, ahead.since, place).map_err(fail)?;
                if let Some(account) = misfit {
                    let error = OverlayError::Balance(account);
                    return Err(BlockError::Overlay { place: first, error });
                }
                self.drop_draft(ahead.draft);
                return Ok(());
            }
            Some(ahead) => {
                if ahead.published {
                    self.memory.mark_stale(&ahead.draft, version(&range)).map_err(fail)?;
                }
                (ahead.attempts, ahead.published.then_some(ahead.draft))
            }
        };
        let was_ahead = !attempts.is_empty();
        let (mut ran_ahead, mut vain) = (0, 0);
        let (mut took, mut work) = (Duration::ZERO, 0_u64);
        let mut attempts = attempts.into_iter();
        let cells = lock(self.cells).pop().unwrap_or_default();
        let mut state = Overlay::over_in(&self.memory, cells);
        for index in range.clone() {
            let ahead = attempts.next().flatten();
            let place = self.place(index as usize);
            let tx = self.transaction(index).map_err(at(place))?;
            if !commit.assembly.admit(self.machines, self.block, index as usize, tx)? {
                continue;
            }
            let holds = ahead.as_ref().is_some_and(|attempt| still_holds(attempt, &state));
            if ahead.is_some() {
                ran_ahead += 1;
                vain += usize::from(!holds);
                self.predictor.learn(tx, !holds);
            }
            let (attempt, in_turn) = match ahead {
                Some(attempt) if holds => (attempt, false),
                _ => {
                    let start = Instant::now();
                    let attempt = self.attempt(index, true, &state, worker);
                    took = took.saturating_add(start.elapsed());
                    (attempt, true)
                }
            };
            let taken = self.take(index as usize, tx, attempt, commit)?;
            let Some(output) = taken else { continue };
            if in_turn {
                work = work.saturating_add(self.work_of(tx, output));
            }
            let applied = match in_turn {
                true => state.apply_with(&output.effects, worker.scratch.written()),
                false => state.apply(&output.effects),
            };
            applied.map_err(|error| BlockError::Overlay { place, error })?;
        }
        if work > 0 {
            let work = Duration::from_nanos(work / 1000);
            self.schedule.learn_pace(chunk, took, work);
        }
        match ran_ahead {
            // It was left for its turn as a whole.
            0 if was_ahead => self.schedule.learn(1, 1),
            _ => self.schedule.learn(vain, ran_ahead),
        }
        self.memory.commit_state(&state, version(&range)).map_err(fail)?;
        lock(self.cells).push(state.into_memory());
        if let Some(former) = former {
            self.memory.withdraw(&former, version(&range)).map_err(fail)?;
            self.drop_draft(former);
        }
        Ok(())
    }

    /// How long the transaction should have taken, in picoseconds.
    fn work_of(&self, tx: &Decoded, output: &TransactionOutput) -> u64 {
        let unit = self.machines.get(tx.machine).map_or(0, Machine::unit);
        output.receipt.gas_used.saturating_mul(unit)
    }

    /// Whether the block has room for all of a chunk that ran ahead as a whole. A
    /// given block without room fails where the first of them is admitted.
    fn has_room_for(&self, range: &Range<u32>, ahead: &Ahead, commit: &Commit) -> bool {
        if self.totals.is_none() {
            return true;
        }
        let mut used = commit.assembly.built.output.totals.clone();
        range.clone().zip(&ahead.attempts).all(|(index, attempt)| {
            let (Ok(tx), Some(Ok(Executed::Included(output)))) = (self.transaction(index), attempt)
            else {
                return false;
            };
            let admitted = admit(self.machines, &self.block.context, &used, tx).is_ok();
            if let Some((_, used)) = used.iter_mut().find(|(kind, _)| *kind == tx.machine) {
                used.add(&output.receipt);
            }
            admitted
        })
    }

    /// Takes an admitted transaction into the block, or leaves it out.
    fn take<'c>(
        &self,
        index: usize,
        tx: &Decoded,
        attempt: Attempt,
        commit: &'c mut Commit,
    ) -> Result<Option<&'c TransactionOutput>, BlockError> {
        let included = commit.assembly.built.output.transactions.len();
        let output = commit.assembly.take(index, tx, attempt)?;
        if let Some(output) = output {
            self.observer.committed(included, output);
        }
        Ok(output)
    }
}

impl Ahead {
    /// Whether the draft stands for a chunk of so many transactions.
    fn is_whole(&self, transactions: usize) -> bool {
        let included =
            |attempt: &Option<Attempt>| matches!(attempt, Some(Ok(Executed::Included(_))));
        self.attempts.len() == transactions && self.attempts.iter().all(included)
    }
}

/// The name of a chunk's versions in the memory: its last transaction.
const fn version(range: &Range<u32>) -> u32 {
    range.end.saturating_sub(1)
}

/// Whether running the transaction on `view` would give the same.
fn still_holds(attempt: &Attempt, view: &dyn View) -> bool {
    let effects = match attempt {
        Ok(Executed::Included(output)) => &output.effects,
        Ok(Executed::Invalid { relied, .. }) => relied,
        // What it relied on is not known.
        Err(_) => return false,
    };
    let account_holds = |account: AccountEffects| {
        view.account(&account.account).is_ok_and(|record| account.holds(record.as_ref()))
    };
    let slot_holds = |slot: &SlotEffects| {
        let Some(read) = &slot.read else { return true };
        let account = effects.accounts.id(slot.account as usize);
        account
            .is_some_and(|account| view.slot(&account, &slot.key).is_ok_and(|value| value == *read))
    };
    effects.accounts.iter().all(account_holds) && effects.slots.iter().all(slot_holds)
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
