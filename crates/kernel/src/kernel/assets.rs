//! The kernel's implementation of the [`Ledger`].

use super::Kernel;
use crate::{
    Halt, Host, Ledger, LedgerError, Settled,
    ledger::{MAX_NAME, allowance_key, holding_key, info_key, supply_key},
};
use alloc::format;
use polity_types::{AccountId, AssetId, AssetInfo, B256, LocalKey, U256, Value};

impl Kernel<'_> {
    fn word(&mut self, asset: AssetId, key: &LocalKey) -> Result<U256, Halt> {
        let account = self.account(&asset.account())?;
        let word = self.read(account, key)?.as_word();
        word.ok_or_else(|| Halt::Fault(format!("the ledger's cells of asset {asset} hold bytes")))
    }

    fn put_word(&mut self, asset: AssetId, key: &LocalKey, word: U256) -> Result<(), Halt> {
        self.put(asset, key, Value::word(word))
    }

    /// Writes a cell of the ledger, which no machine may.
    fn put(&mut self, asset: AssetId, key: &LocalKey, value: Value) -> Result<(), Halt> {
        self.guard_read_only()?;
        let account = self.account(&asset.account())?;
        self.write_own(account, key, value)
    }

    /// Refuses what only the holder's own machine may do, or who the holder delegated
    /// that to.
    fn guard_holder(&self, holder: &AccountId) -> Result<(), Halt> {
        if self.may_spend(holder) {
            return Ok(());
        }
        Err(Halt::Fault(format!("machine {} spends what {holder} holds", self.current())))
    }

    fn move_asset(
        &mut self,
        asset: AssetId,
        from: &AccountId,
        to: &AccountId,
        amount: U256,
    ) -> Settled<()> {
        self.guard_read_only()?;
        if !self.is_account(to) {
            return Ok(Err(LedgerError::UnknownAccount));
        }
        if asset == AssetId::NATIVE {
            let (from, to) = (self.account(from)?, self.account(to)?);
            if !self.journal.debit(from.0, amount)? {
                return Ok(Err(LedgerError::InsufficientBalance));
            }
            self.credit(to, amount)?;
            return Ok(Ok(()));
        }
        let from = holding_key(from);
        let Some(left) = self.word(asset, &from)?.checked_sub(amount) else {
            return Ok(Err(LedgerError::InsufficientBalance));
        };
        if amount.is_zero() {
            return Ok(Ok(()));
        }
        self.put_word(asset, &from, left)?;
        let to = holding_key(to);
        // No more than the supply, which is a word.
        let more = self.word(asset, &to)?.saturating_add(amount);
        self.put_word(asset, &to, more)?;
        Ok(Ok(()))
    }
}

