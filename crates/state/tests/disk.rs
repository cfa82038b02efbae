//! The backend on disk is the one in memory, and stays so across commits and re-openings.

#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

mod common;

use common::{Blocks, CHAIN, commit, contents, small};
use polity_state::{
    Backend, Changes, History, Memory, State, Table,
    disk::{Disk, DiskError, DiskOptions},
};
use polity_types::{AccountId, B256, LocalKey, MachineKind, U256, Value};
use polity_verify::{Path, Trie};
use proptest::prelude::*;
use std::{
    fs,
    ops::Bound,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Roots, all rows in both directions, and the proofs of some paths.
fn assert_equal(disk: &dyn Backend, memory: &dyn Backend, paths: &[Path]) {
    assert_eq!(disk.root().unwrap(), memory.root().unwrap());
    for table in Table::ALL {
        for reverse in [false, true] {
            assert_eq!(contents(disk, table, reverse), contents(memory, table, reverse));
        }
    }
    assert_eq!(disk.prove(paths).unwrap().encode(), memory.prove(paths).unwrap().encode());
}

#[derive(Clone, Debug)]
enum Step {
    Commit { changes: usize },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = prop_oneof![Just(0), 1..8_usize, 8..400_usize];
    let step = prop_oneof![
        4 => changes.prop_map(|changes| Step::Commit { changes }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    // Every case makes a state on disk.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 16))]

    #[test]
    fn disk_is_memory(seed: u64, steps in steps()) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let mut disk = Some(Disk::create(&path, CHAIN, &small()).unwrap());
        let memory = Memory::new();
        let mut blocks = Blocks::new(seed);
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(disk.take());
                    disk = Some(Disk::open(&path, Some(CHAIN), &small()).unwrap());
                }
                Step::Commit { changes } => {
                    let batch = blocks.next(changes);
                    let root = commit(disk.as_ref().unwrap(), batch.clone());
                    prop_assert_eq!(root, commit(&memory, batch));
                }
            }
            let paths = blocks.some_paths(20);
            assert_equal(disk.as_ref().unwrap(), &memory, &paths);
        }
    }
}

#[test]
fn a_new_state_is_the_empty_state() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let disk = Disk::create(&path, CHAIN, &small()).unwrap();
    assert_eq!(disk.root().unwrap(), Trie::empty().root());
    drop(disk);
    let disk = Disk::open(&path, None, &small()).unwrap();
    assert_equal(&disk, &Memory::new(), &[Path::new([3; 32])]);
}

#[test]
fn the_trie_grows_beyond_the_room_that_it_began_with() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let options = DiskOptions { trie_pages: 64, ..small() };
    let mut disk = Disk::create(&path, CHAIN, &options).unwrap();
    let memory = Memory::new();
    let mut blocks = Blocks::new(5);
    for round in 0..6 {
        let batch = blocks.next(8_000);
        assert_eq!(commit(&disk, batch.clone()), commit(&memory, batch));
        if round == 3 {
            drop(disk);
            disk = Disk::open(&path, None, &options).unwrap();
        }
    }
    assert_equal(&disk, &memory, &blocks.some_paths(100));
}

#[test]
fn one_process_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let disk = Disk::create(&path, CHAIN, &small()).unwrap();
    let again = Disk::open(&path, None, &small()).err();
    assert_eq!(again, Some(DiskError::Locked(path.clone())));
    drop(disk);
    Disk::open(&path, None, &small()).unwrap();
}

#[test]
fn readers_and_commits_at_the_same_time() {
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::create(&place.path().join("state"), CHAIN, &small()).unwrap();
    let mut blocks = Blocks::new(9);
    commit(&disk, blocks.next(500));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let rows = disk.scan(Table::Cells, Bound::Unbounded, Bound::Unbounded, false);
                for row in rows.unwrap().take(50) {
                    let (key, _) = row.unwrap();
                    disk.get(Table::Cells, &key).unwrap();
                }
                disk.prove(&[Path::new([1; 32]), Path::new([2; 32])]).unwrap();
                rounds += 1;
            }
            rounds
        });
        for _ in 0..10 {
            commit(&disk, blocks.next(300));
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

/// As a crash between the two stores leaves it: the values are a batch ahead of the trie.
#[test]
fn a_trie_that_is_one_batch_behind_takes_it_over() {
    for history in [History::Archive, History::Blocks(1), History::Blocks(0)] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let copy = |from: &str, to: &str| {
            let _ = fs::remove_dir_all(place.path().join(to));
            let mut command = Command::new("cp");
            let status = command.arg("-a").arg(place.path().join(from)).arg(place.path().join(to));
            assert!(status.status().unwrap().success());
        };
        drop(Disk::create(&path, CHAIN, &small()).unwrap());
        let blocks = |height: u64| {
            let mut changes = Changes::new();
            for number in (0..60).filter(|number| number % (height + 2) != 1) {
                let account = AccountId::new(MachineKind::new(1), B256::from(U256::from(number)));
                let value = Value::word(U256::from((number % 3) * height));
                changes.set_slot(account, LocalKey::storage(U256::from(number)), value).unwrap();
            }
            changes
        };
        let model = State::in_memory().unwrap();
        // Blocks, and one that is taken back where it can be.
        let heights: &[u64] = match history {
            History::Blocks(0) => &[0, 1, 2, 3, 4],
            _ => &[0, 1, 2, 3, 2, 3, 4],
        };
        for height in heights.iter().copied() {
            copy("state/trie", "trie");
            let state =
                State::open(Arc::new(Disk::open(&path, None, &small()).unwrap()), history).unwrap();
            for state in [&model, &state] {
                let commit = match state.height() {
                    None => state.genesis(0, blocks(height)),
                    Some(head) if head < height => state.commit(height, blocks(height)),
                    Some(_) => {
                        state.roll_back(height).unwrap();
                        continue;
                    }
                };
                commit.unwrap().durable().unwrap();
            }
            drop(state);
            copy("trie", "state/trie");
            let state =
                State::open(Arc::new(Disk::open(&path, None, &small()).unwrap()), history).unwrap();
            assert_eq!(state.root().unwrap(), model.root().unwrap());
            assert_eq!(state.view().cells(&[]).unwrap(), model.view().cells(&[]).unwrap());
            state.check().unwrap();
        }
    }
}
