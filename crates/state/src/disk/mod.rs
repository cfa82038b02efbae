//! The state on disk: a flat store for the values and whatever else is looked up by key, and nomt
//! for the trie over their hashes.
//!
//! Two stores, one commit: the flat store takes a batch first, with the changes that the trie has
//! yet to take over, and is durable before the trie begins. So after a crash the trie is either at
//! the last batch or at the one before, which its count of commits tells, and in the latter case
//! takes over the changes then. Anything else is damage.

mod error;
mod flat;
mod folder;
mod manifest;
mod trie;

use crate::{Backend, Batch, Rows, StateError, Table, Write, history};
use error::damaged;
use flat::{Flat, Link, Pending, Redo};
use folder::Folder;
use polity_types::{B256, Bytes};
use polity_verify::{Change, Key, Path as TriePath, Trie as OpenTrie, hash_value, sentinels};
use std::{
    ops::Bound,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use trie::{Trie, TrieOptions};

pub use error::DiskError;
pub use folder::VERSION as FORMAT_VERSION;

/// Bytes that stay free on the file system: both stores also write in the background, where a full
/// disk could only be answered by stopping.
const RESERVE: u64 = 64 << 20;

/// Leaves that a rebuilt trie takes over at once.
const AT_ONCE: usize = 50_000;

/// Bytes of a page of the trie.
const PAGE: u64 = 4096;

/// The sizes of a state on disk.
///
/// They bound what it takes of memory, but for what tells where things are on disk: a byte for each
/// page of the trie that there is room for, and an index of the pages of its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// MiB of memory for cached values.
    pub value_cache: u64,
    /// MiB of values that were written, before they move from the journal to their place on disk;
    /// at least 1. With its index such a value takes two to three times its size of memory, and
    /// while a full buffer is written, the next one fills. A state keeps the size that it was made
    /// with.
    pub write_buffer: u64,
    /// MiB of memory for cached pages of the trie, and as many for its leaves.
    ///
    /// nomt gets the memory of its pages in regions of 256 MiB, keeps them, and always takes the
    /// page that was free for the longest: however few it needs at a time, after some hundred
    /// thousand changes it has touched a whole region. So all of them together take 256 MiB in the
    /// end, and once more as much where the caches and a commit do not fit into that.
    pub trie_cache: usize,
    /// The pages that the trie has room for at first, of 4 KiB each; about one page is needed for
    /// 200 keys. The room grows by itself, for which the trie is written anew.
    pub trie_pages: u32,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { value_cache: 256, write_buffer: 64, trie_cache: 256, trie_pages: 1 << 13 }
    }
}

/// What a state takes on the disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize {
    /// The values, with history and journals.
    pub values: u64,
    /// The trie.
    pub trie: u64,
}

/// A state on disk.
pub struct Disk {
    folder: Folder,
    flat: Flat,
    trie: RwLock<Trie>,
    head: Mutex<Option<Link>>,
}

impl Disk {
    /// Makes the empty state in a folder that does not exist or is empty. `chain` is what
    /// [`Disk::open`] may ask for.
    ///
    /// # Errors
    /// There is something else in the folder, or the disk fails.
    pub fn create(path: &Path, chain: B256, options: &DiskOptions) -> Result<Self, DiskError> {
        Self::create_with(path, chain, options, |_| Ok(())).map(|(disk, ())| disk)
    }

    /// Makes a state that is there only when `fill` has put something in it: until then no one can
    /// open the folder, and another attempt starts over.
    ///
    /// # Errors
    /// As [`Disk::create`], and those of `fill`.
    pub fn create_with<T, E: From<DiskError>>(
        path: &Path,
        chain: B256,
        options: &DiskOptions,
        fill: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let disk = Self::begin(path, chain, options)?;
        let filled = fill(&disk)?;
        disk.folder.complete().map_err(DiskError::from)?;
        Ok((disk, filled))
    }

