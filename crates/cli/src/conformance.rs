//! `polity conformance`.

use crate::output;
use clap::{Args, Subcommand};
use eyre::Context;
use polity_analysis::fuzz::Difference;
use polity_conformance::{Execute, Options, Progress, SKIPS, junit, run, table};
use polity_engine::{Block, BlockError, BlockOutput, Parallel, PoolError, Sequential};
use polity_kernel::{Machines, View};
use std::{fs, num::NonZeroUsize, path::PathBuf};

/// Run the test suites of an ecosystem.
#[derive(Args)]
pub(crate) struct Conformance {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    Evm(Evm),
}

const EXAMPLES: &str = "\
Examples:
  polity conformance evm GeneralStateTests BlockchainTests
  polity conformance evm fixtures --filter tstore
  polity conformance evm fixtures --json --junit report.xml
  polity conformance evm GeneralStateTests BlockchainTests --parallel 4

Exit status: 0 if every test passed or was skipped for a known reason, 1 if one failed,
2 if a path cannot be searched.";

/// Run Ethereum's state tests and blockchain tests, in the standard JSON formats.
///
/// State tests compare the state root and the hash of the logs, blockchain
/// tests the whole header and the last state; where an exception is expected,
/// it has to be that one. Every fork in the files runs.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct Evm {
    /// Test files, or folders of them.
    #[arg(required_unless_present = "list_skips", value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Run only tests with this in the path of their file or in their name.
    #[arg(long, env = "POLITY_FILTER", value_name = "TEXT")]
    filter: Option<String>,

    /// Threads [default: as many as the machine runs at once].
    #[arg(long, env = "POLITY_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print JSON instead of a table.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,

    /// Also write a JUnit report.
    #[arg(long, env = "POLITY_JUNIT", value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Execute the blocks of blockchain tests on this many threads as well, and
    /// the transactions of state tests in blocks: one alone, and three in a
    /// row. A test fails where that gives anything else than sequential
    /// execution.
    #[arg(long, env = "POLITY_PARALLEL", value_name = "N")]
    parallel: Option<NonZeroUsize>,

    /// Print what is skipped and why, and run nothing.
    #[arg(long)]
    list_skips: bool,
}

/// Executes blocks sequentially and in parallel.
struct Both {
    sequential: Sequential,
    parallel: Parallel,
}

impl Both {
    fn new(threads: NonZeroUsize) -> Result<Self, PoolError> {
        // However small the blocks are.
        let parallel = Parallel::new(threads)?.with_least_gas(0);
        Ok(Self { sequential: Sequential::new(), parallel })
    }
}

impl Execute for Both {
    #[expect(clippy::panic, reason = "a test that panics has failed; an error may be expected")]
    fn block(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<BlockOutput, BlockError> {
        let sequential = self.sequential.execute(machines, view, block);
        let parallel = self.parallel.execute(machines, view, block);
        if let Some(difference) = Difference::between(sequential.as_ref(), parallel.as_ref()) {
            panic!("parallel execution differs from sequential: {difference}");
        }
        sequential
    }
}

impl Conformance {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        match self.suite {
            Suite::Evm(evm) => evm.run(),
        }
    }
}

impl Evm {
    fn run(self) -> eyre::Result<bool> {
        if self.list_skips {
            let any = |text: &str| if text.is_empty() { "any" } else { text }.to_owned();
            let rows = SKIPS
                .iter()
                .map(|skip| vec![any(skip.fork), any(skip.file), any(skip.test), any(skip.reason)]);
            output::result(&output::table(&["fork", "file", "test", "reason"], 4, rows.collect()))?;
            return Ok(true);
        }
        let bar = output::progress(0, "files");
        let show = |Progress { done, files, passed, failed, .. }: Progress| {
            bar.set_length(files as u64);
            bar.set_position(done as u64);
            bar.set_message(format!("{passed} passed, {failed} failed"));
        };
        // Where the threads cannot be started, this says so before the run.
        let both = match self.parallel {
            Some(threads) => Some(Both::new(threads).map(|_| threads)?),
            None => None,
        };
        let engine = || -> Box<dyn Execute> {
            match both.map(Both::new) {
                Some(Ok(both)) => Box::new(both),
                _ => Box::new(Sequential::new()),
            }
        };
        let report = run(
            &self.paths,
            &Options {
                threads: self.threads,
                filter: self.filter.as_deref(),
                progress: Some(&show),
                engine: &engine,
                state_tests_in_blocks: self.parallel.is_some(),
            },
        )?;
        bar.finish_and_clear();
        if let Some(path) = &self.junit {
            fs::write(path, junit(&report))
                .wrap_err_with(|| format!("writing {}", path.display()))?;
        }
        if self.json {
            output::json(&report)?;
        } else {
            output::result(&table(&report))?;
        }
        Ok(report.is_success())
    }
}
