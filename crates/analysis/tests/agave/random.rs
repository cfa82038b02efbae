//! Solana's machine and agave's own transaction processor execute the same random transactions
//! alike: results, logs, compute units, fees, inner instructions, returned data, sizes, accounts.

use crate::bank::{Bank, Ended};
use polity_analysis::{
    Rng,
    solana::{Kind, draw, world, world::World},
};
use polity_types::U256;
use std::collections::BTreeMap;

#[derive(Default)]
struct Count {
    succeeded: usize,
    failed: usize,
    invalid: usize,
    errors: BTreeMap<String, usize>,
}

/// Random transactions on a random world, several in a slot. Half of the worlds have programs that
/// agave interprets, where the machine has them compiled.
fn run(seed: u64, slots: usize, counts: &mut BTreeMap<Kind, Count>) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(&mut rng);
    // Of more than it can count agave knows nothing.
    world.extra.remove(&world::person(world::CROESUS));
    let mut bank = Bank::new(&world);
    match rng.below(4) {
        0 | 1 => assert!(bank.theirs.interpret() > 8),
        2 => bank = bank.with_litesvm(),
        _ => {}
    }
    let favoured: Vec<Kind> = (0..3).map(|_| *rng.pick(Kind::ALL).unwrap()).collect();
    for _ in 0..slots {
        for _ in 0..1 + rng.below(12) {
            let kinds = if rng.once_in(3) { &favoured[..] } else { Kind::ALL };
            let kind = *rng.pick(kinds).unwrap();
            let mut draft = draw::draw(kind, &mut rng, bank.slot);
            if rng.once_in(60) {
                draft.age = draw::Age::Unknown;
            }
            let Some(mut signed) = bank.sign(&draft) else { continue };
            if rng.once_in(60) {
                signed.signatures[0] = Default::default();
            }
            let ended = bank.send(signed.clone());
            let count = counts.entry(kind).or_default();
            match ended {
                Ended::Included(record) if record.error().is_none() => count.succeeded += 1,
                Ended::Included(record) => {
                    count.failed += 1;
                    let error = record.error().unwrap().to_string();
                    *count.errors.entry(error).or_default() += 1;
                }
                Ended::Invalid(_) | Ended::Refused(_) => count.invalid += 1,
            }
            if rng.once_in(30) {
                assert!(!bank.send(signed).is_success());
            }
        }
        if rng.once_in(3) {
            let to = world::person(rng.below(world::CROWD - 2));
            bank.give(to, U256::from(rng.next() >> (20 + rng.below(40))));
        }
        bank.next_slot();
    }
}

fn run_all(seeds: impl Iterator<Item = u64>, slots: usize) {
    let mut counts = BTreeMap::new();
    let only: Option<u64> = std::env::var("POLITY_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in seeds.filter(|seed| only.is_none_or(|only| only == *seed)) {
        eprintln!("seed {seed}");
        run(seed, slots, &mut counts);
    }
    let mut all = 0;
    for (kind, Count { succeeded, failed, invalid, errors }) in &counts {
        eprintln!("{kind:?}: {succeeded} succeeded, {failed} failed, {invalid} invalid");
        for (error, times) in errors {
            eprintln!("    {times} × {error}");
        }
        all += succeeded + failed + invalid;
    }
    eprintln!("{all} transactions");
}

#[test]
fn random_transactions_are_executed_alike() {
    run_all(0..12, 12);
}

#[test]
#[ignore = "long: minutes"]
fn random_transactions_are_executed_alike_for_long() {
    run_all(1_000..2_000, 25);
}
