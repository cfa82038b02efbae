//! The random blocks hold what they are meant to, and most of it comes about: otherwise what holds
//! on them would say little.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use alloy_primitives::{Address, U256};
use polity_analysis::fuzz::{Kind, RandomBlock};
use polity_engine::{BlockError, BlockOutput, Overlay};
use polity_evm::{account, spec::Fork};
use polity_kernel::{TransactionOutput, View};
use polity_types::AccountId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

const SEEDS: u64 = 300;
const MOST: usize = 60;

static BLOCKS: LazyLock<Vec<RandomBlock>> =
    LazyLock::new(|| (0..SEEDS).map(|seed| RandomBlock::new(seed, MOST).unwrap()).collect());

/// Whether a transaction did what its kind is about.
fn came_about(kind: Kind, fork: Fork, output: &TransactionOutput) -> bool {
    let success = output.receipt.status.is_success();
    let accounts = &output.effects.accounts;
    let sets_code = accounts.iter().any(|account| account.code_write.is_some());
    let removes = accounts.iter().any(|account| account.existence_write == Some(false));
    match kind {
        // A delegation stands whatever the call does.
        Kind::Delegate
        | Kind::DelegateAgain
        | Kind::ClearDelegation
        | Kind::DelegateToDelegated
        | Kind::DelegateSender
        | Kind::DelegateMany => sets_code,
        Kind::DelegateWrongNonce => !sets_code,
        // From Cancun on, a contract of an earlier transaction stays.
        Kind::DestroyToOther | Kind::DestroyToSelf => success && (fork >= Fork::Cancun || removes),
        Kind::Create | Kind::FactoryCreate | Kind::FactoryCreate2 | Kind::Recreate => {
            success && sets_code
        }
        // Nothing is left.
        Kind::CreateAndDestroy => success && !sets_code,
        kind => success != kind.fails(),
    }
}

#[test]
fn every_kind_comes_about() {
    let mut counts: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    let mut recreated = BTreeSet::new();
    for block in BLOCKS.iter() {
        let Ok(output) = &block.expected else { continue };
        for (transaction, output) in block.transactions.iter().zip(&output.transactions) {
            let came = came_about(transaction.kind, block.fork, output);
            let (all, good) = counts.entry(transaction.kind).or_default();
            *all += 1;
            *good += usize::from(came);
            if came && transaction.kind == Kind::Recreate {
                recreated.insert(block.fork >= Fork::Cancun);
            }
        }
    }
    for kind in Kind::ALL {
        let (all, good) = counts.get(kind).copied().unwrap_or_default();
        assert!(good >= 8, "{kind:?} came about {good} times of {all}");
        assert!(good * 3 >= all, "{kind:?} came about {good} times of {all}");
    }
    assert_eq!(recreated.len(), 2, "not recreated both before and after Cancun");
}

#[test]
fn what_is_spent_is_spent_to_the_wei() {
    let mut counts = BTreeMap::new();
    for block in BLOCKS.iter() {
        let Ok(output) = &block.expected else { continue };
        let mut state = Overlay::over(&block.state);
        for begin in &output.begin {
            state.apply(&begin.effects).unwrap();
        }
        for (transaction, output) in block.transactions.iter().zip(&output.transactions) {
            state.apply(&output.effects).unwrap();
            let left = match transaction.kind {
                Kind::LeaveOneWei => 1,
                Kind::SpendAll => 0,
                _ => continue,
            };
            let record = state.account(&account(transaction.sender)).unwrap().unwrap();
            // Unless the sender is the beneficiary, who gets some of it back.
            if transaction.sender != block.header.beneficiary {
                assert_eq!(record.balance, U256::from(left));
                *counts.entry(transaction.kind).or_insert(0) += 1;
            }
        }
    }
    assert!(counts.len() == 2 && counts.values().all(|count| *count >= 10), "{counts:?}");
}

