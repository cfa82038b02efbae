//! The names of the rules that a transaction or a block can break.
//!
//! Ours are those of the execution-spec-tests (`TransactionException`,
//! `BlockException`). The tests use the same, several joined by `|` where more
//! than one will do, and the older ones retesteth's.

use polity_evm::{
    header::{HeaderError, MAX_GAS_LIMIT},
    spec::Fork,
};
use polity_kernel::{DecodeError, Invalid};

use crate::encoding::faults;

/// Why a transaction or a block is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The rule. More than one where the same check stands for several rules
    /// that the tests tell apart by the blocks around.
    pub(crate) names: Vec<&'static str>,
    /// What is wrong, for people.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(names: &[&'static str], reason: impl ToString) -> Self {
        Self { names: names.to_vec(), reason: reason.to_string() }
    }

    /// A transaction that does not decode.
    pub(crate) fn decode(error: &DecodeError, raw: &[u8]) -> Self {
        let names = match error {
            DecodeError::Malformed(_) | DecodeError::UnknownMachine(_) => faults(raw),
            DecodeError::Signature(_) => vec!["INVALID_SIGNATURE_VRS"],
            DecodeError::ChainId { .. } => vec!["INVALID_CHAINID"],
        };
        Self { names, reason: error.to_string() }
    }

    /// A header or body that breaks a rule of `fork`.
    pub(crate) fn header(error: &HeaderError, fork: Fork) -> Self {
        Self { names: header_names(error, fork), reason: error.to_string() }
    }
}

impl From<&Invalid> for Refusal {
    fn from(invalid: &Invalid) -> Self {
        Self::new(&[invalid.code], &invalid.reason)
    }
}

