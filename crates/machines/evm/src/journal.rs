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

use crate::database::{DatabaseError, KernelDatabase};
use alloc::vec::Vec;
use alloy_primitives::{
    Address, B256, Log, U256,
    map::{AddressMap, AddressSet, HashSet},
};
use polity_kernel::Halt;
use revm::{
    Journal, JournalEntry,
    bytecode::Bytecode,
    context::journal::JournalInner,
    context_interface::{
        JournalTr,
        context::{SStoreResult, SelfDestructResult, StateLoad},
        journaled_state::{
            AccountInfoLoad, AccountLoad, JournalCheckpoint, JournalLoadError, TransferError,
            account::JournaledAccount,
        },
    },
    primitives::{StorageKey, StorageValue, hardfork::SpecId},
    state::{Account, EvmState},
};

/// Wei that left the balances by rule: a self-destruct in favour of oneself.
/// The number is the length of revm's journal when it happened, so that a
/// revert undoes it.
pub(crate) type Burns = Vec<(usize, U256)>;

pub(crate) struct SessionJournal<'h> {
    pub(crate) journal: Journal<KernelDatabase<'h>>,
    pub(crate) burns: Burns,
    /// What went wrong where revm's interface has no way to say so.
    pub(crate) fault: Option<Halt>,
}

type LoadError = JournalLoadError<DatabaseError>;

impl<'h> SessionJournal<'h> {
    pub(crate) fn with(
        database: KernelDatabase<'h>,
        inner: JournalInner<JournalEntry>,
        burns: Burns,
    ) -> Self {
        Self { journal: Journal::new_with_inner(database, inner), burns, fault: None }
    }

    fn keep_fault(&mut self, noted: Result<(), Halt>) {
        if let Err(halt) = noted {
            self.fault.get_or_insert(halt);
        }
    }

    fn spec(&self) -> SpecId {
        self.journal.inner.cfg.spec
    }

    /// Splits the borrow: the database, and an account that was loaded.
    fn loaded(&mut self, address: Address) -> Option<(&mut KernelDatabase<'h>, &Account)> {
        let account = self.journal.inner.state.get(&address)?;
        Some((&mut self.journal.database, account))
    }

    /// Relies on the account's code before the transaction.
    pub(crate) fn rely_code(&mut self, address: Address) -> Result<(), Halt> {
        let Some((database, account)) = self.loaded(address) else { return Ok(()) };
        let handle = database.handle(address, &account.info)?;
        database.0.rely_code(handle)
    }

    /// Relies on the account's nonce before the transaction.
    pub(crate) fn rely_nonce(&mut self, address: Address) -> Result<(), Halt> {
        let Some((database, account)) = self.loaded(address) else { return Ok(()) };
        let handle = database.handle(address, &account.info)?;
        database.0.rely_sequence(handle)
    }

    /// Relies on what an authorization looks at in its authority, without
    /// loading the account, which would make it warm.
    pub(crate) fn rely_authority(&mut self, authority: Address) -> Result<(), Halt> {
        if self.loaded(authority).is_some() {
            self.rely_code(authority)?;
            self.rely_nonce(authority)?;
            return self.rely_emptiness(authority);
        }
        let host = &mut *self.journal.database.0;
        let handle = host.account(&crate::account(authority))?;
        host.rely_code(handle)?;
        host.rely_sequence(handle)?;
        host.rely_emptiness(handle)
    }

    /// Relies on the account's exact balance before the transaction.
    fn rely_exact_balance(&mut self, address: Address) -> Result<(), Halt> {
        let Some((database, account)) = self.loaded(address) else { return Ok(()) };
        let handle = database.handle(address, &account.info)?;
        let exact = database.0.original(handle)?.unwrap_or_default().balance;
        database.0.rely_balance(handle, exact, exact)
    }

    /// Relies on whether the account can pay `amount` now.
    pub(crate) fn rely_can_pay(&mut self, address: Address, amount: U256) -> Result<(), Halt> {
        if amount.is_zero() {
            return Ok(());
        }
        let Some((database, account)) = self.loaded(address) else { return Ok(()) };
        let now = account.info.balance;
        let handle = database.handle(address, &account.info)?;
        let before = database.0.original(handle)?.unwrap_or_default().balance;
        // The same bound, on the balance before the transaction.
        let bound = |bound: U256| {
            if now >= before {
                bound.saturating_sub(now - before)
            } else {
                bound.saturating_add(before - now)
            }
        };
        if amount <= now {
            database.0.rely_balance(handle, bound(amount), U256::MAX)
        } else {
            database.0.rely_balance(handle, U256::ZERO, bound(amount - U256::ONE))
        }
    }

