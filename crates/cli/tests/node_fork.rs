//! `polity node --fork-url`: a node that goes on from a block of another one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use std::path::Path;

use polity_testkit::node::Node;
use serde_json::{Value, json};

/// Answers with slot 0. A word of input it stores there, and logs; given 0xdead, it destroys itself.
///
/// ```text
/// if calldatasize == 0 { return sload(0) }
/// if calldataload(0) == 0xdead { selfdestruct(0xbeef) }
/// sstore(0, calldataload(0)); mstore(0, calldataload(0)); log0(0, 32); stop
/// ```
const CODE: &str =
    "3615601b575f3561dead146024575f355f555f355f5260205fa0005b5f545f5260205ff35b61beefff";

fn start(flags: &[&str]) -> Node {
    Node::polity(Path::new(env!("CARGO_BIN_EXE_polity")), &[&["--quiet"], flags].concat()).unwrap()
}

struct Client(Node);

impl Client {
    fn get(&self, method: &str, params: Value) -> Value {
        let answer = self.0.call(method, params.clone());
        answer.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    fn fails(&self, method: &str, params: Value) -> String {
        self.0.call(method, params).unwrap_err().to_string()
    }

    fn number(&self) -> u64 {
        number(&self.get("eth_blockNumber", json!([])))
    }

    fn accounts(&self) -> Vec<Value> {
        self.get("eth_accounts", json!([])).as_array().unwrap().clone()
    }

    /// Sends from the first account, and gives the receipt.
    fn send(&self, mut request: Value) -> Value {
        request["from"] = self.accounts()[0].clone();
        let hash = self.get("eth_sendTransaction", json!([request]));
        self.get("eth_getTransactionReceipt", json!([hash]))
    }

    fn deploy(&self, code: &str) -> Value {
        let length = code.len() / 2;
        // Copies what follows, and returns it.
        let input = format!("0x61{length:04x}80600a5f395ff3{code}");
        let receipt = self.send(json!({ "input": input }));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt["contractAddress"].clone()
    }

    fn set(&self, contract: &Value, value: u64) -> Value {
        let receipt = self.send(json!({ "to": contract, "input": word(value), "gas": "0x186a0" }));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    fn slot(&self, contract: &Value, at: &str) -> u64 {
        number(&self.get("eth_getStorageAt", json!([contract, "0x0", at])))
    }

    fn read(&self, contract: &Value, at: &str) -> u64 {
        number(&self.get("eth_call", json!([{ "to": contract }, at])))
    }
}

fn word(value: u64) -> String {
    format!("0x{value:064x}")
}

fn number(value: &Value) -> u64 {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    u64::from_str_radix(digits.trim_start_matches('0'), 16).unwrap_or_default()
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// A chain with a contract whose slot 0 was 5, then 7, in block 3; and what comes after that, which a
/// fork of block 3 is not to see.
fn other_chain() -> (Client, Value, Vec<Value>) {
    let other = Client(start(&["--timestamp", "1700000000"]));
    let contract = other.deploy(CODE);
    let receipts = vec![other.set(&contract, 5), other.set(&contract, 7), other.set(&contract, 9)];
    assert_eq!(other.number(), 4);
    (other, contract, receipts)
}

fn fork(other: &Client, flags: &[&str]) -> Client {
    let url = other.0.url();
    Client(start(&[&["--fork-url", &url, "--fork-block", "3"], flags].concat()))
}

#[test]
fn the_past_is_the_other_chains() {
    let (other, contract, receipts) = other_chain();
    let fork = fork(&other, &[]);
    assert_eq!(fork.number(), 3);
    assert_eq!(fork.get("eth_chainId", json!([])), "0x7a69");
    for (at, full) in [("0x0", true), ("earliest", false), ("0x2", true), ("0x3", true)] {
        let params = json!([at, full]);
        let expected = other.get("eth_getBlockByNumber", params.clone());
        assert_eq!(fork.get("eth_getBlockByNumber", params), expected, "{at}");
        let params = json!([expected["hash"], full]);
        assert_eq!(fork.get("eth_getBlockByHash", params), expected, "{at}");
    }
    let last = other.get("eth_getBlockByNumber", json!(["0x3", true]));
    assert_eq!(fork.get("eth_getBlockByNumber", json!(["latest", true])), last);
    // What came after it there is not to be seen here.
    let later = other.get("eth_getBlockByNumber", json!(["0x4", false]));
    assert_eq!(fork.get("eth_getBlockByNumber", json!(["0x4", false])), Value::Null);
    assert_eq!(fork.get("eth_getBlockByHash", json!([later["hash"], false])), Value::Null);
    for (index, receipt) in receipts.iter().enumerate() {
        let expected = if index < 2 { receipt } else { &Value::Null };
        let hash = json!([receipt["transactionHash"]]);
        assert_eq!(fork.get("eth_getTransactionReceipt", hash.clone()), *expected);
        let found = fork.get("eth_getTransactionByHash", hash);
        assert_eq!(found["hash"], expected["transactionHash"]);
    }
    // Receipts, traces and fees of blocks from before.
    for (method, params) in [
        ("eth_getBlockReceipts", json!(["0x3"])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x3"])),
        ("debug_traceBlockByNumber", json!(["0x3", { "tracer": "callTracer" }])),
        ("eth_feeHistory", json!(["0x3", "0x3", [50]])),
        ("eth_getTransactionCount", json!([other.accounts()[0], "0x2"])),
        ("eth_getBalance", json!([other.accounts()[0], "0x2"])),
        ("eth_getCode", json!([contract, "0x3"])),
        ("eth_getTransactionBySenderAndNonce", json!([other.accounts()[0], "0x1"])),
    ] {
        assert_eq!(fork.get(method, params.clone()), other.get(method, params), "{method}");
    }
    assert_eq!(fork.slot(&contract, "latest"), 7);
    assert_eq!(fork.slot(&contract, "0x2"), 5);
    assert_eq!(fork.read(&contract, "0x2"), 5);
    assert_eq!(fork.read(&contract, "0x3"), 7);
    // A call that reverts there reverts here.
    let refused = json!([{ "to": contract, "input": "0xfe", "gas": "0x5208" }, "0x2"]);
    assert!(fork.fails("eth_call", refused).contains("gas"));
    let info = fork.get("anvil_nodeInfo", json!([]));
    assert_eq!(info["forkConfig"]["forkUrl"], other.0.url());
    assert_eq!(info["forkConfig"]["forkBlockNumber"], 3);
    let metadata = fork.get("anvil_metadata", json!([]));
    assert_eq!(metadata["forkedNetwork"]["forkBlockHash"], last["hash"]);
}

#[test]
fn a_fork_goes_on_by_itself() {
    let (other, contract, _) = other_chain();
    let fork = fork(&other, &[]);
    let receipt = fork.set(&contract, 11);
    assert_eq!(receipt["blockNumber"], "0x4");
    let block = fork.get("eth_getBlockByNumber", json!(["0x4", false]));
    let parent = other.get("eth_getBlockByNumber", json!(["0x3", false]));
    assert_eq!(block["parentHash"], parent["hash"]);
    assert!(number(&block["timestamp"]) - number(&parent["timestamp"]) < 3600);
    assert!(number(&block["baseFeePerGas"]) < number(&parent["baseFeePerGas"]));
    for (at, value) in [("0x2", 5), ("0x3", 7), ("0x4", 11), ("latest", 11), ("pending", 11)] {
        assert_eq!(fork.slot(&contract, at), value, "{at}");
        assert_eq!(fork.read(&contract, at), value, "{at}");
    }
    assert_eq!(other.slot(&contract, "latest"), 9);
    // Zero is a value of its own, not that of the other chain.
    fork.set(&contract, 0);
    for (at, value) in [("0x3", 7), ("0x4", 11), ("0x5", 0), ("latest", 0)] {
        assert_eq!(fork.slot(&contract, at), value, "{at}");
        assert_eq!(fork.read(&contract, at), value, "{at}");
    }
    // Logs on both sides of the border, and on each alone.
    let logs = |from: &str, to: &str| {
        let filter = json!([{ "fromBlock": from, "toBlock": to, "address": contract }]);
        let logs = fork.get("eth_getLogs", filter);
        let log = |log: &Value| (number(&log["blockNumber"]), number(&log["data"]));
        logs.as_array().unwrap().iter().map(log).collect::<Vec<_>>()
    };
    assert_eq!(logs("earliest", "latest"), [(2, 5), (3, 7), (4, 11), (5, 0)]);
    assert_eq!(logs("0x2", "0x2"), [(2, 5)]);
    assert_eq!(logs("0x3", "0x4"), [(3, 7), (4, 11)]);
    assert_eq!(logs("0x5", "0x9"), [(5, 0)]);
    for (of, value) in [(&parent, 7), (&block, 11)] {
        let logs = fork.get("eth_getLogs", json!([{ "blockHash": of["hash"] }]));
        assert_eq!(number(&logs[0]["data"]), value);
    }
    // Traces execute on the state that was before.
    let trace = fork.get("debug_traceTransaction", json!([receipt["transactionHash"]]));
    assert_eq!(trace["failed"], false);
    assert!(fork.fails("eth_getProof", json!([contract, [], "latest"])).contains("fork"));
    // Nor does anybody know all slots; before the border the other chain does.
    assert!(fork.fails("eth_getAccount", json!([contract, "latest"])).contains("part"));
    let account = json!([contract, "0x2"]);
    assert_eq!(fork.get("eth_getAccount", account.clone()), other.get("eth_getAccount", account));
    let slots = json!([{ contract.as_str().unwrap(): [word(0)] }, "0x2"]);
    let slots = fork.get("eth_getStorageValues", slots);
    assert_eq!(number(&slots[contract.as_str().unwrap()][0]), 5);
    let id = |node: &Client| node.get("eth_config", json!([]))["current"]["forkId"].take();
    assert_eq!(id(&fork), id(&other));
    // As with logs, and a part of what is found may be asked for.
    let traces = |range: Value| {
        let mut filter = json!({ "toAddress": [contract] });
        filter.as_object_mut().unwrap().extend(range.as_object().unwrap().clone());
        let traces = fork.get("trace_filter", json!([filter]));
        let block = |trace: &Value| trace["blockNumber"].as_u64().unwrap();
        traces.as_array().unwrap().iter().map(block).collect::<Vec<_>>()
    };
    let all = traces(json!({ "fromBlock": "0x1" }));
    assert_eq!(all.last(), Some(&5));
    assert!(all.contains(&3) && all.contains(&4), "{all:?}");
    assert_eq!(traces(json!({ "fromBlock": "0x1", "toBlock": "0x3" })), all[..all.len() - 2]);
    assert_eq!(traces(json!({ "fromBlock": "0x4" })), [4, 5]);
    for after in 0..=all.len() {
        for count in 0..=all.len() {
            let part = json!({ "fromBlock": "0x1", "after": after, "count": count });
            let wanted: Vec<u64> = all.iter().copied().skip(after).take(count).collect();
            assert_eq!(traces(part), wanted, "{after}, {count}");
        }
    }
}

/// Answers with the hash of the block whose number is the input.
const HASHES: &str = "5f35405f5260205ff3";

#[test]
fn hashes_of_blocks_are_known_on_both_sides() {
    let (other, _, _) = other_chain();
    let fork = fork(&other, &[]);
    let contract = fork.deploy(HASHES);
    fork.get("anvil_mine", json!(["0x2"]));
    for height in 0..=5 {
        let block = fork.get("eth_getBlockByNumber", json!([hex(height), false]));
        let found = fork.get("eth_call", json!([{ "to": contract, "input": word(height) }]));
        assert_eq!(found, block["hash"], "{height}");
    }
}

#[test]
fn what_is_destroyed_stays_so() {
    let (other, contract, _) = other_chain();
    // Since Cancun, only what was made in the same transaction is destroyed.
    let fork = fork(&other, &["--hardfork", "shanghai"]);
    fork.set(&contract, 0xdead);
    let before = fork.get("eth_getCode", json!([contract, "0x3"]));
    assert_eq!(before.as_str().unwrap(), format!("0x{CODE}"));
    for at in ["0x4", "latest"] {
        assert_eq!(fork.get("eth_getCode", json!([contract, at])), "0x");
        assert_eq!(fork.slot(&contract, at), 0);
        assert_eq!(fork.get("eth_getTransactionCount", json!([contract, at])), "0x0");
    }
    assert_eq!(fork.slot(&contract, "0x3"), 7);
    // A new code there does not get the old slots.
    fork.get("anvil_setCode", json!([contract, format!("0x{CODE}")]));
    assert_eq!(fork.read(&contract, "latest"), 0);
    fork.get("evm_mine", json!([]));
    assert_eq!(fork.read(&contract, "latest"), 0);
    // Until it is as if nothing had happened.
    fork.get("anvil_rollback", json!(["0x2"]));
    assert_eq!(fork.number(), 3);
    assert_eq!(fork.read(&contract, "latest"), 7);
}

#[test]
fn one_can_go_back_to_before_the_writes() {
    let (other, contract, _) = other_chain();
    let fork = fork(&other, &[]);
    let start = fork.get("evm_snapshot", json!([]));
    fork.set(&contract, 0);
    let emptied = fork.get("evm_snapshot", json!([]));
    fork.set(&contract, 3);
    assert_eq!(fork.read(&contract, "latest"), 3);
    assert_eq!(fork.get("evm_revert", json!([emptied])), true);
    assert_eq!(fork.read(&contract, "latest"), 0);
    assert_eq!(fork.get("evm_revert", json!([start])), true);
    assert_eq!(fork.read(&contract, "latest"), 7);
    // Edits that no block has taken over yet.
    fork.get("anvil_setStorageAt", json!([contract, "0x0", word(0)]));
    assert_eq!(fork.read(&contract, "latest"), 0);
    let receipt = fork.set(&contract, 4);
    let options = json!({ "tracer": "prestateTracer" });
    let trace = fork.get("debug_traceTransaction", json!([receipt["transactionHash"], options]));
    let storage = &trace[contract.as_str().unwrap()]["storage"];
    assert!(storage.get(word(0)).is_none_or(|value| number(value) == 0), "{trace}");
}

#[test]
fn a_fork_is_kept_and_needs_the_other_chain_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (mut other, contract, _) = other_chain();
    let flags = ["--data-dir", data, "--fork-retries", "0"];
    let stranger = "0x00000000000000000000000000000000000000aa";
    let (hash, sender) = {
        let fork = fork(&other, &flags);
        fork.set(&contract, 0);
        assert_eq!(fork.get("eth_getBalance", json!([stranger, "latest"])), "0x0");
        let head = fork.get("eth_getBlockByNumber", json!(["latest", false]));
        (head["hash"].clone(), fork.accounts()[0].clone())
    };
    let url = other.0.url();
    other.0.kill();
    // Neither the block nor the chain id is asked for again.
    let fork = Client(start(&[&["--fork-url", &url], &flags[..]].concat()));
    assert_eq!(fork.number(), 4);
    let head = fork.get("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(head["hash"], hash);
    assert_eq!(fork.read(&contract, "latest"), 0);
    assert_eq!(fork.read(&contract, "0x3"), 7);
    assert_eq!(fork.get("eth_getBalance", json!([stranger, "latest"])), "0x0");
    // What was never asked for cannot be told, and it is said why.
    let unknown = "0x00000000000000000000000000000000000000bb";
    let balance = json!([unknown, "latest"]);
    assert!(fork.fails("eth_getBalance", balance).contains("the chain that is forked"));
    assert!(fork.fails("eth_getBlockByNumber", json!(["0x1", false])).contains("eth_getBlockBy"));
    assert!(fork.fails("eth_call", json!([{ "to": unknown }])).contains("forked"));
    // A transaction that cannot be executed now is neither lost nor in a block.
    let request = json!({ "from": sender, "to": unknown, "value": "0x1", "gas": "0x5208" });
    let height = fork.number();
    let pending = fork.get("eth_sendTransaction", json!([request]));
    assert!(fork.fails("evm_mine", json!([])).contains("the chain that is forked"));
    assert_eq!(fork.number(), height);
    assert_eq!(fork.get("eth_getTransactionByHash", json!([pending]))["hash"], pending);
    drop(fork);
    let no_fork =
        Node::polity(Path::new(env!("CARGO_BIN_EXE_polity")), &["--quiet", "--data-dir", data]);
    assert!(no_fork.is_err());
}

#[test]
fn a_cache_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let (mut other, contract, _) = other_chain();
    let flags = ["--fork-cache", cache, "--fork-retries", "0"];
    let (first, second) = (fork(&other, &flags), fork(&other, &flags));
    assert_eq!(first.read(&contract, "latest"), 7);
    let third = fork(&other, &flags);
    other.0.kill();
    assert_eq!(third.read(&contract, "latest"), 7);
    // It began before the first had asked.
    assert!(second.fails("eth_call", json!([{ "to": contract }])).contains("forked"));
}

#[test]
fn a_chain_can_become_a_fork_and_back() {
    let (other, contract, _) = other_chain();
    let node = Client(start(&["--order", "fifo"]));
    node.get("evm_setAutomine", json!([false]));
    let url = other.0.url();
    let forking = json!({ "forking": { "jsonRpcUrl": url, "blockNumber": 3 } });
    node.get("hardhat_reset", json!([forking]));
    assert_eq!(node.number(), 3);
    assert_eq!(node.read(&contract, "latest"), 7);
    assert_eq!(node.get("anvil_getAutomine", json!([])), false);
    node.get("evm_mine", json!([]));
    assert_eq!(node.number(), 4);
    node.get("anvil_reset", json!([{ "forking": { "blockNumber": "0x2" } }]));
    assert_eq!(node.number(), 2);
    assert_eq!(node.read(&contract, "latest"), 5);
    // The latest block, where none is named.
    node.get("anvil_reset", json!([{ "forking": {} }]));
    assert_eq!(node.number(), 4);
    assert_eq!(node.read(&contract, "latest"), 9);
    node.get("anvil_reset", json!([]));
    assert_eq!(node.number(), 0);
    assert_eq!(node.get("eth_getCode", json!([contract, "latest"])), "0x");
    assert!(node.fails("anvil_reset", json!([{ "forking": {} }])).contains("no fork"));
    let nobody = json!({ "forking": { "jsonRpcUrl": "http://127.0.0.1:1" } });
    assert!(node.fails("anvil_reset", json!([nobody])).contains("127.0.0.1:1"));
    assert_eq!(node.number(), 0);
}
