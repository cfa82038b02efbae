//! The mempool: transactions that wait for a block.
//!
//! Each sender has a queue in the order of nonces. What follows on the sender's
//! nonce without a gap is *pending*, the rest is *queued*. Blocks take from the
//! heads of the queues, those that pay the most first.
//!
//! That is so for Ethereum's transactions. Those of other machines wait in one
//! queue, a [`GuestPool`].

mod admission;
mod error;
mod guests;

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{
    Address, B256,
    map::{HashMap, hash_map::Entry},
};
use polity_evm::account;
use polity_kernel::View;
use polity_types::AccountRecord;
use tokio::sync::broadcast;

use crate::chain::{Block, Sidecar, Transaction};

pub use admission::{Conditions, check, check_sender};
pub use error::PoolError;
pub use guests::{Fate, GuestError, GuestPool};

/// How much more than the transaction that it replaces another has to pay, in
/// percent; as geth has it, for blobs as well.
const BUMP: u128 = 10;
const BLOB_BUMP: u128 = 100;

/// So many transactions of blocks are known with their blobs.
const KEPT: usize = 64;

/// How many transactions a slow listener may lag behind before it loses some.
const EVENTS: usize = 4096;

/// Transactions that wait.
pub struct Pool {
    inner: Mutex<Inner>,
    limit: usize,
    added: broadcast::Sender<Arc<Transaction>>,
}

#[derive(Default)]
struct Inner {
    queues: HashMap<Address, Queue>,
    hashes: HashMap<B256, (Address, u64)>,
    arrivals: u64,
    /// Transactions with blobs that blocks took last, the newest last.
    spent: VecDeque<Arc<Transaction>>,
}

#[derive(Default)]
struct Queue {
    /// The sender's nonce in the latest state.
    next: u64,
    /// The first nonce from there on that is missing.
    gap: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Clone)]
struct Waiting {
    transaction: Arc<Transaction>,
    arrival: u64,
}

/// In which order blocks take transactions of different senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By the tip, the highest first; of equals the first to arrive.
    #[default]
    Fees,
    /// As they arrived.
    Arrival,
}

/// How many transactions wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Those that a block could take.
    pub pending: usize,
    /// Those behind a gap.
    pub queued: usize,
}

/// The transactions of the pool, by sender and nonce.
pub type Content = BTreeMap<Address, BTreeMap<u64, Arc<Transaction>>>;

impl Pool {
    /// An empty pool for at most `limit` transactions.
    pub fn new(limit: usize) -> Self {
        Self { inner: Mutex::default(), limit, added: broadcast::channel(EVENTS).0 }
    }

