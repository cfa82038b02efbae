//! The trie against its definition and against NOMT's own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Map, apply, changes, naive_root, path};
use nomt_core::{hasher::Sha2Hasher, update::build_trie};
use polity_types::B256;
use polity_verify::{
    Advance, Change, Join, Kind, Leaf, Lookup, MINIMUM_DEPTH, Opening, Path, Serial, Trie,
    TrieError, fold, hash_inner, sentinels,
};
use proptest::prelude::*;

/// Both halves apart, however few.
struct Halves;

impl Join for Halves {
    fn least(&self) -> usize {
        1
    }

    fn join<A: Send, B: Send>(
        &self,
        left: impl FnOnce() -> A + Send,
        right: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        let right = right();
        (left(), right)
    }
}

fn trie_of(map: &Map) -> Trie {
    let mut trie = Trie::bare();
    let changes: Vec<Change> = map.iter().map(|(path, value)| (*path, Some(*value))).collect();
    trie.update(&changes).unwrap();
    trie
}

fn map_of(rounds: &[Vec<Change>]) -> Map {
    let mut map = Map::new();
    rounds.iter().for_each(|round| apply(&mut map, round));
    map
}

/// What an [`Opening`] is made of.
#[derive(Clone)]
struct End {
    path: Path,
    siblings: Vec<[u8; 32]>,
    terminal: Option<Leaf>,
}

impl End {
    fn has(&self, path: &Path) -> bool {
        self.path.agrees(path, u16::try_from(self.siblings.len()).unwrap())
    }
}

fn openings(ends: &[End]) -> Vec<Opening<'_>> {
    ends.iter()
        .map(|end| Opening { path: end.path, siblings: &end.siblings, terminal: end.terminal })
        .collect()
}

/// The prefixes of a depth, from left to right.
fn prefixes(bits: u16) -> impl Iterator<Item = Path> {
    (0..1_u16 << bits).map(move |index| {
        let mut bytes = [0; 32];
        bytes[0] = u8::try_from(index << (8 - bits)).unwrap();
        Path::new(bytes)
    })
}

#[test]
fn the_empty_state() {
    let leaves: Map = sentinels().map(|leaf| (leaf.path, leaf.value)).collect();
    assert_eq!(leaves.len(), 512);
    let empty = Trie::empty();
    assert_eq!(empty.root(), naive_root(&leaves));
    // Written out, so that a change of the format shows.
    let expected = "0x693ebda359471882efb0647e39105defd97d1d9cfba651ee55fe004826d1243b";
    assert_eq!(empty.root().to_string(), expected);
}

