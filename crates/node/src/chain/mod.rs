//! The chain: blocks on an authenticated state.
//!
//! A block is built from candidates, executed on the parallel engine, committed
//! to the state, sealed with the root, and stored. One block is built at a time;
//! any number of readers see the tip as it was when they asked.

mod block;
mod commitment;
mod edits;
mod error;
mod fork;
mod guest;
mod identity;
mod marks;
mod receipts;
mod recent;
mod seal;
mod segments;
mod store;
mod transaction;
mod trial;
mod view;

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_genesis::Genesis;
use alloy_primitives::{B256, U256};
use polity_engine::Parallel;
use polity_evm::{
    BlockInput,
    genesis::GenesisBlock,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Invalid, Machines};
use polity_state::{Changes, History, State, disk};
use polity_types::MachineKind;
use tokio::sync::broadcast;

use crate::{fork::Remote, genesis};

pub use block::{Block, Candidate, Entry, Included};
pub use error::ChainError;
pub use guest::{ANCESTORS, Company, Guest, GuestTransaction, Guests, IncludedGuest};
pub use identity::Identity;
#[cfg(test)]
pub(crate) use receipts::tests::included;
pub use seal::Draft;
pub use store::{Place, Store, StoreError};
pub use transaction::{Envelope, Sidecar, Transaction, without_blobs};
pub use trial::Trial;
pub use view::ChainView;

/// How many events a slow listener may lag behind before it loses some.
const EVENTS: usize = 1024;

/// A chain and all that it needs to grow.
pub struct Chain {
    spec: ChainSpec,
    machines: Machines,
    guests: Guests,
    /// The hashes that the guests were told last, the newest block's first.
    ancestors: Mutex<Arc<[B256]>>,
    state: State,
    store: Store,
    durable: bool,
    /// The first block.
    first: Arc<Block>,
    /// The chain that this one goes on from, if it does.
    remote: Option<Arc<Remote>>,
    tip: RwLock<Arc<Tip>>,
    /// Held by whoever changes the chain.
    engine: Mutex<Parallel>,
    events: broadcast::Sender<Event>,
}

/// The end of the chain, and what was edited since.
#[derive(Clone)]
pub struct Tip {
    /// The last block.
    pub block: Arc<Block>,
    /// What powers of a development chain changed since.
    pub edits: Arc<Changes>,
}

/// What happened to the chain.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was added.
    Added(Arc<Block>),
    /// Blocks were taken back, the highest first.
    Removed(Vec<Arc<Block>>),
}

/// What building a block gave.
pub struct Built {
    /// The block.
    pub block: Arc<Block>,
    /// Candidates that are not in it, and why they could not be there at all;
    /// `None` for those that had no room.
    pub left_out: Vec<(Candidate, Option<Invalid>)>,
}

/// Where a chain keeps its blocks and its state.
#[derive(Clone, Copy, Debug)]
pub enum Storage<'a> {
    /// Nowhere: it ends with the process.
    Memory,
    /// In a folder.
    Folder(&'a Path),
}

impl Chain {
    /// Opens the chain of a genesis file with these guests: the one that is
    /// stored, or a new one.
    ///
    /// # Errors
    /// The file contradicts itself, or the folder cannot be opened or holds
    /// another chain.
    pub fn open(
        genesis: &Genesis,
        guests: &Guests,
        storage: Storage<'_>,
        history: History,
        threads: NonZeroUsize,
    ) -> Result<Self, ChainError> {
        let GenesisBlock { spec, header, alloc } = genesis::block(genesis)?;
        // A development chain is born when it is started for the first time.
        let ageless = Header { timestamp: 0, ..header.clone() };
        let identity = Identity::of(spec.chain_id, ageless.hash_slow(), &ageless, guests)?;
        let opened = Opened::at(storage, &identity, guests, history)?;
        let Opened { state, store, .. } = &opened;
        let number = header.number;
        let block = match store.head()? {
            None => begin(state, store, header, &alloc, guests)?,
            Some(head) => resume(state, store, head)?,
        };
        let first = store.block(number)?.unwrap_or_else(|| block.clone());
        Self::with(spec, opened, threads, first, block, None)
    }

