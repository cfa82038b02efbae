use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, U256};
use polity_evm::{KIND, account};
use polity_kernel::{Code, View, ViewError};
use polity_state::{Changes, StateError, StateView};
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, Value};
use polity_verify::{Cell, Key};

use super::marks;
use crate::fork::Remote;

/// The state after a block, with what was edited since: what a development
/// chain's powers changed outside of any block.
///
/// On a fork, what was not written here is what the other chain has.
#[derive(Clone)]
pub struct ChainView {
    state: StateView,
    edits: Arc<Changes>,
    remote: Option<Arc<Remote>>,
}

impl ChainView {
    /// A state with edits over it, and under it the state of the chain that this
    /// one goes on from, if it does.
    pub const fn new(state: StateView, edits: Arc<Changes>, remote: Option<Arc<Remote>>) -> Self {
        Self { state, edits, remote }
    }

    /// Every key whose row begins with these bytes, with what is there
    /// ([`StateView::cells`]); on a fork only what was written here.
    ///
    /// # Errors
    /// The state failed.
    pub fn cells(&self, prefix: &[u8]) -> Result<Vec<(Key, Cell)>, StateError> {
        let cells = self.state.cells(prefix)?;
        let row = |(key, cell): (Key, Cell)| (key.row(), cell.to_bytes().into());
        let mut rows: BTreeMap<Vec<u8>, Bytes> = cells.into_iter().map(row).collect();
        self.edits.apply_rows(prefix, &mut rows);
        let parse = |(row, cell): (&Vec<u8>, &Bytes)| {
            let corrupt = |error: String| StateError::Corrupt(error);
            let key = Key::from_row(row).map_err(|error| corrupt(error.to_string()))?;
            let cell = match &key {
                Key::Account(_) => Cell::record(cell).map(Cell::Account),
                Key::Slot(..) => Cell::value(cell).map(Cell::Slot),
            };
            Ok((key, cell.map_err(|error| corrupt(error.to_string()))?))
        };
        let shown = |row: &Result<(Key, Cell), StateError>| !matches!(row, Ok((Key::Slot(_, key), _)) if marks::is_mark(key));
        rows.iter().map(parse).filter(shown).collect()
    }

    fn own_account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match self.edits.account(account) {
            Some(record) => Ok(record),
            None => self.state.account(account),
        }
    }

    fn own_slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        match self.edits.slot(account, key) {
            Some(value) => Ok(value),
            None => self.state.slot(account, key),
        }
    }

    /// Whether a mark was set, at any time: none is taken away, but by going back.
    pub(super) fn is_marked(
        &self,
        account: &AccountId,
        mark: &LocalKey,
    ) -> Result<bool, ViewError> {
        let edited = self.edits.slot(account, mark).is_some_and(|mark| !mark.is_empty());
        Ok(edited || !self.state.slot(account, mark)?.is_empty())
    }
}

impl ChainView {
    /// Asks the other chain in one go for what of these is not known here.
    pub(super) fn warm(
        &self,
        accounts: &[Address],
        slots: &[(Address, U256)],
    ) -> Result<(), ViewError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let mut foreign = Vec::new();
        for address in accounts {
            if self.account_here(&account(*address))?.is_none() {
                foreign.push(*address);
            }
        }
        let mut foreign_slots = Vec::new();
        for (address, slot) in slots {
            if self.slot_here(&account(*address), &LocalKey::storage(*slot))?.is_none() {
                foreign_slots.push((*address, *slot));
            }
        }
        remote.warm(foreign, foreign_slots)
    }

    /// The account as far as it is known here; `None` where the other chain knows.
    fn account_here(&self, id: &AccountId) -> Result<Option<Option<AccountRecord>>, ViewError> {
        let own = self.own_account(id)?;
        // The other chain has no machine but Ethereum's.
        let is_known = self.remote.is_none()
            || id.machine != KIND
            || own.is_some()
            || self.edits.account(id).is_some()
            || self.is_marked(id, &marks::removed())?;
        Ok(is_known.then_some(own))
    }

    /// The value of a slot as far as it is known here; `None` where the other chain
    /// knows.
    fn slot_here(&self, id: &AccountId, key: &LocalKey) -> Result<Option<Value>, ViewError> {
        let own = self.own_slot(id, key)?;
        let is_here = self.remote.is_none() || id.machine != KIND || !own.is_empty();
        if is_here || self.edits.slot(id, key).is_some() {
            return Ok(Some(own));
        }
        let Some(mark) = marks::emptied(key) else { return Ok(Some(own)) };
        let is_known = self.is_marked(id, &mark)? || self.is_marked(id, &marks::reset())?;
        Ok(is_known.then_some(own))
    }
}

impl View for ChainView {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match (self.account_here(account)?, &self.remote) {
            (Some(known), _) => Ok(known),
            (None, Some(remote)) => remote.account(account),
            (None, None) => Ok(None),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        match (self.slot_here(account, key)?, &self.remote) {
            (Some(known), _) => Ok(known),
            (None, Some(remote)) => remote.slot(account, key),
            (None, None) => Ok(Value::Empty),
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        if let Some(code) = self.edits.code(hash) {
            return Ok(code.clone());
        }
        // There first: it is in memory.
        if let Some(code) = self.remote.as_ref().and_then(|remote| remote.code(hash)) {
            return Ok(code);
        }
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        match &self.remote {
            Some(remote) if number <= remote.number() => remote.block_hash(number),
            _ => self.state.block_hash(number),
        }
    }
}

/// A state with changes over it that are borrowed.
pub(super) struct Layer<'a> {
    pub(super) under: &'a dyn View,
    pub(super) changes: &'a Changes,
}

impl View for Layer<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        self.changes.account(account).map_or_else(|| self.under.account(account), Ok)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.changes.slot(account, key).map_or_else(|| self.under.slot(account, key), Ok)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.changes.code(hash).cloned().map_or_else(|| self.under.code(hash), Ok)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.under.block_hash(number)
    }
}
