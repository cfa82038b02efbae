//! A transaction's accounts, out of the kernel's cells and back.

use crate::{
    account::{Cells, Changes, Head, NEVER, changes},
    base_units,
    block::Environment,
    lamports::{exactly, lamports},
};
use polity_kernel::{Account, Code, Halt, Host};
use polity_types::{AccountId, LocalKey, U256, Value};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_pubkey::Pubkey;
use std::sync::Arc;

/// What every account counts beside its data (SIMD-0186).
pub(crate) const ACCOUNT_BASE_SIZE: usize = 64;

/// The cells that a transaction sees. Reading them is relying on them.
pub(crate) struct OfHost<'a>(pub(crate) &'a mut dyn Host);

impl Cells for OfHost<'_> {
    type Error = Halt;
    type Handle = Account;

    fn handle(&mut self, account: &AccountId) -> Result<Account, Halt> {
        self.0.account(account)
    }

    fn slot(&mut self, account: Account, key: &LocalKey) -> Result<Value, Halt> {
        self.0.read(account, key)
    }

    fn code(&mut self, account: Account) -> Result<Option<Arc<Code>>, Halt> {
        let code = self.0.code(account)?;
        code.map(|code| self.0.code_by_hash(&code.hash)).transpose()
    }
}

/// An account as a transaction found it.
pub(crate) struct Loaded {
    /// What it was; without lamports where it was not there.
    pub(crate) account: AccountSharedData,
    /// Whose cells it is made of; `None` where it is made up.
    cells: Option<Account>,
    pub(crate) head: Option<Head>,
}

impl Loaded {
    /// Loads an account, without saying on how many lamports anything relies.
    pub(crate) fn new(
        host: &mut dyn Host,
        address: &Pubkey,
        environment: &Environment,
    ) -> Result<Self, Halt> {
        if let Some(account) = environment.account(address) {
            return Ok(Self::made_up(account.clone()));
        }
        let id = crate::account(address);
        let handle = host.account(&id)?;
        let shown = lamports(host.peek(handle)?.unwrap_or_default().balance);
        let cells = Some(handle);
        if shown == 0 {
            return Ok(Self { account: absent(), cells, head: None });
        }
        let mut of_host = OfHost(host);
        let head = Head::read(&mut of_host, handle)?;
        let account = head.account(&mut of_host, handle, shown)?;
        Ok(Self { account, cells, head: Some(head) })
    }

    /// An account that exists for this transaction alone.
    pub(crate) const fn made_up(account: AccountSharedData) -> Self {
        Self { account, cells: None, head: None }
    }

    pub(crate) fn exists(&self) -> bool {
        self.account.lamports() > 0 || self.cells.is_none()
    }

    /// Relies on exactly these lamports.
    pub(crate) fn rely_exactly(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let Some(handle) = self.cells else { return Ok(()) };
        let interval = exactly(self.account.lamports());
        host.rely_balance(handle, interval.lo, interval.hi)
    }

    /// Relies on at least so many lamports.
    pub(crate) fn rely_at_least(&self, host: &mut dyn Host, least: u64) -> Result<(), Halt> {
        let Some(handle) = self.cells else { return Ok(()) };
        host.rely_balance(handle, base_units(least), U256::MAX)
    }

    /// Makes the cells those of the account as it is now.
    pub(crate) fn write(&self, host: &mut dyn Host, now: &AccountSharedData) -> Result<(), Halt> {
        let Some(handle) = self.cells else { return Ok(()) };
        move_lamports(host, handle, self.account.lamports(), now.lamports())?;
        if now.lamports() == 0 {
            return self.remove(host, handle);
        }
        let Changes { slots, code } = changes(&self.account, now);
        for (key, value) in slots {
            host.write(handle, &key, value)?;
        }
        match code {
            Some(code) => {
                let code = code.map(|(reference, bytes)| (reference, Arc::new(Code::new(bytes))));
                host.set_code(handle, code)
            }
            None => Ok(()),
        }
    }

    /// An account without lamports is gone; what it holds below one is not.
    fn remove(&self, host: &mut dyn Host, handle: Account) -> Result<(), Halt> {
        if self.account.lamports() == 0 {
            return Ok(());
        }
        let dust = host.peek(handle)?.is_some_and(|record| !record.balance.is_zero());
        if !dust {
            // Relies on the exact balance.
            return host.set_existence(handle, false);
        }
        let more = base_units(self.account.lamports()).saturating_add(U256::ONE);
        host.rely_balance(handle, more, U256::MAX)?;
        if self.head.as_ref().is_some_and(|head| !head.is_none()) {
            host.reset_storage(handle)?;
        }
        if self.head.as_ref().is_some_and(|head| head.has_code) {
            host.set_code(handle, None)?;
        }
        Ok(())
    }
}

/// What stands for an account that is not there.
pub(crate) fn absent() -> AccountSharedData {
    let mut account = AccountSharedData::default();
    account.set_rent_epoch(NEVER);
    account
}

/// Moves what a transaction gave to an account or took from it. What does not
/// show in lamports stays where it is.
pub(crate) fn move_lamports(
    host: &mut dyn Host,
    handle: Account,
    before: u64,
    after: u64,
) -> Result<(), Halt> {
    if let Some(more) = after.checked_sub(before) {
        return if more == 0 { Ok(()) } else { host.credit(handle, base_units(more)) };
    }
    if host.debit(handle, base_units(before.saturating_sub(after)))? {
        return Ok(());
    }
    let id = host.id(handle)?;
    Err(Halt::Fault(format!("{id} is to pay more than it has")))
}

/// Writes the data of an account that only that is changed of.
pub(crate) fn write_data(
    host: &mut dyn Host,
    address: &Pubkey,
    now: &AccountSharedData,
) -> Result<(), Halt> {
    let id = crate::account(address);
    let handle = host.account(&id)?;
    let mut cells = OfHost(host);
    let before = Head::read(&mut cells, handle)?.account(&mut cells, handle, now.lamports())?;
    for (key, value) in changes(&before, now).slots {
        host.write(handle, &key, value)?;
    }
    Ok(())
}
