//! A transaction's accounts, out of the kernel's cells and back.

use crate::{
    account::{Cells, Changes, Head, NEVER, changes, executable},
    base_units,
    block::Environment,
    gateway,
    lamports::{exactly, lamports},
};
use polity_kernel::{Account, Code, Halt, Host};
use polity_types::{AccountId, AssetId, Interval, LocalKey, U256, Value};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use std::{cell::Cell, sync::Arc};

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

/// What an account that a run sees is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Of the block, or of this run alone.
    MadeUp,
    /// Of cells of its own.
    Own(Account),
    /// Of the balance of another machine's account, for which it stands.
    Alias(Account, AccountId),
    /// It is the gateway's vault, or the mint of an asset that was issued elsewhere. Its
    /// lamports are made up: what it gains and loses is this account's.
    Shown(Account),
}

/// An account as a run found it.
pub(crate) struct Loaded {
    /// What it was; without lamports where it was not there.
    pub(crate) account: AccountSharedData,
    nature: Cell<Nature>,
    pub(crate) head: Option<Head>,
}

impl Loaded {
    /// Loads an account, without saying on how many lamports anything relies.
    pub(crate) fn new(
        host: &mut dyn Host,
        address: &Pubkey,
        environment: &Environment,
    ) -> Result<Self, Halt> {
        let id = crate::account(address);
        if let Some(account) = environment.account(address) {
            let loaded = Self::made_up(account.clone());
            if *address == gateway::vault() {
                loaded.becomes(Nature::Shown(host.account(&id)?));
            }
            return Ok(loaded);
        }
        let handle = host.account(&id)?;
        // Whatever an alias holds itself is not looked at.
        if let Some(target) = host.aliased(handle)? {
            if let Some(asset) = AssetId::of(&target)
                && let Some(account) = gateway::mint(&mut OfHost(host), asset)?
            {
                let nature = Cell::new(Nature::Shown(handle));
                return Ok(Self { account, nature, head: None });
            }
            return Self::standing_for(host, &target);
        }
        let shown = lamports(host.peek(handle)?.unwrap_or_default().balance);
        if shown == 0 {
            let nature = Cell::new(Nature::Own(handle));
            return Ok(Self { account: absent(), nature, head: None });
        }
        let head = Head::read(&mut OfHost(host), handle)?;
        let mut account = head.account(&mut OfHost(host), handle, shown)?;
        gateway::fill(&mut OfHost(host), address, &mut account)?;
        Ok(Self { account, nature: Cell::new(Nature::Own(handle)), head: Some(head) })
    }

    /// The alias of an account, whether or not it is written down that it is one.
    pub(crate) fn standing_for(host: &mut dyn Host, target: &AccountId) -> Result<Self, Halt> {
        let handle = host.account(target)?;
        let mut account = absent();
        account.set_lamports(lamports(host.peek(handle)?.unwrap_or_default().balance));
        let nature = Cell::new(Nature::Alias(handle, *target));
        Ok(Self { account, nature, head: None })
    }

    /// An account that exists for this transaction alone.
    pub(crate) const fn made_up(account: AccountSharedData) -> Self {
        Self { account, nature: Cell::new(Nature::MadeUp), head: None }
    }

    pub(crate) fn nature(&self) -> Nature {
        self.nature.get()
    }

    /// What it is made of from now on, where the run changes that.
    pub(crate) fn becomes(&self, nature: Nature) {
        self.nature.set(nature);
    }

    pub(crate) fn exists(&self) -> bool {
        self.account.lamports() > 0 || self.nature() == Nature::MadeUp
    }

    /// Whose balance the lamports are.
    pub(crate) fn balance(&self) -> Option<Account> {
        match self.nature() {
            Nature::Own(handle) | Nature::Alias(handle, _) => Some(handle),
            Nature::MadeUp | Nature::Shown(_) => None,
        }
    }

    /// Relies on exactly these lamports.
    pub(crate) fn rely_exactly(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let Some(handle) = self.balance() else { return Ok(()) };
        rely(host, handle, exactly(self.account.lamports()))
    }

