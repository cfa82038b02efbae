//! The multi-version memory: what the transactions of a block wrote, by their
//! place in it (Block-STM, Gelashvili et al. 2022, §3).
//!
//! An account has the record that the committed transactions left, and what
//! those that ran ahead changed, in order. A transaction in its turn sees what
//! is committed, for everything before it is. One that runs ahead also sees the
//! changes before its place; where many transactions add to one balance it sees
//! their sum, those behind it included, for few look at such a balance exactly,
//! and the effects of those that do say so.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::hash::{BuildHasher, Hash};
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::{DefaultHashBuilder, HashMap};
use polity_kernel::{Code, Decoded, View, ViewError};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, CodeRef, Delta, Effects, LocalKey, U256, Value,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More shards than workers, so that two rarely meet; a power of two.
const SHARDS: usize = 128;

/// Tables above this capacity are given back after a block: clearing them
/// would cost every later block.
const KEEP: usize = 4096;

/// Up to so many changes of a balance are summed up to the place of who asks.
const FEW: usize = 16;

/// The memory of one block.
pub(super) struct Memory<'b> {
    base: &'b dyn View,
    shards: &'b Shards,
    codes: Mutex<HashMap<B256, Arc<Code>>>,
    /// Whether any transaction reset a storage: if not, no slot look-up has to
    /// ask its account.
    resets: AtomicBool,
}

/// The tables of a memory, kept from block to block.
pub(super) struct Shards {
    hasher: DefaultHashBuilder,
    accounts: Vec<Mutex<HashMap<AccountId, AccountVersions>>>,
    slots: Vec<Mutex<HashMap<(AccountId, LocalKey), SlotVersions>>>,
}

