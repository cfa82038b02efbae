//! The multi-version memory: what the chunks of a block wrote, by their place in
//! it (Block-STM, Gelashvili et al. 2022, §3).
//!
//! It holds only what was written. A cell has the value that the committed
//! chunks left, and what those that ran ahead changed, in order. A chunk in its
//! turn sees what is committed, for everything before it is; one that runs ahead
//! also sees the changes before its place.

use super::draft::Draft;
use crate::Overlay;
use alloc::{sync::Arc, vec::Vec};
use core::hash::{BuildHasher, Hash};
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::{Equivalent, IndexMap};
use polity_kernel::{Code, Decoded, View, ViewError};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, CodeRef, Delta, Effects, LocalKey, Value,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More shards than workers, so that two rarely meet; a power of two.
const SHARDS: usize = 128;

/// Tables above this capacity are given back after a block: clearing them
/// would cost every later block.
const KEEP: usize = 4096;

type Table<K, V> = IndexMap<K, V, DefaultHashBuilder>;

/// The memory of one block. As a [`View`], it is the state that the committed
/// chunks left.
pub(super) struct Memory<'b> {
    base: &'b dyn View,
    shards: &'b Shards,
    codes: Mutex<HashMap<B256, Arc<Code>>>,
    /// Whether there is any: if not, nobody has to lock them.
    has_codes: AtomicBool,
    /// Whether any transaction reset a storage: if not, no slot look-up has to
    /// ask its account.
    has_resets: AtomicBool,
}

/// The tables of a memory, kept from block to block.
pub(super) struct Shards {
    hasher: DefaultHashBuilder,
    accounts: Vec<Mutex<Table<AccountId, AccountVersions>>>,
    slots: Vec<Mutex<Table<SlotName, SlotVersions>>>,
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
        fn empty<K, V>(table: &mut Table<K, V>) {
            if table.capacity() > KEEP {
                *table = Table::default();
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

#[derive(PartialEq, Eq, Hash)]
struct SlotName {
    account: AccountId,
    key: LocalKey,
}

/// A [`SlotName`] that is only looked for.
#[derive(Clone, Copy, Hash)]
struct Wanted<'k> {
    account: &'k AccountId,
    key: &'k LocalKey,
}

impl Equivalent<SlotName> for Wanted<'_> {
    fn equivalent(&self, name: &SlotName) -> bool {
        *self.account == name.account && *self.key == name.key
    }
}

struct AccountVersions {
    /// After the committed chunks.
    committed: Option<AccountRecord>,
    /// Whether that differs from the state before the block.
    written: bool,
    /// The last committed chunk that reset the storage.
    reset: Option<u32>,
    /// Changes by those that ran ahead, ascending.
    pending: Vec<(u32, Change)>,
}

/// What a chunk changed in an account's cells.
struct Change {
    delta: Delta,
    existence: Option<bool>,
    sequence: Option<u64>,
    code: Option<Option<CodeRef>>,
    reset: bool,
    /// Its chunk runs again, so that all but the delta is a guess.
    stale: bool,
}

#[derive(Default)]
struct SlotVersions {
    /// The last committed write; without one the base has the value.
    committed: Option<(u32, Value)>,
    /// Writes by those that ran ahead, ascending, and whether they are guesses.
    pending: Vec<(u32, Value, bool)>,
}

/// Puts an entry where it belongs; mostly that is the end.
fn insert<T>(entries: &mut Vec<T>, place: u32, of: impl Fn(&T) -> u32, entry: T) {
    let at = entries.iter().rposition(|entry| of(entry) < place).map_or(0, |before| before + 1);
    entries.insert(at, entry);
}

impl Change {
    fn of(effects: &AccountEffects) -> Self {
        Self {
            delta: effects.balance_delta,
            existence: effects.existence_write,
            sequence: effects.sequence_write,
            code: effects.code_write,
            reset: effects.storage_reset,
            stale: false,
        }
    }

    const fn is_delta(&self) -> bool {
        self.existence.is_none() && self.sequence.is_none() && self.code.is_none() && !self.reset
    }
}

impl AccountVersions {
    const fn new(base: Option<AccountRecord>) -> Self {
        Self { committed: base, written: false, reset: None, pending: Vec::new() }
    }

    fn withdraw(&mut self, place: u32) {
        self.pending.retain(|(writer, _)| *writer != place);
    }

    fn commit(&mut self, record: Option<AccountRecord>, place: u32) {
        self.withdraw(place);
        self.committed = record;
        self.written = true;
    }

