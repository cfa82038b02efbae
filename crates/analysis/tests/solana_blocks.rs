//! Random blocks of Solana's transactions, alone and mixed with Ethereum's: parallel execution gives
//! what sequential execution gives, building what executing gives, and an execution depends on
//! nothing but what its effects name.

#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_analysis::{
    Rng,
    fuzz::{Delayed, Delays, Difference, shrink},
    solana::{SolanaBlock, world},
};
use polity_engine::{Block, BlockError, Built, Overlay, Parallel, Refusal, Sequential};
use polity_kernel::{Executed, Kernel, Scratch, View};
use polity_svm::{KIND, Record};
use polity_types::{
    AccountEffects, AccountId, B256, CodeRef, Effects, Interval, LocalKey, Name, Resources, Space,
    U256, Value,
};
use std::{collections::BTreeMap, num::NonZeroUsize};

fn engine(threads: usize) -> Parallel {
    Parallel::new(NonZeroUsize::new(threads).unwrap()).unwrap().with_least_gas(0)
}

fn compare(engine: &mut Parallel, block: &SolanaBlock, delay: Option<u64>) -> Option<Difference> {
    let SolanaBlock { machines, state, block, expected, .. } = block;
    let found = match delay {
        None => engine.execute_with(machines, state, block, &()),
        Some(seed) => {
            engine.forget();
            let delays = Delays::new(seed);
            engine.execute_with(machines, &Delayed::new(state, &delays), block, &delays)
        }
    };
    let found = found.map(|(output, _)| output);
    Difference::between(expected.as_ref(), found.as_ref())
}

fn parallel(seeds: impl Iterator<Item = u64>, most: usize) {
    let mut engines = [1, 2, 3, 4, 8].map(engine);
    let (mut transactions, mut invalid) = (0, 0);
    for seed in seeds {
        let block = SolanaBlock::new(seed, most, seed % 2 == 0).unwrap();
        match &block.expected {
            Ok(output) => transactions += output.transactions.len(),
            Err(BlockError::Invalid { .. }) => invalid += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        let engine = &mut engines[seed as usize % 5];
        for delay in [None, Some(seed)] {
            if let Some(difference) = compare(engine, &block, delay) {
                let again = |block: &SolanaBlock| {
                    (0..20).find_map(|delay| compare(engine, block, Some(delay)))
                };
                let (block, difference) = shrink(block, difference, again).unwrap();
                let names: Vec<_> = block.transactions.iter().map(|tx| &tx.name).collect();
                panic!("seed {seed}: {difference}\n{names:#?}");
            }
        }
    }
    eprintln!("{transactions} transactions, {invalid} blocks invalid");
    assert!(transactions > 0 && invalid > 0);
}

#[test]
fn parallel_is_sequential() {
    parallel(0..60, 80);
}

#[test]
#[ignore = "long: minutes"]
fn parallel_is_sequential_for_long() {
    parallel(10_000..20_000, 300);
}

fn included(candidates: &Block, built: &Built) -> Block {
    let all = &candidates.transactions;
    let transactions = built.included(all.len()).map(|index| all[index].clone()).collect();
    Block { transactions, ..candidates.clone() }
}

fn building(seeds: impl Iterator<Item = u64>, most: usize) {
    let mut engines = [1, 2, 3, 4, 8].map(engine);
    let mut sequential = Sequential::new();
    let (mut in_blocks, mut refused) = (0, BTreeMap::<&str, usize>::new());
    for seed in seeds {
        let random = SolanaBlock::candidates(seed, most, seed % 2 == 1).unwrap();
        let SolanaBlock { machines, state, block, .. } = &random;
        let expected = sequential.build(machines, state, block).unwrap();
        let executed = sequential.execute(machines, state, &included(block, &expected)).unwrap();
        let same = Difference::between_outputs(&executed, &expected.output);
        assert_eq!(same, None, "seed {seed}");
        in_blocks += executed.transactions.len();
        for left_out in &expected.left_out {
            match &left_out.why {
                Refusal::Invalid(invalid) => *refused.entry(invalid.code).or_default() += 1,
                Refusal::NoRoom(_) => *refused.entry("no room").or_default() += 1,
                Refusal::Fault(_) => panic!("seed {seed}: {left_out:?}"),
            }
        }
        let engine = &mut engines[seed as usize % 5];
        let delays = Delays::new(seed);
        let view = Delayed::new(state, &delays);
        let (built, _) = match seed % 3 {
            0 => engine.build_with(machines, state, block, &()),
            _ => engine.build_with(machines, &view, block, &delays),
        }
        .unwrap();
        let same = Difference::between_outputs(&expected.output, &built.output);
        assert_eq!(same, None, "seed {seed}");
        assert_eq!(built.left_out, expected.left_out, "seed {seed}");
    }
    eprintln!("{in_blocks} in blocks, left out: {refused:#?}");
    assert!(refused.len() > 5, "{refused:?}");
}

#[test]
fn built_is_executed() {
    building(0..40, 80);
}

#[test]
#[ignore = "long: minutes"]
fn built_is_executed_for_long() {
    building(10_000..20_000, 300);
}

/// A value of the interval, often at its edges.
fn within(rng: &mut Rng, lo: U256, hi: U256, now: U256) -> U256 {
    let one = U256::from(1);
    match rng.below(5) {
        0 => lo,
        1 => hi,
        2 => now,
        // Nothing but dust is different.
        3 => now.saturating_add(U256::from(rng.below(1_000_000_000))).clamp(lo, hi),
        _ => lo + U256::from(rng.next()) % (hi - lo).saturating_add(one).max(one),
    }
}

/// A state that differs from `view` in everything on which `effects` do not rely: in balances
/// inside their intervals, in slots and codes, and in accounts that they do not name.
fn perturbed<'v>(view: &'v dyn View, effects: &Effects, rng: &mut Rng) -> Overlay<'v> {
    let mut state = Overlay::over(view);
    let code = |rng: &mut Rng| CodeRef { machine: KIND, hash: B256::from(U256::from(rng.next())) };
    let named: Vec<AccountId> = effects.accounts.iter().map(|account| account.account).collect();
    for (index, account) in effects.accounts.iter().enumerate() {
        let before = view.account(&account.account).unwrap();
        let mut record = before.unwrap_or_default();
        let most = account.balance_read.hi.min(U256::from(1) << 200);
        let least = account.balance_read.lo;
        record.balance = within(rng, least, most.max(least), record.balance);
        if account.sequence_read.is_none() {
            record.sequence = rng.next() >> 8;
        }
        if account.code_read.is_none() && account.account.machine == KIND {
            record.code = Some(code(rng));
        }
        let was_empty = before.unwrap_or_default().is_empty();
        let exists = account.existence_read.unwrap_or(!record.is_empty() || before.is_some());
        if account.emptiness_read.is_some() && record.is_empty() != was_empty
            || exists != before.is_some() && account.existence_read.is_some()
            || !exists
        {
            continue;
        }
        state.insert_account(account.account, Some(record));
        if account.account.machine != KIND || account.storage_reset {
            continue;
        }
        // Slots that are not named at all.
        let names = |key: &LocalKey| {
            let slots = effects.slots.iter();
            slots.filter(|slot| slot.account as usize == index).any(|slot| slot.key == *key)
        };
        let pages =
            (0..4).map(|page| LocalKey { space: Space(18), name: Name::Word(U256::from(page)) });
        for key in pages.chain([polity_svm::head_key()]).filter(|key| !names(key)) {
            state.insert_slot(account.account, key, Value::bytes(vec![7; 100].into()));
        }
    }
    for slot in effects.slots.iter().filter(|slot| slot.read.is_none()) {
        let account = effects.accounts.id(slot.account as usize).unwrap();
        state.insert_slot(account, slot.key.clone(), Value::word(U256::from(rng.next())));
    }
    let people = (0..world::CROWD).map(world::person);
    let others = people.chain((0..world::NONCES).map(world::nonce));
    for id in others.map(|address| polity_svm::account(&address)) {
        if !named.contains(&id) {
            let mut record = polity_svm::record(rng.next(), Some(code(rng)));
            record.sequence = rng.next() >> 8;
            state.insert_account(id, Some(record));
            state.insert_slot(id, polity_svm::head_key(), Value::bytes(vec![7; 100].into()));
        }
    }
    state
}