impl Shards {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            accounts: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slots: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn clear(&mut self) {
        fn empty<K, V>(table: &mut HashMap<K, V>) {
            if table.capacity() > KEEP {
                *table = HashMap::default();
            } else {
                table.clear();
            }
        }
        for shard in &mut self.accounts {
            empty(shard.get_mut().unwrap_or_else(PoisonError::into_inner));
        }
        for shard in &mut self.slots {
            empty(shard.get_mut().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

struct AccountVersions {
    /// After the committed transactions.
    committed: Option<AccountRecord>,
    /// The last committed transaction that reset the storage.
    reset: Option<u32>,
    /// Changes of the balance by those that ran ahead, ascending.
    deltas: VecDeque<(u32, Delta)>,
    /// The sums of the increases and of the decreases in it.
    gained: U256,
    lost: U256,
    /// Other changes by those that ran ahead, ascending.
    changes: VecDeque<(u32, Change)>,
}

/// Changes of an account's cells other than the balance.
#[derive(Clone, Copy)]
struct Change {
    existence: Option<bool>,
    sequence: Option<u64>,
    code: Option<Option<CodeRef>>,
    reset: bool,
    /// Its transaction runs again, so that it is a guess.
    stale: bool,
}

#[derive(Default)]
struct SlotVersions {
    /// The last committed write; without one the base has the value.
    committed: Option<(u32, Value)>,
    base: Option<Value>,
    /// Writes by those that ran ahead, ascending, and whether they are guesses.
    pending: VecDeque<(u32, Value, bool)>,
}

/// Puts an entry where it belongs; mostly that is the end.
fn insert<T>(entries: &mut VecDeque<T>, place: u32, of: impl Fn(&T) -> u32, entry: T) {
    let at = entries.iter().rposition(|entry| of(entry) < place).map_or(0, |before| before + 1);
    entries.insert(at, entry);
}

/// Takes an entry out; mostly that is the first.
fn remove<T>(entries: &mut VecDeque<T>, place: u32, of: impl Fn(&T) -> u32) -> Option<T> {
    let at = entries.iter().position(|entry| of(entry) >= place)?;
    if entries.get(at).is_some_and(|entry| of(entry) == place) { entries.remove(at) } else { None }
}

impl AccountVersions {
    fn new(committed: Option<AccountRecord>) -> Self {
        Self {
            committed,
            reset: None,
            deltas: VecDeque::new(),
            gained: U256::ZERO,
            lost: U256::ZERO,
            changes: VecDeque::new(),
        }
    }

    fn publish(&mut self, effects: &AccountEffects, place: u32) {
        let delta = effects.balance_delta;
        if !delta.is_zero() {
            *self.sum_of(delta) = self.sum_of(delta).wrapping_add(delta.magnitude());
            insert(&mut self.deltas, place, |(writer, _)| *writer, (place, delta));
        }
        if changes(effects) {
            let change = Change {
                existence: effects.existence_write,
                sequence: effects.sequence_write,
                code: effects.code_write,
                reset: effects.storage_reset,
                stale: false,
            };
            insert(&mut self.changes, place, |(writer, _)| *writer, (place, change));
        }
    }

    fn withdraw(&mut self, place: u32) {
        if let Some((_, delta)) = remove(&mut self.deltas, place, |(writer, _)| *writer) {
            *self.sum_of(delta) = self.sum_of(delta).wrapping_sub(delta.magnitude());
        }
        remove(&mut self.changes, place, |(writer, _)| *writer);
    }

    const fn sum_of(&mut self, delta: Delta) -> &mut U256 {
        if delta.is_negative() { &mut self.lost } else { &mut self.gained }
    }

    /// The record as a transaction that runs ahead presumes it.
    fn guess(&self, place: u32) -> Result<Option<AccountRecord>, ViewError> {
        let mut record = self.committed.unwrap_or_default();
        let mut exists = self.committed.is_some();
        for (writer, change) in self.changes.iter().take_while(|(writer, _)| *writer < place) {
            if change.stale {
                return Err(ViewError::NotReady(*writer));
            }
            record.sequence = change.sequence.unwrap_or(record.sequence);
            record.code = change.code.unwrap_or(record.code);
            exists = change.existence.unwrap_or(exists);
        }
        let (mut gained, mut lost) = (self.gained, self.lost);
        if self.deltas.len() <= FEW {
            (gained, lost) = (U256::ZERO, U256::ZERO);
            for (_, delta) in self.deltas.iter().take_while(|(writer, _)| *writer < place) {
                let sum = if delta.is_negative() { &mut lost } else { &mut gained };
                *sum = sum.saturating_add(delta.magnitude());
            }
        }
        record.balance = record.balance.saturating_add(gained).saturating_sub(lost);
        Ok((exists || !record.is_empty()).then_some(record))
    }
}

/// Locks, also after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking worker left half-done is a failed block anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'b> Memory<'b> {
    /// An empty memory over the state before the first transaction.
    pub(super) fn new(base: &'b dyn View, shards: &'b mut Shards) -> Self {
        shards.clear();
        Self { base, shards, codes: Mutex::default(), resets: AtomicBool::new(false) }
    }

    fn shard<'s, K: Hash, T>(&self, shards: &'s [Mutex<T>], key: &K) -> Option<MutexGuard<'s, T>> {
        let at = self.shards.hasher.hash_one(key) as usize % SHARDS;
        shards.get(at).map(lock)
    }

    /// Runs `with` on an account's versions, reading the base where it is new.
    fn account<T>(
        &self,
        id: &AccountId,
        with: impl FnOnce(&mut AccountVersions) -> T,
    ) -> Result<T, ViewError> {
        let store = || ViewError::Store("no such shard".into());
        let mut shard = self.shard(&self.shards.accounts, id).ok_or_else(store)?;
        if let Some(versions) = shard.get_mut(id) {
            return Ok(with(versions));
        }
        // The base may be slow: others shall not wait for it.
        drop(shard);
        let committed = self.base.account(id)?;
        let mut shard = self.shard(&self.shards.accounts, id).ok_or_else(store)?;
        Ok(with(shard.entry(*id).or_insert_with(|| AccountVersions::new(committed))))
    }

    /// The last transaction whose reset of the account's storage is to be seen
    /// from `place`.
    fn reset_before(&self, id: &AccountId, from: Place) -> Result<Option<u32>, ViewError> {
        if !self.resets.load(Ordering::Acquire) {
            return Ok(None);
        }
        self.account(id, |versions| {
            if let Place::Ahead(place) = from {
                for (writer, change) in versions.changes.iter().rev() {
                    if *writer < place && change.reset {
                        return if change.stale {
                            Err(ViewError::NotReady(*writer))
                        } else {
                            Ok(Some(*writer))
                        };
                    }
                }
            }
            Ok(versions.reset)
        })?
    }

