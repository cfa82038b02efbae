//! The multi-version memory: what the chunks of a block wrote, by their place in
//! it (Block-STM, Gelashvili et al. 2022, §3).
//!
//! It holds only what was written. A cell has the value that the committed
//! chunks left, and what those that ran ahead changed, in order. A chunk in its
//! turn sees what is committed, for everything before it is; one that runs ahead
//! also sees the changes before its place.
//!
//! Most cells of a block are written by one chunk and looked at by no other, and
//! looking for them in tables that no cache holds is what costs most. So every
//! hash has [`Marks`], a few bytes that tell of whole tables of cells when a cell
//! with that hash was written last: who finds no mark asks the state before the
//! block, and what a chunk found holds as long as there is no new mark.

use super::{
    draft::{Draft, DraftAccount},
    marks::Marks,
    table::Table,
};
use crate::Overlay;
use alloc::{sync::Arc, vec::Vec};
use core::{
    hash::BuildHasher,
    sync::atomic::{AtomicBool, Ordering},
};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use polity_kernel::{Code, Decoded, View, ViewError};
use polity_types::{
    AccountId, AccountRecord, AccountSum, B256, CodeRef, Delta, Effects, LocalKey, Value,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More shards than workers, so that two rarely meet; a power of two.
const SHARDS: usize = 128;

/// Tables above this capacity are given back after a block: clearing them
/// would cost every later block.
const KEEP: usize = 4096;

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
    pub(super) hashes: Hashes,
    marks: Marks,
    accounts: Vec<Mutex<Shard<Account, PendingAccount>>>,
    slots: Vec<Mutex<Shard<Slot, PendingSlot>>>,
}

/// The hashes by which cells are found.
#[derive(Default)]
pub(super) struct Hashes(DefaultHashBuilder);

impl Hashes {
    pub(super) fn account(&self, id: &AccountId) -> u64 {
        self.0.hash_one(id)
    }

    /// Of a slot, given its account's hash.
    pub(super) fn slot(&self, account: u64, key: &LocalKey) -> u64 {
        self.0.hash_one((account, key))
    }
}

/// What the committed chunks left, and what those that ran ahead changed.
struct Shard<C, P> {
    committed: Table<C>,
    pending: HashTable<P>,
}

impl<C, P> Default for Shard<C, P> {
    fn default() -> Self {
        Self { committed: Table::default(), pending: HashTable::new() }
    }
}

impl<C, P> Shard<C, P> {
    fn clear(&mut self) {
        if self.committed.capacity() > KEEP {
            self.committed = Table::default();
        } else {
            self.committed.clear();
        }
        self.pending.clear();
    }
}

/// An account after the committed chunks.
struct Account {
    id: AccountId,
    record: Option<AccountRecord>,
    /// The last chunk that reset the storage.
    reset: Option<u32>,
}

