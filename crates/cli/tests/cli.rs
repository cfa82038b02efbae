//! The binary from outside: results, exit statuses, and what it says of bad input.

#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use alloy_consensus::{Header, constants::EMPTY_WITHDRAWALS, proofs::calculate_transaction_root};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, U256};
use polity_replay::{
    BlockFolder, Chain, DevFork, FolderBlock, FullBlock, PreAccount, WriteMode, dev_genesis, write,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

fn polity(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polity"));
    // What the caller's environment sets must not reach the tests.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLITY_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// An empty block of a development chain, whose header claims this gas.
fn folder(gas_used: u64, target: &Path) {
    let empty = calculate_transaction_root::<alloy_consensus::TxEnvelope>(&[]);
    let header = Header {
        number: 7,
        timestamp: 70,
        gas_limit: 30_000_000,
        gas_used,
        transactions_root: empty,
        receipts_root: empty,
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    };
    let block = FullBlock {
        chain: Chain::Custom(Box::new(dev_genesis(31337, DevFork::Osaka))),
        hash: header.hash_slow(),
        header,
        transactions: Vec::new(),
        ommer_hashes: Vec::new(),
        ommers: Some(Vec::new()),
        withdrawals: Some(Vec::new()),
    };
    let account =
        PreAccount { balance: U256::from(5), nonce: 1, code_hash: None, storage: BTreeMap::new() };
    let folder = BlockFolder {
        block: FolderBlock::Full(Box::new(block)),
        pre_state: [(Address::repeat_byte(1), account)].into(),
        codes: BTreeMap::new(),
        block_hashes: BTreeMap::new(),
    };
    write(&folder, target, WriteMode::New).unwrap();
}

#[test]
fn a_block_equal_to_its_header() {
    let place = tempfile::tempdir().unwrap();
    let block = place.path().join("7");
    folder(0, &block);
    let path = block.to_str().unwrap();
    let table = polity(&["run", path]);
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    assert!(stdout(&table).contains("1 blocks | all equal"), "{}", stdout(&table));
    for mode in ["sequential", "parallel", "both"] {
        let json = polity(&["run", path, "--json", "--mode", mode, "--threads", "2"]);
        assert_eq!(json.status.code(), Some(0), "{}", stderr(&json));
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let block = value.pointer("/blocks/0").unwrap();
        assert_eq!(value.get("equal").unwrap(), true);
        assert_eq!(block.get("fork").unwrap(), "Osaka");
        assert_eq!(block.get("receiptsRootEqual").unwrap(), true);
        assert_eq!(block.get("parallel").is_some(), mode != "sequential");
    }
}

#[test]
fn a_block_that_differs() {
    let place = tempfile::tempdir().unwrap();
    folder(21_000, &place.path().join("7"));
    let output = polity(&["run", place.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("block 7: gasUsed is 0, not 21000"), "{}", stdout(&output));
}

#[test]
fn bad_input_gives_no_result() {
    let place = tempfile::tempdir().unwrap();
    let block = place.path().join("7");
    folder(0, &block);
    let refused = |says: &[&str]| {
        let output = polity(&["run", place.path().to_str().unwrap(), "--json"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output), "", "a result in spite of an error");
        for words in says {
            assert!(stderr(&output).contains(words), "{}", stderr(&output));
        }
    };
    let edit = |file: &str, from: &str, to: &str| {
        let path = block.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        text
    };
    let restore = |file: &str, text: String| fs::write(block.join(file), text).unwrap();

    let text = edit("block.json", "\"gasUsed\":", "\"gasUsed\" ");
    refused(&["block.json"]);
    restore("block.json", text);
    let text = edit("block.json", "\"gasUsed\":\"0x0\"", "\"gasUsed\":\"0x5\"");
    refused(&["block.json", "hash"]);
    restore("block.json", text);
    let text = edit("pre_state.json", "\"balance\":\"0x5\"", "\"balance\":\"five\"");
    refused(&["pre_state.json", "balance"]);
    restore("pre_state.json", text);
    fs::remove_file(block.join("pre_state.json")).unwrap();
    refused(&["pre_state.json"]);
}

#[test]
fn paths_and_arguments_that_are_wrong() {
    for arguments in [
        vec!["run"],
        vec!["run", "/does/not/exist"],
        vec!["run", "/does/not/exist", "--repeat", "0"],
        vec!["fetch", "--rpc-url", "http://127.0.0.1:9", "--block", "soon"],
        vec!["conformance", "evm", "/does/not/exist"],
        vec!["fuzz", "parallel", "--time", "soon"],
        vec!["fuzz", "parallel", "--time", "1s", "--blocks", "1"],
        vec!["fuzz", "parallel", "--threads", "0"],
        vec!["fuzz", "parallel", "--machines", "svm", "--write-block", "none"],
        vec!["fuzz", "parallel", "--write-block", "/dev/null"],
        vec!["unknown"],
    ] {
        let output = polity(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn random_blocks_are_equal() {
    let blocks = ["fuzz", "parallel", "--seed", "11", "--blocks", "6", "--transactions", "20"];
    let json = polity(&[&blocks[..], &["--threads", "2,3", "--json"]].concat());
    assert_eq!(json.status.code(), Some(0), "{}", stderr(&json));
    assert!(stderr(&json).contains("the first seed is 11"), "{}", stderr(&json));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let number = |path: &str| value.pointer(path).and_then(serde_json::Value::as_u64).unwrap();
    assert_eq!(value.get("equal").unwrap(), true);
    assert_eq!((number("/firstSeed"), number("/blocks")), (11, 6));
    assert!(number("/transactions") > 6);
    for (index, threads) in [(0, 2), (1, 3)] {
        assert_eq!(number(&format!("/threads/{index}/threads")), threads);
        // Without delays and with them.
        assert_eq!(number(&format!("/threads/{index}/runs")), 12);
        let executions = number(&format!("/threads/{index}/executions"));
        assert!(executions >= number(&format!("/threads/{index}/transactions")));
    }
    let table = polity(&[&blocks[..], &["--threads", "2"]].concat());
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    assert!(stdout(&table).contains("seeds 11 to 16 | 6 blocks"), "{}", stdout(&table));
    assert!(stdout(&table).contains("all equal"), "{}", stdout(&table));
    let mixed = ["--machines", "evm,svm", "--threads", "2", "--blocks", "3"];
    let mixed = [&["fuzz", "parallel", "--seed", "11", "--transactions", "20"], &mixed[..]];
    let mixed = polity(&mixed.concat());
    assert_eq!(mixed.status.code(), Some(0), "{}", stderr(&mixed));
    assert!(stdout(&mixed).contains("all equal"), "{}", stdout(&mixed));
    let drawn = polity(&["fuzz", "parallel", "--time", "1s", "--threads", "2"]);
    assert_eq!(drawn.status.code(), Some(0), "{}", stderr(&drawn));
    assert!(stdout(&drawn).contains("all equal"), "{}", stdout(&drawn));
}

#[test]
fn a_random_block_runs_in_both_modes() {
    let place = tempfile::tempdir().unwrap();
    for seed in ["11", "12", "13"] {
        let target = place.path().join(format!("seed-{seed}"));
        let path = target.to_str().unwrap();
        let write = ["fuzz", "parallel", "--seed", seed, "--write-block", path];
        let written = polity(&write);
        assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
        assert_eq!(stdout(&written), "");
        let again = polity(&write);
        assert_eq!(again.status.code(), Some(2), "an existing folder was replaced");
        let run = ["run", path, "--json", "--mode", "both", "--threads", "4"];
        let run = polity(&[&run[..], &["--least-gas", "0", "--repeat", "3"]].concat());
        assert_eq!(run.status.code(), Some(0), "{}{}", stdout(&run), stderr(&run));
        let value: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        let block = value.pointer("/blocks/0").unwrap();
        assert_eq!(block.get("receiptsRootEqual").unwrap(), true);
        assert_eq!(block.pointer("/parallel/sequential").unwrap(), false);
    }
}

#[test]
fn help_has_examples() {
    let commands = [
        vec!["run"],
        vec!["fetch"],
        vec!["conformance", "evm"],
        vec!["fuzz", "parallel"],
        vec!["state"],
    ];
    for command in commands {
        let output = polity(&[&command[..], &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Examples:"), "{command:?}");
    }
}
