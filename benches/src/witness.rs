//! What executing a mainnet block without a store takes: the size of its witness.

use crate::{clock, table};
use clap::Args;
use eyre::{ensure, eyre};
use indicatif::{ProgressBar, ProgressStyle};
use polity_engine::Sequential;
use polity_replay::{BlockFolder, Library, Replay, data_root, discover, state::load};
use polity_state::{
    Backend, Batch, Changes, History, Memory, Rows, State, StateError, Table, Witness, stateless,
};
use polity_types::{B256, Bytes};
use polity_verify::{Change, Path, Trie, hash_value};
use serde::Serialize;
use std::{
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Witnesses of mainnet blocks: their bytes, and the time to execute a block on one.
///
/// A recorded block comes with only the part of the state that it touches, in which every path is
/// short. Therefore each block's state is put among the leaves of other keys first. Each witness is
/// verified: the root it gives is that of the store.
#[derive(Args)]
pub(crate) struct Witnesses {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// How many other keys there are.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    others: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    block: u64,
    transactions: usize,
    gas: u64,
    /// Cells in the witness.
    cells: usize,
    /// Bytes of the whole witness, of the codes in it, and of all but those.
    bytes: usize,
    codes: usize,
    trie: usize,
    /// Reading the witness, executing on it, and the new root.
    stateless: Duration,
    /// Executing on the state in memory.
    execution: Duration,
}

impl Witnesses {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let root =
            data_root()?.ok_or_else(|| eyre!("POLITY_DATA does not name the recorded blocks"))?;
        let folders = discover([root.join("mainnet")])?;
        table::story(&format!("{} other keys …", self.others));
        let others = others(self.others)?;
        let bar = ProgressBar::new(folders.len() as u64)
            .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} blocks, {eta} left")?);
        let library = Library::new();
        let mut rows = Vec::new();
        for folder in bar.wrap_iter(folders.into_iter()) {
            rows.push(row(&library.open(&folder)?, others.clone())?);
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = [
            "block",
            "txs",
            "gas",
            "cells",
            "witness B",
            "codes B",
            "trie and cells B",
            "execution ms",
            "stateless ms",
        ];
        table::result(&table::markdown(&head, rows.iter().map(Row::cells).collect()))
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let milliseconds = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
        vec![
            format!("mainnet {}", self.block),
            self.transactions.to_string(),
            self.gas.to_string(),
            self.cells.to_string(),
            self.bytes.to_string(),
            self.codes.to_string(),
            self.trie.to_string(),
            milliseconds(self.execution),
            milliseconds(self.stateless),
        ]
    }
}

/// The trie of the empty state and so many other keys.
fn others(count: u64) -> eyre::Result<Trie> {
    let leaf = |number: u64| {
        let hash = hash_value(&number.to_be_bytes());
        (Path::new(hash.0), Some(hash))
    };
    let mut changes: Vec<Change> = (0..count).map(leaf).collect();
    changes.sort_unstable();
    let mut trie = Trie::empty();
    trie.update(&changes)?;
    Ok(trie)
}

fn row(folder: &BlockFolder, others: Trie) -> eyre::Result<Row> {
    let replay = Replay::new(folder)?;
    let (machines, block) = (&replay.machines, &replay.block);
    let backend = Among { memory: Memory::new(), trie: Mutex::new(None), others };
    let state = State::open(Arc::new(backend), History::Archive)?;
    let before = load(&state, folder)?.root()?;
    let (_, witness, output) = state.witness(machines, block)?;
    let view = state.view();
    let (executed, execution) = clock::time(|| Sequential::new().execute(machines, &view, block));
    ensure!(executed? == output, "block {}: executed otherwise", replay.number);
    let after = state.commit(replay.number, Changes::of(&view, &output)?)?.root()?;
    let bytes = witness.to_bytes();
    let (made, time) = clock::time(|| {
        let witness = Witness::from_bytes(&bytes)?;
        eyre::Ok(stateless(machines, block, &witness, &before)?)
    });
    let made = made?;
    ensure!(made.root == after, "block {}: another root on the witness", replay.number);
    let codes = witness.codes().iter().map(|(_, code)| 5 + code.len()).sum();
    Ok(Row {
        block: replay.number,
        transactions: block.transactions.len(),
        gas: made.output.totals.iter().map(|(_, totals)| totals.gas_used).sum(),
        cells: witness.cells().count(),
        bytes: bytes.len(),
        codes,
        trie: bytes.len().saturating_sub(codes),
        stateless: time,
        execution,
    })
}

/// A state in memory whose trie has other keys besides, of which nothing but the leaves is known.
struct Among {
    memory: Memory,
    /// The trie since the first commit.
    trie: Mutex<Option<Trie>>,
    others: Trie,
}

impl Among {
    fn trie(&self) -> MutexGuard<'_, Option<Trie>> {
        self.trie.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Among {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.memory.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Rows<'_>, StateError> {
        self.memory.scan(table, from, to, reverse)
    }

    fn commit(&self, batch: Batch, announce: &mut dyn FnMut(B256)) -> Result<(), StateError> {
        let mut trie = self.trie();
        let trie = trie.get_or_insert_with(|| self.others.clone());
        trie.update(batch.trie())?;
        announce(trie.root());
        self.memory.commit(batch, &mut |_| ())
    }

    fn root(&self) -> Result<B256, StateError> {
        Ok(self.trie().as_ref().map_or_else(|| Trie::empty().root(), Trie::root))
    }

    fn prove(&self, paths: &[Path]) -> Result<Trie, StateError> {
        match &*self.trie() {
            Some(trie) => Ok(trie.prove(paths)?),
            None => self.memory.prove(paths),
        }
    }
}
