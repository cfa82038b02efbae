//! The JSON-RPC: what clients rely on, and what no client may break.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod world;

use polity_node::config::{Config, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;
use world::{Door, NO_METHOD, Signer, code, manual};

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

#[test]
fn an_instant_chain_answers_when_the_transaction_is_in_a_block() {
    let config = Config::default();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    block_on(async {
        let raw = signer.transfer(0, 0, signer.address(1), 5, 1);
        let hash = door.call("eth_sendRawTransaction", json!([raw])).await.unwrap();
        let receipt = door.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["blockNumber"], "0x1");
        let used = door.call("polity_getTransactionResources", json!([hash])).await.unwrap();
        assert_eq!(used["machine"], "evm");
        assert_eq!(used["compute"], "0x5208");
        let schedule = door.call("polity_getBlockSchedule", json!(["latest", 2])).await.unwrap();
        assert_eq!(schedule["transactions"], 1);
    });
}

#[test]
fn what_is_no_request_gets_the_code_of_its_error() {
    let door = Door::open(&manual());
    let cases: [(&str, i64); 9] = [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"id":1,"method":7}"#, -32600),
        (r#"{"id":1,"method":"eth_nothing"}"#, -32601),
        (r#"{"id":1,"method":"eth_getBalance"}"#, -32602),
        (r#"{"id":1,"method":"eth_getBalance","params":{"a":1}}"#, -32602),
    ];
    for (body, expected) in cases {
        let answer = block_on(door.answer(body.as_bytes())).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(code(&answer["error"]), expected, "{body}: {answer}");
    }
    let quiet = block_on(door.answer(br#"{"jsonrpc":"2.0","method":"eth_chainId"}"#));
    assert_eq!(quiet, None, "who gives no id wants no answer");
}

#[test]
fn a_batch_is_answered_in_its_order_and_within_its_limit() {
    let limits = Limits { batch: 3, ..Limits::default() };
    let door = Door::open(&Config { limits, ..manual() });
    let one = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "eth_blockNumber"});
    let answer = |batch: Value| {
        let answer = block_on(door.answer(batch.to_string().as_bytes())).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let answers = answer(json!([one(7), 5, one(8)]));
    assert_eq!(answers[0]["id"], 7);
    assert_eq!(code(&answers[1]["error"]), -32600);
    assert_eq!(answers[2]["id"], 8);
    assert_eq!(code(&answer(json!([one(1), one(2), one(3), one(4)]))["error"]), -32005);
}

#[test]
fn a_chain_that_is_not_for_development_has_no_powers() {
    let door = Door::open(&Config { development: false, ..manual() });
    for (method, params) in [
        ("anvil_setBalance", json!(["0x00000000000000000000000000000000000000aa", "0x1"])),
        ("evm_mine", json!([])),
        ("evm_snapshot", json!([])),
        ("hardhat_impersonateAccount", json!(["0x00000000000000000000000000000000000000aa"])),
    ] {
        let refused = block_on(door.call(method, params)).unwrap_err();
        assert_eq!(code(&refused), NO_METHOD, "{method}");
    }
}

#[test]
fn an_impersonated_contract_can_send() {
    let door = Door::open(&Config::default());
    let contract = "0x00000000000000000000000000000000000000cc";
    let ok = |method: &str, params: Value| block_on(door.call(method, params)).unwrap();
    let send = || {
        let tx = json!([{"from": contract, "to": contract, "value": "0x1"}]);
        block_on(door.call("eth_sendTransaction", tx))
    };
    ok("anvil_setBalance", json!([contract, "0xde0b6b3a7640000"]));
    ok("anvil_setCode", json!([contract, "0x00"]));
    assert_eq!(send().unwrap_err()["message"], "unknown account");
    ok("anvil_impersonateAccount", json!([contract]));
    let hash = send().unwrap();
    let receipt = ok("eth_getTransactionReceipt", json!([hash]));
    assert_eq!((&receipt["from"], &receipt["status"]), (&json!(contract), &json!("0x1")));
    ok("anvil_stopImpersonatingAccount", json!([contract]));
    assert_eq!(send().unwrap_err()["message"], "unknown account");
}

#[test]
fn a_dumped_state_can_be_loaded_elsewhere() {
    let (one, other) = (Door::open(&manual()), Door::open(&manual()));
    let ok =
        |door: &Door, method: &str, params: Value| block_on(door.call(method, params)).unwrap();
    let contract = "0x00000000000000000000000000000000000000cc";
    let word = |n: u8| format!("0x{n:064x}");
    ok(&one, "anvil_setCode", json!([contract, "0x6001"]));
    ok(&one, "evm_mine", json!([]));
    ok(&one, "anvil_setStorageAt", json!([contract, "0x5", word(9)]));
    let dump = ok(&one, "anvil_dumpState", json!([]));
    assert_eq!(ok(&other, "anvil_loadState", json!([dump])), json!(true));
    assert_eq!(ok(&other, "eth_getCode", json!([contract])), "0x6001");
    assert_eq!(ok(&other, "eth_getStorageAt", json!([contract, "0x5"])), json!(word(9)));
    let refused = block_on(other.call("anvil_loadState", json!(["0x1f8b00"]))).unwrap_err();
    assert_eq!(code(&refused), -32602);
}

#[test]
fn who_gives_more_than_a_method_takes_is_refused() {
    let door = Door::open(&manual());
    let refused = |method: &str, params: Value| {
        let error = block_on(door.call(method, params)).unwrap_err();
        (code(&error), error["message"].as_str().unwrap_or_default().to_owned())
    };
    let too_many = |most: usize| (-32602, format!("too many arguments, want at most {most}"));
    assert_eq!(refused("eth_chainId", json!([1])), too_many(0));
    let address = "0x00000000000000000000000000000000000000aa";
    assert_eq!(refused("eth_getBalance", json!([address, "latest", null])), too_many(2));
    assert_eq!(refused("eth_sendRawTransaction", json!(["0x", 1])), too_many(1));
    assert_eq!(refused("evm_mine", json!([null, null])), too_many(1));
    assert!(block_on(door.call("eth_getBalance", json!([address, "latest"]))).is_ok());
    // Nothing was done.
    assert_eq!(block_on(door.call("eth_blockNumber", json!([]))).unwrap(), "0x0");
    let methods = polity_node::eth::Ethereum::methods(door.node.powers);
    for name in methods.names() {
        assert!(methods.shape_of(name).most.is_some(), "{name} takes any number of parameters");
    }
}

/// Every method that there is, to be called with anything.
static METHODS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let node = Door::open(&manual()).node;
    polity_node::eth::Ethereum::methods(node.powers).names()
});

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "0x[0-9a-f]{0,8}".prop_map(Value::from),
        "0x[0-9a-f]{40}".prop_map(Value::from),
        "0x[0-9a-f]{64}".prop_map(Value::from),
        "0x[0-9a-f]{0,300}".prop_map(Value::from),
        prop_oneof!["latest", "pending", "earliest", "finalized", "logs", "newHeads"]
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![
            "from",
            "to",
            "data",
            "gas",
            "value",
            "fromBlock",
            "toBlock",
            "topics",
            "address",
            "tracer",
            "blockHash",
            "stateDiff",
            "balance",
            "timestamp",
            "blocks",
            "nonce",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Law 5: whatever a client sends, it gets an answer that is JSON, and the
    /// next client gets one, too.
    #[test]
    fn no_request_breaks_the_node(
        method in prop::sample::select(&METHODS[..]),
        params in prop::collection::vec(anything(), 0..4),
    ) {
        static DOOR: LazyLock<Door> = LazyLock::new(|| Door::open(&manual()));
        // A thousand blocks at a time are for another test.
        prop_assume!(!method.ends_with("mine"));
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = block_on(DOOR.answer(body.to_string().as_bytes())).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        prop_assert!(answer.get("result").is_some() || code(&answer["error"]) != 0, "{}", answer);
        prop_assert!(code(&answer["error"]) != -32603, "{}: {}", method, answer);
        prop_assert!(block_on(DOOR.call("eth_blockNumber", json!([]))).is_ok());
    }

    #[test]
    fn no_bytes_break_the_node(body in prop::collection::vec(any::<u8>(), 0..200)) {
        static DOOR: LazyLock<Door> = LazyLock::new(|| Door::open(&manual()));
        if let Some(answer) = block_on(DOOR.answer(&body)) {
            prop_assert!(serde_json::from_str::<Value>(&answer).is_ok());
        }
    }
}
