//! The interface of SPL Token, on the kernel's ledger.
//!
//! Instructions are those of `spl-token` 3.5, by the same numbers and with the same errors.
//! Not there: multisignatures, freezing, other authorities, and lamports as tokens.

use super::{
    Door, GatewayError, ID, Passed, Stop,
    books::{
        MINT, TOKEN, amount, asset_of, associated, decimals, key_at, mint_authority, mint_data,
        option_at, unnamed,
    },
    entries::settled,
    take,
};
use crate::load::OfHost;
use polity_types::{B256, U256};
use solana_instruction::error::InstructionError;
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_transaction_context::instruction_accounts::BorrowedInstructionAccount;

/// Compute units of each of these instructions.
const UNITS: u64 = 1_000;

/// Numbers of SPL Token's errors.
#[derive(Clone, Copy, Debug)]
enum Error {
    NotRentExempt = 0,
    InsufficientFunds = 1,
    InvalidMint = 2,
    MintMismatch = 3,
    OwnerMismatch = 4,
    FixedSupply = 5,
    AlreadyInUse = 6,
    NonNativeHasBalance = 11,
    Overflow = 14,
    MintCannotFreeze = 16,
    MintDecimalsMismatch = 18,
}

impl From<Error> for InstructionError {
    fn from(error: Error) -> Self {
        Self::Custom(error as u32)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fails(error.into())
    }
}

const DELEGATE: usize = 72;
const STATE: usize = 108;
const DELEGATED: usize = 121;

/// A token account.
pub(super) struct Token {
    mint: Pubkey,
    wallet: Pubkey,
    amount: u64,
    delegate: Option<Pubkey>,
    delegated: u64,
}

/// The runtime with an instruction's accounts.
pub(super) struct Desk<'a, 'b, 'c> {
    pub(super) invoke: &'a mut InvokeContext<'b, 'c>,
    accounts: Vec<Passed>,
}

impl<'a, 'b, 'c> Desk<'a, 'b, 'c> {
    pub(super) fn new(invoke: &'a mut InvokeContext<'b, 'c>, accounts: Vec<Passed>) -> Self {
        Self { invoke, accounts }
    }
}

impl Desk<'_, '_, '_> {
    fn passed(&self, place: u16) -> Result<&Passed, InstructionError> {
        self.accounts.get(usize::from(place)).ok_or(InstructionError::MissingAccount)
    }

    pub(super) fn with<T>(
        &self,
        place: u16,
        ask: impl FnOnce(&mut BorrowedInstructionAccount<'_, '_>) -> Result<T, InstructionError>,
    ) -> Result<T, InstructionError> {
        let context = self.invoke.transaction_context.get_current_instruction_context()?;
        ask(&mut context.try_borrow_instruction_account(place)?)
    }

    /// The data of an account of the gateway.
    fn data(&self, place: u16) -> Result<Vec<u8>, InstructionError> {
        self.with(place, |account| match *account.get_owner() == ID {
            true => Ok(account.get_data().to_vec()),
            false => Err(InstructionError::IncorrectProgramId),
        })
    }

    fn write(&self, place: u16, at: usize, bytes: &[u8]) -> Result<(), InstructionError> {
        self.with(place, |account| {
            let room = account.get_data_mut()?.get_mut(at..);
            let room = room.and_then(|rest| rest.get_mut(..bytes.len()));
            room.ok_or(InstructionError::InvalidAccountData)?.copy_from_slice(bytes);
            Ok(())
        })
    }

    pub(super) fn token(&self, place: u16) -> Result<Token, InstructionError> {
        let data = self.data(place)?;
        if data.len() != TOKEN {
            return Err(InstructionError::InvalidAccountData);
        }
        if data.get(STATE) != Some(&1) {
            return Err(InstructionError::UninitializedAccount);
        }
        let delegated = data.get(DELEGATED..).and_then(|rest| rest.first_chunk());
        let token = || {
            Some(Token {
                mint: key_at(&data, 0)?,
                wallet: key_at(&data, 32)?,
                amount: amount(&data)?,
                delegate: option_at(&data, DELEGATE),
                delegated: u64::from_le_bytes(*delegated?),
            })
        };
        token().ok_or(InstructionError::InvalidAccountData)
    }

    /// The decimals of a mint.
    fn decimals(&self, place: u16) -> Result<u8, InstructionError> {
        let data = self.data(place).map_err(|_| Error::InvalidMint)?;
        decimals(&data).filter(|_| data.len() == MINT).ok_or(Error::InvalidMint.into())
    }

    /// Checks that it is this mint, and of so many decimals if that is said.
    fn check_mint(
        &self,
        place: u16,
        mint: &Pubkey,
        decimals: Option<u8>,
    ) -> Result<(), InstructionError> {
        if self.passed(place)?.key != *mint {
            return Err(Error::MintMismatch.into());
        }
        let found = self.decimals(place)?;
        match decimals {
            Some(decimals) if decimals != found => Err(Error::MintDecimalsMismatch.into()),
            _ => Ok(()),
        }
    }

    fn check_signature(&self, place: u16, expected: &Pubkey) -> Result<(), InstructionError> {
        let authority = self.passed(place)?;
        if authority.key != *expected {
            return Err(Error::OwnerMismatch.into());
        }
        match authority.signer {
            true => Ok(()),
            false => Err(InstructionError::MissingRequiredSignature),
        }
    }

    /// Checks that the authority may take that much out of a token account, and takes it
    /// from what a delegate may.
    fn authorize(
        &self,
        place: u16,
        token: &Token,
        authority: u16,
        amount: u64,
    ) -> Result<(), InstructionError> {
        if token.amount < amount {
            return Err(Error::InsufficientFunds.into());
        }
        let signer = self.passed(authority)?.key;
        if token.delegate != Some(signer) {
            return self.check_signature(authority, &token.wallet);
        }
        self.check_signature(authority, &signer)?;
        let left = token.delegated.checked_sub(amount).ok_or(Error::InsufficientFunds)?;
        if amount > 0 {
            self.write(place, DELEGATED, &left.to_le_bytes())?;
        }
        match left {
            0 if amount > 0 => self.write(place, DELEGATE, &[0; 36]),
            _ => Ok(()),
        }
    }
}

