//! `polity fuzz`.
#![allow(clippy::float_arithmetic, reason = "times and rates are for people to read")]
#![cfg_attr(
    not(feature = "svm"),
    allow(irrefutable_let_patterns, reason = "without Solana there is one kind of block")
)]

use crate::output;
use alloy_primitives::keccak256;
use clap::{Args, Subcommand, ValueEnum};
use eyre::{Context, bail};
use indicatif::ProgressBar;
use polity_analysis::fuzz::{CHAIN_ID, Delayed, Delays, Difference, RandomBlock, Shrink, shrink};
#[cfg(feature = "svm")]
use polity_analysis::solana::SolanaBlock;
use polity_engine::{Block, BlockError, BlockOutput, Overlay, Parallel};
use polity_kernel::Machines;
use polity_replay::{
    BlockFolder, Chain, FolderBlock, FullBlock, PreAccount, SignedTransaction, WriteMode,
    dev_genesis, write,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    num::{NonZeroU64, NonZeroUsize},
    ops::Range,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// How many blocks are executed where neither a number nor a time is given.
const BLOCKS: u64 = 1_000;

/// How often a block that differed once is tried while it is made smaller.
const TRIES: u64 = 50;

/// How long a block does not take.
const LONG: Duration = Duration::from_secs(60);

/// Look for what should not be, with random input.
#[derive(Args)]
pub(crate) struct Fuzz {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    Parallel(FuzzParallel),
}

const EXAMPLES: &str = "\
Examples:
  polity fuzz parallel                        1,000 blocks from a seed that is drawn
  polity fuzz parallel --time 2h --json
  polity fuzz parallel --seed 3 --blocks 50 --threads 4
  polity fuzz parallel --machines evm,svm     both machines' transactions in one block
  polity fuzz parallel --seed 3 --write-block blocks/seed-3
  polity run blocks/seed-3 --mode both --threads 4 --least-gas 0

Exit status: 0 if parallel execution always equals the sequential one, 1 if it differs,
2 if the command could not run.";

/// Execute random blocks in parallel and compare with sequential execution.
///
/// Each block is a function of its seed; the seeds follow on each other. A
/// block is executed on each number of threads as fast as it goes, and again
/// with random delays in the threads. The first that differs is made as small
/// as it still differs, and written as a block folder where all of it is Ethereum's.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct FuzzParallel {
    /// The first block's seed [default: drawn, and told on the standard error].
    #[arg(long, env = "POLITY_SEED", value_name = "N")]
    seed: Option<u64>,

    /// How many blocks [default: 1,000, or as many as --time leaves time for].
    #[arg(long, env = "POLITY_BLOCKS", value_name = "N", conflicts_with = "time")]
    blocks: Option<NonZeroU64>,

    /// How long: a number with s, m or h behind it.
    #[arg(long, env = "POLITY_TIME", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,

    /// Whose transactions the blocks hold.
    #[arg(
        long,
        env = "POLITY_MACHINES",
        value_name = "MACHINE,…",
        value_delimiter = ',',
        default_value = "evm"
    )]
    machines: Vec<MachineName>,

    /// Numbers of threads.
    #[arg(
        long,
        env = "POLITY_THREADS",
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "1,2,4,8"
    )]
    threads: Vec<NonZeroUsize>,

    /// The most transactions of a block.
    #[arg(long, env = "POLITY_TRANSACTIONS", value_name = "N", default_value = "200")]
    transactions: NonZeroUsize,

    /// Where a block that differs is written, under its seed.
    #[arg(long, env = "POLITY_OUT", value_name = "FOLDER", default_value = "fuzz-parallel")]
    out: PathBuf,

    /// Print JSON instead of a table.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,

    /// Only write the first block, as a block folder, and execute nothing in parallel.
    #[arg(long, value_name = "FOLDER")]
    write_block: Option<PathBuf>,
}

/// A machine whose transactions can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MachineName {
    /// Ethereum's.
    Evm,
    /// Solana's, with accounts credited from outside.
    #[cfg(feature = "svm")]
    Svm,
}

