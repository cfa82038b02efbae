//! `polity node` with a folder for its data is killed under load, at no matter which moment.
//!
//! Started again it has every block and every receipt that anybody was told of, and the chain goes on.
//! Left alone under load, its memory does not grow with its chain.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use alloy_primitives::{Address, Bytes, U256, address};
use polity_testkit::node::{Connection, Node, NodeError, Request, Transaction, Wallet};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Every transaction gives it one wei.
const SINK: Address = address!("00000000000000000000000000000000000051f8");
const SENDERS: u64 = 4;

fn start(folder: &Path, flags: &[&str]) -> Node {
    let folder = folder.to_str().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_polity"));
    Node::polity(binary, &[&["--data-dir", folder], flags].concat()).unwrap()
}

/// What the node told of a block: its hash and its state root.
type Told = (Value, Value);

/// What somebody was told, who relies on it.
#[derive(Default)]
struct Witness {
    blocks: BTreeMap<u64, Told>,
    /// The hash of a transaction and that of its block.
    receipts: Vec<(Value, Value)>,
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

fn block(connection: &mut Connection, of: &str) -> Result<Value, NodeError> {
    connection.call("eth_getBlockByNumber", json!([of, false]))
}

fn told(block: &Value) -> Option<(u64, Told)> {
    let hash = block.get("hash")?.clone();
    let root = block.get("stateRoot")?.clone();
    Some((number(block.get("number")?), (hash, root)))
}

/// Sends transactions until the node is gone, and asks for the receipts of some.
fn send(mut connection: Connection, wallet: &Wallet) -> Vec<(Value, Value)> {
    let mut receipts = Vec::new();
    let mut work = || -> Result<(), NodeError> {
        let nonce =
            connection.call("eth_getTransactionCount", json!([wallet.address, "pending"]))?;
        for nonce in number(&nonce).. {
            let transaction = Transaction { to: SINK, value: 1, input: Bytes::new(), gas: 21_000 };
            let raw = wallet.sign(nonce, &transaction);
            let body = connection.post(&Request::send(&[raw]))?;
            let answer: Value = serde_json::from_slice(&body).unwrap();
            let hash = answer.get("result").unwrap_or_else(|| panic!("refused: {answer}"));
            let receipt = connection.call("eth_getTransactionReceipt", json!([hash]))?;
            if let Some(block) = receipt.get("blockHash") {
                receipts.push((hash.clone(), block.clone()));
            }
        }
        Ok(())
    };
    let error = work().unwrap_err();
    assert!(matches!(error, NodeError::Io { .. }), "{error}");
    receipts
}

/// Writes down every latest block until the node is gone.
fn watch(mut connection: Connection) -> BTreeMap<u64, Told> {
    let mut blocks = BTreeMap::new();
    while let Ok(block) = block(&mut connection, "latest") {
        blocks.extend(told(&block));
    }
    blocks
}

/// Loads a node for so long, kills it, and gives what it told until then.
fn load(mut node: Node, time: Duration) -> Witness {
    let open = || node.connect().unwrap();
    let connections: Vec<_> =
        (0..SENDERS).map(|number| (open(), Wallet::numbered(number))).collect();
    let watching = open();
    thread::scope(|scope| {
        let senders: Vec<_> = connections
            .into_iter()
            .map(|(connection, wallet)| scope.spawn(move || send(connection, &wallet)))
            .collect();
        let watcher = scope.spawn(|| watch(watching));
        thread::sleep(time);
        node.kill();
        Witness {
            receipts: senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect(),
            blocks: watcher.join().unwrap(),
        }
    })
}

/// Everything that somebody was told is still so, and the chain goes on.
fn check(node: &Node, witness: &Witness) {
    let mut connection = node.connect().unwrap();
    for (number, expected) in &witness.blocks {
        let block = block(&mut connection, &format!("{number:#x}")).unwrap();
        let (_, found) = told(&block).unwrap_or_else(|| panic!("block {number} is gone"));
        assert_eq!(found, *expected, "block {number}");
    }
    for (transaction, expected) in &witness.receipts {
        let receipt = connection.call("eth_getTransactionReceipt", json!([transaction])).unwrap();
        assert_eq!(receipt.get("blockHash"), Some(expected), "{transaction}");
    }
    // The state is that of the blocks: each transaction gave a wei.
    let head = block(&mut connection, "latest").unwrap();
    let (height, (hash, _)) = told(&head).unwrap();
    let nonces: u64 = (0..SENDERS)
        .map(|sender| {
            let address = Wallet::numbered(sender).address;
            number(&connection.call("eth_getTransactionCount", json!([address, "latest"])).unwrap())
        })
        .sum();
    let gifts = number(&connection.call("eth_getBalance", json!([SINK, "latest"])).unwrap());
    assert_eq!(gifts, nonces);

    connection.call("evm_mine", json!([])).unwrap();
    let next = block(&mut connection, &format!("{:#x}", height + 1)).unwrap();
    assert_eq!(next.get("parentHash"), Some(&hash));
}

/// The blocks of a chain: each is the parent of the next, and they hold so many transactions.
fn walk(node: &Node) -> usize {
    let mut connection = node.connect().unwrap();
    let (height, _) = told(&block(&mut connection, "latest").unwrap()).unwrap();
    let mut parent = None;
    let mut transactions = 0;
    for number in 0..=height {
        let block = block(&mut connection, &format!("{number:#x}")).unwrap();
        assert!(parent.is_none() || block.get("parentHash") == parent.as_ref(), "block {number}");
        transactions += block.get("transactions").unwrap().as_array().unwrap().len();
        parent = block.get("hash").cloned();
    }
    transactions
}

fn kill(times: u64) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("node");
    let node = start(&folder, &[]);
    for sender in 0..SENDERS {
        let funds = U256::from(10).pow(U256::from(21));
        let address = Wallet::numbered(sender).address;
        node.call("anvil_setBalance", json!([address, funds])).unwrap();
    }
    node.call("evm_mine", json!([])).unwrap();
    let mut node = Some(node);
    let mut all = Witness::default();
    for round in 0..times {
        let modes: [&[&str]; 3] = [&[], &["--block-time", "1"], &[]];
        let flags = modes[usize::try_from(round).unwrap() % modes.len()];
        let running = node.take().unwrap_or_else(|| start(&folder, flags));
        // No two rounds end at the same moment.
        let time = Duration::from_millis(100 + round * 7919 % 1500);
        let witness = load(running, time);
        let again = start(&folder, &[]);
        check(&again, &witness);
        all.blocks.extend(witness.blocks);
        all.receipts.extend(witness.receipts);
        drop(again);
    }
    let last = start(&folder, &[]);
    check(&last, &all);
    let transactions = walk(&last);
    println!("{times} kills, {} blocks told, {transactions} transactions", all.blocks.len());
    assert!(transactions > usize::try_from(times).unwrap(), "too few to mean anything");
}

