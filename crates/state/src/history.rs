//! What is kept of the past: for each block, every cell that it replaced.

use core::ops::Bound;

use polity_types::Bytes;
use polity_verify::Path;
#[cfg(feature = "disk")]
use polity_verify::{Change, hash_value};

use crate::{Backend, Batch, CellChange, Rows, StateError, Table};

/// How far back the state can be read and rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// To the state before the last so many blocks.
    Blocks(u64),
    /// To the genesis, or the snapshot that the state began with.
    Archive,
}

impl History {
    /// The oldest height that stays readable at this one.
    pub(crate) const fn oldest(self, height: u64) -> u64 {
        match self {
            Self::Blocks(count) => height.saturating_sub(count),
            Self::Archive => 0,
        }
    }
}

/// Where [`Table::Meta`] holds the oldest height that can be read.
pub(crate) const OLDEST: &[u8] = b"oldest";

/// A cell before a block that changed it.
pub(crate) struct Replaced {
    /// The row of its key.
    pub(crate) row: Bytes,
    /// What it held, if anything.
    pub(crate) cell: Option<Bytes>,
}

impl Replaced {
    fn to_bytes(row: &[u8], cell: Option<&Bytes>) -> Vec<u8> {
        // A row is at most `MAX_ROW` bytes, and no cell has none.
        let length = u16::try_from(row.len()).unwrap_or(u16::MAX);
        let cell = cell.map_or(&[][..], |cell| cell);
        [&length.to_be_bytes(), row, cell].concat()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, StateError> {
        let corrupt = || StateError::Corrupt("a history row ends too early".into());
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or_else(corrupt)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (row, cell) = rest.split_at_checked(length).ok_or_else(corrupt)?;
        Ok(Self {
            row: bytes.slice_ref(row),
            cell: (!cell.is_empty()).then(|| bytes.slice_ref(cell)),
        })
    }
}

fn history_key(path: &Path, height: u64) -> [u8; 40] {
    let mut key = [0; 40];
    let bytes = path.bytes().iter().copied().chain(height.to_be_bytes());
    for (place, byte) in key.iter_mut().zip(bytes) {
        *place = byte;
    }
    key
}

/// The path and height of a history row.
fn parse(key: &[u8]) -> Result<(Path, u64), StateError> {
    let corrupt = || StateError::Corrupt(format!("a history key of {} bytes", key.len()));
    let (path, height) = key.split_first_chunk::<32>().ok_or_else(corrupt)?;
    let height = height.try_into().map_err(|_| corrupt())?;
    Ok((Path::new(*path), u64::from_be_bytes(height)))
}

/// The row in which it stands what a block replaced.
pub(crate) fn row(
    path: &Path,
    height: u64,
    row: &[u8],
    before: Option<&Bytes>,
) -> (Vec<u8>, Bytes) {
    (history_key(path, height).to_vec(), Replaced::to_bytes(row, before).into())
}

/// The batch that takes back the blocks above `to`, the latest first.
pub(crate) fn backward(backend: &dyn Backend, head: u64, to: u64) -> Result<Batch, StateError> {
    // The oldest block's replaced cell wins: it is the one to go back to.
    let mut cells = std::collections::BTreeMap::new();
    let mut deletes = Vec::new();
    for height in (to.saturating_add(1)..=head).rev() {
        for path in changed(backend, height)? {
            cells.insert(path, replaced(backend, &path, height)?);
            deletes.push(history_key(&path, height));
        }
    }
    let change = |(path, Replaced { row, cell })| CellChange::new(path, row.to_vec(), cell);
    let mut batch = Batch::new(cells.into_iter().map(change).collect());
    deletes.into_iter().for_each(|key| batch.delete(Table::History, key));
    for height in to.saturating_add(1)..=head {
        batch.delete(Table::Changed, height.to_be_bytes());
        batch.delete(Table::Blocks, height.to_be_bytes());
    }
    Ok(batch)
}

/// What the latest block changed in the trie, in ascending order of the paths.
#[cfg(feature = "disk")]
pub(crate) fn changes(backend: &dyn Backend, height: u64) -> Result<Vec<Change>, StateError> {
    let change = |path| {
        let Replaced { row, .. } = replaced(backend, &path, height)?;
        let cell = backend.get(Table::Cells, &row)?;
        Ok((path, cell.map(|cell| hash_value(&cell))))
    };
    changed(backend, height)?.into_iter().map(change).collect()
}

/// What a block replaced at a path that it changed.
fn replaced(backend: &dyn Backend, path: &Path, height: u64) -> Result<Replaced, StateError> {
    let row = backend.get(Table::History, &history_key(path, height))?;
    let missing = || format!("no history of path {path} at block {height}");
    Replaced::from_bytes(&row.ok_or_else(|| StateError::Corrupt(missing()))?)
}

/// Adds to the batch of block `next` that blocks above `from`, up to `oldest`,
/// cannot be taken back any more.
pub(crate) fn prune(
    backend: &dyn Backend,
    batch: &mut Batch,
    from: u64,
    oldest: u64,
    next: u64,
) -> Result<(), StateError> {
    for height in from.saturating_add(1)..=oldest.min(next.saturating_sub(1)) {
        for path in changed(backend, height)? {
            batch.delete(Table::History, history_key(&path, height));
        }
        batch.delete(Table::Changed, height.to_be_bytes());
    }
    batch.put(Table::Meta, OLDEST, oldest.to_be_bytes().to_vec());
    Ok(())
}

/// What the first block above `height` that changed the cell replaced. `None`
/// where the cell is as it was at that height.
pub(crate) fn at(
    backend: &dyn Backend,
    path: &Path,
    height: u64,
) -> Result<Option<Replaced>, StateError> {
    let Some(first) = height.checked_add(1) else { return Ok(None) };
    let (from, to) = (history_key(path, first), history_key(path, u64::MAX));
    let bounds = (Bound::Included(&from[..]), Bound::Included(&to[..]));
    let mut rows = backend.scan(Table::History, bounds.0, bounds.1, false)?;
    rows.next().map(|row| Replaced::from_bytes(&row?.1)).transpose()
}

/// As [`at`], for every cell whose path begins with `prefix`.
pub(crate) fn under(
    backend: &dyn Backend,
    prefix: &[u8],
    height: u64,
) -> Result<Vec<Replaced>, StateError> {
    let mut found = Vec::new();
    let mut last = None;
    for row in rows(backend, Table::History, prefix)? {
        let (key, replaced) = row?;
        let (path, changed) = parse(&key)?;
        if changed > height && last != Some(path) {
            found.push(Replaced::from_bytes(&replaced)?);
            last = Some(path);
        }
    }
    Ok(found)
}

/// The rows of a table whose keys begin with `prefix`.
pub(crate) fn rows<'a>(
    backend: &'a dyn Backend,
    table: Table,
    prefix: &[u8],
) -> Result<Rows<'a>, StateError> {
    let end = prefix_end(prefix);
    let to = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
    backend.scan(table, Bound::Included(prefix), to, false)
}

/// The first byte string after all that begin with `prefix`, if there is one.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// The paths that a block changed.
fn changed(backend: &dyn Backend, height: u64) -> Result<Vec<Path>, StateError> {
    let bytes = backend.get(Table::Changed, &height.to_be_bytes())?;
    let bytes = bytes
        .ok_or_else(|| StateError::Corrupt(format!("no list of what block {height} changed")))?;
    let (paths, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(StateError::Corrupt(format!("the list of what block {height} changed")));
    }
    Ok(paths.iter().map(|path| Path::new(*path)).collect())
}