    fn record(&self, id: &AccountId, from: Place) -> Result<Option<AccountRecord>, ViewError> {
        self.account(id, |versions| match from {
            Place::Turn => Ok(versions.committed),
            Place::Ahead(place) => versions.guess(place),
        })?
    }

    fn slot(&self, id: &AccountId, key: &LocalKey, from: Place) -> Result<Value, ViewError> {
        let reset = self.reset_before(id, from)?;
        let name = (*id, key.clone());
        let store = || ViewError::Store("no such shard".into());
        let mut shard = self.shard(&self.shards.slots, &name).ok_or_else(store)?;
        let versions = shard.entry(name.clone()).or_default();
        let last = match from {
            Place::Turn => None,
            Place::Ahead(place) => {
                versions.pending.iter().rev().find(|(writer, ..)| *writer < place)
            }
        };
        let (writer, value) = match (last, &versions.committed) {
            (Some((writer, _, true)), _) => return Err(ViewError::NotReady(*writer)),
            (Some((writer, value, false)), _) => (Some(*writer), Some(value)),
            (None, Some((writer, value))) => (Some(*writer), Some(value)),
            (None, None) => (None, versions.base.as_ref()),
        };
        // A write of the transaction that reset the storage came after it.
        if reset > writer {
            return Ok(Value::Empty);
        }
        if let Some(value) = value {
            return Ok(value.clone());
        }
        drop(shard);
        let value = self.base.slot(id, key)?;
        let mut shard = self.shard(&self.shards.slots, &name).ok_or_else(store)?;
        shard.entry(name).or_default().base = Some(value.clone());
        Ok(value)
    }