/// What an amount comes with where the mint is named.
type Checked = Option<u8>;

impl Door<'_> {
    /// Executes an instruction of a token program.
    pub(super) fn token(
        &mut self,
        tag: u8,
        mut data: &[u8],
        accounts: Vec<Passed>,
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        invoke
            .compute_meter
            .consume_checked(UNITS)
            .map_err(|_| InstructionError::ComputationalBudgetExceeded)?;
        let mut desk = Desk::new(invoke, accounts);
        let number = |data: &mut &[u8]| take(data).map(u64::from_le_bytes);
        match tag {
            0 | 20 => self.initialize_mint(data, &desk),
            1 => {
                let wallet = desk.passed(2)?.key;
                self.initialize_account([0, 1], &wallet, &desk)
            }
            16 | 18 => {
                let wallet = Pubkey::new_from_array(take(&mut data)?);
                self.initialize_account([0, 1], &wallet, &desk)
            }
            3 => self.transfer(number(&mut data)?, None, &desk),
            4 => self.approve(number(&mut data)?, None, &desk),
            5 => self.revoke(&desk),
            7 => self.mint_to(number(&mut data)?, None, &desk),
            8 => self.burn(number(&mut data)?, None, &desk),
            9 => Self::close_account(&desk),
            12..=15 => {
                let amount = number(&mut data)?;
                let [decimals] = take(&mut data)?;
                let checked = Some(decimals);
                match tag {
                    12 => self.transfer(amount, checked, &desk),
                    13 => self.approve(amount, checked, &desk),
                    14 => self.mint_to(amount, checked, &desk),
                    _ => self.burn(amount, checked, &desk),
                }
            }
            21 => {
                desk.decimals(0)?;
                desk.answer(&(TOKEN as u64).to_le_bytes())
            }
            22 => match desk.data(0)?.get(STATE) {
                Some(0) => Ok(()),
                Some(_) => Err(Error::AlreadyInUse.into()),
                None => Err(InstructionError::InvalidAccountData.into()),
            },
            23 => {
                let decimals = desk.decimals(0)?;
                let text = ui_amount(number(&mut data)?, decimals);
                desk.answer(text.as_bytes())
            }
            24 => {
                let decimals = desk.decimals(0)?;
                let amount = core::str::from_utf8(data).ok();
                let amount = amount.and_then(|text| parse_ui_amount(text, decimals));
                desk.answer(&amount.ok_or(InstructionError::InvalidArgument)?.to_le_bytes())
            }
            _ => Err(InstructionError::InvalidInstructionData.into()),
        }
    }

    /// Issues an asset whose mint is a fresh account. Accounts: the mint.
    fn initialize_mint(&mut self, mut data: &[u8], desk: &Desk<'_, '_, '_>) -> Result<(), Stop> {
        let [decimals] = take(&mut data)?;
        let authority = Pubkey::new_from_array(take(&mut data)?);
        if take(&mut data)? != [0] {
            return Err(Error::MintCannotFreeze.into());
        }
        let mint = desk.passed(0)?.key;
        let now = desk.data(0)?;
        if now.len() != MINT {
            return Err(InstructionError::InvalidAccountData.into());
        }
        if now.iter().any(|byte| *byte != 0) {
            return Err(Error::AlreadyInUse.into());
        }
        if !desk.with(0, |account| Ok(account.is_rent_exempt_at_data_length(MINT)))? {
            return Err(Error::NotRentExempt.into());
        }
        let info = unnamed(&mint, &mint, decimals);
        let host = self.change()?;
        settled(host.issue(&info, &B256::ZERO)?)?;
        desk.write(0, 0, &mint_data(decimals, Some(&authority)))?;
        Ok(())
    }

    /// Makes a fresh account the token account of a wallet: the places of the account and the
    /// mint are given.
    pub(super) fn initialize_account(
        &mut self,
        [account, mint]: [u16; 2],
        wallet: &Pubkey,
        desk: &Desk<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let (place, mint_place) = (account, mint);
        let (address, mint) = (desk.passed(account)?.key, desk.passed(mint)?.key);
        let now = desk.data(place)?;
        if now.len() != TOKEN {
            return Err(InstructionError::InvalidAccountData.into());
        }
        if now.get(STATE) != Some(&0) {
            return Err(Error::AlreadyInUse.into());
        }
        if !desk.with(place, |account| Ok(account.is_rent_exempt_at_data_length(TOKEN)))? {
            return Err(Error::NotRentExempt.into());
        }
        desk.decimals(mint_place)?;
        // A holding shows in one place only.
        if address != associated(wallet, &ID, &mint) {
            return Err(GatewayError::NotAssociated.into());
        }
        desk.write(place, 0, mint.as_ref())?;
        desk.write(place, 32, wallet.as_ref())?;
        desk.write(place, STATE, &[1])?;
        self.settle(&desk.accounts, desk.invoke)
    }

    /// Accounts: from, the mint if checked, to, the authority.
    fn transfer(
        &mut self,
        amount: u64,
        checked: Checked,
        desk: &Desk<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let to = 1 + u16::from(checked.is_some());
        let (source, target) = (desk.token(0)?, desk.token(to)?);
        if source.amount < amount {
            return Err(Error::InsufficientFunds.into());
        }
        if source.mint != target.mint {
            return Err(Error::MintMismatch.into());
        }
        if checked.is_some() {
            desk.check_mint(1, &source.mint, checked)?;
        }
        let is_same = desk.passed(0)?.key == desk.passed(to)?.key;
        let authority = to.saturating_add(1);
        match is_same {
            true => desk.authorize(0, &source, authority, 0)?,
            false => desk.authorize(0, &source, authority, amount)?,
        }
        if is_same || amount == 0 {
            return Ok(());
        }
        let asset = asset_of(&mut OfHost(self.host), &source.mint)?;
        let (from, into) = (self.wallet(&source.wallet)?, self.wallet(&target.wallet)?);
        self.may_spend(&from.holder)?;
        self.sweep(asset, &from)?;
        self.sweep(asset, &into)?;
        let host = self.change()?;
        settled(host.transfer(asset, &from.holder, &into.holder, U256::from(amount))?)?;
        self.settle(&desk.accounts, desk.invoke)
    }

    /// Accounts: the token account, the mint if checked, the delegate, the owner.
    fn approve(
        &mut self,
        amount: u64,
        checked: Checked,
        desk: &Desk<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let delegate = 1 + u16::from(checked.is_some());
        let token = desk.token(0)?;
        if checked.is_some() {
            desk.check_mint(1, &token.mint, checked)?;
        }
        desk.check_signature(delegate.saturating_add(1), &token.wallet)?;
        let wallet = self.wallet(&token.wallet)?;
        if wallet.own != wallet.holder {
            // Another machine's account is spent from by its own leave, each time.
            return Err(GatewayError::NotDelegated.into());
        }
        let delegate = desk.passed(delegate)?.key;
        desk.write(0, DELEGATE, &1_u32.to_le_bytes())?;
        desk.write(0, DELEGATE + 4, delegate.as_ref())?;
        Ok(desk.write(0, DELEGATED, &amount.to_le_bytes())?)
    }

    /// Accounts: the token account, the owner.
    fn revoke(&mut self, desk: &Desk<'_, '_, '_>) -> Result<(), Stop> {
        let token = desk.token(0)?;
        desk.check_signature(1, &token.wallet)?;
        desk.write(0, DELEGATE, &[0; 36])?;
        Ok(desk.write(0, DELEGATED, &[0; 8])?)
    }

    /// Accounts: the mint, the token account, the mint's authority.
    fn mint_to(
        &mut self,
        amount: u64,
        checked: Checked,
        desk: &Desk<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let token = desk.token(1)?;
        desk.check_mint(0, &token.mint, checked)?;
        let authority = mint_authority(&desk.data(0)?).ok_or(Error::FixedSupply)?;
        desk.check_signature(2, &authority)?;
        let asset = asset_of(&mut OfHost(self.host), &token.mint)?;
        let wallet = self.wallet(&token.wallet)?;
        let amount = U256::from(amount);
        let supply = self.host.supply(asset)?.saturating_add(amount);
        if supply > U256::from(u64::MAX) {
            return Err(Error::Overflow.into());
        }
        let host = self.change()?;
        settled(host.mint_asset(asset, &wallet.holder, amount)?)?;
        self.settle(&desk.accounts, desk.invoke)
    }

    /// Accounts: the token account, the mint, the authority.
    fn burn(&mut self, amount: u64, checked: Checked, desk: &Desk<'_, '_, '_>) -> Result<(), Stop> {
        let token = desk.token(0)?;
        if token.amount < amount {
            return Err(Error::InsufficientFunds.into());
        }
        desk.check_mint(1, &token.mint, checked)?;
        desk.authorize(0, &token, 2, amount)?;
        let asset = asset_of(&mut OfHost(self.host), &token.mint)?;
        let wallet = self.wallet(&token.wallet)?;
        self.may_spend(&wallet.holder)?;
        self.sweep(asset, &wallet)?;
        let host = self.change()?;
        settled(host.burn_asset(asset, &wallet.holder, U256::from(amount))?)?;
        self.settle(&desk.accounts, desk.invoke)
    }

    /// Accounts: the token account, who gets its lamports, the owner.
    fn close_account(desk: &Desk<'_, '_, '_>) -> Result<(), Stop> {
        if desk.passed(0)?.key == desk.passed(1)?.key {
            return Err(InstructionError::InvalidAccountData.into());
        }
        let token = desk.token(0)?;
        if token.amount > 0 {
            return Err(Error::NonNativeHasBalance.into());
        }
        desk.check_signature(2, &token.wallet)?;
        let lamports = desk.with(0, |account| {
            let lamports = account.get_lamports();
            account.set_lamports(0)?;
            account.get_data_mut()?.fill(0);
            account.set_data_length(0)?;
            account.set_owner(system_program::ID.as_ref())?;
            Ok(lamports)
        })?;
        Ok(desk.with(1, |account| account.checked_add_lamports(lamports))?)
    }
}

