//! How assets of the kernel's ledger show as SPL mints and token accounts.
//!
//! A token account of the gateway lies in the state like any account, but for its amount:
//! that is what the ledger says its wallet holds, and the wallet is the account that it
//! is an alias of, if it is one. It has one address, the associated one, so that every
//! holding shows once. Likewise the supply of a mint that was made here; one of an asset
//! that was issued elsewhere is no account at all, but the alias of the asset.

use super::ID;
use crate::{KIND, account::NEVER, account::OfView, load::OfHost};
use polity_kernel::{Halt, ViewError, holding_key, info_key, supply_key};
use polity_types::{AccountId, AssetId, AssetInfo, B256, MachineKind, U256};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use std::{borrow::Cow, ops::Range, sync::Arc};

/// The bytes of a mint.
pub(super) const MINT: usize = 82;
/// The bytes of a token account.
pub(super) const TOKEN: usize = 165;

const SUPPLY: Range<usize> = 36..44;
const AMOUNT: Range<usize> = 64..72;
const DECIMALS: usize = 44;
const MINT_INITIALIZED: usize = 45;
const STATE: usize = 108;

/// Where the ledger is looked up.
pub(crate) trait Books {
    type Error: From<ViewError>;

    /// Which account this one of Solana's is an alias of.
    fn aliased(&mut self, account: &AccountId) -> Result<Option<AccountId>, Self::Error>;

    fn asset(&mut self, asset: AssetId) -> Result<Option<AssetInfo>, Self::Error>;

    fn supply(&mut self, asset: AssetId) -> Result<U256, Self::Error>;

    fn holding(&mut self, asset: AssetId, holder: &AccountId) -> Result<U256, Self::Error>;
}

impl Books for OfHost<'_> {
    type Error = Halt;

    fn aliased(&mut self, account: &AccountId) -> Result<Option<AccountId>, Halt> {
        let handle = self.0.account(account)?;
        self.0.aliased(handle)
    }

    fn asset(&mut self, asset: AssetId) -> Result<Option<AssetInfo>, Halt> {
        self.0.asset(asset)
    }

    fn supply(&mut self, asset: AssetId) -> Result<U256, Halt> {
        self.0.supply(asset)
    }

    fn holding(&mut self, asset: AssetId, holder: &AccountId) -> Result<U256, Halt> {
        self.0.holding(asset, holder)
    }
}

impl Books for OfView<'_> {
    type Error = ViewError;

    fn aliased(&mut self, account: &AccountId) -> Result<Option<AccountId>, ViewError> {
        crate::alias::aliased(self.0, account)
    }

    fn asset(&mut self, asset: AssetId) -> Result<Option<AssetInfo>, ViewError> {
        let value = self.0.slot(&asset.account(), &info_key())?;
        let bytes = match &value {
            polity_types::Value::Bytes(bytes) => bytes,
            _ => return Ok(None),
        };
        let damaged = |_| ViewError::Store(format!("the record of asset {asset} is damaged"));
        borsh::from_slice(bytes).map(Some).map_err(damaged)
    }

    fn supply(&mut self, asset: AssetId) -> Result<U256, ViewError> {
        let value = self.0.slot(&asset.account(), &supply_key())?;
        Ok(value.as_word().unwrap_or_default())
    }

    fn holding(&mut self, asset: AssetId, holder: &AccountId) -> Result<U256, ViewError> {
        let value = self.0.slot(&asset.account(), &holding_key(holder))?;
        Ok(value.as_word().unwrap_or_default())
    }
}

/// What an account of the gateway shows of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// How much there is of an asset.
    Supply(AssetId),
    /// What the wallet of a token account holds.
    Holding(AssetId, Wallet),
}

/// Whose tokens the tokens of a wallet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wallet {
    /// By its own name.
    pub(super) own: AccountId,
    /// The account that holds: the same, or what it is an alias of.
    pub(super) holder: AccountId,
}

impl Wallet {
    pub(super) fn of<B: Books>(books: &mut B, wallet: &Pubkey) -> Result<Self, B::Error> {
        let own = crate::account(wallet);
        let holder = books.aliased(&own)?.unwrap_or(own);
        Ok(Self { own, holder })
    }

    /// What it holds. What it was given before anybody said that it is an alias is the
    /// other's as well.
    pub(super) fn holding<B: Books>(
        &self,
        books: &mut B,
        asset: AssetId,
    ) -> Result<U256, B::Error> {
        let held = books.holding(asset, &self.holder)?;
        if self.own == self.holder {
            return Ok(held);
        }
        Ok(held.saturating_add(books.holding(asset, &self.own)?))
    }
}

/// The asset behind a mint: that which it is an alias of, else that which the account
/// issued itself.
pub(super) fn asset_of<B: Books>(books: &mut B, mint: &Pubkey) -> Result<AssetId, B::Error> {
    let id = crate::account(mint);
    let target = books.aliased(&id)?.filter(|target| target.machine == MachineKind::KERNEL);
    Ok(match target {
        Some(target) => AssetId(target.address),
        None => AssetId::issued(&id, &B256::ZERO),
    })
}

