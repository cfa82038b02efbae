//! A chain's beginning from a genesis file in geth's format.
//!
//! The file itself is read by `alloy_genesis::Genesis` (serde); [`GenesisBlock::new`] makes of it
//! the rules, the header and the accounts, or says which part of the file contradicts another.

use alloc::{string::String, vec::Vec};

use alloy_consensus::{EMPTY_ROOT_HASH, Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH, eip7840::BlobParams};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use alloy_trie::root::state_root_unhashed;

use crate::spec::{Activation, ChainSpec, DaoFork, Fork, SpecError};

/// The gas limit of a genesis block whose file gives none (geth's default).
pub const DEFAULT_GAS_LIMIT: u64 = 4_712_388;

/// One account of the genesis state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The account.
    pub address: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Its balance in wei.
    pub balance: U256,
    /// Its code; empty if it has none.
    pub code: Bytes,
    /// Its storage, ascending by slot, without zero values.
    pub storage: Vec<(U256, U256)>,
}

/// Block 0 of a chain, and the rules of what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisBlock {
    /// The rules.
    pub spec: ChainSpec,
    /// The header. Its `state_root` is Ethereum's (the Merkle-Patricia root of `alloc`), so that
    /// its hash is the one that other clients know; a chain with another state trie replaces it.
    pub header: Header,
    /// The accounts, ascending by address.
    pub alloc: Vec<Allocation>,
}

/// Why a genesis file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The forks contradict each other.
    #[error("genesis: {0}")]
    Spec(#[from] SpecError),
    /// EIP-155 and EIP-158 are both Spurious Dragon here; the file splits it.
    #[error("genesis: eip155Block is {eip155:?}, eip158Block is {eip158:?}; they must be the same")]
    SplitSpuriousDragon {
        /// `config.eip155Block`.
        eip155: Option<u64>,
        /// `config.eip158Block`.
        eip158: Option<u64>,
    },
    /// A fork whose rules are not known here.
    #[error("genesis: fork `{name}` is not supported")]
    UnsupportedFork {
        /// The field of `config`.
        name: &'static str,
    },
    /// A seal that is neither Ethash's nor the beacon chain's.
    #[error("genesis: consensus engine `{name}` is not supported")]
    UnsupportedConsensus {
        /// The field of `config`.
        name: &'static str,
    },
    /// The DAO fork comes before Homestead, whose rules it builds on.
    #[error("genesis: daoForkBlock {dao} is before homesteadBlock {homestead:?}")]
    DaoBeforeHomestead {
        /// `config.daoForkBlock`.
        dao: u64,
        /// `config.homesteadBlock`.
        homestead: Option<u64>,
    },
    /// A blob-parameter-only fork is scheduled without parameters.
    #[error("genesis: blobSchedule has no entry for {fork}")]
    MissingBlobParams {
        /// The fork.
        fork: Fork,
    },
    /// `blobSchedule` has an entry that names no fork with blobs.
    #[error("genesis: blobSchedule has an entry for unknown fork `{name}`")]
    UnknownBlobParams {
        /// The name as given.
        name: String,
    },
    /// A quantity does not fit its field in the header.
    #[error("genesis: {field} is {found}, above 2^64")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u128,
    },
}

impl GenesisBlock {
    /// Reads a genesis file.
    ///
    /// What the file leaves out is filled in as geth does: the gas limit ([`DEFAULT_GAS_LIMIT`]),
    /// the base fee (1 gwei, EIP-1559), no blob gas (EIP-4844), the empty withdrawals root
    /// (EIP-4895), a zero parent beacon root (EIP-4788), the empty requests hash (EIP-7685).
    ///
    /// # Errors
    /// A [`GenesisError`] that names the inconsistent part.
    pub fn new(genesis: &Genesis) -> Result<Self, GenesisError> {
        let number = genesis.number.unwrap_or(0);
        let spec = chain_spec(&genesis.config, genesis.difficulty, number)?;
        let header = header(genesis, &spec, number)?;
        let alloc = genesis.alloc.iter().map(allocation).collect();
        Ok(Self { spec, header, alloc })
    }
}

