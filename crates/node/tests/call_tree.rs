//! The call tree of transactions that go from machine to machine, as tools ask for it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod company;
mod world;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use company::{TOY, send, toy, with_toys};
use polity_evm::{
    account, address,
    gateway::{GATEWAY, IPolity},
};
use polity_testkit::toy::{self, Invocation, Op, Program};
use polity_types::Resources;
use serde_json::{Value, json};
use world::{Door, Signer, manual};

/// Counts its calls in slot 0, logs and returns the number.
const COUNTER: &str = "0x5f54600101805f55805f52600160205fa160205ff3";
const CONTRACT: Address = Address::repeat_byte(0xc1);
/// Calls the counter, which reverts what it did: calls it and reverts with "nope".
const FAILING: &str = "0x5f5f5f5f5f73c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c15af15f5ffd";
const OTHER: Address = Address::repeat_byte(0xc2);
/// Calls OTHER, then CONTRACT with 1 wei.
const CALLER: &str = "0x5f5f5f5f5f73c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c25af15f5f5f5f600173c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c15af1fe";
const FIRST: Address = Address::repeat_byte(0xc3);

async fn get(door: &Door, method: &str, params: Value) -> Value {
    let answer = door.call(method, params.clone()).await;
    answer.unwrap_or_else(|error| unreachable!("{method} {params}: {error}"))
}

async fn open() -> (Door, Signer) {
    let config = with_toys(manual());
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    for (address, code) in [(CONTRACT, COUNTER), (OTHER, FAILING), (FIRST, CALLER)] {
        get(&door, "anvil_setCode", json!([address, code])).await;
    }
    get(&door, "evm_mine", json!([])).await;
    (door, signer)
}

fn call_of(target: Address) -> Op {
    let limit = Resources { compute: 200_000, ..Resources::UNLIMITED };
    Op::Call(Invocation::new(account(target), Program::default()).limit(limit))
}

/// Asks the gateway to have a toy run a program.
fn cross(ops: &[Op]) -> Bytes {
    let account = toy::account(TOY, 1).address;
    let input = Program::new(ops).0;
    IPolity::callCall { machine: TOY.byte(), account, input }.abi_encode().into()
}

async fn transact(door: &Door, from: Address, to: Address, data: Bytes, wei: u64) -> Value {
    let request = json!({
        "from": from, "to": to, "gas": "0x7a120", "input": data, "value": U256::from(wei),
    });
    let hash = get(door, "eth_sendTransaction", json!([request])).await;
    get(door, "evm_mine", json!([])).await;
    hash
}

fn tracer() -> Value {
    json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } })
}