    /// Relies on whether the account is empty now, or, before EIP-161, on
    /// whether it exists.
    pub(crate) fn rely_emptiness(&mut self, address: Address) -> Result<(), Halt> {
        let spec = self.spec();
        let Some((database, account)) = self.loaded(address) else { return Ok(()) };
        let info = &account.info;
        let handle = database.handle(address, info)?;
        if !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
            return database.0.rely_existence(handle);
        }
        let before = database.0.original(handle)?.unwrap_or_default();
        if crate::account::code_hash(before.code) != info.code_hash || before.sequence != info.nonce
        {
            // What this transaction set makes it not empty, whatever it was
            // before; only a self-destruct can have cleared it, which looked.
            return Ok(());
        }
        if info.balance == before.balance {
            return database.0.rely_emptiness(handle);
        }
        if info.nonce != 0 || !info.is_empty_code_hash() || info.balance > before.balance {
            return Ok(());
        }
        database.0.rely_balance(handle, before.balance, before.balance)
    }
}

impl<'h> JournalTr for SessionJournal<'h> {
    type Database = KernelDatabase<'h>;
    type State = EvmState;
    type JournaledAccount<'a>
        = JournaledAccount<'a, KernelDatabase<'h>, JournalEntry>
    where
        Self: 'a;

    fn new(database: KernelDatabase<'h>) -> Self {
        Self::with(database, JournalInner::new(), Burns::new())
    }

    fn db_and_state(&self) -> (&Self::Database, &EvmState) {
        self.journal.db_and_state()
    }

    #[inline]
    fn db_and_state_mut(&mut self) -> (&mut Self::Database, &mut EvmState) {
        self.journal.db_and_state_mut()
    }

    #[inline]
    fn sload_skip_cold_load(
        &mut self,
        address: Address,
        key: StorageKey,
        skip_cold_load: bool,
    ) -> Result<StateLoad<StorageValue>, LoadError> {
        self.journal.sload_skip_cold_load(address, key, skip_cold_load)
    }

