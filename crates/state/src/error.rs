use alloc::string::{String, ToString};

use polity_kernel::ViewError;
use polity_types::AccountId;
use polity_verify::TrieError;

/// Why the state could not be read or changed.
///
/// What failed below (the operating system, a storage engine) is in the text:
/// an error reaches every thread that waits for the same commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A block was committed that is not the next one.
    #[error("block {found} cannot follow on block {head}")]
    Height {
        /// The height of the state.
        head: u64,
        /// The height of the block.
        found: u64,
    },
    /// The state has no block yet.
    #[error("the state is empty: commit a genesis first")]
    Empty,
    /// A genesis for a state that has one.
    #[error("the state is at block {0} already, and a genesis comes first")]
    NotEmpty(u64),
    /// The height is above the state's.
    #[error("no state of block {height}: the latest is that of block {head}")]
    Future {
        /// The height that was asked for.
        height: u64,
        /// The height of the state.
        head: u64,
    },
    /// The height is below what is kept of the history.
    #[error("no state of block {height} any more: the history begins at block {oldest}")]
    Pruned {
        /// The height that was asked for.
        height: u64,
        /// The oldest height that can be read.
        oldest: u64,
    },
    /// The view is of a block that was rolled back.
    #[error("block {0} was rolled back")]
    RolledBack(u64),
    /// A change of a balance does not fit the balance before.
    #[error("the change of the balance of {0} does not fit its balance: effects of another state")]
    Balance(AccountId),
    /// Slot effects name an account that the effects do not list.
    #[error("slot effects name account {0}, which the effects do not list")]
    Account(u32),
    /// A key is longer than stores can hold.
    #[error("a key of {length} bytes: at most {limit} can be stored")]
    KeyLength {
        /// Its length in bytes.
        length: usize,
        /// The most that is possible.
        limit: usize,
    },
    /// The view that a block was executed on failed.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The trie does not have what it must have.
    #[error("the state's trie: {0}")]
    Trie(#[from] TrieError),
    /// The store holds something that is never written.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The storage engine failed.
    #[error("{what}: {error}")]
    Store {
        /// What was done.
        what: String,
        /// What went wrong.
        error: String,
    },
    /// The disk is about to be full, and nothing was written.
    #[error(
        "{path} has {free} bytes left on its disk, and {needed} have to be free to commit; make \
         room there"
    )]
    Full {
        /// The state's folder.
        path: String,
        /// Free bytes.
        free: u64,
        /// Bytes that have to be free.
        needed: u64,
    },
    /// An earlier failure: the store on disk has to be opened again, which tells
    /// what it holds.
    #[error("{0} failed before and takes no more changes; open it again")]
    Stopped(String),
    /// The thread that commits is gone.
    #[error("the state was closed")]
    Closed,
}

impl From<StateError> for ViewError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::View(error) => error,
            other => Self::Store(other.to_string()),
        }
    }
}
