//! A state in memory and one on disk against a map per height, over random blocks, rollbacks and
//! re-openings.

#![cfg(feature = "disk")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod model;

use model::{Map, Op, apply, assert_view, block, changes};
use polity_kernel::{View, ViewError};
use polity_state::{
    Backend, Changes, History, Memory, Slots, State, StateError, StateView,
    disk::{Disk, DiskOptions},
};
use polity_types::{AccountId, AccountRecord, B256, Bytes, MachineKind, U256, Value};
use polity_verify::{Cell, Key, Owner, Proof, Trie};
use proptest::prelude::*;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Op>),
    RollBack(u64),
    /// From now on, so much of the past is kept.
    Reopen(History),
    Prove,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => block().prop_map(Step::Commit),
        1 => (0..6_u64).prop_map(Step::RollBack),
        1 => histories().prop_map(Step::Reopen),
        1 => Just(Step::Prove),
    ];
    prop::collection::vec(step, 1..20)
}

/// Where a state is kept, to be opened again.
enum Place {
    Memory(Arc<Memory>),
    Disk(tempfile::TempDir),
}

impl Place {
    fn disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(Disk::create(&folder.path().join("state"), B256::ZERO, &small()).unwrap());
        Self::Disk(folder)
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Memory(memory) => memory.clone(),
            Self::Disk(folder) => {
                Arc::new(Disk::open(&folder.path().join("state"), None, &small()).unwrap())
            }
        }
    }
}

fn small() -> DiskOptions {
    DiskOptions { value_cache: 8, write_buffer: 1, trie_cache: 8, trie_pages: 4096 }
}

const GENESIS: u64 = 7;

/// Plays the steps, and compares with the model after each.
fn play(place: &Place, mut history: History, genesis: &[Op], steps: &[Step]) -> Vec<B256> {
    let mut state = State::open(place.backend(), history).unwrap();
    let mut maps = vec![Map::new()];
    apply(&mut maps[0], genesis);
    let commit = state.genesis(GENESIS, changes(genesis)).unwrap();
    let mut expected = vec![model::root(&maps[0])];
    let mut roots = vec![commit.root().unwrap()];
    // Views of earlier blocks stay what they were.
    let mut views: Vec<StateView> = vec![state.view()];
    let mut oldest = 0;
    for step in steps {
        let height = GENESIS + maps.len() as u64 - 1;
        match step {
            Step::Commit(ops) => {
                let mut map = maps.last().unwrap().clone();
                apply(&mut map, ops);
                let commit = state.commit(height + 1, changes(ops)).unwrap();
                views.push(state.view());
                assert_view(views.last().unwrap(), &map).unwrap();
                expected.push(model::root(&map));
                assert_eq!(commit.root().as_ref(), Ok(expected.last().unwrap()));
                roots.push(commit.durable().unwrap());
                maps.push(map);
                if let History::Blocks(kept) = history {
                    oldest = oldest.max(maps.len().saturating_sub(1 + kept as usize));
                }
            }
            Step::RollBack(blocks) => {
                let to = (maps.len() - 1).saturating_sub(*blocks as usize);
                let rolled = state.roll_back(GENESIS + to as u64);
                if to < oldest {
                    assert!(matches!(rolled, Err(StateError::Pruned { .. })), "{rolled:?}");
                    continue;
                }
                assert_eq!(rolled.unwrap(), expected[to]);
                for view in views.split_off(to + 1) {
                    let height = view.height().unwrap();
                    let gone = view.cell(&model::keys()[0]);
                    assert_eq!(gone, Err(StateError::RolledBack(height)));
                }
                maps.truncate(to + 1);
                expected.truncate(to + 1);
            }
            Step::Reopen(other) => {
                history = *other;
                views.clear();
                drop(state);
                state = State::open(place.backend(), history).unwrap();
                views = (0..maps.len())
                    .map(|block| state.view_at(GENESIS + block as u64))
                    .enumerate()
                    .filter_map(|(block, view)| (block >= oldest).then(|| view.unwrap()))
                    .collect();
                let pruned = (0..oldest).map(|_| views[0].clone());
                views = pruned.chain(views.clone()).collect();
            }
            Step::Prove => {
                let keys = model::keys();
                let (head, proof) = state.prove(&keys).unwrap();
                assert_eq!(Some(&head.root), expected.last());
                let proof = Proof::from_bytes(&proof.to_bytes()).unwrap();
                let claims = proof.verify(&head.root).unwrap();
                assert_eq!(claims.len(), keys.len());
                for claim in claims {
                    let held = maps.last().unwrap().get(&claim.key.row()).map(|(_, cell)| cell);
                    assert_eq!(claim.cell.as_ref(), held);
                }
            }
        }
        assert_eq!(state.height(), Some(GENESIS + maps.len() as u64 - 1));
        assert_eq!(state.oldest(), Some(GENESIS + oldest as u64));
        assert_eq!(state.root().as_ref(), Ok(expected.last().unwrap()));
        for (block, (view, map)) in views.iter().zip(&maps).enumerate() {
            let height = GENESIS + block as u64;
            if block >= oldest {
                assert_view(view, map).unwrap();
                assert_view(&state.view_at(height).unwrap(), map).unwrap();
                assert_eq!(state.root_at(height).unwrap(), Some(expected[block]));
            } else {
                let pruned = StateError::Pruned { height, oldest: GENESIS + oldest as u64 };
                assert_eq!(state.view_at(height).err(), Some(pruned));
            }
        }
    }
    assert_eq!(state.check().unwrap(), maps.last().unwrap().len() as u64);
    roots
}

