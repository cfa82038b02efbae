//! Solana's machine beside the ways to run its transactions that there are.

mod agave;
mod workloads;

use crate::{clock::Times, table};
use agave::Agave;
use clap::Args;
use eyre::{ensure, eyre};
use litesvm::LiteSVM;
use polity_analysis::solana::world::put;
use polity_engine::{Block, Overlay, Parallel, Sequential};
use polity_kernel::{BlockContext, Machine, Machines};
use polity_svm::{BlockInput, KIND, Record, Stored, Svm, blockhash};
use polity_types::{AccountId, B256, Resources};
use serde::Serialize;
use solana_account::{Account, ReadableAccount};
use solana_program_runtime::vm::MEMORY_POOL;
use std::{num::NonZeroUsize, time::Duration};
use workloads::Workload;

const SLOT: u64 = 1000;

/// Solana's machine beside litesvm and agave's own batch processor, in wall and processor time.
///
/// All execute the same transactions in the same process, in turns; the least time of all turns
/// counts. Nobody checks signatures. litesvm is given one transaction after the other, agave's
/// processor all as one batch whose changes nobody takes over. Compute units are compared.
#[derive(Args)]
pub(crate) struct Solana {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// How many transactions.
    #[arg(long, value_name = "COUNT", default_value_t = 4000)]
    transactions: usize,

    /// How many turns.
    #[arg(long, value_name = "TIMES", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// How many threads.
    #[arg(long, value_name = "N", default_value = "2")]
    threads: NonZeroUsize,

    /// Only the sequential engine, for a profiler to look at.
    #[arg(long)]
    alone: bool,

    /// Only the workloads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    workload: &'static str,
    transactions: usize,
    litesvm: Times,
    agave: Times,
    sequential: Times,
    parallel: Times,
    executions: usize,
}

impl Solana {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let parent = B256::repeat_byte(0x11);
        let mut rows = Vec::new();
        for workload in workloads::all(self.transactions, blockhash(&parent))? {
            if workload.name.contains(&self.only) {
                rows.push(self.row(&workload, parent)?);
                rows.last().into_iter().for_each(|row| table::story(&line(row).join("  ")));
            }
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = [
            "workload",
            "txs",
            "litesvm µs/tx",
            "agave µs/tx",
            "sequential µs/tx",
            "to litesvm, CPU",
            "to agave, CPU",
            "parallel µs/tx",
            "speed-up",
            "executions/tx",
            "CPU ratio",
        ];
        table::result(&table::markdown(&head, rows.iter().map(line).collect()))
    }

    fn row(&self, workload: &Workload, parent: B256) -> eyre::Result<Row> {
        let machines = Machines::default().with(Svm::new())?;
        let state = state(workload);
        let block = block(workload, parent)?;
        let litesvm = litesvm(workload)?;
        let agave = Agave::new(workload, SLOT)?;
        let mut sequential = Sequential::new();
        let mut parallel = Parallel::new(self.threads)?;
        let mut row = Row {
            workload: workload.name,
            transactions: workload.transactions.len(),
            litesvm: Times::LONGEST,
            agave: Times::LONGEST,
            sequential: Times::LONGEST,
            parallel: Times::LONGEST,
            executions: usize::MAX,
        };
        for _ in 0..self.repeat {
            if self.alone {
                row.sequential.measure(|| sequential.execute(&machines, &state, &block))?;
                continue;
            }
            let mut theirs = litesvm.clone();
            let transactions = workload.transactions.clone();
            let send = || {
                let sent = transactions.into_iter().map(|transaction| {
                    let meta = theirs.send_transaction(transaction);
                    meta.map(|meta| meta.compute_units_consumed)
                        .map_err(|failed| eyre!("litesvm: {}", failed.err))
                });
                sent.collect::<eyre::Result<Vec<_>>>()
            };
            // The runtime keeps memory for each thread, and everybody is to have its own.
            let (litesvm_times, agave_times) = (&mut row.litesvm, &mut row.agave);
            let sent = alone(|| litesvm_times.measure(send))?;
            let batch = alone(|| agave_times.measure(|| agave.execute()))?;
            let output =
                row.sequential.measure(|| sequential.execute(&machines, &state, &block))?;
            parallel.forget();
            let (other, statistics) =
                row.parallel.measure(|| parallel.execute_with(&machines, &state, &block, &()))?;
            ensure!(output == other, "{}: the engines differ", workload.name);
            row.executions = row.executions.min(statistics.executions);
            let mut ours = Vec::new();
            for output in &output.transactions {
                let record = Record::of(&output.receipt).ok_or_else(|| eyre!("no record"))?;
                ensure!(record.error().is_none(), "{}: {:?}", workload.name, record.error());
                ours.push(record.compute_units);
            }
            ensure!(ours == sent, "{}: litesvm used other compute units", workload.name);
            ensure!(ours == batch, "{}: agave used other compute units", workload.name);
        }
        Ok(row)
    }
}

/// Runs on a thread of its own, which has run something before.
fn alone<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            drop(MEMORY_POOL.with_borrow_mut(|pool| pool.get_call_frames()));
            run()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn state(workload: &Workload) -> Overlay<'static> {
    let mut state = Overlay::empty();
    for (address, shared) in &workload.accounts {
        put(&mut state, address, Stored::new(shared));
    }
    state
}

fn block(workload: &Workload, parent: B256) -> eyre::Result<Block> {
    let context = BlockContext {
        chain_id: 31337,
        number: SLOT,
        timestamp: 0,
        beneficiary: AccountId::new(KIND, B256::repeat_byte(0xbe)),
        randomness: B256::ZERO,
        inputs: Default::default(),
    };
    let context = BlockInput { ancestors: [parent].into() }.in_context(context);
    let decode = |transaction| {
        let raw: Vec<u8> = wincode::serialize(transaction)?;
        Ok(Svm::new().decode(&raw, &context)?)
    };
    let transactions = workload.transactions.iter().map(decode).collect::<eyre::Result<_>>()?;
    Ok(Block { context, transactions, transaction_limit: Resources::UNLIMITED })
}

fn litesvm(workload: &Workload) -> eyre::Result<LiteSVM> {
    let mut svm = LiteSVM::default()
        .with_mainnet_features()
        .with_builtins()
        .with_lamports(1)
        .with_sysvars()
        .with_sigverify(false)
        .with_blockhash_check(false)
        .with_transaction_history(0);
    svm.warp_to_slot(SLOT);
    // What is executed is there before what refers to it.
    let (programs, others): (Vec<_>, Vec<_>) =
        workload.accounts.iter().partition(|(_, account)| !account.executable());
    for (address, shared) in programs.into_iter().chain(others) {
        svm.set_account(*address, Account::from(shared.clone()))?;
    }
    Ok(svm)
}

fn line(row: &Row) -> Vec<String> {
    let count = row.transactions.max(1) as f64;
    let micros = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e6 / count);
    let ratio = |a: Duration, b: Duration| format!("{:.2}", a.as_secs_f64() / b.as_secs_f64());
    vec![
        row.workload.to_owned(),
        row.transactions.to_string(),
        micros(row.litesvm.wall),
        micros(row.agave.wall),
        micros(row.sequential.wall),
        ratio(row.sequential.processor, row.litesvm.processor),
        ratio(row.sequential.processor, row.agave.processor),
        micros(row.parallel.wall),
        ratio(row.sequential.wall, row.parallel.wall),
        format!("{:.2}", row.executions as f64 / count),
        ratio(row.parallel.processor, row.sequential.processor),
    ]
}
