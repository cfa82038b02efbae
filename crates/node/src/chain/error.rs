use std::path::PathBuf;

use alloy_primitives::B256;
use polity_engine::{BlockError, PoolError};
use polity_evm::{genesis::GenesisError, header::HeaderError, receipt::ReceiptError};
use polity_kernel::{RegistrationError, ViewError};
use polity_state::{StateError, disk::DiskError};

use super::StoreError;

/// Why the chain cannot be opened, read or continued.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The genesis file contradicts itself.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The machines do not fit together.
    #[error(transparent)]
    Machines(#[from] RegistrationError),
    /// No threads.
    #[error(transparent)]
    Threads(#[from] PoolError),
    /// The store of blocks failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The state cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The next block's header cannot be worked out.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The receipts of a block cannot be made.
    #[error(transparent)]
    Receipts(#[from] ReceiptError),
    /// A block could not be executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The state on disk cannot be opened.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The folder cannot be made.
    #[error("making the folder {}: {}", .0.display(), .1)]
    Folder(PathBuf, std::io::Error),
    /// The block to go back to is not in the chain.
    #[error("block {0} is not in the chain")]
    NotAncestor(B256),
    /// State without blocks.
    #[error("the state is at block {state}, but the store of blocks ends at {blocks:?}")]
    StateAhead {
        /// The height of the state.
        state: u64,
        /// The last block.
        blocks: Option<u64>,
    },
    /// Blocks without state.
    #[error("the store of blocks ends at {blocks}, but the state is at {state:?}")]
    StateBehind {
        /// The height of the state.
        state: Option<u64>,
        /// The last block.
        blocks: u64,
    },
    /// The state is not the one that the block names.
    #[error("block {number} names the state root {stated}, but the state's root is {found}")]
    Root {
        /// The block.
        number: u64,
        /// The root in its header.
        stated: B256,
        /// The state's root.
        found: B256,
    },
}
