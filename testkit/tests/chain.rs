//! The sample chain: what is committed, what the engine makes of it, and whether it is a chain.
#![cfg(feature = "chain")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy_consensus::Header;
use alloy_primitives::{B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use polity_engine::{Overlay, Sequential};
use polity_evm::{
    account, code_ref,
    genesis::GenesisBlock,
    header::{Ancestor, check_header},
};
use polity_kernel::Code;
use polity_replay::{FolderBlock, Library, Replay, discover, read_genesis};
use polity_testkit::chain;
use polity_types::{AccountRecord, LocalKey, Name, Value};

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chain")
}

/// Every file under a folder by its path from there.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_committed_chain_is_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    chain::write(folder.path()).unwrap();
    let written = files(folder.path());
    let committed = files(&committed());
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&committed));
    for (path, bytes) in &written {
        assert!(committed[path] == *bytes, "{} differs: write the chain again", path.display());
    }
    // Over what is there, the same again.
    chain::write(folder.path()).unwrap();
    assert!(files(folder.path()) == written);
}

#[test]
fn every_block_equals_its_header() {
    let library = Library::new();
    let mut engine = Sequential::new();
    let mut types = [false; 5];
    let folders = discover([committed()]).unwrap();
    assert_eq!(folders.len(), 10);
    for folder in folders {
        let folder = library.open(&folder).unwrap();
        if let FolderBlock::Full(full) = &folder.block {
            for tx in &full.transactions {
                types[usize::from(tx.envelope.tx_type() as u8)] = true;
            }
        }
        let replay = Replay::new(&folder).unwrap();
        let verdict = replay.verdict(&replay.execute(&mut engine).unwrap()).unwrap();
        assert!(verdict.is_equal(), "block {}: {verdict:?}", replay.number);
        assert!(verdict.receipts_root.is_some() && verdict.requests_hash.is_some());
    }
    assert_eq!(types, [true; 5], "a type of transaction is missing");
}

// The blocks one after the other from the genesis, on our own state: headers follow the rules, and
// the state is the one whose root the headers name.
#[test]
fn the_blocks_are_a_chain() {
    let genesis = read_genesis(&committed().join("genesis.json")).unwrap();
    let GenesisBlock { spec, mut header, alloc } = GenesisBlock::new(&genesis).unwrap();
    let mut state = Overlay::empty();
    for allocated in alloc {
        let id = account(allocated.address);
        let hash = keccak256(&allocated.code);
        if !allocated.code.is_empty() {
            state.insert_code(hash, Code::new(allocated.code.clone()).into());
        }
        let record = AccountRecord {
            balance: allocated.balance,
            sequence: allocated.nonce,
            code: code_ref(hash),
        };
        state.insert_account(id, Some(record));
        for (slot, value) in allocated.storage {
            state.insert_slot(id, LocalKey::storage(slot), Value::word(value));
        }
    }
    assert_eq!(root(&state), header.state_root);
    let mut engine = Sequential::new();
    let library = Library::new();
    let mut folders = discover([committed()]).unwrap();
    folders.sort_by_key(|folder| folder.number);
    for folder in folders {
        let folder = library.open(&folder).unwrap();
        let next: Header = folder.header().unwrap().clone();
        let hash = header.hash_slow();
        let parent = Ancestor { header: &header, hash, total_difficulty: U256::ZERO, ommers: &[] };
        check_header(&spec, &next, &parent).unwrap();
        state.insert_block_hash(header.number, hash);

        let replay = Replay::new(&folder).unwrap();
        let output = replay.execute_on(&mut engine, &state).unwrap();
        assert!(replay.verdict(&output).unwrap().is_equal(), "block {}", next.number);
        for effects in output.effects() {
            state.apply(effects).unwrap();
        }
        assert_eq!(root(&state), next.state_root, "block {}", next.number);
        header = next;
    }
}

/// Ethereum's root of a state.
fn root(state: &Overlay<'_>) -> B256 {
    let accounts = state.accounts().filter_map(|(id, record)| {
        let record = record?;
        let slots = state.slots(id).filter_map(|(key, value)| match &key.name {
            Name::Word(slot) => Some((B256::from(*slot), value.as_word()?)),
            Name::Bytes(_) => None,
        });
        let account = TrieAccount {
            nonce: record.sequence,
            balance: record.balance,
            storage_root: storage_root_unhashed(slots.filter(|(_, value)| !value.is_zero())),
            code_hash: record.code.map_or(KECCAK256_EMPTY, |code| code.hash),
        };
        Some((id.short_address(), account))
    });
    state_root_unhashed(accounts)
}
