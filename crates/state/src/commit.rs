use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLockWriteGuard, mpsc},
};

use polity_types::B256;

use crate::{
    Batch, BlockRow, Head, History, StateError, StateView, Table, history,
    shared::{Front, Layer, Shared, lock},
};

/// A block on its way into the store.
#[derive(Clone)]
pub struct Commit {
    height: u64,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    outcome: Mutex<Outcome>,
    changed: Condvar,
}

#[derive(Default)]
struct Outcome {
    root: Option<B256>,
    durable: Option<Result<(), StateError>>,
}

impl Commit {
    pub(crate) fn new(height: u64) -> Self {
        Self { height, progress: Arc::default() }
    }

    /// The block's height.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The root of the state after the block. Waits until it is known.
    ///
    /// # Errors
    /// The commit failed.
    pub fn root(&self) -> Result<B256, StateError> {
        let outcome = self.wait(|outcome| outcome.root.is_some() || outcome.durable.is_some());
        match (&outcome.durable, outcome.root) {
            (Some(Err(error)), _) => Err(error.clone()),
            (_, Some(root)) => Ok(root),
            (_, None) => Err(StateError::Closed),
        }
    }

    /// The root, once the block would survive a crash. Waits until it does.
    ///
    /// # Errors
    /// The commit failed.
    pub fn durable(&self) -> Result<B256, StateError> {
        drop(self.wait(|outcome| outcome.durable.is_some()));
        self.root()
    }

    fn wait(&self, done: impl Fn(&Outcome) -> bool) -> MutexGuard<'_, Outcome> {
        let outcome = lock(&self.progress.outcome);
        self.progress
            .changed
            .wait_while(outcome, |outcome| !done(outcome))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut lock(&self.progress.outcome));
        self.progress.changed.notify_all();
    }
}

/// The duty to end a commit. Where it is dropped before, the commit has failed.
pub(crate) struct Promise(Commit);

impl Promise {
    pub(crate) const fn new(commit: Commit) -> Self {
        Self(commit)
    }

    fn end(self, durable: Result<(), StateError>) {
        self.0.set(|outcome| outcome.durable = Some(durable));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.set(|outcome| {
            outcome.durable.get_or_insert(Err(StateError::Closed));
        });
    }
}

/// What the committing thread is to do. It does one after the other.
pub(crate) enum Job {
    Commit(Arc<Layer>, Promise),
    Rollback(u64, mpsc::Sender<Result<B256, StateError>>),
    /// Store what is known and not stored yet, then answer.
    Flush(mpsc::Sender<Result<(), StateError>>),
}

/// The committing thread, until nothing more can come.
pub(crate) fn run(shared: &Arc<Shared>, jobs: &mpsc::Receiver<Job>) {
    // An answer that nobody waits for any more is of no use to anybody.
    for job in jobs {
        match job {
            Job::Commit(layer, promise) => {
                promise.end(or_failed(shared, || store(shared, &layer)));
            }
            Job::Rollback(to, answer) => {
                let _ = answer.send(or_failed(shared, || roll_back(shared, to)));
            }
            Job::Flush(answer) => {
                let _ = answer.send(or_failed(shared, || store_hashes(shared)));
            }
        }
    }
    let _ = or_failed(shared, || store_hashes(shared));
}

/// Does it, unless something failed before; what fails, fails all that follows.
fn or_failed<T>(
    shared: &Shared,
    job: impl FnOnce() -> Result<T, StateError>,
) -> Result<T, StateError> {
    if let Some(error) = &front(shared).failed {
        return Err(error.clone());
    }
    let _writing = lock(&shared.writer);
    job().inspect_err(|error| front(shared).failed = Some(error.clone()))
}

