//! Time that the CPU worked. What else runs on the computer is not in it, apart from the caches that
//! it empties.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Runs `run` and gives its result and the time that the CPU worked for this thread.
pub(crate) fn time<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    by(ClockId::ThreadCPUTime, run)
}

/// The same for all threads of the process.
pub(crate) fn process<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    by(ClockId::ProcessCPUTime, run)
}

fn by<T>(clock: ClockId, run: impl FnOnce() -> T) -> (T, Duration) {
    let now = || Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let start = now();
    let result = run();
    (result, now().saturating_sub(start))
}

/// The least time of several runs, each clock for itself.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Times {
    pub(crate) wall: Duration,
    pub(crate) processor: Duration,
}

impl Times {
    /// Nothing was measured.
    pub(crate) const NONE: Self = Self { wall: Duration::ZERO, processor: Duration::ZERO };

    pub(crate) const LONGEST: Self = Self { wall: Duration::MAX, processor: Duration::MAX };

    /// Runs `run`, all threads of the process counted.
    pub(crate) fn measure<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let (result, processor) = process(run);
        self.wall = self.wall.min(start.elapsed());
        self.processor = self.processor.min(processor);
        result
    }
}
