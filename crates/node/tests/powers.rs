//! Powers of development over tokens, over the past and over blobs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod world;

use alloy_consensus::{
    BlobTransactionSidecarVariant, SidecarBuilder, SimpleCoder, TxEip4844, TxEip4844Variant,
    TxEip4844WithSidecar,
};
use alloy_primitives::{Address, U256};
use polity_node::config::Config;
use serde_json::{Value, json};
use world::{Door, Signer, code, manual};

const TOKEN: &str = "0x00000000000000000000000000000000000000c0";
const WHO: &str = "0x00000000000000000000000000000000000000a1";
const OTHER: &str = "0x00000000000000000000000000000000000000a2";

/// `balanceOf(a)` is slot `keccak(a . 3)`, `allowance(a, b)` is `keccak(b . keccak(a . 4))`. Either
/// also looks at slot 0.
const CODE: &str = "0x5f545036604414601f576004355f5260036020526040\
                    5f20545f5260205ff35b6004355f526004602052604\
                    05f206020526024355f5260405f20545f5260205ff3";

async fn get(door: &Door, method: &str, params: Value) -> Value {
    let answer = door.call(method, params.clone()).await;
    answer.unwrap_or_else(|error| unreachable!("{method} {params}: {error}"))
}

fn word(number: u64) -> String {
    format!("{number:064x}")
}

