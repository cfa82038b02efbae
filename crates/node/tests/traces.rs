//! Traces of the transactions of a block and of calls, as geth and Parity write them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod scenery;

use alloy_primitives::{Bytes, TxKind, hex, map::HashSet};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::{
    filter::TraceFilter,
    geth::{GethDebugTracingCallOptions, GethDebugTracingOptions},
    parity::TraceType,
};
use polity_kernel::Decoded;
use polity_node::eth::{
    CallError, debug_block, debug_call, debug_transaction, parity_call, parity_call_many,
    replay_block, replay_transaction, trace_block, trace_filter, trace_get, trace_raw,
    trace_transaction,
};
use scenery::{
    CALLER, COUNTER, CREATOR, DESTROYED, FAILING, POOR, RICH, SPINNER, World, transaction,
};
use serde_json::{Value, from_value, json, to_value};

/// A transfer, a contract that calls others, a revert, a creation in a call, and the end of a
/// contract.
fn transactions() -> Vec<Decoded> {
    let call = |nonce: u64, to, data: &[u8], value| {
        transaction(nonce, TxKind::Call(to), Bytes::copy_from_slice(data), value)
    };
    vec![
        call(0, POOR, &[], 1_000),
        call(1, CALLER, &[], 0),
        call(2, FAILING, &hex!("d09de08a"), 0),
        call(3, CREATOR, &hex!("5f5ff3"), 0),
        transaction(
            4,
            TxKind::Create,
            hex!("600a600c600039600a6000f3602a60005260206000f3").into(),
            2,
        ),
        call(5, DESTROYED, &[], 0),
        call(6, CALLER, &[], 0),
    ]
}

fn options(tracer: Value) -> GethDebugTracingOptions {
    from_value(tracer).unwrap()
}

fn traced(index: usize, tracer: Value) -> Value {
    let world = World::default();
    let transactions = transactions();
    let trace = debug_transaction(&world.past(&transactions), index, &options(tracer)).unwrap();
    to_value(trace).unwrap()
}

#[test]
fn the_call_tracer_shows_the_tree_of_calls() {
    let trace = traced(1, json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } }));
    assert_eq!(trace["type"], "CALL");
    assert_eq!(trace["from"], json!(RICH));
    assert_eq!(trace["gas"], "0x30d40");
    let calls = trace["calls"].as_array().unwrap();
    let to: Vec<&Value> = calls.iter().map(|call| &call["to"]).collect();
    assert_eq!(to[..2], [&json!(COUNTER), &json!(FAILING)]);
    assert_eq!(calls[0]["input"], "0xd09de08a");
    assert_eq!(calls[0]["logs"].as_array().unwrap().len(), 1);
    assert_eq!(calls[1]["error"], "execution reverted");
    assert_eq!(calls[1]["revertReason"], "nope");
    // The counter counts on from the transaction before.
    let again = traced(6, json!({ "tracer": "callTracer" }));
    assert!(again["calls"][0]["output"].as_str().unwrap().ends_with('2'));
    let created = traced(3, json!({ "tracer": "callTracer" }));
    assert_eq!(created["calls"][0]["type"], "CREATE");
    let destroyed = traced(5, json!({ "tracer": "callTracer" }));
    assert_eq!(destroyed["calls"][0]["type"], "SELFDESTRUCT");
    let top = json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": true } });
    assert_eq!(traced(1, top)["calls"], Value::Null);
}

#[test]
fn the_prestate_tracer_shows_what_was_and_what_changed() {
    let before = traced(0, json!({ "tracer": "prestateTracer" }));
    let rich = RICH.to_string().to_lowercase();
    let poor = POOR.to_string().to_lowercase();
    assert_eq!(before[&rich], json!({ "balance": "0x3b9aca00", "nonce": 3 }));
    let diff =
        traced(0, json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } }));
    assert_eq!(diff["post"][&poor]["balance"], "0x3e8");
    assert_eq!(diff["post"][&rich]["nonce"], 4);
    let counter = COUNTER.to_string().to_lowercase();
    let diff =
        traced(6, json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } }));
    let slot = alloy_primitives::B256::ZERO.to_string();
    let ends = |value: &Value, digit| value["storage"][&slot].as_str().unwrap().ends_with(digit);
    assert!(ends(&diff["pre"][&counter], '1') && ends(&diff["post"][&counter], '2'), "{diff}");
}

