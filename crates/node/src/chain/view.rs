use std::{collections::BTreeMap, sync::Arc};

use polity_kernel::{Code, View, ViewError};
use polity_state::{Changes, StateError, StateView};
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, Value};
use polity_verify::{Cell, Key};

/// The state after a block, with what was edited since: what a development
/// chain's powers changed outside of any block.
#[derive(Clone)]
pub struct ChainView {
    state: StateView,
    edits: Arc<Changes>,
}

impl ChainView {
    /// A state with edits over it.
    pub const fn new(state: StateView, edits: Arc<Changes>) -> Self {
        Self { state, edits }
    }

    /// Every key whose row begins with these bytes, with what is there
    /// ([`StateView::cells`]).
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
        rows.iter().map(parse).collect()
    }
}

impl View for ChainView {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match self.edits.account(account) {
            Some(record) => Ok(record),
            None => self.state.account(account),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        match self.edits.slot(account, key) {
            Some(value) => Ok(value),
            None => self.state.slot(account, key),
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        match self.edits.code(hash) {
            Some(code) => Ok(code.clone()),
            None => self.state.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.state.block_hash(number)
    }
}
