//! Time that the CPU worked for this thread. What else runs on the computer is not in it, apart
//! from the caches that it empties.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The thread's CPU time so far.
fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// Runs `run` and gives its result and the CPU time that it took.
pub(crate) fn time<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let result = run();
    (result, now().saturating_sub(start))
}
