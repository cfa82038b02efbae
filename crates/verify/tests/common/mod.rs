//! Random tries, and the plainest implementation of what their roots are.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "each test binary uses a part of it, and a panic is how it fails"
)]

use polity_types::B256;
use polity_verify::{Change, Leaf, Path, hash_inner};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Leaves by path.
pub(crate) type Map = BTreeMap<Path, B256>;

/// Paths that often agree in many turns, also in the last ones.
pub(crate) fn path() -> impl Strategy<Value = Path> {
    let byte = || prop_oneof![Just(0_u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    (byte(), byte(), byte(), 0..32_usize, byte(), any::<bool>()).prop_map(
        |(first, second, third, place, other, random)| {
            let mut bytes = [if random { third } else { 0 }; 32];
            bytes[0] = first;
            bytes[1] = second;
            bytes[place] ^= other;
            Path::new(bytes)
        },
    )
}

/// Changes in ascending order of their paths, each once.
pub(crate) fn changes(most: usize) -> impl Strategy<Value = Vec<Change>> {
    let value = prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)];
    prop::collection::btree_map(path(), value, 0..most).prop_map(|changes| {
        let hash = |byte: u8| B256::repeat_byte(byte);
        changes.into_iter().map(|(path, value)| (path, value.map(hash))).collect()
    })
}

pub(crate) fn apply(map: &mut Map, changes: &[Change]) {
    for (path, value) in changes {
        match value {
            Some(value) => map.insert(*path, *value),
            None => map.remove(path),
        };
    }
}

/// The node at a depth over these leaves, by the definition in `docs/state.md`.
pub(crate) fn naive(leaves: &[(Path, B256)], depth: u16) -> B256 {
    match leaves {
        [] => B256::ZERO,
        [(path, value)] => Leaf { path: *path, value: *value }.hash(),
        _ => {
            let (right, left): (Vec<_>, Vec<_>) =
                leaves.iter().copied().partition(|(path, _)| path.bit(depth));
            hash_inner(&naive(&left, depth + 1), &naive(&right, depth + 1))
        }
    }
}

pub(crate) fn naive_root(map: &Map) -> B256 {
    let leaves: Vec<_> = map.iter().map(|(path, value)| (*path, *value)).collect();
    naive(&leaves, 0)
}
