//! Forks, networks and genesis files against Ethereum's own data.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, fs};

use alloy_consensus::constants::SEPOLIA_GENESIS_HASH;
use alloy_eips::eip7840::BlobParams;
use alloy_genesis::Genesis;
use alloy_primitives::{Address, U256, b256};
use polity_evm::{
    genesis::{GenesisBlock, GenesisError, chain_spec},
    spec::{Activation, ChainSpec, DaoFork, Fork, Network, SpecError},
};
use polity_testkit::data;
use revm::primitives::hardfork::SpecId;
use serde_json::{Value, json};

#[test]
fn mainnet_forks_begin_where_they_did() {
    let spec = ChainSpec::mainnet();
    let mut before = Fork::Frontier;
    for &(fork, at) in spec.activations() {
        // Constantinople and Petersburg began at one block.
        let then = if fork == Fork::Constantinople { Fork::Petersburg } else { fork };
        let (last, first) = match at {
            Activation::Block(n) => (spec.fork_at(n - 1, 0), spec.fork_at(n, 0)),
            Activation::Timestamp(t) => {
                (spec.fork_at(17_000_000, t - 1), spec.fork_at(17_000_000, t))
            }
            Activation::TotalDifficulty { .. } => panic!("mainnet merges by block"),
        };
        assert_eq!(first, then);
        if fork != Fork::Petersburg {
            assert_eq!(last, before, "before {fork}");
        }
        before = then;
    }
    assert_eq!(before, Fork::Bpo2);
    assert_eq!(spec.fork_at(0, 0), Fork::Frontier);
    assert_eq!(spec.fork_at(u64::MAX, u64::MAX), Fork::Bpo2);
    // No timed fork before the Merge, whatever a header's timestamp says.
    assert_eq!(spec.fork_at(15_537_393, u64::MAX), Fork::GrayGlacier);
    assert_eq!(spec.dao, Some(DaoFork { block: 1_920_000, support: true }));
    assert!(spec.drains_dao_at(1_920_000) && !spec.drains_dao_at(1_920_001));
}