    /// The record as a chunk that runs ahead presumes it, and whether that is
    /// the record before the block.
    fn guess(&self, place: u32) -> Result<Found<Option<AccountRecord>>, ViewError> {
        let mut before = self.pending.iter().take_while(|(writer, _)| *writer < place).peekable();
        if before.peek().is_none() {
            return Ok(Found { value: self.committed, in_base: !self.written });
        }
        let mut record = self.committed.unwrap_or_default();
        let mut exists = self.committed.is_some();
        for (writer, change) in before {
            if change.stale {
                return Err(ViewError::NotReady(*writer));
            }
            let amount = change.delta.magnitude();
            record.balance = match change.delta.is_negative() {
                true => record.balance.saturating_sub(amount),
                false => record.balance.saturating_add(amount),
            };
            record.sequence = change.sequence.unwrap_or(record.sequence);
            record.code = change.code.unwrap_or(record.code);
            exists = change.existence.unwrap_or(exists || !record.is_empty());
        }
        let exists = exists || !record.is_empty();
        Ok(Found { value: exists.then_some(record), in_base: false })
    }
}

impl SlotVersions {
    fn withdraw(&mut self, place: u32) {
        self.pending.retain(|(writer, ..)| *writer != place);
    }

    fn commit(&mut self, value: &Value, place: u32) {
        self.withdraw(place);
        self.committed = Some((place, value.clone()));
    }
}

/// A value, and where it is from.
pub(super) struct Found<T> {
    value: T,
    /// Whether it is that of the state before the block.
    in_base: bool,
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
        Self {
            base,
            shards,
            codes: Mutex::default(),
            has_codes: AtomicBool::new(false),
            has_resets: AtomicBool::new(false),
        }
    }

