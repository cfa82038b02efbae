//! Time that the CPU worked. What else runs on the computer is not in it, apart from the caches that
//! it empties.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

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
