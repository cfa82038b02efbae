use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLockReadGuard, mpsc},
    thread,
};

use polity_engine::{Block, BlockError, BlockOutput, Sequential};
use polity_kernel::Machines;
use polity_types::{B256, Bytes};
use polity_verify::{Claim, Key, Owner, Path, Proof, Trie};

use crate::{
    Backend, BlockRow, Changes, Commit, Head, History, Memory, StateError, StateView, Table,
    Witness,
    commit::{self, Job, Promise},
    history::{self, OLDEST},
    recording::Recording,
    shared::{Front, Layer, Shared, lock},
    view,
};

/// Why no witness of a block could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessingError {
    /// The block cannot be executed on the latest state.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// How many blocks may be on their way into the store. They take memory; whoever
/// commits another waits for the first of them.
const MOST_ON_THE_WAY: usize = 8;

/// The state of a chain: its latest blocks and their past.
///
/// A block is committed in the background: the next one's view has its values
/// at once, and [`Commit`] gives the root when it is known. One thread commits;
/// any number reads.
pub struct State {
    shared: Arc<Shared>,
    /// Held while a block is accepted or taken back: one after the other.
    jobs: Mutex<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl State {
    /// The state that a backend holds, of which `history` is kept from now on.
    ///
    /// # Errors
    /// The backend fails or holds something else, or no thread can be started.
    pub fn open(backend: Arc<dyn Backend>, history: History) -> Result<Self, StateError> {
        let head = backend.get(Table::Meta, Head::KEY)?;
        let head = head.map(|bytes| Head::from_bytes(&bytes)).transpose()?;
        let height = head.map(|head| head.height);
        let oldest = match backend.get(Table::Meta, OLDEST)? {
            Some(bytes) => u64::from_be_bytes(
                bytes[..]
                    .try_into()
                    .map_err(|_| StateError::Corrupt("the oldest height of the history".into()))?,
            ),
            None => height.unwrap_or_default(),
        };
        let found = backend.root()?;
        let expected = head.map_or_else(|| Trie::empty().root(), |head| head.root);
        if found != expected {
            let text = format!("the trie's root is {found}, that of the latest block {expected}");
            return Err(StateError::Corrupt(text));
        }
        let shared = Arc::new(Shared::new(backend, history, height, oldest));
        let (jobs, received) = mpsc::channel();
        let of_thread = shared.clone();
        let thread = thread::Builder::new()
            .name("polity-state".into())
            .spawn(move || commit::run(&of_thread, &received))
            .map_err(|error| StateError::Store {
                what: "starting the thread that commits".into(),
                error: error.to_string(),
            })?;
        Ok(Self { shared, jobs: Mutex::new(jobs), thread: Some(thread) })
    }

    /// The empty state, in memory, with all of its history.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn in_memory() -> Result<Self, StateError> {
        Self::open(Arc::new(Memory::new()), History::Archive)
    }

    /// The height of the latest block; `None` before the genesis.
    pub fn height(&self) -> Option<u64> {
        self.front().height
    }

    /// The oldest height that can be read or rolled back to.
    pub fn oldest(&self) -> Option<u64> {
        self.height().map(|_| self.shared.oldest())
    }

    /// The root of the latest block's state; of the empty state before the
    /// genesis. Waits until it is known.
    ///
    /// # Errors
    /// A commit failed.
    pub fn root(&self) -> Result<B256, StateError> {
        let last = self.front().last.clone();
        match last {
            Some(commit) => commit.root(),
            None => self.shared.backend.root(),
        }
    }

    /// The root of the state after a block, as far as it is known.
    ///
    /// # Errors
    /// The store failed.
    pub fn root_at(&self, height: u64) -> Result<Option<B256>, StateError> {
        if let Some(last) = self.front().last.clone().filter(|last| last.height() == height) {
            return last.root().map(Some);
        }
        let row = self.shared.backend.get(Table::Blocks, &height.to_be_bytes())?;
        let row = row.map(|row| BlockRow::from_bytes(&row)).transpose()?;
        Ok(row.and_then(|row| row.root))
    }

    /// The latest state.
    pub fn view(&self) -> StateView {
        // No rollback begins while the front is read, and one that has begun
        // shows in the epoch.
        let front = self.front();
        let layers = front.layers.iter().cloned().collect();
        StateView::new(self.shared.clone(), front.height, layers, self.shared.epoch())
    }

    /// The state after an earlier block.
    ///
    /// # Errors
    /// There is no such block, or its history is not kept.
    pub fn view_at(&self, height: u64) -> Result<StateView, StateError> {
        let front = self.front();
        let head = front.height.ok_or(StateError::Empty)?;
        if height > head {
            return Err(StateError::Future { height, head });
        }
        self.shared.check_kept(height)?;
        let layers =
            front.layers.iter().filter(|layer| layer.height() <= height).cloned().collect();
        Ok(StateView::new(self.shared.clone(), Some(height), layers, self.shared.epoch()))
    }

