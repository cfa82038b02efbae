//! On random Ethereum blocks the parallel engine gives what the sequential one gives, with any
//! number of threads and any timing.

#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use polity_analysis::fuzz::{Delayed, Delays, Difference, RandomBlock, shrink};
use polity_engine::{BlockError, BlockOutput, Parallel};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use std::{cell::RefCell, num::NonZeroUsize};

const THREADS: [usize; 5] = [1, 2, 3, 4, 8];

/// How often a block that differed once is tried while it is made smaller.
const TRIES: u64 = 30;

#[derive(Default)]
struct Engines {
    /// With their numbers of threads.
    engines: Vec<(usize, Parallel)>,
    /// What was executed on several threads.
    transactions: usize,
    /// How often, in vain and not.
    executions: usize,
}

impl Engines {
    fn new() -> Self {
        let engine = |threads: usize| {
            let engine = Parallel::new(NonZeroUsize::new(threads).unwrap()).unwrap();
            // However small the blocks are.
            (threads, engine.with_least_gas(0))
        };
        Self { engines: THREADS.map(engine).into(), ..Self::default() }
    }

    fn execute(
        &mut self,
        block: &RandomBlock,
        threads: usize,
        delay: Option<u64>,
    ) -> Result<BlockOutput, BlockError> {
        let (_, engine) = self.engines.iter_mut().find(|(count, _)| *count == threads).unwrap();
        let RandomBlock { machines, state, block, .. } = block;
        let (output, statistics) = match delay {
            None => engine.execute_with(machines, state, block, &())?,
            Some(seed) => {
                // What it has learned would leave for their turn what is to run ahead here.
                engine.forget();
                let delays = Delays::new(seed);
                let view = Delayed::new(state, &delays);
                engine.execute_with(machines, &view, block, &delays)?
            }
        };
        if !statistics.sequential {
            self.transactions += statistics.transactions;
            self.executions += statistics.executions;
        }
        Ok(output)
    }

    fn difference(
        &mut self,
        block: &RandomBlock,
        threads: usize,
        delay: Option<u64>,
    ) -> Option<Difference> {
        Difference::between(block.expected.as_ref(), self.execute(block, threads, delay).as_ref())
    }
}

/// Fails with the smallest block that differs too.
fn check(
    engines: &mut Engines,
    (seed, most, threads, delay): (u64, usize, usize, Option<u64>),
) -> Result<(), TestCaseError> {
    let block = RandomBlock::new(seed, most).unwrap();
    let Some(difference) = engines.difference(&block, threads, delay) else { return Ok(()) };
    let told = format!("seed {seed}, at most {most} transactions, {threads} threads: {difference}");
    let (block, difference) = shrink(block, difference, |block| {
        (0..TRIES).find_map(|delay| engines.difference(block, threads, Some(delay)))
    })
    .unwrap();
    let kinds: Vec<_> = block.transactions.iter().map(|tx| tx.kind).collect();
    Err(TestCaseError::fail(format!("{told}; shrunk to {kinds:?} at {}: {difference}", block.fork)))
}

fn run(cases: u32, most: usize) {
    let config = ProptestConfig {
        cases,
        // The blocks are made smaller here, not by drawing another seed.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let strategy =
        (any::<u64>(), 1..=most, select(THREADS.to_vec()), proptest::option::of(any::<u64>()));
    let engines = RefCell::new(Engines::new());
    TestRunner::new(config).run(&strategy, |case| check(&mut engines.borrow_mut(), case)).unwrap();
}

#[test]
fn parallel_is_sequential() {
    run(300, 80);
}

#[test]
#[ignore = "long: minutes; PROPTEST_CASES sets how many blocks"]
fn parallel_is_sequential_for_long() {
    run(ProptestConfig::default().cases.max(10_000), 400);
}
