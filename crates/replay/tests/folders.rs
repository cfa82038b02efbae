//! Writing and reading block folders, and what is said when one is wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, TxKind, U256, keccak256};
use common::{CODE, CONTRACT, SENDER, dev_chain, flat_files, full_folder, path_of, write_files};
use polity_replay::{
    BlockFolder, Chain, FolderBlock, FolderError, FolderKind, Library, WriteMode, discover, open,
    write,
};
use serde_json::Value;
use tempfile::TempDir;

fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn written(folder: &BlockFolder) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("blocks").join(folder.number().to_string());
    write(folder, &path, WriteMode::New).unwrap();
    (root, path)
}

fn open_at(path: &Path) -> Result<BlockFolder, FolderError> {
    discover([path]).and_then(|found| open(&found[0]))
}

#[test]
fn a_folder_reads_back_as_it_was_written_and_writes_the_same_bytes() {
    for chain in [Chain::Mainnet, dev_chain()] {
        let folder = full_folder(20_000_000, chain);
        let (root, path) = written(&folder);
        let read = open_at(&path).unwrap();
        assert_eq!(read, folder);
        let again = root.path().join("again").join("20000000");
        write(&read, &again, WriteMode::New).unwrap();
        assert_eq!(files_of(&path), files_of(&again));
    }
}

#[test]
fn the_written_block_is_json_rpc_as_others_read_it() {
    let folder = full_folder(20_000_000, Chain::Mainnet);
    let (_root, path) = written(&folder);
    let text = fs::read(path.join("block.json")).unwrap();
    let block: alloy_rpc_types_eth::Block = serde_json::from_slice(&text).unwrap();
    assert_eq!(Some(&block.header.inner), folder.header());
    let FolderBlock::Full(full) = &folder.block else { panic!("flat") };
    let transactions = block.try_into_transactions().unwrap();
    assert_eq!(transactions.len(), full.transactions.len());
    for (theirs, ours) in transactions.iter().zip(&full.transactions) {
        assert_eq!(theirs.inner.tx_hash(), ours.envelope.tx_hash());
        assert_eq!(theirs.inner.signer(), ours.claimed_sender);
    }
}

#[test]
fn an_existing_target_is_replaced_only_when_asked_and_nothing_is_left_over() {
    let folder = full_folder(20_000_000, Chain::Mainnet);
    let (_root, path) = written(&folder);
    fs::write(path.join("old"), b"").unwrap();
    let error = write(&folder, &path, WriteMode::New).unwrap_err();
    assert!(matches!(error, FolderError::Exists { .. }), "{error}");
    assert!(path.join("old").exists());
    write(&folder, &path, WriteMode::Replace).unwrap();
    assert!(!path.join("old").exists());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("1");
    let mut folder = full_folder(20_000_000, Chain::Mainnet);
    folder.codes.clear();
    let error = write(&folder, &target, WriteMode::New).unwrap_err();
    assert!(error.to_string().contains("code_hash"), "{error}");
    folder.codes.insert(keccak256(&CODE), CODE);
    folder.codes.insert(B256::ZERO, CODE);
    assert!(write(&folder, &target, WriteMode::New).is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn shared_files_may_lie_one_or_two_levels_above() {
    let folder = full_folder(20_000_000, dev_chain());
    for shared in ["blocks", "."] {
        let (root, path) = written(&folder);
        for file in ["bytecodes.json", "block_hashes.json", "genesis.json"] {
            fs::rename(path.join(file), root.path().join(shared).join(file)).unwrap();
        }
        let library = Library::new();
        let found = discover([root.path()]).unwrap();
        for _ in 0..2 {
            assert_eq!(library.open(&found[0]).unwrap(), folder, "{shared}");
        }
    }
}

#[test]
fn a_flat_folder_gives_every_field() {
    let root = tempfile::tempdir().unwrap();
    write_files(&root.path().join("300"), &flat_files(300));
    let folder = open_at(root.path()).unwrap();
    assert_eq!((folder.number(), folder.chain_id(), folder.transaction_count()), (300, 1, 5));
    assert_eq!(folder.block_hashes.len(), 1);
    assert_eq!(folder.pre_state[&CONTRACT].storage[&U256::ZERO], U256::from(5));
    let FolderBlock::Flat(block) = &folder.block else { panic!("full") };
    assert_eq!(block.env.spec_id, "Prague");
    assert_eq!(block.env.beneficiary, SENDER);
    let [legacy, listed, _, blob, delegating] = &block.transactions[..] else { panic!() };
    assert_eq!(legacy.to, TxKind::Call(CONTRACT));
    assert_eq!(legacy.gas_priority_fee, None);
    assert_eq!(listed.access_list.len(), 1);
    assert_eq!(blob.blob_hashes.len(), 1);
    assert_eq!(delegating.authorization_list[0].address, CONTRACT);
}

#[test]
fn discovery_goes_four_levels_down_and_sorts() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b/blocks");
    for number in [300_u64, 7, 20] {
        write_files(&deep.join(number.to_string()), &flat_files(300));
    }
    write_files(&root.path().join("a/.hidden/1"), &flat_files(300));
    write_files(&root.path().join("named"), &flat_files(300));
    let numbers = |paths: &[&Path]| {
        discover(paths).unwrap().iter().map(|found| found.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&[root.path()]), [7, 20, 300, 300]);
    assert_eq!(numbers(&[&deep.join("20"), &deep.join("7/env.json"), &deep.join("20")]), [7, 20]);

    write_files(&root.path().join("a/b/c/d/e"), &flat_files(300));
    let below = root.path().join("a/b/c");
    fs::create_dir_all(root.path().join("empty")).unwrap();
    assert_eq!(numbers(&[&below]), [300]);
    for nothing in [root.path().join("empty"), root.path().join("absent")] {
        let error = discover([&nothing]).unwrap_err().to_string();
        assert!(error.contains(&*nothing.to_string_lossy()), "{error}");
    }
}

/// Changes one file of a good folder and gives what is said about it.
fn spoiled(file: &str, change: impl FnOnce(&mut Value)) -> String {
    let (_root, path) = written(&full_folder(20_000_000, dev_chain()));
    let file = path.join(file);
    let mut value: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut value);
    fs::write(&file, value.to_string()).unwrap();
    open_at(&path).unwrap_err().to_string()
}

