//! `eth_config` (EIP-7910): the rules that hold now, those to come, and by what other nodes know
//! them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::{eip2124::ForkHash, eip7840::BlobParams, eip7910::SystemContract};
use alloy_primitives::{Address, B256, Bytes, U64};
use polity_evm::spec::{Activation, ChainSpec, Fork};
use polity_kernel::View;
use revm::precompile::{PrecompileSpecId, Precompiles};
use serde::Serialize;

use super::Ethereum;
use crate::rpc::{Methods, Params, Reply, RpcError, reply};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_config", config);
}

/// The rules now, the next ones, and the last that are known; the latter two where there are
/// such.
#[derive(Debug, Serialize)]
struct Configs {
    current: ForkConfig,
    next: Option<ForkConfig>,
    last: Option<ForkConfig>,
}

/// The rules of a fork.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForkConfig {
    /// Seconds since the Unix epoch; zero for what is so from the first block on.
    activation_time: u64,
    /// None before Cancun.
    blob_schedule: Option<BlobParams>,
    chain_id: U64,
    fork_id: Bytes,
    precompiles: BTreeMap<String, Address>,
    system_contracts: BTreeMap<String, Address>,
}

fn config(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let chain = &door.node.chain;
    let head = chain.head();
    let (genesis, begun) = match chain.remote() {
        // The other chain's, of which only the hash can be known.
        Some(_) => (chain.latest()?.block_hash(0)?, 0),
        None => {
            let first = chain.block(chain.first())?;
            let missing = || RpcError::internal(&"the first block is missing");
            let first = first.ok_or_else(missing)?;
            (first.hash, first.header.timestamp)
        }
    };
    let rules = Rules { spec: chain.spec(), genesis, begun };
    reply(&rules.configs(head.number(), head.header.timestamp)?)
}

/// The rules of a chain, and its first block.
struct Rules<'a> {
    spec: &'a ChainSpec,
    /// The hash of the first block.
    genesis: B256,
    /// Its timestamp.
    begun: u64,
}

