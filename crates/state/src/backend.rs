use core::ops::Bound;

use polity_types::{B256, Bytes};
use polity_verify::{Change, Path, Trie};

use crate::{BlockRow, Head, StateError};

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

/// What is to take effect at once: changes of the trie and writes to tables.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    trie: Vec<Change>,
    /// How many of the changes are at paths without a leaf, at most.
    new_leaves: usize,
    writes: Vec<Write>,
    head: Option<(u64, Option<B256>)>,
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
    /// when it is. [`Batch::seal`] completes the writes once the root is known.
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
    /// A batch that changes the trie so, in any order, each path once.
    pub fn new(mut trie: Vec<Change>) -> Self {
        trie.sort_unstable_by_key(|(path, _)| *path);
        let new_leaves = trie.iter().filter(|(_, value)| value.is_some()).count();
        Self { trie, new_leaves, ..Self::default() }
    }

    /// Tells that no more than so many of the trie's changes are at paths without
    /// a leaf; what sets a leaf counts until then.
    pub const fn set_new_leaves(&mut self, count: usize) {
        self.new_leaves = count;
    }

    /// How many leaves the trie may have more after the batch. By this a backend
    /// makes room; where it is too few, the commit may fail.
    pub const fn new_leaves(&self) -> usize {
        self.new_leaves
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

    /// Bytes that the writes take, without what a backend adds to them.
    pub fn size(&self) -> usize {
        let size = |write: &Write| {
            write.key.len().saturating_add(write.value.as_ref().map_or(0, |value| value.len()))
        };
        self.writes.iter().map(size).fold(0, usize::saturating_add)
    }

    /// The block whose state the batch leads to, if there is one.
    pub const fn height(&self) -> Option<u64> {
        match self.head {
            Some((height, _)) => Some(height),
            None => None,
        }
    }

    /// The writes, given the root that the changes of the trie lead to. Later
    /// writes to a key win.
    pub fn seal(mut self, root: B256) -> Vec<Write> {
        if let Some((height, hash)) = self.head {
            let row = BlockRow { root: Some(root), hash };
            self.put(Table::Blocks, height.to_be_bytes(), row.to_bytes());
            self.put(Table::Meta, Head::KEY, Head { height, root }.to_bytes());
        }
        self.writes
    }
}