#[test]
fn killed_a_few_times() {
    kill(4);
}

#[test]
#[ignore = "five minutes"]
fn killed_a_hundred_times() {
    kill(100);
}

/// What a node takes of memory at a height.
#[derive(Clone, Copy)]
struct Sample {
    height: u64,
    kib: u64,
}

/// Until here whatever has a fixed size (`docs/node.md`) has filled under the load of the soak.
const WARM: u64 = 2500;

/// The buffer of what was written fills and empties once in so many blocks.
const CYCLE: u64 = 1500;

/// What memory may grow by for each block, in KiB: half a hash for each of its transactions.
const PER_BLOCK: u64 = 3;

/// What differs without any growth, in KiB: when threads come and go, and the allocator gives
/// memory back.
const NOISE: u64 = 12 << 10;

/// The most that a node of the soak may take, in KiB.
const CEILING: u64 = 640 << 10;

/// How memory went on after everything had filled.
#[derive(Debug)]
struct Growth {
    /// What the first half stays below, but for a few moments, in KiB.
    before: u64,
    /// The same of the second half.
    after: u64,
    /// How far they are apart, in blocks.
    blocks: u64,
}

impl Growth {
    /// `None` where there are too few blocks to tell.
    ///
    /// A cache that fills ends to grow, and a buffer that fills and empties is as high in one half
    /// as in the other; what is kept of every block adds to the second half alone.
    fn of(samples: &[Sample]) -> Option<Self> {
        let last = samples.last()?.height;
        let blocks = last.checked_sub(WARM)? / 2;
        let top = |first: u64| {
            let within = |sample: &&Sample| (first..first + blocks).contains(&sample.height);
            let mut part: Vec<u64> =
                samples.iter().filter(within).map(|sample| sample.kib).collect();
            part.sort_unstable();
            part.get(part.len() * 19 / 20).copied()
        };
        if blocks < CYCLE {
            return None;
        }
        Some(Self { before: top(WARM)?, after: top(WARM + blocks)?, blocks })
    }

