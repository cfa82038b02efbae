//! Who runs what next, and who waits for whom.
//!
//! Knows nothing of what a transaction does. The unit is a *chunk* of
//! transactions that follow on each other, for a single one may be over faster
//! than it is handed out. Each chunk is idle, running, done (it ran ahead of its
//! turn) or committed. The *frontier* is the first that is not committed; it is
//! settled by the worker that holds the commit lock of [`super::Run`]. All
//! others run ahead, in order, no further than a window behind the frontier, and
//! only as long as that is mostly worth it. Where the frontier waits for a slow
//! state it always is: what runs ahead in vain has fetched what the turn reads.
//!
//! A worker with nothing to do sleeps until something changes; nobody spins.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;
#[cfg(feature = "shuttle")]
use shuttle::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
};
#[cfg(not(feature = "shuttle"))]
use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
};
use std::{sync::PoisonError, time::Duration};

/// How many chunks per thread may have run and wait for their turn.
const WINDOW_PER_THREAD: u32 = 4;

/// One, in the fixed-point numbers that vain executions are counted in.
const ONE: u32 = 1 << 16;

/// Above this share of vain executions, only half of the workers run ahead.
const OFTEN: u32 = ONE / 2;

/// Above this share, one chunk in [`PROBE`] is run ahead, to find out whether
/// it is worth it again.
const MOSTLY: u32 = ONE / 8 * 5;

/// See [`MOSTLY`].
const PROBE: u32 = 24;

/// A state that makes executions take so many times as long as their gas says is slow.
const STARVED: u32 = 4;

/// The weight of what was learned before, in chunks.
const MEMORY: u32 = 4;

