//! geth's traces: `debug_trace*`.

use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerConfig, GethDebugTracerType,
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use polity_evm::{Evm, Simulated, StateReader, Transaction, Waiver};
use polity_kernel::Decoded;
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TransactionContext};

use super::{
    CallError, Past, Scene, Stage,
    guard::{Guard, Records},
    scene,
    tree::{self, Called},
};

/// The tracers that there are.
const TRACERS: &str = "callTracer, flatCallTracer, prestateTracer, 4byteTracer, muxTracer, \
                       noopTracer; without a tracer, every step is traced";

/// The trace of a transaction of a block (`debug_traceTransaction`).
///
/// # Errors
/// There is no such tracer or transaction, or the state failed.
pub fn debug_transaction(
    past: &Past<'_>,
    index: usize,
    options: &GethDebugTracingOptions,
) -> Result<GethTrace, CallError> {
    let guard = guard(options);
    let looked = past.one(index, (inspector(options)?, guard.clone()));
    let (stage, simulated, (inspector, _)) = guard.check(looked)?;
    let tx = past.transactions.get(index);
    let tx = tx.ok_or_else(|| CallError::Params("transaction not found".into()))?;
    let context = place(past, index, tx);
    trace(&stage, tx, simulated, inspector, Some(context), options)
}

/// The traces of a block's transactions (`debug_traceBlockByNumber`,
/// `debug_traceBlockByHash`).
///
/// # Errors
/// There is no such tracer, or the state failed.
pub fn debug_block(
    past: &Past<'_>,
    options: &GethDebugTracingOptions,
) -> Result<Vec<TraceResult>, CallError> {
    let guard = guard(options);
    let traces = past.each(
        || Ok((inspector(options)?, guard.again())),
        |stage, index, tx, simulated, (inspector, _)| {
            let context = place(past, index, tx);
            let result = trace(stage, tx, simulated, inspector, Some(context), options)?;
            Ok(TraceResult::Success { result, tx_hash: Some(tx.hash) })
        },
    );
    guard.check(traces)
}

/// The trace of a call (`debug_traceCall`). `past` is the scene's block, where
/// the options name a place in it: the call then takes place behind that many
/// of its transactions.
///
/// # Errors
/// There is no such tracer, the call may not be made, or the state failed.
pub fn debug_call<'a>(
    scene: &Scene<'a>,
    past: Option<&Past<'a>>,
    request: &TransactionRequest,
    options: &GethDebugTracingCallOptions,
) -> Result<GethTrace, CallError> {
    let state = options.state_overrides.as_ref();
    let block = options.block_overrides.as_ref();
    let mut stage = match (options.tx_index, past) {
        (Some(index), Some(past)) => {
            let before = past.before(usize::try_from(index).unwrap_or(usize::MAX));
            let before = before.ok_or_else(|| {
                CallError::Params(format!("transaction index {index} is not in the block"))
            })?;
            scene.stage_over(past.until(before)?.state, state, block)?
        }
        _ => scene.stage(state, block)?,
    };
    let tx = scene::unsigned(stage.envelope(request)?, Waiver::CALL);
    let options = &options.tracing_options;
    let guard = guard(options);
    if stage.spec().gateway {
        stage.watch();
    }
    let looked = stage.inspect(&tx, (inspector(options)?, guard.clone()));
    let (simulated, (inspector, _)) = guard.check(looked)?;
    trace(&stage, &tx, simulated, inspector, None, options)
}

/// What the tracer records of each step; most record calls alone.
fn guard(options: &GethDebugTracingOptions) -> Guard {
    let tracer = options.tracer.as_ref().map(GethDebugTracerType::as_str).unwrap_or_default();
    let GethDebugTracingOptions { config, .. } = options;
    let steps = match config.limit {
        None | Some(0) => u64::MAX,
        Some(limit) => limit,
    };
    let memory = config.is_memory_enabled();
    Guard::new(match tracer {
        "" => Records { steps, stack: config.is_stack_enabled(), memory },
        "erc7562Tracer" => Records { steps: u64::MAX, stack: true, memory: true },
        _ => Records::default(),
    })
}

