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
//! - a transaction runs at most once in its turn, and no input stops progress:
//!   the worker at the frontier needs nothing from any other;
//! - where running ahead is mostly in vain, because everything depends on
//!   everything, the [`schedule`] lets fewer workers do it, down to one, which
//!   is sequential execution.
//!
//! Outputs are handed over in order, while later transactions still run.

mod memory;
mod schedule;

use crate::{
    Block, BlockError, BlockOutput, Overlay, OverlayError, Place, Sequential,
    sequential::{at, begin, end, no_totals},
};
use alloc::{format, string::String, vec::Vec};
use core::{any::Any, cell::RefCell, num::NonZeroUsize};
use memory::{Memory, Shards};
use polity_kernel::{
    Executed, Halt, Invalid, Kernel, Machines, Scratch, Totals, TransactionOutput, View, ViewError,
};
use polity_types::{Effects, MachineKind};
use schedule::{Schedule, Turn};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

/// See [`Parallel::with_least_gas`]: waking a worker costs more than so little
/// gas does.
const LEAST_GAS: u64 = 400_000;

std::thread_local! {
    /// The memory of a worker, kept from block to block.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Executes blocks on a pool of threads that lives as long as this does.
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

    /// A transaction's output is final. Called in order, while later ones run.
    fn committed(&self, _transaction: usize, _output: &TransactionOutput) {}
}

/// Nobody looks on.
impl Observer for () {}

impl Parallel {
    /// An engine with this many threads.
    ///
    /// # Errors
    /// The system refuses to start them.
    pub fn new(threads: NonZeroUsize) -> Result<Self, PoolError> {
        let refused = |reason: String| PoolError { threads: threads.get(), reason };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("polity-{index}"))
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
        if self.threads == 1 || transactions == 0 || gas < self.least_gas {
            let output = self.sequential.execute(machines, view, block)?;
            for (index, output) in output.transactions.iter().enumerate() {
                observer.committed(index, output);
            }
            let executions = transactions;
            return Ok((output, Statistics { transactions, executions, sequential: true }));
        }
        let Ok(count) = u32::try_from(transactions) else {
            let output = self.sequential.execute(machines, view, block)?;
            return Ok((
                output,
                Statistics { transactions, executions: transactions, sequential: true },
            ));
        };
        let mut base = Overlay::over(view);
        let begin = begin(machines, block, &mut base, &mut self.scratch)?;
        let run = Run {
            machines,
            block,
            memory: Memory::new(&base, &mut self.shards),
            schedule: Schedule::new(count, self.threads),
            results: (0..count).map(|_| Mutex::default()).collect(),
            commit: Mutex::new(Commit {
                outputs: Vec::with_capacity(transactions),
                totals: no_totals(machines),
                error: None,
            }),
            observer,
        };
        self.pool.scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|_| run.work());
            }
        });
        let executions = run.schedule.executions();
        let Run { memory, commit, .. } = run;
        let Commit { outputs: transactions, totals, error } =
            commit.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error {
            return Err(error);
        }
        let after = memory.at(count);
        let mut state = Overlay::over(&after);
        let end = end(machines, block, &mut state, &mut self.scratch, &transactions)?;
        let statistics =
            Statistics { transactions: transactions.len(), executions, sequential: false };
        Ok((BlockOutput { begin, transactions, end, totals }, statistics))
    }
}

/// The execution of one block.
struct Run<'b> {
    machines: &'b Machines,
    block: &'b Block,
    memory: Memory<'b>,
    schedule: Schedule,
    /// What running ahead gave, by transaction.
    results: Vec<Mutex<Option<Attempt>>>,
    /// Held by the worker at the frontier.
    commit: Mutex<Commit>,
    observer: &'b dyn Observer,
}

