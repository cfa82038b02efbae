//! The multi-version memory: what the transactions of a block wrote, by their
//! place in it (Block-STM, Gelashvili et al. 2022, §3).
//!
//! An account has the record that the committed transactions left, and the
//! changes of those that ran ahead, in order. A reader at place *i* sees the
//! committed record with all changes before *i* on top; balances are sums, so
//! two credits never conflict. Slots hold values, and a storage reset hides
//! those that were written before it.

use alloc::{sync::Arc, vec::Vec};
use core::hash::{BuildHasher, Hash};
use core::sync::atomic::{AtomicBool, Ordering};
use hashbrown::{DefaultHashBuilder, HashMap};
use polity_kernel::{Code, Decoded, View, ViewError};
use polity_types::{AccountEffects, AccountId, AccountRecord, B256, Effects, LocalKey, Value};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More shards than workers, so that two rarely meet; a power of two.
const SHARDS: usize = 128;

/// Tables above this capacity are given back after a block: clearing them
/// would cost every later block.
const KEEP: usize = 4096;

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
    /// By transaction, ascending.
    pending: Vec<(u32, AccountChange)>,
}

#[derive(Clone)]
struct AccountChange {
    effects: AccountEffects,
    /// Its transaction will run again, so that it is a guess.
    stale: bool,
}

#[derive(Default)]
struct SlotVersions {
    /// The last committed write; without one the base has the value.
    committed: Option<(u32, Value)>,
    base: Option<Value>,
    pending: Vec<(u32, Value, bool)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking worker left half-done is a failed block anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccountChange {
    /// Whether it is a guess that a reader should wait for. A mere change of
    /// the balance is read as it was: few readers look at the balance, and the
    /// effects of those that do say at what.
    fn blocks(&self) -> bool {
        let effects = &self.effects;
        self.stale
            && (effects.sequence_write.is_some()
                || effects.code_write.is_some()
                || effects.existence_write.is_some()
                || effects.storage_reset)
    }

    /// The record with the change, as far as it fits: a guess may not.
    fn apply(&self, record: Option<AccountRecord>) -> Option<AccountRecord> {
        self.effects.apply(record).unwrap_or(record)
    }
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
        let fresh = || AccountVersions { committed, reset: None, pending: Vec::new() };
        Ok(with(shard.entry(*id).or_insert_with(fresh)))
    }

    fn record_at(&self, id: &AccountId, place: u32) -> Result<Option<AccountRecord>, ViewError> {
        self.account(id, |versions| {
            let mut record = versions.committed;
            for (writer, change) in &versions.pending {
                if *writer >= place {
                    break;
                }
                if change.blocks() {
                    return Err(ViewError::NotReady(*writer));
                }
                record = change.apply(record);
            }
            Ok(record)
        })?
    }

    /// The last transaction before `place` that reset the account's storage.
    fn reset_before(&self, id: &AccountId, place: u32) -> Result<Option<u32>, ViewError> {
        if !self.resets.load(Ordering::Acquire) {
            return Ok(None);
        }
        self.account(id, |versions| {
            let before = versions.pending.iter().rev().skip_while(|(writer, _)| *writer >= place);
            for (writer, change) in before {
                if change.effects.storage_reset {
                    return if change.stale {
                        Err(ViewError::NotReady(*writer))
                    } else {
                        Ok(Some(*writer))
                    };
                }
            }
            Ok(versions.reset)
        })?
    }

    fn slot_at(&self, id: &AccountId, key: &LocalKey, place: u32) -> Result<Value, ViewError> {
        let reset = self.reset_before(id, place)?;
        let name = (*id, key.clone());
        let store = || ViewError::Store("no such shard".into());
        let mut shard = self.shard(&self.shards.slots, &name).ok_or_else(store)?;
        let versions = shard.entry(name.clone()).or_default();
        let last = versions.pending.iter().rev().find(|(writer, ..)| *writer < place);
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

    /// Whether a transaction at `place` that ran with these effects would run
    /// the same on what is there now.
    pub(super) fn holds(&self, effects: &Effects, place: u32) -> Result<bool, ViewError> {
        for account in &effects.accounts {
            if !relies(account) && account.balance_delta.is_zero() {
                continue;
            }
            let record = self.record_at(&account.account, place)?;
            if !account_holds(account, record) {
                return Ok(false);
            }
        }
        for slot in &effects.slots {
            let Some(read) = &slot.read else { continue };
            let Some(account) = effects.accounts.get(slot.account as usize) else {
                return Ok(false);
            };
            if self.slot_at(&account.account, &slot.key, place)? != *read {
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
            let change = AccountChange { effects: account.clone(), stale: false };
            self.account(&account.account, |versions| {
                let at = versions.pending.partition_point(|(writer, _)| *writer < place);
                versions.pending.insert(at, (place, change));
            })?;
        }
        self.each_write(effects, |versions, value| {
            let at = versions.pending.partition_point(|(writer, ..)| *writer < place);
            versions.pending.insert(at, (place, value.clone(), false));
        });
        Ok(())
    }

    /// Takes back what [`Memory::publish`] showed.
    pub(super) fn withdraw(&self, effects: &Effects, place: u32) -> Result<(), ViewError> {
        for account in effects.accounts.iter().filter(|account| writes(account)) {
            self.account(&account.account, |versions| {
                versions.pending.retain(|(writer, _)| *writer != place);
            })?;
        }
        self.each_write(effects, |versions, _| {
            versions.pending.retain(|(writer, ..)| *writer != place);
        });
        Ok(())
    }

    /// Marks what was published as a guess: the transaction will run again.
    pub(super) fn mark_stale(&self, effects: &Effects, place: u32) -> Result<(), ViewError> {
        for account in effects.accounts.iter().filter(|account| writes(account)) {
            self.account(&account.account, |versions| {
                for (writer, change) in &mut versions.pending {
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
                versions.pending.retain(|(writer, _)| *writer != place);
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
            versions.pending.retain(|(writer, ..)| *writer != place);
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

    /// The state as the transaction at `place` sees it in its turn.
    pub(super) fn at(&self, place: u32) -> MemoryView<'_> {
        MemoryView { memory: self, place, sender: None }
    }

    /// The state as it will presumably be for the transaction at `place`: its
    /// sender's earlier transactions, run or not, have counted the sequence
    /// number up to the transaction's own.
    pub(super) fn ahead(&self, place: u32, tx: &Decoded) -> MemoryView<'_> {
        MemoryView { memory: self, place, sender: Some((tx.sender, tx.sequence)) }
    }
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

/// The state as a transaction at one place of the block sees it.
pub(super) struct MemoryView<'m> {
    memory: &'m Memory<'m>,
    place: u32,
    sender: Option<(AccountId, u64)>,
}

impl View for MemoryView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let record = self.memory.record_at(account, self.place)?;
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
        self.memory.slot_at(account, key, self.place)
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
