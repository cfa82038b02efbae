//! A state in ordered maps: the plainest thing that can be executed on.

use std::{collections::BTreeMap, sync::Arc};

use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, Bytes, CodeRef, Effects, LocalKey, Value};

/// A whole state. What is not in the maps is absent; empty slots are never in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The accounts that exist.
    pub accounts: BTreeMap<AccountId, AccountRecord>,
    /// The slots that are not empty.
    pub slots: BTreeMap<(AccountId, LocalKey), Value>,
    /// Codes by hash.
    pub codes: BTreeMap<B256, Bytes>,
    /// Hashes of ancestor blocks by height.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl State {
    /// Sets a slot, or deletes it with an empty value.
    pub fn set_slot(&mut self, account: AccountId, key: LocalKey, value: Value) {
        if value.is_empty() {
            self.slots.remove(&(account, key));
        } else {
            self.slots.insert((account, key), value);
        }
    }

    /// Puts an account into the state, in the place of what is there.
    pub fn put(
        &mut self,
        account: AccountId,
        record: Option<AccountRecord>,
        slots: Vec<(LocalKey, Value)>,
        code: Option<(CodeRef, Bytes)>,
    ) {
        self.reset_storage(&account);
        self.accounts.remove(&account);
        self.accounts.extend(record.map(|record| (account, record)));
        for (key, value) in slots {
            self.set_slot(account, key, value);
        }
        self.codes.extend(code.map(|(reference, code)| (reference.hash, code)));
    }

    /// Deletes all slots of an account.
    pub fn reset_storage(&mut self, account: &AccountId) {
        self.slots.retain(|(owner, _), _| owner != account);
    }

    /// Applies effects, or returns `None` where they do not fit this state.
    #[must_use]
    pub fn apply(&self, effects: &Effects) -> Option<Self> {
        let mut next = self.clone();
        for account in &effects.accounts {
            let before = next.accounts.remove(&account.account);
            if let Some(after) = account.apply(before)? {
                next.accounts.insert(account.account, after);
            }
            if account.storage_reset {
                next.reset_storage(&account.account);
            }
        }
        for slot in &effects.slots {
            let account = effects.accounts.get(usize::try_from(slot.account).ok()?)?.account;
            if let Some(value) = &slot.write {
                next.set_slot(account, slot.key.clone(), value.clone());
            }
        }
        next.codes.extend(effects.codes.iter().cloned());
        Some(next)
    }
}

impl View for State {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        Ok(self.accounts.get(account).copied())
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        Ok(self.slots.get(&(*account, key.clone())).cloned().unwrap_or_default())
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        let code = self.codes.get(hash).ok_or(ViewError::MissingCode(*hash))?;
        Ok(Arc::new(Code::new(code.clone())))
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.block_hashes.get(&number).copied().ok_or(ViewError::MissingBlockHash(number))
    }
}