    fn with(
        spec: ChainSpec,
        opened: Opened,
        threads: NonZeroUsize,
        first: Arc<Block>,
        block: Arc<Block>,
        remote: Option<Arc<Remote>>,
    ) -> Result<Self, ChainError> {
        let guests = opened.store.guests().clone();
        let machines = guests.machines(&spec)?;
        let Opened { state, store, durable } = opened;
        let (events, _) = broadcast::channel(EVENTS);
        Ok(Self {
            spec,
            machines,
            guests,
            ancestors: Mutex::new(Arc::new([])),
            state,
            store,
            durable,
            first,
            remote,
            tip: RwLock::new(Arc::new(Tip { block, edits: Arc::default() })),
            engine: Mutex::new(Parallel::new(threads)?),
            events,
        })
    }

    /// The rules.
    pub const fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The machines.
    pub const fn machines(&self) -> &Machines {
        &self.machines
    }

    /// The machines other than Ethereum's.
    pub const fn guests(&self) -> &Guests {
        &self.guests
    }

    /// What the guests are told of the block with this header.
    ///
    /// # Errors
    /// The store failed.
    pub fn company(&self, header: &Header) -> Result<Company, ChainError> {
        if self.guests.is_empty() {
            return Ok(Company::default());
        }
        let mut last = self.ancestors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ancestors = last.clone();
        if ancestors.first() != Some(&header.parent_hash) {
            ancestors = self.store.hashes_before(header.number, ANCESTORS)?.into();
            if header.parent_hash == self.head().hash {
                *last = ancestors.clone();
            }
        }
        Ok(Company { guests: self.guests.clone(), ancestors })
    }

    /// The context in which the block with this header is executed.
    ///
    /// # Errors
    /// The store failed.
    pub fn context(
        &self,
        header: &Header,
        withdrawals: Vec<Withdrawal>,
    ) -> Result<BlockContext, ChainError> {
        let context = BlockInput::context(self.spec.chain_id, header, withdrawals, Vec::new());
        Ok(self.company(header)?.join(context, header))
    }

    /// The authenticated state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The height of the first block.
    pub fn first(&self) -> u64 {
        self.first.number()
    }

    /// The chain that this one goes on from, if it does. It has the first block,
    /// too.
    pub const fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    /// The end of the chain.
    pub fn tip(&self) -> Arc<Tip> {
        self.tip.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last block.
    pub fn head(&self) -> Arc<Block> {
        self.tip().block.clone()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The rules of a block.
    pub fn fork(&self, header: &Header) -> Fork {
        self.spec.fork_at(header.number, header.timestamp)
    }

    /// The latest state, edits included.
    ///
    /// # Errors
    /// The state failed.
    pub fn latest(&self) -> Result<ChainView, ChainError> {
        self.view_of(&self.tip())
    }

    /// The state at the end of the chain as `tip` says it.
    ///
    /// # Errors
    /// The state failed, or the block was taken back.
    pub fn view_of(&self, tip: &Tip) -> Result<ChainView, ChainError> {
        let state = self.state.view_at(tip.block.number())?;
        Ok(ChainView::new(state, tip.edits.clone(), self.remote.clone()))
    }

    /// The state after a block.
    ///
    /// # Errors
    /// There is no such block, or its state is not kept.
    pub fn state_at(&self, number: u64) -> Result<ChainView, ChainError> {
        let tip = self.tip();
        if tip.block.number() == number {
            return self.view_of(&tip);
        }
        let state = self.state.view_at(number)?;
        Ok(ChainView::new(state, Arc::default(), self.remote.clone()))
    }

    /// The state on which a block was executed, or would be: that after its
    /// parent, with what was edited in between.
    ///
    /// # Errors
    /// There is no such state, or it is not kept.
    pub fn state_before(&self, number: u64) -> Result<ChainView, ChainError> {
        let parent = number.saturating_sub(1);
        let tip = self.tip();
        if tip.block.number() == parent {
            return self.view_of(&tip);
        }
        let edits = Arc::new(self.store.edits(number)?);
        Ok(ChainView::new(self.state.view_at(parent)?, edits, self.remote.clone()))
    }

    /// The block at a height.
    ///
    /// # Errors
    /// The store failed.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ChainError> {
        let tip = self.tip();
        if tip.block.number() == number {
            return Ok(Some(tip.block.clone()));
        }
        if self.first.number() == number {
            return Ok(Some(self.first.clone()));
        }
        Ok(self.store.block(number)?)
    }

    /// The block with a hash.
    ///
    /// # Errors
    /// The store failed.
    pub fn block_by_hash(&self, hash: &B256) -> Result<Option<Arc<Block>>, ChainError> {
        let tip = self.tip();
        if tip.block.hash == *hash {
            return Ok(Some(tip.block.clone()));
        }
        match self.store.number(hash)? {
            Some(number) => self.block(number),
            None => Ok(None),
        }
    }

    /// The block that a transaction of Ethereum's is in, and its index among those.
    ///
    /// # Errors
    /// The store failed.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(Arc<Block>, usize)>, ChainError> {
        let Some((number, index)) = self.store.place(hash)? else { return Ok(None) };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(self.block(number)?.map(|block| (block, index)))
    }

