//! Why a call has no result, in the words of geth, by which Ethereum's tools
//! know the reason.

use alloy_primitives::{Bytes, U256, hex};
use polity_engine::OverlayError;
use polity_evm::SimulationError;
use polity_kernel::{Halt, ViewError};
use polity_types::Status;
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError},
};

/// The code of what is wrong with the parameters of a request.
const INVALID_PARAMS: i32 = -32602;
/// The code of what is wrong with us.
const INTERNAL: i32 = -32603;
/// The code of what went wrong with a transaction.
const FAILED: i32 = -32000;
/// The code of a revert.
const REVERTED: i32 = 3;

/// Why a call, an estimate, a simulation or a trace has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The contract reverted, with this output.
    #[error("{}", revert_text(.0))]
    Reverted(Bytes),
    /// The execution ended otherwise than by a success or a revert.
    #[error("{0}")]
    Halted(String),
    /// The transaction may not be in the block.
    #[error("{text}")]
    Invalid {
        /// The reason as revm has it.
        reason: InvalidTransaction,
        /// The reason as geth says it.
        text: String,
    },
    /// No gas limit that the sender can pay for is enough.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// The request contradicts itself or asks for what there is not.
    #[error("{0}")]
    Params(String),
    /// A failure that has a code of its own.
    #[error("{message}")]
    Coded {
        /// The code.
        code: i32,
        /// What is wrong.
        message: String,
    },
    /// The state failed, or a machine broke a rule.
    #[error("{0}")]
    Internal(String),
}

impl CallError {
    /// JSON-RPC's code.
    pub const fn code(&self) -> i32 {
        match self {
            Self::Reverted(_) => REVERTED,
            Self::Halted(_) | Self::Invalid { .. } | Self::GasAllowance(_) => FAILED,
            Self::Params(_) => INVALID_PARAMS,
            Self::Coded { code, .. } => *code,
            Self::Internal(_) => INTERNAL,
        }
    }

    /// What is handed out beside the message: what the contract reverted with.
    pub const fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Reverted(output) => Some(output),
            _ => None,
        }
    }

    /// The error of a transaction that could not be executed.
    pub(crate) fn of(error: SimulationError, tx: &TxEnv, base_fee: u64) -> Self {
        match error {
            SimulationError::Invalid(reason) => {
                let text = invalid_text(&reason, tx, base_fee);
                Self::Invalid { reason, text }
            }
            SimulationError::Refused(invalid) => Self::Halted(invalid.reason),
            SimulationError::Halt(halt) => halt.into(),
            other @ SimulationError::Foreign(_) => Self::Params(other.to_string()),
        }
    }

    /// The output of a success, or the error that the result is.
    pub(crate) fn output(result: &ExecutionResult) -> Result<Bytes, Self> {
        match result {
            ExecutionResult::Success { output, .. } => Ok(output.data().clone()),
            ExecutionResult::Revert { output, .. } => Err(Self::Reverted(output.clone())),
            ExecutionResult::Halt { reason, .. } => Err(Self::Halted(halt_text(reason))),
        }
    }
}

