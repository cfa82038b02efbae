//! The tools that Ethereum's developers use, each with a story that it tells a node. The stories lie
//! in `e2e`. Where their tools are missing they are fetched; where they cannot be fetched the story is
//! skipped.
//!
//! `POLITY_E2E_NODE=anvil` tells them to anvil instead, which shows that a story is true.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a panic is how a test fails, and a note how it says that it was skipped"
)]

use polity_testkit::node::{
    Node,
    tools::{self, stories},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No story takes longer.
const LIMIT: Duration = Duration::from_secs(180);

/// So that the first block is the same.
const TIME: [&str; 2] = ["--timestamp", "1700000000"];

fn start(flags: &[&str]) -> Result<Node, String> {
    if env::var_os("POLITY_E2E_NODE").is_some_and(|node| node == "anvil") {
        return Ok(Node::anvil(&tools::anvil()?, flags).unwrap());
    }
    Ok(Node::polity(Path::new(env!("CARGO_BIN_EXE_polity")), flags).unwrap())
}

/// Runs a story to its end; it fails where the story does.
fn tell(mut command: Command, urls: &[String]) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("output");
    let output = fs::File::create(&path).unwrap();
    let mut story = command
        .args(urls)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let status = loop {
        match story.try_wait().unwrap() {
            Some(status) => break status.to_string(),
            None if begin.elapsed() > LIMIT => {
                story.kill().unwrap();
                story.wait().unwrap();
                break format!("took longer than {LIMIT:?}");
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = fs::read_to_string(&path).unwrap();
    assert!(status == "exit status: 0", "{status}\n{said}");
    println!("{said}");
}

/// A script for node, with npm's packages.
fn script(name: &str) -> Result<Command, String> {
    let modules = tools::modules()?;
    let mut command = Command::new("node");
    // What scripts compile lies with the tools.
    command.env("POLITY_E2E_CACHE", modules.parent().map(PathBuf::from).unwrap_or_default());
    command.arg(stories().join(name)).env("NODE_PATH", &modules);
    Ok(command)
}

/// A script for Python, with the packages of PyPI.
fn python(name: &str) -> Result<Command, String> {
    let mut command = Command::new("python3");
    command.arg(stories().join(name)).env("PYTHONPATH", tools::python()?);
    Ok(command)
}

fn story(command: Result<Command, String>) {
    match command.and_then(|command| Ok((command, start(&[])?))) {
        Ok((command, node)) => tell(command, &[node.url()]),
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn viem() {
    story(script("viem.cjs"));
}

#[test]
fn ethers() {
    story(script("ethers.cjs"));
}

#[test]
fn uniswap_v2() {
    story(script("uniswap.cjs"));
}

#[test]
fn web3_and_vyper() {
    story(python("web3py.py"));
}

#[test]
fn cast() {
    story(script("cast.cjs"));
}

#[test]
fn forge() {
    story(script("forge.cjs"));
}

/// The same requests to anvil and to the node.
#[test]
fn as_anvil_answers() {
    let nodes = || Ok((script("differential.cjs")?, tools::anvil()?, start(&TIME)?));
    match nodes() {
        Ok((command, anvil, node)) => {
            let anvil = Node::anvil(&anvil, &["--steps-tracing", TIME[0], TIME[1]]).unwrap();
            tell(command, &[anvil.url(), node.url()]);
        }
        Err(reason) => {
            let reason: String = reason;
            println!("skipped: {reason}");
        }
    }
}
