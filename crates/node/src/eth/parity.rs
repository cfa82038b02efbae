//! Parity's traces: `trace_*`.

use alloy_eips::BlockNumHash;
use alloy_primitives::map::HashSet;
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionInfo, TransactionRequest, state::StateOverride,
};
use alloy_rpc_types_trace::{
    filter::TraceFilter,
    parity::{
        LocalizedTransactionTrace, RewardAction, RewardType, TraceResults,
        TraceResultsWithTransactionHash, TraceType,
    },
};
use polity_evm::{Simulated, StateReader, Waiver, rewards::block_rewards};
use polity_kernel::Decoded;
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};

use super::{
    CallError, Past, Scene, Stage,
    guard::{Guard, Records},
    scene,
};

/// The calls of a transaction (`trace_transaction`).
///
/// # Errors
/// There is no such transaction, or the state failed.
pub fn trace_transaction(
    past: &Past<'_>,
    index: usize,
) -> Result<Vec<LocalizedTransactionTrace>, CallError> {
    let guard = Guard::new(Records::default());
    let (_, _, (inspector, _)) = guard.check(past.one(index, (calls(), guard.clone())))?;
    Ok(localized(past, index, inspector))
}

/// One of the calls of a transaction (`trace_get`).
///
/// # Errors
/// As [`trace_transaction`].
pub fn trace_get(
    past: &Past<'_>,
    index: usize,
    call: usize,
) -> Result<Option<LocalizedTransactionTrace>, CallError> {
    Ok(trace_transaction(past, index)?.into_iter().nth(call))
}

/// The calls of all transactions of a block, and its rewards (`trace_block`).
///
/// # Errors
/// The state failed.
pub fn trace_block(past: &Past<'_>) -> Result<Vec<LocalizedTransactionTrace>, CallError> {
    let traces = past
        .each(|| Ok(calls()), |_, index, _, _, inspector| Ok(localized(past, index, inspector)))?;
    let mut traces: Vec<_> = traces.into_iter().flatten().collect();
    let header = past.header;
    let fork = past.spec.fork_at(header.number, header.timestamp);
    let block = BlockNumHash { number: header.number, hash: past.hash };
    for (author, value) in block_rewards(fork, header.number, header.beneficiary, &[]) {
        let reward = RewardAction { author, reward_type: RewardType::Block, value };
        traces.push(reward.into_localized_trace(block));
    }
    Ok(traces)
}

/// The calls in a range of blocks that a filter lets through (`trace_filter`).
/// `block` gives the calls of a block, as [`trace_block`] does.
///
/// # Errors
/// Those of `block`.
pub fn trace_filter(
    filter: &TraceFilter,
    blocks: impl Iterator<Item = u64>,
    mut block: impl FnMut(u64) -> Result<Vec<LocalizedTransactionTrace>, CallError>,
) -> Result<Vec<LocalizedTransactionTrace>, CallError> {
    let matcher = filter.matcher();
    let mut skip = filter.after.unwrap_or_default();
    let most =
        filter.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut found = Vec::new();
    for number in blocks {
        for trace in block(number)? {
            if found.len() >= most {
                return Ok(found);
            }
            if !matcher.matches(&trace.trace) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            found.push(trace);
        }
    }
    Ok(found)
}

/// A call, traced (`trace_call`).
///
/// # Errors
/// The call may not be made, or the state failed.
pub fn trace_call(
    scene: &Scene<'_>,
    request: &TransactionRequest,
    kinds: &HashSet<TraceType>,
    state: Option<&StateOverride>,
    block: Option<&BlockOverrides>,
) -> Result<TraceResults, CallError> {
    let mut stage = scene.stage(state, block)?;
    let tx = scene::unsigned(stage.envelope(request)?, Waiver::CALL);
    look(&mut stage, &tx, kinds).map(|(_, results)| results)
}

