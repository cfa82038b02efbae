//! The parallel engine gives what the sequential one gives, whatever the transactions do to each
//! other, with any number of threads and any timing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_engine::{
    Block, BlockError, BlockOutput, Built, Observer, Parallel, Refusal, Sequential,
};
use polity_kernel::{
    BlockContext, Code, Halt, Inputs, Machines, TransactionOutput, View, ViewError,
};
use polity_testkit::{
    state::State,
    toy::{self, Op, Toy, ToyBlock, ToyTransaction, slot_key},
};
use polity_types::{AccountId, AccountRecord, B256, LocalKey, MachineKind, Resources, U256, Value};
use proptest::{collection::vec, prelude::*, sample::select};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const A: MachineKind = MachineKind::new(0x70);
const B: MachineKind = MachineKind::new(0x71);
const ACCOUNTS: u8 = 4;
const KEYS: u64 = 3;

fn machines() -> Machines {
    Machines::default().with(Toy::new(A)).unwrap().with(Toy::new(B)).unwrap()
}

fn id(kind: MachineKind, number: u8) -> AccountId {
    toy::account(kind, number)
}

fn state(balance: u64) -> State {
    let mut state = State::default();
    for kind in [A, B] {
        for number in 1..=ACCOUNTS {
            let balance = U256::from(balance);
            let record = AccountRecord { balance, ..AccountRecord::default() };
            state.accounts.insert(id(kind, number), record);
            state.set_slot(id(kind, number), slot_key(1), Value::word(U256::from(number)));
        }
    }
    state
}

fn block(transactions: Vec<ToyTransaction>, gas_limit: u64) -> Block {
    let input = || ToyBlock { gas_limit, ..ToyBlock::default() };
    Block {
        context: BlockContext {
            chain_id: 31337,
            number: 2,
            timestamp: 20,
            beneficiary: id(B, ACCOUNTS),
            randomness: B256::ZERO,
            inputs: Inputs::default().with(A, input()).with(B, input()),
        },
        transactions: transactions.into_iter().map(ToyTransaction::decoded).collect(),
        transaction_limit: Resources::UNLIMITED,
    }
}

/// Hands out about so many transactions at once: a toy's takes one unit of gas or two.
fn parallel(threads: usize, at_once: u64) -> Parallel {
    let engine = Parallel::new(NonZeroUsize::new(threads).unwrap()).unwrap();
    engine.with_least_gas(0).with_least_chunk_gas(at_once)
}

/// A state whose answers come early or late, by chance.
struct Delayed<'s> {
    state: &'s State,
    seed: AtomicU64,
}

impl Delayed<'_> {
    fn delay(&self) {
        let seed = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        match (seed ^ (seed >> 29)) % 16 {
            0 => thread::sleep(Duration::from_micros(seed % 60)),
            1..=4 => thread::yield_now(),
            _ => {}
        }
    }
}

impl View for Delayed<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        self.delay();
        self.state.account(account)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.delay();
        self.state.slot(account, key)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.state.block_hash(number)
    }
}

fn any_id(kind: MachineKind) -> impl Strategy<Value = AccountId> {
    (1..=ACCOUNTS).prop_map(move |number| id(kind, number))
}

fn op(kind: MachineKind, depth: u32) -> BoxedStrategy<Op> {
    let own = move || any_id(kind);
    let any = || select(vec![A, B]).prop_flat_map(any_id);
    let plain = prop_oneof![
        4 => (any(), 0..KEYS).prop_map(|(account, key)| Op::ReadSlot { account, key }),
        4 => (own(), 0..KEYS, 0_u64..3).prop_map(|(account, key, word)| {
            Op::WriteSlot { account, key, value: Value::word(U256::from(word)) }
        }),
        6 => (own(), any(), 0_u64..9).prop_map(|(from, to, amount)| Op::transfer(from, to, amount)),
        1 => any().prop_map(Op::ReadBalance),
        1 => any().prop_map(Op::ReadEmptiness),
        1 => any().prop_map(Op::ReadExistence),
        1 => any().prop_map(Op::ReadSequence),
        1 => own().prop_map(Op::ResetStorage),
        1 => (own(), 3_u64..6).prop_map(|(account, sequence)| Op::SetSequence { account, sequence }),
        1 => own().prop_map(|account| Op::SetExistence { account, exists: false }),
        1 => (own(), 0_u64..5).prop_map(|(from, amount)| Op::Burn { from, amount: U256::from(amount) }),
        1 => Just(Op::Emit(b"event".as_slice().into())),
    ];
    if depth == 0 {
        return plain.boxed();
    }
    let called = select(vec![A, B]).prop_flat_map(move |callee| {
        (any_id(callee), vec(op(callee, depth - 1), 0..4)).prop_map(|(to, ops)| Op::call(to, &ops))
    });
    let undone = vec(op(kind, depth - 1), 0..4).prop_map(|ops| Op::undone(&ops));
    prop_oneof![12 => plain, 2 => called, 1 => undone].boxed()
}

