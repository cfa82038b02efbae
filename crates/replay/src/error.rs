//! Errors. Every one names the place and says what can be done.

use std::{io, path::PathBuf};

use alloy_primitives::B256;
use polity_remote::RemoteError;

pub use polity_remote::BlockFault;

/// Why a block folder or a data archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A path that was named does not exist or holds no block folder.
    #[error(
        "{}: no block folder here or up to {depth} levels below; a block folder holds `block.json` and `pre_state.json`, or `env.json`, `txs.json` and `pre_state.json`",
        path.display()
    )]
    NothingFound {
        /// The path that was searched.
        path: PathBuf,
        /// How many levels were searched.
        depth: usize,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}; check that the path exists, its permissions and the free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A block folder lacks a file that it must have.
    #[error("{}: missing file, {help}", path.display())]
    MissingFile {
        /// The file that is not there.
        path: PathBuf,
        /// What the file is for and how to get it.
        help: &'static str,
    },
    /// A file is larger than any real one.
    #[error("{}: {size} bytes, and the limit is {limit}; this is no file of a block folder", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size accepted, in bytes.
        limit: u64,
    },
    /// A file does not hold what it should.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The field and what is wrong with it.
        fault: Box<BlockFault>,
    },
    /// An account has a code that no `bytecodes.json` holds.
    #[error(
        "{}: at `{field}`: code {code_hash} is in none of {searched}; add it there, or fetch the block again",
        path.display()
    )]
    MissingCode {
        /// The `pre_state.json` that names the code.
        path: PathBuf,
        /// JSON path of the code hash.
        field: String,
        /// The hash without a code.
        code_hash: B256,
        /// The files that were searched.
        searched: String,
    },
    /// A code is stored under a key that is not its hash.
    #[error(
        "{}: at `{field}`: the code there has the keccak256 {computed}; the file was changed: restore it or fetch the block again",
        path.display()
    )]
    WrongCode {
        /// The `bytecodes.json`.
        path: PathBuf,
        /// JSON path of the code: the hash it is stored under.
        field: String,
        /// The real hash of the code.
        computed: B256,
    },
    /// The target of a write exists already.
    #[error("{}: exists already; choose another folder or allow replacing it", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The folder cannot be written in the full layout.
    #[error("{}: cannot be written: at `{field}`: {reason}", path.display())]
    Unwritable {
        /// The target.
        path: PathBuf,
        /// The field of the block folder.
        field: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A data archive holds something that must not be unpacked.
    #[error("{}: entry `{entry}`: {reason}; nothing was unpacked: get the archive again from a source you trust", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The entry, as the archive names it.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An environment variable points nowhere.
    #[error("{variable}={value}: {reason}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        reason: &'static str,
    },
}

/// Why a block cannot be fetched from a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The node does not answer as it should.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The genesis block has no transactions and no state before it.
    #[error(
        "block 0 is the genesis: there is no state before it to execute on; take a later block"
    )]
    Genesis,
    /// The rules of the chain are not known.
    #[error(
        "chain {chain_id} is not mainnet: give its geth genesis file, or say that it is a development chain with every fork active"
    )]
    UnknownChain {
        /// The chain id of the node.
        chain_id: u64,
    },
    /// The genesis file is of another chain than the node.
    #[error(
        "the genesis file is of chain {genesis}, but the node is on chain {node}; give the genesis of the node's chain"
    )]
    WrongGenesis {
        /// The chain id in the genesis file.
        genesis: u64,
        /// The chain id of the node.
        node: u64,
    },
    /// Answers to two calls belong to different branches of the chain.
    #[error(
        "block {number}: {found} instead of {expected}; the node changed its branch meanwhile: fetch again"
    )]
    Reorganised {
        /// The block.
        number: u64,
        /// What the first answers say.
        expected: B256,
        /// What a later answer says.
        found: B256,
    },
}

impl FolderError {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.into(), action, source }
    }

    pub(crate) fn content(path: impl Into<PathBuf>, fault: BlockFault) -> Self {
        Self::Content { path: path.into(), fault: Box::new(fault) }
    }
}
