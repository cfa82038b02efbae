//! Why Ethereum refuses a transaction, under the names of the
//! execution-spec-tests' `TransactionException`.

use alloc::string::ToString;
use polity_kernel::Invalid;
use revm::context_interface::result::InvalidTransaction as I;

/// The kernel's form of revm's refusal.
pub(crate) fn invalid(error: &I) -> Invalid {
    let code = match error {
        I::PriorityFeeGreaterThanMaxFee => "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
        I::GasPriceLessThanBasefee => "INSUFFICIENT_MAX_FEE_PER_GAS",
        I::CallerGasLimitMoreThanBlock => "GAS_ALLOWANCE_EXCEEDED",
        I::CallGasCostMoreThanGasLimit { .. } => "INTRINSIC_GAS_TOO_LOW",
        I::GasFloorMoreThanGasLimit { .. } => "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST",
        I::RejectCallerWithCode => "SENDER_NOT_EOA",
        I::LackOfFundForMaxFee { .. } => "INSUFFICIENT_ACCOUNT_FUNDS",
        I::OverflowPaymentInTransaction => "GASLIMIT_PRICE_PRODUCT_OVERFLOW",
        I::NonceOverflowInTransaction => "NONCE_IS_MAX",
        I::NonceTooHigh { .. } => "NONCE_MISMATCH_TOO_HIGH",
        I::NonceTooLow { .. } => "NONCE_MISMATCH_TOO_LOW",
        I::CreateInitCodeSizeLimit => "INITCODE_SIZE_EXCEEDED",
        I::InvalidChainId | I::MissingChainId => "INVALID_CHAINID",
        I::TxGasLimitGreaterThanCap { .. } => "GAS_LIMIT_EXCEEDS_MAXIMUM",
        I::AccessListNotSupported | I::Eip2930NotSupported => "TYPE_1_TX_PRE_FORK",
        I::Eip1559NotSupported => "TYPE_2_TX_PRE_FORK",
        I::MaxFeePerBlobGasNotSupported
        | I::BlobVersionedHashesNotSupported
        | I::Eip4844NotSupported => "TYPE_3_TX_PRE_FORK",
        I::BlobGasPriceGreaterThanMax { .. } => "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS",
        I::EmptyBlobs => "TYPE_3_TX_ZERO_BLOBS",
        I::BlobCreateTransaction => "TYPE_3_TX_CONTRACT_CREATION",
        I::TooManyBlobs { .. } => "TYPE_3_TX_BLOB_COUNT_EXCEEDED",
        I::BlobVersionNotSupported => "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH",
        I::AuthorizationListNotSupported | I::Eip7702NotSupported => "TYPE_4_TX_PRE_FORK",
        I::AuthorizationListInvalidFields => "TYPE_4_INVALID_AUTHORIZATION_FORMAT",
        I::EmptyAuthorizationList => "TYPE_4_EMPTY_AUTHORIZATION_LIST",
        I::Eip7873NotSupported | I::Eip7873MissingTarget => "TYPE_6_NOT_SUPPORTED",
        I::Str(_) => "OTHER",
    };
    Invalid { code, reason: error.to_string() }
}
