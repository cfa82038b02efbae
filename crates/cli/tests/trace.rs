//! `polity trace`: the tree of a transaction that a node has executed, as text, as JSON and as a
//! picture.
#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use polity_evm::gateway::{GATEWAY, IPolity};
use polity_testkit::node::Node;
use serde_json::{Value, json};

const POLITY: &str = env!("CARGO_BIN_EXE_polity");

fn trace(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(POLITY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLITY_")) {
        command.env_remove(name);
    }
    let url = node.url();
    command.args([&["trace", "--rpc-url", &url], arguments].concat()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Has the gateway pay an account of Solana's, and gives the transaction's hash.
fn pay(node: &Node, input: &'static [u8]) -> String {
    let from = node.call("eth_accounts", json!([])).unwrap()[0].clone();
    let (machine, account) = (3, B256::repeat_byte(7));
    let call = IPolity::callCall { machine, account, input: Bytes::from_static(input) };
    let request = json!({
        "from": from,
        "to": GATEWAY,
        "value": "0xde0b6b3a7640000",
        "gas": "0x7a120",
        "input": Bytes::from(call.abi_encode()),
    });
    let hash = node.call("eth_sendTransaction", json!([request])).unwrap();
    hash.as_str().unwrap().to_owned()
}

#[test]
fn a_transaction_is_shown_over_all_machines() {
    let node = Node::polity(Path::new(POLITY), &[]).unwrap();
    let hash = pay(&node, &[]);
    let shown = trace(&node, &[&hash]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let lines: Vec<_> = text(&shown.stdout).lines().collect();
    assert!(lines[0].starts_with(&format!("transaction {hash}, block 1, index 0: success")));
    assert!(lines[1].starts_with("evm TRANSACTION 0x"), "{lines:?}");
    assert!(lines[2].starts_with("└─ evm CALL 0x"), "{lines:?}");
    assert!(lines[3].starts_with("   └─ svm CALL evm:0x"), "{lines:?}");
    assert!(lines[3].contains("value 1000000000000000000"), "{lines:?}");
    assert!(lines[3].ends_with("success"), "{lines:?}");

    let place = tempfile::tempdir().unwrap();
    let picture = place.path().join("trace.svg");
    let drawn = trace(&node, &["1/0", "--json", "--svg", picture.to_str().unwrap()]);
    let told: Value = serde_json::from_str(text(&drawn.stdout)).unwrap();
    assert_eq!(told["transactionHash"], json!(hash));
    let hop = &told["trace"]["calls"][0]["calls"][0];
    assert_eq!((&hop["machine"], &hop["hop"]), (&json!("svm"), &json!(true)));
    // As Solana's tools write the account.
    assert_eq!(hop["to"], "svm:US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx");
    let picture = fs::read_to_string(picture).unwrap();
    assert_eq!(picture.matches("<g>").count(), 3);
}

#[test]
fn what_failed_is_marked_and_what_is_not_there_is_said() {
    let node = Node::polity(Path::new(POLITY), &[]).unwrap();
    let hash = pay(&node, b"what");
    let shown = trace(&node, &[&hash, "--full"]);
    let lines: Vec<_> = text(&shown.stdout).lines().collect();
    assert!(lines[3].starts_with("   └─ svm CALL evm:0x"), "{lines:?}");
    assert!(lines[3].ends_with("(undone)"), "{lines:?}");
    let none = trace(&node, &[&B256::repeat_byte(1).to_string()]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("transaction not found"), "{}", text(&none.stderr));
    assert_eq!(trace(&node, &["1/x"]).status.code(), Some(2));
}
