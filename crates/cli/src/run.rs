//! `polity run`.
#![allow(clippy::float_arithmetic, reason = "times and rates are for people to read")]

use crate::{output, schedule::Recorder};
use clap::{Args, ValueEnum};
use eyre::{Context, bail, eyre};
use polity_analysis::fuzz::Difference;
use polity_engine::{BlockError, BlockOutput, Parallel, Sequential, Statistics};
use polity_replay::{
    Compared, ExecuteError, FolderPath, Library, Replay, Verdict, discover, unpacked,
};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  polity run examples/chain             the sample chain that ships with Polity
  polity run blocks/19426587            one block folder
  polity run blocks --json | jq .       all block folders below, as JSON
  polity run blocks --repeat 5          the best time of five executions
  polity run blocks --mode both         sequential and parallel, and that both are the same
  polity run blocks/19426587 --threads 4 --schedule schedule.svg

Exit status: 0 if every block equals its header (and parallel execution the sequential one),
1 if one differs, 2 if one cannot be executed.";

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

    /// How to execute.
    #[arg(long, env = "POLITY_MODE", value_enum, default_value_t = Mode::Sequential)]
    mode: Mode,

    /// Threads of parallel execution [default: as many as the machine runs at once].
    #[arg(long, env = "POLITY_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Execute blocks whose transactions presumably take less gas than this together
    /// sequentially; a payment takes less than it pays for [default: what takes longer than
    /// sharing it out].
    #[arg(long, env = "POLITY_LEAST_GAS", value_name = "GAS")]
    least_gas: Option<u64>,

    /// Draw the parallel execution of the one given block: workers over time,
    /// what ran again, and who waited for whom.
    #[arg(long, env = "POLITY_SCHEDULE", value_name = "FILE.svg")]
    schedule: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One transaction after the other.
    Sequential,
    /// Several at once.
    Parallel,
    /// Both, compared.
    Both,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel: Option<ParallelRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParallelRow {
    threads: usize,
    seconds: f64,
    /// Sequential time by parallel time, where both were measured.
    speed_up: Option<f64>,
    /// Processor time of parallel by that of sequential execution.
    cpu_ratio: Option<f64>,
    executions_per_transaction: Option<f64>,
    /// Whether the block was small enough to be executed sequentially.
    sequential: bool,
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

/// The engines of a run.
struct Engines {
    sequential: Option<Sequential>,
    parallel: Option<(Parallel, usize)>,
}

/// An execution and what it took.
struct Timed<T> {
    result: T,
    wall: Duration,
    processor: Duration,
}

impl Run {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        let folders = self.folders()?;
        if self.schedule.is_some() && folders.len() != 1 {
            bail!("--schedule draws one block, but the paths hold {}: name one", folders.len());
        }
        let library = Library::new();
        let mut engines = self.engines()?;
        let mut blocks = Vec::with_capacity(folders.len());
        let bar = output::progress(folders.len() as u64, "blocks");
        for folder in &folders {
            bar.set_message(folder.path.display().to_string());
            let row = self
                .row(folder, &library, &mut engines)
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

    fn engines(&self) -> eyre::Result<Engines> {
        let threads = match self.threads {
            Some(threads) => threads,
            None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let parallel = match self.mode {
            Mode::Sequential if self.schedule.is_none() => None,
            _ => {
                let engine = Parallel::new(threads)?;
                let engine = match self.least_gas {
                    Some(gas) => engine.with_least_gas(gas),
                    None => engine,
                };
                Some((engine, threads.get()))
            }
        };
        let sequential = (self.mode != Mode::Parallel).then(Sequential::new);
        Ok(Engines { sequential, parallel })
    }

    fn row(
        &self,
        folder: &FolderPath,
        library: &Library,
        engines: &mut Engines,
    ) -> eyre::Result<Row> {
        let replay = Replay::new(&library.open(folder)?)?;
        let Replay { machines, state, block, .. } = &replay;
        let sequential = engines
            .sequential
            .as_mut()
            .map(|engine| self.best(|| engine.execute(machines, state, block), |_| {}));
        let mut difference = None;
        let parallel = engines.parallel.as_mut().map(|(engine, threads)| {
            // What depends on chance may show in one repetition alone.
            let compare = |found: &Result<(BlockOutput, Statistics), BlockError>| {
                if let (Some(sequential), None) = (&sequential, &difference) {
                    let found = found.as_ref().map(|(output, _)| output);
                    difference = Difference::between(sequential.result.as_ref(), found);
                }
            };
            let timed = self.best(|| engine.execute_with(machines, state, block, &()), compare);
            (timed, *threads)
        });
        let failed = |error: BlockError| match &difference {
            Some(difference) => eyre!("parallel execution differs from sequential: {difference}"),
            None => ExecuteError::from(error).into(),
        };
        let sequential = sequential.map(Timed::transpose).transpose().map_err(failed)?;
        let parallel = parallel
            .map(|(timed, threads)| timed.transpose().map(|timed| (timed, threads)))
            .transpose()
            .map_err(failed)?;
        if let (Some(file), Some((engine, _))) = (&self.schedule, &mut engines.parallel) {
            draw(file, engine, &replay)?;
        }
        let differences = difference
            .map(|difference| format!("parallel execution differs from sequential: {difference}"))
            .into_iter()
            .collect();
        let parallel_row = parallel
            .as_ref()
            .map(|(parallel, threads)| ParallelRow::new(parallel, *threads, sequential.as_ref()));
        let (output, wall) = match (sequential, parallel) {
            (Some(sequential), _) => (sequential.result, sequential.wall),
            (None, Some((parallel, _))) => (parallel.result.0, parallel.wall),
            (None, None) => bail!("the block was not executed"),
        };
        let verdict = replay.verdict(&output)?;
        Ok(Row::new(&replay, &verdict, wall, parallel_row, differences))
    }

    /// The fastest of the repetitions, with the result of the last. `look` sees all results.
    fn best<T>(&self, mut execute: impl FnMut() -> T, mut look: impl FnMut(&T)) -> Timed<T> {
        let mut timed = || {
            let (start, before) = (Instant::now(), processor_time());
            let result = execute();
            let (wall, processor) = (start.elapsed(), processor_time().saturating_sub(before));
            look(&result);
            Timed { result, wall, processor }
        };
        let mut best = timed();
        for _ in 1..self.repeat {
            let again = timed();
            best.wall = best.wall.min(again.wall);
            best.processor = best.processor.min(again.processor);
            best.result = again.result;
        }
        best
    }
}

impl<T, E> Timed<Result<T, E>> {
    fn transpose(self) -> Result<Timed<T>, E> {
        let Self { result, wall, processor } = self;
        result.map(|result| Timed { result, wall, processor })
    }
}

/// Executes the block once more and draws how that went.
fn draw(file: &Path, engine: &mut Parallel, replay: &Replay) -> eyre::Result<()> {
    let recorder = Recorder::new();
    let (_, statistics) =
        engine.execute_with(&replay.machines, &replay.state, &replay.block, &recorder)?;
    if statistics.sequential {
        bail!("the block is so small that it is executed sequentially: there is nothing to draw");
    }
    let svg = recorder.svg(&format!("block {}", replay.number));
    fs::write(file, svg).wrap_err_with(|| format!("writing {}", file.display()))
}

/// The processor time of all threads so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

impl ParallelRow {
    fn new(
        timed: &Timed<(BlockOutput, Statistics)>,
        threads: usize,
        sequential: Option<&Timed<BlockOutput>>,
    ) -> Self {
        let statistics = &timed.result.1;
        let per =
            |a: Duration, b: Duration| (!b.is_zero()).then(|| a.as_secs_f64() / b.as_secs_f64());
        Self {
            threads,
            seconds: timed.wall.as_secs_f64(),
            speed_up: sequential.and_then(|sequential| per(sequential.wall, timed.wall)),
            cpu_ratio: sequential.and_then(|sequential| per(timed.processor, sequential.processor)),
            executions_per_transaction: (statistics.transactions > 0)
                .then(|| statistics.executions as f64 / statistics.transactions as f64),
            sequential: statistics.sequential,
        }
    }
}

impl Row {
    fn new(
        replay: &Replay,
        verdict: &Verdict,
        time: Duration,
        parallel: Option<ParallelRow>,
        mut differences: Vec<String>,
    ) -> Self {
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
            parallel,
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
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "–".into(),
    };
    let with_parallel = blocks.iter().any(|row| row.parallel.is_some());
    let mut rows: Vec<Vec<String>> = blocks
        .iter()
        .map(|row| {
            let mut cells = vec![
                row.block.to_string(),
                row.fork.clone(),
                row.transactions.to_string(),
                row.gas.to_string(),
                mark(row.gas_used_equal).into(),
                mark(row.receipts_root_equal).into(),
                mark(row.logs_bloom_equal).into(),
                number(Some(row.seconds * 1e3), 3),
                number(row.mgas_per_second, 0),
            ];
            if let Some(parallel) = &row.parallel {
                cells.extend([
                    number(Some(parallel.seconds * 1e3), 3),
                    number(parallel.speed_up, 2),
                    number(parallel.executions_per_transaction, 2),
                    number(parallel.cpu_ratio, 2),
                ]);
            }
            cells
        })
        .collect();
    let gas: u64 = blocks.iter().map(|row| row.gas).sum();
    let seconds: f64 = blocks.iter().map(|row| row.seconds).sum();
    let differing = blocks.iter().filter(|row| !row.differences.is_empty()).count();
    let mut sum = vec![
        format!("{} blocks", blocks.len()),
        if differing == 0 { "all equal".into() } else { format!("{differing} DIFFER") },
        blocks.iter().map(|row| row.transactions).sum::<usize>().to_string(),
        gas.to_string(),
        String::new(),
        String::new(),
        String::new(),
        number(Some(seconds * 1e3), 3),
        number((seconds > 0.0).then(|| gas as f64 / seconds / 1e6), 0),
    ];
    let mut head =
        vec!["block", "fork", "txs", "gas", "gasUsed", "receiptsRoot", "logsBloom", "ms", "Mgas/s"];
    if with_parallel {
        head.extend(["parallel ms", "speed-up", "executions/tx", "CPU ratio"]);
        let parallel: f64 =
            blocks.iter().flat_map(|row| &row.parallel).map(|row| row.seconds).sum();
        let speed_up = (parallel > 0.0).then(|| seconds / parallel);
        sum.extend([
            number(Some(parallel * 1e3), 3),
            number(speed_up, 2),
            String::new(),
            String::new(),
        ]);
    }
    rows.push(sum);
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
