//! The chain that a block belongs to.

use std::path::Path;

use alloy_eips::eip7840::BlobParams;
use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::U256;
use polity_evm::spec::Fork;

use crate::{
    error::{BlockFault, FolderError},
    json,
};

/// The chain id of Ethereum mainnet.
pub const MAINNET_CHAIN_ID: u64 = 1;

/// The rules that a block is executed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Ethereum mainnet, whose fork schedule is well known.
    Mainnet,
    /// A chain that its genesis, in geth's format, describes. Its accounts are not needed.
    Custom(Box<Genesis>),
}

impl Chain {
    /// The EIP-155 chain id.
    pub fn id(&self) -> u64 {
        match self {
            Self::Mainnet => MAINNET_CHAIN_ID,
            Self::Custom(genesis) => genesis.config.chain_id,
        }
    }

    /// The genesis of a custom chain.
    pub fn genesis(&self) -> Option<&Genesis> {
        match self {
            Self::Mainnet => None,
            Self::Custom(genesis) => Some(genesis),
        }
    }
}

/// The newest fork that is active on a development chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DevFork {
    /// The market for fees, and everything before it: the last fork with proof of work, but for
    /// delays of the difficulty bomb.
    London,
    /// The merge.
    Paris,
    /// Withdrawals.
    Shanghai,
    /// Blobs and transient storage.
    Cancun,
    /// Delegated accounts and requests.
    Prague,
    /// Fusaka.
    #[default]
    Osaka,
    /// Fusaka with the first change of the blob parameters alone.
    Bpo1,
    /// Fusaka with the second change of the blob parameters alone.
    Bpo2,
}

impl DevFork {
    /// The fork that anvil's `anvil_nodeInfo` calls by this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "london" => Self::London,
            "paris" | "merge" => Self::Paris,
            "shanghai" => Self::Shanghai,
            "cancun" => Self::Cancun,
            "prague" => Self::Prague,
            "osaka" => Self::Osaka,
            "bpo1" => Self::Bpo1,
            "bpo2" => Self::Bpo2,
            _ => return None,
        })
    }
}

impl TryFrom<Fork> for DevFork {
    type Error = Fork;

    /// The same fork; the fork itself where no development chain has it as its newest.
    fn try_from(fork: Fork) -> Result<Self, Fork> {
        Self::from_name(fork.name()).ok_or(fork)
    }
}

/// The genesis of a development chain: every fork through `newest` active from block 0, the merge
/// among them unless `newest` is London. It has no accounts.
pub fn dev_genesis(chain_id: u64, newest: DevFork) -> Genesis {
    let since = |fork: DevFork| (newest >= fork).then_some(0);
    let merged = newest >= DevFork::Paris;
    let config = ChainConfig {
        chain_id,
        homestead_block: Some(0),
        dao_fork_support: false,
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: Some(0),
        istanbul_block: Some(0),
        muir_glacier_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        arrow_glacier_block: since(DevFork::Paris),
        gray_glacier_block: since(DevFork::Paris),
        merge_netsplit_block: since(DevFork::Paris),
        shanghai_time: since(DevFork::Shanghai),
        cancun_time: since(DevFork::Cancun),
        prague_time: since(DevFork::Prague),
        osaka_time: since(DevFork::Osaka),
        bpo1_time: since(DevFork::Bpo1),
        bpo2_time: since(DevFork::Bpo2),
        terminal_total_difficulty: merged.then_some(U256::ZERO),
        terminal_total_difficulty_passed: merged,
        blob_schedule: [(DevFork::Bpo1, Fork::Bpo1), (DevFork::Bpo2, Fork::Bpo2)]
            .into_iter()
            .filter(|(fork, _)| newest >= *fork)
            .filter_map(|(_, fork)| Some((fork.name().to_lowercase(), blob_params(fork)?)))
            .collect(),
        ..ChainConfig::default()
    };
    Genesis { config, ..Genesis::default() }
}

/// The blob parameters of a fork that only changes them, and therefore has to name them (EIP-7892),
/// as a file holds them: the limit per transaction and the reserve price follow from the fork.
fn blob_params(fork: Fork) -> Option<BlobParams> {
    let params = fork.standard_blob_params()?;
    Some(BlobParams { max_blobs_per_tx: params.max_blob_count, blob_base_cost: 0, ..params })
}

/// Reads a genesis file in geth's format.
///
/// # Errors
///
/// The file is absent, is not such a genesis, or has no `config.chainId`.
pub fn read_genesis(path: &Path) -> Result<Genesis, FolderError> {
    #[derive(serde::Deserialize)]
    struct Named {
        config: NamedConfig,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct NamedConfig {
        #[serde(rename = "chainId")]
        _chain_id: json::Quantity<u64>,
    }

    let text = json::read_file(path, "the genesis of the chain in geth's format")?;
    let content = |fault: BlockFault| FolderError::content(path, fault);
    json::parse::<Named>(&text).map(|Named { config: NamedConfig { .. } }| ()).map_err(content)?;
    json::parse(&text).map_err(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dev_genesis_round_trips_as_json() {
        for fork in [Fork::London, Fork::Paris, Fork::Osaka, Fork::Bpo2] {
            let genesis = dev_genesis(31337, fork.try_into().unwrap());
            let text = serde_json::to_vec(&genesis).unwrap();
            assert_eq!(json::parse::<Genesis>(&text).unwrap(), genesis);
            let block = polity_evm::genesis::GenesisBlock::new(&genesis).unwrap();
            assert_eq!(block.spec.fork_at(1, 1), fork);
        }
        assert_eq!(DevFork::try_from(Fork::Berlin), Err(Fork::Berlin));
        assert_eq!(dev_genesis(1, DevFork::Cancun).config.prague_time, None);
    }

    #[test]
    fn the_defaults_of_the_genesis_type_do_not_hide_a_missing_chain_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        std::fs::write(&path, r#"{"config": {"londonBlock": 0}}"#).unwrap();
        let error = read_genesis(&path).unwrap_err();
        assert!(error.to_string().contains("chainId"), "{error}");
    }
}