    /// Makes the trie anew from the values, where it is damaged and they are not.
    ///
    /// # Errors
    /// There is no state with values, it is in use, the values do not have its root either, or the
    /// disk fails. It can be tried again.
    pub fn rebuild(path: &Path, options: &DiskOptions) -> Result<Self, DiskError> {
        let folder = Folder::open(path, None)?;
        manifest::check(&folder.values())?;
        folder.remove_trie()?;
        let disk = Self::assemble(folder, options)?;
        let head = disk.head().ok_or_else(|| damaged(path, "has no values to make a trie of"))?;
        disk.put_sentinels()?;
        let mut cells = disk.flat.range(Table::Cells, Bound::Unbounded, Bound::Unbounded);
        loop {
            let mut changes = Vec::new();
            for cell in cells.by_ref().take(AT_ONCE) {
                let (row, cell) = cell?;
                changes.push((Key::path_of_row(&row), Some(hash_value(&cell))));
            }
            if changes.is_empty() {
                break;
            }
            changes.sort_unstable();
            disk.change_trie(&changes)?;
        }
        let (root, trie_commits) = (disk.trie().root()?, disk.trie().commits()?);
        if root != head.root {
            let text =
                format!("has values with the root {root}, but that of its block is {}", head.root);
            return Err(damaged(path, text).into());
        }
        let number = head.number.saturating_add(1);
        let link = Link { number, root, trie_commits };
        let pending = Pending { number, before: root, changes: Redo::Listed(Vec::new()) };
        disk.flat.write(&[], &link, &pending)?;
        *disk.head() = Some(link);
        Ok(disk)
    }

    fn put_sentinels(&self) -> Result<(), StateError> {
        let sentinels: Vec<Change> =
            sentinels().map(|leaf| (leaf.path, Some(leaf.value))).collect();
        self.change_trie(&sentinels)
    }

    /// Changes the trie without a batch of the flat store.
    fn change_trie(&self, changes: &[Change]) -> Result<(), StateError> {
        let mut trie = self.trie_mut();
        let update = trie.update(changes)?;
        trie.commit(update)
    }

    fn begin(path: &Path, chain: B256, options: &DiskOptions) -> Result<Self, DiskError> {
        let disk = Self::assemble(Folder::create(path, chain)?, options)?;
        disk.put_sentinels()?;
        Ok(disk)
    }

    /// Opens a state: of any chain, or of the given one.
    ///
    /// No other process may have it open.
    ///
    /// # Errors
    /// There is no such state, it is in use or damaged, or the disk fails.
    pub fn open(
        path: &Path,
        chain: Option<B256>,
        options: &DiskOptions,
    ) -> Result<Self, DiskError> {
        let folder = Folder::open(path, chain)?;
        manifest::check(&folder.values())?;
        let disk = Self::assemble(folder, options)?;
        disk.catch_up()?;
        Ok(disk)
    }

    fn assemble(folder: Folder, options: &DiskOptions) -> Result<Self, DiskError> {
        if !trie::is_permitted() {
            return Err(DiskError::NoIoUring);
        }
        let flat = Flat::open(&folder.values(), options.value_cache, options.write_buffer)?;
        let head = flat.head()?;
        let sizes = TrieOptions { pages: options.trie_pages, cache: options.trie_cache };
        let trie = Trie::open(&folder.trie(), sizes)?;
        Ok(Self { folder, flat, trie: RwLock::new(trie), head: Mutex::new(head) })
    }

