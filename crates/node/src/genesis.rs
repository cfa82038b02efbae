//! The first block of a development chain.

use std::collections::BTreeMap;

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256, address, bytes, keccak256};
use polity_evm::{
    account, code_ref,
    genesis::{Allocation, GenesisBlock, GenesisError},
    spec::Fork,
};
use polity_state::{Changes, StateError};
use polity_types::{AccountRecord, LocalKey, Value};

/// The chain id of development chains.
pub const CHAIN_ID: u64 = 31337;

/// Where the factory of deterministic deployments is on every chain
/// (Arachnid's deterministic-deployment-proxy); `forge script` relies on it.
pub const CREATE2_FACTORY: Address = address!("4e59b44847b379578588920ca78fbf26c0b4956c");

/// Its code: deploys the call data after the first word, which is the salt.
const CREATE2_FACTORY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// What the first block of a development chain is made of.
#[derive(Clone, Debug)]
pub struct Development {
    /// The chain id.
    pub chain_id: u64,
    /// The rules, from the first block on.
    pub fork: Fork,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// The block gas limit.
    pub gas_limit: u64,
    /// The first base fee in wei.
    pub base_fee: u64,
    /// The height.
    pub number: u64,
    /// Who holds how much wei.
    pub balances: Vec<(Address, U256)>,
}

impl Development {
    /// The genesis file that says the same.
    pub fn genesis(&self) -> Genesis {
        let mut alloc: BTreeMap<Address, GenesisAccount> = self
            .balances
            .iter()
            .map(|(address, wei)| (*address, GenesisAccount::default().with_balance(*wei)))
            .collect();
        for (address, code) in self.contracts() {
            let contract = GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code));
            alloc.insert(address, contract);
        }
        Genesis {
            config: config(self.chain_id, self.fork),
            timestamp: self.timestamp,
            gas_limit: self.gas_limit,
            base_fee_per_gas: (self.fork >= Fork::London).then_some(u128::from(self.base_fee)),
            number: Some(self.number),
            alloc,
            ..Genesis::default()
        }
    }

    /// The contracts that every chain of these rules has.
    fn contracts(&self) -> Vec<(Address, Bytes)> {
        let mut contracts = vec![(CREATE2_FACTORY, CREATE2_FACTORY_CODE)];
        if self.fork >= Fork::Cancun {
            contracts.push((eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()));
        }
        if self.fork >= Fork::Prague {
            contracts.extend([
                (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
                (
                    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
                    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone(),
                ),
                (
                    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
                ),
            ]);
        }
        contracts
    }
}

/// The rules of a chain that is at `fork` from its first block on.
pub(crate) fn config(chain_id: u64, fork: Fork) -> ChainConfig {
    let block = |at: Fork| (fork >= at).then_some(0);
    let time = block;
    ChainConfig {
        chain_id,
        homestead_block: block(Fork::Homestead),
        eip150_block: block(Fork::Tangerine),
        eip155_block: block(Fork::SpuriousDragon),
        eip158_block: block(Fork::SpuriousDragon),
        byzantium_block: block(Fork::Byzantium),
        constantinople_block: block(Fork::Constantinople),
        petersburg_block: block(Fork::Petersburg),
        istanbul_block: block(Fork::Istanbul),
        muir_glacier_block: block(Fork::MuirGlacier),
        berlin_block: block(Fork::Berlin),
        london_block: block(Fork::London),
        arrow_glacier_block: block(Fork::ArrowGlacier),
        gray_glacier_block: block(Fork::GrayGlacier),
        terminal_total_difficulty: (fork >= Fork::Paris).then_some(U256::ZERO),
        terminal_total_difficulty_passed: fork >= Fork::Paris,
        shanghai_time: time(Fork::Shanghai),
        cancun_time: time(Fork::Cancun),
        prague_time: time(Fork::Prague),
        osaka_time: time(Fork::Osaka),
        ..ChainConfig::default()
    }
}

/// What the first block puts into the state.
///
/// # Errors
/// An allocation that stores cannot hold.
pub fn changes(alloc: &[Allocation]) -> Result<Changes, StateError> {
    let mut changes = Changes::new();
    for allocation in alloc {
        let id = account(allocation.address);
        let hash = keccak256(&allocation.code);
        let code = (!allocation.code.is_empty()).then(|| code_ref(hash)).flatten();
        if code.is_some() {
            changes.set_code(hash, allocation.code.clone());
        }
        let record =
            AccountRecord { balance: allocation.balance, sequence: allocation.nonce, code };
        changes.set_account(id, Some(record));
        for (slot, value) in &allocation.storage {
            changes.set_slot(id, LocalKey::storage(*slot), Value::word(*value))?;
        }
    }
    Ok(changes)
}

/// The first block that a genesis file describes.
///
/// # Errors
/// The file's parts contradict each other.
pub fn block(genesis: &Genesis) -> Result<GenesisBlock, GenesisError> {
    let mut block = GenesisBlock::new(genesis)?;
    block.spec.request_contracts_optional = true;
    block.spec.gateway = true;
    Ok(block)
}
