//! The trie on disk: nomt, with the hashing of `polity-verify`, as a store of value hashes.

use super::error::{damaged, io};
use crate::{StateError, Threads};
use nomt::{
    FinishedSession, HashTableUtilization, IoUringPermission, KeyReadWrite, Nomt, Options,
    SessionParams, WitnessMode, WitnessedPath,
    hasher::{NodeHasher, ValueHasher, node_kind_by_msb},
    proof::PathProofTerminal,
    trie::{InternalData, LeafData, Node, NodeKind},
};
use polity_types::B256;
use polity_verify::{Advance, Change, Leaf, Opening, Path as TriePath, Trie as OpenTrie};
use std::{
    any::Any,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Our hashing. What nomt takes for values are value hashes already.
struct Hasher;

impl ValueHasher for Hasher {
    fn hash_value(value: &[u8]) -> [u8; 32] {
        // Nothing but 32-byte hashes is ever written, and a length that was damaged on disk makes
        // a leaf whose hash shows it.
        value.try_into().unwrap_or_default()
    }
}

impl NodeHasher for Hasher {
    fn hash_leaf(leaf: &LeafData) -> Node {
        polity_verify::hash_leaf(&leaf.key_path, &leaf.value_hash.into()).0
    }

    fn hash_internal(node: &InternalData) -> Node {
        polity_verify::hash_inner(&node.left.into(), &node.right.into()).0
    }

    fn node_kind(node: &Node) -> NodeKind {
        node_kind_by_msb(node)
    }
}

/// How full the hash table of trie pages may get, in parts of 16, before it is made larger.
/// Beyond that, finding a place in it takes ever longer and in the end fails.
const FULL: usize = 11;
/// No commit of *n* new leaves needs more new pages than *n* / 2 and this.
const SPARE_PAGES: usize = 1024;

/// The open trie.
pub(super) struct Trie {
    path: PathBuf,
    options: TrieOptions,
    nomt: Option<Nomt<Hasher>>,
    /// Whether a call failed: what nomt has in memory is then not to be relied on.
    failed: AtomicBool,
}

/// The sizes of a trie.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrieOptions {
    /// Pages that the hash table has room for when the trie is made; it grows by itself.
    pub(super) pages: u32,
    /// MiB of memory for each of the two caches, pages and leaves.
    pub(super) cache: usize,
}

/// Changes whose root is known and which are not on disk yet.
pub(super) struct Update {
    finished: FinishedSession,
    /// The root after the changes.
    pub(super) root: B256,
    /// The value's hash that each change replaces, by the root before.
    pub(super) replaced: Vec<Option<B256>>,
}

impl Update {
    /// Leaves that are added.
    fn new_leaves(&self, changes: &[Change]) -> usize {
        let is_new = |((_, value), replaced): (&Change, &Option<B256>)| {
            value.is_some() && replaced.is_none()
        };
        changes.iter().zip(&self.replaced).filter(|pair| is_new(*pair)).count()
    }
}

/// Whether the system lets nomt read and write in its way.
pub(super) fn is_permitted() -> bool {
    !matches!(nomt::check_iou_permissions(), IoUringPermission::Denied)
}

impl Trie {
    /// Opens the trie, or makes an empty one where the folder does not exist.
    pub(super) fn open(path: &Path, options: TrieOptions) -> Result<Self, StateError> {
        let mut trie =
            Self { path: path.to_owned(), options, nomt: None, failed: AtomicBool::new(false) };
        trie.reopen()?;
        Ok(trie)
    }

    fn reopen(&mut self) -> Result<(), StateError> {
        let options = self.nomt_options(self.options.pages);
        self.nomt = Some(self.guarded("open", || Nomt::open(options))?);
        Ok(())
    }

    fn nomt_options(&self, pages: u32) -> Options {
        let mut options = Options::new();
        options.path(&self.path);
        options.hashtable_buckets(pages);
        // nomt 1.0.5 does not look whether the pages of its table were written. Room that is taken
        // beforehand cannot be missing then.
        options.preallocate_ht(true);
        // With more than one worker nomt 1.0.5 ascribes operations to the wrong paths in witnesses.
        options.commit_concurrency(1);
        // A worker spins while its reads and writes are in flight.
        options.io_workers(1);
        options.page_cache_size(self.options.cache);
        options.leaf_cache_size(self.options.cache);
        options
    }

    /// The root on disk.
    pub(super) fn root(&self) -> Result<B256, StateError> {
        Ok(B256::from(self.nomt()?.root().into_inner()))
    }

    /// How many commits this trie has seen, modulo 2³².
    pub(super) fn commits(&self) -> Result<u32, StateError> {
        Ok(self.nomt()?.sync_seqn())
    }

    /// The pages that so many more leaves take with those that there are, where that is more than
    /// there should be.
    fn lacks(&self, leaves: usize) -> Result<Option<usize>, StateError> {
        let HashTableUtilization { capacity, occupied } = self.nomt()?.hash_table_utilization();
        let wanted = occupied.saturating_add(leaves / 2).saturating_add(SPARE_PAGES);
        Ok((wanted > capacity / 16 * FULL).then_some(wanted))
    }

