//! What the transactions of a chunk relied on and changed, taken together.
//!
//! A chunk runs on a draft of its own, without a lock, as a block runs on an
//! [`Overlay`](crate::Overlay). Only what it comes to in the end is shown to
//! others, checked and committed: a hot account once per chunk instead of once
//! per transaction.

use alloc::vec::Vec;
use core::hash::Hash;
use hashbrown::DefaultHashBuilder;
use indexmap::{Equivalent, IndexMap, map::Entry};
use polity_types::{AccountEffects, AccountId, AccountRecord, Effects, LocalKey, Value};

type Table<K, V> = IndexMap<K, V, DefaultHashBuilder>;

/// See the module.
#[derive(Default)]
pub(super) struct Draft {
    accounts: Table<AccountId, DraftAccount>,
    /// By the index of the account.
    slots: Table<(u32, LocalKey), DraftSlot>,
    /// No state has these effects.
    contradictory: bool,
    /// For [`Draft::add`]: where the accounts of the effects lie, and whether
    /// their storage had been reset before.
    places: Vec<(u32, bool)>,
}

/// An account in a draft.
pub(super) struct DraftAccount {
    /// As it was found.
    pub(super) before: Option<AccountRecord>,
    /// As it is now.
    now: Option<AccountRecord>,
    /// Relative to what was found.
    pub(super) effects: AccountEffects,
    /// Whether it was found as it is in the state before the block.
    pub(super) from_base: bool,
}

/// A slot in a draft.
pub(super) struct DraftSlot {
    /// The value that was found, where it was relied on.
    pub(super) read: Option<Value>,
    /// The value now, where it was written.
    pub(super) write: Option<Value>,
    /// Whether it was found as it is in the state before the block.
    pub(super) from_base: bool,
}

/// A key of [`Draft::slots`] that is only looked for.
#[derive(Hash)]
struct Wanted<'k>(u32, &'k LocalKey);

impl Equivalent<(u32, LocalKey)> for Wanted<'_> {
    fn equivalent(&self, (account, key): &(u32, LocalKey)) -> bool {
        self.0 == *account && self.1 == key
    }
}

impl Draft {
    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.contradictory = false;
    }

    /// The account as it is now, if any transaction looked at it.
    pub(super) fn account(&self, id: &AccountId) -> Option<Option<AccountRecord>> {
        self.accounts.get(id).map(|account| account.now)
    }

    /// The slot's value now, if it follows from what the transactions did.
    pub(super) fn slot(&self, id: &AccountId, key: &LocalKey) -> Option<Value> {
        let (place, _, account) = self.accounts.get_full(id)?;
        let slot = self.slots.get(&Wanted(u32::try_from(place).ok()?, key));
        if let Some(write) = slot.and_then(|slot| slot.write.as_ref()) {
            return Some(write.clone());
        }
        if account.effects.storage_reset {
            return Some(Value::Empty);
        }
        slot.and_then(|slot| slot.read.clone())
    }

    /// Adds the effects of the next transaction. `records` gives the accounts of
    /// the effects as it found them and as it left them; `from_base` tells
    /// whether all that the draft did not have was found in the state before the
    /// block.
    pub(super) fn add(
        &mut self,
        effects: &Effects,
        records: impl Iterator<Item = (Option<AccountRecord>, Option<AccountRecord>)>,
        from_base: bool,
    ) {
        self.places.clear();
        for (next, (before, after)) in effects.accounts.iter().zip(records) {
            let entry = self.accounts.entry(next.account);
            let place = u32::try_from(entry.index()).unwrap_or(u32::MAX);
            let is_reset = next.storage_reset;
            let was_reset = match entry {
                Entry::Vacant(entry) => {
                    let account = DraftAccount { before, now: after, effects: next, from_base };
                    entry.insert(account);
                    false
                }
                Entry::Occupied(entry) => {
                    let account = entry.into_mut();
                    let was_reset = account.effects.storage_reset;
                    // A sender's sequence number may have been presumed.
                    let sequence = account.now.unwrap_or_default().sequence;
                    self.contradictory |= next.sequence_read.is_some_and(|read| read != sequence);
                    let sum = account.effects.then(&next, account.before.as_ref(), after.as_ref());
                    self.contradictory |= sum.is_none();
                    account.now = after;
                    was_reset
                }
            };
            if is_reset {
                let slots = self.slots.iter_mut().filter(|((account, _), _)| *account == place);
                slots.for_each(|(_, slot)| slot.write = Some(Value::Empty));
            }
            self.places.push((place, was_reset));
        }
        for slot in &effects.slots {
            let Some((account, was_reset)) = self.places.get(slot.account as usize) else {
                self.contradictory = true;
                continue;
            };
            let read = || if *was_reset { None } else { slot.read.clone() };
            match self.slots.entry((*account, slot.key.clone())) {
                Entry::Vacant(entry) => {
                    let (read, write) = (read(), slot.write.clone());
                    entry.insert(DraftSlot { read, write, from_base });
                }
                Entry::Occupied(entry) => {
                    let known = entry.into_mut();
                    if known.write.is_none() && known.read.is_none() {
                        known.read = read();
                        known.from_base = from_base;
                    }
                    if let Some(write) = &slot.write {
                        known.write = Some(write.clone());
                    }
                }
            }
        }
    }

    /// Whether some state has these effects.
    pub(super) const fn is_consistent(&self) -> bool {
        !self.contradictory
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = &DraftAccount> {
        self.accounts.values()
    }

    /// The slots with the account that each belongs to.
    pub(super) fn slots(&self) -> impl Iterator<Item = (&AccountId, &LocalKey, &DraftSlot)> {
        self.slots.iter().filter_map(|((account, key), slot)| {
            let (id, _) = self.accounts.get_index(*account as usize)?;
            Some((id, key, slot))
        })
    }
}
