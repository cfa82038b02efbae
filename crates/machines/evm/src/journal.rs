//! revm's journal, with a note of what the execution relied on.
//!
//! revm hands out whole accounts; which of their cells it then looks at is a
//! property of the caller. The newtype notes, for each way in:
//!
//! | way in | relied on |
//! | --- | --- |
//! | loads without code | nothing: whoever looks says so below |
//! | loads with code | the code |
//! | account info with code (`CALL*`, `EXTCODESIZE`, `EXTCODECOPY`) | the code, and whether the account is empty |
//! | account info without code (`BALANCE`, `SELFBALANCE`, `EXTCODEHASH`) | the exact balance, the code, and whether it is empty |
//! | transfer | "at least" or "less than" the amount at the sender |
//! | creation | the same, and code and nonce at the new address |
//! | self-destruct | the exact balance, and whether the heir is empty |
//!
//! The sender's check, authorizations and `CREATE`'s own look at its caller are
//! noted where they happen, in [`crate::executor`].

use crate::{
    database::{DatabaseError, KernelDatabase},
    session::EvmSession,
};
use alloc::{boxed::Box, vec::Vec};
use alloy_primitives::{
    Address, B256, Log, U256,
    map::{AddressMap, AddressSet, HashSet},
};
use polity_kernel::{Account as Handle, Halt, Host};
use revm::{
    JournalEntry,
    bytecode::Bytecode,
    context_interface::{
        JournalTr,
        context::{SStoreResult, SelfDestructResult, StateLoad},
        journaled_state::{
            AccountInfoLoad, AccountLoad, JournalCheckpoint, JournalLoadError, TransferError,
            account::JournaledAccount,
        },
    },
    inspector::JournalExt,
    primitives::{StorageKey, StorageValue, hardfork::SpecId},
    state::{Account, EvmState},
};

/// Wei that left the balances by rule: a self-destruct in favour of oneself.
/// The number is the length of revm's journal when it happened, so that a
/// revert undoes it.
pub(crate) type Burns = Vec<(usize, U256)>;

/// revm's journal of one transaction, over the kernel's host.
pub struct SessionJournal<'h> {
    pub(crate) database: KernelDatabase<'h>,
    pub(crate) session: &'h mut EvmSession,
    /// What went wrong where revm's interface has no way to say so.
    pub(crate) fault: Option<Halt>,
}

type LoadError = JournalLoadError<DatabaseError>;

impl<'h> SessionJournal<'h> {
    pub(crate) const fn with(database: KernelDatabase<'h>, session: &'h mut EvmSession) -> Self {
        Self { database, session, fault: None }
    }

    /// Loads the sender where it is about to be met, so that it is warm. Every time, for a
    /// frame that reverts makes cold what it has loaded.
    #[inline]
    fn meet(&mut self, address: Address) -> Result<(), DatabaseError> {
        if self.session.sender.is_some_and(|sender| sender == address) {
            self.session.inner.load_account(&mut self.database, address)?;
        }
        Ok(())
    }

    fn keep_fault(&mut self, noted: Result<(), Halt>) {
        if let Err(halt) = noted {
            self.fault.get_or_insert(halt);
        }
    }

    /// Tells a trace what was done, if there is one.
    #[inline]
    fn tell(&mut self) {
        if self.session.tale.is_traced {
            self.session.aliased |= self.database.aliased;
            let told = self.session.tell(self.database.host);
            self.keep_fault(told);
        }
    }

    fn spec(&self) -> SpecId {
        self.session.inner.cfg.spec
    }

