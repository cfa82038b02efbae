//! The least gas limit with which a transaction succeeds: geth's search.

use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip7825::MAX_TX_GAS_LIMIT_OSAKA};
use alloy_primitives::U256;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use polity_evm::{Simulated, account, spec::Fork};
use polity_kernel::View;
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction},
};

use super::{CallError, Scene, Stage, scene};

/// What a transfer takes.
const TRANSFER: u64 = 21_000;
/// What a callee has for free where value comes with the call.
const STIPEND: u64 = 2_300;
/// The search ends where it cannot be off by more than this, in thousandths:
/// wallets add more anyway.
const TOLERANCE: u64 = 15;

/// The least gas limit with which a transaction succeeds, or a little more
/// (`eth_estimateGas`).
///
/// # Errors
/// It succeeds with no gas limit that its sender can pay for.
pub fn estimate_gas(
    scene: &Scene<'_>,
    request: &TransactionRequest,
    state: Option<&StateOverride>,
    block: Option<&BlockOverrides>,
) -> Result<u64, CallError> {
    let mut stage = scene.stage(state, block)?;
    let tx = stage.envelope(request)?;
    let mut high = match request.gas {
        Some(gas) if gas >= TRANSFER => gas,
        _ => stage.header.gas_limit,
    };
    let fork = stage.spec().fork_at(stage.header.number, stage.header.timestamp);
    if fork >= Fork::Osaka {
        high = high.min(MAX_TX_GAS_LIMIT_OSAKA);
    }
    if tx.gas_price > 0 {
        high = high.min(allowance(&stage, &tx)?);
    }
    high = high.min(scene.gas_cap);
    search(&mut stage, &tx, high)
}

/// The most gas that the sender can pay for.
fn allowance(stage: &Stage<'_>, tx: &TxEnv) -> Result<u64, CallError> {
    let balance = stage.state.account(&account(tx.caller))?.unwrap_or_default().balance;
    let short = |text: &str| CallError::Halted(text.to_owned());
    let left = match balance.checked_sub(tx.value) {
        Some(left) if left > U256::ZERO => left,
        _ => return Err(short("insufficient funds for transfer")),
    };
    let blob_gas = DATA_GAS_PER_BLOB.saturating_mul(tx.blob_hashes.len() as u64);
    let blobs = U256::from(blob_gas).saturating_mul(U256::from(tx.max_fee_per_blob_gas));
    let left = match left.checked_sub(blobs) {
        Some(left) if left > U256::ZERO => left,
        _ => return Err(short("insufficient funds for gas * price + value")),
    };
    let gas = left.checked_div(U256::from(tx.gas_price)).unwrap_or_default();
    Ok(gas.saturating_to())
}

fn search(stage: &mut Stage<'_>, tx: &TxEnv, mut high: u64) -> Result<u64, CallError> {
    // Most transactions are transfers; what else they have may cost more.
    if let Some(to) = tx.kind.to()
        && tx.data.is_empty()
        && stage.state.account(&account(*to))?.is_none_or(|record| record.code.is_none())
        && matches!(attempt(stage, tx, TRANSFER), Ok(Attempt::Enough(_)))
    {
        return Ok(TRANSFER);
    }
    let used = match attempt(stage, tx, high)? {
        Attempt::Enough(simulated) => simulated,
        Attempt::TooLittle(Some(result)) => {
            if let ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } = result {
                return Err(CallError::GasAllowance(high));
            }
            CallError::output(&result)?;
            return Err(CallError::GasAllowance(high));
        }
        Attempt::TooLittle(None) => return Err(CallError::GasAllowance(high)),
    };
    let gas = used.outcome.result.gas();
    // What is used without a limit is nearly always needed.
    let mut low = gas.tx_gas_used().saturating_sub(1);
    // And what was used before refunds, with what callees have to be left, is
    // nearly always enough.
    let likely = gas.total_gas_spent().saturating_add(STIPEND).saturating_mul(64) / 63;
    if likely < high {
        narrow(stage, tx, likely, &mut low, &mut high)?;
    }
    while low.saturating_add(1) < high {
        if (high - low).saturating_mul(1_000) < high.saturating_mul(TOLERANCE) {
            break;
        }
        // Most need not much more than they use.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        narrow(stage, tx, middle, &mut low, &mut high)?;
    }
    Ok(high)
}

fn narrow(
    stage: &mut Stage<'_>,
    tx: &TxEnv,
    gas: u64,
    low: &mut u64,
    high: &mut u64,
) -> Result<(), CallError> {
    match attempt(stage, tx, gas)? {
        Attempt::Enough(_) => *high = gas,
        Attempt::TooLittle(_) => *low = gas,
    }
    Ok(())
}

enum Attempt {
    Enough(Box<Simulated>),
    /// What became of it; nothing where it could not even begin.
    TooLittle(Option<ExecutionResult>),
}

fn attempt(stage: &mut Stage<'_>, tx: &TxEnv, gas_limit: u64) -> Result<Attempt, CallError> {
    match stage
        .run_decoded(&scene::unsigned(TxEnv { gas_limit, ..tx.clone() }, polity_evm::Waiver::CALL))
    {
        Ok(simulated) if simulated.outcome.result.is_success() => {
            Ok(Attempt::Enough(Box::new(simulated)))
        }
        Ok(simulated) => Ok(Attempt::TooLittle(Some(simulated.outcome.result))),
        Err(CallError::Invalid {
            reason:
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ..
        }) => Ok(Attempt::TooLittle(None)),
        Err(CallError::Invalid { reason, text }) => {
            let text = format!("failed with {gas_limit} gas: {text}");
            Err(CallError::Invalid { reason, text })
        }
        Err(other) => Err(other),
    }
}