    const fn is_fine(&self) -> bool {
        self.after <= self.before + NOISE + PER_BLOCK * self.blocks
    }
}

#[test]
fn growth_is_told_from_caches_that_fill() {
    let series = |leak: u64| -> Vec<Sample> {
        let kib = |height: u64| {
            let caches = (height * 340).min(400 << 10);
            let buffer = height % CYCLE * 40;
            let moment = if height.is_multiple_of(100) { 50 << 10 } else { 0 };
            caches + buffer + moment + height * leak / 1024
        };
        (0..7200).map(|height| Sample { height, kib: kib(height) }).collect()
    };
    assert!(Growth::of(&series(0)).unwrap().is_fine());
    // Two hashes of each of 200 transactions.
    assert!(!Growth::of(&series(64 * 200)).unwrap().is_fine());
    // The blocks themselves.
    assert!(!Growth::of(&series(340 << 10)).unwrap().is_fine());
    assert!(Growth::of(&series(0)[..5000]).is_none(), "too early to tell");
}

/// The memory of a node under a steady load does not grow with its chain.
///
/// 800 transactions in a second, in four blocks, so that all that has a bound has reached it after
/// a third of the time.
#[test]
#[ignore = "thirty minutes; POLITY_SOAK_MINUTES for another time"]
fn soak() {
    let minutes = env::var("POLITY_SOAK_MINUTES").map_or(30, |minutes| minutes.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let node = start(&place.path().join("node"), &["--history", "64", "--block-time", "0.25"]);
    let wallets: Vec<Wallet> = (0..SENDERS).map(Wallet::numbered).collect();
    for wallet in &wallets {
        let funds = U256::from(10).pow(U256::from(24));
        node.call("anvil_setBalance", json!([wallet.address, funds])).unwrap();
    }
    let status = format!("/proc/{}/status", node.id());
    // Pages of files are the system's, and it takes them back when it likes.
    let anonymous = || {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let mut connection = node.connect().unwrap();
    let begin = Instant::now();
    let end = Duration::from_secs(60 * minutes);
    let mut samples: Vec<Sample> = Vec::new();
    let mut told = 0;
    let mut nonce = 0;
    while begin.elapsed() < end {
        let round = Instant::now();
        for wallet in &wallets {
            let raws: Vec<_> = (nonce..nonce + 50)
                .map(|nonce| {
                    let to = Address::from_word(U256::from((1 << 40) + nonce).into());
                    wallet.sign(
                        nonce,
                        &Transaction { to, value: 1, input: Bytes::new(), gas: 21_000 },
                    )
                })
                .collect();
            let body = connection.post(&Request::send(&raws)).unwrap();
            assert!(
                !body.windows(8).any(|part| part == b"\"error\":"),
                "{}",
                String::from_utf8_lossy(&body)
            );
        }
        nonce += 50;
        for _ in 0..10 {
            connection.call("eth_getBlockByNumber", json!(["latest", true])).unwrap();
            connection.call("eth_getLogs", json!([{}])).unwrap();
            let call = json!([{"to": SINK, "from": wallets[0].address, "value": "0x1"}, "latest"]);
            connection.call("eth_call", call).unwrap();
        }
        let height = number(&connection.call("eth_blockNumber", json!([])).unwrap());
        samples.push(Sample { height, kib: anonymous() });
        if height >= told + 500 {
            told = height;
            let (minutes, mib) = (begin.elapsed().as_secs() / 60, anonymous() >> 10);
            println!("minute {minutes}, block {height}: {mib} MiB");
        }
        thread::sleep(Duration::from_millis(250).saturating_sub(round.elapsed()));
    }
    let transactions = nonce * SENDERS;
    let most = samples.iter().map(|sample| sample.kib).max().unwrap();
    let growth = Growth::of(&samples);
    let height = samples.last().unwrap().height;
    println!(
        "{height} blocks, {transactions} transactions; {} MiB at most; {growth:?}",
        most >> 10
    );
    assert!(most <= CEILING, "{} MiB", most >> 10);
    match growth {
        Some(growth) => assert!(growth.is_fine(), "{growth:?}"),
        None => println!("too few blocks to tell whether it grows"),
    }
}
