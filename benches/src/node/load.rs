//! Loads for a node: what is sent, by how many, and when it is mined.

use super::process;
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use eyre::{ContextCompat, ensure, eyre};
use polity_analysis::abi::{call, word};
use polity_testkit::node::{Connection, Node, Request, Transaction, Wallet};
use serde_json::{Value, json};
use std::{
    iter, thread,
    time::{Duration, Instant},
};

const TOKEN: Address = address!("00000000000000000000000000000000000070ce");
/// A token that anybody may mint; `crates/analysis/contracts/Token.sol`.
const TOKEN_CODE: &str = include_str!("../../../crates/analysis/contracts/token.hex");
/// The slot of the mapping of its balances.
const BALANCES: u64 = 1;
/// What each sender holds of it.
const TOKENS: U256 = U256::from_limbs([1 << 60, 0, 0, 0]);
/// Enough for the gas of each block.
const BLOCK_GAS: u64 = 10_000_000_000;

/// What a transaction does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ether,
    Token,
}

/// How long a sender waits for a receipt before it asks for a block itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pause before it asks for the receipt again; shorter ones load a node that answers before it has
/// made the block more than the transactions do.
const PAUSE: Duration = Duration::from_millis(2);

/// When blocks are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mining {
    /// One, when everything was sent.
    Once,
    /// One each second.
    Seconds,
    /// One as soon as a transaction comes; who sent it waits for the receipt.
    Instant,
}

impl Mining {
    /// The flags of both nodes.
    pub(super) const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Once => &["--no-mining"],
            Self::Seconds => &["--block-time", "1"],
            Self::Instant => &[],
        }
    }
}

/// A load: so many transactions, over so many connections, so many in a request.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) mining: Mining,
    pub(super) transactions: usize,
    pub(super) connections: usize,
    pub(super) batch: usize,
}

/// The requests of a load, signed and encoded, for each connection.
pub(super) struct Requests {
    senders: Vec<Wallet>,
    per_sender: u64,
    requests: Vec<Vec<Request>>,
}

/// What a node made of a load.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) wall: Duration,
    pub(super) processor: Duration,
    /// Of each request, in ascending order.
    pub(super) latencies: Vec<Duration>,
    pub(super) memory: u64,
    /// How often a transaction was not mined in time, so that a block had to be asked for.
    pub(super) stalls: usize,
}

impl Requests {
    /// Signs everything, on all cores. Each connection has senders of its own.
    pub(super) fn sign(load: &Load, first: u64) -> Self {
        let each = load.transactions / load.connections;
        // The requests of a connection hold a transaction of each of its senders in turn.
        let senders = (each / 20).clamp(1, 500);
        let rounds = each / senders;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut wallets = Vec::new();
        let mut requests = Vec::new();
        for connection in 0..load.connections {
            let numbers = (connection * senders) as u64..((connection + 1) * senders) as u64;
            let own: Vec<_> = numbers.map(Wallet::numbered).collect();
            let sign = |(round, sender): (u64, &Wallet)| {
                let number =
                    keccak256([first + round, connection as u64].map(u64::to_be_bytes).concat());
                let to = Address::from_word(number);
                sender.sign(first + round, &load.kind.transaction(to))
            };
            let all: Vec<_> = (0..rounds as u64)
                .flat_map(|round| own.iter().map(move |sender| (round, sender)))
                .collect();
            let raw: Vec<Vec<u8>> = thread::scope(|scope| {
                let parts: Vec<_> = all
                    .chunks(all.len().div_ceil(cores).max(1))
                    .map(|part| scope.spawn(|| part.iter().copied().map(sign).collect::<Vec<_>>()))
                    .collect();
                parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
            });
            requests.push(raw.chunks(load.batch).map(Request::send).collect());
            wallets.extend(own);
        }
        Self { senders: wallets, per_sender: first + rounds as u64, requests }
    }

    /// How many transactions there really are.
    pub(super) fn len(&self) -> usize {
        self.requests.iter().flatten().map(Request::calls).sum()
    }

