//! The story of `examples/interop`, told to `polity node` with tools of Ethereum's and of Solana's.
//! Where the tools are missing they are fetched; where they cannot be fetched it is skipped.
#![cfg(feature = "svm")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails, and a note how it says that it was skipped"
)]

use polity_testkit::node::{
    Node,
    tools::{self, stories},
};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const POLITY: &str = env!("CARGO_BIN_EXE_polity");

/// How long a node may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(30);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/interop")
}

#[test]
fn uniswap_trades_an_spl_token() {
    story("story.cjs");
}

#[test]
fn custody_takes_odd_tokens() {
    story("custody.cjs");
}

fn story(name: &str) {
    let modules = tools::modules().and_then(|own| Ok([own, tools::solana_modules()?]));
    let modules = match modules {
        Ok(modules) => env::join_paths(modules).unwrap(),
        Err(reason) => return println!("skipped: {reason}"),
    };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("node.json");
    let _node = Node::polity(Path::new(POLITY), &["--config-out", path.to_str().unwrap()]).unwrap();
    let begin = Instant::now();
    let said: Value = loop {
        // It is written when all ports are open.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Ok(said) = serde_json::from_str(&text) {
            break said;
        }
        assert!(begin.elapsed() < PATIENCE, "the node says nothing of itself");
        thread::sleep(Duration::from_millis(10));
    };
    let url = |name: &str| said.get(name).and_then(Value::as_str).unwrap().to_owned();
    // The story ends by itself where it takes too long.
    let output = Command::new("node")
        .arg(example().join(name))
        .args([url("ethereumHttp"), url("solanaHttp")])
        .env("NODE_PATH", modules)
        .env("POLITY", POLITY)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{told}\n{failed}", output.status);
    println!("{told}");
}

#[test]
fn the_tools_are_those_of_the_other_stories() {
    let dependencies = |path: PathBuf| {
        let list: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        list.get("dependencies").and_then(Value::as_object).cloned().unwrap()
    };
    let mut known = dependencies(stories().join("package.json"));
    known.extend(dependencies(stories().join("solana/package.json")));
    for (name, version) in dependencies(example().join("package.json")) {
        assert_eq!(known.get(&name), Some(&version), "{name}");
    }
}