proptest! {
    #[test]
    fn roots_are_those_of_the_definition(rounds in prop::collection::vec(changes(60), 1..6)) {
        let mut trie = Trie::bare();
        let mut map = Map::new();
        for round in &rounds {
            let mut apart = trie.clone();
            let replaced = trie.replace(round, &Serial).unwrap();
            let before: Vec<_> = round.iter().map(|(path, _)| map.get(path).copied()).collect();
            prop_assert_eq!(&replaced, &before);
            prop_assert_eq!(apart.replace(round, &Halves).unwrap(), before);
            apply(&mut map, round);
            prop_assert_eq!(trie.root(), naive_root(&map));
            prop_assert_eq!(apart.root(), trie.root());
        }
        for (path, value) in &map {
            prop_assert_eq!(trie.get(path), Lookup::Present(*value));
        }
        let leaves = trie.leaves(&Path::default(), 0).unwrap();
        let leaves: Map = leaves.iter().map(|leaf| (leaf.path, leaf.value)).collect();
        prop_assert_eq!(leaves, map);
    }

    #[test]
    fn roots_are_nomts(changes in changes(80)) {
        let map = map_of(&[changes]);
        let leaves = map.iter().map(|(path, value)| (*path.bytes(), value.0));
        let expected = build_trie::<Sha2Hasher>(0, leaves, |_| ());
        prop_assert_eq!(trie_of(&map).root(), B256::new(expected));
    }

    #[test]
    fn roots_do_not_depend_on_the_number_of_shards(
        rounds in prop::collection::vec(changes(60), 1..4),
    ) {
        let guarded: Vec<Path> = sentinels().map(|leaf| leaf.path).collect();
        let mut rounds = rounds;
        for round in &mut rounds {
            round.retain(|(path, _)| guarded.binary_search(path).is_err());
        }
        let empty = Trie::empty();
        let mut whole = empty.clone();
        rounds.iter().for_each(|round| whole.update(round).unwrap());
        for bits in [0, 1, 2, 4] {
            let mut shards: Vec<Trie> = prefixes(bits)
                .map(|prefix| empty.subtree(&prefix, bits).unwrap())
                .collect();
            for round in &rounds {
                for (shard, prefix) in shards.iter_mut().zip(prefixes(bits)) {
                    let own = |(path, _): &&Change| path.agrees(&prefix, bits);
                    shard.update(&round.iter().filter(own).copied().collect::<Vec<_>>()).unwrap();
                }
            }
            let nodes: Vec<B256> = shards.iter().map(Trie::root).collect();
            prop_assert!(nodes.iter().all(|node| Kind::of(node) == Kind::Inner));
            prop_assert_eq!(fold(&nodes), Some(whole.root()));
            // One shard taken from the whole is the shard grown alone.
            for (prefix, node) in prefixes(bits).zip(nodes) {
                prop_assert_eq!(whole.subtree(&prefix, bits).unwrap().root(), node);
            }
        }
        let deepest = |prefix| whole.subtree(&prefix, MINIMUM_DEPTH).unwrap().root();
        let nodes: Vec<B256> = prefixes(MINIMUM_DEPTH).map(deepest).collect();
        prop_assert_eq!(fold(&nodes), Some(whole.root()));
    }

    #[test]
    fn a_proof_says_what_the_trie_says(
        before in changes(60),
        asked in prop::collection::btree_set(path(), 0..20),
        other in path(),
    ) {
        let map = map_of(&[before]);
        let whole = trie_of(&map);
        let mut asked: Vec<Path> = asked.into_iter().chain(map.keys().step_by(3).copied()).collect();
        asked.sort_unstable();
        asked.dedup();
        let proof = whole.prove(&asked).unwrap();
        prop_assert_eq!(proof.root(), whole.root());
        let bytes = proof.encode();
        let decoded = Trie::decode(&bytes).unwrap();
        prop_assert_eq!(decoded.encode(), bytes);
        prop_assert_eq!(decoded.root(), whole.root());
        for path in &asked {
            prop_assert_eq!(decoded.get(path), whole.get(path));
        }
        let found = decoded.get(&other);
        prop_assert!(found == Lookup::Closed || found == whole.get(&other));
    }

    #[test]
    fn an_open_part_is_updated_as_the_whole(before in changes(60), after in changes(30)) {
        let map = map_of(&[before]);
        let mut whole = trie_of(&map);
        let paths: Vec<Path> = after.iter().map(|(path, _)| *path).collect();
        let mut part = Trie::decode(&whole.prove(&paths).unwrap().encode()).unwrap();
        whole.update(&after).unwrap();
        part.update(&after).unwrap();
        prop_assert_eq!(part.root(), whole.root());
    }

    #[test]
    fn what_is_closed_is_not_changed(before in changes(60), path in path()) {
        let map = map_of(&[before]);
        let whole = trie_of(&map);
        let mut closed = Trie::closed(whole.root());
        let changed = closed.update(&[(path, None)]);
        if map.is_empty() {
            prop_assert_eq!(changed, Ok(()));
        } else {
            prop_assert_eq!(changed, Err(TrieError::Closed { path, depth: 0 }));
        }
    }

    #[test]
    fn opening_paths_is_proving(
        before in changes(60),
        asked in changes(20),
        others in changes(3),
    ) {
        let map = map_of(&[before]);
        let whole = trie_of(&map);
        let paths: Vec<Path> = asked.iter().map(|(path, _)| *path).collect();
        let mut ends: Vec<End> = Vec::new();
        for path in &paths {
            let (siblings, terminal) = beside(&map, path);
            let end = End { path: *path, siblings: siblings.iter().map(|hash| hash.0).collect(), terminal };
            if ends.last().is_none_or(|last| !last.has(path)) {
                ends.push(end);
            }
        }
        let opened = Trie::opened(whole.root(), &openings(&ends), &Halves).unwrap();
        // Changes of paths that are open, of others, and none.
        for changes in [&asked, &others, &Vec::new()] {
            let mut changed = opened.clone();
            let replaced = changed.replace(changes, &Serial);
            let advance = Trie::advance(whole.root(), &openings(&ends), changes, &Halves);
            let expected = replaced.map(|replaced| Advance { root: changed.root(), replaced });
            prop_assert_eq!(advance, expected);
        }
        let proof = whole.prove(&paths).unwrap();
        prop_assert_eq!(opened.encode(), proof.encode());
        for index in 0..ends.len() {
            // One turn less is another node.
            let mut fewer = ends.clone();
            if fewer[index].siblings.pop().is_some() {
                prop_assert!(Trie::opened(whole.root(), &openings(&fewer), &Halves).is_err());
                prop_assert!(Trie::advance(whole.root(), &openings(&fewer), &asked, &Serial).is_err());
            }
            // Another leaf is another root.
            let mut other = ends.clone();
            if let Some(leaf) = &mut other[index].terminal {
                leaf.value.0[31] ^= 1;
                prop_assert!(Trie::opened(whole.root(), &openings(&other), &Halves).is_err());
                prop_assert!(Trie::advance(whole.root(), &openings(&other), &asked, &Serial).is_err());
            }
            // So is another node beside, unless another path tells what it is.
            for depth in 0..ends[index].siblings.len() {
                let mut other = ends.clone();
                other[index].siblings[depth][31] ^= 1;
                let advance = Trie::advance(whole.root(), &openings(&other), &asked, &Serial);
                let expected = Trie::advance(whole.root(), &openings(&ends), &asked, &Serial);
                prop_assert!(advance == expected || matches!(advance, Err(TrieError::Siblings(_))));
                match Trie::opened(whole.root(), &openings(&other), &Halves) {
                    Ok(opened) => prop_assert_eq!(opened.encode(), proof.encode()),
                    Err(error) => prop_assert!(matches!(error, TrieError::Siblings(_))),
                }
            }
        }
    }

    #[test]
    fn unordered_changes_are_refused(mut changes in changes(20)) {
        if let Some(first) = changes.first().copied() {
            changes.push(first);
            let refused = Trie::bare().update(&changes);
            prop_assert_eq!(refused, Err(TrieError::Order(first.0)));
        }
    }

    #[test]
    fn any_bytes_decode_or_not(bytes in prop::collection::vec(0..5_u8, 0..400)) {
        if let Ok(trie) = Trie::decode(&bytes) {
            prop_assert_eq!(trie.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_encoding_is_of_another_root(
        before in changes(40),
        asked in changes(10),
        place: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let whole = trie_of(&map_of(&[before]));
        let paths: Vec<Path> = asked.iter().map(|(path, _)| *path).collect();
        let bytes = whole.prove(&paths).unwrap().encode();
        let mut flipped = bytes.clone();
        flipped[place.index(bytes.len())] ^= 1 << bit;
        for changed in [flipped, bytes[..place.index(bytes.len())].into(), [&bytes[..], &[0]].concat()] {
            if let Ok(trie) = Trie::decode(&changed) {
                prop_assert_ne!(trie.root(), whole.root());
            }
        }
    }
}

/// The nodes beside a path, and the leaf where it ends, by the definition.
fn beside(map: &Map, path: &Path) -> (Vec<B256>, Option<polity_verify::Leaf>) {
    let mut leaves: Vec<_> = map.iter().map(|(path, value)| (*path, *value)).collect();
    let mut siblings = Vec::new();
    for depth in 0.. {
        if leaves.len() < 2 {
            break;
        }
        let (own, other): (Vec<_>, Vec<_>) =
            leaves.iter().partition(|(leaf, _)| leaf.bit(depth) == path.bit(depth));
        siblings.push(common::naive(&other, depth + 1));
        leaves = own;
    }
    let leaf =
        leaves.first().map(|(path, value)| polity_verify::Leaf { path: *path, value: *value });
    (siblings, leaf)
}

#[test]
fn nodes_that_no_trie_has_are_refused() {
    let leaf = |first: u8| {
        let mut bytes = vec![2];
        bytes.extend([first; 32]);
        bytes.extend([9; 32]);
        bytes
    };
    let closed = |first: u8| [&[1], &[first; 32][..]].concat();
    let inner = |left: &[u8], right: &[u8]| [&[3], left, right].concat();
    let text = |bytes: &[u8]| Trie::decode(bytes).unwrap_err().to_string();

    assert_eq!(text(&[]), "byte 0: the encoding ends too early");
    assert_eq!(text(&[4]), "byte 0: no node begins with 0x04");
    assert_eq!(text(&[0, 0]), "byte 1: more bytes than one trie has");
    assert_eq!(text(&closed(0)), "byte 0: an empty subtree written as a closed one");
    assert_eq!(text(&inner(&[0], &[0])), "byte 0: an inner node over nothing");
    assert_eq!(text(&inner(&[0], &leaf(0x80))), "byte 0: an inner node over a single leaf");
    assert_eq!(text(&inner(&closed(0x80), &[0])), "byte 0: an inner node over a single leaf");
    assert_eq!(
        text(&inner(&closed(1), &closed(1))),
        "byte 0: an inner node of which nothing is open"
    );
    assert_eq!(
        text(&inner(&leaf(0x80), &[0])),
        "byte 1: a leaf at a place that is not on its path"
    );
    assert_eq!(text(&[3; 300]), "byte 256: an inner node at depth 256");
    let trie = Trie::decode(&inner(&leaf(0), &closed(1))).unwrap();
    let left = polity_verify::hash_leaf(&[0; 32], &B256::repeat_byte(9));
    assert_eq!(trie.root(), hash_inner(&left, &B256::repeat_byte(1)));
}