fn histories() -> impl Strategy<Value = History> {
    prop_oneof![Just(History::Archive), (0..4_u64).prop_map(History::Blocks)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn memory_is_the_model(history in histories(), genesis in block(), steps in steps()) {
        play(&Place::Memory(Arc::default()), history, &genesis, &steps);
    }
}

proptest! {
    // Every case makes a state on disk.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 16))]

    #[test]
    fn disk_is_the_model(history in histories(), genesis in block(), steps in steps()) {
        let on_disk = play(&Place::disk(), history, &genesis, &steps);
        let in_memory = play(&Place::Memory(Arc::default()), history, &genesis, &steps);
        prop_assert_eq!(on_disk, in_memory);
    }

    #[test]
    fn blocks_follow_on_blocks_that_are_not_stored_yet(blocks in prop::collection::vec(block(), 1..30)) {
        for place in [Place::Memory(Arc::default()), Place::disk()] {
            let state = State::open(place.backend(), History::Archive).unwrap();
            let mut maps = Vec::new();
            let mut map = Map::new();
            let mut commits = Vec::new();
            let mut views = Vec::new();
            for (height, ops) in (0_u64..).zip(&blocks) {
                apply(&mut map, ops);
                maps.push(map.clone());
                commits.push(match height {
                    0 => state.genesis(0, changes(ops)).unwrap(),
                    height => state.commit(height, changes(ops)).unwrap(),
                });
                views.push(state.view());
                assert_view(&state.view(), &map).unwrap();
            }
            for ((commit, view), map) in commits.iter().zip(&views).zip(&maps) {
                prop_assert_eq!(commit.root().unwrap(), model::root(map));
                assert_view(view, map).unwrap();
            }
        }
    }

    #[test]
    fn roots_do_not_depend_on_the_order_of_writes(ops in block(), seed: u64) {
        let mut map = Map::new();
        apply(&mut map, &ops);
        let mut cells: Vec<_> = map.values().cloned().collect();
        // Each cell in a block of its own, shuffled.
        let mut random = seed | 1;
        cells.sort_by_cached_key(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            random >> 20
        });
        let state = State::in_memory().unwrap();
        state.genesis(0, Changes::new()).unwrap();
        for (height, (key, cell)) in (1..).zip(cells) {
            let mut changes = Changes::new();
            match (key, cell) {
                (Key::Slot(id, key), Cell::Slot(value)) => changes.set_slot(id, key, value).unwrap(),
                (key, Cell::Account(record)) => changes.set_account(*key.account(), Some(record)),
                (key, cell) => panic!("{cell:?} at {key}"),
            }
            state.commit(height, changes).unwrap();
        }
        prop_assert_eq!(state.root().unwrap(), model::root(&map));
    }
}