    /// Relies on at least so many lamports.
    pub(crate) fn rely_at_least(&self, host: &mut dyn Host, least: u64) -> Result<(), Halt> {
        let Some(handle) = self.balance() else { return Ok(()) };
        rely(host, handle, Interval { lo: base_units(least), hi: U256::MAX })
    }

    /// Whether a run may leave the account so. An alias stays a wallet, and is spent from
    /// only where the account that it stands for delegated that.
    pub(crate) fn may_become(
        &self,
        before: &AccountSharedData,
        now: &AccountSharedData,
        delegate: Option<&AccountId>,
    ) -> bool {
        let Nature::Alias(_, target) = self.nature() else { return true };
        let is_wallet = system_program::check_id(now.owner()) && now.data().is_empty();
        is_wallet && (now.lamports() >= before.lamports() || delegate == Some(&target))
    }

    /// Makes the cells those of the account as it is now, where they are those of what it
    /// was `before`.
    pub(crate) fn write(
        &self,
        host: &mut dyn Host,
        before: &AccountSharedData,
        now: &AccountSharedData,
    ) -> Result<(), Halt> {
        let handle = match self.nature() {
            Nature::MadeUp => return Ok(()),
            Nature::Alias(handle, _) | Nature::Shown(handle) => {
                return move_lamports(host, handle, before.lamports(), now.lamports());
            }
            Nature::Own(handle) => handle,
        };
        move_lamports(host, handle, before.lamports(), now.lamports())?;
        if now.lamports() == 0 {
            return remove(host, handle, before);
        }
        self.write_data(host, handle, before, now)
    }

    /// The same for an account that its run may still change. One without lamports is not
    /// gone as long as that is so: it keeps owner and data, and can be given lamports
    /// again. Gives what it is that the cells are of now.
    pub(crate) fn write_through(
        &self,
        host: &mut dyn Host,
        before: &AccountSharedData,
        now: AccountSharedData,
    ) -> Result<AccountSharedData, Halt> {
        if let Nature::Own(handle) = self.nature()
            && now.lamports() == 0
        {
            move_lamports(host, handle, before.lamports(), 0)?;
            let mut left = before.clone();
            left.set_lamports(0);
            return Ok(left);
        }
        self.write(host, before, &now)?;
        Ok(now)
    }

    fn write_data(
        &self,
        host: &mut dyn Host,
        handle: Account,
        before: &AccountSharedData,
        now: &AccountSharedData,
    ) -> Result<(), Halt> {
        let Changes { slots, code } = changes(before, now);
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
}

/// An account without lamports is gone; what it holds below one is not.
fn remove(host: &mut dyn Host, handle: Account, before: &AccountSharedData) -> Result<(), Halt> {
    let has_head = !before.data().is_empty()
        || before.executable()
        || !system_program::check_id(before.owner());
    if before.lamports() == 0 && !has_head {
        return Ok(());
    }
    let dust = host.peek(handle)?.is_some_and(|record| !record.balance.is_zero());
    if !dust {
        // Relies on the exact balance.
        return host.set_existence(handle, false);
    }
    rely(host, handle, Interval { lo: U256::ONE, hi: U256::MAX })?;
    if has_head {
        host.reset_storage(handle)?;
    }
    if executable(before).is_some() {
        host.set_code(handle, None)?;
    }
    Ok(())
}

/// Relies on a balance within these bounds as it is now. The host's bounds are for what it
/// was before the transaction, whatever the transaction did to it since.
pub(crate) fn rely(host: &mut dyn Host, handle: Account, now: Interval) -> Result<(), Halt> {
    let original = host.original(handle)?.unwrap_or_default().balance;
    let balance = host.peek(handle)?.unwrap_or_default().balance;
    let Interval { lo, hi } = now;
    let (lo, hi) = match balance.checked_sub(original) {
        Some(more) if hi == U256::MAX => (lo.saturating_sub(more), hi),
        Some(more) => (lo.saturating_sub(more), hi.saturating_sub(more)),
        None => {
            let less = original.saturating_sub(balance);
            (lo.saturating_add(less), hi.saturating_add(less))
        }
    };
    host.rely_balance(handle, lo, hi)
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
