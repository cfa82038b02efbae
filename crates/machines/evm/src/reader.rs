use crate::{
    account::{account, code_hash},
    database::prepare,
    gateway,
};
use alloc::format;
use alloy_primitives::{Address, B256, U256};
use polity_kernel::{View, ViewError, alias};
use polity_types::{AccountRecord, Bytes, LocalKey};
use revm::{
    DatabaseRef, bytecode::Bytecode, database_interface::DBErrorMarker, state::AccountInfo,
};

/// An account as contracts see it on a chain with a gateway: an alias has the balance of
/// the account that it stands for.
///
/// # Errors
/// The view failed.
pub fn read_account(view: &dyn View, address: Address) -> Result<Option<AccountRecord>, ViewError> {
    let record = view.account(&account(address))?;
    let target = alias::resolve(view, record.and_then(|record| record.code))?;
    let Some(target) = target else { return Ok(record) };
    let balance = view.account(&target)?.unwrap_or_default().balance;
    Ok(record.map(|record| AccountRecord { balance, ..record }))
}

/// The code at an address as contracts see it on a chain with a gateway.
///
/// # Errors
/// The view failed.
pub fn read_code(view: &dyn View, address: Address) -> Result<Bytes, ViewError> {
    if let Some(code) = gateway::code_at(address) {
        return Ok(code);
    }
    match view.account(&account(address))?.and_then(|record| record.code) {
        Some(code) => Ok(view.code(&code.hash)?.bytes().clone()),
        None => Ok(Bytes::new()),
    }
}

/// A view as revm's database, for tools of revm's that compare a transaction's
/// outcome with the state before it. No transaction is executed on it.
#[derive(Clone, Copy)]
pub struct StateReader<'a>(pub &'a dyn View);

/// A [`ViewError`] on its way through revm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct StateFault(#[from] pub ViewError);

impl DBErrorMarker for StateFault {}

impl core::fmt::Debug for StateReader<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StateReader").finish_non_exhaustive()
    }
}

impl DatabaseRef for StateReader<'_> {
    type Error = StateFault;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateFault> {
        Ok(read_account(self.0, address)?.map(|record| AccountInfo {
            balance: record.balance,
            nonce: record.sequence,
            code_hash: code_hash(record.code),
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateFault> {
        let code = self.0.code(&hash)?;
        Ok(code.prepared(prepare).cloned().unwrap_or_else(|| prepare(code.bytes())))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, StateFault> {
        let value = self.0.slot(&account(address), &LocalKey::storage(index))?;
        value.as_word().ok_or_else(|| {
            StateFault(ViewError::Store(format!("slot {index:#x} of {address} holds bytes")))
        })
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateFault> {
        Ok(self.0.block_hash(number)?)
    }
}
