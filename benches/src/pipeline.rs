//! Blocks from execution to the disk: each step alone, and with the commit of a block beside the
//! execution of the next.

use crate::{table, workloads};
use clap::Args;
use eyre::{ContextCompat, ensure};
use polity_engine::{Block, Overlay, Sequential};
use polity_kernel::{Machines, View};
use polity_replay::{Library, Replay, data_root, discover};
use polity_state::{
    Backend, Changes, History, Memory, State,
    disk::{Disk, DiskOptions},
};
use polity_types::B256;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// So many blocks follow each other; a workload is shared out among them.
const BLOCKS: usize = 10;

/// Execution, the state's commit, and both together, in wall time.
#[derive(Args)]
pub(crate) struct Pipeline {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Workloads of a twentieth of the size: for a look, not for publication.
    #[arg(long)]
    quick: bool,

    /// Only the workloads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Where the state on disk lies while it is measured.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    workload: String,
    store: &'static str,
    transactions: usize,
    cells: usize,
    steps: Steps,
    /// The blocks with the commit of each beside the execution of the next.
    overlapped: Option<Duration>,
}

/// Sums over the blocks, one step after the other.
#[derive(Clone, Copy, Default, Serialize)]
struct Steps {
    execute: Duration,
    /// From effects to changed cells and their paths.
    gather: Duration,
    /// Until the root is known.
    root: Duration,
    /// From there until it is durable.
    durable: Duration,
}

/// Where a state is kept, made anew for each run.
#[derive(Clone, Copy)]
enum Store {
    Memory,
    Disk,
}

impl Store {
    const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    fn open(self, place: &Path) -> eyre::Result<State> {
        let backend: Arc<dyn Backend> = match self {
            Self::Memory => Arc::new(Memory::new()),
            Self::Disk => Arc::new(Disk::create(place, B256::ZERO, &DiskOptions::default())?),
        };
        Ok(State::open(backend, History::Blocks(64))?)
    }
}

impl Pipeline {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let mut rows = Vec::new();
        for workload in workloads::all(&self.only, self.quick)? {
            let genesis = changes(&workload.state)?;
            let blocks = split(&workload.block);
            for store in Store::ALL {
                let begin = |place: &Path| -> eyre::Result<State> {
                    let state = store.open(place)?;
                    let height = workload.block.context.number.checked_sub(1);
                    let height = height.wrap_err("the workload is block 0")?;
                    state.genesis(height, genesis.clone())?.durable()?;
                    Ok(state)
                };
                rows.push(self.row(&workload.name, store, &workload.machines, &blocks, &begin)?);
            }
        }
        if let Some(root) = data_root()?.filter(|_| "mainnet".contains(&self.only)) {
            for store in Store::ALL {
                rows.push(self.mainnet(&root, store)?);
            }
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = [
            "workload",
            "state",
            "txs",
            "cells",
            "execute ms",
            "gather ms",
            "root ms",
            "durable ms",
            "sum ms",
            "overlapped ms",
        ];
        table::result(&table::markdown(&head, rows.iter().map(line).collect()))
    }

    fn row(
        &self,
        workload: &str,
        store: Store,
        machines: &Machines,
        blocks: &[Block],
        begin: &dyn Fn(&Path) -> eyre::Result<State>,
    ) -> eyre::Result<Row> {
        let place = tempfile::Builder::new().prefix("pipeline-bench").tempdir_in(&self.folder)?;
        let mut engine = Sequential::new();
        let mut steps = Steps::default();
        let mut cells = 0;
        let state = begin(&place.path().join("steps"))?;
        for block in blocks {
            cells += step(&state, machines, block, &mut engine, &mut steps)?;
        }
        let expected = state.root()?;
        drop(state);

        let state = begin(&place.path().join("overlapped"))?;
        let start = Instant::now();
        for block in blocks {
            let view = state.view();
            let output = engine.execute(machines, &view, block)?;
            state.commit(block.context.number, Changes::of(&view, &output)?)?;
        }
        state.flush()?;
        let overlapped = Some(start.elapsed());
        ensure!(state.root()? == expected, "{workload}: another root");
        let row = Row {
            workload: workload.to_owned(),
            store: store.name(),
            transactions: blocks.iter().map(|block| block.transactions.len()).sum(),
            cells,
            steps,
            overlapped,
        };
        table::story(&line(&row).join("  "));
        Ok(row)
    }