/// A random block.
enum Random {
    Ethereum(Box<RandomBlock>),
    /// Alone or mixed with Ethereum's transactions.
    #[cfg(feature = "svm")]
    Solana(Box<SolanaBlock>),
}

/// What is executed, and what comes of it sequentially.
struct Parts<'a> {
    machines: &'a Machines,
    state: &'a Overlay<'static>,
    block: &'a Block,
    expected: Result<&'a BlockOutput, &'a BlockError>,
}

impl Random {
    fn seed(&self) -> u64 {
        match self {
            Self::Ethereum(block) => block.seed,
            #[cfg(feature = "svm")]
            Self::Solana(block) => block.seed,
        }
    }

    fn parts(&self) -> Parts<'_> {
        let (machines, state, block, expected) = match self {
            Self::Ethereum(b) => (&b.machines, &b.state, &b.block, &b.expected),
            #[cfg(feature = "svm")]
            Self::Solana(b) => (&b.machines, &b.state, &b.block, &b.expected),
        };
        Parts { machines, state, block, expected: expected.as_ref() }
    }

    /// What the transactions are there for.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Ethereum(block) => {
                block.transactions.iter().map(|tx| format!("{:?}", tx.kind)).collect()
            }
            #[cfg(feature = "svm")]
            Self::Solana(block) => block.transactions.iter().map(|tx| tx.name.clone()).collect(),
        }
    }
}

impl Shrink for Random {
    type Error = eyre::Report;

    fn count(&self) -> usize {
        self.parts().block.transactions.len()
    }

    fn without(&self, dropped: Range<usize>) -> eyre::Result<Self> {
        Ok(match self {
            Self::Ethereum(block) => Self::Ethereum(Box::new(block.without(dropped)?)),
            #[cfg(feature = "svm")]
            Self::Solana(block) => Self::Solana(Box::new(block.without(dropped)?)),
        })
    }
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    equal: bool,
    first_seed: u64,
    blocks: u64,
    transactions: usize,
    /// Blocks that may not be: both engines have to give the same reason.
    invalid_blocks: u64,
    seconds: f64,
    threads: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// What one number of threads did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    threads: usize,
    /// Executions of blocks.
    runs: u64,
    /// Transactions that were executed in parallel.
    transactions: usize,
    /// How often they were executed, in vain and not.
    executions: usize,
    executions_per_transaction: Option<f64>,
}

/// A block that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    seed: u64,
    threads: usize,
    /// The transactions that are left, by what they are there for.
    transactions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<String>,
    /// In which place of the block, which cell or field, and how.
    place: String,
    what: String,
    expected: String,
    found: String,
    /// Where the block is, if it could be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// The command that executes it again.
    command: String,
}

/// One number of threads under test.
struct Engine {
    engine: Parallel,
    row: Row,
}

impl Engine {
    fn new(threads: NonZeroUsize) -> eyre::Result<Self> {
        // However small the blocks are.
        let engine = Parallel::new(threads)?.with_least_gas(0);
        let threads = threads.get();
        let row = Row {
            threads,
            runs: 0,
            transactions: 0,
            executions: 0,
            executions_per_transaction: None,
        };
        Ok(Self { engine, row })
    }

    /// Executes the block, with delays of this seed or without.
    fn compare(&mut self, random: &Random, delays: Option<u64>) -> Option<Difference> {
        let Parts { machines, state, block, expected } = random.parts();
        let executed = match delays.map(Delays::new) {
            None => self.engine.execute_with(machines, state, block, &()),
            Some(delays) => {
                // What it has learned would leave for their turn what is to run ahead here.
                self.engine.forget();
                let view = Delayed::new(state, &delays);
                self.engine.execute_with(machines, &view, block, &delays)
            }
        };
        self.row.runs += 1;
        let found = executed.map(|(output, statistics)| {
            self.row.transactions += statistics.transactions;
            self.row.executions += statistics.executions;
            output
        });
        Difference::between(expected, found.as_ref())
    }
}

impl Fuzz {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        match self.target {
            Target::Parallel(fuzz) => fuzz.run(),
        }
    }
}

