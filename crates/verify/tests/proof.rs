//! Proofs of keys, and that no other bytes are one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polity_types::{
    AccountId, AccountRecord, B256, Bytes, CodeRef, LocalKey, MachineKind, Name, Space, U256, Value,
};
use polity_verify::{Cell, Claim, Key, KeyError, Owner, Proof, ProofError, Trie};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn account() -> impl Strategy<Value = AccountId> {
    (0..3_u8, 0..6_u8).prop_map(|(machine, address)| {
        AccountId::new(MachineKind::new(machine), B256::repeat_byte(address))
    })
}

fn key() -> impl Strategy<Value = Key> {
    let name = prop_oneof![
        (0..4_u64).prop_map(|word| Name::Word(U256::from(word))),
        prop::collection::vec(0..2_u8, 0..34).prop_map(|bytes| Name::Bytes(bytes.into())),
    ];
    let slot =
        (account(), prop_oneof![Just(0), Just(16)], name).prop_map(|(account, space, name)| {
            Key::Slot(account, LocalKey { space: Space(space), name })
        });
    prop_oneof![account().prop_map(Key::Account), slot]
}

fn cell(key: &Key, seed: u64) -> Cell {
    let word = U256::from(seed);
    match key {
        Key::Account(_) => Cell::Account(AccountRecord {
            balance: word,
            sequence: seed,
            code: seed
                .is_multiple_of(2)
                .then(|| CodeRef { machine: MachineKind::new(1), hash: B256::from(word) }),
        }),
        Key::Slot(..) if seed.is_multiple_of(3) => {
            Cell::Slot(Value::Bytes(Bytes::from(vec![1; 40])))
        }
        Key::Slot(..) => Cell::Slot(Value::Word(word)),
    }
}

type State = Vec<(Key, Cell)>;

fn state() -> impl Strategy<Value = State> {
    let keys = prop::collection::vec((key(), 1..u64::MAX), 1..30);
    keys.prop_map(|keys| {
        let mut state: BTreeMap<Vec<u8>, (Key, Cell)> = BTreeMap::new();
        for (key, seed) in keys {
            state.insert(key.to_bytes(), (key.clone(), cell(&key, seed)));
        }
        state.into_values().collect()
    })
}

fn trie(state: &State) -> Trie {
    let mut changes: Vec<_> =
        state.iter().map(|(key, cell)| (key.path(), Some(cell.hash()))).collect();
    changes.sort_unstable();
    let mut trie = Trie::empty();
    trie.update(&changes).unwrap();
    trie
}

fn prove(state: &State, keys: &[Key]) -> (B256, Proof) {
    let trie = trie(state);
    let claim = |key: &Key| Claim {
        key: key.clone(),
        cell: state.iter().find(|(other, _)| other == key).map(|(_, cell)| cell.clone()),
    };
    let proof = Proof::new(keys.iter().map(claim).collect(), &trie).unwrap();
    (trie.root(), proof)
}