/// `evm:0x…`
fn evm(address: Address) -> Value {
    json!(format!("evm:{address:#x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_crosses_has_one_tree() {
    let (door, signer) = open().await;
    let toys = toy::account(TOY, 1);
    let program = [Op::write(toys, 3, 9), call_of(CONTRACT), Op::Emit("done".into())];
    let hash = transact(&door, signer.address(0), GATEWAY, cross(&program), 7).await;
    // Blocks that come later do not change what is told of it.
    for _ in 0..3 {
        get(&door, "evm_mine", json!([])).await;
    }
    let root = get(&door, "debug_traceTransaction", json!([hash, tracer()])).await;
    let receipt = get(&door, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(root["gasUsed"], receipt["gasUsed"]);
    assert_eq!((&root["gas"], &root["machine"]), (&json!("0x7a120"), &json!("evm")));
    assert_eq!(root["to"], json!(GATEWAY));
    let hop = &root["calls"][0];
    assert_eq!(
        (&hop["type"], &hop["machine"], &hop["value"]),
        (&json!("CALL"), &json!("toy"), &json!("0x7"))
    );
    assert_eq!(hop["to"], json!(address(&toys)));
    assert_eq!(hop["account"], json!(format!("toy:{}", toys.address)));
    assert_eq!(hop["logs"][0]["data"], json!(Bytes::from("done")));
    assert_eq!(
        (&hop["logs"][0]["position"], &hop["logs"][0]["index"]),
        (&json!("0x1"), &json!("0x1"))
    );
    let back = &hop["calls"][0];
    assert_eq!((&back["machine"], &back["to"]), (&json!("evm"), &json!(CONTRACT)));
    assert_eq!(back["fromAccount"], json!(format!("toy:{}", toys.address)));
    assert_eq!(back["from"], json!(address(&toys)));
    assert_eq!(back["logs"].as_array().unwrap().len(), 1);
    assert_eq!(back["output"].as_str().unwrap().chars().last(), Some('1'));

    let number = &receipt["blockNumber"];
    let block = get(&door, "debug_traceBlockByNumber", json!([number, tracer()])).await;
    assert_eq!(block[0]["result"], root);
    let top = json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": true } });
    let top = get(&door, "debug_traceTransaction", json!([hash, top])).await;
    assert_eq!((&top["calls"], &top["machine"]), (&Value::Null, &json!("evm")));

    let told = get(&door, "polity_traceTransaction", json!([hash])).await;
    assert_eq!(told["transactionHash"], hash);
    let trace = &told["trace"];
    assert_eq!((&trace["type"], &trace["status"]), (&json!("TRANSACTION"), &json!("success")));
    assert_eq!(trace["gasUsed"], receipt["gasUsed"]);
    let hop = &trace["calls"][0]["calls"][0];
    assert_eq!((&hop["hop"], &hop["from"]), (&json!(true), &evm(signer.address(0))));
    let slot = json!({ "space": 16, "name": format!("0x{:064x}", 3) });
    let write = hop["changes"].as_array().unwrap().iter().find(|change| change["slot"] == slot);
    assert_eq!(write.unwrap()["after"], json!(format!("0x{:064x}", 9)));
    assert_eq!(hop["events"][0]["position"], 1);
    assert_eq!(hop["resources"]["frames"], "0x2");
    let place = json!({ "block": number, "index": "0x0" });
    assert_eq!(get(&door, "polity_traceTransaction", json!([place])).await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reverted_frame_emitted_is_not_there() {
    let (door, signer) = open().await;
    let toys = toy::account(TOY, 1);
    let program = [call_of(CONTRACT), Op::Emit("never".into()), Op::write(toys, 3, 9), Op::Revert];
    let request = json!({
        "from": signer.address(0), "to": GATEWAY, "input": cross(&program), "gas": "0x7a120",
    });
    let root = get(&door, "debug_traceCall", json!([request, "latest", tracer()])).await;
    assert_eq!(root["error"], "execution reverted");
    let hop = &root["calls"][0];
    assert_eq!((&hop["error"], &hop["logs"]), (&json!("execution reverted"), &Value::Null));
    assert_eq!(hop["calls"][0]["logs"], Value::Null);
    assert_eq!(hop["calls"][0]["error"], Value::Null);
    let told = get(&door, "polity_traceCall", json!([request])).await;
    let hop = &told["trace"]["calls"][0]["calls"][0];
    assert_eq!((&hop["undone"], &hop["status"]), (&json!(true), &json!("reverted")));
    assert_eq!(hop["events"][0]["undone"], true);
    assert!(hop["changes"].as_array().unwrap().iter().all(|change| change["undone"] == true));
    assert_eq!(hop["calls"][0]["events"][0]["undone"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_another_machine_is_told_by_its_hash() {
    let (door, _) = open().await;
    let ops = [call_of(CONTRACT), call_of(OTHER)];
    let hash = send(&door.node, &toy(1, 0, &ops)).unwrap();
    get(&door, "evm_mine", json!([])).await;
    let told = get(&door, "polity_traceTransaction", json!([hash])).await;
    let trace = &told["trace"];
    assert_eq!((&trace["machine"], &trace["status"]), (&json!("toy"), &json!("success")));
    let calls = trace["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!((&calls[0]["machine"], &calls[0]["to"]), (&json!("evm"), &evm(CONTRACT)));
    assert_eq!(calls[0]["events"].as_array().unwrap().len(), 1);
    assert_eq!((&calls[1]["status"], &calls[1]["undone"]), (&json!("reverted"), &json!(true)));
    // It succeeded, and the frame around it was undone.
    let inner = &calls[1]["calls"][0];
    assert_eq!((&inner["status"], &inner["undone"]), (&json!("success"), &json!(true)));
    assert_eq!(inner["events"][0]["undone"], true);
    let nothing = door.call("polity_traceTransaction", json!(["nonsense"])).await.unwrap_err();
    assert_eq!(nothing["message"], "transaction not found");
}

/// The frames of a tree, as geth's tracer and the full tree both tell them.
fn frames(root: &Value, into: &mut Vec<[Value; 6]>, of: fn(&Value) -> [Value; 6]) {
    into.push(of(root));
    for call in root["calls"].as_array().into_iter().flatten() {
        frames(call, into, of);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stays_is_told_as_geth_does() {
    let (door, signer) = open().await;
    get(&door, "anvil_setBalance", json!([FIRST, "0x5"])).await;
    let hash = transact(&door, signer.address(0), FIRST, Bytes::new(), 3).await;
    let root = get(&door, "debug_traceTransaction", json!([hash, tracer()])).await;
    assert_eq!(
        (&root["machine"], &root["error"]),
        (&Value::Null, &json!("invalid opcode: INVALID"))
    );
    let told = get(&door, "polity_traceTransaction", json!([hash])).await;
    let (mut geths, mut ours) = (Vec::new(), Vec::new());
    let text = |value: &Value| value.as_str().unwrap().trim_start_matches("evm:").to_owned();
    for call in root["calls"].as_array().unwrap() {
        frames(call, &mut geths, |frame| {
            ["type", "from", "to", "gas", "gasUsed", "value"].map(|field| frame[field].clone())
        });
    }
    for call in told["trace"]["calls"][0]["calls"].as_array().unwrap() {
        frames(call, &mut ours, |frame| {
            ["type", "from", "to", "gas", "gasUsed", "value"]
                .map(|field| json!(frame[field].as_str().unwrap().trim_start_matches("evm:")))
        });
    }
    assert_eq!(ours, geths);
    assert_eq!(geths.len(), 3);
    assert_eq!(text(&told["trace"]["calls"][0]["from"]), text(&root["from"]));
    let all = told["trace"]["calls"][0]["calls"].as_array().unwrap();
    assert!(all.iter().all(|call| call["undone"] == true));
}
