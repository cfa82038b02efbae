//! The methods that simulate and trace, asked as a client asks them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use polity_node::{Node, config::Config, eth::Ethereum, rpc::Service};
use serde_json::{Value, json};

struct Client {
    node: Arc<Node>,
    service: Service<Ethereum>,
}

impl Client {
    fn start(config: &Config) -> Self {
        let node = Arc::new(Node::start(config).unwrap());
        let door = Arc::new(Ethereum::new(node.clone()));
        let service = Service::new(door, Ethereum::methods(node.powers), config.limits);
        Self { node, service }
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.service.answer(body.to_string().as_bytes(), None).await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    async fn get(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params.clone()).await;
        answer.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }
}

/// Whom nobody has a key of, and whose code counts its calls in slot 0.
const CONTRACT: &str = "0x00000000000000000000000000000000000000c1";
const COUNTER: &str = "0x5f54600101805f555f5260205ff3";

/// A contract that has what was never earned sends a transaction.
async fn edited(client: &Client) -> Value {
    client.get("anvil_setCode", json!([CONTRACT, COUNTER])).await;
    client.get("anvil_setStorageAt", json!([CONTRACT, "0x0", format!("0x{:064x}", 5)])).await;
    client.get("anvil_setBalance", json!([CONTRACT, "0xde0b6b3a7640000"])).await;
    client.get("anvil_impersonateAccount", json!([CONTRACT])).await;
    let request = json!({ "from": CONTRACT, "to": CONTRACT, "gas": "0x30d40" });
    client.get("eth_sendTransaction", json!([request])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_edits_made_possible_can_be_traced() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().to_path_buf()), ..Config::default() };
    let client = Client::start(&config);
    let hash = edited(&client).await;
    let receipt = client.get("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
    let tracer = json!({ "tracer": "callTracer" });
    let trace = client.get("debug_traceTransaction", json!([hash, tracer])).await;
    assert!(trace["output"].as_str().unwrap().ends_with('6'), "{trace}");
    assert_eq!(trace["gasUsed"], receipt["gasUsed"]);
    // More edits, and blocks on top.
    client.get("anvil_setBalance", json!([CONTRACT, "0x0"])).await;
    client.get("evm_mine", json!([])).await;
    client.get("evm_mine", json!([])).await;
    let again = client.get("debug_traceTransaction", json!([hash, tracer])).await;
    assert_eq!(again, trace);
    let block = client.get("debug_traceBlockByNumber", json!(["0x1", tracer])).await;
    assert_eq!(block[0]["result"], trace);
    client.node.stop().unwrap();
    drop(client);

    let client = Client::start(&config);
    let again = client.get("debug_traceTransaction", json!([hash, tracer])).await;
    assert_eq!(again, trace);
    client.node.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_answered_in_the_words_of_geth() {
    let client = Client::start(&Config::default());
    let accounts = client.get("eth_accounts", json!([])).await;
    let (alice, bob) = (&accounts[0], &accounts[1]);
    let transfer = json!({ "from": alice, "to": bob, "value": "0x1" });
    assert_eq!(client.get("eth_estimateGas", json!([transfer])).await, "0x5208");
    let hash = client.get("eth_sendTransaction", json!([transfer])).await;
    assert_eq!(client.get("eth_call", json!([transfer, "latest"])).await, "0x");
    let reverting = json!({ CONTRACT: { "code": "0x60ab5f5260205ffd" } });
    let call = json!({ "to": CONTRACT });
    let error = client.ask("eth_call", json!([call, "pending", reverting])).await.unwrap_err();
    assert_eq!(error["code"], 3);
    assert_eq!(error["message"], "execution reverted");
    assert_eq!(error["data"], format!("0x{:064x}", 0xab));
    let error = client.ask("eth_call", json!([call, "0x99"])).await.unwrap_err();
    assert_eq!(error["message"], "header not found");

    let list = client.get("eth_createAccessList", json!([call])).await;
    assert_eq!(list["accessList"], json!([]));
    let payload = json!({ "blockStateCalls": [{ "calls": [transfer] }] });
    let blocks = client.get("eth_simulateV1", json!([payload, "latest"])).await;
    assert_eq!(blocks[0]["calls"][0]["status"], "0x1");
    let head = client.get("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(blocks[0]["parentHash"], head["hash"]);
    let many = client.get("eth_callMany", json!([[{ "transactions": [transfer] }]])).await;
    assert_eq!(many, json!([[{ "value": "0x" }]]));

    let traces = client.get("trace_block", json!(["latest"])).await;
    assert_eq!(traces, client.get("trace_transaction", json!([hash])).await);
    assert_eq!(traces[0], client.get("trace_get", json!([hash, ["0x0"]])).await);
    let filter = json!({ "fromBlock": "earliest", "toBlock": "latest", "toAddress": [bob] });
    assert_eq!(traces, client.get("trace_filter", json!([filter])).await);
    let raw = client.get("eth_getRawTransactionByHash", json!([hash])).await;
    let refused = client.ask("trace_rawTransaction", json!([raw, ["trace"]])).await.unwrap_err();
    assert!(refused["message"].as_str().unwrap().starts_with("nonce too low"), "{refused}");
    let replayed = client.get("trace_replayTransaction", json!([hash, ["stateDiff"]])).await;
    assert!(replayed["stateDiff"].get(bob.as_str().unwrap().to_lowercase()).is_some());
    let all = client.get("trace_replayBlockTransactions", json!(["latest", ["stateDiff"]])).await;
    assert_eq!(all[0]["stateDiff"], replayed["stateDiff"]);
    let call = client.get("trace_call", json!([transfer, ["trace"], "latest"])).await;
    assert_eq!(call["trace"][0]["type"], "call");
    let calls = client.get("trace_callMany", json!([[[transfer, ["trace"]]], "latest"])).await;
    assert_eq!(calls[0], call);

    let mux =
        json!({ "tracer": "muxTracer", "tracerConfig": { "4byteTracer": {}, "callTracer": null } });
    let trace = client.get("debug_traceTransaction", json!([hash, mux])).await;
    assert_eq!(trace["callTracer"]["gasUsed"], "0x5208");
    let flat =
        client.get("debug_traceTransaction", json!([hash, { "tracer": "flatCallTracer" }])).await;
    assert_eq!(flat[0]["result"]["gasUsed"], "0x5208");
    let missing = json!([format!("0x{:064x}", 1)]);
    let error = client.ask("debug_traceTransaction", missing.clone()).await.unwrap_err();
    assert_eq!(error, json!({ "code": -32000, "message": "transaction not found" }));
    assert_eq!(client.get("trace_transaction", missing).await, json!([]));
    let error = client.ask("debug_traceBlockByNumber", json!(["0x0"])).await.unwrap_err();
    assert_eq!(error["message"], "genesis is not traceable");
    client.node.stop().unwrap();
}