/// Changes of an account by those that ran ahead, ascending.
struct PendingAccount {
    hash: u64,
    id: AccountId,
    changes: Vec<(u32, Change)>,
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

/// A slot after the last committed chunk that wrote it.
struct Slot {
    id: AccountId,
    key: LocalKey,
    place: u32,
    value: Value,
}

/// Writes to a slot by those that ran ahead, ascending, and whether they are guesses.
struct PendingSlot {
    hash: u64,
    id: AccountId,
    key: LocalKey,
    writes: Vec<(u32, Value, bool)>,
}

impl PendingAccount {
    /// Takes out what a chunk changed; tells whether nothing is left.
    fn withdraw(&mut self, place: u32) -> bool {
        self.changes.retain(|(writer, _)| *writer != place);
        self.changes.is_empty()
    }
}

impl PendingSlot {
    /// Takes out what a chunk wrote; tells whether nothing is left.
    fn withdraw(&mut self, place: u32) -> bool {
        self.writes.retain(|(writer, ..)| *writer != place);
        self.writes.is_empty()
    }
}

impl Shards {
    pub(super) fn new() -> Self {
        Self {
            hashes: Hashes::default(),
            marks: Marks::new(),
            accounts: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slots: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn clear(&mut self, places: u32) {
        self.marks.begin(places);
        for shard in &mut self.accounts {
            shard.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for shard in &mut self.slots {
            shard.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

/// Puts an entry where it belongs; mostly that is the end.
fn insert<T>(entries: &mut Vec<T>, place: u32, of: impl Fn(&T) -> u32, entry: T) {
    let at = entries.iter().rposition(|entry| of(entry) < place).map_or(0, |before| before + 1);
    entries.insert(at, entry);
}

impl Change {
    fn of(sum: &AccountSum) -> Self {
        Self {
            delta: sum.delta(),
            existence: sum.existence_write(),
            sequence: sum.sequence_write(),
            code: sum.code_write(),
            reset: sum.resets_storage(),
            stale: false,
        }
    }

    const fn is_delta(&self) -> bool {
        self.existence.is_none() && self.sequence.is_none() && self.code.is_none() && !self.reset
    }

    fn apply(&self, record: Option<AccountRecord>) -> Option<AccountRecord> {
        let mut cells = record.unwrap_or_default();
        let amount = self.delta.magnitude();
        cells.balance = match self.delta.is_negative() {
            true => cells.balance.saturating_sub(amount),
            false => cells.balance.saturating_add(amount),
        };
        cells.sequence = self.sequence.unwrap_or(cells.sequence);
        cells.code = self.code.unwrap_or(cells.code);
        let exists = self.existence.unwrap_or(record.is_some() || !cells.is_empty());
        exists.then_some(cells)
    }
}

/// A value, and whether its transaction may still run again.
pub(super) struct Found<T> {
    value: T,
    guessed: bool,
}

impl<T> Found<T> {
    const fn settled(value: T) -> Self {
        Self { value, guessed: false }
    }
}

/// Locks, also after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking worker left half-done is a failed block anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shard<T>(shards: &[Mutex<T>], hash: u64) -> Result<MutexGuard<'_, T>, ViewError> {
    // The lowest and the highest bits are the table's own.
    let at = (hash >> 40) as usize % SHARDS;
    shards.get(at).map(lock).ok_or_else(|| ViewError::Store("no such shard".into()))
}

impl<'b> Memory<'b> {
    /// An empty memory over the state before the first of so many transactions.
    pub(super) fn new(base: &'b dyn View, shards: &'b mut Shards, transactions: u32) -> Self {
        shards.clear(transactions);
        Self {
            base,
            shards,
            codes: Mutex::default(),
            has_codes: AtomicBool::new(false),
            has_resets: AtomicBool::new(false),
        }
    }

    pub(super) const fn hashes(&self) -> &Hashes {
        &self.shards.hashes
    }

    fn accounts(
        &self,
        hash: u64,
    ) -> Result<MutexGuard<'_, Shard<Account, PendingAccount>>, ViewError> {
        shard(&self.shards.accounts, hash)
    }

    fn slots(&self, hash: u64) -> Result<MutexGuard<'_, Shard<Slot, PendingSlot>>, ViewError> {
        shard(&self.shards.slots, hash)
    }

    /// Notes that a storage was reset: what was found in a slot may then be gone
    /// without a mark on the slot.
    fn note_reset(&self) {
        self.has_resets.store(true, Ordering::Release);
    }

    fn has_resets(&self) -> bool {
        self.has_resets.load(Ordering::Acquire)
    }

    /// The last chunk whose reset of the account's storage is to be seen, and
    /// whether it may run again.
    fn reset_before(&self, id: &AccountId, from: Place) -> Result<Found<Option<u32>>, ViewError> {
        if !self.has_resets() {
            return Ok(Found::settled(None));
        }
        let hash = self.hashes().account(id);
        let shard = self.accounts(hash)?;
        if let Place::Ahead(place) = from
            && let Some(pending) = shard.pending.find(hash, |pending| pending.id == *id)
        {
            for (writer, change) in pending.changes.iter().rev() {
                if *writer < place && change.reset {
                    return if change.stale {
                        Err(ViewError::NotReady(*writer))
                    } else {
                        Ok(Found { value: Some(*writer), guessed: true })
                    };
                }
            }
        }
        let committed = shard.committed.find(hash, |account| account.id == *id);
        Ok(Found::settled(committed.and_then(|account| account.reset)))
    }

    fn record(
        &self,
        hash: u64,
        id: &AccountId,
        from: Place,
    ) -> Result<Found<Option<AccountRecord>>, ViewError> {
        if !self.shards.marks.is_marked(hash) {
            return Ok(Found::settled(self.base.account(id)?));
        }
        let is = |account: &Account| account.id == *id;
        let mut shard = self.accounts(hash)?;
        let mut known = shard.committed.find(hash, is).map(|account| account.record);
        if known.is_none() {
            // The base may be slow: others shall not wait for it.
            drop(shard);
            let base = self.base.account(id)?;
            shard = self.accounts(hash)?;
            known = shard.committed.find(hash, is).map(|account| account.record).or(Some(base));
        }
        let mut found = Found::settled(known.flatten());
        if let Place::Ahead(place) = from
            && let Some(pending) = shard.pending.find(hash, |pending| pending.id == *id)
        {
            for (writer, change) in pending.changes.iter().filter(|(writer, _)| *writer < place) {
                if change.stale {
                    return Err(ViewError::NotReady(*writer));
                }
                found = Found { value: change.apply(found.value), guessed: true };
            }
        }
        Ok(found)
    }

    fn slot(
        &self,
        hash: u64,
        id: &AccountId,
        key: &LocalKey,
        from: Place,
    ) -> Result<Found<Value>, ViewError> {
        let reset = self.reset_before(id, from)?;
        if reset.value.is_none() && !self.shards.marks.is_marked(hash) {
            return Ok(Found::settled(self.base.slot(id, key)?));
        }
        let shard = self.slots(hash)?;
        let pending = match from {
            Place::Turn => None,
            Place::Ahead(place) => {
                shard.pending.find(hash, is_pending(id, key)).and_then(|pending| {
                    pending.writes.iter().rev().find(|(writer, ..)| *writer < place)
                })
            }
        };
        let is = |slot: &Slot| slot.id == *id && slot.key == *key;
        let last = match (pending, shard.committed.find(hash, is)) {
            (Some((writer, _, true)), _) => return Err(ViewError::NotReady(*writer)),
            (Some((writer, value, false)), _) => Some((*writer, value, true)),
            (None, Some(slot)) => Some((slot.place, &slot.value, false)),
            (None, None) => None,
        };
        // A write of the chunk that reset the storage came after it.
        if reset.value > last.map(|(writer, ..)| writer) {
            return Ok(Found { value: Value::Empty, guessed: reset.guessed });
        }
        if let Some((_, value, guessed)) = last {
            return Ok(Found { value: value.clone(), guessed: guessed || reset.guessed });
        }
        drop(shard);
        Ok(Found::settled(self.base.slot(id, key)?))
    }

    /// Whether a chunk that ran with these effects would run the same on what is
    /// committed. `since` is the place from which on nothing had been committed
    /// when it began.
    pub(super) fn holds(&self, draft: &Draft, since: u32) -> Result<bool, ViewError> {
        let marks = &self.shards.marks;
        for (hash, account) in draft.accounts() {
            // What it was found as, it still is.
            if !account.guessed && !marks.is_committed_since(*hash, since) {
                continue;
            }
            let found = self.record(*hash, &account.id, Place::Turn)?;
            if !account.sum.holds(found.value.as_ref()) {
                return Ok(false);
            }
        }
        let has_resets = self.has_resets();
        for (hash, id, slot) in draft.slots() {
            let Some(read) = &slot.read else { continue };
            if !slot.guessed && !has_resets && !marks.is_committed_since(hash, since) {
                continue;
            }
            if self.slot(hash, id, &slot.key, Place::Turn)?.value != *read {
                return Ok(false);
            }
        }
        Ok(draft.is_consistent())
    }

    /// Shows the writes of a chunk that ran ahead to those behind it.
    pub(super) fn publish(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        for (hash, account) in shown(draft) {
            if account.sum.resets_storage() {
                self.note_reset();
            }
            let change = (place, Change::of(&account.sum));
            let mut shard = self.accounts(*hash)?;
            let is = |pending: &PendingAccount| pending.id == account.id;
            match shard.pending.find_mut(*hash, is) {
                Some(pending) => {
                    insert(&mut pending.changes, place, |(writer, _)| *writer, change);
                }
                None => {
                    let (hash, id) = (*hash, account.id);
                    let pending = PendingAccount { hash, id, changes: alloc::vec![change] };
                    shard.pending.insert_unique(hash, pending, |pending| pending.hash);
                }
            }
            self.shards.marks.show(*hash, place);
        }
        for (hash, id, slot) in draft.slots() {
            let Some(value) = &slot.write else { continue };
            let write = (place, value.clone(), false);
            let mut shard = self.slots(hash)?;
            match shard.pending.find_mut(hash, is_pending(id, &slot.key)) {
                Some(pending) => {
                    insert(&mut pending.writes, place, |(writer, ..)| *writer, write);
                }
                None => {
                    let (id, key) = (*id, slot.key.clone());
                    let pending = PendingSlot { hash, id, key, writes: alloc::vec![write] };
                    shard.pending.insert_unique(hash, pending, |pending| pending.hash);
                }
            }
            self.shards.marks.show(hash, place);
        }
        Ok(())
    }

    /// Takes back what [`Memory::publish`] showed.
    pub(super) fn withdraw(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        for (hash, account) in shown(draft) {
            let pending = &mut self.accounts(*hash)?.pending;
            withdraw(
                pending,
                *hash,
                |pending| pending.id == account.id,
                |pending| pending.withdraw(place),
            );
        }
        for (hash, id, slot) in draft.slots().filter(|(_, _, slot)| slot.write.is_some()) {
            let pending = &mut self.slots(hash)?.pending;
            withdraw(pending, hash, is_pending(id, &slot.key), |pending| pending.withdraw(place));
        }
        Ok(())
    }

    /// Marks what was published as a guess: its chunk will run again.
    pub(super) fn mark_stale(&self, draft: &Draft, place: u32) -> Result<(), ViewError> {
        for (hash, account) in shown(draft) {
            let mut shard = self.accounts(*hash)?;
            let pending = shard.pending.find_mut(*hash, |pending| pending.id == account.id);
            for (writer, change) in pending.into_iter().flat_map(|pending| &mut pending.changes) {
                change.stale |= *writer == place && !change.is_delta();
            }
        }
        for (hash, id, slot) in draft.slots().filter(|(_, _, slot)| slot.write.is_some()) {
            let mut shard = self.slots(hash)?;
            let pending = shard.pending.find_mut(hash, is_pending(id, &slot.key));
            for (writer, _, stale) in pending.into_iter().flat_map(|pending| &mut pending.writes) {
                *stale |= *writer == place;
            }
        }
        Ok(())
    }

    /// Makes what a chunk changed part of the committed state. Everything before
    /// `place` has been committed, and the chunk's effects hold; `since` is as in
    /// [`Memory::holds`].
    ///
    /// Gives the account whose balance the change does not fit, if there is
    /// one: the effects are then not of this state.
    pub(super) fn commit(
        &self,
        draft: &Draft,
        since: u32,
        place: u32,
    ) -> Result<Option<AccountId>, ViewError> {
        let mut misfit = None;
        for (hash, account) in draft.accounts().filter(|(_, account)| account.sum.writes()) {
            let unchanged = !account.guessed && !self.shards.marks.is_committed_since(*hash, since);
            let record = if unchanged {
                account.sum.now().copied()
            } else {
                let found = self.record(*hash, &account.id, Place::Turn)?;
                let Some(record) = account.sum.apply(found.value) else {
                    misfit = Some(account.id);
                    continue;
                };
                record
            };
            let reset = account.sum.resets_storage().then_some(place);
            self.commit_account(*hash, account.id, record, reset, place)?;
        }
        for (hash, id, slot) in draft.slots() {
            let Some(value) = &slot.write else { continue };
            self.commit_slot(hash, id, &slot.key, value, place)?;
        }
        Ok(misfit)
    }

    /// Makes `state`, the committed state with the changes of the chunk whose
    /// turn it is, the committed state.
    pub(super) fn commit_state(&self, state: &Overlay<'_>, place: u32) -> Result<(), ViewError> {
        for (id, record) in state.records() {
            self.commit_account(self.hashes().account(id), *id, record.copied(), None, place)?;
        }
        for (id, reset, slots) in state.storages() {
            let hash = self.hashes().account(id);
            if reset {
                let record = self.record(hash, id, Place::Turn)?.value;
                self.commit_account(hash, *id, record, Some(place), place)?;
            }
            for (key, value) in slots {
                self.commit_slot(self.hashes().slot(hash, key), id, key, value, place)?;
            }
        }
        for (hash, code) in state.codes() {
            self.add_code(*hash, || code.clone());
        }
        Ok(())
    }

    fn commit_account(
        &self,
        hash: u64,
        id: AccountId,
        record: Option<AccountRecord>,
        reset: Option<u32>,
        place: u32,
    ) -> Result<(), ViewError> {
        if reset.is_some() {
            self.note_reset();
        }
        let mut shard = self.accounts(hash)?;
        // What it showed ahead of its turn is part of the record.
        withdraw(
            &mut shard.pending,
            hash,
            |pending| pending.id == id,
            |pending| pending.withdraw(place),
        );
        match shard.committed.find_mut(hash, |account| account.id == id) {
            Some(account) => {
                account.record = record;
                account.reset = reset.or(account.reset);
            }
            None => {
                shard.committed.push(hash, Account { id, record, reset });
            }
        }
        self.shards.marks.commit(hash, place);
        Ok(())
    }

    fn commit_slot(
        &self,
        hash: u64,
        id: &AccountId,
        key: &LocalKey,
        value: &Value,
        place: u32,
    ) -> Result<(), ViewError> {
        let mut shard = self.slots(hash)?;
        let is = |slot: &Slot| slot.id == *id && slot.key == *key;
        withdraw(&mut shard.pending, hash, is_pending(id, key), |pending| pending.withdraw(place));
        let value = value.clone();
        match shard.committed.find_mut(hash, is) {
            Some(slot) => (slot.place, slot.value) = (place, value),
            None => {
                shard.committed.push(hash, Slot { id: *id, key: key.clone(), place, value });
            }
        }
        self.shards.marks.commit(hash, place);
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

    /// The state as it will presumably be for a transaction of the chunk at
    /// `place`: its sender's earlier transactions, run or not, have counted the
    /// sequence number up to the transaction's own.
    pub(super) const fn ahead<'m>(
        &'m self,
        draft: &'m Draft,
        place: u32,
        tx: &Decoded,
    ) -> DraftView<'m> {
        let guessed = AtomicBool::new(false);
        DraftView { memory: self, draft, place, sender: tx.sender, sequence: tx.sequence, guessed }
    }
}

fn is_pending<'k>(id: &'k AccountId, key: &'k LocalKey) -> impl Fn(&PendingSlot) -> bool {
    move |pending| pending.id == *id && pending.key == *key
}

/// Takes out of the pending entry what `take` does, and the entry if it says that
/// nothing is left.
fn withdraw<P>(
    pending: &mut HashTable<P>,
    hash: u64,
    is: impl FnMut(&P) -> bool,
    take: impl FnOnce(&mut P) -> bool,
) {
    if pending.is_empty() {
        return;
    }
    if let Ok(mut entry) = pending.find_entry(hash, is)
        && take(entry.get_mut())
    {
        entry.remove();
    }
}

/// The accounts whose changes are shown to chunks that run ahead. Payments are
/// not: those who pay and are paid rely on bounds, which mostly hold without
/// them, and they are the most frequent changes of all.
fn shown(draft: &Draft) -> impl Iterator<Item = &(u64, DraftAccount)> {
    draft.accounts().filter(|(_, account)| account.sum.writes() && !account.sum.only_pays())
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
        let hash = self.hashes().account(account);
        self.record(hash, account, Place::Turn).map(|found| found.value)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        let hash = self.hashes().slot(self.hashes().account(account), key);
        self.slot(hash, account, key, Place::Turn).map(|found| found.value)
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
    /// Whether anything that was not in the draft may be no transaction's result
    /// in the end.
    guessed: AtomicBool,
}

impl DraftView<'_> {
    /// Whether anything that was not in the draft may be no transaction's result
    /// in the end.
    pub(super) fn has_guessed(&self) -> bool {
        self.guessed.load(Ordering::Relaxed)
    }

    fn note<T>(&self, found: Found<T>) -> T {
        if found.guessed {
            self.guessed.store(true, Ordering::Relaxed);
        }
        found.value
    }
}

impl View for DraftView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let hash = self.memory.hashes().account(account);
        let record = match self.draft.account(hash, account) {
            Some(record) => record,
            None => self.note(self.memory.record(hash, account, Place::Ahead(self.place))?),
        };
        if self.sender != *account {
            return Ok(record);
        }
        let cells = record.unwrap_or_default();
        if cells.sequence >= self.sequence {
            return Ok(record);
        }
        self.guessed.store(true, Ordering::Relaxed);
        Ok(Some(AccountRecord { sequence: self.sequence, ..cells }))
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        let hashes = self.memory.hashes();
        let of_account = hashes.account(account);
        let hash = hashes.slot(of_account, key);
        match self.draft.slot((of_account, hash), account, key) {
            Some(value) => Ok(value),
            None => {
                Ok(self.note(self.memory.slot(hash, account, key, Place::Ahead(self.place))?))
            }
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.memory.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.memory.block_hash(number)
    }
}
