//! What goes wrong, with the codes of Solana's nodes.

use polity_kernel::{Decoded, Invalid};
use polity_svm::Transaction;
use serde_json::{Value, json};
use solana_transaction_error::TransactionError;
use solana_transaction_status::EncodeError;

use crate::rpc::RpcError;

/// The block was there once.
const CLEANED_UP: i64 = -32001;
/// A transaction fails where it is tried out before it is taken in.
pub(super) const PREFLIGHT: i64 = -32002;
const SIGNATURE: i64 = -32003;
const NO_BLOCK: i64 = -32004;
const NO_SNAPSHOT: i64 = -32008;
const VERSION: i64 = -32015;
const TOO_EARLY: i64 = -32016;

/// An error as Solana's clients read it. What Ethereum says of limits, Solana says
/// of a node that is behind.
pub(super) fn phrased(mut error: RpcError) -> RpcError {
    match error.code {
        RpcError::LIMIT | RpcError::SERVER => error.code = RpcError::INTERNAL,
        RpcError::NO_METHOD => error.message = "Method not found".into(),
        _ => {}
    }
    error
}

/// A block that the chain does not begin with any more.
pub(super) fn cleaned_up(slot: u64, first: u64) -> RpcError {
    let text =
        format!("Block {slot} cleaned up, does not exist on node. First available block: {first}");
    RpcError::new(CLEANED_UP, text)
}

/// A block that is not made.
pub(super) fn no_block(slot: u64) -> RpcError {
    RpcError::new(NO_BLOCK, format!("Block not available for slot {slot}"))
}

/// Nobody signed it.
pub(super) fn signature() -> RpcError {
    RpcError::new(SIGNATURE, "Transaction signature verification failure")
}

/// There are no snapshots.
pub(super) fn no_snapshot() -> RpcError {
    RpcError::new(NO_SNAPSHOT, "No snapshot")
}

/// The chain has not come so far.
pub(super) fn too_early(slot: u64) -> RpcError {
    RpcError::new(TOO_EARLY, "Minimum context slot has not been reached")
        .with_data(json!({ "contextSlot": slot }))
}

impl From<EncodeError> for RpcError {
    fn from(EncodeError::UnsupportedTransactionVersion(version): EncodeError) -> Self {
        let text = format!(
            "Transaction version ({version}) is not supported by the requesting client. Please try \
             the request again with the following configuration parameter: \
             \"maxSupportedTransactionVersion\": {version}"
        );
        Self::new(VERSION, text)
    }
}

/// A parameter that is none.
pub(super) fn invalid(text: impl std::fmt::Display) -> RpcError {
    RpcError::params(format!("Invalid param: {text}"))
}

/// Why a block does not take a transaction, in Solana's words.
pub(super) fn refusal(invalid: &Invalid, decoded: &Decoded) -> TransactionError {
    match invalid.code {
        // Who pays is the first of the accounts.
        "InsufficientFundsForRent" => {
            TransactionError::InsufficientFundsForRent { account_index: 0 }
        }
        code => serde_json::from_value(Value::String(code.into())).unwrap_or_else(|_| {
            let of_its_own = decoded.payload().and_then(Transaction::refusal);
            of_its_own.unwrap_or(TransactionError::SanitizeFailure)
        }),
    }
}
