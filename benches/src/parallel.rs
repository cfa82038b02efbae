//! The parallel engine beside the sequential one.

use crate::{
    bare::{self, BareBlock},
    clock::Times,
    table, workloads,
};
use clap::Args;
use eyre::ensure;
use polity_engine::{Block, Overlay, Parallel, Sequential};
use polity_evm::spec::{ChainSpec, Fork};
use polity_kernel::Machines;
use polity_replay::{Library, Replay, data_root, discover};
use polity_testkit::workloads::Workload;
use serde::Serialize;
use std::{num::NonZeroUsize, time::Duration};

/// The parallel engine beside the sequential one and bare revm, in wall and processor time.
///
/// All execute the same block in the same process, in turns; the least time of all turns counts.
/// In every turn the engine has forgotten what it learned in the one before. The mainnet blocks
/// follow each other in a turn, first as a chain's do: each is executed once, on caches that hold
/// the one before. Then, as benches that repeat a block have it, each is executed three times in
/// a row by each side. Every output is compared.
#[derive(Args)]
pub(crate) struct Scaling {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Workloads of a twentieth of the size: for a look, not for publication.
    #[arg(long)]
    quick: bool,

    /// How many turns.
    #[arg(long, value_name = "TIMES", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// How many threads.
    #[arg(long, value_name = "N", default_value = "2")]
    threads: NonZeroUsize,

    /// Only the workloads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Take the time of the parallel engine alone: for a profiler.
    #[arg(long)]
    alone: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    workload: String,
    transactions: usize,
    revm: Times,
    sequential: Times,
    parallel: Times,
    executions: usize,
}

impl Scaling {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let mut rows = Vec::new();
        for workload in workloads::all(&self.only, self.quick)? {
            let Workload { name, machines, state, block } = workload;
            let bare = BareBlock::new(&ChainSpec::single(Fork::Osaka), Fork::Osaka, &block)?;
            rows.extend(self.rows(&[Input { name, bare, machines, state, block }], 1)?);
        }
        let mut blocks = Vec::new();
        if let Some(root) = data_root()?.filter(|_| "mainnet".contains(&self.only)) {
            let library = Library::new();
            for folder in discover([root.join("mainnet")])? {
                let Replay { number, fork, machines, state, block, .. } =
                    Replay::new(&library.open(&folder)?)?;
                let bare = BareBlock::new(&ChainSpec::mainnet(), fork, &block)?;
                let name = format!("mainnet {number}");
                blocks.push(Input { name, bare, machines, state, block });
            }
        }
        if !blocks.is_empty() {
            for (how, times) in [("once", 1), ("three in a row", 3)] {
                table::story(&format!("mainnet, {how}:"));
                rows.push(sum(how, &self.rows(&blocks, times)?));
            }
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = [
            "workload",
            "txs",
            "revm ms",
            "sequential ms",
            "parallel ms",
            "speed-up",
            "executions/tx",
            "CPU ratio",
            "to revm",
        ];
        table::result(&table::markdown(&head, rows.iter().map(line).collect()))
    }

    /// Takes the time of the inputs in turns, in which each side executes an input so many
    /// `times` before the other side does.
    fn rows(&self, inputs: &[Input], times: u32) -> eyre::Result<Vec<Row>> {
        let unknown = if self.alone { Times::NONE } else { Times::LONGEST };
        let row = |input: &Input| Row {
            workload: input.name.clone(),
            transactions: input.block.transactions.len(),
            revm: unknown,
            sequential: unknown,
            parallel: Times::LONGEST,
            executions: usize::MAX,
        };
        let mut rows: Vec<_> = inputs.iter().map(row).collect();
        let mut sequential = Sequential::new();
        let mut parallel = Parallel::new(self.threads)?;
        for turn in 0..self.repeat {
            parallel.forget();
            for (input, row) in inputs.iter().zip(&mut rows) {
                let Input { name, bare, machines, state, block } = input;
                let mut run_parallel = |row: &mut Row| {
                    again(times, || {
                        if times > 1 {
                            parallel.forget();
                        }
                        let run = || parallel.execute_with(machines, state, block, &());
                        let (output, statistics) = row.parallel.measure(run)?;
                        row.executions = row.executions.min(statistics.executions);
                        Ok(output)
                    })
                };
                if self.alone {
                    run_parallel(row)?;
                    continue;
                }
                let receipts = again(times, || {
                    let mut database = bare::database(state, block.context.number)?;
                    let transactions = bare.transactions();
                    row.revm.measure(|| bare.execute(transactions, &mut database))
                })?;
                let mut run_sequential = |row: &mut Row| {
                    again(times, || {
                        let run = || sequential.execute(machines, state, block);
                        Ok(row.sequential.measure(run)?)
                    })
                };
                // Whoever comes second finds the state in the caches.
                let (expected, output) = if turn % 2 == 0 {
                    let expected = run_sequential(row)?;
                    (expected, run_parallel(row)?)
                } else {
                    let output = run_parallel(row)?;
                    (run_sequential(row)?, output)
                };
                ensure!(output == expected, "{name}: the engines differ");
                let gas = output.transactions.iter().map(|output| output.receipt.gas_used);
                let same = receipts.iter().map(|receipt| receipt.gas_used).eq(gas);
                ensure!(same, "{name}: revm used another amount of gas");
            }
        }
        for row in &rows {
            table::story(&line(row).join("  "));
        }
        Ok(rows)
    }
}

/// Runs it so many times, and gives what the last run gives.
fn again<T>(times: u32, mut run: impl FnMut() -> eyre::Result<T>) -> eyre::Result<T> {
    for _ in 1..times {
        run()?;
    }
    run()
}

/// A block to execute.
struct Input {
    name: String,
    bare: BareBlock,
    machines: Machines,
    state: Overlay<'static>,
    block: Block,
}

fn sum(how: &str, rows: &[Row]) -> Row {
    let add = |of: &dyn Fn(&Row) -> Times| Times {
        wall: rows.iter().map(|row| of(row).wall).sum(),
        processor: rows.iter().map(|row| of(row).processor).sum(),
    };
    Row {
        workload: format!("mainnet, {} blocks, {how}", rows.len()),
        transactions: rows.iter().map(|row| row.transactions).sum(),
        revm: add(&|row| row.revm),
        sequential: add(&|row| row.sequential),
        parallel: add(&|row| row.parallel),
        executions: rows.iter().map(|row| row.executions).sum(),
    }
}

fn line(row: &Row) -> Vec<String> {
    let Row { revm, sequential, parallel, .. } = row;
    let ratio = |a: Duration, b: Duration| format!("{:.2}", a.as_secs_f64() / b.as_secs_f64());
    vec![
        row.workload.clone(),
        row.transactions.to_string(),
        format!("{:.3}", revm.wall.as_secs_f64() * 1e3),
        format!("{:.3}", sequential.wall.as_secs_f64() * 1e3),
        format!("{:.3}", parallel.wall.as_secs_f64() * 1e3),
        ratio(sequential.wall, parallel.wall),
        format!("{:.2}", row.executions as f64 / row.transactions.max(1) as f64),
        ratio(parallel.processor, sequential.processor),
        ratio(revm.wall, parallel.wall),
    ]
}
