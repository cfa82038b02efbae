//! What a block replaces is read only where nobody knows it, and a caller who tells it wrongly does
//! no harm.

#![cfg(feature = "std")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use polity_state::{
    Backend, Batch, Changes, History, Memory, Rows, State, StateError, StateView, Table,
};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, Bytes, Delta, Interval, LocalKey, MachineKind,
    U256, Value,
};
use polity_verify::{Cell, Key, Path, Trie};
use std::{
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

/// Counts how often a commit looks up a cell, and may answer with another one.
#[derive(Default)]
struct Counting {
    memory: Memory,
    sealing: AtomicBool,
    reads: AtomicU64,
    lies: AtomicBool,
}

impl Backend for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        if table == Table::Cells && self.sealing.load(SeqCst) {
            self.reads.fetch_add(1, SeqCst);
            if self.lies.load(SeqCst) {
                return Ok(Some(Bytes::from_static(b"another")));
            }
        }
        self.memory.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError> {
        self.memory.scan(table, from, to, reverse)
    }

    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError> {
        // As the backends do it, to see what is read.
        let paths: Vec<Path> = batch.trie().iter().map(|(path, _)| *path).collect();
        let mut trie = self.memory.prove(&paths)?;
        let replaced = trie.replace(batch.trie(), &polity_verify::Serial)?;
        self.sealing.store(true, SeqCst);
        let sealed = batch.clone().seal(trie.root(), &replaced, self);
        self.sealing.store(false, SeqCst);
        sealed?;
        self.memory.commit(batch, announce)
    }

    fn root(&self) -> Result<B256, StateError> {
        self.memory.root()
    }

    fn prove(&self, paths: &[Path]) -> Result<Trie, StateError> {
        self.memory.prove(paths)
    }
}

const fn account() -> AccountId {
    AccountId::new(MachineKind::new(1), B256::repeat_byte(1))
}

fn key(number: u64) -> LocalKey {
    LocalKey::storage(U256::from(number))
}

fn word(number: u64) -> Value {
    Value::word(U256::from(number))
}

fn slot(view: &StateView, number: u64) -> Option<Cell> {
    view.cell(&Key::Slot(account(), key(number))).unwrap()
}

/// A state of which the slots 0 to 9 hold 100 and more.
fn begin(history: History) -> (Arc<Counting>, State) {
    let backend = Arc::new(Counting::default());
    let state = State::open(backend.clone(), history).unwrap();
    let mut genesis = Changes::new();
    for number in 0..10 {
        genesis.set_slot(account(), key(number), word(100 + number)).unwrap();
    }
    state.genesis(0, genesis).unwrap().durable().unwrap();
    (backend, state)
}

#[test]
fn only_what_nobody_knows_is_read() {
    let (backend, state) = begin(History::Archive);
    assert_eq!(backend.reads.load(SeqCst), 0, "nothing is before the first block");
    let mut block = Changes::new();
    block.replace_slot(account(), key(0), Some(word(100)), word(1)).unwrap();
    // The first value that is told is that before the block.
    block.replace_slot(account(), key(0), Some(word(1)), word(2)).unwrap();
    block.replace_slot(account(), key(1), Some(word(101)), Value::Empty).unwrap();
    // Set to what it held, and set where nothing was.
    block.set_slot(account(), key(2), word(102)).unwrap();
    block.set_slot(account(), key(10), word(110)).unwrap();
    block.replace_slot(account(), key(11), Some(word(5)), word(111)).unwrap();
    state.commit(1, block).unwrap().durable().unwrap();
    assert_eq!(backend.reads.load(SeqCst), 0);

    let mut block = Changes::new();
    block.set_slot(account(), key(3), word(3)).unwrap();
    block.replace_slot(account(), key(4), Some(word(4)), word(4)).unwrap();
    block.replace_slot(account(), key(5), Some(Value::Empty), word(5)).unwrap();
    state.commit(2, block).unwrap().durable().unwrap();
    assert_eq!(backend.reads.load(SeqCst), 3);

    for (height, known) in [(0, false), (1, true)] {
        let view = state.view_at(height).unwrap();
        for number in 0..12 {
            let expected = match number {
                0 if known => Some(2),
                1 if known => None,
                0..10 => Some(100 + number),
                _ => known.then_some(100 + number),
            };
            assert_eq!(slot(&view, number), expected.map(|number| Cell::Slot(word(number))));
        }
    }
}

#[test]
fn a_record_that_effects_change_is_not_read_twice() {
    let (backend, state) = begin(History::Archive);
    for height in 1..3 {
        let mut changes = Changes::new();
        let effects = AccountEffects {
            account: account(),
            existence_read: None,
            emptiness_read: None,
            existence_write: None,
            balance_read: Interval::ANY,
            balance_delta: Delta::ZERO,
            sequence_read: None,
            sequence_write: Some(height),
            code_read: None,
            code_write: None,
            storage_reset: false,
        };
        changes.apply_account(&state.view(), &effects).unwrap();
        state.commit(height, changes).unwrap().durable().unwrap();
    }
    assert_eq!(backend.reads.load(SeqCst), 0);
    let before = AccountRecord { sequence: 1, ..AccountRecord::default() };
    let found = state.view_at(1).unwrap().cell(&Key::Account(account())).unwrap();
    assert_eq!(found, Some(Cell::Account(before)));
}

#[test]
fn without_a_history_nothing_is_read() {
    let (backend, state) = begin(History::Blocks(0));
    let mut block = Changes::new();
    (0..10).for_each(|number| block.set_slot(account(), key(number), word(number)).unwrap());
    state.commit(1, block).unwrap().durable().unwrap();
    assert_eq!(backend.reads.load(SeqCst), 0);
    assert_eq!(state.check().unwrap(), 9);
}

#[test]
fn a_cell_that_the_trie_does_not_have_is_an_error() {
    let (backend, state) = begin(History::Archive);
    backend.lies.store(true, SeqCst);
    let mut block = Changes::new();
    block.set_slot(account(), key(0), word(1)).unwrap();
    let error = state.commit(1, block).unwrap().durable().unwrap_err();
    assert!(matches!(error, StateError::Corrupt(_)), "{error}");
}
