//! The ledger of assets: the native one, which lies in the accounts' balances, and those
//! that accounts issue.
//!
//! An issued asset lies in slots of an account of the kernel's own address space, which
//! no machine can write:
//!
//! | space | name | value |
//! | --- | --- | --- |
//! | 1 | word 0 | what the asset is ([`AssetInfo`]) |
//! | 1 | word 1 | the supply |
//! | 2 | the holder: machine, address | what it holds |
//! | 3 | the owner and the spender | what the one lets the other spend |

use crate::Halt;
use alloc::vec::Vec;
use polity_types::{AccountId, AssetId, AssetInfo, LocalKey, Name, Space, U256};

/// The longest name or symbol of an asset, in bytes.
pub const MAX_NAME: usize = 64;

const ABOUT: Space = Space(1);
const HOLDINGS: Space = Space(2);
const ALLOWANCES: Space = Space(3);

/// Why the ledger refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Nobody issued the asset.
    #[error("the asset was not issued")]
    UnknownAsset,
    /// The issuer has issued an asset with this salt.
    #[error("the asset was issued before")]
    AlreadyIssued,
    /// A name that is longer than [`MAX_NAME`].
    #[error("the name or symbol is longer than {MAX_NAME} bytes")]
    NameTooLong,
    /// There can be no such account.
    #[error("there is no such account on any machine")]
    UnknownAccount,
    /// The account holds less.
    #[error("the account holds less than the amount")]
    InsufficientBalance,
    /// The spender may spend less.
    #[error("the spender is allowed less than the amount")]
    InsufficientAllowance,
    /// The supply would pass 2^256, or it is the native asset, which nobody mints.
    #[error("the amount can not be minted")]
    NotMintable,
}

/// What came of asking the ledger: done, refused, or the end of the run.
pub type Settled<T> = Result<Result<T, LedgerError>, Halt>;

/// The assets, as a machine sees and moves them. All amounts are in the asset's smallest
/// unit.
///
/// **Borders.** A machine moves and burns what accounts of its own address space hold, and
/// what an account delegated to the current frame ([`Call::delegate`](crate::Call)); what
/// others hold only as far as they allowed an account of its address space. It issues
/// and mints in the name of accounts of its own. All else is a [`Halt::Fault`]: it is for
/// the machine to know who asks.
pub trait Ledger {
    /// Whether there can be such an account: of a machine that is there, with an address of
    /// its kind. To others nothing is sent.
    fn is_account(&self, account: &AccountId) -> bool;

    /// Whether the current frame may spend what the account holds.
    fn may_spend(&self, holder: &AccountId) -> bool;

    /// What the asset is; `None` where it was not issued, as the native one was not.
    fn asset(&mut self, asset: AssetId) -> Result<Option<AssetInfo>, Halt>;

    /// How much there is of an issued asset. What there is of the native one is not
    /// counted: zero.
    fn supply(&mut self, asset: AssetId) -> Result<U256, Halt>;

    /// How much an account holds.
    fn holding(&mut self, asset: AssetId, holder: &AccountId) -> Result<U256, Halt>;

    /// How much `spender` may spend of what `owner` holds.
    fn allowance(
        &mut self,
        asset: AssetId,
        owner: &AccountId,
        spender: &AccountId,
    ) -> Result<U256, Halt>;

    /// Issues an asset in the name of `info.issuer`.
    fn issue(&mut self, info: &AssetInfo, salt: &polity_types::B256) -> Settled<AssetId>;

    /// Lets `spender` spend so much of what `owner` holds, whatever it was before.
    /// The largest amount stands for any, and does not grow less.
    fn approve(
        &mut self,
        asset: AssetId,
        owner: &AccountId,
        spender: &AccountId,
        amount: U256,
    ) -> Settled<()>;

    /// Moves an amount.
    fn transfer(
        &mut self,
        asset: AssetId,
        from: &AccountId,
        to: &AccountId,
        amount: U256,
    ) -> Settled<()>;

    /// Moves an amount that `spender` is allowed to spend.
    fn transfer_from(
        &mut self,
        asset: AssetId,
        spender: &AccountId,
        from: &AccountId,
        to: &AccountId,
        amount: U256,
    ) -> Settled<()>;

    /// Creates an amount of an asset, in its issuer's name.
    fn mint_asset(&mut self, asset: AssetId, to: &AccountId, amount: U256) -> Settled<()>;

    /// Destroys an amount of an issued asset.
    fn burn_asset(&mut self, asset: AssetId, from: &AccountId, amount: U256) -> Settled<()>;
}

/// Where the state keeps what an issued asset is: an [`AssetInfo`] in borsh.
pub const fn info_key() -> LocalKey {
    LocalKey { space: ABOUT, name: Name::Word(U256::ZERO) }
}

/// Where the state keeps how much there is of an issued asset.
pub const fn supply_key() -> LocalKey {
    LocalKey { space: ABOUT, name: Name::Word(U256::ONE) }
}

/// Where the state keeps what an account holds of an issued asset.
pub fn holding_key(holder: &AccountId) -> LocalKey {
    LocalKey { space: HOLDINGS, name: name(&[holder]) }
}

pub(crate) fn allowance_key(owner: &AccountId, spender: &AccountId) -> LocalKey {
    LocalKey { space: ALLOWANCES, name: name(&[owner, spender]) }
}

fn name(accounts: &[&AccountId]) -> Name {
    let mut name = Vec::with_capacity(accounts.len().saturating_mul(33));
    for account in accounts {
        name.push(account.machine.byte());
        name.extend_from_slice(account.address.as_slice());
    }
    Name::Bytes(name.into())
}