/// Calls that are made one after the other, each on what those before it did
/// (`trace_callMany`).
///
/// # Errors
/// One of them may not be made, or the state failed.
pub fn trace_call_many(
    scene: &Scene<'_>,
    calls: &[(TransactionRequest, HashSet<TraceType>)],
) -> Result<Vec<TraceResults>, CallError> {
    let mut stage = scene.stage(None, None)?;
    let mut traces = Vec::with_capacity(calls.len());
    for (request, kinds) in calls {
        let tx = scene::unsigned(stage.envelope(request)?, Waiver::CALL);
        let (simulated, results) = look(&mut stage, &tx, kinds)?;
        traces.push(results);
        stage.keep(&simulated)?;
    }
    Ok(traces)
}

/// A signed transaction, traced and not sent (`trace_rawTransaction`).
///
/// # Errors
/// It may not be in the block, or the state failed.
pub fn trace_raw(
    scene: &Scene<'_>,
    tx: &Decoded,
    kinds: &HashSet<TraceType>,
) -> Result<TraceResults, CallError> {
    let mut stage = scene.stage(None, None)?;
    look(&mut stage, tx, kinds).map(|(_, results)| results)
}

/// A transaction of a block, executed again (`trace_replayTransaction`).
///
/// # Errors
/// There is no such transaction, or the state failed.
pub fn replay_transaction(
    past: &Past<'_>,
    index: usize,
    kinds: &HashSet<TraceType>,
) -> Result<TraceResults, CallError> {
    let guard = guard(kinds);
    let looked = past.one(index, (of_kinds(kinds), guard.clone()));
    let (stage, simulated, (inspector, _)) = guard.check(looked)?;
    results(&stage, &simulated, inspector, kinds)
}

/// All transactions of a block, executed again (`trace_replayBlockTransactions`).
///
/// # Errors
/// The state failed.
pub fn replay_block(
    past: &Past<'_>,
    kinds: &HashSet<TraceType>,
) -> Result<Vec<TraceResultsWithTransactionHash>, CallError> {
    let guard = guard(kinds);
    let traces = past.each(
        || Ok((of_kinds(kinds), guard.again())),
        |stage, _, tx, simulated, (inspector, _)| {
            let full_trace = results(stage, &simulated, inspector, kinds)?;
            Ok(TraceResultsWithTransactionHash { full_trace, transaction_hash: tx.hash })
        },
    );
    guard.check(traces)
}

fn calls() -> TracingInspector {
    TracingInspector::new(TracingInspectorConfig::default_parity())
}

fn of_kinds(kinds: &HashSet<TraceType>) -> TracingInspector {
    TracingInspector::new(TracingInspectorConfig::from_parity_config(kinds))
}

/// `vmTrace` is of steps, with what each pushed.
fn guard(kinds: &HashSet<TraceType>) -> Guard {
    let steps = if kinds.contains(&TraceType::VmTrace) { u64::MAX } else { 0 };
    Guard::new(Records { steps, ..Records::default() })
}

fn look(
    stage: &mut Stage<'_>,
    tx: &Decoded,
    kinds: &HashSet<TraceType>,
) -> Result<(Simulated, TraceResults), CallError> {
    let guard = guard(kinds);
    let looked = stage.inspect(tx, (of_kinds(kinds), guard.clone()));
    let (simulated, (inspector, _)) = guard.check(looked)?;
    let results = results(stage, &simulated, inspector, kinds)?;
    Ok((simulated, results))
}

fn localized(
    past: &Past<'_>,
    index: usize,
    inspector: TracingInspector,
) -> Vec<LocalizedTransactionTrace> {
    let info = TransactionInfo {
        hash: past.transactions.get(index).map(|tx| tx.hash),
        index: Some(past.position(index) as u64),
        block_hash: Some(past.hash),
        block_number: Some(past.header.number),
        base_fee: past.header.base_fee_per_gas,
        ..TransactionInfo::default()
    };
    inspector.into_parity_builder().into_localized_transaction_traces(info)
}

fn results(
    stage: &Stage<'_>,
    simulated: &Simulated,
    inspector: TracingInspector,
    kinds: &HashSet<TraceType>,
) -> Result<TraceResults, CallError> {
    inspector
        .into_parity_builder()
        .into_trace_results_with_state(&simulated.outcome, kinds, StateReader(&stage.state))
        .map_err(|fault| fault.0.into())
}