/// What an account at this address with these data shows of the ledger.
pub(super) fn shown<B: Books>(
    books: &mut B,
    address: &Pubkey,
    data: &[u8],
) -> Result<Option<Shown>, B::Error> {
    if data.len() == MINT && data.get(MINT_INITIALIZED) == Some(&1) {
        return Ok(Some(Shown::Supply(asset_of(books, address)?)));
    }
    if data.len() != TOKEN || data.get(STATE).is_none_or(|state| *state == 0) {
        return Ok(None);
    }
    let (Some(mint), Some(wallet)) = (key_at(data, 0), key_at(data, 32)) else { return Ok(None) };
    let asset = asset_of(books, &mint)?;
    Ok(Some(Shown::Holding(asset, Wallet::of(books, &wallet)?)))
}

/// Where in the account's data the number lies, and what it is now.
pub(super) fn number<B: Books>(
    books: &mut B,
    shown: &Shown,
) -> Result<(Range<usize>, u64), B::Error> {
    let (range, amount) = match shown {
        Shown::Supply(asset) => (SUPPLY, books.supply(*asset)?),
        Shown::Holding(asset, wallet) => (AMOUNT, wallet.holding(books, *asset)?),
    };
    Ok((range, amount.saturating_to()))
}

/// Fills in what an account of the gateway shows of the ledger.
pub(crate) fn fill<B: Books>(
    books: &mut B,
    address: &Pubkey,
    account: &mut AccountSharedData,
) -> Result<(), B::Error> {
    if *account.owner() != ID {
        return Ok(());
    }
    let Some(shown) = shown(books, address, account.data())? else { return Ok(()) };
    let (range, amount) = number(books, &shown)?;
    if let Some(place) = account.data_as_mut_slice().get_mut(range) {
        place.copy_from_slice(&amount.to_le_bytes());
    }
    Ok(())
}

/// An account as it lies in the state: without what it shows of the ledger.
pub(crate) fn stored(account: &AccountSharedData) -> Cow<'_, AccountSharedData> {
    let range = match account.data().len() {
        _ if *account.owner() != ID => return Cow::Borrowed(account),
        MINT => SUPPLY,
        TOKEN => AMOUNT,
        _ => return Cow::Borrowed(account),
    };
    let mut account = account.clone();
    if let Some(place) = account.data_as_mut_slice().get_mut(range) {
        place.fill(0);
    }
    Cow::Owned(account)
}

/// The mint that an asset shows as which was issued elsewhere: nobody's to mint.
pub(crate) fn mint<B: Books>(
    books: &mut B,
    asset: AssetId,
) -> Result<Option<AccountSharedData>, B::Error> {
    let Some(info) = books.asset(asset)? else { return Ok(None) };
    let supply: u64 = books.supply(asset)?.saturating_to();
    let mut data = mint_data(info.decimals, None);
    if let Some(place) = data.get_mut(SUPPLY) {
        place.copy_from_slice(&supply.to_le_bytes());
    }
    let lamports = Rent::default().minimum_balance(MINT);
    let data = Arc::new(data);
    let account =
        AccountSharedData::create_from_existing_shared_data(lamports, data, ID, false, NEVER);
    Ok(Some(account))
}

/// The bytes of a mint of which there is nothing yet.
pub(super) fn mint_data(decimals: u8, authority: Option<&Pubkey>) -> Vec<u8> {
    let mut data = vec![0; MINT];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, byte) in data.iter_mut().skip(at).zip(bytes) {
            *to = *byte;
        }
    };
    if let Some(authority) = authority {
        put(0, &1_u32.to_le_bytes());
        put(4, authority.as_ref());
    }
    put(DECIMALS, &[decimals, 1]);
    data
}

/// The decimals of a mint, if the data are one's.
pub(super) fn decimals(data: &[u8]) -> Option<u8> {
    let is_mint = data.len() >= MINT && data.get(MINT_INITIALIZED) == Some(&1);
    data.get(DECIMALS).filter(|_| is_mint).copied()
}

/// Who may mint.
pub(super) fn mint_authority(data: &[u8]) -> Option<Pubkey> {
    option_at(data, 0)
}

pub(super) fn key_at(data: &[u8], at: usize) -> Option<Pubkey> {
    data.get(at..)?.first_chunk().copied().map(Pubkey::new_from_array)
}

/// A key that may be none: four bytes that say so, and the key.
pub(super) fn option_at(data: &[u8], at: usize) -> Option<Pubkey> {
    let tag = data.get(at..)?.first_chunk::<4>()?;
    key_at(data, at.checked_add(4)?).filter(|_| *tag == 1_u32.to_le_bytes())
}

/// The amount that a token account of any token program shows.
pub(super) fn amount(data: &[u8]) -> Option<u64> {
    data.get(AMOUNT)?.try_into().ok().map(u64::from_le_bytes)
}

/// The only token account of a wallet for a mint of these token programs.
pub(super) fn associated(wallet: &Pubkey, token_program: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [wallet.as_ref(), token_program.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

/// The associated token account program.
pub(super) const ASSOCIATED: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// How an asset is called that nobody gave a name: by its mint's address.
pub(super) fn unnamed(mint: &Pubkey, issuer: &Pubkey, decimals: u8) -> AssetInfo {
    let address = mint.to_string();
    AssetInfo {
        issuer: AccountId::new(KIND, B256::new(issuer.to_bytes())),
        decimals,
        symbol: address.chars().take(6).collect(),
        name: format!("SPL {address}"),
    }
}