    /// The block that a guest's transaction is in, and its index there among those
    /// of all machines ([`Block::guest`]).
    ///
    /// # Errors
    /// The store failed.
    pub fn guest_transaction(
        &self,
        kind: MachineKind,
        hash: &B256,
    ) -> Result<Option<(Arc<Block>, u32)>, ChainError> {
        let Some((number, index)) = self.store.guest_place(kind, hash)? else { return Ok(None) };
        Ok(self.block(number)?.map(|block| (block, index)))
    }

    /// The store of blocks.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Changes the latest state outside of any block, given the edits so far and
    /// the state under them. The next block takes the edits over.
    ///
    /// # Errors
    /// Those of `edit`. What it changed before remains.
    pub fn edit<E: From<ChainError>>(
        &self,
        _: &crate::dev::Powers,
        edit: impl FnOnce(&mut Changes, &ChainView) -> Result<(), E>,
    ) -> Result<(), E> {
        let _engine = self.engine();
        let state = self.state.view_at(self.head().number()).map_err(ChainError::from)?;
        let state = ChainView::new(state, Arc::default(), self.remote.clone());
        if self.remote.is_some() {
            // The other chain may have to be asked. Who looks at the tip does not wait for that.
            let mut tip = Tip::clone(&self.tip());
            edit(Arc::make_mut(&mut tip.edits), &state)?;
            self.set_tip(tip);
            return Ok(());
        }
        let mut tip = self.tip.write().unwrap_or_else(PoisonError::into_inner);
        // In place, unless somebody looks at them.
        edit(Arc::make_mut(&mut Arc::make_mut(&mut tip).edits), &state)
    }

    /// Goes back to an earlier end of the chain.
    ///
    /// # Errors
    /// It is no earlier end of this chain, or its state is not kept.
    pub fn go_back(&self, _: &crate::dev::Powers, to: &Tip) -> Result<(), ChainError> {
        let mut engine = self.engine();
        let number = to.block.number();
        let head = self.head().number();
        if self.block(number)?.is_none_or(|block| block.hash != to.block.hash) {
            return Err(ChainError::NotAncestor(to.block.hash));
        }
        let first = number.saturating_add(1);
        let mut removed = Vec::new();
        for number in (first..=head).rev() {
            removed.extend(self.block(number)?);
        }
        if head > number {
            // Blocks first: a restart in between takes the state back to them.
            self.store.truncate(number)?;
            self.state.roll_back(number)?;
            engine.forget();
        }
        self.set_tip(to.clone());
        if !removed.is_empty() {
            // Nobody may be listening.
            let _ = self.events.send(Event::Removed(removed));
        }
        Ok(())
    }

    /// Waits until all blocks would survive a crash.
    ///
    /// # Errors
    /// The state failed.
    pub fn flush(&self) -> Result<(), ChainError> {
        Ok(self.state.flush()?)
    }

    fn set_tip(&self, tip: Tip) {
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tip);
    }

    fn engine(&self) -> MutexGuard<'_, Parallel> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// State and blocks, as they are stored.
