//! The data that is too large to commit.

use std::path::PathBuf;

/// The folder that the environment variable `POLITY_DATA` names, unpacked where it holds the
/// archive; or a note that the test did not run.
///
/// # Panics
/// Where the variable is set and the data cannot be had: that is a failure, not a reason to skip.
#[expect(clippy::panic, clippy::print_stdout, reason = "a helper of tests")]
pub fn root() -> Option<PathBuf> {
    match polity_replay::data_root() {
        Ok(Some(root)) => Some(root),
        Ok(None) => {
            println!("skipped: POLITY_DATA unset");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