impl From<Halt> for CallError {
    fn from(halt: Halt) -> Self {
        match halt {
            // Of a block that somebody made up.
            Halt::Block(_) => Self::Halted(halt.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<ViewError> for CallError {
    fn from(error: ViewError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<OverlayError> for CallError {
    fn from(error: OverlayError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// "execution reverted", with the reason where the output tells one.
pub(crate) fn revert_text(output: &[u8]) -> String {
    match reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// What the output of a frame that reverted tells, if it tells something.
pub(crate) fn revert_reason(output: &[u8]) -> Option<String> {
    reason(output).filter(|reason| !reason.trim_matches('\0').is_empty())
}

/// Why a frame of a call tree failed, in geth's words where it is Ethereum's.
pub(crate) fn frame_text(status: &Status) -> Option<String> {
    let reason = match status {
        Status::Success => return None,
        Status::Reverted => "execution reverted",
        Status::Failed(reason) => match reason.as_str() {
            "OutOfGas" | "PrecompileOOG" => "out of gas",
            "OutOfFunds" => "insufficient balance for transfer",
            "MemoryOOG" => "out of gas: out of memory",
            "MemoryLimitOOG" => "out of gas: reach memory limit",
            "InvalidOperandOOG" => "out of gas: invalid operand",
            "ReentrancySentryOOG" => "out of gas: not enough gas for reentrancy sentry",
            "CreateContractSizeLimit" => "max code size exceeded",
            "CreateInitCodeSizeLimit" => "max initcode size exceeded",
            "OpcodeNotFound" | "NotActivated" => "invalid opcode",
            "InvalidFEOpcode" => "invalid opcode: INVALID",
            "StackUnderflow" => "stack underflow",
            "StackOverflow" => "Out of stack",
            "StateChangeDuringStaticCall" | "CallNotAllowedInsideStatic" => "write protection",
            "OutOfOffset" => "return data out of bounds",
            "CreateContractStartingWithEF" => "invalid code: must not begin with 0xef",
            "CreateCollision" => "contract address collision",
            "NonceOverflow" => "nonce uint64 overflow",
            "CallTooDeep" => "max call depth exceeded",
            "InvalidJump" => "invalid jump destination",
            "PrecompileError" => "precompiled failed",
            other => other,
        },
    };
    Some(reason.to_owned())
}

/// What Solidity's `Error(string)` or `Panic(uint256)` says.
fn reason(output: &[u8]) -> Option<String> {
    let (selector, body) = output.split_first_chunk::<4>()?;
    let word = |at: usize| body.get(at..at.checked_add(32)?).map(U256::from_be_slice);
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let offset = usize::try_from(word(0)?).ok()?;
            let length = usize::try_from(word(offset)?).ok()?;
            let start = offset.checked_add(32)?;
            let text = body.get(start..start.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => {
            let code = word(0)?;
            let known = match u64::try_from(code).ok() {
                Some(0x00) => "generic panic",
                Some(0x01) => "assert(false)",
                Some(0x11) => "arithmetic underflow or overflow",
                Some(0x12) => "division or modulo by zero",
                Some(0x21) => "enum overflow",
                Some(0x22) => "invalid encoded storage byte array accessed",
                Some(0x31) => "out-of-bounds array access; popping on an empty array",
                Some(0x32) => "out-of-bounds access of an array or bytesN",
                Some(0x41) => "out of memory",
                Some(0x51) => "uninitialized function",
                _ => return Some(format!("unknown panic code: {code:#x}")),
            };
            Some(known.to_owned())
        }
        _ => None,
    }
}

/// Why an execution ended.
pub(crate) fn halt_text(reason: &HaltReason) -> String {
    let text = match reason {
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "gas uint64 overflow",
        HaltReason::OutOfGas(_) => "out of gas",
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode",
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID",
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::PrecompileError => "precompile failed",
        HaltReason::PrecompileErrorWithContext(why) => return format!("precompile failed: {why}"),
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::OverflowPayment => "gas uint64 overflow",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection"
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
    };
    text.to_owned()
}

/// Why a transaction may not be in a block.
fn invalid_text(reason: &InvalidTransaction, tx: &TxEnv, base_fee: u64) -> String {
    use InvalidTransaction as I;
    let from = tx.caller;
    let fee = tx.gas_price;
    let tip = tx.gas_priority_fee.unwrap_or(fee);
    match reason {
        I::PriorityFeeGreaterThanMaxFee => format!(
            "max priority fee per gas higher than max fee per gas: address {from}, \
             maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
        ),
        I::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {from}, maxFeePerGas: {fee}, \
             baseFee: {base_fee}"
        ),
        I::CallerGasLimitMoreThanBlock => "gas limit reached".to_owned(),
        I::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        I::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        I::RejectCallerWithCode => format!("sender not an eoa: address {from}"),
        I::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {from} have {balance} want {fee}"
        ),
        I::OverflowPaymentInTransaction => "gas uint64 overflow".to_owned(),
        I::NonceOverflowInTransaction => {
            format!("nonce has max value: address {from}, nonce: {}", tx.nonce)
        }
        I::NonceTooHigh { tx, state } => {
            format!("nonce too high: address {from}, tx: {tx} state: {state}")
        }
        I::NonceTooLow { tx, state } => {
            format!("nonce too low: address {from}, tx: {tx} state: {state}")
        }
        I::CreateInitCodeSizeLimit => {
            format!("max initcode size exceeded: code size {}", tx.data.len())
        }
        I::InvalidChainId | I::MissingChainId => "invalid chain id for signer".to_owned(),
        I::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            format!("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")
        }
        I::BlobGasPriceGreaterThanMax { block_blob_gas_price, tx_max_fee_per_blob_gas } => format!(
            "max fee per blob gas less than block blob gas fee: address {from} \
             blobGasFeeCap: {tx_max_fee_per_blob_gas}, blobBaseFee: {block_blob_gas_price}"
        ),
        I::EmptyBlobs => "blob transaction missing blob hashes".to_owned(),
        I::BlobCreateTransaction => "blob transaction of type create".to_owned(),
        I::TooManyBlobs { have, max } => {
            format!("blob transaction has too many blobs ({have}, at most {max})")
        }
        I::BlobVersionNotSupported => {
            let wrong = tx.blob_hashes.iter().find(|hash| hash.first() != Some(&1));
            let wrong = wrong.map(hex::encode_prefixed).unwrap_or_default();
            format!("blob {wrong} has invalid hash version")
        }
        I::EmptyAuthorizationList => {
            format!("EIP-7702 transaction with empty auth list: (sender {from})")
        }
        I::AuthorizationListInvalidFields => {
            format!("EIP-7702 transaction cannot be used to create contract: (sender {from})")
        }
        I::AccessListNotSupported
        | I::MaxFeePerBlobGasNotSupported
        | I::BlobVersionedHashesNotSupported
        | I::AuthorizationListNotSupported
        | I::Eip2930NotSupported
        | I::Eip1559NotSupported
        | I::Eip4844NotSupported
        | I::Eip7702NotSupported
        | I::Eip7873NotSupported
        | I::Eip7873MissingTarget => "transaction type not supported".to_owned(),
        I::Str(text) => text.clone().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::bytes;

    #[test]
    fn a_revert_is_told_with_its_reason() {
        let text = |output: &Bytes| CallError::Reverted(output.clone()).to_string();
        let word = |last: u8| U256::from(last).to_be_bytes::<32>();
        let error = [&hex!("08c379a0")[..], &word(32), &word(5), b"no", b"pe!", &[0; 27]].concat();
        assert_eq!(text(&error.into()), "execution reverted: nope!");
        let panic = |code: u8| Bytes::from([&hex!("4e487b71")[..], &word(code)].concat());
        assert_eq!(text(&panic(0x11)), "execution reverted: arithmetic underflow or overflow");
        assert_eq!(text(&panic(0x99)), "execution reverted: unknown panic code: 0x99");
        assert_eq!(text(&bytes!("")), "execution reverted");
        assert_eq!(text(&bytes!("08c379a0ff")), "execution reverted");
        // A length that reaches beyond the end.
        let cut = [&hex!("08c379a0")[..], &word(32), &word(5), b"no"].concat();
        assert_eq!(text(&cut.into()), "execution reverted");
        let far = [&hex!("08c379a0")[..], &[0xff; 64]].concat();
        assert_eq!(text(&far.into()), "execution reverted");
    }
}
