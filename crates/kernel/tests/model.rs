//! The kernel against a naive model, and against itself on states that differ in what a transaction
//! did not rely on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod naive;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;
use naive::{Guest, Included, Naive, Verdict};
use polity_kernel::{
    BlockContext, Executed, Halt, Inputs, Kernel, Machines, Scratch, Trace, TransactionOutput,
};
use polity_testkit::{
    state::State,
    told,
    toy::{Invocation, Op, Program, Toy, ToyTransaction, account, slot_key},
};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, Bytes, CodeRef, Effects, LocalKey, MachineKind,
    Meter, Resources, U256, Value,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const KINDS: [MachineKind; 3] =
    [MachineKind::new(0x70), MachineKind::new(0x71), MachineKind::new(0x72)];

/// A kind that no machine has.
const STRANGER: MachineKind = MachineKind::new(0x7f);

const ACCOUNTS: u8 = 3;
const KEYS: u64 = 3;
const CODES: usize = 2;

fn beneficiary() -> AccountId {
    account(KINDS[0], ACCOUNTS)
}

fn block() -> BlockContext {
    BlockContext {
        chain_id: 31337,
        number: 7,
        timestamp: 700,
        beneficiary: beneficiary(),
        randomness: B256::ZERO,
        inputs: Inputs::default(),
    }
}

fn machines(guests: &[Guest]) -> Machines {
    guests.iter().fold(Machines::default(), |machines, guest| {
        let toy = if guest.unruly { Toy::unruly(guest.kind) } else { Toy::new(guest.kind) };
        machines.with(toy).unwrap()
    })
}

fn all_accounts() -> Vec<AccountId> {
    let toys = KINDS.into_iter().flat_map(|kind| (1..=ACCOUNTS).map(move |n| account(kind, n)));
    toys.chain([account(STRANGER, 1)]).collect()
}

/// An account: usually one of the machine's own.
fn any_account(kind: MachineKind) -> impl Strategy<Value = AccountId> {
    prop_oneof![
        5 => (1..=ACCOUNTS).prop_map(move |n| account(kind, n)),
        2 => select(all_accounts()),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0_u64..3).prop_map(|word| Value::word(U256::from(word))),
        1 => vec(any::<u8>(), 0..3).prop_map(|bytes| Value::bytes(bytes.into())),
    ]
}

fn any_amount() -> impl Strategy<Value = U256> {
    (0_u64..12).prop_map(U256::from)
}

fn any_limit() -> impl Strategy<Value = Resources> {
    prop_oneof![
        4 => Just(Resources::UNLIMITED),
        1 => (0_u64..16).prop_map(|compute| Resources { compute, ..Resources::UNLIMITED }),
        1 => (0_u64..5).prop_map(|reads| Resources { reads, ..Resources::UNLIMITED }),
        1 => (0_u64..3).prop_map(|frames| Resources { frames, ..Resources::UNLIMITED }),
    ]
}

fn code(kind: MachineKind, n: usize) -> (MachineKind, Bytes) {
    let own = account(kind, 1);
    let programs: [Vec<Op>; CODES] = [
        vec![Op::read(own, 0), Op::write(own, 0, 2), Op::Emit(Bytes::from_static(b"code"))],
        vec![Op::WriteTransient { key: 0, value: 5 }, Op::ReadBalance(own)],
    ];
    (kind, Program::new(&programs[n]).0)
}

fn any_code() -> impl Strategy<Value = (MachineKind, Bytes)> {
    (select(KINDS.to_vec()), 0..CODES).prop_map(|(kind, n)| code(kind, n))
}

