//! What clients write: addresses, signatures, transactions.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_STANDARD};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::UiTransactionEncoding;

use super::{error::invalid, moment::Wish};
use crate::rpc::{Params, RpcError};

/// What a message of the most bytes takes, as base58 and as base64.
const MOST_BASE58: usize = 1683;
const MOST_BASE64: usize = 1644;

/// The next parameter, an address.
pub(super) fn address(params: &mut Params<'_>) -> Result<Pubkey, RpcError> {
    parse(&params.required::<String>()?)
}

/// An address.
pub(super) fn parse(text: &str) -> Result<Pubkey, RpcError> {
    Pubkey::from_str(text).map_err(|error| invalid(format!("{error:?}")))
}

/// The next parameter, what nearly every method can be given.
pub(super) fn wish(params: &mut Params<'_>) -> Result<Wish, RpcError> {
    Ok(params.optional()?.unwrap_or_default())
}

/// A signature.
pub(super) fn signature(text: &str) -> Result<Signature, RpcError> {
    Signature::from_str(text).map_err(|error| invalid(format!("{error:?}")))
}

/// The bytes of a transaction or a message.
pub(super) fn bytes(
    text: &str,
    encoding: UiTransactionEncoding,
    what: &str,
) -> Result<Vec<u8>, RpcError> {
    let (name, most) = match encoding {
        UiTransactionEncoding::Binary | UiTransactionEncoding::Base58 => ("base58", MOST_BASE58),
        UiTransactionEncoding::Base64 => ("base64", MOST_BASE64),
        other => {
            let text =
                format!("unsupported encoding: {other}. Supported encodings: base58, base64");
            return Err(RpcError::params(text));
        }
    };
    let too_large = |len: usize, raw: bool| {
        let (found, unit) = if raw { ("decoded", "raw") } else { (name, "encoded") };
        let most_raw = polity_svm::MAX_SIZE;
        let text = format!(
            "{found} {what} too large: {len} bytes (max: {unit} of encoded/raw {most}/{most_raw})"
        );
        RpcError::params(text)
    };
    if text.len() > most {
        return Err(too_large(text.len(), false));
    }
    let malformed = |error: &dyn std::fmt::Debug| {
        RpcError::params(format!("invalid {name} encoding: {error:?}"))
    };
    let bytes = match encoding {
        UiTransactionEncoding::Base64 => {
            BASE64_STANDARD.decode(text).map_err(|error| malformed(&error))?
        }
        _ => bs58::decode(text).into_vec().map_err(|error| malformed(&error))?,
    };
    if bytes.len() > polity_svm::MAX_SIZE {
        return Err(too_large(bytes.len(), true));
    }
    Ok(bytes)
}

/// A transaction, with its bytes.
pub(super) fn transaction(
    text: &str,
    encoding: UiTransactionEncoding,
) -> Result<(Vec<u8>, VersionedTransaction), RpcError> {
    const WHAT: &str = "solana_transaction::versioned::VersionedTransaction";
    let bytes = bytes(text, encoding, WHAT)?;
    let malformed = |error| RpcError::params(format!("failed to deserialize {WHAT}: {error}"));
    let transaction = polity_svm::parse(&bytes).map_err(malformed)?;
    Ok((bytes, transaction))
}