/// Transactions whose sequence numbers follow on each other, but for one in so many.
fn transactions(one_in: u32) -> impl Strategy<Value = Vec<ToyTransaction>> {
    let one = select(vec![A, B]).prop_flat_map(move |kind| {
        let gap = prop_oneof![one_in => Just(0_u64), 1 => Just(1)];
        (Just(kind), 1..=ACCOUNTS, vec(op(kind, 2), 0..5), 0_u64..3, gap, 1_u64..3)
    });
    vec(one, 1..40).prop_map(|all| {
        let mut next = std::collections::BTreeMap::<AccountId, u64>::new();
        all.into_iter()
            .map(|(kind, number, ops, fee, gap, gas)| {
                let sender = id(kind, number);
                let sequence = next.entry(sender).or_default();
                let tx = ToyTransaction::new(sender, *sequence + gap, &ops).fee(fee);
                *sequence += u64::from(gap == 0);
                ToyTransaction { gas_limit: gas, ..tx }
            })
            .collect()
    })
}

/// The transactions in the order in which they were committed.
#[derive(Default)]
struct Told(Mutex<Vec<usize>>);

impl Observer for Told {
    fn committed(&self, transaction: usize, _: &TransactionOutput) {
        self.0.lock().unwrap().push(transaction);
    }
}

fn compare(state: &State, block: &Block, (threads, at_once): (usize, u64), seed: u64) {
    let machines = machines();
    let expected = Sequential::new().execute(&machines, state, block);
    let view = Delayed { state, seed: AtomicU64::new(seed) };
    let told = Told::default();
    let executed = parallel(threads, at_once).execute_with(&machines, &view, block, &told);
    let told = told.0.into_inner().unwrap();
    assert!(told.iter().copied().eq(0..told.len()), "told out of order");
    match (&expected, executed) {
        (Ok(_), Ok((output, statistics))) => {
            assert_eq!(&output, expected.as_ref().unwrap());
            assert_eq!(told.len(), output.transactions.len());
            assert!(statistics.executions >= statistics.transactions);
            assert!(statistics.chunks > 1 || told.len() <= 6, "not parallel: {statistics:?}");
        }
        (Err(expected), Err(error)) => assert_eq!(&error, expected),
        (expected, executed) => panic!("{expected:?} became {:?}", executed.map(|(out, _)| out)),
    }
}

/// Candidates some of which are not possible, or only once another was left out.
fn candidates() -> impl Strategy<Value = Vec<ToyTransaction>> {
    let faults = vec(prop_oneof![30 => Just(false), 1 => Just(true)], 40);
    (transactions(8), faults).prop_map(|(mut transactions, faults)| {
        for (tx, _) in transactions.iter_mut().zip(faults).filter(|(_, faulty)| *faulty) {
            let mint = [Op::Credit { to: tx.sender, amount: U256::ONE }];
            *tx = ToyTransaction {
                gas_limit: 1,
                ..ToyTransaction::new(tx.sender, tx.sequence, &mint)
            };
        }
        transactions
    })
}

/// The block of the included candidates.
fn included(candidates: &Block, built: &Built) -> Block {
    let all = &candidates.transactions;
    let transactions: Vec<_> = built.included(all.len()).map(|index| all[index].clone()).collect();
    assert_eq!(transactions.len(), built.output.transactions.len());
    Block { transactions, ..candidates.clone() }
}