impl Ledger for Kernel<'_> {
    fn is_account(&self, account: &AccountId) -> bool {
        self.machines.is_account(account)
    }

    fn may_spend(&self, holder: &AccountId) -> bool {
        self.frames.last().is_some_and(|frame| {
            frame.machine == holder.machine || frame.delegated.as_ref() == Some(holder)
        })
    }

    fn asset(&mut self, asset: AssetId) -> Result<Option<AssetInfo>, Halt> {
        let account = self.account(&asset.account())?;
        match self.read(account, &info_key())? {
            Value::Bytes(bytes) => borsh::from_slice(&bytes).map(Some).map_err(|_| {
                Halt::Fault(format!("the ledger's record of asset {asset} is damaged"))
            }),
            _ => Ok(None),
        }
    }

    fn supply(&mut self, asset: AssetId) -> Result<U256, Halt> {
        self.word(asset, &supply_key())
    }

    fn holding(&mut self, asset: AssetId, holder: &AccountId) -> Result<U256, Halt> {
        if asset == AssetId::NATIVE {
            let holder = self.account(holder)?;
            return self.balance(holder);
        }
        self.word(asset, &holding_key(holder))
    }

    fn allowance(
        &mut self,
        asset: AssetId,
        owner: &AccountId,
        spender: &AccountId,
    ) -> Result<U256, Halt> {
        self.word(asset, &allowance_key(owner, spender))
    }

    fn issue(&mut self, info: &AssetInfo, salt: &B256) -> Settled<AssetId> {
        self.guard_issuer(&info.issuer)?;
        if info.name.len() > MAX_NAME || info.symbol.len() > MAX_NAME {
            return Ok(Err(LedgerError::NameTooLong));
        }
        let asset = AssetId::issued(&info.issuer, salt);
        if self.asset(asset)?.is_some() {
            return Ok(Err(LedgerError::AlreadyIssued));
        }
        let bytes = borsh::to_vec(info)
            .map_err(|error| Halt::Fault(format!("the record of asset {asset}: {error}")))?;
        self.put(asset, &info_key(), Value::bytes(bytes.into()))?;
        Ok(Ok(asset))
    }

    fn approve(
        &mut self,
        asset: AssetId,
        owner: &AccountId,
        spender: &AccountId,
        amount: U256,
    ) -> Settled<()> {
        self.guard_holder(owner)?;
        if asset != AssetId::NATIVE && self.asset(asset)?.is_none() {
            return Ok(Err(LedgerError::UnknownAsset));
        }
        self.put_word(asset, &allowance_key(owner, spender), amount)?;
        Ok(Ok(()))
    }

    fn transfer(
        &mut self,
        asset: AssetId,
        from: &AccountId,
        to: &AccountId,
        amount: U256,
    ) -> Settled<()> {
        self.guard_holder(from)?;
        self.move_asset(asset, from, to, amount)
    }

    fn transfer_from(
        &mut self,
        asset: AssetId,
        spender: &AccountId,
        from: &AccountId,
        to: &AccountId,
        amount: U256,
    ) -> Settled<()> {
        self.guard_holder(spender)?;
        let key = allowance_key(from, spender);
        let allowed = self.word(asset, &key)?;
        let Some(left) = allowed.checked_sub(amount) else {
            return Ok(Err(LedgerError::InsufficientAllowance));
        };
        if let Err(refused) = self.move_asset(asset, from, to, amount)? {
            return Ok(Err(refused));
        }
        if allowed != U256::MAX && !amount.is_zero() {
            self.put_word(asset, &key, left)?;
        }
        Ok(Ok(()))
    }

    fn mint_asset(&mut self, asset: AssetId, to: &AccountId, amount: U256) -> Settled<()> {
        let Some(info) = self.asset(asset)? else {
            return Ok(Err(match asset {
                AssetId::NATIVE => LedgerError::NotMintable,
                _ => LedgerError::UnknownAsset,
            }));
        };
        self.guard_issuer(&info.issuer)?;
        if !self.is_account(to) {
            return Ok(Err(LedgerError::UnknownAccount));
        }
        let Some(supply) = self.supply(asset)?.checked_add(amount) else {
            return Ok(Err(LedgerError::NotMintable));
        };
        let to = holding_key(to);
        // No more than the supply, which is a word.
        let more = self.word(asset, &to)?.saturating_add(amount);
        self.put_word(asset, &supply_key(), supply)?;
        self.put_word(asset, &to, more)?;
        Ok(Ok(()))
    }

    fn burn_asset(&mut self, asset: AssetId, from: &AccountId, amount: U256) -> Settled<()> {
        self.guard_holder(from)?;
        if self.asset(asset)?.is_none() {
            return Ok(Err(LedgerError::UnknownAsset));
        }
        let from = holding_key(from);
        let Some(left) = self.word(asset, &from)?.checked_sub(amount) else {
            return Ok(Err(LedgerError::InsufficientBalance));
        };
        // What one holds is part of the supply.
        let supply = self.supply(asset)?.saturating_sub(amount);
        self.put_word(asset, &from, left)?;
        self.put_word(asset, &supply_key(), supply)?;
        Ok(Ok(()))
    }
}
