use core::ops::Bound;

use polity_types::{B256, Bytes};
use polity_verify::{Change, Path, Trie, hash_value};

use crate::{BlockRow, CellChange, Head, StateError, history};

/// An ordered table of byte strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The latest cells: row of the key → canonical bytes of the cell.
    Cells,
    /// What blocks replaced: path, height of the block → row, cell before it.
    History,
    /// What blocks changed: height → the paths.
    Changed,
    /// Codes: hash → bytes. Content-addressed, never deleted.
    Codes,
    /// Blocks: height → hash and root, as far as known.
    Blocks,
    /// What there is one of: format, chain, head, history.
    Meta,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Cells, Self::History, Self::Changed, Self::Codes, Self::Blocks, Self::Meta];

    /// The order in which a commit shows: who finds a new cell finds what it
    /// replaced, and who finds a new head finds its cells.
    pub const ORDER: [Self; Self::ALL.len()] =
        [Self::History, Self::Changed, Self::Codes, Self::Cells, Self::Blocks, Self::Meta];

    /// The name, as a backend may use it for a file or key space.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::History => "history",
            Self::Changed => "changed",
            Self::Codes => "codes",
            Self::Blocks => "blocks",
            Self::Meta => "meta",
        }
    }
}

/// One write: a value to put, or with `None` a key to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Option<Bytes>,
}

/// What is to take effect at once: changes of cells, in their table and in the
/// trie, and writes to other tables.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In ascending order of their paths.
    cells: Vec<CellChange>,
    /// What they change in the trie.
    trie: Vec<Change>,
    writes: Vec<Write>,
    head: Option<(u64, Option<B256>)>,
    /// The block in whose history it is kept what the cells replace.
    keep: Option<u64>,
}

/// A row of a table.
pub type Row = (Bytes, Bytes);

/// Rows of a table, in order.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<Row, StateError>> + 'a>;

/// A storage engine: a few ordered tables, and the trie of the state.
///
/// Everything else (history, views, proofs of keys, witnesses) is made of these
/// by [`State`](crate::State), which calls [`Backend::commit`] from one thread at
/// a time and the others from any.
pub trait Backend: Send + Sync {
    /// The value at a key.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// The rows between two bounds, in ascending order of their keys or, in
    /// `reverse`, in descending. A commit meanwhile may show in part.
    ///
    /// # Errors
    /// The store failed.
    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError>;

    /// Makes a batch take effect: all of it or, where there is an error or the
    /// process ends, nothing. Calls `announce` with the new root as soon as it
    /// is known, which may be long before the batch is durable, and returns
    /// when it is. [`Batch::seal`] gives the writes once the root is known.
    ///
    /// # Errors
    /// The store failed.
    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError>;

    /// The root of the last commit's trie; of the empty state's before.
    ///
    /// # Errors
    /// The store failed.
    fn root(&self) -> Result<B256, StateError>;

    /// The last commit's trie with these paths open, which ascend, each once.
    ///
    /// # Errors
    /// The store failed.
    fn prove(&self, paths: &[Path]) -> Result<Trie, StateError>;
}

impl Batch {
    /// A batch that changes these cells, given in any order, each once.
    pub fn new(mut cells: Vec<CellChange>) -> Self {
        cells.sort_unstable_by_key(|cell| cell.path);
        let trie = cells.iter().map(CellChange::change).collect();
        Self { cells, trie, ..Self::default() }
    }

    /// What the cells replace is kept in the history of this block.
    pub const fn keep(&mut self, height: u64) {
        self.keep = Some(height);
    }

    /// The block in whose history it is kept what the cells replace, if it is.
    pub const fn kept(&self) -> Option<u64> {
        self.keep
    }

    /// Adds a value to put.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) {
        self.writes.push(Write { table, key: key.into(), value: Some(value.into()) });
    }

    /// Adds a key to delete.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write { table, key: key.into(), value: None });
    }

    /// The state after the batch is that of this block.
    pub const fn set_head(&mut self, height: u64, hash: Option<B256>) {
        self.head = Some((height, hash));
    }

    /// The changes of the trie, in ascending order of their paths.
    pub fn trie(&self) -> &[Change] {
        &self.trie
    }

    /// The block whose state the batch leads to, if there is one.
    pub const fn height(&self) -> Option<u64> {
        match self.head {
            Some((height, _)) => Some(height),
            None => None,
        }
    }

    /// The writes, given the root that the changes of the trie lead to, the
    /// value's hash that each of them replaces ([`Trie::replace`]), and the cells
    /// before. Later writes to a key win.
    ///
    /// What a cell held is read where the history keeps it and its change does
    /// not say it, or says it wrongly, which the hash tells.
    ///
    /// # Errors
    /// A cell cannot be read, or is not what the trie says.
    pub fn seal(
        self,
        root: B256,
        replaced: &[Option<B256>],
        before: &dyn Backend,
    ) -> Result<Vec<Write>, StateError> {
        let Self { cells, trie, mut writes, head, keep } = self;
        writes.reserve(cells.len().saturating_mul(2).saturating_add(3));
        let mut write = |table, key, value| writes.push(Write { table, key, value });
        if let Some((height, hash)) = head {
            let row = BlockRow { root: Some(root), hash }.to_bytes();
            write(Table::Blocks, height.to_be_bytes().to_vec(), Some(row.into()));
            let head = Head { height, root }.to_bytes();
            write(Table::Meta, Head::KEY.to_vec(), Some(head.into()));
        }
        let mut paths = Vec::new();
        for ((cell, (path, hash)), replaced) in cells.into_iter().zip(trie).zip(replaced) {
            if hash == *replaced {
                continue;
            }
            if let Some(height) = keep {
                let replaced = cell.replaced(replaced.as_ref(), before)?;
                let (key, value) = history::row(&path, height, &cell.row, replaced.as_ref());
                write(Table::History, key, Some(value));
                paths.extend_from_slice(path.bytes());
            }
            write(Table::Cells, cell.row, cell.cell);
        }
        if let Some(height) = keep {
            write(Table::Changed, height.to_be_bytes().to_vec(), Some(paths.into()));
        }
        Ok(writes)
    }
}

impl CellChange {
    /// The bytes that the cell held, by their hash.
    fn replaced(
        &self,
        hash: Option<&B256>,
        before: &dyn Backend,
    ) -> Result<Option<Bytes>, StateError> {
        let Some(hash) = hash else { return Ok(None) };
        let told = self.before.as_ref().map(|cell| Bytes::from(cell.to_bytes()));
        if let Some(told) = told.filter(|told| hash_value(told) == *hash) {
            return Ok(Some(told));
        }
        let read = before.get(Table::Cells, &self.row)?.filter(|read| hash_value(read) == *hash);
        let corrupt = || format!("a cell is not what the trie has at path {}", self.path);
        read.map(Some).ok_or_else(|| StateError::Corrupt(corrupt()))
    }
}

impl Write {
    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.key.len().saturating_add(self.value.as_ref().map_or(0, |value| value.len()))
    }
}