impl FuzzParallel {
    fn run(self) -> eyre::Result<bool> {
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        if let Some(target) = &self.write_block {
            let Random::Ethereum(block) = self.block(seed)? else {
                bail!("a block folder holds Ethereum's transactions only: leave --machines out");
            };
            write(&folder(&block)?, target, WriteMode::New)?;
            if let Err(error) = &block.expected {
                output::story(&format!("this block is invalid, as one in ten: {error}"));
            }
            return Ok(true);
        }
        output::story(&format!("the first seed is {seed}"));
        let results = self.hunt(seed)?;
        if self.json {
            output::json(&results)?;
        } else {
            output::result(&table(&results))?;
        }
        Ok(results.equal)
    }

    fn block(&self, seed: u64) -> eyre::Result<Random> {
        let most = self.transactions.get();
        let made = || format!("making the block of seed {seed}");
        #[cfg(feature = "svm")]
        if self.machines.contains(&MachineName::Svm) {
            let mixed = self.machines.contains(&MachineName::Evm);
            let block = SolanaBlock::new(seed, most, mixed).wrap_err_with(made)?;
            return Ok(Random::Solana(Box::new(block)));
        }
        let block = RandomBlock::new(seed, most).wrap_err_with(made)?;
        Ok(Random::Ethereum(Box::new(block)))
    }

    /// The command that makes and executes the block of this seed again.
    fn again(&self, seed: u64, threads: usize) -> String {
        let names = self.machines.iter().filter_map(MachineName::to_possible_value);
        let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
        let (names, most) = (names.join(","), self.transactions);
        format!(
            "polity fuzz parallel --machines {names} --seed {seed} --blocks 1 --threads {threads} \
             --transactions {most}"
        )
    }

    /// Executes blocks until one differs or it is enough.
    fn hunt(&self, first_seed: u64) -> eyre::Result<Results> {
        let start = Instant::now();
        let mut engines =
            self.threads.iter().copied().map(Engine::new).collect::<eyre::Result<Vec<_>>>()?;
        let most = match self.time {
            Some(_) => u64::MAX,
            None => self.blocks.map_or(BLOCKS, NonZeroU64::get),
        };
        let bar = self.bar(most);
        let watch = watch();
        let (mut blocks, mut transactions, mut invalid_blocks) = (0, 0, 0);
        let mut failure = None;
        while blocks < most && self.time.is_none_or(|time| start.elapsed() < time) {
            let seed = first_seed.wrapping_add(blocks);
            bar.set_message(format!("seed {seed}, {transactions} transactions"));
            // Nobody listens where the thread could not be started.
            let _ = watch.send(seed);
            let block = self.block(seed)?;
            blocks += 1;
            transactions += block.count();
            let expected = block.parts().expected;
            invalid_blocks += u64::from(matches!(expected, Err(BlockError::Invalid { .. })));
            if let Some((engine, difference)) = differs(&mut engines, &block) {
                bar.set_message(format!("seed {seed} differs"));
                let threads = engine.row.threads;
                let again = |block: &Random| {
                    (0..TRIES).find_map(|delays| engine.compare(block, Some(delays)))
                };
                let command = self.again(seed, threads);
                failure = Some(record(block, difference, (threads, command), &self.out, again)?);
                break;
            }
            match self.time {
                Some(_) => bar.set_position(start.elapsed().as_secs()),
                None => bar.inc(1),
            }
        }
        bar.finish_and_clear();
        let rows = engines.into_iter().map(|Engine { row, .. }| Row {
            executions_per_transaction: (row.transactions > 0)
                .then(|| row.executions as f64 / row.transactions as f64),
            ..row
        });
        Ok(Results {
            equal: failure.is_none(),
            first_seed,
            blocks,
            transactions,
            invalid_blocks,
            seconds: start.elapsed().as_secs_f64(),
            threads: rows.collect(),
            failure,
        })
    }

    fn bar(&self, most: u64) -> ProgressBar {
        match self.time {
            Some(time) => output::progress(time.as_secs(), "seconds"),
            None => output::progress(most, "blocks"),
        }
    }
}

