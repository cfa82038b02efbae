use alloy_primitives::{Address, U256};
use polity_kernel::DecodeError;

/// Why a transaction is not taken into the pool. The texts are those by which
/// Ethereum's tools know the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It cannot be decoded, or its signature is not valid.
    #[error("{}", decode_text(.0))]
    Decode(#[from] DecodeError),
    /// The pool has it, or the chain.
    #[error("already known")]
    AlreadyKnown,
    /// The fork does not have its type.
    #[error("transaction type not supported")]
    TypeNotSupported,
    /// It is larger than the pool takes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Its size in bytes.
        size: usize,
        /// The most.
        limit: usize,
    },
    /// A creation with more code than the fork allows (EIP-3860).
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeSize {
        /// Its size in bytes.
        size: usize,
        /// The most.
        limit: usize,
    },
    /// It may use more gas than a block has.
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    /// It may use more gas than a transaction may (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")]
    GasLimitCap {
        /// The most.
        cap: u64,
        /// Its gas limit.
        gas_limit: u64,
    },
    /// Its tip is above all that it pays.
    #[error(
        "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee {
        /// The sender.
        sender: Address,
        /// The tip.
        tip: u128,
        /// The most that it pays.
        fee: u128,
    },
    /// It does not pay the base fee, and the next block is to be made at once.
    #[error(
        "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {fee}, baseFee: {base_fee}"
    )]
    FeeTooLow {
        /// The sender.
        sender: Address,
        /// The most that it pays.
        fee: u128,
        /// The base fee.
        base_fee: u64,
    },
    /// Its gas limit does not cover what it pays before it runs.
    #[error("intrinsic gas too low: gas {gas_limit}, minimum needed {needed}")]
    IntrinsicGas {
        /// Its gas limit.
        gas_limit: u64,
        /// The least.
        needed: u64,
    },
    /// The sender has gone past its nonce.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The sender's next nonce.
        next: u64,
        /// Its nonce.
        nonce: u64,
    },
    /// No account may have a nonce as high.
    #[error("nonce has max value: address {sender}, nonce: {nonce}")]
    NonceMax {
        /// The sender.
        sender: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa: address {sender}")]
    SenderNoEoa {
        /// The sender.
        sender: Address,
    },
    /// The sender cannot pay for it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        .cost.saturating_sub(*.balance)
    )]
    InsufficientFunds {
        /// What the sender has.
        balance: U256,
        /// What it may cost.
        cost: U256,
    },
    /// It would replace another, and does not pay enough more.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// A blob transaction whose blobs are missing, wrong or too many.
    #[error("{0}")]
    Blobs(String),
    /// A delegation without authorizations.
    #[error("EIP-7702 transaction with empty auth list")]
    NoAuthorizations,
    /// The pool is full.
    #[error("txpool is full")]
    Full,
    /// The state could not be read.
    #[error("{0}")]
    State(String),
}

fn decode_text(error: &DecodeError) -> String {
    match error {
        DecodeError::Malformed(reason) if reason.contains("unexpected tx type") => {
            "transaction type not supported".into()
        }
        DecodeError::Malformed(reason) => format!("rlp: {reason}"),
        DecodeError::Signature(reason) => {
            format!("invalid sender: invalid transaction v, r, s values: {reason}")
        }
        DecodeError::ChainId { found, expected } => {
            format!("invalid sender: invalid chain id for signer: have {found} want {expected}")
        }
        other => other.to_string(),
    }
}