fn compare_built(
    state: &State,
    block: &Block,
    (threads, at_once): (usize, u64),
    seed: u64,
) -> Built {
    let machines = machines();
    let expected = Sequential::new().build(&machines, state, block).unwrap();
    let alone = included(block, &expected);
    assert_eq!(Sequential::new().execute(&machines, state, &alone).unwrap(), expected.output);
    let view = Delayed { state, seed: AtomicU64::new(seed) };
    let told = Told::default();
    let mut engine = parallel(threads, at_once);
    let (built, _) = engine.build_with(&machines, &view, block, &told).unwrap();
    assert_eq!(built, expected);
    let told = told.0.into_inner().unwrap();
    assert!(told.iter().copied().eq(0..expected.output.transactions.len()));
    assert_eq!(engine.execute(&machines, state, &alone).unwrap(), expected.output);
    expected
}

/// How many threads, and how much each gets at once.
fn workers() -> impl Strategy<Value = (usize, u64)> {
    (2_usize..9, select(vec![0_u64, 0, 2, 5]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 2000, ..Default::default() })]

    #[test]
    fn parallel_is_sequential(
        transactions in transactions(60),
        balance in select(vec![0_u64, 5, 40, 1_000_000]),
        gas_limit in select(vec![20_u64, 1_000_000]),
        workers in workers(),
        seed: u64,
    ) {
        compare(&state(balance), &block(transactions, gas_limit), workers, seed);
    }

    #[test]
    fn building_in_parallel_is_building_sequentially(
        candidates in candidates(),
        balance in select(vec![0_u64, 5, 40, 1_000_000]),
        gas_limit in select(vec![20_u64, 1_000_000]),
        workers in workers(),
        seed: u64,
    ) {
        compare_built(&state(balance), &block(candidates, gas_limit), workers, seed);
    }
}

#[test]
#[ignore = "long: minutes; PROPTEST_CASES sets how many"]
fn parallel_is_sequential_for_long() {
    let strategy =
        (transactions(60), select(vec![0_u64, 5, 40, 1_000_000]), workers(), any::<u64>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: ProptestConfig::default().cases.max(20_000),
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |(transactions, balance, workers, seed)| {
            compare(&state(balance), &block(transactions, 1_000_000), workers, seed);
            Ok(())
        })
        .unwrap();
}

/// Every transaction reads what the one before it wrote.
fn dependent(count: u64) -> Vec<ToyTransaction> {
    let shared = id(A, 1);
    (0..count)
        .map(|n| {
            let ops = [Op::read(shared, 0), Op::write(shared, 0, n + 1)];
            let tx = ToyTransaction::new(id(A, 2), n, &ops);
            ToyTransaction { gas_limit: 1, ..tx }
        })
        .collect()
}

#[test]
fn a_fully_dependent_block_is_the_same() {
    for workers in [(2, 0), (3, 4), (8, 0)] {
        compare(&state(10), &block(dependent(400), 1_000_000), workers, 7);
    }
}

#[test]
fn where_one_is_left_out_those_that_follow_it_are_too() {
    // The others presume that it has taken place.
    let mut candidates = dependent(60);
    candidates[20] = ToyTransaction { gas_limit: 1, ..candidates[20].clone() }.fee(1_000);
    for workers in [(2, 0), (3, 4), (8, 0)] {
        let built = compare_built(&state(10), &block(candidates.clone(), 1_000_000), workers, 7);
        let left_out: Vec<_> = built.left_out.iter().map(|left_out| left_out.candidate).collect();
        assert!(left_out.iter().copied().eq(20..60), "{left_out:?}");
    }
}

#[test]
fn what_finds_no_room_is_not_executed() {
    let (state, block, machines) = (state(10), block(dependent(4_000), 40), machines());
    for (threads, at_once) in [(1, 0), (2, 0), (4, 8)] {
        let mut engine = parallel(threads, at_once);
        let (built, statistics) = engine.build_with(&machines, &state, &block, &()).unwrap();
        // Each uses two units.
        assert_eq!(built.output.transactions.len(), 20);
        assert_eq!(built.left_out.len(), 3_980);
        assert!(built.left_out.iter().all(|left| matches!(left.why, Refusal::NoRoom(_))));
        // What was on its way when the block became full; how much that is, is the workers' pace
        // beside that of who commits.
        assert!(statistics.sequential || statistics.executions < 2_000, "{statistics:?}");
    }
}

