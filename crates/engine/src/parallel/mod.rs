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

mod memory;
mod schedule;

use crate::{
    Block, BlockError, BlockOutput, Overlay, OverlayError, Place, Sequential, SystemOutput,
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
use memory::{Memory, Shards, lock};
use polity_kernel::{
    Decoded, Executed, Halt, Kernel, Machines, Scratch, TransactionOutput, View, ViewError,
};
use polity_types::Effects;
use schedule::{Schedule, Turn};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, TryLockError},
};

/// See [`Parallel::with_least_gas`]. Waking the workers costs as much as
/// executing this: some tenths of a millisecond.
const LEAST_GAS: u64 = 5_000_000;

/// See [`chunks`].
const CHUNKS_PER_THREAD: u64 = 16;

/// Gas that takes some ten microseconds.
const LEAST_CHUNK_GAS: u64 = 200_000;

/// Gas that takes about a millisecond.
const MOST_CHUNK_GAS: u64 = 4_000_000;

std::thread_local! {
    /// The memory of a worker, kept from block to block.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Executes blocks on the calling thread and a pool of others that lives as
/// long as this does.
pub struct Parallel {
    pool: rayon::ThreadPool,
    threads: u32,
    least_gas: u64,
    sequential: Sequential,
    scratch: Scratch,
    shards: Shards,
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
    /// Whether the block was executed sequentially, being small.
    pub sequential: bool,
}

/// Looks on while a block is executed, from the threads that execute it.
pub trait Observer: Sync {
    /// A worker begins to run a transaction, in its turn or ahead of it.
    fn started(&self, _worker: usize, _transaction: usize, _in_turn: bool) {}

    /// The worker is done with it. `waits_for` is the earlier transaction whose
    /// result is missing, in which case it will run again.
    fn finished(&self, _worker: usize, _transaction: usize, _waits_for: Option<usize>) {}

    /// What the machines did before the first transaction.
    fn begun(&self, _begin: &[SystemOutput]) {}

    /// A transaction's output is final. Called in order, while later ones run.
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
            sequential: Sequential::new(),
            scratch: Scratch::default(),
            shards: Shards::new(),
        })
    }

    /// Executes blocks whose transactions may use less gas than this together
    /// sequentially.
    #[must_use]
    pub const fn with_least_gas(mut self, gas: u64) -> Self {
        self.least_gas = gas;
        self
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
        let transactions = block.transactions.len();
        let gas = block.transactions.iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.gas_limit));
        let small = transactions == 0 || gas < self.least_gas;
        if self.threads == 1 || small || u32::try_from(transactions).is_err() {
            let output = self.sequential.execute(machines, view, block)?;
            observer.begun(&output.begin);
            for (index, output) in output.transactions.iter().enumerate() {
                observer.committed(index, output);
            }
            observer.ended(&output.end);
            let executions = transactions;
            return Ok((output, Statistics { transactions, executions, sequential: true }));
        }
        let mut base = Overlay::over(view);
        let output = begin(machines, block, &mut base, &mut self.scratch)?;
        observer.begun(&output.begin);
        let chunks = chunks(block, gas, self.threads);
        let units = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let run = Run {
            machines,
            block,
            memory: Memory::new(&base, &mut self.shards),
            schedule: Schedule::new(units, self.threads),
            results: chunks.iter().map(|_| Mutex::default()).collect(),
            chunks,
            executions: AtomicUsize::new(0),
            commit: Mutex::new(Commit { output, error: None }),
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
        let Run { memory, commit, executions, .. } = run;
        let executions = executions.into_inner();
        let Commit { mut output, error } =
            commit.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error {
            return Err(error);
        }
        let after = memory.committed();
        let mut state = Overlay::over(&after);
        output.end = end(machines, block, &mut state, &mut self.scratch, &output.transactions)?;
        observer.ended(&output.end);
        Ok((output, Statistics { transactions, executions, sequential: false }))
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
    /// What running ahead gave, by chunk, for its first transactions.
    results: Vec<Mutex<Vec<Attempt>>>,
    executions: AtomicUsize,
    /// Held by the worker at the frontier.
    commit: Mutex<Commit>,
    observer: &'b dyn Observer,
}

struct Commit {
    /// What is final, but for the block's end.
    output: BlockOutput,
    error: Option<BlockError>,
}