/// An operation that keeps to the rules, whatever comes of it.
fn lawful(kind: MachineKind) -> BoxedStrategy<Op> {
    let who = || any_account(kind);
    let looks = prop_oneof![
        (who(), 0..KEYS).prop_map(|(account, key)| Op::ReadSlot { account, key }),
        who().prop_map(Op::ReadBalance),
        who().prop_map(Op::ReadSequence),
        who().prop_map(Op::ReadCode),
        who().prop_map(Op::ReadExistence),
        who().prop_map(Op::ReadEmptiness),
        Just(Op::ReadBlockHash(1)),
        Just(Op::ReadLeft),
        (0_u8..2).prop_map(Op::ReadTransient),
    ];
    let changes = prop_oneof![
        4 => (who(), 0..KEYS, any_value())
            .prop_map(|(account, key, value)| Op::WriteSlot { account, key, value }),
        2 => who().prop_map(Op::ResetStorage),
        4 => (who(), select(all_accounts()), any_amount())
            .prop_map(|(from, to, amount)| Op::Transfer { from, to, amount }),
        1 => (who(), any_amount()).prop_map(|(from, amount)| Op::Burn { from, amount }),
        2 => (who(), 0_u64..3)
            .prop_map(|(account, sequence)| Op::SetSequence { account, sequence }),
        2 => (who(), option::of(any_code()))
            .prop_map(|(account, code)| Op::SetCode { account, code }),
        1 => vec(any::<u8>(), 0..2).prop_map(|data| Op::Emit(data.into())),
        1 => vec(any::<u8>(), 0..2).prop_map(|data| Op::EmitLater(data.into())),
        1 => (0_u8..2, 0_u64..3).prop_map(|(key, value)| Op::WriteTransient { key, value }),
        1 => (0_u8..7, 0_u64..4).prop_map(|(meter, amount)| Op::Charge { meter, amount }),
    ];
    let ends = prop_oneof![
        Just(Op::Revert),
        Just(Op::Fail),
        who().prop_map(|account| Op::SetExistence { account, exists: true }),
        // Only a frame with a limit survives it.
        Just(Op::charge(Meter::Compute, u64::MAX)),
        Just(Op::Drain { meter: 0 }),
    ];
    prop_oneof![8 => looks, 12 => changes, 1 => ends].boxed()
}

/// An operation that may break a rule of the kernel, which ends the transaction.
fn unlawful(kind: MachineKind) -> BoxedStrategy<Op> {
    let who = || any_account(kind);
    prop_oneof![
        2 => who().prop_map(|account| Op::SetExistence { account, exists: false }),
        1 => (who(), any_amount()).prop_map(|(to, amount)| Op::Mint { to, amount }),
        1 => (who(), any_amount()).prop_map(|(from, amount)| Op::Debit { from, amount }),
        1 => (who(), any_amount()).prop_map(|(to, amount)| Op::Credit { to, amount }),
    ]
    .boxed()
}

/// Programs of a machine, calls of others inside.
fn program(kind: MachineKind, depth: u32, laws: u32) -> BoxedStrategy<Program> {
    let plain = || prop_oneof![laws => lawful(kind), 1 => unlawful(kind)];
    let op = if depth == 0 {
        plain().boxed()
    } else {
        let inner = || program(kind, depth - 1, laws);
        let called = select(all_accounts()).prop_flat_map(move |target| {
            let kind = if target.machine == STRANGER { KINDS[0] } else { target.machine };
            let input = prop_oneof![
                8 => program(kind, depth - 1, laws),
                1 => Just(Program::default()),
                1 => vec(any::<u8>(), 1..4).prop_map(|bytes| Program(bytes.into())),
            ];
            let value = prop_oneof![2 => Just(0_u64), 1 => 0_u64..12];
            (input, value, any_limit(), prop::bool::weighted(0.15)).prop_map(
                move |(input, value, limit, read_only)| {
                    let call = Invocation::new(target, input).value(value).limit(limit);
                    Op::Call(if read_only { call.read_only() } else { call })
                },
            )
        });
        prop_oneof![
            6 => plain(),
            3 => called,
            1 => (inner(), any::<bool>())
                .prop_map(|(program, keep)| Op::Attempt { program, keep }),
            1 => (inner(), inner()).prop_map(|(first, second)| Op::AttemptTwice(first, second)),
        ]
        .boxed()
    };
    vec(op, 0..7).prop_map(|ops| Program::new(&ops)).boxed()
}

fn any_record() -> impl Strategy<Value = AccountRecord> {
    (0_u64..20, 0_u64..3, option::weighted(0.3, any_code())).prop_map(
        |(balance, sequence, code)| AccountRecord {
            balance: U256::from(balance),
            sequence,
            code: code.map(|(machine, bytes)| CodeRef { machine, hash: keccak256(&bytes) }),
        },
    )
}

/// A state, with what is not account or slot always the same.
fn any_state() -> impl Strategy<Value = State> {
    let accounts = all_accounts();
    let records = vec(option::weighted(0.7, any_record()), accounts.len());
    let slots = vec((select(accounts.clone()), 0..KEYS, any_value()), 0..10);
    (records, slots).prop_map(move |(records, slots)| {
        let mut state = State::default();
        for (id, record) in accounts.iter().zip(records) {
            state.accounts.extend(record.map(|record| (*id, record)));
        }
        for (id, key, value) in slots {
            state.set_slot(id, slot_key(key), value);
        }
        for kind in KINDS {
            for n in 0..CODES {
                let (_, bytes) = code(kind, n);
                state.codes.insert(keccak256(&bytes), bytes);
            }
        }
        state.block_hashes.insert(1, B256::with_last_byte(1));
        state
    })
}

