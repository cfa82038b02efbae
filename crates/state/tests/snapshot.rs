//! Snapshots: what was exported is what is imported, and nothing else is.

#![cfg(feature = "disk")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod common;

use common::{CHAIN, Random, small};
use polity_kernel::{Machine, Machines, View};
use polity_state::{
    Backend, Changes, History, Memory, State,
    disk::{Disk, DiskError},
    snapshot::{self, Snapshot, SnapshotError, Summary},
};
use polity_testkit::toy::Toy;
use polity_types::{
    AccountId, AccountRecord, B256, Bytes, CodeRef, LocalKey, MachineKind, Name, Space, U256, Value,
};
use polity_verify::{Cell, Key, hash_value};
use proptest::prelude::*;
use std::sync::Arc;

const KIND: MachineKind = MachineKind::new(1);
const HEIGHT: u64 = 300;
/// The bytes of a header before its check, and those of a check.
const HEADER: usize = 92;
const CHECK: usize = 32;

fn machines() -> Machines {
    Machines::default().with(Toy::new(KIND)).unwrap()
}

fn account(number: u64) -> AccountId {
    AccountId::new(KIND, B256::from(U256::from(number)))
}

fn code(number: u64) -> Bytes {
    number.to_be_bytes().repeat(20).into()
}

/// A few hundred accounts with slots of all kinds, a few codes, some of them shared.
fn state() -> State {
    let state = State::in_memory().unwrap();
    let mut random = Random::new(3);
    let mut changes = Changes::new();
    for number in 0..300 {
        let code = (number % 3 == 0).then(|| {
            let code = code(number % 12);
            let hash = Toy::new(KIND).code_hash(&code);
            changes.set_code(hash, code);
            CodeRef { machine: KIND, hash }
        });
        let balance = U256::from(random.next());
        let record = AccountRecord { balance, sequence: number, code };
        changes.set_account(account(number), Some(record));
        for slot in 0..random.below(6) {
            let key = match slot % 2 {
                0 => LocalKey::storage(U256::from(slot)),
                _ => LocalKey {
                    space: Space(17),
                    name: Name::Bytes(random.next().to_be_bytes().repeat(3).into()),
                },
            };
            let value = match slot % 3 {
                0 => Value::bytes(random.next().to_be_bytes().repeat(9).into()),
                _ => Value::word(U256::from(random.next() | 1)),
            };
            changes.set_slot(account(number), key, value).unwrap();
        }
    }
    // A code that no account has any more is left out.
    changes.set_code(B256::repeat_byte(9), code(99));
    state.genesis(HEIGHT, changes).unwrap();
    for height in HEIGHT - 5..=HEIGHT {
        state.set_block_hash(height, B256::from(U256::from(height))).unwrap();
    }
    state
}

fn exported(state: &State) -> (Summary, Vec<u8>) {
    let mut bytes = Vec::new();
    let summary = snapshot::export(state, CHAIN, &mut bytes).unwrap();
    (summary, bytes)
}

fn read(
    mut bytes: &[u8],
    backend: &dyn Backend,
    machines: &Machines,
    root: Option<B256>,
) -> Result<Summary, SnapshotError> {
    let snapshot = Snapshot::open(&mut bytes)?;
    snapshot.expect_chain(CHAIN)?;
    snapshot.import(backend, machines, root)
}

fn import(bytes: &[u8], root: Option<B256>) -> Result<(State, Summary), SnapshotError> {
    let memory = Memory::new();
    let summary = read(bytes, &memory, &machines(), root)?;
    Ok((State::open(Arc::new(memory), History::Archive)?, summary))
}

fn assert_same(a: &State, b: &State) {
    assert_eq!(a.height(), b.height());
    assert_eq!(a.root().unwrap(), b.root().unwrap());
    assert_eq!(a.view().cells(&[]).unwrap(), b.view().cells(&[]).unwrap());
    for number in 0..12 {
        let hash = Toy::new(KIND).code_hash(&code(number));
        assert_eq!(a.code(&hash).unwrap(), b.code(&hash).unwrap());
    }
    for height in HEIGHT - 6..=HEIGHT {
        assert_eq!(a.view().block_hash(height), b.view().block_hash(height));
    }
}

