use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use polity_types::{B256, Bytes};
use polity_verify::{Join, Path, Trie};

use crate::{Backend, Batch, Row, Rows, StateError, Table, Write};

/// A state in memory: ordered maps and the whole trie.
#[derive(Debug)]
pub struct Memory {
    tables: [RwLock<BTreeMap<Vec<u8>, Bytes>>; Table::ALL.len()],
    trie: RwLock<Trie>,
}

/// How many rows a scan copies under one lock.
const CHUNK: usize = 256;

/// Halves of an update with fewer changes than this are not worth a thread.
const LEAST_HALF: usize = 256;

impl Default for Memory {
    fn default() -> Self {
        Self { tables: Default::default(), trie: RwLock::new(Trie::empty()) }
    }
}

impl Memory {
    /// The empty state.
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self, table: Table) -> &RwLock<BTreeMap<Vec<u8>, Bytes>> {
        let [cells, history, changed, codes, blocks, meta] = &self.tables;
        match table {
            Table::Cells => cells,
            Table::History => history,
            Table::Changed => changed,
            Table::Codes => codes,
            Table::Blocks => blocks,
            Table::Meta => meta,
        }
    }
}

impl Backend for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(read(self.table(table)).get(key).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError> {
        let table = self.table(table);
        let own = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        Ok(Box::new(Scan { table, from: own(from), to: own(to), reverse, rows: VecDeque::new() }))
    }

    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError> {
        let (root, replaced) = {
            let mut trie = write(&self.trie);
            let replaced = trie.replace(batch.trie(), &Threads)?;
            (trie.root(), replaced)
        };
        announce(root);
        let mut writes = batch.seal(root, &replaced, self)?;
        for table in Table::ORDER {
            let mut rows = write(self.table(table));
            for Write { key, value, .. } in writes.extract_if(.., |row| row.table == table) {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
        }
        Ok(())
    }

    fn root(&self) -> Result<B256, StateError> {
        Ok(read(&self.trie).root())
    }

    fn prove(&self, paths: &[Path]) -> Result<Trie, StateError> {
        Ok(read(&self.trie).prove(paths)?)
    }
}

/// Both halves of a large update at once, on the threads of the process's pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Join for Threads {
    fn least(&self) -> usize {
        LEAST_HALF
    }

    fn join<A: Send, B: Send>(
        &self,
        left: impl FnOnce() -> A + Send,
        right: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        rayon::join(left, right)
    }
}

/// Copies rows in chunks, so that no lock is held between two rows.
struct Scan<'a> {
    table: &'a RwLock<BTreeMap<Vec<u8>, Bytes>>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    reverse: bool,
    rows: VecDeque<Row>,
}

impl Scan<'_> {
    fn fill(&mut self) {
        let (from, to) = (self.from.as_ref(), self.to.as_ref());
        if is_empty(from, to) {
            return;
        }
        let table = read(self.table);
        let range = table.range::<Vec<u8>, _>((from, to));
        let row = |(key, value): (&Vec<u8>, &Bytes)| (Bytes::from(key.clone()), value.clone());
        self.rows = match self.reverse {
            false => range.take(CHUNK).map(row).collect(),
            true => range.rev().take(CHUNK).map(row).collect(),
        };
        if let Some((last, _)) = self.rows.back() {
            let next = Bound::Excluded(last.to_vec());
            *(if self.reverse { &mut self.to } else { &mut self.from }) = next;
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Row, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows.is_empty() {
            self.fill();
        }
        self.rows.pop_front().map(Ok)
    }
}

/// Whether no key is between the bounds, of which a map would make a panic.
fn is_empty(from: Bound<&Vec<u8>>, to: Bound<&Vec<u8>>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}

// A panic while a lock is held leaves maps and trie as their own code left
// them, which is sound; whoever panicked does not report a commit.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