    /// Whether a transaction that ran with these effects would run the same on
    /// what is committed.
    pub(super) fn holds(&self, effects: &Effects) -> Result<bool, ViewError> {
        for account in &effects.accounts {
            if !relies(account) && account.balance_delta.is_zero() {
                continue;
            }
            let record = self.record(&account.account, Place::Turn)?;
            if !account_holds(account, record) {
                return Ok(false);
            }
        }
        for slot in &effects.slots {
            let Some(read) = &slot.read else { continue };
            let Some(account) = effects.accounts.get(slot.account as usize) else {
                return Ok(false);
            };
            if self.slot(&account.account, &slot.key, Place::Turn)? != *read {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows the writes of a transaction that ran ahead to those behind it.
    pub(super) fn publish(&self, effects: &Effects, place: u32) -> Result<(), ViewError> {
        self.add_codes(effects);
        for account in effects.accounts.iter().filter(|account| writes(account)) {
            if account.storage_reset {
                self.resets.store(true, Ordering::Release);
            }
            self.account(&account.account, |versions| versions.publish(account, place))?;
        }
        self.each_write(effects, |versions, value| {
            let entry = (place, value.clone(), false);
            insert(&mut versions.pending, place, |(writer, ..)| *writer, entry);
        });
        Ok(())
    }

    /// Takes back what [`Memory::publish`] showed.
    pub(super) fn withdraw(&self, effects: &Effects, place: u32) -> Result<(), ViewError> {
        for account in effects.accounts.iter().filter(|account| writes(account)) {
            self.account(&account.account, |versions| versions.withdraw(place))?;
        }
        self.each_write(effects, |versions, _| {
            remove(&mut versions.pending, place, |(writer, ..)| *writer);
        });
        Ok(())
    }

    /// Marks what was published as a guess: the transaction will run again.
    pub(super) fn mark_stale(&self, effects: &Effects, place: u32) -> Result<(), ViewError> {
        for account in effects.accounts.iter().filter(|account| changes(account)) {
            self.account(&account.account, |versions| {
                for (writer, change) in &mut versions.changes {
                    change.stale |= *writer == place;
                }
            })?;
        }
        self.each_write(effects, |versions, _| {
            for (writer, _, stale) in &mut versions.pending {
                *stale |= *writer == place;
            }
        });
        Ok(())
    }

    /// Makes the effects part of the committed state. Everything before
    /// `place` has been committed.
    ///
    /// Gives the account whose balance the change does not fit, if there is
    /// one: the effects are then not of this state.
    pub(super) fn commit(
        &self,
        effects: &Effects,
        place: u32,
    ) -> Result<Option<AccountId>, ViewError> {
        let mut misfit = None;
        for account in effects.accounts.iter().filter(|account| writes(account)) {
            if account.storage_reset {
                self.resets.store(true, Ordering::Release);
            }
            self.account(&account.account, |versions| {
                versions.withdraw(place);
                match account.apply(versions.committed) {
                    Some(record) => versions.committed = record,
                    None => misfit = Some(account.account),
                }
                if account.storage_reset {
                    versions.reset = Some(place);
                }
            })?;
        }
        self.each_write(effects, |versions, value| {
            remove(&mut versions.pending, place, |(writer, ..)| *writer);
            versions.committed = Some((place, value.clone()));
        });
        self.add_codes(effects);
        Ok(misfit)
    }

    fn add_codes(&self, effects: &Effects) {
        if effects.codes.is_empty() {
            return;
        }
        let mut codes = lock(&self.codes);
        for (hash, code) in &effects.codes {
            codes.entry(*hash).or_insert_with(|| Arc::new(Code::new(code.clone())));
        }
    }

    fn each_write(&self, effects: &Effects, mut with: impl FnMut(&mut SlotVersions, &Value)) {
        for slot in &effects.slots {
            let Some(value) = &slot.write else { continue };
            let Some(account) = effects.accounts.get(slot.account as usize) else { continue };
            let name = (account.account, slot.key.clone());
            if let Some(mut shard) = self.shard(&self.shards.slots, &name) {
                with(shard.entry(name).or_default(), value);
            }
        }
    }

    /// The state that the committed transactions left.
    pub(super) fn committed(&self) -> MemoryView<'_> {
        MemoryView { memory: self, from: Place::Turn, sender: None }
    }

    /// The state as it will presumably be for the transaction at `place`: its
    /// sender's earlier transactions, run or not, have counted the sequence
    /// number up to the transaction's own.
    pub(super) fn ahead(&self, place: u32, tx: &Decoded) -> MemoryView<'_> {
        let sender = Some((tx.sender, tx.sequence));
        MemoryView { memory: self, from: Place::Ahead(place), sender }
    }
}

/// From where the memory is looked at.
#[derive(Clone, Copy)]
enum Place {
    /// From the frontier.
    Turn,
    /// From a place behind it.
    Ahead(u32),
}

fn changes(account: &AccountEffects) -> bool {
    account.existence_write.is_some()
        || account.sequence_write.is_some()
        || account.code_write.is_some()
        || account.storage_reset
}

fn writes(account: &AccountEffects) -> bool {
    account.writes_record() || account.storage_reset
}

fn relies(account: &AccountEffects) -> bool {
    account.existence_read.is_some()
        || account.emptiness_read.is_some()
        || account.sequence_read.is_some()
        || account.code_read.is_some()
        || !account.balance_read.is_any()
}

/// Whether what was relied on is true of `record`, and the change fits it.
fn account_holds(account: &AccountEffects, record: Option<AccountRecord>) -> bool {
    let cells = record.unwrap_or_default();
    account.existence_read.is_none_or(|existed| existed == record.is_some())
        && account.emptiness_read.is_none_or(|empty| empty == cells.is_empty())
        && account.sequence_read.is_none_or(|sequence| sequence == cells.sequence)
        && account.code_read.is_none_or(|code| code == cells.code)
        && account.balance_read.contains(cells.balance)
        && account.balance_delta.apply(cells.balance).is_some()
}

/// The memory as a transaction sees it.
pub(super) struct MemoryView<'m> {
    memory: &'m Memory<'m>,
    from: Place,
    sender: Option<(AccountId, u64)>,
}

impl View for MemoryView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let record = self.memory.record(account, self.from)?;
        match self.sender {
            Some((sender, sequence)) if sender == *account => {
                let mut record = record.unwrap_or_default();
                record.sequence = record.sequence.max(sequence);
                Ok((!record.is_empty()).then_some(record))
            }
            _ => Ok(record),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.memory.slot(account, key, self.from)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        if let Some(code) = lock(&self.memory.codes).get(hash) {
            return Ok(code.clone());
        }
        self.memory.base.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.memory.base.block_hash(number)
    }
}
