//! Where transactions of machines other than Ethereum's wait: in the order of
//! arrival, for so many blocks, until a block takes them or their machine says
//! that none can.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use polity_kernel::{DecodeError, Invalid};
use polity_types::MachineKind;
use tokio::sync::watch;

use crate::chain::{Block, GuestTransaction};

/// How many transactions a block is offered at most.
const OFFERED: usize = 16_384;

/// Of how many dropped transactions it is kept why.
const FATES: usize = 16_384;

type Id = (MachineKind, B256);

/// Why a guest's transaction is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// There is no such guest.
    #[error("this node has no machine {0}")]
    Machine(MachineKind),
    /// The bytes are no transaction of the machine.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It waits already.
    #[error("the transaction waits already")]
    Waiting,
    /// A block has it.
    #[error("the transaction is in block {0}")]
    Included(u64),
    /// So many wait that there is no room.
    #[error("too many transactions wait: the limit is {0}")]
    Full(usize),
    /// The chain could not be read.
    #[error("{0}")]
    Chain(String),
}

/// What became of a transaction that no longer waits and is in no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its machine refused it.
    Refused(Invalid),
    /// It had waited for as many blocks as it may.
    Expired,
}

/// Transactions of guests that wait.
pub struct GuestPool {
    inner: Mutex<Inner>,
    limit: usize,
    left: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    /// By arrival.
    waiting: BTreeMap<u64, Waiting>,
    arrivals: HashMap<Id, u64>,
    next: u64,
    fates: HashMap<Id, Fate>,
    /// Whose fates are kept, the first to meet theirs first.
    fated: VecDeque<Id>,
}

struct Waiting {
    transaction: Arc<GuestTransaction>,
    /// The last block that may take it.
    until: u64,
    /// For how many blocks it waits in all.
    expires: u64,
}

fn id(transaction: &GuestTransaction) -> Id {
    (transaction.kind(), transaction.hash())
}

impl GuestPool {
    /// An empty pool for at most `limit` transactions.
    pub fn new(limit: usize) -> Self {
        Self { inner: Mutex::default(), limit, left: watch::channel(()).0 }
    }

    /// Tells when some may have ceased to wait.
    pub fn left(&self) -> watch::Receiver<()> {
        self.left.subscribe()
    }

    /// Takes a transaction in, for the `expires` blocks after that at `height`.
    ///
    /// # Errors
    /// It is there already, or the pool is full.
    pub fn add(
        &self,
        transaction: Arc<GuestTransaction>,
        height: u64,
        expires: u64,
    ) -> Result<(), GuestError> {
        let id = id(&transaction);
        let mut inner = self.inner();
        if inner.arrivals.contains_key(&id) {
            return Err(GuestError::Waiting);
        }
        if inner.arrivals.len() >= self.limit {
            return Err(GuestError::Full(self.limit));
        }
        inner.fates.remove(&id);
        let arrival = inner.next;
        inner.next = arrival.saturating_add(1);
        inner.arrivals.insert(id, arrival);
        let until = height.saturating_add(expires);
        inner.waiting.insert(arrival, Waiting { transaction, until, expires });
        Ok(())
    }

    /// What a block is offered: those that wait the longest, in the order of arrival.
    pub fn first(&self) -> Vec<Arc<GuestTransaction>> {
        let inner = self.inner();
        let first = inner.waiting.values().take(OFFERED);
        first.map(|waiting| waiting.transaction.clone()).collect()
    }

    /// The transaction with this hash, if it waits.
    pub fn get(&self, kind: MachineKind, hash: &B256) -> Option<Arc<GuestTransaction>> {
        let inner = self.inner();
        let arrival = inner.arrivals.get(&(kind, *hash))?;
        Some(inner.waiting.get(arrival)?.transaction.clone())
    }

    /// What became of a transaction that waited; `None` where it still does, a
    /// block took it, or it was long ago.
    pub fn fate(&self, kind: MachineKind, hash: &B256) -> Option<Fate> {
        self.inner().fates.get(&(kind, *hash)).cloned()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inner().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a transaction out that its machine refused.
    pub fn refuse(&self, transaction: &GuestTransaction, why: Invalid) {
        let mut inner = self.inner();
        if inner.remove(id(transaction)).is_some() {
            inner.keep(id(transaction), Fate::Refused(why));
        }
        drop(inner);
        self.left.send_replace(());
    }

    /// Takes a transaction out.
    pub fn remove(&self, kind: MachineKind, hash: &B256) -> Option<Arc<GuestTransaction>> {
        let removed = self.inner().remove((kind, *hash));
        self.left.send_replace(());
        removed
    }

    /// Takes out what a block holds, and what waited for it as the last.
    pub fn advance(&self, block: &Block) {
        let mut inner = self.inner();
        for included in &block.guests {
            inner.remove(id(&included.transaction));
        }
        let height = block.number();
        let is_over = |(_, waiting): &(&u64, &Waiting)| waiting.until <= height;
        let over = inner.waiting.iter().filter(is_over);
        let over: Vec<Id> = over.map(|(_, waiting)| id(&waiting.transaction)).collect();
        for id in over {
            inner.remove(id);
            inner.keep(id, Fate::Expired);
        }
        drop(inner);
        self.left.send_replace(());
    }

    /// Makes the pool fit a chain that went back to a height: what was refused or
    /// too late may be sent again, and what waits does so no longer than if it
    /// had arrived now.
    pub fn renew(&self, height: u64) {
        let mut inner = self.inner();
        inner.fates.clear();
        inner.fated.clear();
        for waiting in inner.waiting.values_mut() {
            waiting.until = waiting.until.min(height.saturating_add(waiting.expires));
        }
    }

    /// Takes out everything.
    pub fn clear(&self) {
        *self.inner() = Inner::default();
        self.left.send_replace(());
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, id: Id) -> Option<Arc<GuestTransaction>> {
        let arrival = self.arrivals.remove(&id)?;
        Some(self.waiting.remove(&arrival)?.transaction)
    }

    fn keep(&mut self, id: Id, fate: Fate) {
        if self.fates.insert(id, fate).is_none() {
            self.fated.push_back(id);
        }
        while self.fated.len() > FATES
            && let Some(oldest) = self.fated.pop_front()
        {
            self.fates.remove(&oldest);
        }
    }
}