#[derive(Clone, Debug)]
struct Case {
    guests: Vec<Guest>,
    state: State,
    tx: ToyTransaction,
    limit: Resources,
    seed: u64,
}

/// `laws` to 1: how much more often an operation keeps to the rules.
fn any_case(laws: u32) -> impl Strategy<Value = Case> {
    let guests = vec(prop::bool::weighted(0.1), KINDS.len());
    let tx = (select(KINDS.to_vec()), 1..=ACCOUNTS).prop_flat_map(move |(kind, n)| {
        let fee = prop_oneof![9 => Just(0), 2 => 0_u64..4, 1 => 0_u64..25];
        (program(kind, 3, laws), fee).prop_map(move |(program, fee)| {
            let tx = ToyTransaction::new(account(kind, n), 0, &[]).fee(fee);
            ToyTransaction { program, ..tx }
        })
    });
    let limit = prop_oneof![3 => Just(Resources::UNLIMITED), 1 => any_limit()];
    (guests, any_state(), tx, limit, any::<u64>(), prop::bool::weighted(0.03)).prop_map(
        |(unruly, state, mut tx, limit, seed, wrong)| {
            let guests = KINDS.into_iter().zip(unruly);
            let guests = guests.map(|(kind, unruly)| Guest { kind, unruly }).collect();
            let sequence = state.accounts.get(&tx.sender).map_or(0, |record| record.sequence);
            tx.sequence = sequence + u64::from(wrong);
            Case { guests, state, tx, limit, seed }
        },
    )
}

/// A sequence of numbers that looks random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

fn execute(case: &Case, state: &State, scratch: &mut Scratch) -> Result<Executed, Halt> {
    let (machines, block) = (machines(&case.guests), block());
    Kernel::new(&machines, &block, state, scratch).transact(&case.tx.clone().decoded(), case.limit)
}

/// Checks an execution against the model.
fn check_model(case: &Case, executed: &Result<Executed, Halt>) -> Result<(), TestCaseError> {
    let expected = Naive::transact(&case.guests, beneficiary(), &case.state, &case.tx, case.limit);
    let got = match executed {
        Err(Halt::Fault(_)) => Verdict::Fault,
        Err(Halt::View(_)) => Verdict::Missing,
        Err(halt @ (Halt::Exhausted(_) | Halt::Block(_))) => {
            panic!("{halt} came out of a transaction")
        }
        Ok(Executed::Invalid { invalid, relied }) => {
            prop_assert_eq!(&without_reads(relied), &Effects::default());
            Verdict::Invalid(invalid.code)
        }
        Ok(Executed::Included(TransactionOutput { effects, receipt })) => {
            Verdict::Included(Box::new(Included {
                state: case.state.apply(effects).unwrap(),
                events: effects.events.clone(),
                status: receipt.status.clone(),
                output: receipt.output.clone(),
                gas_used: receipt.gas_used,
                used: Resources { writes: 0, growth: 0, ..receipt.used },
                burned: effects.burned,
            }))
        }
    };
    prop_assert_eq!(got, expected);
    Ok(())
}

/// What effects change, without what they look at.
fn without_reads(effects: &Effects) -> Effects {
    let mut left = effects.clone();
    left.accounts = left.accounts.iter().filter(AccountEffects::writes).collect();
    left.slots.retain(|slot| slot.write.is_some());
    left.block_hashes.clear();
    left
}

