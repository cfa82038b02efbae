//! The flat store: all tables in one ordered map of fjall, and the chain of its batches.
//!
//! fjall replays its journals when it opens. A journal that is damaged where no checksum looks (a
//! length, a sequence number) is taken for one that ended early or in another order, and batches
//! are then missing or older values win, silently. Two rules make that visible:
//!
//! - All tables share one map, one byte of the key tells them apart: a batch is there as a whole
//!   or not at all.
//! - Batch *n* writes two rows of its own: row *n*, and the empty row *n* + 1. So row *n* is
//!   written by its own batch and by the one before, and whichever of them counts as the later
//!   shows. Rows 1 to *n* filled and row *n* + 1 empty means: all *n* batches, in their order.

use super::error::{damaged, io};
use crate::{Row, StateError, Table, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use polity_types::{B256, Bytes};
use std::{
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// The table of the rows that this engine writes for itself.
const OWN: u8 = 0xff;
/// Rows of the chain of batches: `OWN ‖ LINK ‖ number`, the number in eight bytes, big-endian.
const LINK: u8 = 0;
/// The row of what the trie has yet to take over: `OWN ‖ PENDING`.
const PENDING: u8 = 1;

/// Journals longer than this are flushed and dropped, in bytes; fjall takes no less.
const JOURNALS: u64 = 64 << 20;
/// Threads that move what was written to its place. fjall 3.1.13 lets the first of them only flush,
/// and that one spins for as long as all others are compacting: so there is one more than compacts.
const WORKERS: usize = 3;
/// So many rows of the chain are kept. A batch takes 256 bytes of a journal at least, so they
/// reach back further than any journal.
const LINKS: u64 = JOURNALS / 256;

/// What is known of a batch once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Link {
    /// The batch's number, from 1.
    pub(super) number: u64,
    /// The state root after it.
    pub(super) root: B256,
    /// How many commits the trie has seen once it holds this batch, modulo 2³².
    pub(super) trie_commits: u32,
}

/// What the trie takes over from the last batch.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(super) struct Pending {
    /// The number of the batch.
    pub(super) number: u64,
    /// The root of the trie before.
    pub(super) before: B256,
    /// Where the changes stand.
    pub(super) changes: Redo,
}

/// Where the changes of the trie stand.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(super) enum Redo {
    /// Here, by path.
    Listed(Vec<(B256, Option<B256>)>),
    /// In the history and the cells of the block with this height.
    Block(u64),
}

/// The open flat store.
pub(super) struct Flat {
    path: PathBuf,
    database: Database,
    rows: Keyspace,
}

