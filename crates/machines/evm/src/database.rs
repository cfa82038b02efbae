use crate::account::{account, code_hash};
use alloc::format;
use alloy_primitives::{Address, B256, Bytes, U256};
use polity_kernel::{Account, Halt, Host};
use polity_types::LocalKey;
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    state::{AccountId, AccountInfo},
};

/// revm's database over the kernel's host. revm's account ids are the kernel's
/// account handles.
pub struct KernelDatabase<'h>(pub(crate) &'h mut dyn Host);

/// A [`Halt`] on its way through revm.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(#[from] pub(crate) Halt);

impl DBErrorMarker for DatabaseError {}

impl KernelDatabase<'_> {
    /// The kernel's handle of an account that revm has loaded.
    pub(crate) fn handle(&mut self, address: Address, info: &AccountInfo) -> Result<Account, Halt> {
        match info.account_id.and_then(|id| u32::try_from(id.get()).ok()) {
            Some(index) => Ok(Account::from_index(index)),
            None => self.0.account(&account(address)),
        }
    }

    fn slot(&mut self, account: Account, index: U256) -> Result<U256, DatabaseError> {
        let value = self.0.read(account, &LocalKey::storage(index))?;
        value.as_word().ok_or_else(|| {
            DatabaseError(Halt::Fault(format!("slot {index:#x} of a contract holds bytes")))
        })
    }
}

/// Code in the form that revm runs. Bytes that only look like a delegation
/// (EIP-7702) were deployed before there were any, and are ordinary code.
pub(crate) fn prepare(bytes: &Bytes) -> Bytecode {
    Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes.clone()))
}

impl Database for KernelDatabase<'_> {
    type Error = DatabaseError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DatabaseError> {
        let handle = self.0.account(&account(address))?;
        Ok(self.0.peek(handle)?.map(|record| AccountInfo {
            balance: record.balance,
            nonce: record.sequence,
            code_hash: code_hash(record.code),
            account_id: AccountId::new(handle.index() as usize),
            code: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, DatabaseError> {
        let code = self.0.code_by_hash(&hash)?;
        let prepared = code.prepared(prepare).cloned();
        prepared.ok_or_else(|| {
            DatabaseError(Halt::Fault(format!("code {hash} belongs to another machine")))
        })
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, DatabaseError> {
        let handle = self.0.account(&account(address))?;
        self.slot(handle, index)
    }

    fn storage_by_account_id(
        &mut self,
        address: Address,
        account_id: AccountId,
        index: U256,
    ) -> Result<U256, DatabaseError> {
        match u32::try_from(account_id.get()) {
            Ok(handle) => self.slot(Account::from_index(handle), index),
            Err(_) => self.storage(address, index),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DatabaseError> {
        Ok(self.0.block_hash(number)?)
    }
}