    /// Gives the senders what they spend.
    pub(super) fn fund(&self, node: &Node) -> eyre::Result<()> {
        let mut connection = node.connect()?;
        connection.call("evm_setBlockGasLimit", json!([U256::from(BLOCK_GAS)]))?;
        connection.call("anvil_setCode", json!([TOKEN, format!("0x{}", TOKEN_CODE.trim())]))?;
        for part in self.senders.chunks(100) {
            let mut calls = Vec::new();
            for (id, Wallet { address, .. }) in part.iter().enumerate() {
                let slot = [address.into_word(), U256::from(BALANCES).into()].concat();
                let ether = json!([address, U256::from(10).pow(U256::from(21))]);
                let tokens = json!([TOKEN, keccak256(slot), B256::from(TOKENS)]);
                for (method, params) in
                    [("anvil_setBalance", ether), ("anvil_setStorageAt", tokens)]
                {
                    calls.push(
                        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
                    );
                }
            }
            answers(&connection.post(&Request::new(&Value::from(calls).to_string()))?)?;
        }
        Ok(())
    }

    /// Sends everything and waits until it is mined.
    pub(super) fn run(&self, load: &Load, node: &Node) -> eyre::Result<Outcome> {
        let mut watch = node.connect()?;
        let first = number(&mut watch)?;
        let connections: Vec<Connection> =
            self.requests.iter().map(|_| node.connect()).collect::<Result<_, _>>()?;
        let processor = process::processor(node.id())?;
        let start = Instant::now();
        let wait = load.mining == Mining::Instant;
        let (mut latencies, stalls) =
            all(connections, self.requests.iter().map(Vec::as_slice), wait)?;
        if load.mining == Mining::Once {
            watch.call("evm_mine", json!([]))?;
        }
        let mut mined = 0;
        let mut next = first + 1;
        while mined < self.len() as u64 {
            ensure!(start.elapsed() < Duration::from_secs(300), "{mined} transactions are mined");
            if next > number(&mut watch)? {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            let count =
                watch.call("eth_getBlockTransactionCountByNumber", json!([hex_number(next)]))?;
            mined += quantity(&count)?;
            next += 1;
        }
        let wall = start.elapsed();
        let processor = process::processor(node.id())?.saturating_sub(processor);
        latencies.sort_unstable();
        self.check(&mut watch)?;
        let (memory, _) = process::memory(node.id())?;
        Ok(Outcome { wall, processor, latencies, memory, stalls })
    }

    /// Every transaction is part of the state.
    fn check(&self, connection: &mut Connection) -> eyre::Result<()> {
        for Wallet { address, .. } in &self.senders {
            let nonce = connection.call("eth_getTransactionCount", json!([address, "latest"]))?;
            ensure!(quantity(&nonce)? == self.per_sender, "{address} has nonce {nonce}");
        }
        Ok(())
    }
}

impl Kind {
    fn transaction(self, to: Address) -> Transaction {
        match self {
            Self::Ether => Transaction { to, value: 1, input: Bytes::new(), gas: 21_000 },
            Self::Token => {
                let input = call("transfer(address,uint256)", &[word(to), U256::ONE]);
                Transaction { to: TOKEN, value: 0, input, gas: 60_000 }
            }
        }
    }
}

/// The latencies of calls of a token's `balanceOf`, over so many connections.
pub(super) fn calls(node: &Node, connections: usize, times: usize) -> eyre::Result<Outcome> {
    node.call("anvil_setCode", json!([TOKEN, format!("0x{}", TOKEN_CODE.trim())]))?;
    let input = call("balanceOf(address)", &[word(Wallet::numbered(0).address)]);
    let request = Request::call("eth_call", &json!([{"to": TOKEN, "input": input}, "latest"]));
    let requests = vec![request; times / connections];
    let open = (0..connections).map(|_| node.connect());
    let open: Vec<Connection> = open.collect::<Result<_, _>>()?;
    let processor = process::processor(node.id())?;
    let start = Instant::now();
    let (mut latencies, stalls) = all(open, iter::repeat(requests.as_slice()), false)?;
    let wall = start.elapsed();
    let processor = process::processor(node.id())?.saturating_sub(processor);
    latencies.sort_unstable();
    let (memory, _) = process::memory(node.id())?;
    Ok(Outcome { wall, processor, latencies, memory, stalls })
}

/// What a node holds after so many transactions, in blocks of 10,000.
pub(super) fn history(node: &Node, transactions: usize) -> eyre::Result<Outcome> {
    let load = Load {
        kind: Kind::Ether,
        mining: Mining::Once,
        transactions: 10_000,
        connections: 4,
        batch: 100,
    };
    let mut sum: Option<Outcome> = None;
    let mut nonce = 0;
    for part in 0..transactions / load.transactions {
        let requests = Requests::sign(&load, nonce);
        if part == 0 {
            requests.fund(node)?;
        }
        nonce = requests.per_sender;
        let outcome = requests.run(&load, node)?;
        sum = Some(match sum {
            None => outcome,
            Some(mut sum) => {
                sum.wall += outcome.wall;
                sum.processor += outcome.processor;
                sum.latencies.extend(outcome.latencies);
                sum.stalls += outcome.stalls;
                Outcome { memory: outcome.memory, ..sum }
            }
        });
    }
    let mut sum = sum.wrap_err("at least 10,000 transactions")?;
    sum.latencies.sort_unstable();
    Ok(sum)
}

/// Sends over all connections at the same time; the latencies, and the sum of the stalls.
fn all<'a>(
    connections: Vec<Connection>,
    requests: impl Iterator<Item = &'a [Request]>,
    wait: bool,
) -> eyre::Result<(Vec<Duration>, usize)> {
    thread::scope(|scope| {
        let sending: Vec<_> = connections
            .into_iter()
            .zip(requests)
            .map(|(connection, requests)| scope.spawn(move || send(connection, requests, wait)))
            .collect();
        let mut sum = (Vec::new(), 0);
        for part in sending {
            let (latencies, stalls) = part.join().map_err(|_| eyre!("a thread panicked"))??;
            sum.0.extend(latencies);
            sum.1 += stalls;
        }
        Ok(sum)
    })
}

