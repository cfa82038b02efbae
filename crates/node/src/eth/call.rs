use alloy_primitives::Bytes;
use alloy_rpc_types_eth::{
    BlockOverrides, Bundle, EthCallResponse, TransactionRequest, state::StateOverride,
};

use super::{CallError, Scene};

/// What a call gives back (`eth_call`).
///
/// # Errors
/// The call reverted, ran into an error, or may not be made at all.
pub fn call(
    scene: &Scene<'_>,
    request: &TransactionRequest,
    state: Option<&StateOverride>,
    block: Option<&BlockOverrides>,
) -> Result<Bytes, CallError> {
    let mut stage = scene.stage(state, block)?;
    let tx = stage.envelope(request)?;
    let gas_limit = tx.gas_limit;
    let simulated = stage.run(tx).map_err(|error| supplied(error, gas_limit))?;
    CallError::output(&simulated.outcome.result)
}

/// geth's way to say that a call is not possible.
fn supplied(error: CallError, gas_limit: u64) -> CallError {
    match error {
        CallError::Invalid { reason, text } => {
            let text = format!("err: {text} (supplied gas {gas_limit})");
            CallError::Invalid { reason, text }
        }
        other => other,
    }
}

/// What calls give back that are made one after the other, each on what those
/// before it did (`eth_callMany`).
///
/// # Errors
/// A request contradicts itself, or the state failed. What is wrong with one
/// call is told in its place.
pub fn call_many(
    scene: &Scene<'_>,
    bundles: &[Bundle],
    state: Option<&StateOverride>,
) -> Result<Vec<Vec<EthCallResponse>>, CallError> {
    let mut overlay = scene.stage(state, None)?.state;
    let mut answers = Vec::with_capacity(bundles.len());
    for bundle in bundles {
        let mut stage = scene.stage_over(overlay, None, bundle.block_override.as_ref())?;
        let mut responses = Vec::with_capacity(bundle.transactions.len());
        for request in &bundle.transactions {
            let tx = stage.envelope(request)?;
            let answer = stage.run(tx).and_then(|simulated| {
                stage.keep(&simulated)?;
                CallError::output(&simulated.outcome.result)
            });
            responses.push(match answer {
                Ok(output) => EthCallResponse { value: Some(output), error: None },
                Err(error @ CallError::Internal(_)) => return Err(error),
                Err(error) => EthCallResponse { value: None, error: Some(error.to_string()) },
            });
        }
        answers.push(responses);
        overlay = stage.state;
    }
    Ok(answers)
}