async fn balance(door: &Door, of: &str) -> Value {
    let input = format!("0x70a08231{:0>64}", &of[2..]);
    get(door, "eth_call", json!([{ "to": TOKEN, "input": input }])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_what_it_is_made_to_say() {
    let door = Door::open(&manual());
    get(&door, "anvil_setCode", json!([TOKEN, CODE])).await;
    get(&door, "anvil_setStorageAt", json!([TOKEN, "0x0", format!("0x{}", word(77))])).await;
    for (method, amount) in
        [("anvil_dealERC20", 1000), ("anvil_setERC20Balance", 77), ("hardhat_dealERC20", 77)]
    {
        get(&door, method, json!([WHO, TOKEN, format!("0x{amount:x}")])).await;
        assert_eq!(balance(&door, WHO).await, format!("0x{}", word(amount)), "{method}");
    }
    assert_eq!(balance(&door, OTHER).await, format!("0x{}", word(0)));
    let allowance = json!([WHO, OTHER, TOKEN, "0x55"]);
    get(&door, "anvil_setERC20Allowance", allowance).await;
    let input = format!("0xdd62ed3e{:0>64}{:0>64}", &WHO[2..], &OTHER[2..]);
    let allowed = get(&door, "eth_call", json!([{ "to": TOKEN, "input": input }])).await;
    assert_eq!(allowed, format!("0x{}", word(0x55)));
    assert_eq!(balance(&door, WHO).await, format!("0x{}", word(77)));
    // What it also looked at is as it was, and so is whatever is no token.
    let slot = get(&door, "eth_getStorageAt", json!([TOKEN, "0x0"])).await;
    assert_eq!(slot, format!("0x{}", word(77)));
    let refused = door.call("anvil_dealERC20", json!([WHO, OTHER, "0x1"])).await.unwrap_err();
    assert_eq!(code(&refused), -32000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganization_puts_other_blocks_in_place_of_the_last() {
    let config = Config::default();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    let (alice, bob) = (signer.address(0), signer.address(1));
    for nonce in 0..4 {
        let raw = signer.transfer(0, nonce, bob, 1, 1);
        get(&door, "eth_sendRawTransaction", json!([raw])).await;
    }
    let block =
        |number: u64| get(&door, "eth_getBlockByNumber", json!([format!("{number:#x}"), false]));
    let before = [block(1).await, block(2).await, block(3).await, block(4).await];
    let raw = signer.transfer(1, 0, alice, 5, 1);
    let pairs = json!([
        [{ "from": alice, "to": bob, "value": "0x9" }, 1],
        [raw, 0],
        [{ "from": alice, "to": bob, "value": "0x8" }, 1],
    ]);
    get(&door, "anvil_reorg", json!([3, pairs])).await;
    assert_eq!(door.node.chain.head().number(), 4);
    assert_eq!(block(1).await["hash"], before[0]["hash"]);
    let counts = [1, 1, 2, 0];
    for (number, count) in (1_u64..).zip(counts) {
        let now = block(number).await;
        assert_eq!(now["transactions"].as_array().unwrap().len(), count, "{number}");
        let was = &before[usize::try_from(number).unwrap() - 1];
        assert_eq!(now["timestamp"], was["timestamp"]);
        assert_eq!(now["hash"] == was["hash"], number == 1, "{number}");
    }
    let count = get(&door, "eth_getTransactionCount", json!([alice])).await;
    assert_eq!(count, "0x3", "one before, two after");
    // By name, with nothing in it; the same blocks once more are others.
    let head = block(4).await;
    let named = br#"{"id":1,"method":"anvil_reorg","params":{"depth":1,"tx_block_pairs":[]}}"#;
    let answer = door.answer(named).await.unwrap();
    assert!(answer.contains(r#""result":null"#), "{answer}");
    assert_ne!(block(4).await["hash"], head["hash"]);
    get(&door, "anvil_reorg", json!([{ "depth": 0 }])).await;
    for wrong in [json!([5]), json!([1, [[raw, 1]]]), json!([1, [["0x02c0", 0]]]), json!(["x"])] {
        let refused = door.call("anvil_reorg", wrong.clone()).await.unwrap_err();
        assert!(matches!(code(&refused), -32602 | -32000), "{wrong}: {refused}");
    }
    assert_eq!(door.node.chain.head().number(), 4);
    // The chain goes on.
    get(&door, "eth_sendTransaction", json!([{ "from": alice, "to": bob, "value": "0x1" }])).await;
    assert_eq!(door.node.chain.head().number(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_known_before_and_after_their_block() {
    let config = manual();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    let sidecar = SidecarBuilder::<SimpleCoder>::from_slice(b"told once").build_7594().unwrap();
    let hashes: Vec<_> = sidecar.versioned_hashes().collect();
    let tx = TxEip4844 {
        chain_id: config.chain_id,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to: Address::repeat_byte(1),
        blob_versioned_hashes: hashes.clone(),
        max_fee_per_blob_gas: 100_000_000_000,
        value: U256::ZERO,
        ..TxEip4844::default()
    };
    let sidecar: BlobTransactionSidecarVariant = sidecar.into();
    let raw = signer.sign(
        0,
        TxEip4844Variant::from(TxEip4844WithSidecar::from_tx_and_sidecar(tx, sidecar)).into(),
    );
    let hash = get(&door, "eth_sendRawTransaction", json!([raw])).await;
    for step in ["waiting", "in a block"] {
        let all = get(&door, "anvil_getBlobsByTransactionHash", json!([hash])).await;
        assert_eq!(all.as_array().unwrap().len(), 1, "{step}");
        assert_eq!(get(&door, "anvil_getBlobByHash", json!([hashes[0]])).await, all[0], "{step}");
        get(&door, "evm_mine", json!([])).await;
    }
    let receipt = get(&door, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["blobGasUsed"], "0x20000");
    let unknown = json!([format!("0x{}", word(1))]);
    assert_eq!(get(&door, "anvil_getBlobByHash", unknown.clone()).await, Value::Null);
    assert_eq!(get(&door, "anvil_getBlobsByTransactionHash", unknown).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_can_be_waited_for_and_need_no_signature() {
    let door = Door::open(&Config::default());
    let accounts = get(&door, "eth_accounts", json!([])).await;
    let request = json!([{ "from": accounts[0], "to": WHO, "value": "0xde0b6b3a7640000" }]);
    let receipt = get(&door, "eth_sendTransactionSync", request).await;
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
    let request = json!([{ "from": WHO, "to": OTHER, "value": "0x5" }]);
    let refused = door.call("eth_sendTransaction", request.clone()).await.unwrap_err();
    assert_eq!(refused["message"], "unknown account");
    let hash = get(&door, "eth_sendUnsignedTransaction", request).await;
    let receipt = get(&door, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["from"]), (&json!("0x1"), &json!(WHO)));
    assert_eq!(get(&door, "eth_getBalance", json!([OTHER])).await, "0x5");

    get(&door, "evm_setAutomine", json!([false])).await;
    assert_eq!(get(&door, "eth_pendingTransactions", json!([])).await, json!([]));
    let request = json!([{ "from": accounts[1], "to": OTHER, "value": "0x1" }]);
    let late = door.call("eth_sendTransactionSync", request).await.unwrap_err();
    assert_eq!(code(&late), 4);
    let pending = get(&door, "eth_pendingTransactions", json!([])).await;
    assert_eq!(pending[0]["hash"], late["data"]);
    assert_eq!(pending[0]["from"], accounts[1]);
    get(&door, "debug_clearTxpool", json!([])).await;
    assert_eq!(get(&door, "eth_pendingTransactions", json!([])).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_one_id_and_one_beginning() {
    let door = Door::open(&manual());
    assert_eq!(get(&door, "anvil_setChainId", json!([31337])).await, Value::Null);
    let refused = door.call("anvil_setChainId", json!(["0x1"])).await.unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("--chain-id"), "{refused}");
    assert_eq!(get(&door, "eth_chainId", json!([])).await, "0x7a69");
    let first = get(&door, "eth_getBlockByNumber", json!(["0x0", false])).await;
    let time = get(&door, "anvil_getGenesisTime", json!([])).await.as_u64().unwrap();
    assert_eq!(first["timestamp"], format!("{time:#x}"));
}
