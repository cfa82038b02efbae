use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use polity_types::B256;

use crate::{Backend, Changes, Commit, History, StateError, codes::CodeCache};

/// What a state, its views and its committing thread have in common.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) history: History,
    pub(crate) codes: CodeCache,
    pub(crate) front: RwLock<Front>,
    /// Held while the backend is written, or must not be.
    pub(crate) writer: Mutex<()>,
    /// The height whose cells the backend may hold. Set before it does.
    written: AtomicU64,
    /// The oldest height that can be read. Set before older ones are deleted.
    oldest: AtomicU64,
    epoch: AtomicU64,
    /// The heights that rollbacks went to.
    rollbacks: Mutex<Vec<u64>>,
}

/// What was accepted, stored or not.
#[derive(Default)]
pub(crate) struct Front {
    /// The latest block.
    pub(crate) height: Option<u64>,
    /// Blocks that the backend does not hold yet, the oldest first.
    pub(crate) layers: VecDeque<Arc<Layer>>,
    /// Block hashes that the backend does not hold yet.
    pub(crate) hashes: BTreeMap<u64, B256>,
    /// The commit of the latest block, where that was made here.
    pub(crate) last: Option<Commit>,
    /// Why nothing can be committed any more.
    pub(crate) failed: Option<StateError>,
}

/// A block that is not in the store yet.
pub(crate) struct Layer {
    pub(crate) commit: Commit,
    pub(crate) changes: Changes,
}

impl Layer {
    pub(crate) const fn height(&self) -> u64 {
        self.commit.height()
    }
}

/// Counts rollbacks: twice each, when it begins and when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// Whether no rollback is under way.
    pub(crate) const fn is_settled(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

impl Shared {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        history: History,
        height: Option<u64>,
        oldest: u64,
    ) -> Self {
        Self {
            backend,
            history,
            codes: CodeCache::default(),
            front: RwLock::new(Front { height, ..Front::default() }),
            writer: Mutex::default(),
            written: AtomicU64::new(height.unwrap_or_default()),
            oldest: AtomicU64::new(oldest),
            epoch: AtomicU64::new(0),
            rollbacks: Mutex::default(),
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    pub(crate) fn set_written(&self, height: u64) {
        self.written.store(height, SeqCst);
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest.load(SeqCst)
    }

    pub(crate) fn set_oldest(&self, height: u64) {
        self.oldest.store(height, SeqCst);
    }

    /// Fails where the history of a height was or is being deleted.
    pub(crate) fn check_kept(&self, height: u64) -> Result<(), StateError> {
        let oldest = self.oldest();
        if height < oldest { Err(StateError::Pruned { height, oldest }) } else { Ok(()) }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(SeqCst))
    }

    /// Begins a rollback.
    pub(crate) fn unsettle(&self, to: u64) {
        lock(&self.rollbacks).push(to);
        self.epoch.fetch_add(1, SeqCst);
    }

    /// Ends it.
    pub(crate) fn settle(&self) {
        self.epoch.fetch_add(1, SeqCst);
    }

    /// Fails where the block was rolled back since `epoch`.
    pub(crate) fn check_rolled_back(
        &self,
        since: Epoch,
        height: Option<u64>,
    ) -> Result<(), StateError> {
        let Some(height) = height else { return Ok(()) };
        // One that was under way counts: it may not have shown yet.
        let seen = usize::try_from(since.0 / 2).unwrap_or(usize::MAX);
        let gone = lock(&self.rollbacks).iter().skip(seen).any(|to| *to < height);
        if gone { Err(StateError::RolledBack(height)) } else { Ok(()) }
    }

    /// The hash of a block, where the store may not have it yet.
    pub(crate) fn known_hash(&self, number: u64) -> Option<B256> {
        let front = self.front.read().unwrap_or_else(PoisonError::into_inner);
        front.hashes.get(&number).copied()
    }
}

// What these locks guard is whole between any two statements: a panic of
// another thread does not make it worse.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
