//! A block that is stored, or taken back, in the middle of a read does not show in it.

#![cfg(feature = "std")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use polity_state::{
    Backend, Batch, Changes, History, Memory, Rows, State, StateError, StateView, Table,
};
use polity_types::{AccountId, B256, Bytes, LocalKey, MachineKind, U256, Value};
use polity_verify::{Cell, Key, Path, Trie};
use std::{
    ops::Bound,
    sync::{Arc, Mutex, OnceLock},
};

type Hook = Box<dyn FnOnce() + Send>;

/// Does something before or after its next look-up, or before or after its next scan.
#[derive(Default)]
struct Hooked {
    memory: Memory,
    hook: Mutex<Option<(Moment, Hook)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeGet,
    AfterGet,
    BeforeScan,
    AfterScan,
}

impl Hooked {
    fn at(&self, moment: Moment) {
        let taken = self.hook.lock().unwrap().take_if(|(at, _)| *at == moment);
        if let Some((_, hook)) = taken {
            hook();
        }
    }
}

impl Backend for Hooked {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.at(Moment::BeforeGet);
        let found = self.memory.get(table, key);
        self.at(Moment::AfterGet);
        found
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError> {
        self.at(Moment::BeforeScan);
        let rows: Vec<_> = self.memory.scan(table, from, to, reverse)?.collect();
        self.at(Moment::AfterScan);
        Ok(Box::new(rows.into_iter()))
    }

    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError> {
        self.memory.commit(batch, announce)
    }

    fn root(&self) -> Result<B256, StateError> {
        self.memory.root()
    }

    fn prove(&self, paths: &[Path]) -> Result<Trie, StateError> {
        self.memory.prove(paths)
    }
}

fn account() -> AccountId {
    AccountId::new(MachineKind::new(1), B256::with_last_byte(1))
}

fn slot() -> LocalKey {
    LocalKey::storage(U256::ZERO)
}

/// Block `height` sets the slot to 10 and its height.
fn block(height: u64) -> Changes {
    let mut changes = Changes::new();
    changes.set_slot(account(), slot(), Value::word(U256::from(10 + height))).unwrap();
    changes
}

fn cell(number: u64) -> Cell {
    Cell::Slot(Value::Word(U256::from(number)))
}

/// Looks the slot up, or lists it.
fn read(view: &StateView, list: bool) -> Result<Option<Cell>, StateError> {
    if list {
        Ok(view.cells(&[])?.pop().map(|(_, cell)| cell))
    } else {
        view.cell(&Key::Slot(account(), slot()))
    }
}

/// Reads at `height` of a state of four blocks, while `meanwhile` is done to it at some moment.
fn race(
    history: History,
    height: u64,
    moment: Moment,
    list: bool,
    meanwhile: fn(&State),
) -> Result<Option<Cell>, StateError> {
    let backend = Arc::new(Hooked::default());
    let state = Arc::new(State::open(backend.clone(), history).unwrap());
    state.genesis(0, block(0)).unwrap();
    for height in 1..4 {
        state.commit(height, block(height)).unwrap();
    }
    state.flush().unwrap();
    let view = state.view_at(height).unwrap();
    let done = Arc::new(OnceLock::new());
    let (of_hook, told) = (state.clone(), done.clone());
    let hook: Hook = Box::new(move || {
        meanwhile(&of_hook);
        told.set(()).unwrap();
    });
    *backend.hook.lock().unwrap() = Some((moment, hook));
    let found = read(&view, list);
    // A look-up of the latest height scans nothing, and a list looks nothing up.
    if done.get().is_none() {
        *backend.hook.lock().unwrap() = None;
        meanwhile(&state);
        return read(&view, list);
    }
    found
}

const MOMENTS: [Moment; 4] =
    [Moment::BeforeGet, Moment::AfterGet, Moment::BeforeScan, Moment::AfterScan];

#[test]
fn a_block_stored_meanwhile_does_not_show() {
    for moment in MOMENTS {
        for (height, list) in [(1, false), (1, true), (3, false), (3, true)] {
            let found = race(History::Archive, height, moment, list, |state| {
                state.commit(4, block(4)).unwrap().durable().unwrap();
            });
            assert_eq!(found, Ok(Some(cell(10 + height))), "{moment:?} {height} {list}");
        }
    }
}

#[test]
fn a_block_taken_back_meanwhile_does_not_show() {
    for moment in MOMENTS {
        for list in [false, true] {
            // What stays can be read on, what is gone fails.
            let back = |state: &State| {
                state.roll_back(2).unwrap();
                state.commit(3, block(7)).unwrap().durable().unwrap();
            };
            let found = race(History::Archive, 1, moment, list, back);
            assert_eq!(found, Ok(Some(cell(11))), "{moment:?} {list}");
            let found = race(History::Archive, 3, moment, list, back);
            assert_eq!(found, Err(StateError::RolledBack(3)), "{moment:?} {list}");
        }
    }
}

#[test]
fn a_height_pruned_meanwhile_is_an_error_or_what_it_was() {
    for moment in MOMENTS {
        for list in [false, true] {
            let found = race(History::Blocks(2), 1, moment, list, |state| {
                state.commit(4, block(4)).unwrap().durable().unwrap();
                state.commit(5, block(5)).unwrap().durable().unwrap();
            });
            let pruned = StateError::Pruned { height: 1, oldest: 3 };
            assert!(
                found == Ok(Some(cell(11))) || found == Err(pruned),
                "{moment:?} {list}: {found:?}"
            );
        }
    }
}