    /// Makes room for so many pages, and as many again.
    ///
    /// Everything else waits meanwhile: the table is written anew.
    fn grow(&mut self, wanted: usize) -> Result<(), StateError> {
        let capacity = self.nomt()?.hash_table_utilization().capacity;
        let pages = wanted.saturating_mul(2).max(capacity.saturating_mul(2));
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        self.nomt = None;
        let options = self.nomt_options(pages);
        self.guarded("grow", || nomt::grow_hashtable(&options))?;
        self.reopen()
    }

    /// Computes the root after changes, which are sorted by path, each path once, and makes room for
    /// them.
    pub(super) fn update(&mut self, changes: &[Change]) -> Result<Update, StateError> {
        let update = self.compute(changes)?;
        let Some(wanted) = self.lacks(update.new_leaves(changes))? else { return Ok(update) };
        // It is of the table as it is.
        drop(update);
        self.grow(wanted)?;
        self.compute(changes)
    }

    /// Computes the root after changes.
    ///
    /// nomt's pages carry no checksums, so what it computes is not believed: the paths that it
    /// went along must lead to the root that is known, and the new root is computed a second time
    /// from them alone.
    fn compute(&self, changes: &[Change]) -> Result<Update, StateError> {
        let operation = |(path, value): &Change| {
            let value = value.map(|hash| hash.to_vec());
            (*path.bytes(), KeyReadWrite::Write(value))
        };
        let mut finished = self.finish(changes.iter().map(operation).collect())?;
        let advance = Self::seen(&mut finished, |root, openings| {
            OpenTrie::advance(root, openings, changes, &Threads)
        });
        let Advance { root, replaced } = advance.map_err(|error| self.wrong(error))?;
        if root != B256::from(finished.root().into_inner()) {
            return Err(self.wrong("its new root does not follow from the old one"));
        }
        Ok(Update { finished, root, replaced })
    }

    /// Makes changes durable.
    ///
    /// After an error they are there or not, which the next [`Trie::open`] tells.
    pub(super) fn commit(&self, update: Update) -> Result<(), StateError> {
        let nomt = self.nomt()?;
        self.guarded("commit to", || update.finished.commit(nomt))
    }

    /// The trie with these paths open, which are sorted, each once.
    pub(super) fn prove(&self, paths: &[TriePath]) -> Result<OpenTrie, StateError> {
        let operation = |path: &TriePath| (*path.bytes(), KeyReadWrite::Read(None));
        let mut finished = self.finish(paths.iter().map(operation).collect())?;
        Self::seen(&mut finished, |root, openings| OpenTrie::opened(root, openings, &Threads))
            .map_err(|error| self.wrong(error))
    }

    fn finish(
        &self,
        operations: Vec<([u8; 32], KeyReadWrite)>,
    ) -> Result<FinishedSession, StateError> {
        let nomt = self.nomt()?;
        self.guarded("read", || {
            let params = SessionParams::default().witness_mode(WitnessMode::read_write());
            nomt.begin_session(params).finish(operations)
        })
    }

    /// What can be said by the paths that a session went along and the root that it started from.
    fn seen<T>(finished: &mut FinishedSession, say: impl FnOnce(B256, &[Opening<'_>]) -> T) -> T {
        let root = finished.prev_root().into_inner().into();
        let paths = finished.take_witness().map(|witness| witness.path_proofs);
        let paths = paths.unwrap_or_default();
        let mut openings: Vec<Opening<'_>> = paths.iter().map(opening).collect();
        openings.sort_unstable_by_key(|opening| opening.path);
        say(root, &openings)
    }

    fn nomt(&self) -> Result<&Nomt<Hasher>, StateError> {
        let nomt = self.nomt.as_ref().filter(|_| !self.failed.load(Ordering::Relaxed));
        nomt.ok_or_else(|| StateError::Stopped(self.path.display().to_string()))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> StateError {
        damaged(&self.path, format_args!("does not add up: {what}"))
    }

    /// Calls nomt, which panics on pages that make no sense, here or in a worker, from where the
    /// panic comes here too. After it nothing that nomt has in memory is used again, so that it
    /// does not matter in which state it was left.
    fn guarded<T, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        doing: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, StateError> {
        let what = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.into().to_string(),
            Err(panic) => message(&*panic),
        };
        self.failed.store(true, Ordering::Relaxed);
        Err(io(doing, &self.path, &what))
    }
}

/// The path that nomt went along.
fn opening(path: &WitnessedPath) -> Opening<'_> {
    let terminal = match &path.inner.terminal {
        PathProofTerminal::Leaf(leaf) => {
            Some(Leaf { path: TriePath::new(leaf.key_path), value: leaf.value_hash.into() })
        }
        PathProofTerminal::Terminator(_) => None,
    };
    let place = TriePath::new(path.path.raw_path());
    Opening { path: place, siblings: &path.inner.siblings, terminal }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}