    /// Makes the trie hold what the flat store does, or tells that it cannot.
    fn catch_up(&self) -> Result<(), StateError> {
        let damaged = |what: String| damaged(self.folder.path(), what);
        let mut trie = self.trie_mut();
        let (root, commits) = (trie.root()?, trie.commits()?);
        let Some(head) = *self.head() else {
            // The one commit of a new trie is that of the sentinels.
            return match commits {
                1 if root == OpenTrie::empty().root() => Ok(()),
                _ => Err(damaged("has a trie, but no values".to_owned())),
            };
        };
        if commits == head.trie_commits.wrapping_sub(1) {
            let pending = self
                .flat
                .pending()?
                .filter(|pending| pending.number == head.number && pending.before == root);
            let pending = pending.ok_or_else(|| {
                damaged(format!("has a trie that is not at the root before batch {}", head.number))
            })?;
            let changes = match pending.changes {
                Redo::Block(height) => history::changes(self, height)?,
                Redo::Listed(changes) => {
                    let change = |(path, value): (B256, _)| (TriePath::new(path.0), value);
                    changes.into_iter().map(change).collect()
                }
            };
            let update = trie.update(&changes)?;
            if update.root != head.root {
                return Err(damaged(format!(
                    "has a trie that comes to the root {} with batch {}, not to {}",
                    update.root, head.number, head.root
                )));
            }
            return trie.commit(update);
        }
        if commits != head.trie_commits || root != head.root {
            return Err(damaged(format!(
                "has values up to batch {} with the root {} (trie commit {}), but a trie with the \
                 root {root} (commit {commits}); the trie can be rebuilt from the values",
                head.number, head.root, head.trie_commits
            )));
        }
        Ok(())
    }

    /// What the chain is known by.
    pub const fn chain(&self) -> B256 {
        self.folder.chain()
    }

    /// Where the state lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn head(&self) -> MutexGuard<'_, Option<Link>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trie(&self) -> RwLockReadGuard<'_, Trie> {
        self.trie.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn trie_mut(&self) -> RwLockWriteGuard<'_, Trie> {
        self.trie.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it takes on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn size(&self) -> Result<DiskSize, StateError> {
        Ok(DiskSize {
            values: Folder::size(&self.folder.values())?,
            trie: Folder::size(&self.folder.trie())?,
        })
    }

    /// Refuses writes and changes of the trie where the disk is about to be full.
    fn check_space(&self, writes: &[Write], changes: &[Change]) -> Result<(), StateError> {
        // Values go to the journal and then to their place; a leaf of the trie moves with its page.
        let values = writes.iter().map(Write::size).fold(0, usize::saturating_add) as u64;
        let values = values.saturating_mul(2);
        let pages = (changes.len() as u64).saturating_mul(2 * PAGE);
        let needed = RESERVE.saturating_add(values).saturating_add(pages);
        let free = self.folder.free_space()?;
        if free < needed {
            let path = self.folder.path().display().to_string();
            return Err(StateError::Full { path, free, needed });
        }
        Ok(())
    }
}

impl Backend for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.flat.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError> {
        let rows = self.flat.range(table, from, to);
        Ok(if reverse { Box::new(rows.rev()) } else { Box::new(rows) })
    }

    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError> {
        self.check_space(&[], batch.trie())?;
        let mut trie = self.trie_mut();
        let before = trie.root()?;
        let trie_commits = trie.commits()?.wrapping_add(1);
        let update = trie.update(batch.trie())?;
        drop(trie);
        let root = update.root;
        announce(root);
        let row = |(path, value): &Change| (B256::new(*path.bytes()), *value);
        let changes = match batch.kept() {
            Some(height) => Redo::Block(height),
            None => Redo::Listed(batch.trie().iter().map(row).collect()),
        };
        let writes = batch.seal(root, &update.replaced, self)?;
        self.check_space(&writes, &[])?;
        let mut head = self.head();
        let number = head.map_or(1, |head| head.number.saturating_add(1));
        let link = Link { number, root, trie_commits };
        self.flat.write(&writes, &link, &Pending { number, before, changes })?;
        self.trie().commit(update)?;
        *head = Some(link);
        Ok(())
    }

    fn root(&self) -> Result<B256, StateError> {
        self.trie().root()
    }

    fn prove(&self, paths: &[TriePath]) -> Result<OpenTrie, StateError> {
        self.trie().prove(paths)
    }
}
