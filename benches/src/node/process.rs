//! What the operating system knows of another process.

use eyre::{ContextCompat, WrapErr};
use std::{fs, time::Duration};

/// The time that the CPU worked for a process, its threads that ended included.
pub(super) fn processor(id: u32) -> eyre::Result<Duration> {
    let path = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&path).wrap_err_with(|| path.clone())?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')').wrap_err("a stat without a name")?;
    let field = |index: usize| rest.split_whitespace().nth(index)?.parse::<u64>().ok();
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
    let ticks = ticks.wrap_err("a stat without times")?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// The bytes of memory that a process holds, and the most that it held.
pub(super) fn memory(id: u32) -> eyre::Result<(u64, u64)> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).wrap_err_with(|| path.clone())?;
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let found = kibibytes("VmRSS:").zip(kibibytes("VmHWM:"));
    found.map(|(now, most)| (now << 10, most << 10)).wrap_err("a status without memory")
}
