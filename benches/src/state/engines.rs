//! The engines side by side.

use super::Kind;
use alloy_primitives::keccak256;
use eth_trie::{DB, EthTrie, Trie as _};
use eyre::eyre;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use nomt::{KeyReadWrite, Nomt, Options, SessionParams, hasher::Sha2Hasher};
use polity_kernel::View;
use polity_state::{
    Backend, Changes, History, Memory, State,
    disk::{Disk, DiskOptions},
};
use polity_types::{AccountId, B256, LocalKey, Value};
use polity_verify::{Cell, Key};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One change.
pub(super) struct Entry {
    pub(super) account: AccountId,
    pub(super) key: LocalKey,
    pub(super) value: Value,
}

/// A storage engine.
pub(super) trait Engine {
    /// Brings a block's changes into the form that the engine takes.
    fn prepare(&mut self, entries: Vec<Entry>) -> eyre::Result<()>;

    /// Commits them, durably; the time until the root was known.
    fn commit(&mut self) -> eyre::Result<Duration>;
}

/// Opens an engine for so many entries.
pub(super) fn open(kind: Kind, place: &Path, entries: u64) -> eyre::Result<Box<dyn Engine>> {
    Ok(match kind {
        Kind::Memory => Box::new(Polity::new(Arc::new(Memory::new()), true)?),
        Kind::Disk | Kind::Blind => {
            let disk = Disk::create(&place.join("state"), B256::ZERO, &DiskOptions::default())?;
            Box::new(Polity::new(Arc::new(disk), kind == Kind::Disk)?)
        }
        Kind::Nomt => Box::new(Raw::new(place, entries)?),
        Kind::Mpt => Box::new(Mpt::new(place)?),
    })
}

struct Polity {
    state: State,
    /// Whether a slot is read before it is set, as execution does.
    reads: bool,
    changes: Changes,
}

impl Polity {
    fn new(backend: Arc<dyn Backend>, reads: bool) -> eyre::Result<Self> {
        let state = State::open(backend, History::Blocks(64))?;
        Ok(Self { state, reads, changes: Changes::new() })
    }
}

impl Engine for Polity {
    fn prepare(&mut self, entries: Vec<Entry>) -> eyre::Result<()> {
        let view = self.reads.then(|| self.state.view());
        for Entry { account, key, value } in entries {
            let before = view.as_ref().map(|view| view.slot(&account, &key)).transpose()?;
            self.changes.replace_slot(account, key, before, value)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> eyre::Result<Duration> {
        let start = Instant::now();
        let changes = std::mem::take(&mut self.changes);
        let commit = match self.state.height() {
            None => self.state.genesis(0, changes)?,
            Some(height) => self.state.commit(height + 1, changes)?,
        };
        commit.root()?;
        let root = start.elapsed();
        commit.durable()?;
        Ok(root)
    }
}

/// nomt with the values themselves in it, by the same paths.
struct Raw {
    nomt: Nomt<Sha2Hasher>,
    block: Vec<([u8; 32], KeyReadWrite)>,
}

impl Raw {
    fn new(place: &Path, entries: u64) -> eyre::Result<Self> {
        let mut options = Options::new();
        options.path(place.join("nomt"));
        // Its table does not grow by itself. Accounts far apart take a page for some 30 keys.
        let pages = u32::try_from(entries / 16)?.next_power_of_two();
        options.hashtable_buckets(pages.max(1 << 16));
        options.preallocate_ht(false);
        Ok(Self { nomt: Nomt::open(options).map_err(|error| eyre!("{error}"))?, block: Vec::new() })
    }
}

impl Engine for Raw {
    fn prepare(&mut self, entries: Vec<Entry>) -> eyre::Result<()> {
        let write = |Entry { account, key, value }| {
            let bytes = Cell::Slot(value).to_bytes();
            (*Key::Slot(account, key).path().bytes(), KeyReadWrite::Write(Some(bytes)))
        };
        self.block = entries.into_iter().map(write).collect();
        self.block.sort_unstable_by_key(|(path, _)| *path);
        Ok(())
    }

    fn commit(&mut self) -> eyre::Result<Duration> {
        let start = Instant::now();
        let session = self.nomt.begin_session(SessionParams::default());
        let finished =
            session.finish(std::mem::take(&mut self.block)).map_err(|error| eyre!("{error}"))?;
        let root = start.elapsed();
        finished.commit(&self.nomt).map_err(|error| eyre!("{error}"))?;
        Ok(root)
    }
}

/// One Merkle-Patricia trie by keccak256 of the key; Ethereum has a trie of tries, which costs more.
struct Mpt {
    trie: EthTrie<Nodes>,
    nodes: Arc<Nodes>,
    block: Vec<(B256, Vec<u8>)>,
}

/// The nodes of the trie by their hashes.
struct Nodes {
    database: Database,
    rows: Keyspace,
    /// What the block changes: a node, or none where it goes.
    changed: Mutex<HashMap<Vec<u8>, Option<Vec<u8>>>>,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NodesError(#[from] fjall::Error);

impl DB for Nodes {
    type Error = NodesError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, NodesError> {
        if let Some(changed) = self.changed().get(key) {
            return Ok(changed.clone());
        }
        Ok(self.rows.get(key)?.map(|value| value.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), NodesError> {
        self.changed().insert(key.to_vec(), Some(value));
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), NodesError> {
        self.changed().insert(key.to_vec(), None);
        Ok(())
    }

    fn flush(&self) -> Result<(), NodesError> {
        Ok(())
    }
}

impl Nodes {
    fn changed(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Option<Vec<u8>>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<(), NodesError> {
        let mut batch: OwnedWriteBatch =
            self.database.batch().durability(Some(PersistMode::SyncAll));
        let mut rows: Vec<_> = self.changed().drain().collect();
        rows.sort_unstable();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.rows, key, value),
                None => batch.remove(&self.rows, key),
            }
        }
        Ok(batch.commit()?)
    }
}

impl Mpt {
    fn new(place: &Path) -> eyre::Result<Self> {
        let database = Database::builder(place.join("mpt")).cache_size(512 << 20).open()?;
        let rows = database.keyspace("nodes", KeyspaceCreateOptions::default)?;
        let nodes = Arc::new(Nodes { database, rows, changed: Mutex::default() });
        Ok(Self { trie: EthTrie::new(nodes.clone()), nodes, block: Vec::new() })
    }
}

impl Engine for Mpt {
    fn prepare(&mut self, entries: Vec<Entry>) -> eyre::Result<()> {
        let write = |Entry { account, key, value }| {
            let bytes = Key::Slot(account, key).to_bytes();
            (keccak256(bytes), Cell::Slot(value).to_bytes())
        };
        self.block = entries.into_iter().map(write).collect();
        Ok(())
    }

    fn commit(&mut self) -> eyre::Result<Duration> {
        let start = Instant::now();
        for (key, value) in std::mem::take(&mut self.block) {
            self.trie.insert(key.as_slice(), &value)?;
        }
        self.trie.root_hash()?;
        let root = start.elapsed();
        self.nodes.write()?;
        Ok(root)
    }
}