/// What occurs in the blocks beside single transactions, each with how often it has to.
#[test]
fn blocks_are_of_many_sorts() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |what: &str, occurs: bool| {
        *counts.entry(what.into()).or_default() += usize::from(occurs);
    };
    for block in BLOCKS.iter() {
        count(&format!("fork {}", block.fork), true);
        let transactions = &block.transactions;
        for transaction in transactions {
            count(&format!("type {}", transaction.envelope.tx_type() as u8), true);
        }
        let senders: BTreeSet<Address> = transactions.iter().map(|tx| tx.sender).collect();
        let beneficiary = block.header.beneficiary;
        let code = block.accounts.get(&beneficiary).map(|account| !account.code.is_empty());
        count("beneficiary sends", senders.contains(&beneficiary));
        count("beneficiary is a contract", code == Some(true) && !senders.contains(&beneficiary));
        count("withdrawals", !block.withdrawals.is_empty());
        let longest = senders
            .iter()
            .map(|sender| transactions.iter().filter(|tx| tx.sender == *sender).count())
            .max();
        count("five of one sender", longest >= Some(5));
        let authorities: BTreeSet<Address> = transactions
            .iter()
            .filter_map(|tx| tx.envelope.as_eip7702())
            .flat_map(|tx| &tx.tx().authorization_list)
            .map(|authorization| authorization.recover_authority().unwrap())
            .collect();
        count("authority sends", !authorities.is_disjoint(&senders));
        let to = |tx: &&polity_analysis::fuzz::Transaction| {
            alloy_consensus::Transaction::to(&tx.envelope)
                .is_some_and(|to| authorities.contains(&to))
        };
        count("authority receives", transactions.iter().any(|tx| to(&tx)));
        match &block.expected {
            Ok(output) => {
                assert!(transactions.iter().all(|tx| !tx.faulty));
                assert_eq!(output.transactions.len(), transactions.len());
                count(
                    "system calls",
                    output.begin.iter().any(|begin| !begin.effects.slots.is_empty()),
                );
                count("requests", output.end.iter().any(|end| !end.end.requests.is_empty()));
                let share = dependent(output);
                if transactions.len() >= 20 {
                    count("most depends on earlier ones", share > 0.6);
                    count("little depends on earlier ones", share < 0.4);
                }
            }
            Err(BlockError::Invalid { invalid, .. }) => {
                assert!(transactions.iter().any(|tx| tx.faulty));
                count("invalid", true);
                count(&format!("invalid: {}", invalid.code), true);
            }
            Err(error) => panic!("seed {}: {error}", block.seed),
        }
    }
    println!("{counts:#?}");
    for (what, least) in [
        ("fork London", 15),
        ("fork Paris", 15),
        ("fork Shanghai", 15),
        ("fork Cancun", 15),
        ("fork Prague", 15),
        ("fork Osaka", 15),
        ("type 0", 100),
        ("type 1", 100),
        ("type 2", 100),
        ("type 3", 100),
        ("type 4", 100),
        ("beneficiary sends", 20),
        ("beneficiary is a contract", 20),
        ("withdrawals", 50),
        ("five of one sender", 50),
        ("authority sends", 20),
        ("authority receives", 20),
        ("system calls", 20),
        ("requests", 10),
        ("most depends on earlier ones", 15),
        ("little depends on earlier ones", 15),
        ("invalid", 10),
    ] {
        let count = counts.get(what).copied().unwrap_or_default();
        assert!(count >= least, "{what}: {count}");
    }
    let reasons = counts.keys().filter(|what| what.starts_with("invalid: ")).count();
    assert!(reasons >= 5, "only {reasons} reasons for which blocks are invalid");
    assert!(counts["invalid"] * 4 < SEEDS as usize, "too many are invalid");
}

/// Which share of the transactions relies on a slot, or on the exact balance of an account, that
/// an earlier one wrote.
#[expect(clippy::float_arithmetic, reason = "a share is for people to read")]
fn dependent(output: &BlockOutput) -> f64 {
    let mut balances: BTreeSet<AccountId> = BTreeSet::new();
    let mut slots = BTreeSet::new();
    let mut depend = 0;
    for output in &output.transactions {
        let accounts = &output.effects.accounts;
        let name = |index: u32| accounts.id(index as usize).unwrap();
        let on_balance = accounts
            .iter()
            .any(|account| account.balance_read.is_point() && balances.contains(&account.account));
        let on_slot = output.effects.slots.iter().any(|slot| {
            slot.read.is_some() && slots.contains(&(name(slot.account), slot.key.clone()))
        });
        depend += usize::from(on_balance || on_slot);
        let changed = accounts.iter().filter(|account| !account.balance_delta.is_zero());
        balances.extend(changed.map(|account| account.account));
        let written = output.effects.slots.iter().filter(|slot| slot.write.is_some());
        slots.extend(written.map(|slot| (name(slot.account), slot.key.clone())));
    }
    depend as f64 / output.transactions.len() as f64
}

#[test]
fn a_seed_gives_one_block() {
    for seed in [0, 7, u64::MAX] {
        let [one, other] = [0, 1].map(|_| RandomBlock::new(seed, 30).unwrap());
        let whole = one.without(0..0).unwrap();
        let hashes = |block: &RandomBlock| -> Vec<_> {
            block.transactions.iter().map(|tx| *tx.envelope.tx_hash()).collect()
        };
        for again in [&other, &whole] {
            assert_eq!(hashes(again), hashes(&one));
            assert_eq!(again.header, one.header);
            assert_eq!(again.expected, one.expected);
        }
        assert_ne!(hashes(&RandomBlock::new(seed ^ 1, 30).unwrap()), hashes(&one));
    }
}

#[test]
fn what_is_left_after_dropping_is_a_block() {
    for block in BLOCKS.iter().take(20).filter(|block| block.expected.is_ok()) {
        let third = block.transactions.len() / 3;
        let rest = block.without(third..2 * third).unwrap();
        assert!(rest.transactions.len() <= block.transactions.len() - third);
        assert!(rest.expected.is_ok(), "{:?}", rest.expected);
    }
}
