use std::sync::Arc;

use polity_kernel::{Code, View, ViewError};
use polity_state::{Changes, StateView};
use polity_types::{AccountId, AccountRecord, B256, LocalKey, Value};

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

    /// The state without the edits.
    pub const fn state(&self) -> &StateView {
        &self.state
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
