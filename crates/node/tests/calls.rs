//! Calls, estimates, access lists and simulated blocks, in the words of geth.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod scenery;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_rpc_types_eth::{
    BlockOverrides, Bundle, TransactionRequest, simulate::SimulatePayload, state::StateOverride,
};
use polity_node::eth::{
    CallError, SimulatedTransaction, call, call_many, create_access_list, estimate_gas, simulate,
};
use scenery::{
    BASE_FEE, COUNTER, CREATOR, ENVIRONMENT, FAILING, HASHES, HUNGRY, PANICKING, POOR, REFUNDED,
    RICH, SENDER_PAYS, SPINNER, World,
};
use serde_json::{Value, from_value, json, to_value};

fn request(value: Value) -> TransactionRequest {
    from_value(value).unwrap()
}

fn words(output: &Bytes) -> Vec<u64> {
    output.chunks(32).map(|word| U256::from_be_slice(word).to()).collect()
}

fn told(result: Result<impl core::fmt::Debug, CallError>) -> (i32, String) {
    let error = result.unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn a_call_gives_the_output_and_leaves_nothing_behind() {
    let world = World::default();
    let to_counter = request(json!({ "to": COUNTER, "data": "0x" }));
    for _ in 0..2 {
        let output = call(&world.scene(), &to_counter, None, None).unwrap();
        assert_eq!(words(&output), [1]);
    }
    let nobody = request(json!({ "to": Address::repeat_byte(0x77) }));
    assert_eq!(call(&world.scene(), &nobody, None, None).unwrap(), Bytes::new());
    let code = hex!("600a600c600039600a6000f3602a60005260206000f3");
    let create = request(json!({ "data": Bytes::from(code) }));
    let created = call(&world.scene(), &create, None, None).unwrap();
    assert_eq!(created, Bytes::from(hex!("602a60005260206000f3")));
}

#[test]
fn what_goes_wrong_is_told_in_the_words_of_geth() {
    let world = World::default();
    let try_call = |value: Value| call(&world.scene(), &request(value), None, None);
    let reverted = try_call(json!({ "to": FAILING })).unwrap_err();
    assert_eq!((reverted.code(), &*reverted.to_string()), (3, "execution reverted: nope"));
    assert_eq!(reverted.data().map(|data| data.len()), Some(100));
    let text = "execution reverted: arithmetic underflow or overflow";
    assert_eq!(told(try_call(json!({ "to": PANICKING }))), (3, text.into()));
    assert_eq!(
        told(try_call(json!({ "to": SPINNER, "gas": "0x100000" }))),
        (-32000, "out of gas".into())
    );
    assert_eq!(
        told(try_call(json!({ "from": POOR, "to": COUNTER, "value": "0x1" }))),
        (
            -32000,
            format!(
                "err: insufficient funds for gas * price + value: address {POOR} have 0 want 1 \
                 (supplied gas 50000000)"
            )
        )
    );
    assert_eq!(
        told(try_call(
            json!({ "from": RICH, "to": COUNTER, "maxFeePerGas": "0x1", "gas": "0x10000" })
        )),
        (
            -32000,
            format!(
                "err: max fee per gas less than block base fee: address {RICH}, maxFeePerGas: 1, \
                 baseFee: {BASE_FEE} (supplied gas 65536)"
            )
        )
    );
    assert_eq!(
        told(try_call(json!({ "to": COUNTER, "gas": "0x5207" }))),
        (-32000, "err: intrinsic gas too low: have 20999, want 21000 (supplied gas 20999)".into())
    );
    assert_eq!(
        told(try_call(json!({ "to": COUNTER, "gasPrice": "0x1", "maxFeePerGas": "0x1" }))),
        (-32602, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into())
    );
    assert_eq!(
        told(try_call(json!({ "to": COUNTER, "chainId": "0x5" }))),
        (-32602, "chainId does not match node's (have=5, want=31337)".into())
    );
}

#[test]
fn a_price_is_seen_where_one_is_offered() {
    let world = World::default();
    let see = |value: Value| words(&call(&world.scene(), &request(value), None, None).unwrap());
    // GASPRICE, BASEFEE, NUMBER, TIMESTAMP, COINBASE, PREVRANDAO, GASLIMIT, CALLVALUE.
    let free = see(json!({ "to": ENVIRONMENT }));
    assert_eq!(free, [0, 0, 100, 1_000, 0xbe, 9, 30_000_000, 0]);
    let paid = see(json!({
        "from": RICH, "to": ENVIRONMENT, "maxFeePerGas": "0x64", "maxPriorityFeePerGas": "0x2",
        "gas": "0x10000", "value": "0x5",
    }));
    assert_eq!(paid, [BASE_FEE + 2, BASE_FEE, 100, 1_000, 0xbe, 9, 30_000_000, 5]);
}

#[test]
fn state_and_block_can_be_made_up() {
    let world = World::default();
    let state = |value: Value| -> StateOverride { from_value(value).unwrap() };
    let block = |value: Value| -> BlockOverrides { from_value(value).unwrap() };
    let counter = request(json!({ "to": COUNTER }));
    let count = |overrides: Value| {
        words(&call(&world.scene(), &counter, Some(&state(overrides)), None).unwrap())
    };
    let nine = B256::with_last_byte(9);
    assert_eq!(
        count(json!({ COUNTER.to_string(): { "stateDiff": { B256::ZERO.to_string(): nine } } })),
        [10]
    );
    assert_eq!(count(json!({ COUNTER.to_string(): { "state": {} } })), [1]);
    // Returns 7.
    let other = json!({ COUNTER.to_string(): { "code": "0x60075f5260205ff3" } });
    assert_eq!(count(other), [7]);
    let both = state(json!({ COUNTER.to_string(): { "state": {}, "stateDiff": {} } }));
    let (code, text) = told(call(&world.scene(), &counter, Some(&both), None));
    assert_eq!(code, -32602);
    assert!(text.contains("has both 'state' and 'stateDiff'"), "{text}");
    let paying = request(json!({ "from": POOR, "to": COUNTER, "value": "0x1" }));
    let rich = state(json!({ POOR.to_string(): { "balance": "0x1", "nonce": "0x5" } }));
    call(&world.scene(), &paying, Some(&rich), None).unwrap();

    let made_up = block(json!({
        "number": "0x100", "time": "0x200", "coinbase": Address::with_last_byte(1),
        "gasLimit": "0x1c9c381", "prevRandao": B256::with_last_byte(3), "baseFeePerGas": "0x5",
    }));
    let seen = call(&world.scene(), &request(json!({ "to": ENVIRONMENT })), None, Some(&made_up));
    assert_eq!(words(&seen.unwrap()), [0, 0, 0x100, 0x200, 1, 3, 30_000_001, 0]);
    // The hashes of blocks 99 and 200.
    let hashes = request(json!({ "to": HASHES }));
    let seen = call(&world.scene(), &hashes, None, None).unwrap();
    assert_eq!(words(&seen), [99, 0]);
    let seen = call(&world.scene(), &hashes, None, Some(&made_up)).unwrap();
    assert_eq!(words(&seen), [99, 0]);
    let named =
        block(json!({ "number": "0x100", "blockHash": { "200": B256::with_last_byte(8) } }));
    assert_eq!(words(&call(&world.scene(), &hashes, None, Some(&named)).unwrap()), [99, 8]);
}

#[test]
fn calls_of_a_bundle_see_each_other() {
    let world = World::default();
    let counter = request(json!({ "to": COUNTER }));
    let failing = request(json!({ "to": FAILING }));
    let bundles = [
        Bundle::from(vec![counter.clone(), failing, counter.clone()]),
        Bundle::from(vec![counter]),
    ];
    let answers = call_many(&world.scene(), &bundles, None).unwrap();
    let counts: Vec<Vec<Option<Vec<u64>>>> = answers
        .iter()
        .map(|bundle| bundle.iter().map(|answer| answer.value.as_ref().map(words)).collect())
        .collect();
    assert_eq!(counts, [vec![Some(vec![1]), None, Some(vec![2])], vec![Some(vec![3])]]);
}

#[test]
fn precompiles_can_be_moved() {
    let world = World::default();
    let sha256 = Address::with_last_byte(2);
    let there = Address::repeat_byte(0x99);
    let moved: StateOverride = from_value(json!({
        sha256.to_string(): { "movePrecompileToAddress": there, "code": "0x60075f5260205ff3" },
    }))
    .unwrap();
    let ask = |to: Address| {
        let asked = request(json!({ "to": to, "data": "0x68656c6c6f" }));
        call(&world.scene(), &asked, Some(&moved), None).unwrap()
    };
    let digest = hex!("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(ask(there), Bytes::from(digest));
    assert_eq!(words(&ask(sha256)), [7]);
    let none: StateOverride =
        from_value(json!({ COUNTER.to_string(): { "movePrecompileToAddress": there } })).unwrap();
    let counter = request(json!({ "to": COUNTER }));
    let (code, text) = told(call(&world.scene(), &counter, Some(&none), None));
    assert_eq!((code, text), (-32602, format!("account {COUNTER} is not a precompile")));
}

fn estimate(world: &World, value: Value) -> Result<u64, CallError> {
    estimate_gas(&world.scene(), &request(value), None, None)
}

/// Whether a call succeeds with this much gas.
fn enough(world: &World, mut value: Value, gas: u64) -> bool {
    value["gas"] = json!(format!("{gas:#x}"));
    call(&world.scene(), &request(value), None, None).is_ok()
}

#[test]
fn an_estimate_is_enough_and_little_more() {
    let world = World::default();
    let transfer = json!({ "from": RICH, "to": POOR, "value": "0x1" });
    assert_eq!(estimate(&world, transfer).unwrap(), 21_000);
    let cases = [
        json!({ "to": COUNTER }),
        // Much is given back at the end, and has to be there before.
        json!({ "to": REFUNDED }),
        // Needs far more than it uses.
        json!({ "to": HUNGRY }),
        json!({ "to": CREATOR, "data": "0x5f5ff3" }),
        json!({ "data": "0x600a600c600039600a6000f3602a60005260206000f3" }),
    ];
    for case in cases {
        let gas = estimate(&world, case.clone()).unwrap();
        assert!(enough(&world, case.clone(), gas), "{case}: {gas}");
        let less = gas - gas * 2 / 100;
        assert!(!enough(&world, case.clone(), less), "{case}: {gas}, but {less} is enough");
    }
}

#[test]
fn an_estimate_that_cannot_be_says_why() {
    let world = World::default();
    assert_eq!(
        told(estimate(&world, json!({ "to": FAILING }))),
        (3, "execution reverted: nope".into())
    );
    assert_eq!(
        told(estimate(&world, json!({ "to": SPINNER, "gas": "0x100000" }))),
        (-32000, "gas required exceeds allowance (1048576)".into())
    );
    // The account can pay for 30,000 gas.
    let poor = json!({ "from": SENDER_PAYS, "to": SPINNER, "gasPrice": "0x64" });
    assert_eq!(
        told(estimate(&world, poor)),
        (-32000, "gas required exceeds allowance (30000)".into())
    );
    assert_eq!(
        told(estimate(&world, json!({ "from": POOR, "to": COUNTER, "gasPrice": "0x64" }))),
        (-32000, "insufficient funds for transfer".into())
    );
    let (code, text) =
        told(estimate(&world, json!({ "from": POOR, "to": COUNTER, "value": "0x1" })));
    assert_eq!(code, -32000);
    assert!(text.contains("insufficient funds for gas * price + value"), "{text}");
}

#[test]
fn an_access_list_names_what_a_call_accesses() {
    let world = World::default();
    let list = |value: Value| {
        let result = create_access_list(&world.scene(), &request(value), None, None).unwrap();
        to_value(result).unwrap()
    };
    let counter = list(json!({ "from": RICH, "to": COUNTER }));
    assert_eq!(counter["accessList"], json!([{ "address": COUNTER, "storageKeys": [B256::ZERO] }]));
    assert_eq!(counter["error"], Value::Null);
    let failing = list(json!({ "from": RICH, "to": FAILING }));
    assert_eq!(failing["error"], "execution reverted: nope");
}

fn run(world: &World, payload: Value) -> Result<Vec<Value>, CallError> {
    let payload: SimulatePayload = from_value(payload).unwrap();
    let blocks = simulate(&world.scene(), &payload)?;
    let _: Option<
        &alloy_rpc_types_eth::simulate::SimulatedBlock<
            alloy_rpc_types_eth::Block<SimulatedTransaction>,
        >,
    > = blocks.first();
    Ok(blocks.into_iter().map(|block| to_value(block).unwrap()).collect())
}

#[test]
fn simulated_blocks_follow_on_each_other() {
    let world = World::default();
    let counter = json!({ "from": POOR, "to": COUNTER });
    let blocks = run(
        &world,
        json!({
            "blockStateCalls": [
                { "calls": [counter, counter] },
                {
                    "blockOverrides": { "number": "0x68", "time": "0x1000" },
                    "stateOverrides": { POOR.to_string(): { "balance": "0x64" } },
                    "calls": [
                        counter,
                        { "from": POOR, "to": FAILING },
                        { "from": POOR, "to": SPINNER, "gas": "0x10000" },
                        { "from": POOR, "to": RICH, "value": "0x7" },
                    ],
                },
            ],
            "traceTransfers": true,
            "returnFullTransactions": true,
        }),
    )
    .unwrap();
    let numbers: Vec<&str> = blocks.iter().map(|block| block["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["0x65", "0x66", "0x67", "0x68"]);
    let parents: Vec<&Value> = blocks.iter().skip(1).map(|block| &block["parentHash"]).collect();
    assert_eq!(parents, [&blocks[0]["hash"], &blocks[1]["hash"], &blocks[2]["hash"]]);
    assert_eq!(blocks[0]["timestamp"], "0x3f4");
    assert_eq!(blocks[3]["timestamp"], "0x1000");
    let data = |block: usize, call: usize| blocks[block]["calls"][call]["returnData"].clone();
    let word = |value: u8| json!(B256::with_last_byte(value));
    assert_eq!([data(0, 0), data(0, 1), data(3, 0)], [word(1), word(2), word(3)]);
    let calls = &blocks[3]["calls"];
    assert_eq!(calls[1]["status"], "0x0");
    assert_eq!(calls[1]["error"]["code"], 3);
    assert_eq!(calls[1]["error"]["message"], "execution reverted: nope");
    assert_eq!(calls[2]["error"], json!({ "code": -32015, "message": "out of gas" }));
    assert_eq!(calls[3]["logs"][0]["address"], json!(Address::repeat_byte(0xee)));
    assert_eq!(calls[3]["logs"][0]["blockHash"], blocks[3]["hash"]);
    let transactions = blocks[3]["transactions"].as_array().unwrap();
    let nonces: Vec<&Value> = transactions.iter().map(|tx| &tx["nonce"]).collect();
    assert_eq!(nonces, ["0x2", "0x3", "0x4", "0x5"]);
    assert_eq!(transactions[0]["from"], json!(POOR));
}

#[test]
fn simulated_blocks_that_cannot_be_say_why() {
    let world = World::default();
    let code = |payload: Value| run(&world, payload).unwrap_err().code();
    let calls = |validation: bool, call: Value| json!({ "blockStateCalls": [{ "calls": [call] }], "validation": validation });
    let rich = |more: Value| {
        let mut call = json!({ "from": RICH, "to": COUNTER, "gas": "0x20000" });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let price = json!({ "maxFeePerGas": "0x64", "nonce": "0x3" });
    run(&world, calls(true, rich(price))).unwrap();
    assert_eq!(code(calls(true, rich(json!({ "maxFeePerGas": "0x64", "nonce": "0x2" })))), -38010);
    assert_eq!(code(calls(true, rich(json!({ "maxFeePerGas": "0x64", "nonce": "0x4" })))), -38011);
    assert_eq!(code(calls(true, rich(json!({})))), -38012);
    assert_eq!(code(calls(false, json!({ "to": COUNTER, "gas": "0x1" }))), -38013);
    assert_eq!(code(calls(false, json!({ "from": POOR, "to": COUNTER, "value": "0x1" }))), -38014);
    assert_eq!(code(calls(false, json!({ "to": COUNTER, "gas": "0xffffffff" }))), -38015);
    let numbered = |number: &str| json!({ "blockOverrides": { "number": number } });
    assert_eq!(code(json!({ "blockStateCalls": [numbered("0x64")] })), -38020);
    let time = json!({ "blockOverrides": { "time": "0x1" } });
    assert_eq!(code(json!({ "blockStateCalls": [time] })), -38021);
    assert_eq!(code(json!({ "blockStateCalls": [numbered("0xffffff")] })), -38026);
    assert_eq!(code(json!({ "blockStateCalls": [] })), -32602);
}