fn header_names(error: &HeaderError, fork: Fork) -> Vec<&'static str> {
    use HeaderError as E;
    let merged = fork >= Fork::Paris;
    let names: &[_] = match error {
        E::ParentHash { .. } => &["UNKNOWN_PARENT"],
        E::Number { .. } => &["INVALID_BLOCK_NUMBER"],
        E::Timestamp { .. } => &["INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT"],
        E::GasLimitRange { found } if *found > MAX_GAS_LIMIT => {
            &["GASLIMIT_TOO_BIG", "INVALID_GASLIMIT"]
        }
        E::GasLimitRange { .. } => &["INVALID_GASLIMIT"],
        E::GasLimitStep { .. } => &["INVALID_GASLIMIT"],
        E::GasUsed { .. } => &["INVALID_GAS_USED_ABOVE_LIMIT", "GAS_USED_OVERFLOW"],
        E::ExtraData { .. } => &["EXTRA_DATA_TOO_BIG"],
        E::DaoMark { .. } => &["EXTRA_DATA_INVALID_DAO"],
        E::BaseFee { .. } => &["INVALID_BASEFEE_PER_GAS"],
        // A block of work after the Merge. Which of these names a test gives it
        // depends on what else in the block is of before.
        E::Difficulty { .. } if merged => &[
            "IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS",
            "IMPORT_IMPOSSIBLE_LONDON_OVER_PARIS",
            "IMPORT_IMPOSSIBLE_PARIS_WRONG_POW",
            "INVALID_DIFFICULTY",
        ],
        // A block without work before the Merge.
        E::Difficulty { found, .. } if found.is_zero() => {
            &["IMPORT_IMPOSSIBLE_PARIS_WRONG_POS", "INVALID_DIFFICULTY"]
        }
        E::Difficulty { .. } => &["INVALID_DIFFICULTY"],
        // The form of the header is another fork's.
        E::Absent { field: "base_fee_per_gas", .. } => &[
            "INCORRECT_BLOCK_FORMAT",
            "IMPORT_IMPOSSIBLE_LEGACY",
            "IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT",
        ],
        E::Present { field: "base_fee_per_gas", .. } => {
            &["INCORRECT_BLOCK_FORMAT", "IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT"]
        }
        E::Absent { field: "withdrawals_root", .. } => &[
            "INCORRECT_BLOCK_FORMAT",
            "IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI",
            "IMPORT_IMPOSSIBLE_LONDON_OVER_PARIS",
        ],
        E::Present { field: "withdrawals_root", .. } => {
            &["INCORRECT_BLOCK_FORMAT", "IMPORT_IMPOSSIBLE_SHANGHAI"]
        }
        E::Absent { field: "withdrawals of the body", .. } => {
            &["RLP_WITHDRAWALS_NOT_READ", "RLP_STRUCTURES_ENCODING"]
        }
        E::Absent { .. } | E::Present { .. } | E::Unsupported { .. } | E::Nonce { .. } => {
            &["INCORRECT_BLOCK_FORMAT"]
        }
        E::BlobGasLimit { .. } => &["BLOB_GAS_USED_ABOVE_LIMIT"],
        E::BlobGasMultiple { .. } | E::BlobGasUsed { .. } => &["INCORRECT_BLOB_GAS_USED"],
        E::ExcessBlobGas { .. } => &["INCORRECT_EXCESS_BLOB_GAS"],
        E::Overflow { .. } => &["INVALID_BASEFEE_PER_GAS", "INCORRECT_EXCESS_BLOB_GAS"],
        E::Root { field: "transactions_root", .. } => &["INVALID_TRANSACTIONS_ROOT"],
        E::Root { field: "withdrawals_root", .. } => &["INVALID_WITHDRAWALS_ROOT"],
        E::Root { field: "ommers_hash", .. } if merged => {
            &["INVALID_UNCLES_HASH", "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS"]
        }
        E::Root { field: "ommers_hash", .. } => &["INVALID_UNCLES_HASH"],
        E::Root { .. } => &[],
        E::BlockSize { .. } => &["RLP_BLOCK_LIMIT_EXCEEDED"],
        E::TooManyOmmers { .. } => &["TOO_MANY_UNCLES"],
        E::OmmerIncluded { .. } => &["UNCLE_IN_CHAIN"],
        E::OmmerIsAncestor { .. } => &["UNCLE_IS_ANCESTOR"],
        // One check: the parent is not two to seven blocks back. It may be the
        // block's own parent, too far back, or unknown.
        E::OmmerParent { .. } => {
            &["UNCLE_PARENT_INCORRECT", "UNCLE_UNKNOWN_PARENT", "UNCLE_IS_BROTHER"]
        }
        E::Ommer { error, .. } => return header_names(error, fork),
    };
    names.to_vec()
}

/// Whether one of the rules that were found broken is one that the test
/// expects to be. No name expects only that there is one.
pub(crate) fn matches(expected: &str, refusals: &[Refusal]) -> bool {
    let mut names = refusals.iter().flat_map(|refusal| &refusal.names);
    if expected.is_empty() {
        return !refusals.is_empty();
    }
    let wanted: Vec<&str> = expected.split('|').flat_map(|name| canonical(name.trim())).collect();
    names.any(|name| wanted.contains(name) || wanted.contains(&wider(name)))
}

