//! Keeps what a run's accounts show of the ledger as it is.

use super::{
    Door, GatewayError, ID, Passed, Stop,
    books::{Wallet, number, shown},
    place_of,
};
use crate::load::OfHost;
use polity_kernel::{Host, LedgerError};
use polity_types::{AccountId, AssetId};
use solana_account::ReadableAccount;
use solana_instruction::error::InstructionError;
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;
use solana_svm_log_collector::ic_msg;
use std::ops::Range;

/// A number in an account of the instruction that is not what the ledger says.
pub(super) struct Entry {
    index: u16,
    range: Range<usize>,
    number: u64,
}

impl Door<'_> {
    /// Notes where a transaction's own run goes back to if it fails. Everything that changes
    /// the kernel's state asks for it first.
    pub(super) fn begin(&mut self) {
        if self.written.accounts.is_empty() {
            let all = self.setting.loaded.iter().map(|loaded| loaded.account.clone());
            self.written.accounts = all.collect();
            if self.setting.is_transaction {
                self.written.before = Some(self.host.checkpoint());
            }
        }
    }

    /// Begins a change of the ledger.
    ///
    /// # Errors
    /// The frame may change nothing.
    pub(super) fn change(&mut self) -> Result<&mut dyn Host, Stop> {
        if self.host.is_read_only() {
            return Err(GatewayError::ReadOnly.into());
        }
        self.begin();
        Ok(&mut *self.host)
    }

    /// Whether this run may spend what an account holds, where its signature is there: one of
    /// Solana's, or the one that delegated it.
    pub(super) fn may_spend(&self, holder: &AccountId) -> Result<(), GatewayError> {
        if holder.machine == crate::KIND || self.setting.delegate.as_ref() == Some(holder) {
            return Ok(());
        }
        Err(GatewayError::NotDelegated)
    }

    /// Whose tokens those of a wallet are.
    pub(super) fn wallet(&mut self, wallet: &Pubkey) -> Result<Wallet, Stop> {
        Ok(Wallet::of(&mut OfHost(self.host), wallet)?)
    }

    /// Gives an alias' account what the alias was given before anybody said what it is.
    pub(super) fn sweep(&mut self, asset: AssetId, wallet: &Wallet) -> Result<(), Stop> {
        if wallet.own == wallet.holder {
            return Ok(());
        }
        let left = self.host.holding(asset, &wallet.own)?;
        if !left.is_zero() {
            let host = self.change()?;
            settled(host.transfer(asset, &wallet.own, &wallet.holder, left)?)?;
        }
        Ok(())
    }

    /// What the run's accounts do not show as the ledger has it; else the first of these
    /// that the instruction was not given, writable.
    pub(super) fn entries(
        &mut self,
        accounts: &[Passed],
        invoke: &InvokeContext<'_, '_>,
    ) -> Result<Result<Vec<Entry>, Pubkey>, Stop> {
        let mut entries = Vec::new();
        for (index, key) in (0_u16..).zip(self.setting.keys) {
            let account = invoke.transaction_context.accounts().try_borrow(index)?;
            if *account.owner() != ID {
                continue;
            }
            let mut books = OfHost(self.host);
            let Some(shown) = shown(&mut books, key, account.data())? else { continue };
            let (range, number) = number(&mut books, &shown)?;
            if account.data().get(range.clone()) == Some(&number.to_le_bytes()[..]) {
                continue;
            }
            if !accounts.iter().any(|passed| passed.index == index && passed.writable) {
                return Ok(Err(*key));
            }
            entries.push(Entry { index, range, number });
        }
        Ok(Ok(entries))
    }

    /// Shows what an instruction changed in the ledger in the run's accounts.
    pub(super) fn settle(
        &mut self,
        accounts: &[Passed],
        invoke: &InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        match self.entries(accounts, invoke)? {
            Ok(entries) => Ok(show(&entries, accounts, invoke)?),
            Err(key) => {
                ic_msg!(invoke, "Gateway: AccountInUse: {}", key);
                Err(GatewayError::AccountInUse.into())
            }
        }
    }
}

/// Writes numbers of the ledger into accounts of the instruction.
pub(super) fn show(
    entries: &[Entry],
    accounts: &[Passed],
    invoke: &InvokeContext<'_, '_>,
) -> Result<(), InstructionError> {
    let context = invoke.transaction_context.get_current_instruction_context()?;
    for Entry { index, range, number } in entries {
        let place = place_of(accounts, |passed| passed.index == *index && passed.writable)?;
        let mut account = context.try_borrow_instruction_account(place)?;
        let room = account.get_data_mut()?.get_mut(range.clone());
        room.ok_or(InstructionError::InvalidAccountData)?.copy_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

/// What the ledger refused, as an instruction fails with it.
pub(super) fn settled<T>(answer: Result<T, LedgerError>) -> Result<T, Stop> {
    answer.map_err(|error| match error {
        LedgerError::UnknownAsset => GatewayError::UnknownAsset.into(),
        LedgerError::UnknownAccount => GatewayError::UnknownAccount.into(),
        // Those of SPL Token: in use already, less than that, and too much.
        LedgerError::AlreadyIssued => InstructionError::Custom(6).into(),
        LedgerError::InsufficientBalance | LedgerError::InsufficientAllowance => {
            InstructionError::Custom(1).into()
        }
        LedgerError::NameTooLong | LedgerError::NotMintable => InstructionError::Custom(14).into(),
    })
}