/// Another state on which the effects claim to be right as well.
fn perturb(state: &State, effects: &Effects, numbers: &mut Numbers) -> State {
    let mut other = State { slots: BTreeMap::new(), ..state.clone() };
    let codes: Vec<_> =
        KINDS.into_iter().flat_map(|kind| (0..CODES).map(move |n| (kind, n))).collect();
    let read: BTreeSet<(AccountId, LocalKey)> = effects
        .slots
        .iter()
        .filter(|slot| slot.read.is_some())
        .map(|slot| (effects.accounts.id(slot.account as usize).unwrap(), slot.key.clone()))
        .collect();
    for id in all_accounts() {
        let relied = effects.accounts.iter().find(|account| account.account == id);
        let original = state.accounts.get(&id).copied();
        let fits = |record: Option<AccountRecord>| {
            let Some(relied) = &relied else { return true };
            let cells = record.unwrap_or_default();
            relied.existence_read.is_none_or(|exists| exists == record.is_some())
                && relied.emptiness_read.is_none_or(|empty| empty == cells.is_empty())
                && relied.balance_read.contains(cells.balance)
                && relied.sequence_read.is_none_or(|sequence| sequence == cells.sequence)
                && relied.code_read.is_none_or(|code| code == cells.code)
        };
        let mut chosen = original;
        for _ in 0..8 {
            let was = chosen.unwrap_or_default();
            // From the edges of what is relied on, and from anywhere near.
            let (lo, hi) = relied.as_ref().map_or((U256::ZERO, U256::MAX), |relied| {
                (relied.balance_read.lo, relied.balance_read.hi)
            });
            let balance = match numbers.below(5) {
                0 => lo,
                1 => hi.min(lo.saturating_add(U256::from(1_u64 << 40))),
                2 => was.balance,
                _ => U256::from(numbers.below(40)),
            };
            let code = numbers.flip().then(|| {
                let (kind, n) = codes[numbers.below(codes.len() as u64) as usize];
                let (machine, bytes) = code(kind, n);
                CodeRef { machine, hash: keccak256(&bytes) }
            });
            let record = AccountRecord {
                balance,
                sequence: if numbers.flip() { was.sequence } else { numbers.below(4) },
                code: if numbers.flip() { was.code } else { code },
            };
            let candidate = (numbers.below(4) != 0).then_some(record);
            if fits(candidate) {
                chosen = candidate;
            }
        }
        match chosen {
            Some(record) => other.accounts.insert(id, record),
            None => other.accounts.remove(&id),
        };
        for key in 0..KEYS {
            let slot = (id, slot_key(key));
            let value = if read.contains(&slot) {
                state.slots.get(&slot).cloned().unwrap_or_default()
            } else {
                Value::word(U256::from(numbers.below(3)))
            };
            other.set_slot(id, slot.1, value);
        }
    }
    other
}

/// Checks that the execution is the same on states that only differ in what it did not rely on.
fn check_reliance(case: &Case, executed: &Executed) -> Result<(), TestCaseError> {
    let effects = match executed {
        Executed::Included(output) => &output.effects,
        Executed::Invalid { relied, .. } => relied,
    };
    for account in &effects.accounts {
        let balance = case.state.accounts.get(&account.account).map(|record| record.balance);
        prop_assert!(account.balance_read.lo <= account.balance_read.hi);
        prop_assert!(account.balance_read.contains(balance.unwrap_or_default()));
    }
    let mut numbers = Numbers(case.seed);
    let mut scratch = Scratch::default();
    for _ in 0..4 {
        let other = perturb(&case.state, effects, &mut numbers);
        let again = execute(case, &other, &mut scratch);
        prop_assert_eq!(Ok(executed), again.as_ref(), "on {:#?}", other);
    }
    Ok(())
}

/// Checks that looking on changes nothing, and that what is told of the frames that stand is what
/// the transaction did.
fn check_trace(case: &Case, executed: &Result<Executed, Halt>) -> Result<(), TestCaseError> {
    let (machines, block, mut scratch) = (machines(&case.guests), block(), Scratch::default());
    let mut trace = Trace::new();
    let kernel = Kernel::new(&machines, &block, &case.state, &mut scratch).traced(&mut trace);
    let tx = case.tx.clone().decoded();
    prop_assert_eq!(executed, &kernel.transact(&tx, case.limit), "looked on");
    let Ok(Executed::Included(TransactionOutput { effects, receipt })) = executed else {
        return Ok(());
    };
    let mut state = case.state.clone();
    told::apply(&trace, &mut state);
    let after = case.state.apply(effects).unwrap();
    prop_assert_eq!(told::cells(&state), told::cells(&after), "{:#?}", trace);
    let stand = trace.events().iter().filter(|told| !told.undone).map(|told| &told.event);
    prop_assert!(stand.eq(&effects.events), "{:#?}", trace);
    prop_assert_eq!(&trace.frames()[0].exit.status, &receipt.status);
    prop_assert_eq!(trace.frames()[0].used, receipt.used);
    told::check_tree(&trace);
    Ok(())
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let mut scratch = Scratch::default();
    let executed = execute(case, &case.state, &mut scratch);
    check_model(case, &executed)?;
    prop_assert_eq!(&executed, &execute(case, &case.state, &mut scratch), "in used memory");
    check_trace(case, &executed)?;
    match &executed {
        Ok(executed) => check_reliance(case, executed),
        Err(_) => Ok(()),
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn the_kernel_does_what_the_model_does(case in any_case(60)) {
        check(&case)?;
    }

    #[test]
    fn broken_rules_are_noticed_as_in_the_model(case in any_case(6)) {
        check(&case)?;
    }
}

proptest! {
    #![proptest_config(config(100_000))]

    #[test]
    #[ignore = "long: 100000 transactions"]
    fn the_kernel_does_what_the_model_does_for_long(case in any_case(30)) {
        check(&case)?;
    }
}