/// The tests' name for a rule of which ours is a part.
fn wider(name: &'static str) -> &'static str {
    match name {
        // One name for all types, in tests that offer each to a fork before it.
        "TYPE_1_TX_PRE_FORK" | "TYPE_2_TX_PRE_FORK" | "TYPE_3_TX_PRE_FORK"
        | "TYPE_4_TX_PRE_FORK" => "TYPE_NOT_SUPPORTED",
        // A cost above 2^256 is above every balance.
        "GASLIMIT_PRICE_PRODUCT_OVERFLOW" => "INSUFFICIENT_ACCOUNT_FUNDS",
        other => other,
    }
}

/// Our names for one of the tests' names.
fn canonical(name: &str) -> Vec<&str> {
    for kind in ["TransactionException.", "BlockException."] {
        if let Some(name) = name.strip_prefix(kind) {
            return vec![name];
        }
    }
    match OLD_NAMES.iter().find(|(old, _)| *old == name) {
        Some((_, names)) => names.to_vec(),
        None => vec![name],
    }
}

/// retesteth's names. Some stand for several of the newer ones, since they are
/// those of the clients that filled the tests.
const OLD_NAMES: &[(&str, &[&str])] = &[
    ("IntrinsicGas", &["INTRINSIC_GAS_TOO_LOW"]),
    ("SenderNotEOA", &["SENDER_NOT_EOA"]),
    ("SenderNotEOAorNoCASH", &["SENDER_NOT_EOA", "INSUFFICIENT_ACCOUNT_FUNDS"]),
    ("TR_BLOBCREATE", &["TYPE_3_TX_CONTRACT_CREATION"]),
    ("TR_BLOBLIST_OVERSIZE", &["TYPE_3_TX_BLOB_COUNT_EXCEEDED"]),
    ("TR_BLOBVERSION_INVALID", &["TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH"]),
    ("TR_EMPTYBLOB", &["TYPE_3_TX_ZERO_BLOBS"]),
    ("TR_FeeCapLessThanBlocks", &["INSUFFICIENT_MAX_FEE_PER_GAS"]),
    (
        "TR_FeeCapLessThanBlocksORGasLimitReached",
        &["INSUFFICIENT_MAX_FEE_PER_GAS", "GAS_ALLOWANCE_EXCEEDED"],
    ),
    (
        "TR_FeeCapLessThanBlocksORNoFunds",
        &["INSUFFICIENT_MAX_FEE_PER_GAS", "INSUFFICIENT_ACCOUNT_FUNDS"],
    ),
    ("TR_GasLimitReached", &["GAS_ALLOWANCE_EXCEEDED"]),
    ("TR_InitCodeLimitExceeded", &["INITCODE_SIZE_EXCEEDED"]),
    ("TR_IntrinsicGas", &["INTRINSIC_GAS_TOO_LOW"]),
    ("TR_NoFunds", &["INSUFFICIENT_ACCOUNT_FUNDS"]),
    ("TR_NoFundsOrGas", &["INSUFFICIENT_ACCOUNT_FUNDS", "INTRINSIC_GAS_TOO_LOW"]),
    // The client's word is "integer out of bounds": the cost, or the price.
    ("TR_NoFundsX", &["INSUFFICIENT_ACCOUNT_FUNDS", "GASPRICE_OVERFLOW"]),
    ("TR_NonceHasMaxValue", &["NONCE_IS_MAX"]),
    ("TR_NonceTooHigh", &["NONCE_MISMATCH_TOO_HIGH"]),
    ("TR_NonceTooLow", &["NONCE_MISMATCH_TOO_LOW"]),
    ("TR_RLP_WRONGVALUE", &["MALFORMED"]),
    ("TR_TipGtFeeCap", &["PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS"]),
    ("TR_TypeNotSupported", &["TYPE_NOT_SUPPORTED"]),
    ("1559BlockImportImpossible_BaseFeeWrong", &["INVALID_BASEFEE_PER_GAS"]),
    ("1559BlockImportImpossible_HeaderIsLegacy", &["IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT"]),
    ("3675PoSBlockRejected", &["IMPORT_IMPOSSIBLE_PARIS_WRONG_POS"]),
    ("3675PoWBlockRejected", &["IMPORT_IMPOSSIBLE_PARIS_WRONG_POW"]),
    // A block with ommers is one of before the Merge, too.
    (
        "3675PreParis1559BlockRejected",
        &["IMPORT_IMPOSSIBLE_LONDON_OVER_PARIS", "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS"],
    ),
    ("BlockGasLimitReached", &["GAS_ALLOWANCE_EXCEEDED"]),
    ("ExtraDataIncorrectDAO", &["EXTRA_DATA_INVALID_DAO"]),
    ("ExtraDataTooBig", &["EXTRA_DATA_TOO_BIG"]),
    ("INPUT_UNMARSHAL_ADDRESS_ERROR", &["RLP_STRUCTURES_ENCODING"]),
    ("INPUT_UNMARSHAL_ERROR", &["RLP_STRUCTURES_ENCODING"]),
    ("InvalidDifficulty", &["INVALID_DIFFICULTY"]),
    ("InvalidGasLimit", &["INVALID_GASLIMIT"]),
    ("InvalidGasLimit2", &["INVALID_GASLIMIT"]),
    ("InvalidGasUsed", &["INVALID_GAS_USED"]),
    ("InvalidLogBloom", &["INVALID_LOG_BLOOM"]),
    ("InvalidNumber", &["INVALID_BLOCK_NUMBER"]),
    ("InvalidReceiptsStateRoot", &["INVALID_RECEIPTS_ROOT"]),
    ("InvalidStateRoot", &["INVALID_STATE_ROOT"]),
    ("InvalidTimestamp", &["INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT"]),
    ("InvalidTimestampOlderParent", &["INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT"]),
    ("InvalidTransactionsRoot", &["INVALID_TRANSACTIONS_ROOT"]),
    ("InvalidUncleParentHash", &["UNCLE_PARENT_INCORRECT"]),
    ("InvalidUnclesHash", &["INVALID_UNCLES_HASH"]),
    ("InvalidWithdrawals", &["INVALID_WITHDRAWALS_ROOT"]),
    ("LegacyBlockImportImpossible", &["IMPORT_IMPOSSIBLE_LEGACY"]),
    ("LegacyBlockImportImpossible2", &["IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT"]),
    ("ParisBlockImportImpossible", &["IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI"]),
    ("PostParisDifficultyIsNot0", &["IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS"]),
    ("PostParisUncleHashIsNotEmpty", &["IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS"]),
    ("RLP_ExpectedAsList", &["RLP_STRUCTURES_ENCODING"]),
    ("ShanghaiBlockImportImpossible", &["IMPORT_IMPOSSIBLE_SHANGHAI"]),
    ("TooManyUncles", &["TOO_MANY_UNCLES"]),
    ("TooMuchGasUsed", &["INVALID_GAS_USED_ABOVE_LIMIT"]),
    // The client had one set of the ancestors and their ommers.
    ("UncleInChain", &["UNCLE_IN_CHAIN", "UNCLE_IS_ANCESTOR"]),
    ("UncleIsAncestor", &["UNCLE_IS_ANCESTOR"]),
    // Also for one ommer twice in a block.
    ("UncleIsBrother", &["UNCLE_IS_BROTHER", "UNCLE_IN_CHAIN"]),
    ("UncleParentIsNotAncestor", &["UNCLE_PARENT_INCORRECT"]),
    ("UncleTooOld", &["UNCLE_UNKNOWN_PARENT"]),
    ("UnknownParent", &["UNKNOWN_PARENT"]),
    ("UnknownParent2", &["UNKNOWN_PARENT_ZERO"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &'static str) -> [Refusal; 1] {
        [Refusal::new(&[name], "")]
    }

    #[test]
    fn one_of_several_names_will_do() {
        let expected = "TransactionException.A|BlockException.B";
        assert!(matches(expected, &refused("A")));
        assert!(matches(expected, &refused("B")));
        assert!(!matches(expected, &refused("C")));
        assert!(!matches(expected, &[]));
    }

    #[test]
    fn another_name_will_not_do() {
        assert!(matches("TR_NoFunds", &refused("INSUFFICIENT_ACCOUNT_FUNDS")));
        assert!(!matches("TR_NoFunds", &refused("INTRINSIC_GAS_TOO_LOW")));
        assert!(matches("TR_TypeNotSupported", &refused("TYPE_2_TX_PRE_FORK")));
        assert!(!matches(
            "TransactionException.TYPE_1_TX_PRE_FORK",
            &refused("TYPE_2_TX_PRE_FORK")
        ));
    }

    #[test]
    fn without_a_name_any_refusal_will_do() {
        assert!(matches("", &refused("A")));
        assert!(!matches("", &[]));
    }
}
