//! The body of a JSON-RPC request, to a node that makes blocks when it is told to: every answer is
//! JSON, none is an internal error, and the node still answers afterwards.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use polity_node::{
    Node,
    config::{Config, Limits},
    eth::Ethereum,
    miner::Mining,
    rpc::{RpcError, Service},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

static SERVICE: LazyLock<Option<(Runtime, Service<Ethereum>)>> = LazyLock::new(|| {
    // Small: what is fuzzed are requests, not the work that they ask for.
    let limits = Limits { call_gas: 1_000_000, seconds: 10, ..Limits::default() };
    let config = Config { mining: Mining::Manual, accounts: 2, limits, ..Config::default() };
    let node = Arc::new(Node::start(&config).ok()?);
    let methods = Ethereum::methods(node.powers);
    let service = Service::new(Arc::new(Ethereum::new(node)), methods, limits);
    Some((Builder::new_current_thread().enable_all().build().ok()?, service))
});

fn check(answer: &Value) {
    let code = answer.pointer("/error/code").and_then(Value::as_i64);
    assert_ne!(code, Some(RpcError::INTERNAL), "{answer}");
    assert!(code.is_some() || answer.get("result").is_some(), "{answer}");
}

fuzz_target!(|data: &[u8]| {
    // A hundred thousand blocks at once are asked for soon, and take long.
    if data.windows(4).any(|window| window == b"mine") {
        return;
    }
    let Some((runtime, service)) = &*SERVICE else { return };
    if let Some(answer) = runtime.block_on(service.answer(data, None)) {
        match serde_json::from_str(&answer) {
            Ok(Value::Array(answers)) => answers.iter().for_each(check),
            Ok(answer) => check(&answer),
            Err(error) => panic!("{error}: {answer}"),
        }
    }
    let alive = br#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}"#;
    assert!(runtime.block_on(service.answer(alive, None)).is_some());
});
