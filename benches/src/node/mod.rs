//! `polity node` and anvil under the same loads, in one run.

mod load;
mod process;

use crate::table;
use clap::Args;
use eyre::{ContextCompat, WrapErr, ensure, eyre};
use load::{Kind, Load, Mining, Outcome, Requests};
use polity_testkit::node::{Node, tools};
use serde::Serialize;
use std::{env, path::PathBuf, time::Duration};

/// The node beside anvil, under load: transactions per second and per CPU second, latency, memory.
///
/// Everything is signed before the clock starts. Each load goes to a fresh process of either node,
/// in turns; the turn with the least CPU time counts. In the end every transaction has to be mined.
#[derive(Args)]
pub(crate) struct Nodes {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// A tenth of the transactions: for a look, not for publication.
    #[arg(long)]
    quick: bool,

    /// How many turns.
    #[arg(long, value_name = "TIMES", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Only the loads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// The binary with `polity node`; otherwise the one beside this program.
    #[arg(long, value_name = "FILE", env = "POLITY_BINARY")]
    polity: Option<PathBuf>,

    /// Anvil's binary; otherwise the one that npm fetches into the tools' folder.
    #[arg(long, value_name = "FILE", env = "POLITY_ANVIL")]
    anvil: Option<PathBuf>,

    /// Also the memory after so many transactions.
    #[arg(long, value_name = "TRANSACTIONS")]
    memory: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    load: String,
    transactions: usize,
    anvil: Figures,
    polity: Figures,
}

/// What one node made of a load.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    wall: Duration,
    processor: Duration,
    /// Of a request.
    median: Duration,
    p99: Duration,
    memory: u64,
    /// How often it made no block for three seconds, though a transaction waited for it.
    stalls: usize,
}

/// The two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Anvil,
    Polity,
}

struct Binaries {
    anvil: PathBuf,
    polity: PathBuf,
}

impl Binaries {
    fn start(&self, side: Side, flags: &[&str]) -> eyre::Result<Node> {
        Ok(match side {
            Side::Anvil => Node::anvil(&self.anvil, flags)?,
            Side::Polity => Node::polity(&self.polity, flags)?,
        })
    }
}

impl Nodes {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let binaries = self.binaries()?;
        let mut rows = Vec::new();
        for (name, load) in self.loads() {
            if !name.contains(&self.only) {
                continue;
            }
            let requests = Requests::sign(&load, 0);
            let run = |side| {
                let node = binaries.start(side, load.mining.flags())?;
                requests.fund(&node)?;
                requests.run(&load, &node)
            };
            rows.push(row(name, requests.len(), self.repeat, &run)?);
        }
        for connections in [1, 16] {
            let name = format!("eth_call × {connections}");
            let times = self.scale(32_000);
            if !name.contains(&self.only) {
                continue;
            }
            let run = |side| load::calls(&binaries.start(side, &[])?, connections, times);
            rows.push(row(name, times, self.repeat, &run)?);
        }
        if let Some(transactions) = self.memory {
            let name = "memory after many blocks of 10,000".to_owned();
            let run = |side| load::history(&binaries.start(side, &["--no-mining"])?, transactions);
            rows.push(row(name, transactions, 1, &run)?);
        }
        ensure!(!rows.is_empty(), "no load is named so");
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = [
            "load",
            "txs",
            "anvil tx/s",
            "polity tx/s",
            "anvil tx/CPU s",
            "polity tx/CPU s",
            "to anvil",
            "anvil p50, p99 ms",
            "polity p50, p99 ms",
            "anvil MiB",
            "polity MiB",
        ];
        table::result(&table::markdown(&head, rows.iter().map(line).collect()))
    }

    fn loads(&self) -> Vec<(String, Load)> {
        let mut loads = Vec::new();
        let kinds = [("ETH", Kind::Ether), ("ERC-20", Kind::Token)];
        // The name, when blocks are made, how many transactions, connections, and transactions in a
        // request.
        for (name, mining, transactions, connections, batch) in [
            ("batches of 100 × 4, one block", Mining::Once, 40_000, 4, 100),
            ("batches of 100 × 4, a block per second", Mining::Seconds, 40_000, 4, 100),
            ("single × 16, one block", Mining::Once, 20_000, 16, 1),
            ("instant × 1, until the receipt", Mining::Instant, 4_000, 1, 1),
            ("instant × 16, until the receipt", Mining::Instant, 8_000, 16, 1),
        ] {
            for (of, kind) in kinds {
                let transactions = self.scale(transactions);
                let load = Load { kind, mining, transactions, connections, batch };
                loads.push((format!("{of}, {name}"), load));
            }
        }
        loads
    }

    const fn scale(&self, number: usize) -> usize {
        if self.quick { number / 10 } else { number }
    }

    fn binaries(&self) -> eyre::Result<Binaries> {
        let beside = env::current_exe()?.with_file_name("polity");
        let polity = self.polity.clone().unwrap_or(beside);
        ensure!(
            polity.exists(),
            "{} is missing: `cargo build --release -p polity`, or --polity FILE",
            polity.display()
        );
        let anvil = match &self.anvil {
            Some(path) => path.clone(),
            None => tools::anvil().map_err(|reason| eyre!("no anvil: {reason}; --anvil FILE"))?,
        };
        Ok(Binaries { anvil, polity })
    }
}