/// What one height holds is one number in every slot: a view that mixes heights shows two.
#[test]
fn views_stay_what_they_are_while_blocks_are_stored_and_taken_back() {
    for place in [Place::Memory(Arc::default()), Place::disk()] {
        let state = State::open(place.backend(), History::Blocks(4)).unwrap();
        let id = model::account(1);
        let block = |height: u64| {
            let value = || Value::word(U256::from(height + 1));
            let ops: Vec<Op> = (0..6).map(|key| Op::Slot(id, model::name(key), value())).collect();
            changes(&ops)
        };
        let heights = match place {
            Place::Memory(_) => 400,
            Place::Disk(_) => 60,
        };
        state.genesis(0, block(0)).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (state, done) = (&state, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let head = state.height().unwrap();
                        let view = match state.view_at(head.saturating_sub(reader)) {
                            Ok(view) => view,
                            Err(StateError::Pruned { .. } | StateError::Future { .. }) => continue,
                            Err(error) => panic!("{error}"),
                        };
                        let expected = U256::from(view.height().unwrap() + 1);
                        for key in 0..6 {
                            match view.cell(&Key::Slot(id, model::name(key))) {
                                Ok(found) => {
                                    assert_eq!(found, Some(Cell::Slot(Value::Word(expected))));
                                }
                                Err(StateError::Pruned { .. } | StateError::RolledBack(_)) => break,
                                Err(error) => panic!("{error}"),
                            }
                        }
                        match view.cells(&[]) {
                            Ok(cells) => {
                                assert_eq!(cells.len(), 6);
                                for (_, cell) in cells {
                                    assert_eq!(cell, Cell::Slot(Value::Word(expected)));
                                }
                            }
                            Err(StateError::Pruned { .. } | StateError::RolledBack(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            let mut height = 0;
            for round in 1..heights {
                height += 1;
                state.commit(height, block(height)).unwrap();
                if round % 7 == 0 {
                    height -= 2;
                    state.roll_back(height).unwrap();
                }
            }
            state.flush().unwrap();
            done.store(true, Ordering::Relaxed);
        });
    }
}

/// Large enough for both halves of the trie to be updated at once.
#[test]
fn large_blocks_have_the_roots_of_small_ones() {
    let state = State::in_memory().unwrap();
    state.genesis(0, Changes::new()).unwrap();
    let mut trie = Trie::empty();
    for height in 1..4 {
        let mut block = Changes::new();
        for number in 0..4_000 {
            let id = AccountId::new(MachineKind::new(1), B256::from(U256::from(number)));
            let kept = (number + height) % 4 != 0;
            let record = AccountRecord { sequence: height, ..AccountRecord::default() };
            block.set_account(id, kept.then_some(record));
        }
        let cells = block.cells(&state.view()).unwrap();
        for cell in &cells {
            trie.update(&[cell.change()]).unwrap();
        }
        let commit = state.commit(height, block).unwrap();
        assert_eq!(commit.root().unwrap(), trie.root());
    }
    assert_eq!(state.check().unwrap(), 3_000);
}

#[test]
fn keys_are_listed_by_account_and_prefix() {
    let state = State::in_memory().unwrap();
    let ops: Vec<Op> = (0..5)
        .flat_map(|number| {
            let id = model::account(number);
            let slots =
                (0..6).map(move |key| Op::Slot(id, model::name(key), Value::Word(U256::from(1))));
            slots.chain([Op::Account(id, Some(Default::default()))])
        })
        .collect();
    state.genesis(0, changes(&ops)).unwrap();
    state.commit(1, changes(&[Op::Slot(model::account(1), model::name(2), Value::Empty)])).unwrap();
    for (height, slots) in [(0, 6), (1, 5)] {
        let view = state.view_at(height).unwrap();
        let owner = Owner::of(&model::account(1));
        assert_eq!(view.cells(&owner.row()).unwrap().len(), slots + 1);
        assert_eq!(view.slots(&model::account(1)).unwrap().len(), slots);
        // Names of bytes in the space 0, which begin with four zeros.
        let prefix = owner.slot_row(&model::name(4));
        assert_eq!(view.cells(&prefix).unwrap().len(), 1);
    }
}

#[test]
fn codes_and_block_hashes() {
    let memory = Arc::new(Memory::new());
    let hash = B256::repeat_byte(1);
    {
        let state = State::open(memory.clone(), History::Archive).unwrap();
        assert_eq!(state.set_block_hash(0, hash), Err(StateError::Empty));
        let mut changes = Changes::new();
        changes.set_code(hash, Bytes::from_static(b"code"));
        state.genesis(5, changes).unwrap();
        assert_eq!(state.view().block_hash(5), Err(ViewError::MissingBlockHash(5)));
        // That of an ancestor, and of the block itself.
        state.set_block_hash(4, B256::repeat_byte(4)).unwrap();
        state.set_block_hash(5, B256::repeat_byte(5)).unwrap();
        let future = StateError::Future { height: 6, head: 5 };
        assert_eq!(state.set_block_hash(6, hash), Err(future));
        state.commit(6, Changes::new()).unwrap();
        state.set_block_hash(6, B256::repeat_byte(6)).unwrap();
    }
    let state = State::open(memory, History::Archive).unwrap();
    let view = state.view();
    for number in 4..=6 {
        assert_eq!(view.block_hash(number), Ok(B256::repeat_byte(number as u8)));
    }
    assert_eq!(view.block_hash(7), Err(ViewError::MissingBlockHash(7)));
    let earlier = state.view_at(5).unwrap();
    assert_eq!(earlier.block_hash(6), Err(ViewError::MissingBlockHash(6)));
    assert_eq!(&view.code(&hash).unwrap().bytes()[..], b"code");
    assert_eq!(view.code(&B256::ZERO).unwrap_err(), ViewError::MissingCode(B256::ZERO));
    assert_eq!(state.root_at(4).unwrap(), None);
    assert_eq!(state.root_at(6).unwrap(), Some(state.root().unwrap()));
}

#[test]
fn what_does_not_follow_is_refused() {
    let state = State::in_memory().unwrap();
    assert_eq!(state.commit(1, Changes::new()).err(), Some(StateError::Empty));
    assert_eq!(state.view_at(0).err(), Some(StateError::Empty));
    assert_eq!(state.prove(&[]).err(), Some(StateError::Empty));
    state.genesis(3, Changes::new()).unwrap();
    assert_eq!(state.genesis(4, Changes::new()).err(), Some(StateError::NotEmpty(3)));
    let skipped = StateError::Height { head: 3, found: 5 };
    assert_eq!(state.commit(5, Changes::new()).err(), Some(skipped));
    assert_eq!(state.view_at(4).err(), Some(StateError::Future { height: 4, head: 3 }));
    assert_eq!(state.roll_back(4), Err(StateError::Future { height: 4, head: 3 }));
    assert_eq!(state.roll_back(2), Err(StateError::Pruned { height: 2, oldest: 3 }));
    assert_eq!(state.height(), Some(3));
}

/// A store that fails from some commit on.
struct Failing {
    memory: Memory,
    left: std::sync::atomic::AtomicU64,
}

impl Backend for Failing {
    fn get(&self, table: polity_state::Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.memory.get(table, key)
    }

    fn scan(
        &self,
        table: polity_state::Table,
        from: std::ops::Bound<&[u8]>,
        to: std::ops::Bound<&[u8]>,
        reverse: bool,
    ) -> Result<polity_state::Rows<'_>, StateError> {
        self.memory.scan(table, from, to, reverse)
    }

    fn commit(
        &self,
        batch: polity_state::Batch,
        announce: &mut dyn FnMut(B256),
    ) -> Result<(), StateError> {
        use std::sync::atomic::Ordering::SeqCst;
        if self.left.fetch_sub(1, SeqCst) == 0 {
            let error = StateError::Store { what: "writing".into(), error: "broken".into() };
            return Err(error);
        }
        self.memory.commit(batch, announce)
    }

    fn root(&self) -> Result<B256, StateError> {
        self.memory.root()
    }

    fn prove(&self, paths: &[polity_verify::Path]) -> Result<polity_verify::Trie, StateError> {
        self.memory.prove(paths)
    }
}

#[test]
fn a_failed_commit_fails_all_that_follows() {
    let backend = Failing { memory: Memory::new(), left: 1.into() };
    let state = State::open(Arc::new(backend), History::Archive).unwrap();
    let first = state.genesis(0, Changes::new()).unwrap();
    first.durable().unwrap();
    let second = state.commit(1, Changes::new()).unwrap();
    let broken = StateError::Store { what: "writing".into(), error: "broken".into() };
    assert_eq!(second.root(), Err(broken.clone()));
    assert_eq!(second.durable(), Err(broken.clone()));
    assert_eq!(state.commit(2, Changes::new()).err(), Some(broken.clone()));
    assert_eq!(state.roll_back(0), Err(broken.clone()));
    assert_eq!(state.flush(), Err(broken));
}