impl Rules<'_> {
    fn configs(&self, number: u64, timestamp: u64) -> Result<Configs, RpcError> {
        let now = self.spec.fork_at(number, timestamp);
        let timed = self.spec.activations().iter().filter_map(|(fork, at)| match at {
            Activation::Timestamp(time) => Some((*fork, *time)),
            Activation::Block(_) | Activation::TotalDifficulty { .. } => None,
        });
        let timed: Vec<(Fork, u64)> = timed.collect();
        let since = |fork: Fork| {
            let begins = timed.iter().find(|(timed, _)| *timed == fork);
            begins.map_or(0, |(_, time)| *time)
        };
        let mut later = timed.iter().filter(|(_, time)| *time > timestamp);
        // Of forks that begin together, the last has the rules of all.
        let first_time = later.clone().map(|(_, time)| *time).min();
        let next = later.clone().rfind(|(_, time)| Some(*time) == first_time);
        let last = later.next_back();
        let of = |(fork, time): &(Fork, u64)| self.config(*fork, *time);
        Ok(Configs {
            current: self.config(now, since(now))?,
            next: next.map(of).transpose()?,
            last: last.map(of).transpose()?,
        })
    }

    fn config(&self, fork: Fork, since: u64) -> Result<ForkConfig, RpcError> {
        let spec = fork.spec_id().map_err(|error| RpcError::server(error.to_string()))?;
        let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
        let named = |(address, precompile): (&Address, &revm::precompile::Precompile)| {
            (precompile.id().name().to_owned(), *address)
        };
        Ok(ForkConfig {
            activation_time: if since <= self.begun { 0 } else { since },
            blob_schedule: self.spec.blob_params(fork),
            chain_id: U64::from(self.spec.chain_id),
            fork_id: Bytes::copy_from_slice(&self.fork_hash(since).0),
            precompiles: precompiles.inner().iter().map(named).collect(),
            system_contracts: self.system_contracts(fork),
        })
    }

    fn system_contracts(&self, fork: Fork) -> BTreeMap<String, Address> {
        let cancun = SystemContract::cancun().into_iter().filter(|_| fork >= Fork::Cancun);
        let prague = SystemContract::prague(Some(self.spec.deposit_contract));
        let prague = prague.into_iter().filter(|_| fork >= Fork::Prague);
        cancun.chain(prague).map(|(contract, at)| (contract.to_string(), at)).collect()
    }

    /// The `FORK_HASH` of EIP-2124 and EIP-6122 at a time. Forks by block are all in the past
    /// then, and what holds from the first block on is no fork.
    fn fork_hash(&self, time: u64) -> ForkHash {
        let mut blocks = BTreeSet::new();
        let mut times = BTreeSet::new();
        for (fork, at) in self.spec.activations() {
            match at {
                // Nobody agreed on a block for the merge beforehand, and so it is not counted;
                // but one at which a network parts after it is.
                Activation::Block(_) if *fork == Fork::Paris => {}
                Activation::Block(block) => drop(blocks.insert(*block)),
                // One that is the first after the genesis follows from its difficulty.
                Activation::TotalDifficulty { known_by, .. } => {
                    blocks.extend(known_by.filter(|block| *block > 1));
                }
                Activation::Timestamp(begins) if *begins <= time && *begins > self.begun => {
                    times.insert(*begins);
                }
                Activation::Timestamp(_) => {}
            }
        }
        blocks.extend(self.spec.dao.map(|dao| dao.block));
        blocks.remove(&0);
        let points = blocks.into_iter().chain(times);
        points.fold(ForkHash::from(self.genesis), |hash, point| hash + point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;
    use serde_json::{Value, json, to_value};

    const GENESIS: B256 = b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");

    fn mainnet(number: u64, timestamp: u64) -> Value {
        let spec = ChainSpec::mainnet();
        let rules = Rules { spec: &spec, genesis: GENESIS, begun: 0 };
        to_value(rules.configs(number, timestamp).unwrap()).unwrap()
    }

    /// The identifiers that EIP-6122 and its successors list.
    #[test]
    fn mainnets_forks_have_the_identifiers_that_everybody_knows() {
        for (timestamp, fork_id) in [
            (1_681_338_455, "0xdce96c2d"),
            (1_710_338_135, "0x9f3d2254"),
            (1_746_612_311, "0xc376cf8b"),
            (1_764_798_551, "0x5167e2a6"),
            (1_765_290_071, "0xcba2a1c0"),
            (1_767_747_671, "0x07c9462e"),
        ] {
            let now = mainnet(20_000_000, timestamp)["current"].take();
            assert_eq!(now["forkId"], fork_id, "{timestamp}");
            assert_eq!(now["activationTime"], timestamp);
        }
    }

    #[test]
    fn what_comes_next_and_last_is_told_until_it_is_there() {
        let prague = mainnet(22_500_000, 1_750_000_000);
        assert_eq!(prague["current"]["activationTime"], 1_746_612_311);
        let schedule = json!({ "baseFeeUpdateFraction": 5_007_716, "max": 9, "target": 6 });
        assert_eq!(prague["current"]["blobSchedule"], schedule);
        assert_eq!(prague["current"]["precompiles"].as_object().unwrap().len(), 17);
        assert_eq!(prague["next"]["forkId"], "0x5167e2a6");
        let verify = &prague["next"]["precompiles"]["P256VERIFY"];
        assert_eq!(verify, "0x0000000000000000000000000000000000000100");
        assert_eq!(prague["last"]["forkId"], "0x07c9462e");
        let bpo2 = mainnet(24_000_000, 1_767_747_671);
        assert_eq!((&bpo2["next"], &bpo2["last"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn names_and_addresses_are_those_of_the_specification() {
        let prague = mainnet(22_500_000, 1_750_000_000)["current"].take();
        assert_eq!(
            prague["systemContracts"],
            json!({
                "BEACON_ROOTS_ADDRESS": "0x000f3df6d732807ef1319fb7b8bb8522d0beac02",
                "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS":
                    "0x0000bbddc7ce488642fb579f8b00f3a590007251",
                "DEPOSIT_CONTRACT_ADDRESS": "0x00000000219ab540356cbb839cbe05303d7705fa",
                "HISTORY_STORAGE_ADDRESS": "0x0000f90827f1c53a10cb7a02335b175320002935",
                "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS":
                    "0x00000961ef480eb55e80d19ad83579a64c007002",
            })
        );
        assert_eq!(prague["chainId"], "0x1");
        for (name, address) in [
            ("BLS12_MAP_FP2_TO_G2", 0x11),
            ("BN254_PAIRING", 8),
            ("ECREC", 1),
            ("KZG_POINT_EVALUATION", 10),
        ] {
            assert_eq!(prague["precompiles"][name], format!("0x{address:040x}"));
        }
    }

    #[test]
    fn a_fork_of_the_first_block_begins_at_zero() {
        let spec = ChainSpec::single(Fork::Osaka);
        let rules = Rules { spec: &spec, genesis: B256::ZERO, begun: 1_700_000_000 };
        let configs = to_value(rules.configs(0, 1_700_000_000).unwrap()).unwrap();
        assert_eq!(configs["current"]["activationTime"], 0);
        // The checksum of 32 zeros.
        assert_eq!(configs["current"]["forkId"], "0x190a55ad");
    }
}