/// Both nodes under a load, in turns; the turn with the least CPU time counts.
fn row(
    load: String,
    transactions: usize,
    turns: u32,
    run: &dyn Fn(Side) -> eyre::Result<Outcome>,
) -> eyre::Result<Row> {
    let mut best = [None::<Outcome>, None];
    for turn in 0..turns {
        let mut sides = [(Side::Anvil, 0), (Side::Polity, 1)];
        if turn % 2 == 1 {
            sides.reverse();
        }
        for (side, index) in sides {
            let outcome = run(side).wrap_err_with(|| format!("{load}, {side:?}"))?;
            let best = best.get_mut(index).wrap_err("two sides")?;
            if best.as_ref().is_none_or(|best| outcome.processor < best.processor) {
                *best = Some(outcome);
            }
        }
    }
    let [Some(anvil), Some(polity)] = best.map(|outcome| outcome.map(Figures::from)) else {
        return Err(eyre!("no turn"));
    };
    let row = Row { load, transactions, anvil, polity };
    table::story(&line(&row).join("  "));
    Ok(row)
}

impl From<Outcome> for Figures {
    fn from(outcome: Outcome) -> Self {
        let Outcome { wall, processor, latencies, memory, stalls } = outcome;
        let at = |percent: usize| {
            let index = latencies.len().saturating_sub(1) * percent / 100;
            latencies.get(index).copied().unwrap_or_default()
        };
        Self { wall, processor, median: at(50), p99: at(99), memory, stalls }
    }
}

fn line(row: &Row) -> Vec<String> {
    let Row { load, transactions, anvil, polity } = row;
    let per = |time: Duration| *transactions as f64 / time.as_secs_f64().max(0.001);
    let rate = |time: Duration| format!("{:.0}", per(time));
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let latency = |of: &Figures| match of.stalls {
        0 => format!("{}, {}", ms(of.median), ms(of.p99)),
        stalls => format!("{}, {}, {stalls} stalls", ms(of.median), ms(of.p99)),
    };
    vec![
        load.clone(),
        transactions.to_string(),
        rate(anvil.wall),
        rate(polity.wall),
        rate(anvil.processor),
        rate(polity.processor),
        format!("{:.2}", per(polity.processor) / per(anvil.processor)),
        latency(anvil),
        latency(polity),
        (anvil.memory >> 20).to_string(),
        (polity.memory >> 20).to_string(),
    ]
}