#[test]
fn the_other_tracers_of_geth_are_there() {
    let steps = traced(1, json!({ "enableMemory": true }));
    assert_eq!(steps["failed"], false);
    let logs = steps["structLogs"].as_array().unwrap();
    assert_eq!(logs[0]["op"], "PUSH4");
    assert_eq!(logs[0]["pc"], 0);
    assert!(logs.iter().any(|step| step["op"] == "SSTORE" && step["depth"] == 2));
    let four = traced(1, json!({ "tracer": "4byteTracer" }));
    assert_eq!(four, json!({ "0xd09de08a-0": 1 }));
    assert_eq!(traced(1, json!({ "tracer": "noopTracer" })), json!({}));
    let flat = traced(1, json!({ "tracer": "flatCallTracer" }));
    assert_eq!(flat.as_array().unwrap().len(), 3);
    assert_eq!(flat[1]["transactionPosition"], 1);
    let mux = traced(
        1,
        json!({ "tracer": "muxTracer", "tracerConfig": { "4byteTracer": null, "callTracer": {} } }),
    );
    assert_eq!(mux["4byteTracer"], four);
    assert_eq!(mux["callTracer"]["type"], "CALL");
}

#[test]
fn a_tracer_that_is_a_program_is_refused() {
    let world = World::default();
    let transactions = transactions();
    let past = world.past(&transactions);
    for tracer in ["{ result: function() {} }", "opcountTracer"] {
        let refused = debug_transaction(&past, 0, &options(json!({ "tracer": tracer })));
        let error = refused.unwrap_err();
        assert_eq!(error.code(), -32602);
        assert!(error.to_string().contains("not supported; there are callTracer"), "{error}");
    }
    assert!(debug_transaction(&past, 7, &options(json!({}))).is_err());
}

/// A loop that is traced with this much gas.
fn endless(gas: &str, options: Value) -> Result<Value, CallError> {
    let world = World::default();
    let spinner: TransactionRequest = from_value(json!({ "to": SPINNER, "gas": gas })).unwrap();
    let trace = debug_call(&world.scene(), None, &spinner, &from_value(options).unwrap())?;
    Ok(to_value(trace).unwrap())
}

#[test]
fn a_trace_has_as_many_steps_as_are_asked_for() {
    let short = endless("0x186a0", json!({ "limit": 10 })).unwrap();
    assert_eq!(short["structLogs"].as_array().unwrap().len(), 10);
}

#[test]
#[ignore = "seconds, and gigabytes of memory"]
fn a_trace_that_would_fill_the_memory_is_refused() {
    let error = endless("0x1000000", json!({})).unwrap_err();
    assert_eq!(error.code(), -32000);
    assert!(error.to_string().starts_with("the trace is too large"), "{error}");
}

#[test]
fn a_block_is_traced_transaction_by_transaction() {
    let world = World::default();
    let transactions = transactions();
    let past = world.past(&transactions);
    let tracer = json!({ "tracer": "callTracer" });
    let traces = debug_block(&past, &options(tracer.clone())).unwrap();
    assert_eq!(traces.len(), transactions.len());
    for (index, trace) in traces.into_iter().enumerate() {
        let trace = to_value(trace).unwrap();
        assert_eq!(trace["txHash"], json!(transactions[index].hash));
        assert_eq!(trace["result"], traced(index, tracer.clone()));
    }
}

#[test]
fn a_call_is_traced_at_any_place_in_a_block() {
    let world = World::default();
    let transactions = transactions();
    let request: TransactionRequest = from_value(json!({ "to": COUNTER })).unwrap();
    let output = |options: Value| {
        let options: GethDebugTracingCallOptions = from_value(options).unwrap();
        let past = world.past(&transactions);
        let trace = debug_call(&world.scene(), Some(&past), &request, &options).unwrap();
        to_value(trace).unwrap()["output"].as_str().unwrap().chars().last().unwrap()
    };
    assert_eq!(output(json!({ "tracer": "callTracer" })), '1');
    assert_eq!(output(json!({ "tracer": "callTracer", "txIndex": "0x1" })), '1');
    assert_eq!(output(json!({ "tracer": "callTracer", "txIndex": "0x2" })), '2');
    let overrides = json!({ COUNTER.to_string(): { "code": "0x60075f5260205ff3" } });
    let options = json!({ "tracer": "callTracer", "txIndex": "0x2", "stateOverrides": overrides });
    assert_eq!(output(options), '7');
}