    /// An account that was loaded, with the kernel's handle, the host to note
    /// reliance with, and the rules.
    fn loaded(&mut self, address: Address) -> Result<Option<Loaded<'_>>, Halt> {
        let Some(account) = self.session.inner.state.get(&address) else { return Ok(None) };
        let handle = self.database.handle(address, &account.info)?;
        Ok(Some(Loaded {
            host: self.database.host,
            handle,
            account,
            spec: self.session.inner.cfg.spec,
        }))
    }

    /// The kernel's handle of an account, loaded or not.
    fn handle(&mut self, address: Address) -> Result<Handle, Halt> {
        match self.session.inner.state.get(&address) {
            Some(account) => self.database.handle(address, &account.info),
            None => self.database.host.account(&crate::account(address)),
        }
    }

    /// Relies on the account's code before the transaction.
    fn rely_code(&mut self, address: Address) -> Result<(), Halt> {
        let handle = self.handle(address)?;
        self.database.host.rely_code(handle)
    }

    /// Relies on the account's nonce before the transaction.
    fn rely_nonce(&mut self, address: Address) -> Result<(), Halt> {
        let handle = self.handle(address)?;
        self.database.host.rely_sequence(handle)
    }

    /// Loads who sends a transaction or creates a contract, and relies on the
    /// nonce and on whether `amount` can be paid.
    pub(crate) fn rely_payer(&mut self, payer: Address, amount: U256) -> Result<(), DatabaseError> {
        self.session.inner.load_account(&mut self.database, payer)?;
        if let Some(loaded) = self.loaded(payer)? {
            loaded.host.rely_sequence(loaded.handle)?;
            loaded.rely_can_pay(amount)?;
        }
        Ok(())
    }

    /// Relies on the exact balance of an account that was loaded.
    pub(crate) fn rely_exact_balance(&mut self, address: Address) -> Result<(), DatabaseError> {
        if let Some(mut loaded) = self.loaded(address)? {
            loaded.rely_exact_balance()?;
        }
        Ok(())
    }

    /// Relies on what an authorization looks at in its authority, without
    /// loading the account, which would make it warm.
    pub(crate) fn rely_authority(&mut self, authority: Address) -> Result<(), Halt> {
        self.rely_code(authority)?;
        self.rely_nonce(authority)?;
        match self.loaded(authority)? {
            Some(loaded) => loaded.rely_emptiness(),
            None => {
                let handle = self.handle(authority)?;
                self.database.host.rely_emptiness(handle)
            }
        }
    }

    /// Relies on whether the account, which is loaded, can pay `amount` now.
    fn rely_can_pay(&mut self, address: Address, amount: U256) -> Result<(), Halt> {
        if amount.is_zero() {
            return Ok(());
        }
        self.loaded(address)?.map_or(Ok(()), |loaded| loaded.rely_can_pay(amount))
    }

    /// Relies on whether the account, which is loaded, is empty now.
    fn rely_emptiness(&mut self, address: Address) -> Result<(), Halt> {
        self.loaded(address)?.map_or(Ok(()), Loaded::rely_emptiness)
    }
}

/// An account that was loaded, and the host to note reliance with.
struct Loaded<'a> {
    host: &'a mut dyn Host,
    handle: Handle,
    account: &'a Account,
    spec: SpecId,
}

impl<'a> Loaded<'a> {
    /// Relies on the account's exact balance before the transaction.
    fn rely_exact_balance(&mut self) -> Result<(), Halt> {
        let exact = self.host.original(self.handle)?.unwrap_or_default().balance;
        self.host.rely_balance(self.handle, exact, exact)
    }

    /// Relies on whether the account can pay `amount` now.
    fn rely_can_pay(self, amount: U256) -> Result<(), Halt> {
        self.host.rely_can_pay(self.handle, &self.account.info.balance, &amount)
    }

    /// Relies on whether the account is empty now, or, before EIP-161, on
    /// whether it exists.
    fn rely_emptiness(self) -> Result<(), Halt> {
        let Self { host, handle, account, spec } = self;
        let info = &account.info;
        if !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
            return host.rely_existence(handle);
        }
        let before = host.original(handle)?.unwrap_or_default();
        if crate::account::code_hash(before.code) != info.code_hash || before.sequence != info.nonce
        {
            // What this transaction set makes it not empty, whatever it was
            // before; only a self-destruct can have cleared it, which looked.
            return Ok(());
        }
        if info.balance == before.balance {
            return host.rely_emptiness(handle);
        }
        if info.nonce != 0 || !info.is_empty_code_hash() || info.balance > before.balance {
            return Ok(());
        }
        host.rely_balance(handle, before.balance, before.balance)
    }
}

impl<'h> JournalTr for SessionJournal<'h> {
    type Database = KernelDatabase<'h>;
    type State = EvmState;
    type JournaledAccount<'a>
        = JournaledAccount<'a, KernelDatabase<'h>, JournalEntry>
    where
        Self: 'a;

    /// revm's way to a context of its own. Nothing here takes it: the tables
    /// are the session's, and those of a journal without one are never freed.
    fn new(database: KernelDatabase<'h>) -> Self {
        Self::with(database, Box::leak(Box::default()))
    }

    fn db_and_state(&self) -> (&Self::Database, &EvmState) {
        (&self.database, &self.session.inner.state)
    }

    #[inline]
    fn db_and_state_mut(&mut self) -> (&mut Self::Database, &mut EvmState) {
        (&mut self.database, &mut self.session.inner.state)
    }

    #[inline]
    fn sload_skip_cold_load(
        &mut self,
        address: Address,
        key: StorageKey,
        skip_cold_load: bool,
    ) -> Result<StateLoad<StorageValue>, LoadError> {
        let Self { database, session: EvmSession { inner, .. }, .. } = self;
        inner.sload_assume_account_present(database, address, key, skip_cold_load)
    }

