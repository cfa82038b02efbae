//! Who can pay, and what accounts must hold.

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_nonce::state::State as NonceState;
use solana_nonce_account::{SystemAccountKind, get_system_account_kind};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_transaction_error::TransactionError;

/// Takes the fee from the account of who pays it.
pub(crate) fn charge(
    payer: &mut AccountSharedData,
    fee: u64,
    rent: &Rent,
) -> Result<(), TransactionError> {
    let before = payer.lamports();
    if before == 0 {
        return Err(TransactionError::AccountNotFound);
    }
    let kind = get_system_account_kind(payer).ok_or(TransactionError::InvalidAccountForFee)?;
    let least = match kind {
        SystemAccountKind::System => 0,
        SystemAccountKind::Nonce => rent.minimum_balance(NonceState::size()),
    };
    let after = before
        .checked_sub(least)
        .and_then(|free| free.checked_sub(fee))
        .map(|_| before.saturating_sub(fee))
        .ok_or(TransactionError::InsufficientFundsForFee)?;
    payer.set_lamports(after);
    let len = payer.data().len();
    let change = (RentState::of(before, len, rent), RentState::of(after, len, rent));
    if !change.1.may_follow(change.0) {
        return Err(TransactionError::InsufficientFundsForRent { account_index: 0 });
    }
    Ok(())
}

/// Whether an account holds enough for its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RentState {
    /// It is not there.
    Uninitialized,
    /// It holds too little.
    Paying { lamports: u64, len: usize },
    /// It holds enough.
    Exempt,
}

impl RentState {
    pub(crate) fn of(lamports: u64, len: usize, rent: &Rent) -> Self {
        if lamports == 0 {
            Self::Uninitialized
        } else if lamports >= rent.minimum_balance(len) {
            Self::Exempt
        } else {
            Self::Paying { lamports, len }
        }
    }

    /// Whether a transaction may leave an account so that was otherwise before.
    pub(crate) fn may_follow(self, before: Self) -> bool {
        match (before, self) {
            (_, Self::Uninitialized | Self::Exempt) => true,
            (Self::Paying { lamports, len }, Self::Paying { lamports: now, len: len_now }) => {
                len == len_now && now <= lamports
            }
            (_, Self::Paying { .. }) => false,
        }
    }
}

/// The account that may be left with too little: what is sent there is lost.
pub(crate) fn is_exempt_from_rules(address: &Pubkey) -> bool {
    solana_sdk_ids::incinerator::check_id(address)
}
