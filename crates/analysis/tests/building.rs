//! A block that is built from random Ethereum candidates, some of which are not possible, is what
//! executing the included ones gives, with any number of threads and any timing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use alloy_consensus::Header;
use polity_analysis::{
    Rng,
    fuzz::{CHAIN_ID, Delayed, Delays, Difference, RandomBlock},
};
use polity_engine::{Block, Built, Parallel, Refusal, Sequential};
use polity_evm::BlockInput;
use polity_types::Resources;
use std::num::NonZeroUsize;

/// What a mempool may bring: transactions that may not be in a block, some twice, some too late or
/// without the one before, and more than there is room for.
fn candidates(random: &RandomBlock, rng: &mut Rng) -> Block {
    let mut transactions = random.block.transactions.clone();
    for _ in 0..transactions.len() / 8 {
        let at = rng.below(transactions.len());
        match rng.below(3) {
            0 => drop(transactions.remove(at)),
            1 => transactions.insert(at, transactions[at].clone()),
            _ => {
                let tx = transactions.remove(at);
                transactions.insert(rng.below(transactions.len() + 1), tx);
            }
        }
    }
    let mut context = random.block.context.clone();
    if rng.once_in(3) {
        let gas: u64 = transactions.iter().map(|tx| tx.gas_limit).sum();
        let gas_limit = gas / (1 + rng.below(8) as u64);
        let header = Header { gas_limit, ..random.header.clone() };
        context = BlockInput::context(CHAIN_ID, &header, random.withdrawals.clone(), Vec::new());
    }
    Block { context, transactions, transaction_limit: Resources::UNLIMITED }
}

fn included(candidates: &Block, built: &Built) -> Block {
    let all = &candidates.transactions;
    let transactions = built.included(all.len()).map(|index| all[index].clone()).collect();
    Block { transactions, ..candidates.clone() }
}

fn run(seeds: impl Iterator<Item = u64>, most: usize) {
    let engine = |threads| Parallel::new(NonZeroUsize::new(threads).unwrap()).unwrap();
    let mut engines = [1, 2, 3, 4, 8].map(|threads| engine(threads).with_least_gas(0));
    let mut sequential = Sequential::new();
    let (mut in_blocks, mut invalid, mut no_room) = (0, 0, 0);
    for seed in seeds {
        let mut rng = Rng::new(!seed);
        let random = RandomBlock::candidates(seed, most).unwrap();
        let candidates = candidates(&random, &mut rng);
        let (machines, state) = (&random.machines, &random.state);
        let expected = sequential.build(machines, state, &candidates).unwrap();
        let alone = included(&candidates, &expected);
        let executed = sequential.execute(machines, state, &alone).unwrap();
        let same = Difference::between_outputs(&executed, &expected.output);
        assert_eq!(same, None, "seed {seed}");
        in_blocks += executed.transactions.len();
        for left_out in &expected.left_out {
            match left_out.why {
                Refusal::NoRoom(_) => no_room += 1,
                Refusal::Invalid(_) => invalid += 1,
                Refusal::Fault(_) => panic!("seed {seed}: {left_out:?}"),
            }
        }
        let parallel = &mut engines[rng.below(5)];
        let delays = Delays::new(seed);
        let view = Delayed::new(state, &delays);
        let (built, _) = match rng.once_in(2) {
            true => parallel.build_with(machines, &view, &candidates, &delays),
            false => parallel.build_with(machines, state, &candidates, &()),
        }
        .unwrap();
        let same = Difference::between_outputs(&expected.output, &built.output);
        assert_eq!(same, None, "seed {seed}");
        assert_eq!(built.left_out, expected.left_out, "seed {seed}");
    }
    let all = invalid * 40 > in_blocks && no_room * 40 > in_blocks && in_blocks > 0;
    assert!(all, "{in_blocks} in blocks, {invalid} invalid, {no_room} without room");
}

#[test]
fn built_is_executed() {
    run(0..200, 80);
}

#[test]
#[ignore = "long: minutes"]
fn built_is_executed_for_long() {
    run(10_000..20_000, 300);
}

#[test]
fn some_candidates_are_faulty() {
    let all = (0..20).flat_map(|seed| RandomBlock::candidates(seed, 80).unwrap().transactions);
    let (faulty, possible): (Vec<_>, Vec<_>) = all.partition(|tx| tx.faulty);
    assert!(faulty.len() * 20 > possible.len(), "{} of {}", faulty.len(), possible.len());
}