/// A thread that is told the seed of each block, and tells on the standard error where none comes
/// for long: an engine whose threads wait for each other gives no result to compare.
fn watch() -> Sender<u64> {
    let (sender, receiver) = channel();
    let listen = move || {
        let mut seed = None;
        loop {
            match receiver.recv_timeout(LONG) {
                Ok(next) => seed = Some(next),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(seed) = seed.take() {
                        output::story(&format!("the block of seed {seed} takes very long"));
                    }
                }
            }
        }
    };
    // Without it the blocks are executed all the same.
    let _ = thread::Builder::new().name("watch".into()).spawn(listen);
    sender
}

/// Executes the block on each number of threads, with delays and without: which differs first.
fn differs<'e>(engines: &'e mut [Engine], block: &Random) -> Option<(&'e mut Engine, Difference)> {
    engines.iter_mut().find_map(|engine| {
        let delays = [None, Some(block.seed())];
        let difference = delays.into_iter().find_map(|delays| engine.compare(block, delays))?;
        Some((engine, difference))
    })
}

/// Makes the block as small as it still differs by `compare`, and writes it into a folder below
/// `out`. Where a folder cannot hold it, `command` makes the whole block again.
fn record(
    block: Random,
    difference: Difference,
    (threads, command): (usize, String),
    out: &Path,
    compare: impl FnMut(&Random) -> Option<Difference>,
) -> eyre::Result<Failure> {
    let (block, difference) = shrink(block, difference, compare)?;
    let Difference { place, what, expected, found } = difference;
    let mut failure = Failure {
        seed: block.seed(),
        threads,
        transactions: block.names(),
        fork: None,
        place,
        what,
        expected,
        found,
        command,
        folder: None,
    };
    if let Random::Ethereum(block) = &block {
        let target = out.join(format!("seed-{}", block.seed));
        write(&folder(block)?, &target, WriteMode::Replace)
            .wrap_err_with(|| format!("writing the block of seed {}, which differs", block.seed))?;
        let path = target.display();
        failure.command = format!(
            "polity run '{path}' --mode both --threads {threads} --least-gas 0 --repeat 1000"
        );
        failure.fork = Some(block.fork.name().into());
        failure.folder = Some(target);
    }
    Ok(failure)
}

/// The block as a folder that `polity run` takes.
fn folder(block: &RandomBlock) -> eyre::Result<BlockFolder> {
    let Ok(fork) = block.fork.try_into() else {
        bail!("no development chain is at {}", block.fork);
    };
    let mut codes = BTreeMap::new();
    let accounts = block.accounts.iter().map(|(address, account)| {
        let code_hash = (!account.code.is_empty()).then(|| keccak256(&account.code));
        if let Some(hash) = code_hash {
            codes.insert(hash, account.code.clone());
        }
        let storage = account.storage.clone();
        let pre = PreAccount { balance: account.balance, nonce: account.nonce, code_hash, storage };
        (*address, pre)
    });
    let pre_state = accounts.collect();
    let header = block.header.clone();
    let transactions = block
        .transactions
        .iter()
        .map(|tx| SignedTransaction { envelope: tx.envelope.clone(), claimed_sender: tx.sender });
    let full = FullBlock {
        chain: Chain::Custom(Box::new(dev_genesis(CHAIN_ID, fork))),
        hash: header.hash_slow(),
        transactions: transactions.collect(),
        ommer_hashes: Vec::new(),
        ommers: Some(Vec::new()),
        withdrawals: header.withdrawals_root.map(|_| block.withdrawals.clone()),
        header,
    };
    let parent = (full.header.number.saturating_sub(1), full.header.parent_hash);
    Ok(BlockFolder {
        block: FolderBlock::Full(Box::new(full)),
        pre_state,
        codes,
        block_hashes: [parent].into(),
    })
}

fn table(results: &Results) -> String {
    let rows = results.threads.iter().map(|row| {
        vec![
            row.threads.to_string(),
            row.runs.to_string(),
            row.transactions.to_string(),
            row.executions_per_transaction.map_or_else(|| "–".into(), |per| format!("{per:.3}")),
        ]
    });
    let head = ["threads", "runs", "transactions", "executions per transaction"];
    let table = output::table(&head, 0, rows.collect());
    let Results { first_seed, blocks, transactions, invalid_blocks, seconds, .. } = results;
    let last = first_seed.wrapping_add(blocks.saturating_sub(1));
    let end = match &results.failure {
        None => "all equal".into(),
        Some(failure) => failure.text(),
    };
    format!(
        "{table}\n\nseeds {first_seed} to {last} | {blocks} blocks, {invalid_blocks} of them \
         invalid | {transactions} transactions | {seconds:.0} s | {end}"
    )
}

