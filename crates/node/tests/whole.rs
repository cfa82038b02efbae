//! What is told of a chain's rules, of storage as a whole, and of blocks that come as bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod world;

use alloy_eips::eip7002;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use polity_node::config::Config;
use serde_json::{Value, json};
use world::{Door, Signer, code, manual};

/// Counts its calls in slot 0, and writes the count to slot 7, too.
const COUNTER: &str = "0x5f54600101805f5580600755005b";
const CONTRACT: &str = "0x00000000000000000000000000000000000000c1";

async fn get(door: &Door, method: &str, params: Value) -> Value {
    let answer = door.call(method, params.clone()).await;
    answer.unwrap_or_else(|error| unreachable!("{method} {params}: {error}"))
}

fn word(number: u64) -> String {
    format!("0x{number:064x}")
}

fn hashed(slot: u64) -> String {
    keccak256(B256::from(U256::from(slot))).to_string()
}

/// A chain whose second block calls the counter twice; its first block sets it to five.
async fn counted() -> (Door, Signer) {
    let config = manual();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    get(&door, "anvil_setCode", json!([CONTRACT, COUNTER])).await;
    get(&door, "anvil_setStorageAt", json!([CONTRACT, "0x0", word(5)])).await;
    get(&door, "evm_mine", json!([])).await;
    for nonce in 0..2 {
        let request =
            json!({ "from": signer.address(0), "to": CONTRACT, "gas": "0x186a0", "nonce": nonce });
        get(&door, "eth_sendTransaction", json!([request])).await;
    }
    get(&door, "evm_mine", json!([])).await;
    (door, signer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_are_told_as_eip_7910_has_it() {
    let door = Door::open(&Config::default());
    let config = get(&door, "eth_config", json!([])).await;
    let current = &config["current"];
    assert_eq!(current["activationTime"], 0);
    assert_eq!(current["chainId"], "0x7a69");
    assert_eq!(current["forkId"].as_str().unwrap().len(), 10);
    assert!(current["blobSchedule"]["max"].as_u64().unwrap() > 0);
    assert_eq!(current["precompiles"]["ECREC"], format!("0x{:040x}", 1));
    assert_eq!(current["systemContracts"].as_object().unwrap().len(), 5);
    assert_eq!((&config["next"], &config["last"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_told_with_the_root_of_its_storage() {
    let (door, signer) = counted().await;
    let account = get(&door, "eth_getAccount", json!([CONTRACT, "latest"])).await;
    let code = Bytes::from(alloy_primitives::hex::decode(COUNTER).unwrap());
    assert_eq!(account["codeHash"], keccak256(&code).to_string());
    assert_eq!(account["nonce"], "0x0");
    // Slots 0 and 7 are 7: the root of Ethereum's trie of the two.
    let seven = (B256::from(U256::from(7)), U256::from(7));
    let root = |slots: Vec<(B256, U256)>| {
        alloy_consensus::proofs::storage_root_unhashed(slots).to_string()
    };
    assert_eq!(account["storageRoot"], root(vec![(B256::ZERO, U256::from(7)), seven]));
    let before = get(&door, "eth_getAccount", json!([CONTRACT, "0x1"])).await;
    assert_eq!(before["storageRoot"], root(vec![(B256::ZERO, U256::from(5))]));
    let plain = get(&door, "eth_getAccount", json!([signer.address(1)])).await;
    let empty = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
    assert_eq!(plain["storageRoot"], empty);
    assert_eq!(plain["codeHash"], keccak256([]).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slots_are_told_at_once() {
    let (door, signer) = counted().await;
    let wanted = json!([{ CONTRACT: [word(7), word(0), word(9)] }, "latest"]);
    let found = get(&door, "eth_getStorageValues", wanted).await;
    assert_eq!(found, json!({ CONTRACT: [word(7), word(7), word(0)] }));
    let many = json!([{ signer.address(0).to_string(): vec![word(0); 1025] }]);
    assert_eq!(code(&door.call("eth_getStorageValues", many).await.unwrap_err()), -32602);
    let hash = get(&door, "eth_getAccount", json!([CONTRACT])).await["codeHash"].take();
    assert_eq!(get(&door, "debug_codeByHash", json!([hash])).await, COUNTER);
    assert_eq!(get(&door, "debug_codeByHash", json!([word(1)])).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_told_as_it_was_before_a_transaction() {
    let (door, _) = counted().await;
    let block = get(&door, "eth_getBlockByNumber", json!(["0x2", false])).await;
    let at = async |index: usize, start: &str, most: u64| {
        let params = json!([block["hash"], index, CONTRACT, start, most]);
        get(&door, "debug_storageRangeAt", params).await
    };
    let cell = |key: u64, value: u64| json!({ "key": word(key), "value": word(value) });
    let first = at(0, "0x", 10).await;
    assert_eq!(first, json!({ "storage": { hashed(0): cell(0, 5) }, "nextKey": null }));
    let second = at(1, word(0).as_str(), 10).await;
    let both = json!({ hashed(0): cell(0, 6), hashed(7): cell(7, 6) });
    assert_eq!(second["storage"], both);
    let after = at(2, "0x", 1).await;
    assert_eq!(after["storage"].as_object().unwrap().len(), 1);
    let next = after["nextKey"].as_str().unwrap();
    let rest = at(2, next, 1).await;
    assert_eq!(rest["nextKey"], Value::Null);
    assert!(rest["storage"][next].is_object());
    let beyond = json!([block["hash"], 3, CONTRACT, "0x", 1]);
    assert_eq!(code(&door.call("debug_storageRangeAt", beyond).await.unwrap_err()), -32000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_block_ends_as_a_real_one_does() {
    let config = manual();
    let (door, signer) = (Door::open(&config), Signer::of(&config));
    // EIP-7002: a validator's key and an amount.
    let request = json!({
        "from": signer.address(0),
        "to": eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
        "input": Bytes::from([[0x11; 48].as_slice(), &[0, 0, 0, 0, 0, 0, 0, 7]].concat()),
        "value": "0x1",
        "gas": "0x493e0",
    });
    let payload = json!([{ "blockStateCalls": [{ "calls": [request] }, { "calls": [] }] }]);
    let made_up = get(&door, "eth_simulateV1", payload).await;
    assert_eq!(made_up[0]["calls"][0]["status"], "0x1");
    get(&door, "eth_sendTransaction", json!([request])).await;
    get(&door, "evm_mine", json!([])).await;
    let block = get(&door, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(made_up[0]["requestsHash"], block["requestsHash"]);
    // Of the next block there are none.
    let none = alloy_eips::eip7685::EMPTY_REQUESTS_HASH.to_string();
    assert_ne!(block["requestsHash"], none);
    assert_eq!(made_up[1]["requestsHash"], none);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_bytes_is_traced_whether_or_not_it_is_of_the_chain() {
    let (door, _) = counted().await;
    let tracer = json!({ "tracer": "callTracer" });
    let raw = get(&door, "debug_getRawBlock", json!(["latest"])).await;
    let known = get(&door, "debug_traceBlockByNumber", json!(["latest", tracer])).await;
    assert_eq!(known.as_array().unwrap().len(), 2);
    assert_eq!(get(&door, "debug_traceBlock", json!([raw, tracer])).await, known);
    get(&door, "anvil_rollback", json!([1])).await;
    assert_eq!(get(&door, "debug_traceBlock", json!([raw, tracer])).await, known);
    get(&door, "anvil_rollback", json!([1])).await;
    let orphan = door.call("debug_traceBlock", json!([raw])).await.unwrap_err();
    assert!(orphan["message"].as_str().unwrap().contains("not found"), "{orphan}");
    let text = raw.as_str().unwrap();
    for broken in ["0x", "0xc0", &text[..text.len() - 2], &format!("{text}00")] {
        let refused = door.call("debug_traceBlock", json!([broken])).await.unwrap_err();
        assert_eq!(code(&refused), -32000, "{refused}");
    }
}