impl Desk<'_, '_, '_> {
    fn answer(&mut self, data: &[u8]) -> Result<(), Stop> {
        Ok(self.invoke.transaction_context.set_return_data(ID, data.to_vec())?)
    }
}

/// An amount as people write it, without zeros at its end.
fn ui_amount(amount: u64, decimals: u8) -> String {
    let decimals = usize::from(decimals);
    if decimals == 0 {
        return amount.to_string();
    }
    let digits = format!("{amount:0>width$}", width = decimals.saturating_add(1));
    let (whole, part) = digits.split_at(digits.len().saturating_sub(decimals));
    let part = part.trim_end_matches('0');
    match part.is_empty() {
        true => whole.into(),
        false => format!("{whole}.{part}"),
    }
}

/// The amount that people write so.
fn parse_ui_amount(text: &str, decimals: u8) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    let zeros = usize::from(decimals).checked_sub(part.len())?;
    let digits = format!("{whole}{part}{}", "0".repeat(zeros));
    let is_number =
        !(whole.is_empty() && part.is_empty()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_and_read() {
        for (amount, decimals, text) in
            [(0, 0, "0"), (15, 1, "1.5"), (5, 3, "0.005"), (100, 2, "1"), (7, 0, "7")]
        {
            assert_eq!(ui_amount(amount, decimals), text);
            assert_eq!(parse_ui_amount(text, decimals), Some(amount));
        }
        assert_eq!(parse_ui_amount(".5", 1), Some(5));
        for wrong in ["", ".", "1.23", "-1", "+1", "1.2.3", "a", "99999999999999999999"] {
            assert_eq!(parse_ui_amount(wrong, 1), None, "{wrong}");
        }
    }
}