fn inspector(options: &GethDebugTracingOptions) -> Result<DebugInspector, CallError> {
    if let Some(GethDebugTracerType::JsTracer(name)) = &options.tracer
        && !name.is_empty()
    {
        // A name that is not known is taken for a program, too.
        let what = if name.contains(['{', '(']) { "a JavaScript tracer" } else { name.as_str() };
        return Err(CallError::Params(format!("{what} is not supported; there are {TRACERS}")));
    }
    let mut options = options.clone();
    if options.tracer == Some(GethDebugBuiltInTracerType::MuxTracer.into()) {
        complete(&mut options.tracer_config)?;
    }
    DebugInspector::new(options).map_err(|error| failure(&error))
}

/// Gives each tracer of a mux tracer the settings that it has when it is alone:
/// none is the same as empty ones.
fn complete(config: &mut GethDebugTracerConfig) -> Result<(), CallError> {
    let mut mux = config
        .clone()
        .into_mux_config()
        .map_err(|error| CallError::Params(format!("the settings of the muxTracer: {error}")))?;
    let plain = [
        GethDebugBuiltInTracerType::FourByteTracer.into(),
        GethDebugBuiltInTracerType::NoopTracer.into(),
        GethDebugBuiltInTracerType::StateGasTracer.into(),
    ];
    let empty = || GethDebugTracerConfig(serde_json::json!({}));
    mux.0.iter_mut().for_each(|(tracer, own)| {
        *own = if plain.contains(tracer) { None } else { Some(own.take().unwrap_or_else(empty)) };
    });
    *config = mux.into();
    Ok(())
}

fn failure<E: core::fmt::Display>(error: &DebugInspectorError<E>) -> CallError {
    match error {
        DebugInspectorError::Database(error) => CallError::Internal(error.to_string()),
        other => CallError::Params(other.to_string()),
    }
}

fn place(past: &Past<'_>, index: usize, tx: &Decoded) -> TransactionContext {
    TransactionContext {
        block_hash: Some(past.hash),
        tx_index: Some(past.position(index)),
        tx_hash: Some(tx.hash),
    }
}

/// What the inspector saw, beside the state before the transaction.
fn trace(
    stage: &Stage<'_>,
    tx: &Decoded,
    simulated: Simulated,
    mut inspector: DebugInspector,
    place: Option<TransactionContext>,
    options: &GethDebugTracingOptions,
) -> Result<GethTrace, CallError> {
    let env = tx.payload::<Transaction>().map(|tx| tx.env.clone()).unwrap_or_default();
    let (_, block) = Evm::new(stage.spec().clone()).environment(&stage.context)?;
    let mut trace = inspector
        .get_result(place, &env, &block, &simulated.outcome, &mut StateReader(&stage.state))
        .map_err(|error| failure(&error))?;
    // The root is the transaction, with all that it paid for.
    if let GethTrace::FlatCallTracer(calls) = &mut trace
        && let Some(root) = calls.first_mut()
    {
        root.set_gas_used(simulated.outcome.result.tx_gas_used());
    }
    // Inspectors see Ethereum's frames alone.
    if let (GethTrace::CallTracer(_), Some(tree)) = (&trace, &simulated.trace)
        && tree::crosses(tree)
    {
        scene::whole(tree)?;
        let config = options.tracer_config.clone().into_call_config();
        let config = config.map_err(|error| CallError::Params(error.to_string()))?;
        let gas_used = simulated.outcome.result.tx_gas_used();
        let root = Called::of(tree, stage.names(), config, env.gas_limit, gas_used);
        let written = serde_json::to_value(root);
        return Ok(GethTrace::JS(written.map_err(|error| CallError::Internal(error.to_string()))?));
    }
    Ok(trace)
}
