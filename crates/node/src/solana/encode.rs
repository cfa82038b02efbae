//! Accounts, in the encodings that clients ask for.

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account,
    parse_account_data::AccountAdditionalDataV3, parse_token::get_token_account_mint,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::response::RpcKeyedAccount;

use super::{moment::Moment, token};
use crate::rpc::RpcError;
use polity_kernel::View;

/// An account as a client is shown it.
///
/// # Errors
/// It is too large for the encoding, or the state failed.
pub(super) fn account(
    view: &dyn View,
    time: i64,
    address: &Pubkey,
    account: &AccountSharedData,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<UiAccount, RpcError> {
    let len = account.data().len();
    let len = slice.map_or(len, |slice| len.saturating_sub(slice.offset).min(slice.length));
    let is_base58 = matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58);
    if is_base58 && len > MAX_BASE58_BYTES {
        let text = format!(
            "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please \
             use Base64 encoding."
        );
        return Err(RpcError::new(RpcError::INVALID_REQUEST, text));
    }
    let mut additional = None;
    if encoding == UiAccountEncoding::JsonParsed
        && token::is_token_program(account.owner())
        && let Some(mint) = get_token_account_mint(account.data())
    {
        let spl_token_additional_data = token::additional(view, &mint, time)?;
        additional = Some(AccountAdditionalDataV3 { spl_token_additional_data });
    }
    let form = token::form(account.owner());
    if encoding != UiAccountEncoding::JsonParsed || form == account.owner() {
        return Ok(encode_ui_account(address, account, encoding, additional, slice));
    }
    // Agave's parsers go by the owner.
    let mut formed = account.clone();
    formed.set_owner(*form);
    let mut shown = encode_ui_account(address, &formed, encoding, additional, slice);
    shown.owner = account.owner().to_string();
    Ok(shown)
}

/// Accounts with their addresses.
///
/// # Errors
/// One is too large for the encoding, or the state failed.
pub(super) fn keyed(
    moment: &Moment,
    accounts: &[(Pubkey, AccountSharedData)],
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Result<Vec<RpcKeyedAccount>, RpcError> {
    let one = |(address, account): &(Pubkey, AccountSharedData)| {
        let (view, time) = (moment.view(), moment.time());
        let account = self::account(view, time, address, account, encoding, slice)?;
        Ok(RpcKeyedAccount { pubkey: address.to_string(), account })
    };
    accounts.iter().map(one).collect()
}
