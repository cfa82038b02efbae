//! Batches like those that blocks make, of made-up rows.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "not every test needs everything"
)]

use polity_state::{Backend, Batch, CellChange, Row, Table, disk::DiskOptions};
use polity_types::{B256, Bytes};
use polity_verify::{Path, hash_value};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Sizes for tests.
pub fn small() -> DiskOptions {
    DiskOptions { value_cache: 8, write_buffer: 1, trie_cache: 8, trie_pages: 2048 }
}

/// Numbers that look random and are always the same.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Blocks of inserts, overwrites and deletes, and the cells that they leave.
pub struct Blocks {
    random: Random,
    pub height: u64,
    pub cells: BTreeMap<Path, Bytes>,
}

impl Blocks {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), height: 0, cells: BTreeMap::new() }
    }

    /// A batch of so many changes; some change nothing.
    pub fn next(&mut self, changes: usize) -> Batch {
        let mut new: BTreeMap<Path, Option<Bytes>> = BTreeMap::new();
        for _ in 0..changes {
            let known = (self.random.below(2) == 0)
                .then(|| Path::new([self.random.next() as u8; 32]))
                .and_then(|from| self.cells.range(from..).next().map(|(path, _)| *path));
            let path = known.unwrap_or_else(|| self.path());
            let value = (self.random.below(4) != 0).then(|| self.value());
            new.insert(path, value);
        }
        let change = |(path, value): (&Path, &Option<Bytes>)| {
            CellChange::new(*path, path.bytes().to_vec(), value.clone())
        };
        let mut batch = Batch::new(new.iter().map(change).collect());
        batch.keep(self.height);
        for (path, value) in new {
            match value {
                Some(value) => self.cells.insert(path, value),
                None => self.cells.remove(&path),
            };
        }
        batch.set_head(self.height, None);
        self.height += 1;
        batch
    }

    /// Paths of cells and of none, in ascending order.
    pub fn some_paths(&mut self, count: usize) -> Vec<Path> {
        let step = self.cells.len() / count + 1;
        let mut paths: BTreeSet<Path> = self.cells.keys().step_by(step).copied().collect();
        paths.extend((0..count).map(|_| self.path()));
        paths.into_iter().collect()
    }

    /// Mostly spread out; some close together, as one account's are.
    fn path(&mut self) -> Path {
        let random = self.random.next();
        let mut bytes = hash_value(&random.to_be_bytes());
        if random.is_multiple_of(3) {
            bytes.0[..4].copy_from_slice(&[0xab, 0xcd, 0, (random >> 8) as u8 & 3]);
        }
        Path::new(bytes.0)
    }

    fn value(&mut self) -> Bytes {
        let seed = self.random.next().to_be_bytes();
        let length = 1 + self.random.below(100) as usize;
        seed.iter().cycle().take(length).copied().collect::<Vec<u8>>().into()
    }
}

/// All rows of a table.
pub fn contents(backend: &dyn Backend, table: Table, reverse: bool) -> Vec<Row> {
    let rows = backend.scan(table, Bound::Unbounded, Bound::Unbounded, reverse).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The hash of a chain that nobody has.
pub const CHAIN: B256 = B256::repeat_byte(1);

/// Commits a batch and gives the root that was announced.
pub fn commit(backend: &dyn Backend, batch: Batch) -> B256 {
    let mut root = None;
    backend.commit(batch, &mut |announced| root = Some(announced)).unwrap();
    root.unwrap()
}