    #[inline]
    fn sstore_skip_cold_load(
        &mut self,
        address: Address,
        key: StorageKey,
        value: StorageValue,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SStoreResult>, LoadError> {
        let Self { database, session: EvmSession { inner, .. }, .. } = self;
        inner.sstore_assume_account_present(database, address, key, value, skip_cold_load)
    }

    fn tload(&mut self, address: Address, key: StorageKey) -> StorageValue {
        self.session.inner.tload(address, key)
    }

    fn tstore(&mut self, address: Address, key: StorageKey, value: StorageValue) {
        self.session.inner.tstore(address, key, value);
    }

    fn log(&mut self, log: Log) {
        self.session.inner.log(log);
    }

    fn take_logs(&mut self) -> Vec<Log> {
        self.tell();
        let logs = self.session.inner.take_logs();
        self.session.tell_again();
        logs
    }

    fn logs(&self) -> &[Log] {
        &self.session.inner.logs
    }

    fn selfdestruct(
        &mut self,
        address: Address,
        target: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SelfDestructResult>, LoadError> {
        let always = !self.spec().is_enabled_in(SpecId::CANCUN);
        self.tell();
        let mut before = None;
        if let Some(mut loaded) = self.loaded(address).map_err(DatabaseError)? {
            before =
                Some((loaded.account.info.balance, always || loaded.account.is_created_locally()));
            loaded.rely_exact_balance().map_err(DatabaseError)?;
        }
        // The heir is judged before it inherits.
        self.meet(target)?;
        let Self { database, session: EvmSession { inner, .. }, .. } = self;
        let is_cold = inner.load_account_mut_optional(database, target, skip_cold_load)?.is_cold;
        self.rely_emptiness(target).map_err(DatabaseError)?;
        let Self { database, session: EvmSession { inner, .. }, .. } = self;
        let mut result = inner.selfdestruct(database, address, target, skip_cold_load)?;
        result.is_cold = is_cold;
        // revm knows it as touched by the call; one from another machine moves its value in
        // the kernel.
        self.session.inner.touch(address);
        if self.session.tale.is_traced {
            let value = before.map_or(U256::ZERO, |(balance, _)| balance);
            let host = &mut *self.database.host;
            self.session.tell_end(address, target, value, host).map_err(DatabaseError)?;
        }
        if let Some((balance, true)) = before
            && address == target
            && !self.spec().is_enabled_in(SpecId::AMSTERDAM)
        {
            self.session.burns.push((self.session.inner.journal.len(), balance));
        }
        Ok(result)
    }

    fn warm_access_list(&mut self, access_list: AddressMap<HashSet<StorageKey>>) {
        self.session.inner.warm_addresses.set_access_list(access_list);
    }

    fn warm_coinbase_account(&mut self, address: Address) {
        self.session.inner.warm_addresses.set_coinbase(address);
    }

    fn warm_precompiles(&mut self, addresses: &AddressSet) {
        self.session.inner.warm_addresses.set_precompile_addresses(addresses);
    }

    fn precompile_addresses(&self) -> &AddressSet {
        self.session.inner.warm_addresses.precompiles()
    }

    fn set_spec_id(&mut self, spec_id: SpecId) {
        self.session.inner.cfg.spec = spec_id;
    }

    fn set_eip7708_config(&mut self, disabled: bool, delayed_clear_disabled: bool) {
        self.session.inner.set_eip7708_config(disabled, delayed_clear_disabled);
    }

    fn touch_account(&mut self, address: Address) {
        self.session.inner.touch(address);
    }

    fn transfer(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Result<Option<TransferError>, DatabaseError> {
        self.session.inner.load_account(&mut self.database, from)?;
        self.session.inner.load_account(&mut self.database, to)?;
        self.rely_can_pay(from, balance)?;
        Ok(self.session.inner.transfer_loaded(from, to, balance))
    }

    fn transfer_loaded(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Option<TransferError> {
        let noted = self.rely_can_pay(from, balance);
        self.keep_fault(noted);
        self.session.inner.transfer_loaded(from, to, balance)
    }

    #[expect(deprecated, reason = "revm's trait still has it")]
    fn caller_accounting_journal_entry(
        &mut self,
        address: Address,
        old_balance: U256,
        bump_nonce: bool,
    ) {
        self.session.inner.caller_accounting_journal_entry(address, old_balance, bump_nonce);
    }

    fn balance_incr(&mut self, address: Address, balance: U256) -> Result<(), DatabaseError> {
        self.session.inner.balance_incr(&mut self.database, address, balance)
    }

    #[expect(deprecated, reason = "revm's trait still has it")]
    fn nonce_bump_journal_entry(&mut self, address: Address) {
        self.session.inner.nonce_bump_journal_entry(address);
    }

    fn load_account(&mut self, address: Address) -> Result<StateLoad<&Account>, DatabaseError> {
        self.session.inner.load_account(&mut self.database, address)
    }

    fn load_account_with_code(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<&Account>, DatabaseError> {
        self.rely_code(address)?;
        self.session.inner.load_code(&mut self.database, address)
    }

    fn load_account_delegated(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<AccountLoad>, DatabaseError> {
        self.meet(address)?;
        let loaded = self.session.inner.load_account_delegated(&mut self.database, address)?;
        if let Some(found) = self.loaded(address)? {
            found.host.rely_code(found.handle)?;
            found.rely_emptiness()?;
        }
        Ok(loaded)
    }

    fn load_account_mut_skip_cold_load(
        &mut self,
        address: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, LoadError> {
        self.meet(address)?;
        self.session.inner.load_account_mut_optional(&mut self.database, address, skip_cold_load)
    }

    fn load_account_mut_optional_code(
        &mut self,
        address: Address,
        load_code: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, DatabaseError> {
        if load_code {
            self.rely_code(address)?;
        }
        self.session
            .inner
            .load_account_mut_optional_code(&mut self.database, address, load_code, false)
            .map_err(JournalLoadError::unwrap_db_error)
    }

    fn set_code_with_hash(&mut self, address: Address, code: Bytecode, hash: B256) {
        self.session.inner.set_code_with_hash(address, code, hash);
    }

    fn checkpoint(&mut self) -> JournalCheckpoint {
        self.session.open.push(self.session.hops.len());
        self.session.inner.checkpoint()
    }

    fn checkpoint_commit(&mut self) {
        self.session.open.pop();
        self.session.inner.checkpoint_commit();
    }

    fn checkpoint_revert(&mut self, checkpoint: JournalCheckpoint) {
        self.tell();
        self.session.inner.checkpoint_revert(checkpoint);
        self.session.tell_again();
        undo_burns(&mut self.session.burns, checkpoint);
        let hops = self.session.open.pop().unwrap_or_default();
        let undone = self.session.undo_hops(hops, self.database.host);
        self.keep_fault(undone);
    }

    fn create_account_checkpoint(
        &mut self,
        caller: Address,
        address: Address,
        balance: U256,
        spec_id: SpecId,
    ) -> Result<JournalCheckpoint, TransferError> {
        let noted = self
            .rely_can_pay(caller, balance)
            .and_then(|()| self.rely_code(address))
            .and_then(|()| self.rely_nonce(address));
        self.keep_fault(noted);
        if self.session.tale.is_traced {
            let told = self.session.tell_creation(Some(address), self.database.host);
            self.keep_fault(told);
        }
        let created =
            self.session.inner.create_account_checkpoint(caller, address, balance, spec_id);
        if created.is_ok() {
            self.session.open.push(self.session.hops.len());
        }
        created
    }

    fn depth(&self) -> usize {
        self.session.inner.depth
    }

    fn commit_tx(&mut self) {
        self.tell();
        self.session.inner.commit_tx();
        self.session.tell_again();
    }

    fn discard_tx(&mut self) {
        self.session.inner.discard_tx();
        self.session.tell_again();
    }

    fn finalize(&mut self) -> EvmState {
        self.session.inner.finalize()
    }

    fn load_account_info_skip_cold_load(
        &mut self,
        address: Address,
        load_code: bool,
        skip_cold_load: bool,
    ) -> Result<AccountInfoLoad<'_>, LoadError> {
        self.meet(address)?;
        let Self { database, session: EvmSession { inner, .. }, .. } = self;
        let loaded = inner.load_account_optional(database, address, load_code, skip_cold_load)?;
        let is_cold = loaded.is_cold;
        let Some(mut loaded) = self.loaded(address).map_err(DatabaseError)? else {
            return Ok(AccountInfoLoad::default());
        };
        let account = loaded.account;
        let is_empty = account.state_clear_aware_is_empty(loaded.spec);
        loaded.host.rely_code(loaded.handle).map_err(DatabaseError)?;
        if !load_code {
            loaded.rely_exact_balance().map_err(DatabaseError)?;
        }
        if account.info.is_empty_code_hash() {
            loaded.rely_emptiness().map_err(DatabaseError)?;
        }
        Ok(AccountInfoLoad::new(&account.info, is_cold, is_empty))
    }
}

impl JournalExt for SessionJournal<'_> {
    fn journal(&self) -> &[JournalEntry] {
        &self.session.inner.journal
    }
}

/// Drops the burns that happened after the checkpoint.
pub(crate) fn undo_burns(burns: &mut Burns, checkpoint: JournalCheckpoint) {
    while burns.last().is_some_and(|(at, _)| *at > checkpoint.journal_i) {
        burns.pop();
    }
}
