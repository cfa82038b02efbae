//! Errors. Every one names the place and says what can be done.

use std::{io, path::PathBuf};

use alloy_primitives::B256;

/// What is wrong with a block or a state, apart from where it was read.
#[derive(Debug, thiserror::Error)]
pub enum BlockFault {
    /// The text is not JSON, or a value has the wrong type.
    #[error("at `{field}`: {source}")]
    Json {
        /// JSON path of the value; `.` is the whole document.
        field: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A field that this kind of block or transaction must have is absent.
    #[error("at `{field}`: missing, but {reason}")]
    Missing {
        /// JSON path of the field.
        field: String,
        /// Why the field must be there.
        reason: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("at `{field}`: {reason}")]
    Invalid {
        /// JSON path of the field.
        field: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A value that can be computed from the rest of the block is a different one.
    #[error(
        "at `{field}`: {found} is written, but {computed_from} gives {computed}; the file was changed or is of another block: fetch it again"
    )]
    Mismatch {
        /// JSON path of the field.
        field: String,
        /// What the value was computed from.
        computed_from: &'static str,
        /// The computed value.
        computed: String,
        /// The value that was read.
        found: String,
    },
}

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
    /// The URL is not one of a node.
    #[error("node URL: {reason}; write it as http://HOST:PORT or https://HOST/PATH")]
    Url {
        /// What is wrong.
        reason: String,
    },
    /// The node was not reached or the connection broke, after all attempts.
    #[error(
        "{method} at {host}: {source} (attempt {attempts} of {attempts}); check that the node runs and is reachable, or raise the timeout"
    )]
    Transport {
        /// The node, without path and query, which may hold a key.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// What the transport says.
        source: Box<ureq::Error>,
    },
    /// The node answered with an HTTP status instead of JSON-RPC.
    #[error(
        "{method} at {host}: HTTP status {status}: {body}; check the URL, the key in it and the rate limit"
    )]
    Status {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The HTTP status code.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method} at {host}: error {code}: {message}")]
    Rpc {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// The state before the block is not to be had.
    #[error(
        "{method} at {host} for the state of block {block}: error {code}: {message}; a node prunes old state: take a recent block or an archive node"
    )]
    State {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The block whose state was asked for.
        block: u64,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// The answer is not what the method promises.
    #[error("{method} at {host}: {fault}")]
    Answer {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The field and what is wrong with it.
        fault: Box<BlockFault>,
    },
    /// The node does not have the block.
    #[error("{host}: has no block {block}; check the number, or wait until the node is in sync")]
    NoSuchBlock {
        /// The node, without path and query.
        host: String,
        /// The block as it was asked for.
        block: String,
    },
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
    /// Something was read that cannot be part of the state before the block.
    #[error("{what}: {reason}")]
    NotReadable {
        /// What was asked for.
        what: String,
        /// Why it cannot be had.
        reason: &'static str,
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

impl BlockFault {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }
}
