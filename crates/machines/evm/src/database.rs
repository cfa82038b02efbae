use crate::{
    KIND,
    account::{account, code_hash},
    gateway,
};
use alloc::format;
use alloy_primitives::{Address, B256, Bytes, U256};
use polity_kernel::{Account, Halt, Host};
use polity_types::{AccountId as Id, LocalKey};
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::KECCAK_EMPTY,
    state::{AccountId, AccountInfo},
};

/// revm's database over the kernel's host. revm's account ids are the kernel's
/// account handles; that of an alias is the handle of the account it stands for, so
/// that both have one balance.
pub struct KernelDatabase<'h> {
    pub(crate) host: &'h mut dyn Host,
    /// Whether there are aliases and the gateway on this chain.
    pub(crate) gateway: bool,
    /// Whether the transaction has met an alias.
    pub(crate) aliased: bool,
}

/// A [`Halt`] on its way through revm.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(#[from] pub(crate) Halt);

impl DBErrorMarker for DatabaseError {}

impl KernelDatabase<'_> {
    /// The kernel's handle of an account that revm has loaded.
    pub(crate) fn handle(&mut self, address: Address, info: &AccountInfo) -> Result<Account, Halt> {
        match info.account_id.and_then(|id| u32::try_from(id.get()).ok()) {
            Some(index) => {
                let handle = Account::from_index(index);
                // That it became an alias was undone.
                match info.code_hash == KECCAK_EMPTY && self.is_foreign(handle)? {
                    true => self.host.account(&account(address)),
                    false => Ok(handle),
                }
            }
            None => self.host.account(&account(address)),
        }
    }

    /// Whether the handle is that of another machine's account: revm has loaded an alias.
    pub(crate) fn is_foreign(&self, handle: Account) -> Result<bool, Halt> {
        Ok(self.aliased && self.host.id(handle)?.machine != KIND)
    }

    /// Which account an address stands for that is not Ethereum's own.
    pub(crate) fn foreign(
        &mut self,
        address: Address,
        handle: Account,
    ) -> Result<Option<Id>, Halt> {
        if !self.gateway {
            return Ok(None);
        }
        match gateway::known(address) {
            Some(known) => Ok(Some(known)),
            None => self.host.aliased(handle),
        }
    }

    fn slot(&mut self, account: Account, index: U256) -> Result<U256, DatabaseError> {
        let value = self.host.read(account, &LocalKey::storage(index))?;
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
        let handle = self.host.account(&account(address))?;
        if let Some(target) = self.foreign(address, handle)? {
            self.aliased = true;
            let foreign = self.host.account(&target)?;
            return Ok(Some(AccountInfo {
                balance: self.host.peek(foreign)?.unwrap_or_default().balance,
                nonce: 0,
                code_hash: polity_kernel::alias::code(&target).0.hash,
                account_id: AccountId::new(foreign.index() as usize),
                code: None,
            }));
        }
        Ok(self.host.peek(handle)?.map(|record| AccountInfo {
            balance: record.balance,
            nonce: record.sequence,
            code_hash: code_hash(record.code),
            account_id: AccountId::new(handle.index() as usize),
            code: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, DatabaseError> {
        if let Some(code) = gateway::known_code(&hash).filter(|_| self.gateway) {
            return Ok(prepare(&code));
        }
        let code = self.host.code_by_hash(&hash)?;
        let prepared = code.prepared(prepare).cloned();
        prepared.ok_or_else(|| {
            DatabaseError(Halt::Fault(format!("code {hash} belongs to another machine")))
        })
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, DatabaseError> {
        let handle = self.host.account(&account(address))?;
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
        Ok(self.host.block_hash(number)?)
    }
}