#[test]
fn errors_name_the_file_and_the_field() {
    let cases = [
        (spoiled("block.json", |v| v["gasUsed"] = "0x1".into()), "block.json: at `hash`"),
        (spoiled("block.json", |v| v["gasUsed"] = "zz".into()), "block.json: at `gasUsed`"),
        (
            spoiled("block.json", |v| v["transactions"][2]["value"] = "0x9".into()),
            "block.json: at `transactions[2].hash`",
        ),
        (
            spoiled("block.json", |v| v["transactions"][2]["nonce"] = "9".into()),
            "block.json: at `transactions[2].nonce`",
        ),
        (
            spoiled("block.json", |v| v["transactions"][4]["maxFeePerGas"] = Value::Null),
            "block.json: at `transactions[4].maxFeePerGas`: missing",
        ),
        (
            spoiled("block.json", |v| v["transactions"][0]["type"] = "0x7e".into()),
            "block.json: at `transactions[0].type`",
        ),
        (
            spoiled("block.json", |v| {
                v["transactions"].as_array_mut().unwrap().pop();
            }),
            "block.json: at `transactionsRoot`",
        ),
        (
            spoiled("block.json", |v| v["withdrawals"][0]["amount"] = "0x1".into()),
            "block.json: at `withdrawalsRoot`",
        ),
        (
            spoiled("block.json", |v| v["withdrawals"] = Value::Null),
            "block.json: at `withdrawals`: missing",
        ),
        (spoiled("block.json", |v| v["uncles"] = Value::Array(vec![])), "at `sha3Uncles`"),
        (spoiled("ommers.json", |v| v[0]["gasUsed"] = "0x1".into()), "ommers.json: at"),
        (
            spoiled("genesis.json", |v| v["config"]["chainId"] = 5.into()),
            "block.json: at `transactions[0].chainId`: signed for chain 31337",
        ),
        (
            spoiled("pre_state.json", |v| {
                v[SENDER.to_string().to_lowercase()]["nonce"] = "".into()
            }),
            "pre_state.json: at `0x00000000000000000000000000000000000a11ce.nonce`",
        ),
        (
            spoiled("pre_state.json", |v| {
                v[SENDER.to_string().to_lowercase()]["balance"].take();
            }),
            "pre_state.json: at `0x00000000000000000000000000000000000a11ce.balance`",
        ),
        (
            spoiled("pre_state.json", |v| {
                v[SENDER.to_string().to_lowercase()]["code_hash"] = B256::ZERO.to_string().into();
            }),
            "0x00000000000000000000000000000000000a11ce.code_hash`: code 0x0000",
        ),
        (
            spoiled("bytecodes.json", |v| {
                v[keccak256(&CODE).to_string()] = "0x00".into();
            }),
            "the code there has the keccak256",
        ),
        (
            spoiled("bytecodes.json", |v| {
                v[keccak256(&CODE).to_string()] = "0x0g".into();
            }),
            "bytecodes.json: at `0x",
        ),
        (
            spoiled("block_hashes.json", |v| v["19999999"] = B256::ZERO.to_string().into()),
            "block_hashes.json: at `19999999`",
        ),
        (spoiled("block_hashes.json", |v| v["19999999"] = 1.into()), "at `19999999`"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    }
}

#[test]
fn missing_files_are_named() {
    for file in ["block.json", "pre_state.json", "bytecodes.json"] {
        let (_root, path) = written(&full_folder(20_000_000, dev_chain()));
        fs::remove_file(path.join(file)).unwrap();
        let message = open(&path_of(&path, 20_000_000, FolderKind::Full)).unwrap_err().to_string();
        assert!(message.contains(file), "{message}");
    }
    let (_root, path) = written(&full_folder(20_000_000, dev_chain()));
    fs::remove_file(path.join("genesis.json")).unwrap();
    let message = open_at(&path).unwrap_err().to_string();
    assert!(message.contains("put the geth genesis of the chain beside it"), "{message}");
}

#[test]
fn a_folder_named_after_another_block_is_refused() {
    let (root, path) = written(&full_folder(20_000_000, Chain::Mainnet));
    let other = root.path().join("blocks/5");
    fs::rename(&path, &other).unwrap();
    let message = open_at(&other).unwrap_err().to_string();
    assert!(message.contains("rename the folder"), "{message}");
    let named = root.path().join("blocks/interesting");
    fs::rename(&other, &named).unwrap();
    assert_eq!(open_at(&named).unwrap().number(), 20_000_000);
}

#[test]
fn an_unknown_ommer_is_not_an_error() {
    let (_root, path) = written(&full_folder(20_000_000, Chain::Mainnet));
    fs::remove_file(path.join("ommers.json")).unwrap();
    let FolderBlock::Full(block) = open_at(&path).unwrap().block else { panic!("flat") };
    assert_eq!((block.ommer_hashes.len(), block.ommers), (1, None));
}
