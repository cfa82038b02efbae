//! The plainest state: a map for each height, and a root by the definition.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "not every test needs everything"
)]

use polity_state::{Changes, StateError, StateView};
use polity_types::{
    AccountId, AccountRecord, B256, CodeRef, LocalKey, MachineKind, Name, Space, U256, Value,
};
use polity_verify::{Cell, Key, Leaf, Path, hash_inner, sentinels};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Cells by the rows of their keys.
pub type Map = BTreeMap<Vec<u8>, (Key, Cell)>;

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    Account(AccountId, Option<AccountRecord>),
    Slot(AccountId, LocalKey, Value),
    /// As `Slot`, told that it held the first value before, which is mostly wrong.
    Told(AccountId, LocalKey, Value, Value),
    Reset(AccountId),
}

pub fn account(number: u8) -> AccountId {
    AccountId::new(MachineKind::new(number % 2), B256::with_last_byte(number))
}

pub fn name(number: u8) -> LocalKey {
    let name = match number {
        0..4 => Name::Word(U256::from(number)),
        _ => Name::Bytes(vec![0; usize::from(number)].into()),
    };
    LocalKey { space: Space(16 * (number % 2)), name }
}

fn op() -> impl Strategy<Value = Op> {
    let id = || (0..5_u8).prop_map(account);
    let record = (0..4_u64, 0..3_u64, any::<bool>()).prop_map(|(balance, sequence, code)| {
        let code =
            code.then(|| CodeRef { machine: MachineKind::new(1), hash: B256::repeat_byte(7) });
        AccountRecord { balance: U256::from(balance), sequence, code }
    });
    let value = || {
        prop_oneof![
            Just(Value::Empty),
            (0..4_u64).prop_map(|word| Value::Word(U256::from(word))),
            prop::collection::vec(any::<u8>(), 0..50).prop_map(|bytes| Value::Bytes(bytes.into())),
        ]
    };
    let slot = || (id(), (0..6_u8).prop_map(name));
    prop_oneof![
        3 => (id(), prop::option::of(record)).prop_map(|(id, record)| Op::Account(id, record)),
        4 => (slot(), value()).prop_map(|((id, key), value)| Op::Slot(id, key, value)),
        4 => (slot(), value(), value())
            .prop_map(|((id, key), before, value)| Op::Told(id, key, before, value)),
        1 => id().prop_map(Op::Reset),
    ]
}

/// What a block does, in order; sometimes nothing.
pub fn block() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![1 => Just(Vec::new()), 8 => prop::collection::vec(op(), 1..25)]
}

pub fn changes(ops: &[Op]) -> Changes {
    let mut changes = Changes::new();
    for op in ops.iter().cloned() {
        match op {
            Op::Account(id, record) => changes.set_account(id, record),
            Op::Slot(id, key, value) => changes.set_slot(id, key, value).unwrap(),
            Op::Told(id, key, before, value) => {
                changes.replace_slot(id, key, Some(before), value).unwrap();
            }
            Op::Reset(id) => changes.reset(id),
        }
    }
    changes
}

pub fn apply(map: &mut Map, ops: &[Op]) {
    let mut set = |key: Key, cell: Option<Cell>| match cell {
        Some(cell) => drop(map.insert(key.row(), (key, cell))),
        None => drop(map.remove(&key.row())),
    };
    for op in ops.iter().cloned() {
        match op {
            Op::Account(id, record) => set(Key::Account(id), record.map(Cell::Account)),
            Op::Slot(id, key, value) | Op::Told(id, key, _, value) => {
                let held = !Cell::is_absent(&value);
                set(Key::Slot(id, key), held.then_some(Cell::Slot(value)));
            }
            Op::Reset(id) => {
                for number in 0..6 {
                    set(Key::Slot(id, name(number)), None);
                }
            }
        }
    }
}

/// The root of a state, by the definition in `docs/state.md`.
pub fn root(map: &Map) -> B256 {
    let cells = map.values().map(|(key, cell)| Leaf { path: key.path(), value: cell.hash() });
    let leaves: Vec<Leaf> = sentinels().chain(cells).collect();
    node(&leaves, 0)
}

fn node(leaves: &[Leaf], depth: u16) -> B256 {
    match leaves {
        [] => B256::ZERO,
        [leaf] => leaf.hash(),
        _ => {
            let (right, left): (Vec<_>, Vec<_>) =
                leaves.iter().partition(|leaf| leaf.path.bit(depth));
            hash_inner(&node(&left, depth + 1), &node(&right, depth + 1))
        }
    }
}

/// Every key that blocks may touch.
pub fn keys() -> Vec<Key> {
    let of = |id| {
        let slots = (0..6).map(move |number| Key::Slot(id, name(number)));
        slots.chain([Key::Account(id)])
    };
    (0..5).map(account).flat_map(of).collect()
}

/// Paths of all those keys, in order.
pub fn paths() -> Vec<Path> {
    let mut paths: Vec<Path> = keys().iter().map(Key::path).collect();
    paths.sort_unstable();
    paths
}

/// The view says what the map says, key by key and listed.
pub fn assert_view(view: &StateView, map: &Map) -> Result<(), StateError> {
    for key in keys() {
        let expected = map.get(&key.row()).map(|(_, cell)| cell.clone());
        assert_eq!(view.cell(&key)?, expected, "{key} at {:?}", view.height());
    }
    let listed: Vec<_> = map.values().cloned().collect();
    assert_eq!(view.cells(&[])?, listed);
    Ok(())
}