    fn shard<'s, K: Hash, T>(
        &self,
        shards: &'s [Mutex<T>],
        key: &K,
    ) -> Result<MutexGuard<'s, T>, ViewError> {
        let at = self.shards.hasher.hash_one(key) as usize % SHARDS;
        shards.get(at).map(lock).ok_or_else(|| ViewError::Store("no such shard".into()))
    }

    fn accounts(
        &self,
        id: &AccountId,
    ) -> Result<MutexGuard<'_, Table<AccountId, AccountVersions>>, ViewError> {
        self.shard(&self.shards.accounts, id)
    }

    fn slots(
        &self,
        name: Wanted<'_>,
    ) -> Result<MutexGuard<'_, Table<SlotName, SlotVersions>>, ViewError> {
        self.shard(&self.shards.slots, &name)
    }

    /// Runs `with` on the versions of an account; `base` is its record before
    /// the block, where that is known.
    fn versions<T>(
        &self,
        id: &AccountId,
        base: Option<Option<AccountRecord>>,
        with: impl FnOnce(&mut AccountVersions) -> T,
    ) -> Result<T, ViewError> {
        let mut shard = self.accounts(id)?;
        let base = match base {
            Some(base) => base,
            None => {
                if let Some(versions) = shard.get_mut(id) {
                    return Ok(with(versions));
                }
                // The base may be slow: others shall not wait for it.
                drop(shard);
                let base = self.base.account(id)?;
                shard = self.accounts(id)?;
                base
            }
        };
        Ok(with(shard.entry(*id).or_insert_with(|| AccountVersions::new(base))))
    }

    /// The last chunk whose reset of the account's storage is to be seen.
    fn reset_before(&self, id: &AccountId, from: Place) -> Result<Option<u32>, ViewError> {
        if !self.has_resets.load(Ordering::Acquire) {
            return Ok(None);
        }
        let shard = self.accounts(id)?;
        let Some(versions) = shard.get(id) else { return Ok(None) };
        if let Place::Ahead(place) = from {
            for (writer, change) in versions.pending.iter().rev() {
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
    }

    fn record(
        &self,
        id: &AccountId,
        from: Place,
    ) -> Result<Found<Option<AccountRecord>>, ViewError> {
        if let Some(versions) = self.accounts(id)?.get(id) {
            return match from {
                Place::Turn => Ok(Found { value: versions.committed, in_base: !versions.written }),
                Place::Ahead(place) => versions.guess(place),
            };
        }
        Ok(Found { value: self.base.account(id)?, in_base: true })
    }

    fn slot(
        &self,
        account: &AccountId,
        key: &LocalKey,
        from: Place,
    ) -> Result<Found<Value>, ViewError> {
        let reset = self.reset_before(account, from)?;
        let name = Wanted { account, key };
        let shard = self.slots(name)?;
        let versions = shard.get(&name);
        let last = match from {
            Place::Turn => None,
            Place::Ahead(place) => versions.and_then(|versions| {
                versions.pending.iter().rev().find(|(writer, ..)| *writer < place)
            }),
        };
        let committed = versions.and_then(|versions| versions.committed.as_ref());
        let last = match (last, committed) {
            (Some((writer, _, true)), _) => return Err(ViewError::NotReady(*writer)),
            (Some((writer, value, false)), _) => Some((*writer, value)),
            (None, Some((writer, value))) => Some((*writer, value)),
            (None, None) => None,
        };
        // A write of the chunk that reset the storage came after it.
        if reset > last.map(|(writer, _)| writer) {
            return Ok(Found { value: Value::Empty, in_base: false });
        }
        if let Some((_, value)) = last {
            return Ok(Found { value: value.clone(), in_base: false });
        }
        drop(shard);
        Ok(Found { value: self.base.slot(account, key)?, in_base: true })
    }

    /// Whether a chunk that ran with these effects would run the same on what is
    /// committed.
    pub(super) fn holds(&self, draft: &Draft) -> Result<bool, ViewError> {
        for account in draft.accounts() {
            let found = self.record(&account.effects.account, Place::Turn)?;
            // What it was found as, it still is.
            let unchanged = account.from_base && found.in_base;
            if !unchanged && !account.effects.holds(found.value.as_ref()) {
                return Ok(false);
            }
        }
        for (account, key, slot) in draft.slots() {
            let Some(read) = &slot.read else { continue };
            let found = self.slot(account, key, Place::Turn)?;
            if !(slot.from_base && found.in_base) && found.value != *read {
                return Ok(false);
            }
        }
        Ok(draft.is_consistent())
    }

    /// Shows the writes of a chunk that ran ahead to those behind it.
    pub(super) fn publish(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        self.each_written(draft, |versions, effects| {
            if effects.storage_reset {
                self.has_resets.store(true, Ordering::Release);
            }
            let change = (place, Change::of(effects));
            insert(&mut versions.pending, place, |(writer, _)| *writer, change);
        })?;
        self.each_write(draft, |versions, value| {
            let entry = (place, value.clone(), false);
            insert(&mut versions.pending, place, |(writer, ..)| *writer, entry);
        })
    }

    /// Takes back what [`Memory::publish`] showed.
    pub(super) fn withdraw(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        self.each_written(draft, |versions, _| versions.withdraw(place))?;
        self.each_write(draft, |versions, _| versions.withdraw(place))
    }

    /// Marks what was published as a guess: its chunk will run again.
    pub(super) fn mark_stale(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        self.each_written(draft, |versions, _| {
            for (writer, change) in &mut versions.pending {
                change.stale |= *writer == place && !change.is_delta();
            }
        })?;
        self.each_write(draft, |versions, _| {
            for (writer, _, stale) in &mut versions.pending {
                *stale |= *writer == place;
            }
        })
    }

    /// Makes what a chunk changed part of the committed state. Everything before
    /// `place` has been committed, and the chunk's effects hold.
    ///
    /// Gives the account whose balance the change does not fit, if there is
    /// one: the effects are then not of this state.
    pub(super) fn commit(&self, draft: &Draft, place: u32) -> Result<Option<AccountId>, ViewError> {
        let mut misfit = None;
        self.each_written(draft, |versions, effects| {
            match effects.apply(versions.committed) {
                Some(record) => versions.commit(record, place),
                None => misfit = Some(effects.account),
            }
            if effects.storage_reset {
                self.has_resets.store(true, Ordering::Release);
                versions.reset = Some(place);
            }
        })?;
        self.each_write(draft, |versions, value| versions.commit(value, place))?;
        Ok(misfit)
    }

    /// Makes `state`, the committed state with the changes of the chunk whose
    /// turn it is, the committed state.
    pub(super) fn commit_state(&self, state: &Overlay<'_>, place: u32) -> Result<(), ViewError> {
        for (id, record) in state.records() {
            // What was there before is of no use any more.
            self.versions(id, Some(None), |versions| versions.commit(record.copied(), place))?;
        }
        for (id, reset, slots) in state.storages() {
            if reset {
                self.has_resets.store(true, Ordering::Release);
                self.versions(id, None, |versions| versions.reset = Some(place))?;
            }
            for (key, value) in slots {
                self.slot_versions(id, key, |versions| versions.commit(value, place))?;
            }
        }
        for (hash, code) in state.codes() {
            self.add_code(*hash, || code.clone());
        }
        Ok(())
    }

    /// Makes the codes of a transaction known. By their hashes alone: accounts
    /// refer to them once the transaction's writes are seen.
    pub(super) fn add_codes(&self, effects: &Effects) {
        for (hash, code) in &effects.codes {
            self.add_code(*hash, || Arc::new(Code::new(code.clone())));
        }
    }

    fn add_code(&self, hash: B256, code: impl FnOnce() -> Arc<Code>) {
        lock(&self.codes).entry(hash).or_insert_with(code);
        self.has_codes.store(true, Ordering::Release);
    }

    /// Runs `with` on the versions of a slot.
    fn slot_versions(
        &self,
        account: &AccountId,
        key: &LocalKey,
        with: impl FnOnce(&mut SlotVersions),
    ) -> Result<(), ViewError> {
        let name = Wanted { account, key };
        let mut shard = self.slots(name)?;
        let name = SlotName { account: *account, key: key.clone() };
        with(shard.entry(name).or_default());
        Ok(())
    }

    /// Runs `with` on the versions of every account whose record or storage the
    /// draft writes.
    fn each_written(
        &self,
        draft: &Draft,
        mut with: impl FnMut(&mut AccountVersions, &AccountEffects),
    ) -> Result<(), ViewError> {
        for account in draft.accounts().filter(|account| account.effects.writes()) {
            let effects = &account.effects;
            let base = account.from_base.then_some(account.before);
            self.versions(&effects.account, base, |versions| with(versions, effects))?;
        }
        Ok(())
    }

    /// Runs `with` on the versions of every slot that the draft writes.
    fn each_write(
        &self,
        draft: &Draft,
        mut with: impl FnMut(&mut SlotVersions, &Value),
    ) -> Result<(), ViewError> {
        for (account, key, slot) in draft.slots() {
            let Some(value) = &slot.write else { continue };
            self.slot_versions(account, key, |versions| with(versions, value))?;
        }
        Ok(())
    }

    /// The state as it will presumably be for a transaction of the chunk at
    /// `place`: its sender's earlier transactions, run or not, have counted the
    /// sequence number up to the transaction's own.
    pub(super) const fn ahead<'m>(
        &'m self,
        draft: &'m Draft,
        place: u32,
        tx: &Decoded,
    ) -> DraftView<'m> {
        let in_base = AtomicBool::new(true);
        DraftView { memory: self, draft, place, sender: tx.sender, sequence: tx.sequence, in_base }
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

impl View for Memory<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        self.record(account, Place::Turn).map(|found| found.value)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.slot(account, key, Place::Turn).map(|found| found.value)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        if self.has_codes.load(Ordering::Acquire)
            && let Some(code) = lock(&self.codes).get(hash)
        {
            return Ok(code.clone());
        }
        self.base.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.base.block_hash(number)
    }
}