    /// Commits the first state, that of the block at any height.
    ///
    /// # Errors
    /// There is a state already, or an earlier commit failed.
    pub fn genesis(&self, height: u64, changes: Changes) -> Result<Commit, StateError> {
        self.accept(height, changes, |head| match head {
            None => Ok(()),
            Some(head) => Err(StateError::NotEmpty(head)),
        })
    }

    /// Commits the next block's changes. Their values can be read at once. Waits
    /// where many earlier blocks are not stored yet.
    ///
    /// # Errors
    /// It is not the next block, or an earlier commit failed.
    pub fn commit(&self, height: u64, changes: Changes) -> Result<Commit, StateError> {
        self.accept(height, changes, |head| match head {
            None => Err(StateError::Empty),
            Some(head) if head.checked_add(1) == Some(height) => Ok(()),
            Some(head) => Err(StateError::Height { head, found: height }),
        })
    }

    fn accept(
        &self,
        height: u64,
        changes: Changes,
        check: impl FnOnce(Option<u64>) -> Result<(), StateError>,
    ) -> Result<Commit, StateError> {
        let jobs = lock(&self.jobs);
        if let Some(oldest) = self.oldest_of_too_many() {
            oldest.durable()?;
        }
        let mut front = commit::front(&self.shared);
        if let Some(error) = &front.failed {
            return Err(error.clone());
        }
        check(front.height)?;
        let commit = Commit::new(height);
        let layer = Arc::new(Layer { commit: commit.clone(), changes });
        front.layers.push_back(layer.clone());
        front.height = Some(height);
        front.last = Some(commit.clone());
        drop(front);
        let promise = Promise::new(commit.clone());
        jobs.send(Job::Commit(layer, promise)).map_err(|_| StateError::Closed)?;
        Ok(commit)
    }

    /// The first block on its way, where no more may be.
    fn oldest_of_too_many(&self) -> Option<Commit> {
        let front = self.front();
        let layer = front.layers.front().filter(|_| front.layers.len() >= MOST_ON_THE_WAY)?;
        Some(layer.commit.clone())
    }

    /// Tells the hash of a block that was committed, or of an ancestor from
    /// before the genesis. Views answer with it at once; it is stored with the
    /// next block, or by [`State::flush`].
    ///
    /// # Errors
    /// There is no such block yet.
    pub fn set_block_hash(&self, height: u64, hash: B256) -> Result<(), StateError> {
        let mut front = commit::front(&self.shared);
        let head = front.height.ok_or(StateError::Empty)?;
        if height > head {
            return Err(StateError::Future { height, head });
        }
        front.hashes.insert(height, hash);
        Ok(())
    }

    /// Waits until all that was committed is durable.
    ///
    /// # Errors
    /// A commit failed.
    pub fn flush(&self) -> Result<(), StateError> {
        let answer = Self::ask(&lock(&self.jobs), Job::Flush)?;
        answer.recv().map_err(|_| StateError::Closed)?
    }

    /// Takes back every block above `height` and returns the root of its state.
    /// Views of what was taken back fail from now on.
    ///
    /// # Errors
    /// There is no such block, its history is not kept, or a commit failed.
    pub fn roll_back(&self, height: u64) -> Result<B256, StateError> {
        // Until it is done, no block is accepted: it would follow on another.
        let jobs = lock(&self.jobs);
        let flushed = Self::ask(&jobs, Job::Flush)?;
        flushed.recv().map_err(|_| StateError::Closed)??;
        let head = self.height().ok_or(StateError::Empty)?;
        if height > head {
            return Err(StateError::Future { height, head });
        }
        self.shared.check_kept(height)?;
        let root = Self::ask(&jobs, |answer| Job::Rollback(height, answer))?;
        root.recv().map_err(|_| StateError::Closed)?
    }

    /// Hands over a job; its answer comes when all before it are done.
    fn ask<T>(
        jobs: &mpsc::Sender<Job>,
        job: impl FnOnce(mpsc::Sender<Result<T, StateError>>) -> Job,
    ) -> Result<mpsc::Receiver<Result<T, StateError>>, StateError> {
        let (answer, answered) = mpsc::channel();
        jobs.send(job(answer)).map_err(|_| StateError::Closed)?;
        Ok(answered)
    }

