//! Fetching from a node that behaves, and from one that does not.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

mod common;
#[path = "common/node.rs"]
mod node;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use common::{CODE, CONTRACT, SENDER, dev_chain, full_folder};
use node::{Node, answers_of, quick};
use polity_replay::{
    AncestorHashes, BlockChoice, BlockFolder, Chain, FetchError, FetchOptions, Fetched,
    FolderBlock, PreStateFrom, Progress, RemoteError, RpcClient, Source, WriteMode, discover,
    fetch, open, write,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

const NUMBER: u64 = 20_000_000;

fn options() -> FetchOptions {
    FetchOptions { rpc: quick(), ..FetchOptions::default() }
}

fn block_json(folder: &BlockFolder) -> Value {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("1");
    write(folder, &path, WriteMode::New).unwrap();
    serde_json::from_slice(&fs::read(path.join("block.json")).unwrap()).unwrap()
}

/// What a tracer says of the block: one account a transaction, and slots of the contract.
fn traces(folder: &BlockFolder) -> Value {
    let FolderBlock::Full(block) = &folder.block else { panic!("flat") };
    let trace = |hash: &B256| {
        json!({"txHash": hash, "result": {
            SENDER.to_string(): {"balance": "0x1", "nonce": 1},
            CONTRACT.to_string(): {"balance": "0x77", "code": "0xfe", "storage": {
                B256::ZERO.to_string(): B256::ZERO,
                B256::from(U256::MAX).to_string(): B256::ZERO,
            }},
        }})
    };
    block.transactions.iter().map(|signed| trace(signed.envelope.tx_hash())).collect()
}

fn node_of(folder: &BlockFolder, traced: Result<Value, (i64, String)>) -> Node {
    Node::rpc(answers_of(folder, block_json(folder), traced, Arc::default()))
}

fn fetch_from(node: &Node, options: &FetchOptions) -> Result<Fetched, FetchError> {
    fetch(&node.url, BlockChoice::Number(NUMBER), options, &mut |_| {})
}

fn complete(fetched: Fetched) -> BlockFolder {
    match fetched {
        Fetched::Complete(folder) => *folder,
        Fetched::NeedsExecution(_) => panic!("the tracer was not used"),
    }
}

#[test]
fn a_traced_block_has_the_values_of_the_parent() {
    let mut folder = full_folder(NUMBER, Chain::Mainnet);
    let node = node_of(&folder, Ok(traces(&folder)));
    let fetched = complete(fetch_from(&node, &options()).unwrap());

    // The code asks for BLOCKHASH, so all ancestors are there.
    assert_eq!(fetched.block_hashes.len(), 256);
    folder.block_hashes = fetched.block_hashes.clone();
    // The access lists name slot 1, which is empty.
    folder.pre_state.get_mut(&CONTRACT).unwrap().storage.insert(U256::from(1), U256::ZERO);
    assert_eq!(fetched, folder);

    let root = tempfile::tempdir().unwrap();
    write(&fetched, &root.path().join("20000000"), WriteMode::New).unwrap();
    assert_eq!(open(&discover([root.path()]).unwrap()[0]).unwrap(), folder);

    let none = FetchOptions { ancestor_hashes: AncestorHashes::None, ..options() };
    assert_eq!(complete(fetch_from(&node, &none).unwrap()).block_hashes.len(), 1);
}

#[test]
fn blocks_are_chosen_by_number_hash_or_as_the_latest() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let node = node_of(&folder, Ok(traces(&folder)));
    let hash = folder.header().unwrap().hash_slow();
    for choice in [BlockChoice::Latest, BlockChoice::Hash(hash)] {
        let mut steps = Vec::new();
        let fetched = fetch(&node.url, choice, &options(), &mut |step| steps.push(step)).unwrap();
        assert_eq!(complete(fetched).number(), NUMBER);
        assert_eq!(steps[0], Progress::Block { number: NUMBER, transactions: 7 });
        assert_eq!(steps.last(), Some(&Progress::BlockHashes { done: 256, total: 256 }));
    }
    let error =
        fetch(&node.url, BlockChoice::Hash(B256::ZERO), &options(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Remote(RemoteError::Answer { .. })), "{error}");
}