struct Commit {
    outputs: Vec<TransactionOutput>,
    totals: Vec<(MachineKind, Totals)>,
    error: Option<BlockError>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What running a transaction gave.
type Attempt = Result<Executed, Halt>;

impl Run<'_> {
    /// The life of a worker, until the block is done.
    fn work(&self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            SCRATCH.with(|scratch| {
                let mut scratch = scratch.borrow_mut();
                loop {
                    let seen = self.schedule.changes();
                    self.commit(&mut scratch);
                    if self.schedule.is_over() {
                        return;
                    }
                    match self.schedule.claim() {
                        Some(index) => self.run_ahead(index, &mut scratch),
                        None => self.schedule.sleep(seen),
                    }
                }
            });
        }));
        // A panic of the engine's own: the others must not wait for this one.
        if let Err(panic) = worked {
            let mut commit = lock(&self.commit);
            let index = commit.outputs.len();
            let halt = Halt::Fault(format!("a worker panicked: {}", message(&*panic)));
            commit.error.get_or_insert(BlockError::Halt { place: self.place(index), halt });
            self.schedule.stop();
        }
    }

    fn place(&self, index: usize) -> Place {
        let hash = self.block.transactions.get(index).map(|tx| tx.hash).unwrap_or_default();
        Place::Transaction(index, hash)
    }

    /// Runs a transaction on what the ones before it have written so far, all
    /// of which is committed in its `turn`.
    fn attempt(&self, index: u32, turn: bool, scratch: &mut Scratch) -> Attempt {
        let Some(tx) = self.block.transactions.get(index as usize) else {
            return Err(Halt::Fault(format!("the block has no transaction {index}")));
        };
        let view = if turn { self.memory.at(index) } else { self.memory.ahead(index, tx) };
        let worker = rayon::current_thread_index().unwrap_or_default();
        self.observer.started(worker, index as usize, turn);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            Kernel::new(self.machines, &self.block.context, &view, scratch)
                .transact(tx, self.block.transaction_limit)
        }));
        let attempt = attempt.unwrap_or_else(|panic| {
            // The sessions may be in any state.
            *scratch = Scratch::default();
            Err(Halt::Fault(format!("machine {} panicked: {}", tx.machine, message(&*panic))))
        });
        let waits_for = match &attempt {
            Err(Halt::View(ViewError::NotReady(earlier))) => Some(*earlier as usize),
            _ => None,
        };
        self.observer.finished(worker, index as usize, waits_for);
        attempt
    }

    /// Runs a transaction before its turn. Whatever comes of it is checked in
    /// its turn; a failure to run it as well, for it may come of guesses.
    fn run_ahead(&self, index: u32, scratch: &mut Scratch) {
        let attempt = match self.attempt(index, false, scratch) {
            Err(Halt::View(ViewError::NotReady(earlier))) => {
                return self.schedule.wait(index, earlier);
            }
            Ok(Executed::Included(output)) => {
                let published = self.memory.publish(&output.effects, index);
                published.map(|()| Executed::Included(output)).map_err(Halt::View)
            }
            other => other,
        };
        if let Some(result) = self.results.get(index as usize) {
            *lock(result) = Some(attempt);
        }
        self.schedule.done(index);
    }

    /// Commits as many transactions as there are to commit, unless another
    /// worker does.
    fn commit(&self, scratch: &mut Scratch) {
        while self.schedule.has_turn() {
            let mut commit = match self.commit.try_lock() {
                Ok(commit) => commit,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // It looks again after it has let go of the lock.
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let settled = match self.schedule.turn() {
                    Turn::Run(index) => self.settle(index, None, &mut commit, scratch),
                    Turn::Check(index) => {
                        let result = self.results.get(index as usize).and_then(|r| lock(r).take());
                        self.settle(index, result, &mut commit, scratch)
                    }
                    Turn::Busy | Turn::Over => break,
                };
                if let Err(error) = settled {
                    commit.error = Some(error);
                    self.schedule.stop();
                }
            }
        }
    }

    /// Commits the transaction whose turn it is, by what running it ahead gave
    /// if that still holds, else by running it now.
    fn settle(
        &self,
        index: u32,
        ahead: Option<Attempt>,
        commit: &mut Commit,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        let place = self.place(index as usize);
        self.admit(index, commit)?;
        let attempt = match ahead {
            None => self.attempt(index, true, scratch),
            Some(ahead) => {
                let holds = self.still_holds(&ahead, index).map_err(at(place))?;
                self.schedule.learn(!holds);
                if holds {
                    ahead
                } else {
                    self.schedule.run_again(index);
                    let old = written(&ahead);
                    let stale = old.map_or(Ok(()), |old| self.memory.mark_stale(old, index));
                    stale.map_err(|error| at(place)(error.into()))?;
                    let again = self.attempt(index, true, scratch);
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
        commit.accept(&output);
        self.observer.committed(index as usize, &output);
        commit.outputs.push(output);
        self.schedule.committed(index);
        Ok(())
    }

    /// The machine's own block limits, by what is committed.
    fn admit(&self, index: u32, commit: &Commit) -> Result<(), BlockError> {
        let Some(tx) = self.block.transactions.get(index as usize) else { return Ok(()) };
        let Some(machine) = self.machines.get(tx.machine) else { return Ok(()) };
        let used = commit.totals.iter().find(|(kind, _)| *kind == tx.machine);
        let used = used.map(|(_, used)| *used).unwrap_or_default();
        let admitted: Result<(), Invalid> = machine.admit(tx, &used, &self.block.context);
        let place = self.place(index as usize);
        admitted.map_err(|invalid| BlockError::Invalid { place, invalid })
    }

    /// Whether running the transaction now would give the same.
    fn still_holds(&self, attempt: &Attempt, index: u32) -> Result<bool, Halt> {
        match attempt {
            Ok(Executed::Included(output)) => Ok(self.memory.holds(&output.effects, index)?),
            Ok(Executed::Invalid { relied, .. }) => Ok(self.memory.holds(relied, index)?),
            // What it relied on is not known.
            Err(_) => Ok(false),
        }
    }
}

impl Commit {
    fn accept(&mut self, output: &TransactionOutput) {
        let machine = output.receipt.machine;
        if let Some((_, totals)) = self.totals.iter_mut().find(|(kind, _)| *kind == machine) {
            totals.add(&output.receipt);
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
