//! A chain that goes on from a block of another chain. What it did not write itself is asked from a
//! node of the other chain, at that block.

mod cache;
mod remote;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy_rpc_types_eth::Header;
use polity_evm::spec::{ChainSpec, Fork};
use polity_remote::{RemoteError, RpcOptions};
use serde::{Deserialize, Serialize};

use crate::genesis;

pub use remote::Remote;

/// The chain id of Ethereum's mainnet.
const MAINNET: u64 = 1;

/// What to fork.
#[derive(Clone, Debug)]
pub struct Forking {
    /// The node to ask.
    pub url: String,
    /// The block to go on from; its latest where it is not given.
    pub block: Option<u64>,
    /// The folder in which answers are kept; beside the chain where it is not given.
    pub cache: Option<PathBuf>,
    /// The chain id; the other chain's where it is not given.
    pub chain_id: Option<u64>,
    /// The rules; the other chain's where it is not given and they are known.
    pub hardfork: Option<Fork>,
    /// How long the node may take, and how often it is asked again.
    pub rpc: RpcOptions,
}

impl Forking {
    /// The latest block of a node.
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            block: None,
            cache: None,
            chain_id: None,
            hardfork: None,
            rpc: RpcOptions {
                timeout: std::time::Duration::from_secs(15),
                retries: 2,
                ..RpcOptions::default()
            },
        }
    }

    /// The rules of a fork from this block.
    ///
    /// # Errors
    /// The rules contradict themselves.
    pub fn spec(
        &self,
        origin: &Origin,
        newest: Fork,
    ) -> Result<ChainSpec, polity_evm::genesis::GenesisError> {
        let chain_id = self.chain_id.unwrap_or(origin.chain_id);
        let mut spec = match self.hardfork {
            None if origin.chain_id == MAINNET => ChainSpec::mainnet(),
            hardfork => {
                let config = genesis::config(chain_id, hardfork.unwrap_or(newest));
                polity_evm::genesis::chain_spec(&config, Default::default(), 0)?
            }
        };
        spec.chain_id = chain_id;
        spec.request_contracts_optional = true;
        spec.gateway = true;
        Ok(spec)
    }
}

/// The block that a chain goes on from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The id of the other chain.
    pub chain_id: u64,
    /// The block's header and hash, as the other chain has them.
    pub header: Header,
}

impl Origin {
    /// The name of the file in a chain's folder that says what it goes on from.
    const FILE: &str = "fork.json";

    /// The height.
    pub const fn number(&self) -> u64 {
        self.header.inner.number
    }

    /// What the chain in a folder goes on from; `None` where it is none that goes on from another,
    /// or there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stored(folder: &Path) -> Result<Option<Self>, ForkError> {
        let path = folder.join(Self::FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| ForkError::File(path.clone(), error))?,
        };
        let origin = serde_json::from_slice(&text);
        origin.map(Some).map_err(|error| ForkError::File(path, error.into()))
    }

    /// Writes down what the chain in a folder goes on from.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, folder: &Path) -> Result<(), ForkError> {
        let path = folder.join(Self::FILE);
        let half = path.with_extension("new");
        let write = || -> io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = fs::File::create(&half)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&half, &path)
        };
        write().map_err(|error| ForkError::File(path.clone(), error))
    }
}

/// Why a chain cannot be forked.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The node does not answer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A file cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The chain that is kept goes on from another block than the one that was asked for.
    #[error(
        "the folder holds a fork of block {stored}, not of block {asked}; leave --fork-block out, \
         or use another folder"
    )]
    Other {
        /// The block in the folder.
        stored: u64,
        /// The block that was asked for.
        asked: u64,
    },
    /// The chain that is kept goes on from another one, and this is not said.
    #[error("the folder holds a fork of block {0} of another chain; give --fork-url")]
    NotSaid(u64),
    /// The chain that is kept is none that goes on from another one.
    #[error("the folder holds a chain that is no fork; use another folder")]
    NoFork,
}