/// Sends one after the other, each when the one before is answered, and where it says so mined.
fn send(
    mut connection: Connection,
    requests: &[Request],
    wait: bool,
) -> eyre::Result<(Vec<Duration>, usize)> {
    let mut latencies = Vec::with_capacity(requests.len());
    let mut stalls = 0;
    for request in requests {
        let start = Instant::now();
        let body = connection.post(request)?;
        answers(&body)?;
        if wait {
            stalls += await_receipt(&mut connection, &body)?;
        }
        latencies.push(start.elapsed());
    }
    Ok((latencies, stalls))
}

/// Waits until a transaction that was sent is mined; how often it had to ask for a block.
fn await_receipt(connection: &mut Connection, sent: &[u8]) -> eyre::Result<usize> {
    let sent: Value = serde_json::from_slice(sent)?;
    let hash = sent.get("result").wrap_err("no hash")?;
    let ask = Request::call("eth_getTransactionReceipt", &json!([hash]));
    let mut stalls = 0;
    let mut start = Instant::now();
    loop {
        let body = connection.post(&ask)?;
        answers(&body)?;
        if !body.windows(13).any(|part| part == b"\"result\":null") {
            return Ok(stalls);
        }
        if start.elapsed() > PATIENCE {
            stalls += 1;
            ensure!(stalls < 10, "{hash} is not mined");
            connection.call("evm_mine", json!([]))?;
            start = Instant::now();
        }
        thread::sleep(PAUSE);
    }
}

/// Fails where an answer is an error. Parses nothing: the client's time is the node's as well.
fn answers(body: &[u8]) -> eyre::Result<()> {
    let refused = body.windows(8).any(|part| part == b"\"error\":");
    ensure!(!refused, "refused: {}", String::from_utf8_lossy(body.get(..500).unwrap_or(body)));
    Ok(())
}

fn number(connection: &mut Connection) -> eyre::Result<u64> {
    quantity(&connection.call("eth_blockNumber", json!([]))?)
}

fn quantity(value: &Value) -> eyre::Result<u64> {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = text.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.wrap_err_with(|| format!("not a number: {value}"))
}

fn hex_number(number: u64) -> String {
    format!("{number:#x}")
}