#[test]
fn without_a_tracer_the_block_is_executed_over_the_source() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let missing = Err((-32601, "the method debug_traceBlockByNumber does not exist".into()));
    let node = node_of(&folder, missing);
    let mut reasons = Vec::new();
    let fetched = fetch(&node.url, BlockChoice::Number(NUMBER), &options(), &mut |step| {
        if let Progress::NoTracer { reason } = step {
            reasons.push(reason);
        }
    });
    let Fetched::NeedsExecution(remote) = fetched.unwrap() else { panic!("complete") };
    assert!(reasons[0].contains("debug_traceBlockByNumber"), "{reasons:?}");

    let state = &remote.state;
    let account = state.account(CONTRACT).unwrap().unwrap();
    let before = node.requests();
    assert_eq!(state.account(CONTRACT).unwrap(), Some(account));
    assert_eq!(account.code_hash, Some(keccak256(&CODE)));
    assert_eq!(state.code(keccak256(&CODE)).unwrap(), CODE);
    assert_eq!(node.requests(), before, "what is known was asked again");
    assert_eq!(state.storage(CONTRACT, U256::MAX).unwrap(), U256::MAX);
    assert_eq!(state.account(Address::repeat_byte(1)).unwrap(), None);
    assert_eq!(state.block_hash(NUMBER - 3).unwrap(), B256::from(U256::from(NUMBER - 3)));
    assert!(state.block_hash(NUMBER - 257).is_err());
    assert!(state.block_hash(NUMBER).is_err());
    assert!(state.code(B256::ZERO).is_err());

    let written = remote.into_folder();
    assert_eq!(written.pre_state.keys().collect::<Vec<_>>(), [&CONTRACT], "only what was read");
    let storage = &written.pre_state[&CONTRACT].storage;
    assert_eq!(*storage, BTreeMap::from([(U256::MAX, U256::MAX)]));
    assert_eq!(written.block_hashes.keys().copied().collect::<Vec<_>>(), [NUMBER - 3, NUMBER - 1]);

    let only = FetchOptions { pre_state: PreStateFrom::Tracer, ..options() };
    assert!(matches!(fetch_from(&node, &only), Err(FetchError::Remote(RemoteError::Rpc { .. }))));
}

#[test]
fn a_node_that_takes_no_batches_is_asked_one_by_one() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let answer = answers_of(&folder, block_json(&folder), Ok(traces(&folder)), Arc::default());
    let node = Node::start(move |body| {
        let request: Value = serde_json::from_slice(body).unwrap();
        let response = if request.is_array() {
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no batches"}})
        } else {
            let result = answer(request["method"].as_str().unwrap(), &request["params"]);
            json!({"jsonrpc": "2.0", "id": request["id"], "result": result.unwrap()})
        };
        Some((200, response.to_string().into_bytes()))
    });
    assert_eq!(complete(fetch_from(&node, &options()).unwrap()).block_hashes.len(), 256);
}

#[test]
fn the_chain_needs_rules() {
    let folder = full_folder(NUMBER, dev_chain());
    let node = node_of(&folder, Ok(traces(&folder)));
    let fetched = complete(fetch_from(&node, &options()).unwrap());
    assert_eq!(fetched.chain_id(), 31337);

    let unknown = Node::rpc(|_, _| Ok(json!("0x5")));
    let error = fetch_from(&unknown, &options()).unwrap_err();
    assert!(matches!(error, FetchError::UnknownChain { chain_id: 5 }), "{error}");

    let genesis = polity_replay::dev_genesis(5, Default::default());
    let other = FetchOptions { genesis: Some(genesis), ..options() };
    let error = fetch_from(&node, &other).unwrap_err();
    assert!(matches!(error, FetchError::WrongGenesis { genesis: 5, node: 31337 }), "{error}");
}

#[test]
fn a_branch_that_changed_meanwhile_is_noticed() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let mut traced = traces(&folder);
    traced[3]["txHash"] = json!(B256::ZERO);
    let error = fetch_from(&node_of(&folder, Ok(traced)), &options()).unwrap_err();
    assert!(matches!(error, FetchError::Reorganised { .. }), "{error}");

    let good = answers_of(&folder, block_json(&folder), Ok(traces(&folder)), Arc::default());
    let node = Node::rpc(move |method, params| {
        let mut result = good(method, params)?;
        if method == "eth_getBlockByNumber" && params[1] == false {
            result["hash"] = json!(B256::ZERO);
        }
        Ok(result)
    });
    for ancestor_hashes in [AncestorHashes::All, AncestorHashes::None] {
        let options = FetchOptions { ancestor_hashes, ..options() };
        let error = fetch_from(&node, &options).unwrap_err();
        assert!(matches!(error, FetchError::Reorganised { number: 19_999_999, .. }), "{error}");
    }

    let mut short = traces(&folder);
    short.as_array_mut().unwrap().pop();
    let error = fetch_from(&node_of(&folder, Ok(short)), &options()).unwrap_err();
    assert!(matches!(error, FetchError::Remote(RemoteError::Answer { .. })), "{error}");

    let mut spoiled = block_json(&folder);
    spoiled["transactions"][1]["value"] = json!("0x5");
    let node = Node::rpc(answers_of(&folder, spoiled, Ok(json!([])), Arc::default()));
    let error = fetch_from(&node, &options()).unwrap_err().to_string();
    assert!(error.contains("transactions[1].hash"), "{error}");
}

