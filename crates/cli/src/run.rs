//! `polity run`.
#![allow(clippy::float_arithmetic, reason = "times and rates are for people to read")]

use crate::output;
use clap::Args;
use eyre::{Context, bail};
use polity_engine::Sequential;
use polity_replay::{Compared, FolderPath, Library, Replay, Verdict, discover, unpacked};
use serde::Serialize;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  polity run examples/chain             the sample chain that ships with Polity
  polity run blocks/19426587            one block folder
  polity run blocks --json | jq .       all block folders below, as JSON
  polity run blocks --repeat 5          the best time of five executions

Exit status: 0 if every block equals its header, 1 if one differs, 2 if one cannot be executed.";

/// Execute blocks from block folders and compare them with their headers.
///
/// A block folder holds a block and the state before it, as far as the block
/// touches it; `polity fetch` writes one from any Ethereum node. Gas used and
/// the logs' bloom are compared always, the receipts' root from Byzantium on,
/// the requests' hash from Prague on.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// Block folders, or folders that contain some up to four levels below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Print JSON instead of a table.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,

    /// Execute each block this often and show the best time.
    #[arg(long, env = "POLITY_REPEAT", value_name = "TIMES", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    block: u64,
    fork: String,
    transactions: usize,
    gas: u64,
    /// `null`: cannot be compared.
    gas_used_equal: Option<bool>,
    receipts_root_equal: Option<bool>,
    logs_bloom_equal: Option<bool>,
    requests_hash_equal: Option<bool>,
    differences: Vec<String>,
    /// Ommers whose headers the folder lacks, so that their rewards were not
    /// paid.
    #[serde(skip_serializing_if = "is_zero")]
    missing_ommers: usize,
    seconds: f64,
    mgas_per_second: Option<f64>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    equal: bool,
    blocks: Vec<Row>,
}

impl Run {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        let folders = self.folders()?;
        let library = Library::new();
        let mut engine = Sequential::new();
        let mut blocks = Vec::with_capacity(folders.len());
        let bar = output::progress(folders.len() as u64, "blocks");
        for folder in &folders {
            bar.set_message(folder.path.display().to_string());
            let row = self
                .row(folder, &library, &mut engine)
                .wrap_err_with(|| format!("{}", folder.path.display()))?;
            blocks.push(row);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let equal = blocks.iter().all(|row| row.differences.is_empty());
        if self.json {
            output::json(&Results { equal, blocks })?;
        } else {
            output::result(&table(&blocks))?;
        }
        Ok(equal)
    }

    fn folders(&self) -> eyre::Result<Vec<FolderPath>> {
        let mut paths = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            paths.push(unpacked(path)?);
        }
        let folders = discover(&paths)?;
        if folders.is_empty() {
            bail!("no block folders below the given paths");
        }
        Ok(folders)
    }

    fn row(
        &self,
        folder: &FolderPath,
        library: &Library,
        engine: &mut Sequential,
    ) -> eyre::Result<Row> {
        let replay = Replay::new(&library.open(folder)?)?;
        let mut best = Duration::MAX;
        let mut output = None;
        for _ in 0..self.repeat {
            let start = Instant::now();
            let executed = replay.execute(engine)?;
            best = best.min(start.elapsed());
            output = Some(executed);
        }
        let Some(output) = output else { bail!("the block was not executed") };
        Ok(Row::new(&replay, &replay.verdict(&output)?, best))
    }
}

impl Row {
    fn new(replay: &Replay, verdict: &Verdict, time: Duration) -> Self {
        let mut differences = Vec::new();
        let gas_used_equal = verdict.gas_used_expected.map(|gas| gas == verdict.gas_used);
        if let Some(expected) = verdict.gas_used_expected.filter(|gas| *gas != verdict.gas_used) {
            differences.push(format!("gasUsed is {}, not {expected}", verdict.gas_used));
        }
        let mut hash = |name: &str, compared: Option<Compared<_>>| {
            let compared = compared?;
            if !compared.is_equal() {
                let Compared { expected, found } = compared;
                differences.push(format!("{name} is {found}, not {expected}"));
            }
            Some(compared.is_equal())
        };
        let receipts_root_equal = hash("receiptsRoot", verdict.receipts_root);
        let requests_hash_equal = hash("requestsHash", verdict.requests_hash);
        let logs_bloom_equal = verdict.logs_bloom.map(|bloom| bloom.is_equal());
        if logs_bloom_equal == Some(false) {
            differences.push("logsBloom differs".into());
        }
        let seconds = time.as_secs_f64();
        Self {
            block: replay.number,
            fork: replay.fork.name().into(),
            transactions: replay.block.transactions.len(),
            gas: verdict.gas_used,
            gas_used_equal,
            receipts_root_equal,
            logs_bloom_equal,
            requests_hash_equal,
            differences,
            missing_ommers: replay.missing_ommers,
            seconds,
            mgas_per_second: (verdict.gas_used > 0 && seconds > 0.0)
                .then(|| verdict.gas_used as f64 / seconds / 1e6),
        }
    }
}

fn table(blocks: &[Row]) -> String {
    let mark = |equal: Option<bool>| match equal {
        Some(true) => "equal",
        Some(false) => "DIFFERS",
        None => "–",
    };
    let mut rows: Vec<Vec<String>> = blocks
        .iter()
        .map(|row| {
            vec![
                row.block.to_string(),
                row.fork.clone(),
                row.transactions.to_string(),
                row.gas.to_string(),
                mark(row.gas_used_equal).into(),
                mark(row.receipts_root_equal).into(),
                mark(row.logs_bloom_equal).into(),
                format!("{:.3}", row.seconds * 1e3),
                row.mgas_per_second.map_or("–".into(), |rate| format!("{rate:.0}")),
            ]
        })
        .collect();
    let transactions: usize = blocks.iter().map(|row| row.transactions).sum();
    let gas: u64 = blocks.iter().map(|row| row.gas).sum();
    let seconds: f64 = blocks.iter().map(|row| row.seconds).sum();
    let differing = blocks.iter().filter(|row| !row.differences.is_empty()).count();
    rows.push(vec![
        format!("{} blocks", blocks.len()),
        if differing == 0 { "all equal".into() } else { format!("{differing} DIFFER") },
        transactions.to_string(),
        gas.to_string(),
        String::new(),
        String::new(),
        String::new(),
        format!("{:.3}", seconds * 1e3),
        if seconds > 0.0 { format!("{:.0}", gas as f64 / seconds / 1e6) } else { "–".into() },
    ]);
    let head =
        ["block", "fork", "txs", "gas", "gasUsed", "receiptsRoot", "logsBloom", "ms", "Mgas/s"];
    let mut text = output::table(&head, 2, rows);
    for row in blocks {
        for difference in &row.differences {
            text.push_str(&format!("\nblock {}: {difference}", row.block));
        }
        if row.missing_ommers > 0 {
            text.push_str(&format!(
                "\nblock {}: rewards of {} ommers not paid, the folder lacks their headers",
                row.block, row.missing_ommers
            ));
        }
    }
    text
}
