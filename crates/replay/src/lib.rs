//! Block folders: a block on disk together with the part of the state that it touches.
//!
//! A block folder is all that is needed to execute one block again, on any machine and offline.
//! [`discover`] finds the folders under a path, a [`Library`] opens them with every check that can
//! be made without executing, [`write()`] writes one, and [`fetch()`] takes one from any Ethereum node.
//!
//! # Layouts
//!
//! | file | full folder | flat folder |
//! | --- | --- | --- |
//! | `block.json` | the block as JSON-RPC gives it, with full transactions | |
//! | `ommers.json` | the headers of the ommers (optional) | |
//! | `env.json`, `txs.json` | | the block environment, and transactions that name their sender |
//! | `pre_state.json` | `{address: {balance, nonce, code_hash?, storage}}` before the block | the same |
//! | `bytecodes.json` | `{code_hash: code}` | the same |
//! | `block_hashes.json` | `{number: hash}` for BLOCKHASH (optional) | the same |
//! | `genesis.json` | geth's genesis format, for any chain but mainnet (optional) | |
//!
//! The last three may also lie one or two levels above, shared by a whole set of folders; the
//! nearest one wins. An account or a slot that is not in `pre_state.json` is empty.
//!
//! Files and nodes are not trusted: whatever they hold, the result is a value or an error that
//! names the file (or method) and the field, and never a panic.

mod archive;
mod block;
mod chain;
mod discover;
mod error;
mod fetch;
mod flat;
mod folder;
mod json;
mod library;
mod remote;
mod replay;
pub mod state;
mod transaction;
mod view;
mod write;

pub use archive::{ARCHIVE_NAME, DATA_VARIABLE, data_root, open_archive, unpacked};
pub use block::{FullBlock, SignedTransaction};
pub use chain::{Chain, DevFork, MAINNET_CHAIN_ID, dev_genesis, read_genesis};
pub use discover::{FolderKind, FolderPath, discover};
pub use error::{BlockFault, FetchError, FolderError};
pub use fetch::{
    AncestorHashes, BlockChoice, FetchOptions, Fetched, PreStateFrom, Progress, fetch,
};
pub use flat::{FlatBlock, FlatEnv, FlatTransaction};
pub use folder::{BlockFolder, FolderBlock, PreAccount, PreState};
pub use library::{Library, open};
pub use polity_remote::{RemoteError, RpcClient, RpcOptions, SourceAccount};
pub use remote::{RemoteBlock, RemoteState, Source, StateKeys};
pub use replay::{Compared, ExecuteError, Replay, ReplayError, Verdict};
pub use view::SourceView;
pub use write::{WriteMode, write};