struct Opened {
    state: State,
    store: Store,
    durable: bool,
}

impl Opened {
    fn at(
        storage: Storage<'_>,
        identity: &Identity,
        guests: &Guests,
        history: History,
    ) -> Result<Self, ChainError> {
        let guests = guests.clone();
        let (state, store, durable) = match storage {
            Storage::Memory => {
                let backend = Arc::new(polity_state::Memory::new());
                (State::open(backend, history)?, Store::in_memory(identity, guests)?, false)
            }
            Storage::Folder(folder) => {
                let backend = open_disk(&folder.join("state"), identity.chain_id)?;
                let store = Store::open(&folder.join("blocks.redb"), identity, guests)?;
                (State::open(Arc::new(backend), history)?, store, true)
            }
        };
        Ok(Self { state, store, durable })
    }
}

/// MiB of the state's values that are cached. Files are in the system's cache as well.
const VALUE_CACHE: u64 = 64;
/// MiB that were written and are not at their place yet.
const WRITE_BUFFER: u64 = 16;
/// MiB of the trie's pages that are cached, and as many of its leaves: with what a commit needs
/// they fit into one of nomt's regions.
const TRIE_CACHE: usize = 64;

/// The state in a folder, which is made where it is absent.
fn open_disk(folder: &Path, chain_id: u64) -> Result<disk::Disk, ChainError> {
    let chain = U256::from(chain_id).into();
    let options = disk::DiskOptions {
        value_cache: VALUE_CACHE,
        write_buffer: WRITE_BUFFER,
        trie_cache: TRIE_CACHE,
        ..disk::DiskOptions::default()
    };
    if folder.exists() {
        return Ok(disk::Disk::open(folder, Some(chain), &options)?);
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| ChainError::Folder(folder.to_path_buf(), error))?;
    Ok(disk::Disk::create(folder, chain, &options)?)
}

/// Makes the first block.
fn begin(
    state: &State,
    store: &Store,
    mut header: Header,
    alloc: &[polity_evm::genesis::Allocation],
    guests: &Guests,
) -> Result<Arc<Block>, ChainError> {
    // A state without a block is of a start that did not get as far as this.
    let commit = match state.height() {
        None => {
            let mut changes = genesis::changes(alloc)?;
            guests.genesis(&header, &mut changes)?;
            state.genesis(header.number, changes)?
        }
        Some(height) if height == header.number => {
            header.state_root = state.root()?;
            return put_genesis(state, store, header);
        }
        Some(height) => return Err(ChainError::StateAhead { state: height, blocks: None }),
    };
    header.state_root = commit.root()?;
    put_genesis(state, store, header)
}

fn put_genesis(state: &State, store: &Store, header: Header) -> Result<Arc<Block>, ChainError> {
    let hash = header.hash_slow();
    state.set_block_hash(header.number, hash)?;
    state.flush()?;
    let block = Arc::new(Block::empty(header, hash));
    store.put(block.clone(), None)?;
    Ok(block)
}

/// Makes state and blocks end at the same height again, after a stop that only
/// one of them had time for: what only one of them has was never announced.
/// Gives that height.
fn agree(state: &State, store: &Store, head: u64) -> Result<u64, ChainError> {
    let height = state.height().ok_or(ChainError::StateBehind { state: None, blocks: head })?;
    let common = head.min(height);
    if height > common {
        state.roll_back(common)?;
    }
    if head > common {
        store.truncate(common)?;
    }
    Ok(common)
}

fn resume(state: &State, store: &Store, head: u64) -> Result<Arc<Block>, ChainError> {
    let common = agree(state, store, head)?;
    let missing = || StoreError::Corrupt(format!("block {common} is missing"));
    let block = store.block(common)?.ok_or_else(missing)?;
    check_root(state, &block)?;
    state.set_block_hash(common, block.hash)?;
    Ok(block)
}

/// Fails where the state is not the one that its last block names.
fn check_root(state: &State, block: &Block) -> Result<(), ChainError> {
    let (stated, found) = (block.header.state_root, state.root()?);
    let number = block.number();
    if found == stated { Ok(()) } else { Err(ChainError::Root { number, stated, found }) }
}