fn store(shared: &Arc<Shared>, layer: &Layer) -> Result<(), StateError> {
    let backend = &*shared.backend;
    let height = layer.height();
    let head = head(shared)?;
    // The state before the block is what the backend holds.
    let before =
        StateView::new(shared.clone(), head.map(|head| head.height), Vec::new(), shared.epoch());
    let cells = layer.changes.cells(&before)?;
    let mut batch = Batch::new(cells);
    if head.is_some() && shared.history != History::Blocks(0) {
        batch.keep(height);
    }
    for (hash, code) in layer.changes.codes() {
        if backend.get(Table::Codes, hash.as_slice())?.is_none() {
            batch.put(Table::Codes, hash.as_slice(), code.clone());
        }
    }
    // Later blocks take along their own.
    let hashes: BTreeMap<_, _> =
        front(shared).hashes.range(..=height).map(|(height, hash)| (*height, *hash)).collect();
    put_hashes(shared, &mut batch, &hashes)?;
    batch.set_head(height, hashes.get(&height).copied());
    let oldest = shared.oldest();
    let kept = match head {
        None => height,
        Some(_) => shared.history.oldest(height).max(oldest),
    };
    let first = if head.is_none() { kept } else { oldest };
    history::prune(backend, &mut batch, first, kept, height)?;
    shared.set_oldest(kept);
    shared.set_written(height);
    backend.commit(batch, &mut |root| layer.commit.set(|outcome| outcome.root = Some(root)))?;
    let mut front = front(shared);
    front.layers.retain(|other| other.height() != height);
    forget(&mut front, &hashes);
    Ok(())
}

fn roll_back(shared: &Shared, to: u64) -> Result<B256, StateError> {
    let backend = &*shared.backend;
    let head = head(shared)?.ok_or(StateError::Empty)?;
    let mut batch = history::backward(backend, head.height, to)?;
    let row = backend.get(Table::Blocks, &to.to_be_bytes())?;
    let row = row.ok_or_else(|| StateError::Corrupt(format!("nothing is known of block {to}")))?;
    let row = BlockRow::from_bytes(&row)?;
    let hash = row.hash.or(front(shared).hashes.get(&to).copied());
    batch.set_head(to, hash);
    let mut found = None;
    shared.unsettle(to);
    let done = backend.commit(batch, &mut |root| found = Some(root));
    if done.is_ok() {
        shared.set_written(to);
        let mut front = front(shared);
        front.height = Some(to);
        front.last = None;
        front.hashes.retain(|height, _| *height <= to);
    }
    // Not before the front is that of the block: who takes a view of it from
    // now on has nothing that was taken back.
    shared.settle();
    done?;
    match (found, row.root) {
        (Some(found), Some(root)) if found == root => Ok(root),
        _ => Err(StateError::Corrupt(format!("the history does not lead back to block {to}"))),
    }
}

/// Stores the block hashes that no commit has taken along.
fn store_hashes(shared: &Shared) -> Result<(), StateError> {
    let hashes = front(shared).hashes.clone();
    if hashes.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::default();
    put_hashes(shared, &mut batch, &hashes)?;
    shared.backend.commit(batch, &mut |_| ())?;
    forget(&mut front(shared), &hashes);
    Ok(())
}

fn put_hashes(
    shared: &Shared,
    batch: &mut Batch,
    hashes: &BTreeMap<u64, B256>,
) -> Result<(), StateError> {
    for (height, hash) in hashes {
        let key = height.to_be_bytes();
        let row = shared.backend.get(Table::Blocks, &key)?;
        let row = row.map(|row| BlockRow::from_bytes(&row)).transpose()?.unwrap_or_default();
        batch.put(Table::Blocks, key, BlockRow { hash: Some(*hash), ..row }.to_bytes());
    }
    Ok(())
}

fn forget(front: &mut Front, hashes: &BTreeMap<u64, B256>) {
    front.hashes.retain(|height, hash| hashes.get(height) != Some(hash));
}

/// What the backend holds.
pub(crate) fn head(shared: &Shared) -> Result<Option<Head>, StateError> {
    let bytes = shared.backend.get(Table::Meta, Head::KEY)?;
    bytes.map(|bytes| Head::from_bytes(&bytes)).transpose()
}

pub(crate) fn front(shared: &Shared) -> RwLockWriteGuard<'_, Front> {
    shared.front.write().unwrap_or_else(PoisonError::into_inner)
}