    /// The transactions that are taken in from now on, and at once pending.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Transaction>> {
        self.added.subscribe()
    }

    /// Takes a transaction in that was [checked](check), given the sender's record;
    /// whether it is pending at once.
    ///
    /// # Errors
    /// It is there already, does not pay enough to replace another, or the pool is full.
    pub fn add(
        &self,
        transaction: Arc<Transaction>,
        sender: Option<AccountRecord>,
    ) -> Result<bool, PoolError> {
        let address = transaction.sender();
        let nonce = transaction.nonce();
        let mut guard = self.inner();
        let inner = &mut *guard;
        if inner.hashes.contains_key(&transaction.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        let full = inner.hashes.len() >= self.limit;
        let queue = inner.queues.entry(address).or_default();
        queue.start_at(queue.next.max(sender.unwrap_or_default().sequence));
        if nonce < queue.next {
            let next = queue.next;
            inner.tidy(address);
            return Err(PoolError::NonceTooLow { next, nonce });
        }
        match queue.waiting.get(&nonce) {
            Some(other) if !outbids(&transaction, &other.transaction) => {
                return Err(PoolError::Underpriced);
            }
            Some(other) => {
                inner.hashes.remove(&other.transaction.hash());
            }
            None if full => {
                inner.tidy(address);
                return Err(PoolError::Full);
            }
            None => {}
        }
        let arrival = inner.arrivals;
        inner.arrivals = arrival.saturating_add(1);
        inner.hashes.insert(transaction.hash(), (address, nonce));
        queue.waiting.insert(nonce, Waiting { transaction: transaction.clone(), arrival });
        queue.close_gap();
        let pending = queue.gap > nonce;
        drop(guard);
        if pending {
            // Nobody may be listening.
            let _ = self.added.send(transaction);
        }
        Ok(pending)
    }

    /// What a block with this base fee and gas limit may take, in order. Some
    /// more than fits by their gas limits, for most use less.
    pub fn best(&self, order: Order, base_fee: u64, gas_limit: u64) -> Vec<Arc<Transaction>> {
        let inner = self.inner();
        let head = |address: &Address, nonce: u64| {
            let waiting = inner.queues.get(address)?.waiting.get(&nonce)?;
            let tip = waiting.transaction.tip(base_fee)?;
            let rank = match order {
                Order::Fees => tip,
                Order::Arrival => 0,
            };
            Some((rank, std::cmp::Reverse(waiting.arrival), *address, nonce))
        };
        let mut heads: BinaryHeap<_> =
            inner.queues.iter().filter_map(|(address, queue)| head(address, queue.next)).collect();
        let mut gas = 0_u64;
        let most = gas_limit.saturating_mul(4);
        let mut best = Vec::with_capacity(inner.hashes.len());
        while let Some((.., address, nonce)) = heads.pop() {
            let waiting = inner.queues.get(&address).and_then(|queue| queue.waiting.get(&nonce));
            let Some(waiting) = waiting else { continue };
            gas = gas.saturating_add(waiting.transaction.envelope.gas_limit());
            if gas > most && !best.is_empty() {
                break;
            }
            best.push(waiting.transaction.clone());
            heads.extend(nonce.checked_add(1).and_then(|next| head(&address, next)));
        }
        best
    }

    /// Takes out what a block holds, given the state after it.
    pub fn advance(&self, block: &Block, state: &dyn View) {
        let mut touched = BTreeSet::new();
        for included in &block.transactions {
            touched.insert(included.transaction.sender());
            let authorizations = included.transaction.envelope.authorization_list();
            let authorizations = authorizations.unwrap_or_default();
            touched
                .extend(authorizations.iter().filter_map(|signed| signed.recover_authority().ok()));
        }
        let mut inner = self.inner();
        for address in touched {
            inner.renew(address, state);
        }
        let taken = block.transactions.iter().map(|included| &included.transaction);
        for transaction in taken.filter(|transaction| transaction.sidecar.is_some()) {
            inner.spent.push_back(transaction.clone());
        }
        let surplus = inner.spent.len().saturating_sub(KEPT);
        inner.spent.drain(..surplus);
    }

    /// Makes the pool fit a state that was changed otherwise.
    pub fn renew(&self, state: &dyn View) {
        let mut inner = self.inner();
        let senders: BTreeSet<Address> = inner.queues.keys().copied().collect();
        for address in senders {
            inner.renew(address, state);
        }
    }

    /// Makes one sender's queue fit a state.
    pub fn renew_sender(&self, sender: Address, state: &dyn View) {
        self.inner().renew(sender, state);
    }

    /// Takes a transaction out.
    pub fn remove(&self, hash: &B256) -> Option<Arc<Transaction>> {
        let mut inner = self.inner();
        let (address, nonce) = inner.hashes.remove(hash)?;
        let queue = inner.queues.get_mut(&address)?;
        let removed = queue.waiting.remove(&nonce);
        queue.gap = queue.gap.min(nonce).max(queue.next);
        inner.tidy(address);
        Some(removed?.transaction)
    }

    /// Takes out all transactions of a sender.
    pub fn remove_sender(&self, sender: Address) {
        let mut inner = self.inner();
        if let Some(queue) = inner.queues.remove(&sender) {
            for waiting in queue.waiting.into_values() {
                inner.hashes.remove(&waiting.transaction.hash());
            }
        }
    }

    /// Takes out everything.
    pub fn clear(&self) {
        *self.inner() = Inner::default();
    }

    /// The transaction with this hash.
    pub fn get(&self, hash: &B256) -> Option<Arc<Transaction>> {
        let inner = self.inner();
        let (address, nonce) = inner.hashes.get(hash)?;
        Some(inner.queues.get(address)?.waiting.get(nonce)?.transaction.clone())
    }

    /// The blobs of a transaction that waits, or that was among the last which blocks took.
    pub fn blobs(&self, hash: &B256) -> Option<Arc<Sidecar>> {
        if let Some(waiting) = self.get(hash) {
            return waiting.sidecar.clone();
        }
        let inner = self.inner();
        inner.spent.iter().find(|spent| spent.hash() == *hash)?.sidecar.clone()
    }

    /// The first thing that is found in the blobs of such transactions.
    pub fn find_blobs<T>(&self, find: impl FnMut(&Sidecar) -> Option<T>) -> Option<T> {
        let inner = self.inner();
        let waiting = inner.queues.values().flat_map(|queue| queue.waiting.values());
        let waiting = waiting.map(|waiting| &waiting.transaction);
        let all = waiting.chain(&inner.spent);
        all.filter_map(|transaction| transaction.sidecar.as_deref()).find_map(find)
    }

    /// The transaction of a sender with this nonce.
    pub fn get_by_nonce(&self, sender: Address, nonce: u64) -> Option<Arc<Transaction>> {
        let inner = self.inner();
        Some(inner.queues.get(&sender)?.waiting.get(&nonce)?.transaction.clone())
    }

    /// The nonce after those that a sender has pending; `None` where it has none.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        let inner = self.inner();
        let queue = inner.queues.get(&sender)?;
        Some(queue.gap)
    }

    /// Whether a block with this base fee could take anything.
    pub fn has_ready(&self, base_fee: u64) -> bool {
        let ready = |queue: &Queue| {
            let first = queue.waiting.get(&queue.next);
            first.is_some_and(|first| first.transaction.tip(base_fee).is_some())
        };
        self.inner().queues.values().any(ready)
    }

    /// How many transactions wait.
    pub fn size(&self) -> Size {
        let inner = self.inner();
        let mut size = Size::default();
        #[expect(clippy::iter_over_hash_type, reason = "a sum")]
        for queue in inner.queues.values() {
            let pending = queue.waiting.range(..queue.gap).count();
            size.pending = size.pending.saturating_add(pending);
            size.queued = size.queued.saturating_add(queue.waiting.len().saturating_sub(pending));
        }
        size
    }

    /// What is pending, and what is queued.
    pub fn content(&self) -> (Content, Content) {
        let inner = self.inner();
        let (mut pending, mut queued) = (Content::new(), Content::new());
        #[expect(clippy::iter_over_hash_type, reason = "into a map that sorts")]
        for (address, queue) in &inner.queues {
            let gap = queue.gap;
            for (nonce, waiting) in &queue.waiting {
                let part = if *nonce < gap { &mut pending } else { &mut queued };
                part.entry(*address).or_default().insert(*nonce, waiting.transaction.clone());
            }
        }
        (pending, queued)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes over a sender's nonce, and drops what it has gone past.
    fn renew(&mut self, address: Address, state: &dyn View) {
        let Some(queue) = self.queues.get_mut(&address) else { return };
        // A state that cannot be read tells nothing; whoever reads it next will say so.
        let Ok(record) = state.account(&account(address)) else { return };
        queue.start_at(record.unwrap_or_default().sequence);
        let stays = queue.waiting.split_off(&queue.next);
        for gone in std::mem::replace(&mut queue.waiting, stays).into_values() {
            self.hashes.remove(&gone.transaction.hash());
        }
        self.tidy(address);
    }

    /// Forgets a sender without transactions.
    fn tidy(&mut self, address: Address) {
        if let Entry::Occupied(queue) = self.queues.entry(address)
            && queue.get().waiting.is_empty()
        {
            queue.remove();
        }
    }
}

impl Queue {
    /// Takes over the sender's nonce.
    fn start_at(&mut self, next: u64) {
        if next < self.next || next > self.gap {
            self.gap = next;
        }
        self.next = next;
        self.close_gap();
    }

    /// Finds the first nonce that is missing.
    fn close_gap(&mut self) {
        while self.waiting.contains_key(&self.gap) {
            self.gap = self.gap.saturating_add(1);
        }
    }
}

/// Whether a transaction pays enough more than another to take its place.
fn outbids(new: &Transaction, old: &Transaction) -> bool {
    let bump = if old.envelope.is_eip4844() { BLOB_BUMP } else { BUMP };
    let least = |fee: u128| fee.saturating_add(fee.saturating_mul(bump).div_ceil(100).max(1));
    let enough = |of: fn(&Transaction) -> u128| of(new) >= least(of(old));
    let fee = |tx: &Transaction| tx.envelope.max_fee_per_gas();
    let tip = |tx: &Transaction| tx.envelope.priority_fee_or_price();
    let blob = |tx: &Transaction| tx.envelope.max_fee_per_blob_gas().unwrap_or_default();
    enough(fee) && enough(tip) && (!old.envelope.is_eip4844() || enough(blob))
}