#[test]
fn mainnet_blocks_have_the_fork_of_the_index() {
    let Some(root) = data::root() else { return };
    let dev = root.join("mainnet/dev");
    let index: Vec<Value> =
        serde_json::from_slice(&fs::read(dev.join("index.json")).unwrap()).unwrap();
    assert!(index.len() > 40);
    let spec = ChainSpec::mainnet();
    for entry in index {
        let number = entry["number"].as_u64().unwrap();
        let env = dev.join(format!("blocks_env/{number}/env.json"));
        let (path, pointer) = if env.exists() {
            (env, "/block/timestamp")
        } else {
            (dev.join(format!("blocks/{number}/block.json")), "/timestamp")
        };
        let block: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let timestamp = block.pointer(pointer).or_else(|| block.pointer("/timestamp")).unwrap();
        let timestamp = match timestamp.as_str() {
            Some(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap(),
            None => timestamp.as_u64().unwrap(),
        };
        // The index names forks as revm does.
        let expected = match entry["fork"].as_str().unwrap() {
            "Frontier" => SpecId::FRONTIER,
            "Homestead" => SpecId::HOMESTEAD,
            "Tangerine" => SpecId::TANGERINE,
            "SpuriousDragon" => SpecId::SPURIOUS_DRAGON,
            "Byzantium" => SpecId::BYZANTIUM,
            "Petersburg" => SpecId::PETERSBURG,
            "Istanbul" => SpecId::ISTANBUL,
            "Berlin" => SpecId::BERLIN,
            "London" => SpecId::LONDON,
            "Merge" => SpecId::MERGE,
            "Shanghai" => SpecId::SHANGHAI,
            "Cancun" => SpecId::CANCUN,
            "Prague" => SpecId::PRAGUE,
            other => panic!("{other} is not in this test's list"),
        };
        let fork = spec.fork_at(number, timestamp);
        assert_eq!(fork.spec_id(), Ok(expected), "block {number}");
    }
}

#[test]
fn only_constantinople_has_no_interpreter() {
    let mut last = SpecId::FRONTIER;
    for fork in Fork::ALL {
        match fork.spec_id() {
            Ok(id) => {
                assert!(id >= last, "{fork}");
                last = id;
            }
            Err(error) => {
                assert_eq!(error, SpecError::NoInterpreter { fork: Fork::Constantinople });
                assert_eq!(error.to_string(), "no interpreter for the rules of Constantinople");
            }
        }
    }
    assert_eq!(last, SpecId::OSAKA);
}

#[test]
fn every_fork_is_a_network() {
    for fork in Fork::ALL {
        let spec = Network::parse(fork.name()).unwrap();
        assert_eq!(spec, ChainSpec::single(fork));
        assert_eq!(spec.chain_id, 1);
        assert_eq!(spec.fork_at(0, 0), fork);
        assert_eq!(spec.fork_at(u64::MAX, u64::MAX), fork);
        assert_eq!(spec.fork_after(1, 1, U256::ZERO), fork);
        // What is built by hand passes the check for what is read.
        let again = ChainSpec::new(1, spec.activations().iter().copied());
        assert_eq!(again.as_ref(), Ok(&spec));
    }
    for (alias, fork) in [
        ("TangerineWhistle", Fork::Tangerine),
        ("SpuriousDragon", Fork::SpuriousDragon),
        ("Petersburg", Fork::Petersburg),
        ("Merge", Fork::Paris),
    ] {
        assert_eq!(Network::parse(alias), Ok(ChainSpec::single(fork)));
    }
}

#[test]
fn transitions_change_at_their_point() {
    use Fork::*;
    for (name, from, to) in [
        ("FrontierToHomesteadAt5", Frontier, Homestead),
        ("HomesteadToEIP150At5", Homestead, Tangerine),
        ("EIP158ToByzantiumAt5", SpuriousDragon, Byzantium),
        ("ByzantiumToConstantinopleAt5", Byzantium, Constantinople),
        ("ByzantiumToConstantinopleFixAt5", Byzantium, Petersburg),
        ("ConstantinopleFixToIstanbulAt5", Petersburg, Istanbul),
        ("BerlinToLondonAt5", Berlin, London),
    ] {
        let spec = Network::parse(name).unwrap();
        assert_eq!((spec.fork_at(4, 99), spec.fork_at(5, 0)), (from, to), "{name}");
    }
    for (name, from, to) in [
        ("ParisToShanghaiAtTime15k", Paris, Shanghai),
        ("MergeToShanghaiAtTime15k", Paris, Shanghai),
        ("ShanghaiToCancunAtTime15k", Shanghai, Cancun),
        ("CancunToPragueAtTime15k", Cancun, Prague),
        ("PragueToOsakaAtTime15k", Prague, Osaka),
        ("OsakaToBPO1AtTime15k", Osaka, Bpo1),
        ("BPO1ToBPO2AtTime15k", Bpo1, Bpo2),
        ("BPO2ToBPO3AtTime15k", Bpo2, Bpo3),
        ("BPO3ToBPO4AtTime15k", Bpo3, Bpo4),
    ] {
        let spec = Network::parse(name).unwrap();
        assert_eq!((spec.fork_at(99, 14_999), spec.fork_at(0, 15_000)), (from, to), "{name}");
    }
    let dao = Network::parse("HomesteadToDaoAt5").unwrap();
    assert_eq!(dao.fork_at(5, 0), Homestead);
    assert_eq!(dao.dao, Some(DaoFork { block: 5, support: true }));
}

#[test]
fn a_merge_by_total_difficulty_goes_by_the_parent() {
    let spec = Network::parse("ArrowGlacierToParisAtDiffC0000").unwrap();
    let total = U256::from(0xc0000);
    assert_eq!(spec.fork_at(7, 0), Fork::ArrowGlacier);
    assert_eq!(spec.fork_after(7, 0, total - U256::from(1)), Fork::ArrowGlacier);
    assert_eq!(spec.fork_after(7, 0, total), Fork::Paris);

    let known = Activation::TotalDifficulty { total, known_by: Some(10) };
    let spec = ChainSpec::transition(Fork::London, Fork::Paris, known).unwrap();
    assert_eq!((spec.fork_at(9, 0), spec.fork_at(10, 0)), (Fork::London, Fork::Paris));
}

#[test]
fn unknown_networks_are_named() {
    for name in [
        "",
        "To",
        "At",
        "ToAt",
        "Cancun ",
        "cancun",
        "DAOFork",
        "Amsterdam",
        "BPO6",
        "BPO2ToAmsterdamAtTime15k",
        "Merge+3540+3670",
        "BerlinToLondon",
        "BerlinToLondonAt",
        "BerlinToLondonAt5x",
        "BerlinToLondonAt-5",
        "BerlinToLondonAt+5",
        "BerlinToLondonAtTimek",
        "BerlinToLondonAt99999999999999999999",
        "ParisToShanghaiAtTime99999999999999999999k",
        "LondonToParisAtDiff",
        "LondonToParisAtDiffXYZ",
        "HomesteadToDaoAtTime15k",
    ] {
        assert_eq!(
            Network::parse(name),
            Err(SpecError::UnknownNetwork { name: name.to_string() }),
            "{name}"
        );
    }
    let wrong = |name| matches!(Network::parse(name), Err(SpecError::WrongActivation { .. }));
    assert!(wrong("ParisToShanghaiAt5"));
    assert!(wrong("BerlinToLondonAtTime15k"));
    assert!(wrong("BerlinToLondonAtDiffC0000"));
    assert!(wrong("LondonToShanghaiAtTime15k"));
    assert_eq!(
        Network::parse("LondonToBerlinAt5"),
        Err(SpecError::NotLater { fork: Fork::Berlin, previous: Fork::London })
    );
}

#[test]
fn blob_parameters_follow_the_fork() {
    let spec = ChainSpec::single(Fork::Bpo5);
    assert_eq!(spec.blob_params(Fork::Shanghai), None);
    for (fork, target, max, fraction, per_tx, cost) in [
        (Fork::Cancun, 3, 6, 3_338_477, 6, 0),
        (Fork::Prague, 6, 9, 5_007_716, 9, 0),
        (Fork::Osaka, 6, 9, 5_007_716, 6, 8_192),
        (Fork::Bpo1, 10, 15, 8_346_193, 6, 8_192),
        (Fork::Bpo2, 14, 21, 11_684_671, 6, 8_192),
        (Fork::Bpo3, 21, 32, 20_609_697, 6, 8_192),
        (Fork::Bpo4, 14, 21, 13_739_630, 6, 8_192),
        (Fork::Bpo5, 14, 21, 13_739_630, 6, 8_192),
    ] {
        let expected = BlobParams {
            target_blob_count: target,
            max_blob_count: max,
            update_fraction: fraction,
            min_blob_fee: 1,
            max_blobs_per_tx: per_tx,
            blob_base_cost: cost,
        };
        assert_eq!(spec.blob_params(fork), Some(expected), "{fork}");
    }
    let mainnet = ChainSpec::mainnet();
    assert_eq!(mainnet.blob_params_at(23_000_000, 1_765_290_070).unwrap().max_blob_count, 9);
    assert_eq!(mainnet.blob_params_at(23_000_000, 1_765_290_071).unwrap().max_blob_count, 15);
    assert_eq!(mainnet.blob_params_at(15_000_000, u64::MAX), None);
}

#[test]
fn blob_parameters_that_cannot_be_computed_with_are_refused() {
    let mut spec = ChainSpec::single(Fork::Osaka);
    let good = BlobParams::prague();
    for (fork, params) in [
        (Fork::Shanghai, good),
        (Fork::Prague, BlobParams { update_fraction: 0, ..good }),
        (Fork::Prague, BlobParams { update_fraction: u128::MAX, ..good }),
        (Fork::Prague, BlobParams { target_blob_count: 10, ..good }),
        (Fork::Prague, BlobParams { max_blob_count: u64::MAX, ..good }),
    ] {
        let before = spec.clone();
        assert!(matches!(
            spec.set_blob_params(fork, params),
            Err(SpecError::BlobParams { fork: named, .. }) if named == fork
        ));
        assert_eq!(spec, before);
    }
    let one = BlobParams { target_blob_count: 1, max_blob_count: 2, ..good };
    spec.set_blob_params(Fork::Osaka, one).unwrap();
    let osaka = spec.blob_params(Fork::Osaka).unwrap();
    assert_eq!((osaka.max_blob_count, osaka.max_blobs_per_tx, osaka.blob_base_cost), (2, 2, 8_192));
    assert_eq!(spec.blob_params(Fork::Prague).unwrap().max_blob_count, 9);
}

#[test]
fn the_bomb_is_delayed_by_the_glaciers_a_chain_has() {
    let mainnet = ChainSpec::mainnet();
    for (number, delay) in [
        (4_369_999, 0),
        (4_370_000, 3_000_000),
        (7_279_999, 3_000_000),
        (7_280_000, 5_000_000),
        (9_199_999, 5_000_000),
        (9_200_000, 9_000_000),
        (12_964_999, 9_000_000),
        (12_965_000, 9_700_000),
        (13_773_000, 10_700_000),
        (15_050_000, 11_400_000),
    ] {
        assert_eq!(mainnet.bomb_delay_at(number), delay, "block {number}");
    }
    let glacierless = ChainSpec::transition(Fork::Istanbul, Fork::Berlin, Activation::Block(9));
    let glacierless: Vec<_> = glacierless
        .unwrap()
        .activations()
        .iter()
        .copied()
        .filter(|(fork, _)| *fork != Fork::MuirGlacier)
        .collect();
    assert_eq!(ChainSpec::new(5, glacierless).unwrap().bomb_delay_at(9), 5_000_000);
}

#[test]
fn forks_out_of_order_are_refused() {
    let forks = |edit: fn(&mut Vec<(Fork, Activation)>)| {
        let mut list = ChainSpec::mainnet().activations().to_vec();
        edit(&mut list);
        ChainSpec::new(1, list)
    };
    assert!(matches!(
        forks(|list| list[3].1 = Activation::Block(1)),
        Err(SpecError::OutOfOrder { fork: Fork::Byzantium, earlier: Fork::SpuriousDragon, .. })
    ));
    assert!(matches!(
        forks(|list| list[14].1 = Activation::Timestamp(1)),
        Err(SpecError::OutOfOrder { fork: Fork::Cancun, earlier: Fork::Shanghai, .. })
    ));
    assert_eq!(
        forks(|list| list.retain(|(fork, _)| *fork != Fork::Paris)),
        Err(SpecError::MissingFork { fork: Fork::Shanghai, missing: Fork::Paris })
    );
    assert_eq!(
        forks(|list| list.swap(0, 1)),
        Err(SpecError::MissingFork { fork: Fork::Tangerine, missing: Fork::Homestead })
    );
    assert_eq!(
        forks(|list| list.push(list[18])),
        Err(SpecError::NotLater { fork: Fork::Bpo2, previous: Fork::Bpo2 })
    );
    assert!(forks(|list| list.retain(|(fork, _)| !fork.is_optional())).is_ok());
}

fn read(genesis: Value) -> Result<GenesisBlock, GenesisError> {
    GenesisBlock::new(&serde_json::from_value::<Genesis>(genesis).unwrap())
}

#[test]
fn sepolia_begins_as_it_did() {
    let balances: [(&str, &str); 15] = [
        ("0000006916a87b82333f4245046623b23794c65c", "0x84595161401484a000000"),
        ("10f5d45854e038071485ac9e402308cf80d2d2fe", "0x52b7d2dcc80cd2e4000000"),
        ("799d329e5f583419167cd722962485926e338f4a", "0xde0b6b3a7640000"),
        ("7cf5b79bfe291a67ab02b393e456ccc4c266f753", "0xd3c21bcecceda1000000"),
        ("8b7f0977bb4f0fbe7076fa22bc24aca043583f5e", "0xd3c21bcecceda1000000"),
        ("a2a6d93439144ffe4d27c9e088dcd8b783946263", "0xd3c21bcecceda1000000"),
        ("aaec86394441f915bce3e6ab399977e9906f3b69", "0xd3c21bcecceda1000000"),
        ("b21c33de1fab3fa15499c62b59fe0cc3250020d1", "0x52b7d2dcc80cd2e4000000"),
        ("bc11295936aa79d594139de1b2e12629414f3bdb", "0xd3c21bcecceda1000000"),
        ("beef32ca5b9a198d27b4e02f4c70439fe60356cf", "0xd3c21bcecceda1000000"),
        ("d7d76c58b3a519e9fa6cc4d22dc017259bc49f1e", "0x52b7d2dcc80cd2e4000000"),
        ("d7eddb78ed295b3c9629240e8924fb8d8874ddd8", "0xd3c21bcecceda1000000"),
        ("d9a5179f091d85051d3c982785efd1455cec8699", "0xd3c21bcecceda1000000"),
        ("e2e2659028143784d557bcec6ff3a0721048880a", "0xd3c21bcecceda1000000"),
        ("f47cae1cf79ca6758bfc787dbd21e6bdbe7112b8", "0xd3c21bcecceda1000000"),
    ];
    let alloc: BTreeMap<_, _> = balances
        .into_iter()
        .map(|(account, balance)| (account, json!({ "balance": balance })))
        .collect();
    let block = read(json!({
        "config": {
            "chainId": 11_155_111, "homesteadBlock": 0, "daoForkSupport": true, "eip150Block": 0,
            "eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
            "petersburgBlock": 0, "istanbulBlock": 0, "muirGlacierBlock": 0, "berlinBlock": 0,
            "londonBlock": 0, "mergeNetsplitBlock": 1_735_371, "shanghaiTime": 1_677_557_088_u64,
            "terminalTotalDifficulty": 17_000_000_000_000_000_u64, "ethash": {}
        },
        "nonce": "0x0", "timestamp": "0x6159af19", "gasLimit": "0x1c9c380", "difficulty": "0x20000",
        "extraData": "0x5365706f6c69612c20417468656e732c204174746963612c2047726565636521",
        "mixHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "alloc": alloc
    }))
    .unwrap();
    assert_eq!(block.header.hash_slow(), SEPOLIA_GENESIS_HASH);
    assert_eq!(block.alloc.len(), 15);
    let spec = block.spec;
    assert_eq!(spec.chain_id, 11_155_111);
    assert_eq!(spec.dao, None);
    assert_eq!(spec.fork_at(0, block.header.timestamp), Fork::London);
    assert_eq!(spec.fork_at(1_735_371, 1_650_000_000), Fork::Paris);
    let ttd = U256::from(17_000_000_000_000_000_u64);
    assert_eq!(spec.fork_after(1_450_409, 1_650_000_000, ttd), Fork::Paris);
    assert_eq!(spec.fork_at(2_990_908, 1_677_557_088), Fork::Shanghai);
}

/// A genesis file with every fork active from the start, as development networks have it.
fn merged() -> Value {
    json!({
        "config": {
            "chainId": 1337, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "istanbulBlock": 0,
            "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
            "cancunTime": 0, "pragueTime": 0, "osakaTime": 10, "bpo1Time": 20,
            "blobSchedule": {
                "cancun": { "target": 3, "max": 6, "baseFeeUpdateFraction": 3338477 },
                "osaka": { "target": 4, "max": 5, "baseFeeUpdateFraction": 1000 },
                "bpo1": { "target": 7, "max": 8, "baseFeeUpdateFraction": 2000 },
                "bpo2": { "target": 9, "max": 9, "baseFeeUpdateFraction": 3000 }
            },
            "depositContractAddress": "0x4242424242424242424242424242424242424242"
        },
        "nonce": "0x0", "timestamp": "0x5", "gasLimit": "0x0", "difficulty": "0x0",
        "alloc": {
            "0000000000000000000000000000000000000001": {
                "balance": "0x7", "nonce": "0x2", "code": "0x6001",
                "storage": { "0x02": "0x03", "0x01": "0x00" }
            }
        }
    })
}

#[test]
fn a_merged_development_chain_is_read_whole() {
    let block = read(merged()).unwrap();
    let header = &block.header;
    assert_eq!(header.gas_limit, 4_712_388);
    assert_eq!(header.base_fee_per_gas, Some(1_000_000_000));
    assert!(header.withdrawals_root.is_some() && header.requests_hash.is_some());
    assert_eq!((header.blob_gas_used, header.excess_blob_gas), (Some(0), Some(0)));
    let account = &block.alloc[0];
    assert_eq!((account.nonce, account.balance), (2, U256::from(7)));
    assert_eq!(account.code.as_ref(), [0x60, 0x01]);
    assert_eq!(account.storage, [(U256::from(2), U256::from(3))]);

    let spec = block.spec;
    assert_eq!(spec.fork_at(0, 5), Fork::Prague);
    assert_eq!(spec.fork_at(0, 10), Fork::Osaka);
    assert_eq!(spec.activation(Fork::Petersburg), Some(Activation::Block(0)));
    assert_eq!(spec.activation(Fork::MuirGlacier), None);
    assert_eq!(spec.deposit_contract, Address::repeat_byte(0x42));
    let max = |time| spec.blob_params_at(1, time).unwrap().max_blob_count;
    assert_eq!((max(5), max(10), max(20), max(u64::MAX)), (9, 5, 8, 8));
    assert_eq!(spec.blob_params_at(1, 10).unwrap().blob_base_cost, 8_192);
}

#[test]
fn inconsistent_genesis_files_are_refused() {
    let with = |edits: &[(&str, Value)]| {
        let mut genesis = merged();
        for (pointer, value) in edits {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            genesis.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        read(genesis).map(|_| ())
    };
    assert_eq!(with(&[]), Ok(()));
    assert!(matches!(
        with(&[("/config/pragueTime", json!(11))]),
        Err(GenesisError::Spec(SpecError::OutOfOrder { fork: Fork::Osaka, .. }))
    ));
    assert!(matches!(
        with(&[("/config/cancunTime", Value::Null)]),
        Err(GenesisError::Spec(SpecError::MissingFork { missing: Fork::Cancun, .. }))
    ));
    assert!(matches!(
        with(&[("/config/terminalTotalDifficulty", Value::Null)]),
        Err(GenesisError::Spec(SpecError::MissingFork { missing: Fork::Paris, .. }))
    ));
    assert_eq!(
        with(&[("/config/eip155Block", json!(3))]),
        Err(GenesisError::SplitSpuriousDragon { eip155: Some(3), eip158: Some(0) })
    );
    assert_eq!(
        with(&[("/config/amsterdamTime", json!(99))]),
        Err(GenesisError::UnsupportedFork { name: "amsterdamTime" })
    );
    let clique = ("/config/clique", json!({ "period": 0, "epoch": 30_000 }));
    assert_eq!(with(core::slice::from_ref(&clique)), Ok(()));
    assert_eq!(
        with(&[clique, ("/config/terminalTotalDifficulty", json!(9))]),
        Err(GenesisError::UnsupportedConsensus { name: "clique" })
    );
    assert_eq!(
        with(&[("/config/daoForkBlock", json!(1)), ("/config/homesteadBlock", json!(2))]),
        Err(GenesisError::Spec(SpecError::OutOfOrder {
            fork: Fork::Tangerine,
            at: Activation::Block(0),
            earlier: Fork::Homestead,
            earlier_at: Activation::Block(2),
        }))
    );
    assert_eq!(
        with(&[("/config/bpo3Time", json!(30))]),
        Err(GenesisError::MissingBlobParams { fork: Fork::Bpo3 })
    );
    let entry = json!({ "target": 1, "max": 2, "baseFeeUpdateFraction": 3 });
    assert_eq!(
        with(&[("/config/blobSchedule/bpo9", entry.clone())]),
        Err(GenesisError::UnknownBlobParams { name: "bpo9".to_string() })
    );
    assert_eq!(with(&[("/config/blobSchedule/amsterdam", entry)]), Ok(()));
    let zero = json!({ "target": 1, "max": 2, "baseFeeUpdateFraction": 0 });
    assert!(matches!(
        with(&[("/config/blobSchedule/prague", zero)]),
        Err(GenesisError::Spec(SpecError::BlobParams { fork: Fork::Prague, .. }))
    ));
    assert_eq!(
        with(&[("/baseFeePerGas", json!("0x10000000000000000"))]),
        Err(GenesisError::TooLarge { field: "baseFeePerGas", found: 1 << 64 })
    );
}

#[test]
fn a_dao_fork_needs_homestead() {
    let mut config = alloy_genesis::ChainConfig { dao_fork_block: Some(3), ..Default::default() };
    assert_eq!(
        chain_spec(&config, U256::ZERO, 0),
        Err(GenesisError::DaoBeforeHomestead { dao: 3, homestead: None })
    );
    config.homestead_block = Some(3);
    let spec = chain_spec(&config, U256::ZERO, 0).unwrap();
    assert_eq!(spec.dao, Some(DaoFork { block: 3, support: false }));
    assert!(!spec.drains_dao_at(3));
}

#[test]
fn a_chain_that_begins_at_its_terminal_difficulty_merges_at_the_first_block() {
    let genesis: Genesis = serde_json::from_value(merged()).unwrap();
    let mut config = genesis.config;
    config.terminal_total_difficulty = Some(U256::from(100));
    let spec = chain_spec(&config, U256::from(100), 0).unwrap();
    let ttd = |known_by| Activation::TotalDifficulty { total: U256::from(100), known_by };
    assert_eq!(spec.activation(Fork::Paris), Some(ttd(Some(1))));
    assert_eq!(spec.fork_after(1, 5, U256::from(100)), Fork::Prague);
    assert_eq!(
        chain_spec(&config, U256::from(99), 0).unwrap().activation(Fork::Paris),
        Some(ttd(None))
    );
}

#[test]
fn test_fixtures_begin_with_the_state_they_list() {
    let Some(root) = data::root() else { return };
    let mut seen = 0;
    for folder in fs::read_dir(root.join("blockchain/dev")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let tests: BTreeMap<String, Value> =
                serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
            for (name, test) in tests.iter().filter(|(_, test)| test["pre"].is_object()) {
                let alloc = serde_json::from_value(test["pre"].clone()).unwrap();
                let block = GenesisBlock::new(&Genesis { alloc, ..Genesis::default() }).unwrap();
                let expected = test["genesisBlockHeader"]["stateRoot"].as_str().unwrap();
                assert_eq!(block.header.state_root.to_string(), expected, "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen} fixtures");
    // The root of nothing, for a reader who wants to know that the comparison means something.
    assert_eq!(
        GenesisBlock::new(&Genesis::default()).unwrap().header.state_root,
        b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
    );
}
