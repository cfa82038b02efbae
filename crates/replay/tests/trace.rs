//! Traces of mainnet transactions: the kernel's against bare revm's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod common;

use alloy_rpc_types_trace::{
    geth::{CallConfig, GethDefaultTracingOptions, PreStateConfig, mux::MuxConfig},
    parity::TraceType,
};
use common::bare::{Bare, mainnet};
use polity_engine::Overlay;
use polity_evm::{Simulator, StateReader, Transaction};
use polity_kernel::{Kernel, Machines, Scratch};
use polity_replay::{BlockFolder, Replay};
use revm::{
    DatabaseRef,
    context_interface::result::ResultAndState,
    database::{CacheDB, EmptyDB},
};
use revm_inspectors::{
    access_list::AccessListInspector,
    tracing::{FourByteInspector, MuxInspector, TracingInspector, TracingInspectorConfig},
};
use serde_json::{Value, json};

/// Everything that is traced of one transaction at once.
type Inspectors = (TracingInspector, (FourByteInspector, (MuxInspector, AccessListInspector)));

fn mux() -> MuxConfig {
    serde_json::from_value(json!({
        "callTracer": { "withLog": true },
        "4byteTracer": null,
        "prestateTracer": { "diffMode": true },
    }))
    .unwrap()
}

fn inspectors() -> Inspectors {
    let all = TracingInspectorConfig::all().set_memory_snapshots(false);
    let tracing = TracingInspector::new(all);
    let mux = MuxInspector::try_from_config(mux()).unwrap();
    (tracing, (FourByteInspector::default(), (mux, AccessListInspector::default())))
}

/// Every trace there is, as JSON.
fn traces<DB: DatabaseRef<Error: std::fmt::Debug>>(
    (mut tracing, (four_byte, (mux, access_list))): Inspectors,
    tx: &Transaction,
    outcome: &ResultAndState,
    database: &DB,
) -> Vec<(&'static str, Value)> {
    tracing.set_transaction_gas_limit(tx.env.gas_limit);
    tracing.set_transaction_caller(tx.env.caller);
    let builder = tracing.geth_builder();
    let with_logs = CallConfig { with_log: Some(true), ..CallConfig::default() };
    let calls = builder.geth_call_traces(with_logs, outcome.result.tx_gas_used());
    let steps = builder.geth_traces(
        outcome.result.tx_gas_used(),
        outcome.result.output().cloned().unwrap_or_default(),
        GethDefaultTracingOptions::default(),
    );
    let prestate = |diff: bool| {
        let config = PreStateConfig { diff_mode: Some(diff), ..PreStateConfig::default() };
        json!(builder.geth_prestate_traces(outcome, &config, database).unwrap())
    };
    let (before, diff) = (prestate(false), prestate(true));
    let kinds = [TraceType::Trace, TraceType::VmTrace, TraceType::StateDiff].into_iter().collect();
    let parity = tracing.clone().into_parity_builder();
    let parity = parity.into_trace_results_with_state(outcome, &kinds, database).unwrap();
    let four_byte = alloy_rpc_types_trace::geth::FourByteFrame::from(&four_byte);
    let mux = mux.try_into_mux_frame(outcome, database, Default::default()).unwrap();
    vec![
        ("calls", json!(calls)),
        ("steps", json!(steps)),
        ("prestate", before),
        ("prestate diff", diff),
        ("parity", json!(parity)),
        ("four byte", json!(four_byte)),
        ("mux", json!(mux)),
        ("access list", json!(access_list.into_access_list())),
    ]
}

fn compare(folder: &BlockFolder) {
    let replay = Replay::new(folder).unwrap();
    let context = &replay.block.context;
    let machines: &Machines = &replay.machines;
    let mut bare = Bare::<Inspectors>::new(folder, &replay, inspectors());
    let mut simulator = Simulator::new(machines);
    let mut scratch = Scratch::default();
    let mut state = Overlay::over(&replay.state);
    for machine in machines.iter() {
        let kernel = Kernel::new(machines, context, &state, &mut scratch);
        let effects = kernel.begin_block(machine.kind()).unwrap();
        state.apply(&effects).unwrap();
    }
    for (index, tx) in replay.block.transactions.iter().enumerate() {
        let at = format!("block {}, transaction {index} ({})", replay.number, tx.hash);
        let (simulated, ours) = simulator.inspect(&state, context, tx, inspectors()).unwrap();
        let quiet = simulator.run(&state, context, tx).unwrap();
        assert_eq!(quiet.output, simulated.output, "{at}: looking on changes something");
        let tx: &Transaction = tx.payload().unwrap();
        let theirs = bare.inspect(tx.env.clone(), inspectors());
        let (outcome, inspectors) = theirs;
        assert_eq!(simulated.outcome.result, outcome.result, "{at}: result");
        let before: &CacheDB<EmptyDB> = bare.database();
        let theirs = traces(inspectors, tx, &outcome, before);
        let ours = traces(ours, tx, &simulated.outcome, &StateReader(&state));
        for ((what, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
            if ours != theirs {
                panic!("{at}: {what}\n{}", difference("", &ours, &theirs));
            }
        }
        state.apply(&simulated.output.effects).unwrap();
        bare.commit(outcome.state);
    }
}

/// Where two traces part.
fn difference(path: &str, ours: &Value, theirs: &Value) -> String {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            let parts = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
            let null = Value::Null;
            let parts = parts.map(|key| {
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                difference(&format!("{path}.{key}"), a, b)
            });
            parts.collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let parts = a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b);
            parts.map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b)).collect()
        }
        _ => format!("{path}: ours {ours:.200}, theirs {theirs:.200}\n"),
    }
}

// Every step is compared, which takes about half a minute per ten million gas.
#[test]
fn traces_of_small_blocks_equal_those_of_bare_revm() {
    let small = |folder: &BlockFolder| {
        let header = Replay::new(folder).unwrap().header;
        header.is_some_and(|header| header.gas_used < 2_100_000)
    };
    for folder in mainnet().unwrap_or_default().iter().filter(|folder| small(folder)) {
        compare(folder);
    }
}

#[test]
#[ignore = "half an hour; needs POLITY_DATA"]
fn every_trace_equals_that_of_bare_revm() {
    for folder in mainnet().unwrap_or_default() {
        compare(&folder);
    }
}