impl Failure {
    fn text(&self) -> String {
        let Self { seed, threads, transactions, fork, place, what, expected, found, .. } = self;
        let fork = fork.as_ref().map_or_else(String::new, |fork| format!(" at {fork},"));
        format!(
            "DIFFERS\n\nseed {seed} on {threads} threads,{fork} made smaller to: {}\n\
             {place}: {what}\n  sequential: {expected}\n  parallel:   {found}\n\
             to execute it again: {}",
            transactions.join(", "),
            self.command
        )
    }
}

/// A number with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no time: give a number with s, m or h behind it, as in 20m");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polity_analysis::fuzz::Kind;
    use polity_engine::Sequential;
    use polity_replay::{FolderKind, FolderPath, Replay, open};

    #[test]
    fn times_have_units() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("20m"), Ok(Duration::from_secs(1_200)));
        assert_eq!(time("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "5", "h", "-1s", "1d", "1é", "99999999999999999h"] {
            assert!(time(wrong).unwrap_err().contains("20m"), "{wrong}");
        }
    }

    fn replay(path: &Path, number: u64) -> Replay {
        let path = FolderPath { number, kind: FolderKind::Full, path: path.into() };
        Replay::new(&open(&path).unwrap()).unwrap()
    }

    #[test]
    fn a_folder_is_the_block() {
        let place = tempfile::tempdir().unwrap();
        for seed in 0..30 {
            let block = RandomBlock::new(seed, 30).unwrap();
            let target = place.path().join(format!("seed-{seed}"));
            write(&folder(&block).unwrap(), &target, WriteMode::New).unwrap();
            let replay = replay(&target, block.header.number);
            assert_eq!(replay.fork, block.fork);
            let found = replay.execute_on(&mut Sequential::new(), &replay.state);
            assert_eq!(
                Difference::between(block.expected.as_ref(), found.as_ref()),
                None,
                "seed {seed}"
            );
            if let Ok(output) = &found {
                assert!(replay.verdict(output).unwrap().is_equal(), "seed {seed}");
            }
        }
    }

    /// A difference that is made up: swaps are said to differ.
    #[test]
    fn a_difference_is_made_small_and_written() {
        let differs = |block: &RandomBlock| {
            let swap = block.transactions.iter().position(|tx| tx.kind == Kind::Swap)?;
            Some(Difference {
                place: format!("transaction {swap}"),
                what: "gas used".into(),
                expected: "1".into(),
                found: "2".into(),
            })
        };
        let place = tempfile::tempdir().unwrap();
        let (block, difference) = (0..)
            .map(|seed| RandomBlock::new(seed, 50).unwrap())
            .find_map(|block| Some((differs(&block)?, block)))
            .map(|(difference, block)| (block, difference))
            .unwrap();
        let (seed, number) = (block.seed, block.header.number);
        let block = Random::Ethereum(Box::new(block));
        let differs = |block: &Random| match block {
            Random::Ethereum(block) => differs(block),
            #[cfg(feature = "svm")]
            Random::Solana(_) => None,
        };
        let command = (4, String::new());
        let failure = record(block, difference, command, place.path(), differs).unwrap();
        assert_eq!(failure.transactions, ["Swap"]);
        assert_eq!((failure.seed, &*failure.place), (seed, "transaction 0"));
        let folder = failure.folder.clone().unwrap();
        assert_eq!(folder, place.path().join(format!("seed-{seed}")));
        assert!(failure.command.contains("--threads 4"), "{}", failure.command);
        assert!(failure.text().contains("sequential: 1\n  parallel:   2"), "{}", failure.text());
        assert_eq!(replay(&folder, number).block.transactions.len(), 1);
    }
}