    /// Proves what the latest state holds at some keys, and that it does not
    /// hold others.
    ///
    /// # Errors
    /// The store failed, or there is no state yet.
    pub fn prove(&self, keys: &[Key]) -> Result<(Head, Proof), StateError> {
        self.still(|backend, head| {
            let claim = |key: &Key| {
                let row = key.row();
                let cell = backend.get(Table::Cells, &row)?;
                let cell = cell.map(|cell| view::parse(&row, &cell)).transpose()?;
                Ok(Claim { key: key.clone(), cell: cell.map(|(_, cell)| cell) })
            };
            let claims = keys.iter().map(claim).collect::<Result<Vec<_>, StateError>>()?;
            let mut paths: Vec<Path> = keys.iter().map(Key::path).collect();
            paths.sort_unstable();
            paths.dedup();
            Ok((head, Proof::new(claims, &backend.prove(&paths)?)?))
        })
    }

    /// Executes a block on the latest state, without committing it, and gives
    /// the witness on which [`stateless`](crate::stateless) does the same.
    ///
    /// # Errors
    /// The block is invalid, the store failed, or there is no state yet.
    pub fn witness(
        &self,
        machines: &Machines,
        block: &Block,
    ) -> Result<(Head, Witness, BlockOutput), WitnessingError> {
        let made = self.still(|backend, head| {
            let view = self.view_at(head.height)?;
            let recording = Recording::new(&view);
            let output = match Sequential::new().execute(machines, &recording, block) {
                Ok(output) => output,
                Err(error) => return Ok(Err(error)),
            };
            let changed = Changes::of(&recording, &output)?.cells(&recording)?;
            let asked = recording.into_asked();
            let mut rows = asked.rows;
            rows.extend(changed.into_iter().map(|cell| cell.row));
            let mut paths = Vec::new();
            for owner in asked.listed.iter().map(Owner::of) {
                // Whoever else has keys in the subtree has to be shown too, and
                // the sentinel that may be its leftmost leaf.
                paths.push(owner.path());
                for row in history::rows(backend, Table::Cells, &owner.prefix)? {
                    rows.insert(row?.0.to_vec());
                }
            }
            paths.extend(rows.iter().map(|row| Key::path_of_row(row)));
            paths.sort_unstable();
            paths.dedup();
            let mut cells = Vec::new();
            for row in &rows {
                if let Some(cell) = backend.get(Table::Cells, row)? {
                    cells.push(view::parse(row, &cell)?);
                }
            }
            let codes = asked.codes.into_iter().map(|(hash, code)| {
                let mut kinds = machines.kinds();
                let kind = kinds.find(|kind| machines.code_hash(*kind, &code) == Some(hash));
                let kind = kind.ok_or_else(|| {
                    StateError::Corrupt(format!("no machine gives the code {hash} its hash"))
                })?;
                Ok((kind, code))
            });
            let codes = codes.collect::<Result<Vec<_>, StateError>>()?;
            let witness = Witness::new(backend.prove(&paths)?, cells, codes, asked.block_hashes);
            Ok(Ok((head, witness, output)))
        })?;
        Ok(made?)
    }

    /// Recomputes the trie from the cells and compares its root: the whole store
    /// is read. Returns the number of cells.
    ///
    /// # Errors
    /// The store is corrupt or failed, or there is no state yet.
    pub fn check(&self) -> Result<u64, StateError> {
        self.still(|backend, head| {
            let mut trie = Trie::empty();
            let mut count = 0_u64;
            let mut changes = Vec::new();
            for row in history::rows(backend, Table::Cells, &[])? {
                let (row, bytes) = row?;
                let (key, cell) = view::parse(&row, &bytes)?;
                if key.row()[..] != row[..] {
                    return Err(StateError::Corrupt(format!("the row of {key} is misplaced")));
                }
                changes.push((key.path(), Some(cell.hash())));
                count = count.saturating_add(1);
            }
            changes.sort_unstable();
            trie.update(&changes)?;
            match trie.root() {
                root if root == head.root => Ok(count),
                root => Err(StateError::Corrupt(format!(
                    "the cells have the root {root}, block {} has {}",
                    head.height, head.root
                ))),
            }
        })
    }

    /// Gives the backend, at rest: nothing is committed meanwhile.
    ///
    /// # Errors
    /// There is no state yet, a commit failed, or what `read` gives.
    pub fn still<T>(
        &self,
        read: impl FnOnce(&dyn Backend, Head) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.flush()?;
        let _still = lock(&self.shared.writer);
        let head = commit::head(&self.shared)?.ok_or(StateError::Empty)?;
        read(&*self.shared.backend, head)
    }

    /// A code by its hash, whichever block brought it.
    ///
    /// # Errors
    /// The store failed.
    pub fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.shared.backend.get(Table::Codes, hash.as_slice())
    }

    fn front(&self) -> RwLockReadGuard<'_, Front> {
        self.shared.front.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for State {
    /// Waits until all that was committed is durable.
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel();
        *lock(&self.jobs) = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("height", &self.height()).finish_non_exhaustive()
    }
}