    /// Mainnet's blocks, each on a state of its own: none follows on another.
    fn mainnet(&self, root: &Path, store: Store) -> eyre::Result<Row> {
        let place = tempfile::Builder::new().prefix("pipeline-bench").tempdir_in(&self.folder)?;
        let library = Library::new();
        let mut engine = Sequential::new();
        let mut row = Row {
            workload: String::new(),
            store: store.name(),
            transactions: 0,
            cells: 0,
            steps: Steps::default(),
            overlapped: None,
        };
        let folders = discover([root.join("mainnet")])?;
        row.workload = format!("mainnet, {} blocks", folders.len());
        for folder in folders {
            let folder = library.open(&folder)?;
            let replay = Replay::new(&folder)?;
            let state = store.open(&place.path().join(replay.number.to_string()))?;
            polity_replay::state::load(&state, &folder)?.durable()?;
            row.transactions += replay.block.transactions.len();
            row.cells +=
                step(&state, &replay.machines, &replay.block, &mut engine, &mut row.steps)?;
        }
        table::story(&line(&row).join("  "));
        Ok(row)
    }
}

/// Executes a block, commits it and waits; how many cells it changed.
fn step(
    state: &State,
    machines: &Machines,
    block: &Block,
    engine: &mut Sequential,
    steps: &mut Steps,
) -> eyre::Result<usize> {
    let view = state.view();
    let start = Instant::now();
    let output = engine.execute(machines, &view, block)?;
    steps.execute += start.elapsed();
    let start = Instant::now();
    let changes = Changes::of(&view, &output)?;
    steps.gather += start.elapsed();
    let cells = changes.cells(&view)?.len();
    let start = Instant::now();
    let commit = state.commit(block.context.number, changes)?;
    commit.root()?;
    steps.root += start.elapsed();
    let start = Instant::now();
    commit.durable()?;
    steps.durable += start.elapsed();
    Ok(cells)
}

/// The state of a workload as changes of the empty state.
fn changes(state: &Overlay<'static>) -> eyre::Result<Changes> {
    let mut changes = Changes::new();
    for (id, record) in state.accounts() {
        changes.set_account(*id, record.copied());
        if let Some(code) = record.and_then(|record| record.code) {
            changes.set_code(code.hash, state.code(&code.hash)?.bytes().clone());
        }
        for (key, value) in state.slots(id) {
            changes.set_slot(*id, key.clone(), value.clone())?;
        }
    }
    Ok(changes)
}

/// The block's transactions in blocks that follow each other.
fn split(block: &Block) -> Vec<Block> {
    let size = block.transactions.len().div_ceil(BLOCKS).max(1);
    let numbers = block.context.number..;
    let parts = block.transactions.chunks(size).zip(numbers);
    parts
        .map(|(transactions, number)| {
            let mut part = Block { transactions: transactions.to_vec(), ..block.clone() };
            part.context.number = number;
            part
        })
        .collect()
}

fn line(row: &Row) -> Vec<String> {
    let Steps { execute, gather, root, durable } = row.steps;
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    vec![
        row.workload.clone(),
        row.store.to_owned(),
        row.transactions.to_string(),
        row.cells.to_string(),
        ms(execute),
        ms(gather),
        ms(root),
        ms(durable),
        ms(execute + gather + root + durable),
        row.overlapped.map_or_else(|| "–".to_owned(), ms),
    ]
}