/// The memory as a transaction sees it, behind the draft of its chunk.
pub(super) struct DraftView<'m> {
    memory: &'m Memory<'m>,
    draft: &'m Draft,
    place: u32,
    sender: AccountId,
    sequence: u64,
    /// Whether everything that was not in the draft was found in the state
    /// before the block.
    in_base: AtomicBool,
}

impl DraftView<'_> {
    /// Whether everything that was not in the draft was found in the state
    /// before the block.
    pub(super) fn was_in_base(&self) -> bool {
        self.in_base.load(Ordering::Relaxed)
    }

    fn note<T>(&self, found: Found<T>) -> T {
        if !found.in_base {
            self.in_base.store(false, Ordering::Relaxed);
        }
        found.value
    }
}

impl View for DraftView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let record = match self.draft.account(account) {
            Some(record) => record,
            None => self.note(self.memory.record(account, Place::Ahead(self.place))?),
        };
        if self.sender != *account {
            return Ok(record);
        }
        let cells = record.unwrap_or_default();
        if cells.sequence >= self.sequence {
            return Ok(record);
        }
        self.in_base.store(false, Ordering::Relaxed);
        Ok(Some(AccountRecord { sequence: self.sequence, ..cells }))
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        match self.draft.slot(account, key) {
            Some(value) => Ok(value),
            None => Ok(self.note(self.memory.slot(account, key, Place::Ahead(self.place))?)),
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.memory.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.memory.block_hash(number)
    }
}
