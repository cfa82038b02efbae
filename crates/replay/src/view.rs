//! A state at a node, as the kernel's view.

use std::sync::Arc;

use polity_evm::{KIND, code_ref};
use polity_kernel::{Code, View, ViewError};
use polity_remote::RemoteError;
use polity_types::{AccountId, AccountRecord, B256, LocalKey, Name, Space, Value};

use crate::remote::Source;

/// Reads of a [`Source`] whenever the execution asks for something.
pub struct SourceView<'a>(pub &'a dyn Source);

fn store(error: RemoteError) -> ViewError {
    ViewError::Store(error.to_string())
}

impl View for SourceView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        if account.machine != KIND {
            return Ok(None);
        }
        let found = self.0.account(account.short_address()).map_err(store)?;
        Ok(found.map(|found| AccountRecord {
            balance: found.balance,
            sequence: found.nonce,
            code: found.code_hash.and_then(code_ref),
        }))
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        match key {
            LocalKey { space: Space::STORAGE, name: Name::Word(slot) }
                if account.machine == KIND =>
            {
                self.0.storage(account.short_address(), *slot).map(Value::word).map_err(store)
            }
            _ => Ok(Value::Empty),
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.0.code(*hash).map(|code| Arc::new(Code::new(code))).map_err(store)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.0.block_hash(number).map_err(store)
    }
}
