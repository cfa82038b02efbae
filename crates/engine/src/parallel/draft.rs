//! What the transactions of a chunk relied on and changed, taken together.
//!
//! A chunk runs on a draft of its own, without a lock, as a block runs on an
//! [`Overlay`](crate::Overlay). Only what it comes to in the end is shown to
//! others, checked and committed: a hot account once per chunk instead of once
//! per transaction.

use super::{memory::Hashes, table::Table};
use alloc::vec::Vec;
use polity_types::{AccountId, AccountRecord, AccountSum, LocalKey, Seen, SlotEffects, Value};

/// See the module.
#[derive(Default)]
pub(super) struct Draft {
    accounts: Table<DraftAccount>,
    slots: Table<DraftSlot>,
    /// No state has these effects.
    contradictory: bool,
    /// For [`Draft::add`]: where the accounts of the effects lie, their hashes, and whether
    /// their storage had been reset before.
    places: Vec<(u32, u64, bool)>,
}

/// An account in a draft.
pub(super) struct DraftAccount {
    pub(super) id: AccountId,
    pub(super) sum: AccountSum,
    /// Whether what was found may be no transaction's result in the end.
    pub(super) guessed: bool,
}

/// A slot in a draft.
pub(super) struct DraftSlot {
    /// The place of its account.
    account: u32,
    pub(super) key: LocalKey,
    /// The value that was found, where it was relied on.
    pub(super) read: Option<Value>,
    /// The value now, where it was written.
    pub(super) write: Option<Value>,
    /// Whether what was found may be no transaction's result in the end.
    pub(super) guessed: bool,
}

impl Draft {
    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.contradictory = false;
    }

    fn place(&self, hash: u64, id: &AccountId) -> Option<u32> {
        self.accounts.place(hash, |account| account.id == *id)
    }

    /// The account with this hash as it is now, if any transaction looked at it.
    pub(super) fn account(&self, hash: u64, id: &AccountId) -> Option<Option<AccountRecord>> {
        let account = self.accounts.find(hash, |account| account.id == *id)?;
        Some(account.sum.now().copied())
    }

    /// The slot's value now, if it follows from what the transactions did; the hashes are those
    /// of the account and of the slot.
    pub(super) fn slot(
        &self,
        (of_account, of_slot): (u64, u64),
        id: &AccountId,
        key: &LocalKey,
    ) -> Option<Value> {
        let place = self.place(of_account, id)?;
        let slot = self.slots.find(of_slot, |slot| slot.account == place && slot.key == *key);
        if let Some(write) = slot.and_then(|slot| slot.write.as_ref()) {
            return Some(write.clone());
        }
        if self.accounts.get(place).is_some_and(|(_, account)| account.sum.resets_storage()) {
            return Some(Value::Empty);
        }
        slot.and_then(|slot| slot.read.clone())
    }

    /// Adds what the next transaction relied on and changed: the accounts of its effects, each
    /// with its record afterwards, and its slots. `guessed` tells whether anything that the draft
    /// did not have may be no transaction's result in the end.
    pub(super) fn add<'s>(
        &mut self,
        hashes: &Hashes,
        seen: impl Iterator<Item = (Seen<'s>, Option<AccountRecord>)>,
        slots: &[SlotEffects],
        guessed: bool,
    ) {
        self.places.clear();
        for (seen, after) in seen {
            let id = seen.account;
            let hash = hashes.account(id);
            let mut was_reset = false;
            let place = match self.place(hash, id) {
                None => {
                    let sum = AccountSum::new(&seen, after);
                    self.accounts.push(hash, DraftAccount { id: *id, sum, guessed })
                }
                Some(place) => {
                    if let Some(account) = self.accounts.get_mut(place) {
                        was_reset = account.sum.resets_storage();
                        self.contradictory |= account.sum.add(&seen, after).is_none();
                    }
                    place
                }
            };
            if seen.reset {
                let slots = self.slots.iter_mut().filter(|slot| slot.account == place);
                slots.for_each(|slot| slot.write = Some(Value::Empty));
            }
            self.places.push((place, hash, was_reset));
        }
        for slot in slots {
            let Some((account, hash, was_reset)) = self.places.get(slot.account as usize).copied()
            else {
                self.contradictory = true;
                continue;
            };
            let read = || if was_reset { None } else { slot.read.clone() };
            let hash = hashes.slot(hash, &slot.key);
            let is = |known: &DraftSlot| known.account == account && known.key == slot.key;
            match self.slots.place(hash, is) {
                None => {
                    let (key, read, write) = (slot.key.clone(), read(), slot.write.clone());
                    self.slots.push(hash, DraftSlot { account, key, read, write, guessed });
                }
                Some(place) => {
                    let Some(known) = self.slots.get_mut(place) else { continue };
                    if known.write.is_none() && known.read.is_none() {
                        known.read = read();
                        known.guessed = guessed;
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

    /// The accounts with their hashes.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &(u64, DraftAccount)> {
        self.accounts.iter()
    }

    /// The slots with their hashes and the account that each belongs to.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u64, &AccountId, &DraftSlot)> {
        self.slots.iter().filter_map(|(hash, slot)| {
            let (_, account) = self.accounts.get(slot.account)?;
            Some((*hash, &account.id, slot))
        })
    }
}