#[test]
fn a_small_block_is_shared_out_where_that_is_asked_for() {
    let (state, block, machines) = (state(10), block(dependent(3), 1_000_000), machines());
    let engine = Parallel::new(NonZeroUsize::new(2).unwrap()).unwrap();
    let executed = engine.with_least_gas(0).execute_with(&machines, &state, &block, &());
    assert_eq!(executed.unwrap().1.chunks, 3);
}

#[test]
fn a_presumed_sequence_number_is_checked() {
    // The account is found with sequence number 0 and, in the same chunk, presumed to have 1.
    let (hot, sender) = (id(B, 1), id(A, 1));
    let one = |sender, sequence, ops: &[Op]| {
        let tx = ToyTransaction::new(sender, sequence, ops);
        ToyTransaction { gas_limit: 1, ..tx }
    };
    let mut transactions: Vec<_> = (0..40).map(|n| one(sender, n, &[])).collect();
    transactions.push(one(sender, 40, &[Op::transfer(sender, hot, 1)]));
    transactions.push(one(hot, 1, &[]));
    let (state, block) = (state(10), block(transactions, 1_000_000));
    for seed in 0..50 {
        compare(&state, &block, (4, 3), seed);
    }
}

#[test]
fn credits_and_covered_debits_do_not_conflict() {
    let hot = id(A, 1);
    let transactions = (0..200)
        .map(|n| {
            let sender = id(A, 2 + (n % 3) as u8);
            let ops = [Op::transfer(sender, hot, 1), Op::transfer(hot, id(B, 1), 1)];
            ToyTransaction { gas_limit: 1, ..ToyTransaction::new(sender, n / 3, &ops).fee(1) }
        })
        .collect();
    let (state, block, machines) = (state(1_000_000), block(transactions, 1_000_000), machines());
    let mut engine = parallel(4, 0);
    let (output, statistics) = engine.execute_with(&machines, &state, &block, &()).unwrap();
    assert_eq!(output, Sequential::new().execute(&machines, &state, &block).unwrap());
    assert_eq!(statistics.executions, statistics.transactions, "something ran twice");
}

/// A state that fails where it is asked for one account.
struct Failing<'s>(&'s State, AccountId, bool);

impl View for Failing<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match self {
            Self(_, broken, true) if broken == account => panic!("a worker's panic"),
            Self(_, broken, false) if broken == account => Err(ViewError::Store("broken".into())),
            Self(state, ..) => state.account(account),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.0.slot(account, key)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.0.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.0.block_hash(number)
    }
}

#[test]
fn a_failing_state_and_a_panic_are_errors_of_the_block() {
    let broken = id(B, 200);
    let mut transactions = dependent(50);
    transactions[30] = ToyTransaction::new(id(A, 2), 30, &[Op::ReadBalance(broken)]);
    transactions[30].gas_limit = 1;
    let (state, block, machines) = (state(10), block(transactions, 1_000_000), machines());
    let at_30 = |result: Result<BlockOutput, BlockError>| match result.unwrap_err() {
        BlockError::Halt { place, halt } => {
            assert!(place.to_string().contains("transaction 30"), "{place}");
            halt
        }
        other => panic!("{other}"),
    };
    let mut engine = parallel(4, 0);
    let view = Failing(&state, broken, false);
    let halt = at_30(engine.execute(&machines, &view, &block));
    assert_eq!(halt, Halt::View(ViewError::Store("broken".into())));
    let view = Failing(&state, broken, true);
    let halt = at_30(engine.execute(&machines, &view, &block));
    assert!(halt.to_string().contains("a worker's panic"), "{halt}");
    // The engine is as good as new.
    let block = self::block(dependent(50), 1_000_000);
    let output = engine.execute(&machines, &state, &block).unwrap();
    assert_eq!(output, Sequential::new().execute(&machines, &state, &block).unwrap());
}