#[test]
fn a_missing_block_and_the_genesis_are_refused() {
    let node =
        Node::rpc(|method, _| Ok(if method == "eth_chainId" { json!("0x1") } else { Value::Null }));
    let error = fetch_from(&node, &options()).unwrap_err();
    assert!(matches!(error, FetchError::Remote(RemoteError::NoSuchBlock { .. })), "{error}");
    for url in ["ftp://host", "localhost:8545", "http://", "not a url", ""] {
        let error = fetch(url, BlockChoice::Latest, &options(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, FetchError::Remote(RemoteError::Url { .. })), "{url}: {error}");
    }
}

#[test]
fn pruned_state_is_said_to_be_pruned() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let good = answers_of(&folder, block_json(&folder), Ok(traces(&folder)), Arc::default());
    let node = Node::rpc(move |method, params| match method {
        "eth_getStorageAt" => Err((-32000, "missing trie node".into())),
        _ => good(method, params),
    });
    let error = fetch_from(&node, &options()).unwrap_err().to_string();
    for part in ["eth_getStorageAt", "missing trie node", "19999999", "archive node"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("secret-key"), "{error}");
}

#[test]
fn failures_that_may_pass_are_repeated_and_others_are_not() {
    let call = |node: &Node| {
        let client = RpcClient::new(&node.url, quick()).unwrap();
        client.call::<String>("eth_chainId", &json!([]))
    };
    let good = br#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    let limited = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"slow down"}}"#;
    for (status, body) in [(503, &b"busy"[..]), (429, b""), (200, limited)] {
        let count = AtomicUsize::new(0);
        let node = Node::start(move |_| {
            let first = count.fetch_add(1, Ordering::SeqCst) < 2;
            Some(if first { (status, body.to_vec()) } else { (200, good.to_vec()) })
        });
        assert_eq!(call(&node).unwrap(), "0x1");
        assert_eq!(node.requests(), 3);
    }

    let node = Node::start(|_| Some((503, b"busy".to_vec())));
    let error = call(&node).unwrap_err().to_string();
    assert_eq!(node.requests(), 3, "retries are bounded");
    assert!(error.contains("503") && error.contains("busy") && error.contains("eth_chainId"));
    assert!(!error.contains("secret-key"), "{error}");

    let refused = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#;
    for status in [200, 400] {
        let node = Node::start(move |_| Some((status, refused.to_vec())));
        let error = call(&node).unwrap_err();
        assert!(
            matches!(&error, RemoteError::Rpc { code: -32601, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("eth_chainId"), "{error}");
        assert_eq!(node.requests(), 1);
    }
}

#[test]
fn a_node_that_does_not_answer_times_out() {
    let node = Node::start(|_| None);
    let slow =
        polity_replay::RpcOptions { timeout: Duration::from_millis(100), retries: 1, ..quick() };
    let client = RpcClient::new(&node.url, slow).unwrap();
    let start = Instant::now();
    let error = client.call::<String>("eth_chainId", &json!([])).unwrap_err();
    assert!(
        matches!(error, RemoteError::Transport { attempts: 2, .. }),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = RpcClient::new(&format!("http://{closed}"), quick()).unwrap();
    let error = client.call::<String>("eth_chainId", &json!([])).unwrap_err();
    assert!(error.to_string().contains("check that the node runs"), "{error}");
}

#[test]
fn each_key_is_asked_for_once() {
    let folder = full_folder(NUMBER, Chain::Mainnet);
    let methods = Arc::new(Mutex::new(Vec::new()));
    let node = Node::rpc(answers_of(
        &folder,
        block_json(&folder),
        Ok(traces(&folder)),
        Arc::clone(&methods),
    ));
    complete(fetch_from(&node, &options()).unwrap());
    let methods = methods.lock().unwrap();
    let count = |name: &str| methods.iter().filter(|method| *method == name).count();
    assert_eq!(count("eth_getBalance"), count("eth_getCode"));
    assert_eq!(count("debug_traceBlockByNumber"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever a node answers, the result is a value or an error.
    #[test]
    fn any_answer(bodies in vec(prop_oneof![
        vec(any::<u8>(), 0..100),
        "[\\[\\]{}\",:0-9a-z]{0,60}".prop_map(String::into_bytes),
        Just(b"[]".to_vec()),
        Just(b"[null]".to_vec()),
        Just(br#"{"id":1,"result":"0x1"}"#.to_vec()),
        Just(br#"{"id":2,"result":{"hash":1}}"#.to_vec()),
        Just(br#"{"id":1,"error":{}}"#.to_vec()),
    ], 1..4)) {
        let at = AtomicUsize::new(0);
        let node = Node::start(move |_| {
            let at = at.fetch_add(1, Ordering::SeqCst);
            Some((200, bodies[at % bodies.len()].clone()))
        });
        let _ = fetch_from(&node, &options()).map_err(|error| error.to_string());
    }
}