#[test]
fn memory_to_disk_to_memory() {
    let first = state();
    let (summary, bytes) = exported(&first);
    assert_eq!(summary.head.root, first.root().unwrap());
    assert_eq!(summary.cells, first.view().cells(&[]).unwrap().len() as u64);
    assert_eq!(summary.codes, 4);

    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let (disk, imported) = Disk::create_with(&path, CHAIN, &small(), |disk| {
        read(&bytes, disk, &machines(), None)
            .map_err(|error| DiskError::State(polity_state::StateError::Corrupt(error.to_string())))
    })
    .unwrap();
    assert_eq!(imported, summary);
    drop(disk);
    let disk = Disk::open(&path, Some(CHAIN), &small()).unwrap();
    let second = State::open(Arc::new(disk), History::Archive).unwrap();
    assert_same(&first, &second);
    assert_eq!(second.check().unwrap(), summary.cells);

    let (again, same) = exported(&second);
    assert_eq!((again, &same), (summary, &bytes), "one state has one snapshot");
    let (third, _) = import(&same, Some(summary.head.root)).unwrap();
    assert_same(&first, &third);
    // And it goes on like the first.
    for state in [&first, &third] {
        let mut changes = Changes::new();
        changes.set_account(account(7), None);
        state.commit(HEIGHT + 1, changes).unwrap().durable().unwrap();
    }
    assert_eq!(first.root().unwrap(), third.root().unwrap());
    assert!(third.view_at(HEIGHT).is_ok());
    assert!(third.view_at(HEIGHT - 1).is_err());
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let (summary, bytes) = exported(&state());
    let trusted = Some(summary.head.root);
    for length in (0..bytes.len()).step_by(97).chain(bytes.len() - 60..bytes.len()) {
        assert!(import(&bytes[..length], trusted).is_err(), "cut to {length}");
    }
    for at in (0..bytes.len()).step_by(211).chain(0..140).chain(bytes.len() - 60..bytes.len()) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(import(&changed, trusted).is_err(), "changed at {at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(import(&longer, trusted), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn what_is_wrong_is_told() {
    let first = state();
    let (summary, bytes) = exported(&first);
    let root = B256::repeat_byte(4);
    match import(&bytes, Some(root)) {
        Err(SnapshotError::Root { expected, found }) => {
            assert_eq!((expected, found), (root, summary.head.root));
        }
        other => panic!("{other:?}"),
    }
    let other = Snapshot::open(&mut &bytes[..]).unwrap().expect_chain(B256::repeat_byte(2));
    assert!(matches!(other, Err(SnapshotError::OtherChain { found: CHAIN, .. })));
    let none = Machines::default();
    let result = read(&bytes, &Memory::new(), &none, None);
    assert!(matches!(result, Err(SnapshotError::UnknownMachine(KIND))));
    assert!(matches!(import(b"something else", None), Err(SnapshotError::Foreign)));
    let mut newer = bytes.clone();
    newer[19] = 2;
    assert!(matches!(import(&newer, None), Err(SnapshotError::Format { found: 2 })));
    let memory = Memory::new();
    read(&bytes, &memory, &machines(), None).unwrap();
    let again = read(&bytes, &memory, &machines(), None);
    assert!(matches!(again, Err(SnapshotError::NotEmpty)));
    assert!(snapshot::export(&State::in_memory().unwrap(), CHAIN, &mut Vec::new()).is_err());
}

#[test]
fn a_snapshot_that_was_made_up_is_refused() {
    // Everything is in order but the cells are not those of the root: one account is richer.
    let (summary, honest) = exported(&state());
    let rich = State::in_memory().unwrap();
    let mut changes = Changes::new();
    for (key, cell) in import(&honest, None).unwrap().0.view().cells(&[]).unwrap() {
        match (key, cell) {
            (Key::Account(account), Cell::Account(mut record)) => {
                record.code = None;
                record.balance += U256::from(1);
                changes.set_account(account, Some(record));
            }
            (Key::Slot(account, key), Cell::Slot(value)) => {
                changes.set_slot(account, key, value).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    rich.genesis(HEIGHT, changes).unwrap();
    let (_, bytes) = exported(&rich);
    let forged = with_root(&bytes, summary.head.root);
    for trusted in [None, Some(summary.head.root)] {
        match import(&forged, trusted) {
            Err(SnapshotError::Root { expected, found }) => {
                assert_eq!((expected, found), (summary.head.root, rich.root().unwrap()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(import(&with_root(&bytes, rich.root().unwrap()), None).is_ok());
}

/// The snapshot with another root in its header, and all checks in order.
fn with_root(bytes: &[u8], root: B256) -> Vec<u8> {
    let mut forged = bytes.to_vec();
    forged[60..HEADER].copy_from_slice(root.as_slice());
    mended(&forged)
}

/// The bytes with the checks that belong to them.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return bytes.to_vec() };
    let mut mended = header.to_vec();
    let mut check = hash_value(header);
    mended.extend_from_slice(check.as_slice());
    let mut rest = rest.get(CHECK..).unwrap_or_default();
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (payload, tail) = tail.split_at(length.min(tail.len()));
        check = hash_value(&[check.as_slice(), head, hash_value(payload).as_slice()].concat());
        mended.extend_from_slice(&[head, payload, check.as_slice()].concat());
        rest = tail.get(CHECK..).unwrap_or_default();
    }
    mended
}

/// A few accounts, so that a change often hits what is not a value.
fn little() -> State {
    let state = State::in_memory().unwrap();
    let mut changes = Changes::new();
    for number in 0..4 {
        let hash = Toy::new(KIND).code_hash(&code(number % 2));
        changes.set_code(hash, code(number % 2));
        let code = Some(CodeRef { machine: KIND, hash });
        let record = AccountRecord { balance: U256::from(number), sequence: 1, code };
        changes.set_account(account(number), Some(record));
        let key = LocalKey { space: Space(16), name: Name::Bytes(vec![7; 3].into()) };
        changes.set_slot(account(number), key, Value::bytes(vec![9; 5].into())).unwrap();
    }
    state.genesis(HEIGHT, changes).unwrap();
    state.set_block_hash(HEIGHT, B256::repeat_byte(5)).unwrap();
    state
}

#[derive(Clone, Debug)]
enum Spoil {
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn spoils() -> impl Strategy<Value = Vec<Spoil>> {
    let spoil = prop_oneof![
        4 => (any::<prop::sample::Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Spoil::Flip(at, bits)),
        1 => (any::<prop::sample::Index>(), 1..80_usize).prop_map(|(at, size)| Spoil::Remove(at, size)),
        1 => (any::<prop::sample::Index>(), 1..80_usize).prop_map(|(at, size)| Spoil::Repeat(at, size)),
    ];
    prop::collection::vec(spoil, 1..4)
}

fn spoil(bytes: &mut Vec<u8>, spoils: &[Spoil]) {
    for spoil in spoils {
        let length = bytes.len().max(1);
        match spoil {
            Spoil::Flip(at, bits) => {
                bytes.iter_mut().skip(at.index(length)).take(1).for_each(|byte| *byte ^= bits);
            }
            Spoil::Remove(at, size) => {
                let at = at.index(length);
                bytes.drain(at.min(bytes.len())..(at + size).min(bytes.len()));
            }
            Spoil::Repeat(at, size) => {
                let at = at.index(length);
                let piece: Vec<u8> = bytes.iter().skip(at).take(*size).copied().collect();
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), piece);
            }
        }
    }
}

proptest! {
    /// Whatever is changed: it is refused, or becomes a state that has the root and whose snapshot
    /// says the same.
    #[test]
    fn a_spoiled_snapshot_is_refused_or_a_state(spoils in spoils()) {
        let (_, honest) = exported(&little());
        let mut bytes = honest.clone();
        spoil(&mut bytes, &spoils);
        prop_assert!(bytes == honest || import(&bytes, None).is_err());
        // With its checks in order, and then with the root that its cells have.
        let mut bytes = mended(&bytes);
        for _ in 0..2 {
            match import(&bytes, None) {
                Ok((state, summary)) => {
                    prop_assert_eq!(state.check().unwrap(), summary.cells);
                    prop_assert_eq!(exported(&state).0, summary);
                    break;
                }
                Err(SnapshotError::Root { found, .. }) => bytes = with_root(&bytes, found),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn a_refused_import_leaves_no_state() {
    let (_, bytes) = exported(&state());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let cut = &bytes[..bytes.len() - 1];
    let fill = |bytes: &[u8]| {
        Disk::create_with(&path, CHAIN, &small(), |disk| read(bytes, disk, &machines(), None))
    };
    assert!(fill(cut).is_err());
    assert!(matches!(Disk::open(&path, None, &small()), Err(DiskError::NoState(_))));
    fill(&bytes).unwrap();
    Disk::open(&path, None, &small()).unwrap();
}