pub(super) struct Schedule {
    chunks: u32,
    threads: u32,
    tasks: Vec<Mutex<Task>>,
    /// The first chunk that was never claimed to run ahead.
    fresh: AtomicU32,
    /// The first chunk that is not committed.
    frontier: AtomicU32,
    /// Chunks that waited and need not any more.
    again: Mutex<BinaryHeap<Reverse<u32>>>,
    again_count: AtomicUsize,
    /// Workers that run ahead right now.
    ahead: AtomicU32,
    /// The share of vain executions, as a moving average; see [`ONE`].
    vain: AtomicU32,
    /// Up to which chunk the frontier is taken to wait for the state rather than for a
    /// processor.
    starved: AtomicU32,
    stopped: AtomicBool,
    changes: AtomicU64,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

/// A chunk that missed an earlier result so often is left for its turn.
const TRIES: u32 = 2;

#[derive(Default)]
struct Task {
    status: Status,
    /// How often it missed an earlier result.
    missed: u32,
    /// Chunks that wait for this one.
    waiting: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Running,
    Done,
    Committed,
}

/// What there is to do at the frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Settle this chunk, whether it ran ahead or not; nobody else runs it.
    Settle(u32),
    /// Another worker runs the chunk, and will come when it is done.
    Busy,
    /// Every chunk is committed, or the block is given up.
    Over,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Schedule {
    pub(super) fn new(chunks: u32, threads: u32) -> Self {
        Self {
            chunks,
            threads,
            tasks: (0..chunks).map(|_| Mutex::default()).collect(),
            fresh: AtomicU32::new(0),
            frontier: AtomicU32::new(0),
            again: Mutex::default(),
            again_count: AtomicUsize::new(0),
            ahead: AtomicU32::new(0),
            vain: AtomicU32::new(0),
            starved: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    fn task(&self, index: u32) -> Option<MutexGuard<'_, Task>> {
        self.tasks.get(index as usize).map(lock)
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.stopped.load(SeqCst) || self.frontier.load(SeqCst) >= self.chunks
    }

    /// Gives the block up.
    pub(super) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wake_all();
    }

    /// What there is to do at the frontier. Only for the worker that holds the
    /// commit lock.
    pub(super) fn turn(&self) -> Turn {
        if self.is_over() {
            return Turn::Over;
        }
        let frontier = self.frontier.load(SeqCst);
        let Some(mut task) = self.task(frontier) else { return Turn::Over };
        match task.status {
            Status::Idle | Status::Done => {
                task.status = Status::Running;
                Turn::Settle(frontier)
            }
            Status::Running | Status::Committed => Turn::Busy,
        }
    }

    /// Whether [`Schedule::turn`] would have something to do.
    pub(super) fn has_turn(&self) -> bool {
        if self.is_over() {
            return false;
        }
        let frontier = self.frontier.load(SeqCst);
        self.task(frontier).is_some_and(|task| matches!(task.status, Status::Idle | Status::Done))
    }

    /// The first chunk that is not committed.
    pub(super) fn frontier(&self) -> u32 {
        self.frontier.load(SeqCst)
    }

    /// How many of the executions ahead of a chunk's turn were in vain, for how
    /// much of it is done.
    pub(super) fn learn(&self, vain: usize, of: usize) {
        let Some(share) = (u64::from(ONE) * vain as u64).checked_div(of as u64) else { return };
        let share = u32::try_from(share).unwrap_or(ONE).min(ONE);
        // Only the holder of the commit lock writes it.
        let before = self.vain.load(SeqCst);
        self.vain.store(before - before / MEMORY + share / MEMORY, SeqCst);
    }

    /// How long the frontier took for what it ran of a chunk, and how long that should take.
    pub(super) fn learn_pace(&self, index: u32, took: Duration, work: Duration) {
        if took > work.saturating_mul(STARVED) {
            // Running ahead is what keeps the next ones from waiting.
            self.starved.store(index.saturating_add(self.window()), SeqCst);
        }
    }

    /// Whether the frontier waits for the state rather than for a processor. Running ahead
    /// is then worth it even in vain: who runs again in its turn finds what it reads at hand.
    pub(super) fn is_starved(&self) -> bool {
        self.frontier.load(SeqCst) < self.starved.load(SeqCst)
    }

    /// How many chunks behind the frontier may have run.
    const fn window(&self) -> u32 {
        WINDOW_PER_THREAD.saturating_mul(self.threads)
    }

    /// The frontier's chunk is committed.
    pub(super) fn committed(&self, index: u32) {
        let waiting = self.task(index).map(|mut task| {
            task.status = Status::Committed;
            core::mem::take(&mut task.waiting)
        });
        self.frontier.store(index + 1, SeqCst);
        self.release(waiting.unwrap_or_default());
        if self.is_over() {
            self.wake_all();
        } else if self.may_run_ahead() {
            self.wake_one();
        }
    }

    /// How many workers may run ahead beside the one at the frontier.
    fn allowed(&self) -> u32 {
        let vain = self.vain.load(SeqCst);
        if vain < OFTEN || self.is_starved() {
            self.threads
        } else if vain < MOSTLY {
            (self.threads / 2).max(1)
        } else {
            u32::from(self.frontier.load(SeqCst).is_multiple_of(PROBE))
        }
    }

    fn may_run_ahead(&self) -> bool {
        if self.ahead.load(SeqCst) >= self.allowed() {
            return false;
        }
        let limit = self.frontier.load(SeqCst).saturating_add(self.window());
        self.again_count.load(SeqCst) > 0 || self.fresh.load(SeqCst) < limit.min(self.chunks)
    }

    /// A chunk to run ahead; nobody else runs it.
    pub(super) fn claim(&self) -> Option<u32> {
        while !self.is_over() && self.may_run_ahead() {
            let index = self.next()?;
            let Some(mut task) = self.task(index) else { continue };
            // The frontier may have overtaken it.
            if task.status == Status::Idle && index >= self.frontier.load(SeqCst) {
                task.status = Status::Running;
                drop(task);
                self.ahead.fetch_add(1, SeqCst);
                // Who was woken wakes the next, as long as there is something to do: that
                // wakes as many as are needed.
                if self.sleepers.load(SeqCst) > 0 && self.may_run_ahead() {
                    self.wake_one();
                }
                return Some(index);
            }
        }
        None
    }

    fn next(&self) -> Option<u32> {
        if self.again_count.load(SeqCst) > 0
            && let Some(Reverse(index)) = lock(&self.again).pop()
        {
            self.again_count.fetch_sub(1, SeqCst);
            return Some(index);
        }
        let limit = self.frontier.load(SeqCst).saturating_add(self.window());
        let claim = |fresh: u32| (fresh < limit.min(self.chunks)).then_some(fresh + 1);
        self.fresh.fetch_update(SeqCst, SeqCst, claim).ok()
    }

    /// A chunk that ran ahead is done.
    pub(super) fn done(&self, index: u32) {
        self.ahead.fetch_sub(1, SeqCst);
        let waiting = self.task(index).map(|mut task| {
            task.status = Status::Done;
            core::mem::take(&mut task.waiting)
        });
        self.release(waiting.unwrap_or_default());
    }

    /// A chunk that runs ahead needs what an earlier one writes.
    pub(super) fn wait(&self, index: u32, earlier: u32) {
        self.ahead.fetch_sub(1, SeqCst);
        let Some(mut task) = self.task(index) else { return };
        task.status = Status::Idle;
        task.missed += 1;
        if task.missed >= TRIES {
            return;
        }
        drop(task);
        let again = match self.task(earlier) {
            Some(mut task) if task.status == Status::Running => {
                task.waiting.push(index);
                false
            }
            _ => true,
        };
        if again {
            self.release(alloc::vec![index]);
        }
    }

    fn release(&self, waiting: Vec<u32>) {
        if waiting.is_empty() {
            return;
        }
        let mut again = lock(&self.again);
        self.again_count.fetch_add(waiting.len(), SeqCst);
        again.extend(waiting.into_iter().map(Reverse));
        drop(again);
        self.wake_one();
    }

    /// A number that is another after each change that may give a sleeper
    /// something to do.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// Sleeps until there was a change since `seen`.
    pub(super) fn sleep(&self, seen: u64) {
        let mut bed = lock(&self.bed);
        self.sleepers.fetch_add(1, SeqCst);
        while self.changes.load(SeqCst) == seen && !self.is_over() {
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// Wakes a sleeper, for there is something to do.
    fn wake_one(&self) {
        self.change(Condvar::notify_one);
    }

    /// Wakes all sleepers, for there is nothing left to do.
    fn wake_all(&self) {
        self.change(Condvar::notify_all);
    }

    fn change(&self, notify: impl FnOnce(&Condvar)) {
        self.changes.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            // A sleeper looks at the number with this lock held, so that it
            // either sees the new one or hears the bell.
            drop(lock(&self.bed));
            notify(&self.bell);
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    const CHUNKS: u32 = 4 * PROBE;
    const WORK: Duration = Duration::from_micros(10);

    /// Commits the frontier's chunk, after a run ahead in vain.
    fn commit_in_vain(schedule: &Schedule) {
        let index = schedule.frontier();
        assert_eq!(schedule.turn(), Turn::Settle(index));
        schedule.learn(1, 1);
        schedule.committed(index);
    }

    #[test]
    fn running_ahead_in_vain_ends_unless_the_state_is_slow() {
        let schedule = Schedule::new(CHUNKS, 2);
        while schedule.frontier() < PROBE + 1 {
            commit_in_vain(&schedule);
        }
        assert_eq!(schedule.claim(), None);
        // As long as its gas says, or a little longer.
        schedule.learn_pace(schedule.frontier(), Duration::from_micros(40), WORK);
        assert_eq!(schedule.claim(), None);
        schedule.learn_pace(schedule.frontier(), Duration::from_micros(41), WORK);
        let from = schedule.frontier();
        let claimed = schedule.claim();
        assert!(claimed.is_some());
        claimed.into_iter().for_each(|index| schedule.done(index));
        // It is slow no more.
        while schedule.frontier() < from + schedule.window() {
            assert!(schedule.is_starved());
            commit_in_vain(&schedule);
        }
        assert!(!schedule.is_starved());
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod interleavings {
    use super::*;
    use alloc::sync::Arc;
    use shuttle::{
        rand::{Rng, thread_rng},
        thread,
    };

    /// The life of a worker, with dice instead of chunks.
    fn work(schedule: &Schedule, committed: &Mutex<Vec<u32>>) {
        loop {
            let seen = schedule.changes();
            commit(schedule, committed);
            if schedule.is_over() {
                return;
            }
            match schedule.claim() {
                Some(index) if index > 0 && thread_rng().gen_ratio(1, 3) => {
                    schedule.wait(index, thread_rng().gen_range(0..index));
                }
                Some(index) => schedule.done(index),
                None => schedule.sleep(seen),
            }
        }
    }

    fn commit(schedule: &Schedule, committed: &Mutex<Vec<u32>>) {
        while schedule.has_turn() {
            let Ok(mut committed) = committed.try_lock() else { return };
            loop {
                let Turn::Settle(index) = schedule.turn() else { break };
                schedule.learn(thread_rng().gen_range(0..2), 1);
                let took = Duration::from_micros(thread_rng().gen_range(0..2));
                schedule.learn_pace(index, took, Duration::ZERO);
                committed.push(index);
                schedule.committed(index);
            }
        }
    }

    fn every_chunk_is_committed_once_and_in_order(chunks: u32, threads: u32) {
        let schedule = Arc::new(Schedule::new(chunks, threads));
        let committed = Arc::new(Mutex::new(Vec::new()));
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (schedule, committed) = (schedule.clone(), committed.clone());
                thread::spawn(move || work(&schedule, &committed))
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(committed.lock().unwrap().iter().copied().eq(0..chunks));
    }

    // A lost wake-up is a deadlock, which shuttle reports.
    #[test]
    fn any_interleaving_at_random() {
        shuttle::check_random(|| every_chunk_is_committed_once_and_in_order(6, 3), 5_000);
    }

    #[test]
    fn any_interleaving_with_few_preemptions() {
        shuttle::check_pct(|| every_chunk_is_committed_once_and_in_order(5, 2), 5_000, 4);
    }
}
