//! The sample chain that ships in `examples/chain`.
//!
//! Contracts of our own, written in [assembly](assemble); transactions of every type, signed with
//! the well-known keys of development chains; headers that follow every rule of Ethereum. What the
//! transactions do is computed by revm alone, without Polity's engine, so that the folders are an
//! independent check of it. The same source always gives the same bytes.

mod assembler;
mod block;
mod contracts;
mod keys;
mod story;

pub use assembler::{AssembleError, assemble, deployment};
pub use keys::Key;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256};
use polity_evm::{genesis::GenesisError, header::HeaderError, receipt::ReceiptError};
use polity_replay::{DevFork, FolderError, WriteMode, dev_genesis};

use block::Builder;

/// The id of the chain, that of development chains.
pub const CHAIN_ID: u64 = 31_337;

/// Seconds of the genesis block: the begin of 2026.
const GENESIS_TIME: u64 = 1_767_225_600;

/// Why the chain cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A contract's source is wrong.
    #[error("{name}: {error}")]
    Assemble {
        /// The contract.
        name: &'static str,
        /// Why.
        error: AssembleError,
    },
    /// The genesis contradicts itself.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A header breaks a rule.
    #[error("block {number}: {error}")]
    Header {
        /// The block.
        number: u64,
        /// The rule.
        error: HeaderError,
    },
    /// The receipts cannot be made.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// revm refuses a transaction, or one ends otherwise than the story has it.
    #[error("block {number}: {reason}")]
    Execution {
        /// The block.
        number: u64,
        /// What happened.
        reason: String,
    },
    /// A key cannot sign.
    #[error("signing: {0}")]
    Signature(#[from] k256::ecdsa::Error),
    /// A folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the chain into a folder: `genesis.json`, the contracts' sources, and a block folder per
/// block. What the folder holds besides is left alone.
///
/// # Errors
/// The story does not go as written, or the system refuses.
pub fn write(target: &Path) -> Result<(), ChainError> {
    let genesis = genesis();
    let mut builder = Builder::new(&genesis)?;
    story::tell(&mut builder)?;
    for source in contracts::SOURCES {
        save(&target.join("contracts").join(source.name), source.text.as_bytes())?;
    }
    for folder in builder.folders {
        let path = target.join(folder.number().to_string());
        polity_replay::write(&folder, &path, WriteMode::Replace)?;
        // The one above holds for every block.
        let own = path.join("genesis.json");
        fs::remove_file(&own).map_err(|source| ChainError::Io { path: own, source })?;
    }
    let mut text = serde_json::to_vec_pretty(&genesis).unwrap_or_default();
    text.push(b'\n');
    save(&target.join("genesis.json"), &text)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), ChainError> {
    let error = |source| ChainError::Io { path: path.into(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(error)?;
    }
    fs::write(path, bytes).map_err(error)
}

/// Every fork through Osaka from the beginning, eight funded keys, and Ethereum's system contracts.
fn genesis() -> Genesis {
    let mut genesis = dev_genesis(CHAIN_ID, DevFork::Osaka);
    genesis.timestamp = GENESIS_TIME;
    genesis.gas_limit = 30_000_000;
    genesis.base_fee_per_gas = Some(1_000_000_000);
    genesis.extra_data = Bytes::from_static(b"Polity's sample chain");
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    for key in Key::ALL {
        let account = GenesisAccount::default().with_balance(ether * U256::from(10_000));
        genesis.alloc.insert(key.address(), account);
    }
    for (address, code) in system_contracts() {
        let account = GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code));
        genesis.alloc.insert(address, account);
    }
    genesis
}

/// The contracts that Ethereum's protocol calls (EIP-4788, EIP-2935, EIP-7002, EIP-7251).
fn system_contracts() -> [(Address, Bytes); 4] {
    use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
    [
        (eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()),
        (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
        (
            eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone(),
        ),
        (
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
        ),
    ]
}