fn allocation((address, account): (&Address, &GenesisAccount)) -> Allocation {
    let slots = account.storage_slots().filter(|(_, value)| !value.is_zero());
    Allocation {
        address: *address,
        nonce: account.nonce.unwrap_or(0),
        balance: account.balance,
        code: account.code.clone().unwrap_or_default(),
        storage: slots.map(|(slot, value)| (U256::from_be_bytes(slot.0), value)).collect(),
    }
}

fn header(genesis: &Genesis, spec: &ChainSpec, number: u64) -> Result<Header, GenesisError> {
    let fork = spec.fork_at(number, genesis.timestamp);
    let base_fee = genesis.base_fee_per_gas.map(|fee| {
        u64::try_from(fee)
            .map_err(|_| GenesisError::TooLarge { field: "baseFeePerGas", found: fee })
    });
    let from = |first: Fork| fork >= first;
    let blob_gas = |given: Option<u64>| from(Fork::Cancun).then_some(given.unwrap_or(0));
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or(B256::ZERO),
        beneficiary: genesis.coinbase,
        state_root: state_root_unhashed(
            genesis.alloc.iter().map(|(address, account)| (*address, account.clone())),
        ),
        difficulty: genesis.difficulty,
        number,
        gas_limit: if genesis.gas_limit == 0 { DEFAULT_GAS_LIMIT } else { genesis.gas_limit },
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce.to_be_bytes()),
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        base_fee_per_gas: match base_fee.transpose()? {
            Some(fee) => Some(fee),
            None => from(Fork::London).then_some(INITIAL_BASE_FEE),
        },
        withdrawals_root: from(Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: blob_gas(genesis.blob_gas_used),
        excess_blob_gas: blob_gas(genesis.excess_blob_gas),
        parent_beacon_block_root: from(Fork::Cancun).then_some(B256::ZERO),
        requests_hash: from(Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// The rules of a chain, from the `config` of its genesis file. `difficulty` and `number` are the
/// genesis block's: they decide whether the chain begins merged.
///
/// - Petersburg begins with Constantinople where the file does not say (as geth has it).
/// - Paris: at genesis if `terminalTotalDifficulty` is zero, at the first block if the genesis
///   difficulty reaches it, else by total difficulty, and at the latest at `mergeNetsplitBlock`.
/// - The deposit contract is mainnet's unless `depositContractAddress` says otherwise.
/// - Cancun, Prague and Osaka have the standard blob parameters unless `blobSchedule` says
///   otherwise; a BPO fork must be in it.
///
/// # Errors
/// A [`GenesisError`] that names the inconsistent part.
pub fn chain_spec(
    config: &ChainConfig,
    difficulty: U256,
    number: u64,
) -> Result<ChainSpec, GenesisError> {
    if config.amsterdam_time.is_some() {
        return Err(GenesisError::UnsupportedFork { name: "amsterdamTime" });
    }
    if config.bogota_time.is_some() {
        return Err(GenesisError::UnsupportedFork { name: "bogotaTime" });
    }
    let total = config.terminal_total_difficulty;
    let merged_at_genesis = total.is_some_and(|total| total.is_zero());
    if config.parlia.is_some() {
        return Err(GenesisError::UnsupportedConsensus { name: "parlia" });
    }
    if config.clique.is_some() && !merged_at_genesis {
        return Err(GenesisError::UnsupportedConsensus { name: "clique" });
    }
    if config.eip155_block != config.eip158_block {
        return Err(GenesisError::SplitSpuriousDragon {
            eip155: config.eip155_block,
            eip158: config.eip158_block,
        });
    }

    let paris = total.map(|total| match config.merge_netsplit_block {
        _ if total.is_zero() => Activation::Block(0),
        _ if difficulty >= total => {
            Activation::TotalDifficulty { total, known_by: number.checked_add(1) }
        }
        known_by => Activation::TotalDifficulty { total, known_by },
    });
    let block = |fork, at: Option<u64>| Some((fork, Activation::Block(at?)));
    let time = |fork, at: Option<u64>| Some((fork, Activation::Timestamp(at?)));
    let petersburg = config.petersburg_block.or(config.constantinople_block);
    let forks = [
        block(Fork::Homestead, config.homestead_block),
        block(Fork::Tangerine, config.eip150_block),
        block(Fork::SpuriousDragon, config.eip158_block),
        block(Fork::Byzantium, config.byzantium_block),
        block(Fork::Constantinople, config.constantinople_block),
        block(Fork::Petersburg, petersburg),
        block(Fork::Istanbul, config.istanbul_block),
        block(Fork::MuirGlacier, config.muir_glacier_block),
        block(Fork::Berlin, config.berlin_block),
        block(Fork::London, config.london_block),
        block(Fork::ArrowGlacier, config.arrow_glacier_block),
        block(Fork::GrayGlacier, config.gray_glacier_block),
        paris.map(|at| (Fork::Paris, at)),
        time(Fork::Shanghai, config.shanghai_time),
        time(Fork::Cancun, config.cancun_time),
        time(Fork::Prague, config.prague_time),
        time(Fork::Osaka, config.osaka_time),
        time(Fork::Bpo1, config.bpo1_time),
        time(Fork::Bpo2, config.bpo2_time),
        time(Fork::Bpo3, config.bpo3_time),
        time(Fork::Bpo4, config.bpo4_time),
        time(Fork::Bpo5, config.bpo5_time),
    ];
    let mut spec = ChainSpec::new(config.chain_id, forks.into_iter().flatten())?;

    if let Some(contract) = config.deposit_contract_address {
        spec.deposit_contract = contract;
    }
    if let Some(dao) = config.dao_fork_block {
        if config.homestead_block.is_none_or(|homestead| dao < homestead) {
            return Err(GenesisError::DaoBeforeHomestead {
                dao,
                homestead: config.homestead_block,
            });
        }
        spec.dao = Some(DaoFork { block: dao, support: config.dao_fork_support });
    }
    set_blob_schedule(&mut spec, config)?;
    Ok(spec)
}

fn set_blob_schedule(spec: &mut ChainSpec, config: &ChainConfig) -> Result<(), GenesisError> {
    let mut given = Vec::new();
    for (name, params) in &config.blob_schedule {
        // `chain_spec` has seen that these two are not scheduled.
        if name == "amsterdam" || name == "bogota" {
            continue;
        }
        let fork = blob_fork(name)
            .ok_or_else(|| GenesisError::UnknownBlobParams { name: name.clone() })?;
        // An entry for a fork that the chain does not have says nothing.
        if spec.activation(fork).is_some() {
            spec.set_blob_params(fork, with_standard_fee(*params))?;
            given.push(fork);
        }
    }
    let scheduled = spec.activations().iter().map(|(fork, _)| *fork);
    let missing = scheduled.filter(|fork| *fork >= Fork::Bpo1).find(|fork| !given.contains(fork));
    missing.map_or(Ok(()), |fork| Err(GenesisError::MissingBlobParams { fork }))
}

/// A schedule gives counts and the update fraction (EIP-7840); a minimum fee of zero would make the
/// blob fee zero for ever, so it stands for "not given".
fn with_standard_fee(params: BlobParams) -> BlobParams {
    BlobParams { min_blob_fee: params.min_blob_fee.max(1), ..params }
}

/// The fork that a key of `blobSchedule` names. geth writes them in lower case, the tests don't.
fn blob_fork(name: &str) -> Option<Fork> {
    let fork = Fork::ALL.into_iter().find(|fork| fork.name().eq_ignore_ascii_case(name))?;
    (fork >= Fork::Cancun).then_some(fork)
}