/// Cuts the block so that each thread gets many chunks, but no chunk is over
/// faster than it is handed out.
fn chunks(block: &Block, gas: u64, threads: u32) -> Vec<Range<u32>> {
    let share = gas / u64::from(threads) / CHUNKS_PER_THREAD;
    let enough = share.clamp(LEAST_CHUNK_GAS, MOST_CHUNK_GAS);
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

/// What running a transaction gave.
type Attempt = Result<Executed, Halt>;

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
            let index = commit.output.transactions.len();
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

    /// Runs a transaction on what the ones before it have written so far, all
    /// of which is committed in its `turn`.
    fn attempt(&self, index: u32, turn: bool, worker: &mut Worker<'_>) -> Attempt {
        let tx = self.transaction(index)?;
        let view = if turn { self.memory.committed() } else { self.memory.ahead(index, tx) };
        worker.executions += 1;
        let number = worker.number as usize;
        self.observer.started(number, index as usize, turn);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            Kernel::new(self.machines, &self.block.context, &view, worker.scratch)
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
        let (Some(range), Some(results)) =
            (self.chunks.get(chunk as usize), self.results.get(chunk as usize))
        else {
            return;
        };
        let mut attempts = core::mem::take(&mut *lock(results));
        let done = u32::try_from(attempts.len()).unwrap_or_default();
        for index in range.start + done..range.end {
            let attempt = match self.attempt(index, false, worker) {
                Err(Halt::View(ViewError::NotReady(earlier))) => {
                    *lock(results) = attempts;
                    let giver = self.chunks.partition_point(|chunk| chunk.end <= earlier);
                    let giver = u32::try_from(giver).unwrap_or_default();
                    return self.schedule.wait(chunk, giver);
                }
                Ok(Executed::Included(output)) => {
                    let published = self.memory.publish(&output.effects, index);
                    published.map(|()| Executed::Included(output)).map_err(Halt::View)
                }
                other => other,
            };
            attempts.push(attempt);
        }
        *lock(results) = attempts;
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
                match self.settle_chunk(chunk, &mut commit, worker) {
                    Ok(()) => self.schedule.committed(chunk),
                    Err(error) => {
                        commit.error = Some(error);
                        self.schedule.stop();
                    }
                }
            }
        }
    }

    fn settle_chunk(
        &self,
        chunk: u32,
        commit: &mut Commit,
        worker: &mut Worker<'_>,
    ) -> Result<(), BlockError> {
        let results = self.results.get(chunk as usize);
        let attempts = results.map(|results| core::mem::take(&mut *lock(results)));
        let mut attempts = attempts.unwrap_or_default().into_iter();
        for index in self.chunks.get(chunk as usize).cloned().unwrap_or_default() {
            self.settle(index, attempts.next(), commit, worker)?;
        }
        Ok(())
    }

    /// Commits the transaction whose turn it is, by what running it ahead gave
    /// if that still holds, else by running it now.
    fn settle(
        &self,
        index: u32,
        ahead: Option<Attempt>,
        commit: &mut Commit,
        worker: &mut Worker<'_>,
    ) -> Result<(), BlockError> {
        let place = self.place(index as usize);
        let tx = self.transaction(index).map_err(at(place))?;
        commit.output.admit(self.machines, self.block, place, tx)?;
        let attempt = match ahead {
            None => self.attempt(index, true, worker),
            Some(ahead) => {
                let holds = self.still_holds(&ahead).map_err(at(place))?;
                self.schedule.learn(!holds);
                if holds {
                    ahead
                } else {
                    let old = written(&ahead);
                    let stale = old.map_or(Ok(()), |old| self.memory.mark_stale(old, index));
                    stale.map_err(|error| at(place)(error.into()))?;
                    let again = self.attempt(index, true, worker);
                    let withdrawn = old.map_or(Ok(()), |old| self.memory.withdraw(old, index));
                    withdrawn.map_err(|error| at(place)(error.into()))?;
                    again
                }
            }
        };
        let output = match attempt.map_err(at(place))? {
            Executed::Included(output) => output,
            Executed::Invalid { invalid, .. } => {
                return Err(BlockError::Invalid { place, invalid });
            }
        };
        if let Some(account) =
            self.memory.commit(&output.effects, index).map_err(|error| at(place)(error.into()))?
        {
            return Err(BlockError::Overlay { place, error: OverlayError::Balance(account) });
        }
        self.observer.committed(index as usize, &output);
        commit.output.include(tx, output);
        Ok(())
    }

    /// Whether running the transaction now would give the same.
    fn still_holds(&self, attempt: &Attempt) -> Result<bool, Halt> {
        match attempt {
            Ok(Executed::Included(output)) => Ok(self.memory.holds(&output.effects)?),
            Ok(Executed::Invalid { relied, .. }) => Ok(self.memory.holds(relied)?),
            // What it relied on is not known.
            Err(_) => Ok(false),
        }
    }
}

/// What an attempt has shown to the transactions behind it.
fn written(attempt: &Attempt) -> Option<&Effects> {
    match attempt {
        Ok(Executed::Included(output)) => Some(&output.effects),
        _ => None,
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