impl Flat {
    /// Opens the store, or makes an empty one. Cache and buffer are in MiB.
    pub(super) fn open(path: &Path, cache: u64, buffer: u64) -> Result<Self, StateError> {
        let mib = |size: u64| size.max(1).saturating_mul(1 << 20);
        let open = || -> fjall::Result<_> {
            let database = Database::builder(path)
                .cache_size(mib(cache))
                .max_journaling_size(JOURNALS)
                .worker_threads(WORKERS)
                .manual_journal_persist(true)
                .open()?;
            let rows = database.keyspace("rows", || {
                KeyspaceCreateOptions::default().max_memtable_size(mib(buffer))
            })?;
            Ok((database, rows))
        };
        // Where a journal makes no sense, fjall may panic; what it had in memory is gone then.
        let opened = catch_unwind(AssertUnwindSafe(open));
        let opened = opened.map_err(|_| damaged(path, "makes no sense to its store"))?;
        let (database, rows) = opened.map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), database, rows })
    }

    /// The last batch, after a look at the whole chain; none where nothing was ever written.
    pub(super) fn head(&self) -> Result<Option<Link>, StateError> {
        let broken = |what: String| damaged(&self.path, what);
        let mut oldest = None;
        let mut head: Option<Link> = None;
        let mut announced = None;
        for row in self.rows_between(OWN, Bound::Included(&[LINK]), Bound::Excluded(&[LINK + 1])) {
            let (key, value) = row?;
            let number = key
                .get(1..)
                .and_then(|number| number.try_into().ok())
                .map(u64::from_be_bytes)
                .ok_or_else(|| broken("has a row that no batch wrote".to_owned()))?;
            if let Some(number) = announced {
                return Err(broken(format!("lost batch {number}")));
            }
            if let Some(link) = head.filter(|link| link.number.checked_add(1) != Some(number)) {
                return Err(broken(format!("lost batches from {} to {number}", link.number)));
            }
            oldest = oldest.or(Some(number));
            if value.is_empty() {
                announced = Some(number);
                continue;
            }
            let link = Link::try_from_slice(&value)
                .ok()
                .filter(|link| link.number == number)
                .ok_or_else(|| broken(format!("has a wrong row for batch {number}")))?;
            head = Some(link);
        }
        let first = head.map(|head| head.number.saturating_sub(LINKS - 1).max(1));
        if first.is_some_and(|first| oldest.is_none_or(|oldest| oldest > first)) {
            return Err(broken("lost its first batches".to_owned()));
        }
        match (head, announced) {
            (None, None) => Ok(None),
            (Some(head), Some(_)) => Ok(Some(head)),
            (Some(head), None) => {
                Err(broken(format!("has its batches in another order near {}", head.number)))
            }
            (None, Some(number)) => Err(broken(format!("lost all batches before {number}"))),
        }
    }

    /// What the trie takes over from the last batch.
    pub(super) fn pending(&self) -> Result<Option<Pending>, StateError> {
        let Some(bytes) = self.value(&[OWN, PENDING])? else { return Ok(None) };
        Pending::try_from_slice(&bytes)
            .map(Some)
            .map_err(|_| damaged(&self.path, "has a wrong row of pending changes"))
    }

    /// The value at a key.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.value(&full_key(byte(table), key))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let value = self.rows.get(key).map_err(|error| failed(&self.path, error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// The rows of a table between two bounds, from either end.
    pub(super) fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Row, StateError>> + use<> {
        self.rows_between(byte(table), from, to)
    }

    fn rows_between(
        &self,
        table: u8,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Row, StateError>> + use<> {
        let from = match from {
            Bound::Included(key) => Bound::Included(full_key(table, key)),
            Bound::Excluded(key) => Bound::Excluded(full_key(table, key)),
            Bound::Unbounded => Bound::Included(vec![table]),
        };
        let to = match to {
            Bound::Included(key) => Bound::Included(full_key(table, key)),
            Bound::Excluded(key) => Bound::Excluded(full_key(table, key)),
            Bound::Unbounded => Bound::Excluded(vec![table.saturating_add(1)]),
        };
        let path = self.path.clone();
        self.rows.range((from, to)).map(move |row| {
            let (key, value) = row.into_inner().map_err(|error| failed(&path, error))?;
            let key = Bytes::copy_from_slice(key.get(1..).unwrap_or_default());
            Ok((key, Bytes::copy_from_slice(&value)))
        })
    }

    /// Writes a batch; it is durable and whole when this returns. After an error it may be there
    /// or not, which the next [`Flat::open`] tells, and this store writes no more.
    pub(super) fn write(
        &self,
        writes: &[Write],
        link: &Link,
        pending: &Pending,
    ) -> Result<(), StateError> {
        let rows = writes.len().saturating_add(4);
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), rows);
        let mut batch = batch.durability(Some(PersistMode::SyncAll));
        let mut full = Vec::new();
        // Readers see a batch arrive in this order. A later write to the same key stays behind.
        for table in Table::ORDER {
            for Write { key, value, .. } in writes.iter().filter(|write| write.table == table) {
                full.clear();
                full.push(byte(table));
                full.extend_from_slice(key);
                match value {
                    Some(value) => batch.insert(&self.rows, full.as_slice(), value.as_ref()),
                    None => batch.remove(&self.rows, full.as_slice()),
                }
            }
        }
        let encode = |encoded: std::io::Result<Vec<u8>>| {
            encoded.map_err(|error| io("encode a row of", &self.path, &error))
        };
        batch.insert(&self.rows, link_key(link.number), encode(borsh::to_vec(link))?);
        batch.insert(&self.rows, link_key(link.number.saturating_add(1)), []);
        if let Some(old) = link.number.checked_sub(LINKS) {
            batch.remove(&self.rows, link_key(old));
        }
        batch.insert(&self.rows, vec![OWN, PENDING], encode(borsh::to_vec(pending))?);
        batch.commit().map_err(|error| failed(&self.path, error))
    }
}

/// The byte before the keys of a table.
const fn byte(table: Table) -> u8 {
    match table {
        Table::Cells => 0,
        Table::History => 1,
        Table::Changed => 2,
        Table::Codes => 3,
        Table::Blocks => 4,
        Table::Meta => 5,
    }
}

fn full_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len().saturating_add(1));
    full.push(table);
    full.extend_from_slice(key);
    full
}

fn link_key(number: u64) -> Vec<u8> {
    let mut key = vec![OWN, LINK];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// What an error of fjall means here.
fn failed(path: &Path, error: fjall::Error) -> StateError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            io("use", path, &error)
        }
        fjall::Error::Poisoned => StateError::Stopped(path.display().to_string()),
        error => damaged(path, format_args!("cannot be read: {error}")),
    }
}