/// The effects without what they rely on.
fn writes(effects: &Effects) -> Effects {
    let mut writes = effects.clone();
    let accounts = effects.accounts.iter().map(|account| AccountEffects {
        existence_read: None,
        emptiness_read: None,
        balance_read: Interval::ANY,
        sequence_read: None,
        code_read: None,
        ..account
    });
    writes.accounts = accounts.collect();
    for slot in &mut writes.slots {
        slot.read = None;
    }
    writes
}

fn reliance(seeds: impl Iterator<Item = u64>, most: usize) {
    let mut scratch = Scratch::default();
    let (mut points, mut intervals, mut free, mut invalid) = (0, 0, 0, 0);
    for seed in seeds {
        let random = SolanaBlock::candidates(seed, most, false).unwrap();
        let SolanaBlock { machines, block, .. } = &random;
        let mut rng = Rng::new(seed);
        let mut state = Overlay::over(&random.state);
        for (index, (tx, name)) in
            block.transactions.iter().zip(random.transactions.iter().map(|tx| &tx.name)).enumerate()
        {
            let at = format!("seed {seed}, transaction {index} ({name})");
            let mut run = |state: &Overlay<'_>| {
                let kernel = Kernel::new(machines, &block.context, state, &mut scratch);
                kernel.transact(tx, Resources::UNLIMITED)
            };
            let first = run(&state).unwrap();
            let effects = match &first {
                Executed::Included(output) => &output.effects,
                Executed::Invalid { relied, .. } => relied,
            };
            for account in &effects.accounts {
                match account.balance_read {
                    read if read.is_any() => free += 1,
                    read if read.hi == U256::MAX => intervals += 1,
                    _ => points += 1,
                }
            }
            for _ in 0..3 {
                let other = perturbed(&state, effects, &mut rng);
                let again = run(&other).unwrap_or_else(|halt| panic!("{at}: {halt}"));
                match (&first, &again) {
                    (Executed::Included(first), Executed::Included(again)) => {
                        let record = Record::of(&first.receipt);
                        assert_eq!(again.receipt, first.receipt, "{at}: {record:#?}");
                        assert_eq!(
                            writes(&again.effects),
                            writes(&first.effects),
                            "{at}: {record:#?}"
                        );
                    }
                    (
                        Executed::Invalid { invalid: first, .. },
                        Executed::Invalid { invalid: again, .. },
                    ) => assert_eq!(again, first, "{at}"),
                    other => panic!("{at}: {other:#?}"),
                }
            }
            match &first {
                Executed::Included(output) => state.apply(&output.effects).unwrap(),
                Executed::Invalid { .. } => invalid += 1,
            }
        }
    }
    eprintln!(
        "balances read exactly {points}, at least {intervals}, not at all {free}; {invalid} invalid"
    );
    assert!(points > 0 && intervals > 0 && free > 0 && invalid > 0);
}

#[test]
fn executions_depend_on_nothing_but_what_their_effects_name() {
    reliance(0..30, 80);
}

#[test]
#[ignore = "long: minutes"]
fn executions_depend_on_nothing_but_what_their_effects_name_for_long() {
    reliance(10_000..11_000, 200);
}