proptest! {
    #[test]
    fn keys_are_their_bytes(a in key(), b in key()) {
        prop_assert_eq!(Key::from_bytes(&a.to_bytes()).unwrap(), a.clone());
        prop_assert_eq!(Key::from_row(&a.row()).unwrap(), a.clone());
        prop_assert_eq!(a == b, a.to_bytes() == b.to_bytes());
        prop_assert_eq!(a == b, a.path() == b.path());
        prop_assert_eq!(a.account() == b.account(), a.path().agrees(&b.path(), 32));
        let owner = Owner::of(a.account());
        prop_assert!(a.row().starts_with(&owner.row()));
        prop_assert!(a.path().agrees(&owner.path(), Owner::PREFIX_BITS));
        prop_assert_eq!(a.account() == b.account(), b.row().starts_with(&owner.row()));
    }

    #[test]
    fn any_bytes_are_a_key_or_not(bytes in prop::collection::vec(any::<u8>(), 30..80)) {
        if let Ok(key) = Key::from_bytes(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }

    #[test]
    fn proofs_hold(state in state(), others in prop::collection::vec(key(), 0..5)) {
        let keys: Vec<Key> =
            state.iter().step_by(2).map(|(key, _)| key.clone()).chain(others).collect();
        let (root, proof) = prove(&state, &keys);
        let read = Proof::from_bytes(&proof.to_bytes()).unwrap();
        prop_assert_eq!(read.root().unwrap(), root);
        let claims = read.verify(&root).unwrap();
        for key in &keys {
            let held = state.iter().find(|(other, _)| other == key).map(|(_, cell)| cell);
            let claim = claims.iter().find(|claim| claim.key == *key).unwrap();
            prop_assert_eq!(claim.cell.as_ref(), held);
        }
    }

    #[test]
    fn changed_proofs_prove_nothing_false(
        state in state(),
        others in prop::collection::vec(key(), 0..4),
        place: prop::sample::Index,
        second: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let keys: Vec<Key> =
            state.iter().step_by(2).map(|(key, _)| key.clone()).chain(others).collect();
        let (root, proof) = prove(&state, &keys);
        let bytes = proof.to_bytes();
        let (place, second) = (place.index(bytes.len()), second.index(bytes.len()));
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << bit;
        let mut swapped = bytes.clone();
        swapped.swap(place, second);
        let mut moved = bytes.clone();
        moved[place..].rotate_left((second + 1).min(bytes.len() - place));
        for changed in [flipped, swapped, moved, bytes[..place].into(), [&bytes[..], &[0]].concat()] {
            // An absent key may have become another absent one.
            let Ok(proof) = Proof::from_bytes(&changed) else { continue };
            for claim in proof.verify(&root).into_iter().flatten() {
                let held = state.iter().find(|(key, _)| *key == claim.key).map(|(_, cell)| cell);
                prop_assert_eq!(claim.cell.as_ref(), held);
            }
        }
    }

    #[test]
    fn false_claims_are_refused(state in state(), place: prop::sample::Index, seed: u64) {
        let (key, held) = state[place.index(state.len())].clone();
        let trie = trie(&state);
        let false_cells = [
            None,
            Some(cell(&key, seed)).filter(|cell| *cell != held),
            Some(Cell::Slot(Value::Word(U256::ZERO))),
            Some(Cell::Account(AccountRecord::default())),
        ];
        for cell in false_cells {
            if cell.as_ref() == Some(&held) {
                continue;
            }
            let lie = Claim { key: key.clone(), cell };
            let proof = Proof::new(vec![lie], &trie).unwrap();
            let refused = proof.verify(&trie.root());
            prop_assert!(matches!(refused, Err(ProofError::Claim(_) | ProofError::Cell(_))));
        }
    }
}

#[test]
fn a_proof_of_another_state_is_refused() {
    let key =
        |address| Key::Account(AccountId::new(MachineKind::new(1), B256::repeat_byte(address)));
    let state = |seed| vec![(key(1), cell(&key(1), seed)), (key(2), cell(&key(2), 2))];
    let (root, proof) = prove(&state(1), &[key(2)]);
    let (other, _) = prove(&state(3), &[key(2)]);
    assert_eq!(proof.verify(&other), Err(ProofError::Root { expected: other, found: root }));
    let mut bytes = proof.to_bytes();
    bytes[0] = 2;
    assert_eq!(Proof::from_bytes(&bytes), Err(ProofError::Version(2)));
}

#[test]
fn keys_byte_by_byte() {
    let account = AccountId::new(MachineKind::new(1), B256::with_last_byte(0xaa));
    let hex = |key: &Key| Bytes::from(key.to_bytes()).to_string();
    let owner = format!("0x01{}aa", "00".repeat(31));
    assert_eq!(hex(&Key::Account(account)), format!("{owner}00"));
    let word = Key::Slot(account, LocalKey::storage(U256::from(5)));
    assert_eq!(hex(&word), format!("{owner}1000{}05", "00".repeat(31)));
    let name = Name::Bytes(b"ab".as_slice().into());
    let bytes = Key::Slot(account, LocalKey { space: Space(0), name });
    assert_eq!(hex(&bytes), format!("{owner}00016162"));

    let bad = |bytes: &[u8]| Key::from_bytes(bytes).unwrap_err();
    let owner = Key::Account(account).to_bytes();
    assert_eq!(bad(&owner[..33]), KeyError::Length(33));
    assert_eq!(bad(&[&owner[..33], &[16]].concat()), KeyError::Length(34));
    assert_eq!(bad(&[&owner[..], &[0, 1]].concat()), KeyError::Word(1));
    assert_eq!(bad(&[&owner[..], &[2]].concat()), KeyError::Tag(2));
}

const SHARD: &str = "0x16e0f4b063d7da3f189d3fe1d1b5a5afcdc5d12c8698e8c4d2874cce460bbcd2";
const ROOT: &str = "0x7f863d6141159e05358fba0c79535d315a4e1ab6f14e0365ecf73eec5d692ef7";

/// The example of `docs/state.md`.
#[test]
fn the_example_of_the_page() {
    let account = AccountId::new(MachineKind::new(1), B256::with_last_byte(0xaa));
    let record = AccountRecord { balance: U256::from(1000), sequence: 7, code: None };
    let slot = Key::Slot(account, LocalKey::storage(U256::from(5)));
    let state = vec![
        (Key::Account(account), Cell::Account(record)),
        (slot, Cell::Slot(Value::Word(U256::from(9)))),
    ];
    let expected = [
        (
            "0x525c9ba0ab1afee95c7dacf7b973f90440451ba0eab144b781993de6f099153e",
            "0xe803000000000000000000000000000000000000000000000000000000000000070000000000000000",
            "0xad40b76daebfd5d618065aa99b8ab510e12c8f82036064f50d453d16c7d574fc",
        ),
        (
            "0x525c9ba0542ee1f1889df8f8c37e674c01099c40d5ce5d92cde466aaa314a8b0",
            "0x010900000000000000000000000000000000000000000000000000000000000000",
            "0x8d365d1c9a9171b6b808148ae1562c07be5e1be6089eac972101850b3a02fd21",
        ),
    ];
    for ((key, cell), (path, bytes, hash)) in state.iter().zip(expected) {
        assert_eq!(key.path().to_string(), path);
        assert_eq!(Bytes::from(cell.to_bytes()).to_string(), bytes);
        assert_eq!(cell.hash().to_string(), hash);
    }
    let trie = trie(&state);
    let shard = trie.subtree(&state[0].0.path(), 4).unwrap();
    assert_eq!(shard.root().to_string(), SHARD);
    assert_eq!(trie.root().to_string(), ROOT);
}