#[test]
fn the_calls_of_a_block_are_told_one_by_one() {
    let world = World::default();
    let transactions = transactions();
    let past = world.past(&transactions);
    let block = to_value(trace_block(&past).unwrap()).unwrap();
    let block = block.as_array().unwrap();
    let of = |index: u64| {
        block.iter().filter(|trace| trace["transactionPosition"] == index).collect::<Vec<_>>()
    };
    let kinds =
        |index: u64| of(index).iter().map(|trace| trace["type"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(0), ["call"]);
    assert_eq!(kinds(1), ["call", "call", "call"]);
    assert_eq!(kinds(3), ["call", "create"]);
    assert_eq!(kinds(4), ["create"]);
    assert_eq!(kinds(5), ["call", "suicide"]);
    assert_eq!(of(1)[2]["error"], "Reverted");
    assert_eq!(of(1)[2]["traceAddress"], json!([1]));
    assert_eq!(of(0)[0]["blockNumber"], 100);
    let one = to_value(trace_transaction(&past, 1).unwrap()).unwrap();
    assert_eq!(one.as_array().unwrap().iter().collect::<Vec<_>>(), of(1));
    let second = to_value(trace_get(&past, 1, 1).unwrap()).unwrap();
    assert_eq!(&second, of(1)[1]);
    assert!(trace_get(&past, 1, 9).unwrap().is_none());

    let filter = |value: Value| {
        let filter: TraceFilter = from_value(value).unwrap();
        let all = trace_filter(&filter, 100..=100, |_| trace_block(&past)).unwrap();
        to_value(all).unwrap().as_array().unwrap().len()
    };
    assert_eq!(filter(json!({})), block.len());
    assert_eq!(filter(json!({ "toAddress": [COUNTER] })), 2);
    assert_eq!(filter(json!({ "toAddress": [COUNTER], "after": 1 })), 1);
    assert_eq!(filter(json!({ "fromAddress": [CALLER], "count": 3 })), 3);
}

#[test]
fn transactions_are_replayed_with_what_they_change() {
    let world = World::default();
    let transactions = transactions();
    let past = world.past(&transactions);
    let all: HashSet<TraceType> =
        [TraceType::Trace, TraceType::VmTrace, TraceType::StateDiff].into_iter().collect();
    let replayed = to_value(replay_transaction(&past, 6, &all).unwrap()).unwrap();
    assert_eq!(replayed["trace"].as_array().unwrap().len(), 3);
    let counter = COUNTER.to_string().to_lowercase();
    let slots = replayed["stateDiff"][&counter]["storage"].as_object().unwrap();
    let change = &slots.values().next().unwrap()["*"];
    assert!(change["from"].as_str().unwrap().ends_with('1'), "{change}");
    assert!(change["to"].as_str().unwrap().ends_with('2'), "{change}");
    assert!(!replayed["vmTrace"]["ops"].as_array().unwrap().is_empty());
    let block = to_value(replay_block(&past, &all).unwrap()).unwrap();
    assert_eq!(block[6]["transactionHash"], json!(transactions[6].hash));
    assert_eq!(block[6]["stateDiff"], replayed["stateDiff"]);

    let kinds: HashSet<TraceType> = [TraceType::Trace].into_iter().collect();
    let request: TransactionRequest = from_value(json!({ "to": COUNTER })).unwrap();
    let scene = world.scene();
    let once = parity_call(&scene, &request, &kinds, None, None).unwrap();
    assert_eq!(once.output.last(), Some(&1));
    let calls = [(request.clone(), kinds.clone()), (request, kinds.clone())];
    let twice = parity_call_many(&scene, &calls).unwrap();
    assert_eq!(twice.iter().map(|trace| trace.output[31]).collect::<Vec<_>>(), [1, 2]);
    let raw = trace_raw(&scene, &transactions[0], &kinds).unwrap();
    assert_eq!(raw.trace.len(), 1);
    assert!(trace_raw(&scene, &transactions[1], &kinds).is_err(), "its nonce is too high");
}
