use crate::StateError;
use polity_types::B256;
use std::path::PathBuf;

/// Why a state folder cannot be made or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// A new state was to be made where there is one.
    #[error("{} holds a state already; open it, or choose another folder", .0.display())]
    Exists(PathBuf),
    /// A new state was to be made among other files.
    #[error("{} is not empty; a new state takes a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    /// There is no state.
    #[error("{} holds no state; make one there first, or name the right folder", .0.display())]
    NoState(PathBuf),
    /// Another process has the state open, or this one already.
    #[error("{} is in use by another process; stop it, or wait until it ends", .0.display())]
    Locked(PathBuf),
    /// The folder was written by another version of this program.
    #[error(
        "{} has format {found}, this program reads and writes format {expected}; {}",
        path.display(),
        if found > expected {
            "use the newer program that wrote it"
        } else {
            "export a snapshot with the program that wrote it, and import that"
        }
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// This program's.
        expected: u32,
    },
    /// The state is of another chain.
    #[error("{} is a state of the chain {found}, not of {expected}", path.display())]
    OtherChain {
        /// The folder.
        path: PathBuf,
        /// Its chain.
        found: B256,
        /// The chain that was asked for.
        expected: B256,
    },
    /// The system keeps this process from asynchronous input and output.
    #[error(
        "the system denies io_uring to this process, and the trie on disk needs it; a container's \
         seccomp profile has to allow io_uring_setup, io_uring_enter and io_uring_register"
    )]
    NoIoUring,
    /// A store in the folder failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// An error of the operating system about a path.
pub(super) fn io(doing: &str, path: &std::path::Path, error: &dyn std::fmt::Display) -> StateError {
    let what = format!("cannot {doing} {}", path.display());
    StateError::Store { what, error: error.to_string() }
}

/// What is wrong with the files at a path.
pub(super) fn damaged(path: &std::path::Path, what: impl std::fmt::Display) -> StateError {
    StateError::Corrupt(format!("{} {what}", path.display()))
}
