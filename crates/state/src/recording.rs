use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, Value};
use polity_verify::Owner;

use crate::{Slots, StateError, shared::lock};

/// A view that notes what is asked of the one below.
pub(crate) struct Recording<'v, V> {
    view: &'v V,
    asked: Mutex<Asked>,
}

/// What was asked.
#[derive(Default)]
pub(crate) struct Asked {
    /// The rows of the keys.
    pub(crate) rows: BTreeSet<Vec<u8>>,
    /// Accounts whose slots were listed.
    pub(crate) listed: BTreeSet<AccountId>,
    pub(crate) codes: BTreeMap<B256, Bytes>,
    pub(crate) block_hashes: BTreeMap<u64, B256>,
}

impl<'v, V> Recording<'v, V> {
    pub(crate) fn new(view: &'v V) -> Self {
        Self { view, asked: Mutex::default() }
    }

    pub(crate) fn into_asked(self) -> Asked {
        self.asked.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<V: View> View for Recording<'_, V> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        lock(&self.asked).rows.insert(Owner::of(account).record_row());
        self.view.account(account)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        lock(&self.asked).rows.insert(Owner::of(account).slot_row(key));
        self.view.slot(account, key)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        let code = self.view.code(hash)?;
        lock(&self.asked).codes.insert(*hash, code.bytes().clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        let hash = self.view.block_hash(number)?;
        lock(&self.asked).block_hashes.insert(number, hash);
        Ok(hash)
    }
}

impl<V: Slots> Slots for Recording<'_, V> {
    fn slots(&self, account: &AccountId) -> Result<Vec<LocalKey>, StateError> {
        lock(&self.asked).listed.insert(*account);
        self.view.slots(account)
    }
}
