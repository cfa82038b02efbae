//! Solana's side of `polity node`, and the tools that Solana's developers use, each with a story that
//! it tells a node. The stories lie in `e2e/solana`. Where their tools are missing they are fetched;
//! where they cannot be fetched the story is skipped.
#![cfg(feature = "svm")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails, and a note how it says that it was skipped"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use polity_testkit::node::{
    Node,
    tools::{self, stories},
};
use serde_json::Value;

const POLITY: &str = env!("CARGO_BIN_EXE_polity");

/// How long something may take that is quick.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node, and what it says of itself.
fn start(flags: &[&str]) -> (Node, Value) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("node.json");
    let out = ["--config-out", path.to_str().unwrap()];
    let node = Node::polity(Path::new(POLITY), &[&out, flags].concat()).unwrap();
    let begin = Instant::now();
    loop {
        // It is written when all ports are open.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Ok(said) = serde_json::from_str(&text) {
            return (node, said);
        }
        assert!(begin.elapsed() < PATIENCE, "the node says nothing of itself");
        thread::sleep(Duration::from_millis(10));
    }
}

fn text<'a>(said: &'a Value, name: &str) -> &'a str {
    said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}"))
}

#[test]
fn a_node_says_where_solana_is_and_with_which_keys() {
    let (_node, said) = start(&["--accounts", "2"]);
    let port =
        |name: &str| -> u16 { text(&said, name).rsplit(':').next().unwrap().parse().unwrap() };
    assert_eq!(port("solanaHttp") + 1, port("solanaWs"));
    let accounts = said["solanaAccounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 2);
    // What wallets derive from the mnemonic that all tools know.
    assert_eq!(accounts[0]["address"], "oeYf6KAJkLYhBuR8CiGc6L4D4Xtfepr85fuDgA9kq96");
}

#[test]
fn a_node_without_solana_says_nothing_of_it() {
    let (_node, said) = start(&["--no-solana"]);
    assert!(said.get("solanaHttp").is_none());
    text(&said, "ethereumHttp");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(POLITY)
        .args(["node", "--port", "0", "--solana-port", &port])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--solana-port") && said.contains(&port), "{said}");
}

fn story(command: Result<Command, String>) {
    let mut command = match command {
        Ok(command) => command,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let (_node, said) = start(&[]);
    let urls = [text(&said, "solanaHttp"), text(&said, "solanaWs")];
    // A story ends by itself where it takes too long.
    let output = command.args(urls).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{told}\n{failed}", output.status);
    println!("{told}");
}

/// A script for node, with npm's packages.
fn script(name: &str) -> Result<Command, String> {
    let mut command = Command::new("node");
    let path = stories().join("solana").join(name);
    command.arg(path).env("NODE_PATH", tools::solana_modules()?);
    Ok(command)
}

#[test]
fn kit() {
    story(script("kit.cjs"));
}

#[test]
fn web3js() {
    story(script("web3js.cjs"));
}

#[test]
fn anchor() {
    story(script("anchor.cjs"));
}

#[test]
fn solana_py() {
    let python = tools::solana_python().map(|modules| {
        let mut command = Command::new("python3");
        command.arg(stories().join("solana/solanapy.py")).env("PYTHONPATH", modules);
        command
    });
    story(python);
}
