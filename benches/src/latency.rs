//! Execution on a state that takes its time to answer.

use crate::{table, workloads};
use clap::Args;
use eyre::ensure;
use polity_engine::{Parallel, Sequential};
use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, LocalKey, Value};
use serde::Serialize;
use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Both engines on a state whose every first answer comes late.
///
/// A state on a disk or behind a network: reading a cell for the first time makes the reader sleep,
/// as a miss in the cache does. Workers that wait need no processor, so that there may be many more of
/// them. The least time of all turns counts, in each of which nothing is known of the state.
#[derive(Args)]
pub(crate) struct Latency {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// How long a miss takes, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 100)]
    miss: u64,

    /// How many threads.
    #[arg(long, value_name = "N", default_value = "32")]
    threads: NonZeroUsize,

    /// How many turns.
    #[arg(long, value_name = "TIMES", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Only the workloads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    workload: String,
    transactions: usize,
    misses: usize,
    sequential: Duration,
    parallel: Duration,
}

/// A state that remembers what was asked for.
struct Slow<'s> {
    state: &'s dyn View,
    miss: Duration,
    accounts: Mutex<HashSet<AccountId>>,
    slots: Mutex<HashSet<(AccountId, LocalKey)>>,
}

impl<'s> Slow<'s> {
    fn new(state: &'s dyn View, miss: Duration) -> Self {
        Self { state, miss, accounts: Mutex::default(), slots: Mutex::default() }
    }

    fn misses(&self) -> usize {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).len();
        accounts + self.slots.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn wait<K: Eq + std::hash::Hash>(&self, known: &Mutex<HashSet<K>>, key: K) {
        if known.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            thread::sleep(self.miss);
        }
    }
}

impl View for Slow<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        self.wait(&self.accounts, *account);
        self.state.account(account)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.wait(&self.slots, (*account, key.clone()));
        self.state.slot(account, key)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.state.block_hash(number)
    }
}

impl Latency {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let miss = Duration::from_micros(self.miss);
        let mut parallel = Parallel::new(self.threads)?;
        let mut rows = Vec::new();
        for workload in workloads::all(&self.only, true)? {
            let (machines, block) = (&workload.machines, &workload.block);
            // The workers' own memory, which they keep, is not what is measured.
            parallel.execute(machines, &workload.state, block)?;
            let mut row = Row {
                workload: workload.name,
                transactions: block.transactions.len(),
                misses: 0,
                sequential: Duration::MAX,
                parallel: Duration::MAX,
            };
            for _ in 0..self.repeat {
                parallel.forget();
                let view = Slow::new(&workload.state, miss);
                let start = Instant::now();
                let expected = Sequential::new().execute(machines, &view, block);
                row.sequential = row.sequential.min(start.elapsed());
                row.misses = view.misses();
                let view = Slow::new(&workload.state, miss);
                let start = Instant::now();
                let output = parallel.execute(machines, &view, block)?;
                row.parallel = row.parallel.min(start.elapsed());
                ensure!(output == expected?, "{}: the engines differ", row.workload);
            }
            table::story(&line(&row).join("  "));
            rows.push(row);
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = ["workload", "txs", "misses", "sequential ms", "parallel ms", "speed-up"];
        table::result(&table::markdown(&head, rows.iter().map(line).collect()))
    }
}

fn line(row: &Row) -> Vec<String> {
    let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    vec![
        row.workload.clone(),
        row.transactions.to_string(),
        row.misses.to_string(),
        milliseconds(row.sequential),
        milliseconds(row.parallel),
        format!("{:.1}", row.sequential.as_secs_f64() / row.parallel.as_secs_f64()),
    ]
}