    #[inline]
    fn sstore_skip_cold_load(
        &mut self,
        address: Address,
        key: StorageKey,
        value: StorageValue,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SStoreResult>, LoadError> {
        self.journal.sstore_skip_cold_load(address, key, value, skip_cold_load)
    }

    fn tload(&mut self, address: Address, key: StorageKey) -> StorageValue {
        self.journal.tload(address, key)
    }

    fn tstore(&mut self, address: Address, key: StorageKey, value: StorageValue) {
        self.journal.tstore(address, key, value);
    }

    fn log(&mut self, log: Log) {
        self.journal.log(log);
    }

    fn take_logs(&mut self) -> Vec<Log> {
        self.journal.take_logs()
    }

    fn logs(&self) -> &[Log] {
        self.journal.logs()
    }

    fn selfdestruct(
        &mut self,
        address: Address,
        target: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SelfDestructResult>, LoadError> {
        let always = !self.spec().is_enabled_in(SpecId::CANCUN);
        let before = self
            .loaded(address)
            .map(|(_, account)| (account.info.balance, always || account.is_created_locally()));
        self.rely_exact_balance(address).map_err(DatabaseError)?;
        // The heir is judged before it inherits.
        let is_cold = self.journal.load_account_mut_skip_cold_load(target, skip_cold_load)?.is_cold;
        self.rely_emptiness(target).map_err(DatabaseError)?;
        let mut result = self.journal.selfdestruct(address, target, skip_cold_load)?;
        result.is_cold = is_cold;
        if let Some((balance, true)) = before
            && address == target
            && !self.spec().is_enabled_in(SpecId::AMSTERDAM)
        {
            self.burns.push((self.journal.inner.journal.len(), balance));
        }
        Ok(result)
    }

    fn warm_access_list(&mut self, access_list: AddressMap<HashSet<StorageKey>>) {
        self.journal.warm_access_list(access_list);
    }

    fn warm_coinbase_account(&mut self, address: Address) {
        self.journal.warm_coinbase_account(address);
    }

    fn warm_precompiles(&mut self, addresses: &AddressSet) {
        self.journal.warm_precompiles(addresses);
    }

    fn precompile_addresses(&self) -> &AddressSet {
        self.journal.precompile_addresses()
    }

    fn set_spec_id(&mut self, spec_id: SpecId) {
        self.journal.set_spec_id(spec_id);
    }

    fn set_eip7708_config(&mut self, disabled: bool, delayed_clear_disabled: bool) {
        self.journal.set_eip7708_config(disabled, delayed_clear_disabled);
    }

    fn touch_account(&mut self, address: Address) {
        self.journal.touch_account(address);
    }

    fn transfer(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Result<Option<TransferError>, DatabaseError> {
        self.journal.load_account(from)?;
        self.journal.load_account(to)?;
        self.rely_can_pay(from, balance)?;
        Ok(self.journal.transfer_loaded(from, to, balance))
    }

    fn transfer_loaded(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Option<TransferError> {
        let noted = self.rely_can_pay(from, balance);
        self.keep_fault(noted);
        self.journal.transfer_loaded(from, to, balance)
    }

    #[expect(deprecated, reason = "revm's trait still has it")]
    fn caller_accounting_journal_entry(
        &mut self,
        address: Address,
        old_balance: U256,
        bump_nonce: bool,
    ) {
        self.journal.caller_accounting_journal_entry(address, old_balance, bump_nonce);
    }

    fn balance_incr(&mut self, address: Address, balance: U256) -> Result<(), DatabaseError> {
        self.journal.balance_incr(address, balance)
    }

    #[expect(deprecated, reason = "revm's trait still has it")]
    fn nonce_bump_journal_entry(&mut self, address: Address) {
        self.journal.nonce_bump_journal_entry(address);
    }

    fn load_account(&mut self, address: Address) -> Result<StateLoad<&Account>, DatabaseError> {
        self.journal.load_account(address)
    }

    fn load_account_with_code(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<&Account>, DatabaseError> {
        self.journal.load_account_with_code(address)?;
        self.rely_code(address)?;
        self.journal.load_account_with_code(address)
    }

    fn load_account_delegated(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<AccountLoad>, DatabaseError> {
        let loaded = self.journal.load_account_delegated(address)?;
        self.rely_code(address)?;
        self.rely_emptiness(address)?;
        Ok(loaded)
    }

    fn load_account_mut_skip_cold_load(
        &mut self,
        address: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, LoadError> {
        self.journal.load_account_mut_skip_cold_load(address, skip_cold_load)
    }

    fn load_account_mut_optional_code(
        &mut self,
        address: Address,
        load_code: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, DatabaseError> {
        if load_code {
            self.journal.load_account(address)?;
            self.rely_code(address)?;
        }
        self.journal.load_account_mut_optional_code(address, load_code)
    }

    fn set_code_with_hash(&mut self, address: Address, code: Bytecode, hash: B256) {
        self.journal.set_code_with_hash(address, code, hash);
    }

    fn checkpoint(&mut self) -> JournalCheckpoint {
        self.journal.checkpoint()
    }

    fn checkpoint_commit(&mut self) {
        self.journal.checkpoint_commit();
    }

    fn checkpoint_revert(&mut self, checkpoint: JournalCheckpoint) {
        self.journal.checkpoint_revert(checkpoint);
        undo_burns(&mut self.burns, checkpoint);
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
        self.journal.create_account_checkpoint(caller, address, balance, spec_id)
    }

    fn depth(&self) -> usize {
        self.journal.depth()
    }

    fn commit_tx(&mut self) {
        self.journal.commit_tx();
    }

    fn discard_tx(&mut self) {
        self.journal.discard_tx();
    }

    fn finalize(&mut self) -> EvmState {
        self.journal.finalize()
    }

    fn load_account_info_skip_cold_load(
        &mut self,
        address: Address,
        load_code: bool,
        skip_cold_load: bool,
    ) -> Result<AccountInfoLoad<'_>, LoadError> {
        let loaded =
            self.journal.load_account_info_skip_cold_load(address, load_code, skip_cold_load)?;
        let (is_cold, is_empty) = (loaded.is_cold, loaded.is_empty);
        let has_code = !loaded.is_empty_code_hash();
        self.rely_code(address).map_err(DatabaseError)?;
        if !load_code {
            self.rely_exact_balance(address).map_err(DatabaseError)?;
        }
        if !has_code {
            self.rely_emptiness(address).map_err(DatabaseError)?;
        }
        let Some((_, account)) = self.loaded(address) else {
            return Ok(AccountInfoLoad::default());
        };
        Ok(AccountInfoLoad::new(&account.info, is_cold, is_empty))
    }
}

/// Drops the burns that happened after the checkpoint.
pub(crate) fn undo_burns(burns: &mut Burns, checkpoint: JournalCheckpoint) {
    while burns.last().is_some_and(|(at, _)| *at > checkpoint.journal_i) {
        burns.pop();
    }
}
