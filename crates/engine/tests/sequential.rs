//! The sequential engine with several toy machines: what happens in which order, what an invalid
//! block leaves behind, and that the same block always gives the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_engine::{Block, BlockError, BlockOutput, Overlay, Place, Refusal, Sequential};
use polity_kernel::{BlockContext, Halt, Inputs, Machines, Totals, View};
use polity_testkit::{
    state::State,
    toy::{self, Op, Program, Seen, Toy, ToyBlock, ToyTransaction, slot_key},
};
use polity_types::{
    AccountId, AccountRecord, B256, Bytes, Effects, MachineKind, Meter, Resources, U256, Value,
};
use proptest::{collection::vec, prelude::*, sample::select};

const A: MachineKind = MachineKind::new(0x70);
const B: MachineKind = MachineKind::new(0x71);
const C: MachineKind = MachineKind::new(0x72);
const KINDS: [MachineKind; 3] = [A, B, C];

/// Where the tests keep a counter that several steps of a block look at.
fn shared() -> AccountId {
    toy::account(A, 9)
}

fn id(kind: MachineKind, number: u8) -> AccountId {
    toy::account(kind, number)
}

fn machines() -> Machines {
    KINDS
        .into_iter()
        .fold(Machines::default(), |machines, kind| machines.with(Toy::new(kind)).unwrap())
}

fn state() -> State {
    let mut state = State::default();
    for kind in KINDS {
        for number in 1..=3 {
            let balance = U256::from(1000);
            let record = AccountRecord { balance, ..AccountRecord::default() };
            state.accounts.insert(id(kind, number), record);
        }
    }
    state.block_hashes.insert(1, B256::with_last_byte(1));
    state
}

fn block(inputs: Inputs, transactions: Vec<ToyTransaction>) -> Block {
    Block {
        context: BlockContext {
            chain_id: 31337,
            number: 2,
            timestamp: 20,
            beneficiary: id(B, 3),
            randomness: B256::ZERO,
            inputs,
        },
        transactions: transactions.into_iter().map(ToyTransaction::decoded).collect(),
        transaction_limit: Resources::UNLIMITED,
    }
}

fn input(begin: &[Op], end: &[Op]) -> ToyBlock {
    ToyBlock { gas_limit: 100, begin: Program::new(begin), end: Program::new(end) }
}

fn execute(view: &dyn View, block: &Block) -> Result<BlockOutput, BlockError> {
    Sequential::new().execute(&machines(), view, block)
}

/// Sees the shared counter and sets it.
fn step(value: u64) -> [Op; 2] {
    [Op::read(shared(), 1), Op::write(shared(), 1, value)]
}

fn word(word: u64) -> Seen {
    Seen::Value(Value::word(U256::from(word)))
}

/// The state after a block, applied effect by effect.
fn after(state: &State, output: &BlockOutput) -> State {
    output.effects().fold(state.clone(), |state, effects| state.apply(effects).unwrap())
}

/// All bytes of an output.
fn encode(output: &BlockOutput) -> Vec<u8> {
    let mut bytes = Vec::new();
    for system in output.begin.iter().chain(&output.end) {
        bytes.extend(borsh::to_vec(&(system.machine, &system.effects)).unwrap());
        bytes.extend(borsh::to_vec(&system.end.requests).unwrap());
    }
    for transaction in &output.transactions {
        bytes.extend(borsh::to_vec(&(&transaction.effects, &transaction.receipt)).unwrap());
    }
    for (machine, totals) in &output.totals {
        bytes.extend(borsh::to_vec(&(machine, totals.gas_used, totals.used)).unwrap());
    }
    bytes
}

#[test]
fn begin_transactions_end() {
    let inputs = Inputs::default()
        .with(A, input(&step(1), &step(5)))
        // Another machine may only look.
        .with(B, input(&[Op::read(shared(), 1)], &[Op::read(shared(), 1)]));
    let transactions = vec![
        ToyTransaction::new(id(A, 1), 0, &step(3)),
        ToyTransaction::new(id(B, 1), 0, &[Op::read(shared(), 1), Op::call(shared(), &step(4))]),
    ];
    let state = state();
    let output = execute(&state, &block(inputs, transactions)).unwrap();
    let machines = |system: &[polity_engine::SystemOutput]| {
        system.iter().map(|output| output.machine).collect::<Vec<_>>()
    };
    assert_eq!(machines(&output.begin), KINDS);
    assert_eq!(machines(&output.end), KINDS);
    let seen = |transaction: usize| {
        Seen::list(&output.transactions[transaction].receipt.output).unwrap()[0].clone()
    };
    assert_eq!([seen(0), seen(1)], [word(1), word(3)]);
    let requests = |n: usize| &output.end[n].end.requests;
    assert_eq!(requests(0), &[Seen::output(&[word(4)])]);
    assert_eq!(requests(1), &[Seen::output(&[word(5)])]);
    assert!(requests(2).is_empty());
    let last = after(&state, &output);
    assert_eq!(last.slots[&(shared(), slot_key(1))], Value::word(U256::from(5)));
}

#[test]
fn totals_are_kept_by_machine() {
    let charge = |amount| Op::charge(Meter::Availability, amount);
    let transactions = vec![
        ToyTransaction::new(id(A, 1), 0, &[charge(1), charge(2)]),
        ToyTransaction::new(id(B, 1), 0, &[charge(10)]),
        ToyTransaction::new(id(A, 2), 0, &[charge(100), Op::Revert]),
    ];
    let output = execute(&state(), &block(Inputs::default(), transactions)).unwrap();
    let kinds: Vec<_> = output.totals.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, KINDS);
    let of = |kind| {
        let totals = output.totals_of(kind);
        (totals.gas_used, totals.used.compute, totals.used.availability)
    };
    assert_eq!([of(A), of(B)], [(4, 4, 103), (1, 1, 10)]);
    assert_eq!(output.totals_of(C), Totals::default());
}

#[test]
fn a_machines_block_limit_counts_its_own_transactions() {
    let inputs = Inputs::default().with(A, ToyBlock { gas_limit: 5, ..ToyBlock::default() });
    let transaction = |kind, number, gas_limit| ToyTransaction {
        gas_limit,
        ..ToyTransaction::new(id(kind, number), 0, &[Op::ReadLeft, Op::ReadLeft])
    };
    // The first uses 2 of the 4 that it takes.
    let mut transactions =
        vec![transaction(A, 1, 4), transaction(B, 1, 1_000_000), transaction(A, 2, 3)];
    assert!(execute(&state(), &block(inputs.clone(), transactions.clone())).is_ok());
    transactions[2].gas_limit = 4;
    let error = execute(&state(), &block(inputs, transactions)).unwrap_err();
    match error {
        BlockError::Invalid { place: Place::Transaction(2, _), invalid } => {
            assert_eq!(invalid.code, "BLOCK_FULL");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn one_invalid_transaction_fails_the_block() {
    let state = state();
    let before = state.clone();
    let good = ToyTransaction::new(id(A, 1), 0, &step(3));
    let bad = |tx: ToyTransaction| {
        let block = block(Inputs::default(), vec![good.clone(), tx.clone()]);
        let error = execute(&state, &block).unwrap_err();
        let expected = Place::Transaction(1, tx.decoded().hash);
        match error {
            BlockError::Invalid { place, invalid } => {
                assert_eq!(place, expected);
                invalid.code.to_owned()
            }
            BlockError::Halt { place, halt } => {
                assert_eq!(place, expected);
                halt.to_string()
            }
            other => panic!("{other}"),
        }
    };
    // Its sequence number was used by the transaction before it.
    assert_eq!(bad(ToyTransaction::new(id(A, 1), 0, &[])), "SEQUENCE");
    assert_eq!(bad(ToyTransaction::new(id(A, 2), 0, &[]).fee(1001)), "FUNDS");
    let credit = Op::Credit { to: id(A, 1), amount: U256::ONE };
    assert!(bad(ToyTransaction::new(id(A, 2), 0, &[credit])).contains("not conserved"));
    let nobody = MachineKind::new(0x7f);
    assert!(bad(ToyTransaction::new(id(nobody, 1), 0, &[])).contains("no machine"));
    let missing = bad(ToyTransaction::new(id(A, 2), 0, &[Op::ReadBlockHash(5)]));
    assert!(missing.contains("no hash for block 5"), "{missing}");
    assert_eq!(state, before);
}

#[test]
fn building_leaves_out_what_may_not_be_in_the_block() {
    let inputs = Inputs::default().with(A, ToyBlock { gas_limit: 10, ..ToyBlock::default() });
    let of = |number, sequence, gas_limit| ToyTransaction {
        gas_limit,
        ..ToyTransaction::new(id(A, number), sequence, &step(sequence + 1))
    };
    let credit = Op::Credit { to: id(A, 1), amount: U256::ONE };
    let candidates = vec![
        of(1, 0, 4),
        // Its sequence number was used by the one before.
        of(1, 0, 4),
        // There is room for eight.
        of(1, 1, 9),
        // They would be possible if that one were in the block.
        of(1, 2, 4),
        ToyTransaction::new(id(A, 2), 0, &[]).fee(1001),
        ToyTransaction { gas_limit: 1, ..ToyTransaction::new(id(A, 2), 0, &[credit]) },
        of(2, 0, 8),
        of(1, 1, 4),
    ];
    let (state, machines) = (state(), machines());
    let candidates = block(inputs, candidates);
    let built = Sequential::new().build(&machines, &state, &candidates).unwrap();
    let told: Vec<_> = built
        .left_out
        .iter()
        .map(|left_out| match &left_out.why {
            Refusal::NoRoom(invalid) => (left_out.candidate, "no room", invalid.code),
            Refusal::Invalid(invalid) => (left_out.candidate, "invalid", invalid.code),
            Refusal::Fault(_) => (left_out.candidate, "fault", ""),
        })
        .collect();
    let expected = [
        (1, "invalid", "SEQUENCE"),
        (2, "no room", "BLOCK_FULL"),
        (3, "invalid", "SEQUENCE"),
        (4, "invalid", "FUNDS"),
        (5, "fault", ""),
    ];
    assert_eq!(told, expected);
    let included: Vec<_> = built.included(candidates.transactions.len()).collect();
    assert_eq!(included, [0, 6, 7]);
    let transactions = included.iter().map(|index| candidates.transactions[*index].clone());
    let alone = Block { transactions: transactions.collect(), ..candidates.clone() };
    assert_eq!(execute(&state, &alone).unwrap(), built.output);
}

#[test]
fn a_state_that_fails_fails_the_building() {
    let candidates = vec![ToyTransaction::new(id(A, 2), 0, &[Op::ReadBlockHash(5)])];
    let candidates = block(Inputs::default(), candidates);
    let error = Sequential::new().build(&machines(), &state(), &candidates).unwrap_err();
    assert!(matches!(error, BlockError::Halt { place: Place::Transaction(0, _), .. }), "{error}");
}

#[test]
fn begin_and_end_name_their_machine() {
    let fails = input(&[], &[Op::Fail]);
    let error = execute(&state(), &block(Inputs::default().with(B, fails), vec![])).unwrap_err();
    assert!(matches!(error, BlockError::Halt { place: Place::End(B), .. }), "{error}");
    let fails = input(&[Op::Mint { to: id(A, 1), amount: U256::MAX }], &[]);
    let error = execute(&state(), &block(Inputs::default().with(C, fails), vec![])).unwrap_err();
    match error {
        BlockError::Halt { place: Place::Begin(C), halt: Halt::Fault(reason) } => {
            assert!(reason.contains("passes 2^256"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_memory_that_saw_a_failed_block_is_as_good_as_new() {
    let state = state();
    let good = block(Inputs::default(), vec![ToyTransaction::new(id(A, 1), 0, &step(3))]);
    let program = [step(7).to_vec(), vec![Op::EmitLater(Bytes::new())]].concat();
    let bad = vec![
        ToyTransaction::new(id(A, 1), 0, &program),
        ToyTransaction::new(id(A, 1), 5, &program),
    ];
    let mut engine = Sequential::new();
    assert!(engine.execute(&machines(), &state, &block(Inputs::default(), bad)).is_err());
    assert_eq!(engine.execute(&machines(), &state, &good), execute(&state, &good));
}

/// An operation of a machine, on few accounts so that transactions meet.
fn any_op(kind: MachineKind) -> BoxedStrategy<Op> {
    let own = move || (1_u8..=3).prop_map(move |number| id(kind, number));
    let all = || (select(KINDS.to_vec()), 1_u8..=5).prop_map(|(kind, number)| id(kind, number));
    prop_oneof![
        3 => (all(), 0_u64..3).prop_map(|(account, key)| Op::read(account, key)),
        4 => (own(), 0_u64..3, 0_u64..3).prop_map(|(account, key, word)| Op::write(account, key, word)),
        1 => own().prop_map(Op::ResetStorage),
        4 => (own(), all(), 0_u64..600).prop_map(|(from, to, amount)| Op::transfer(from, to, amount)),
        1 => (own(), 0_u64..9)
            .prop_map(|(from, amount)| Op::Burn { from, amount: U256::from(amount) }),
        1 => all().prop_map(Op::ReadBalance),
        1 => Just(Op::Emit(Bytes::from_static(b"event"))),
        1 => Just(Op::EmitLater(Bytes::from_static(b"later"))),
        1 => (0_u8..2, 0_u64..3).prop_map(|(key, value)| Op::WriteTransient { key, value }),
        1 => (0_u8..2).prop_map(Op::ReadTransient),
        1 => (own(), vec(any::<u8>(), 1..3))
            .prop_map(move |(account, code)| Op::SetCode { account, code: Some((kind, code.into())) }),
    ]
    .boxed()
}

fn any_program(kind: MachineKind) -> impl Strategy<Value = Vec<Op>> {
    let called = (select(KINDS.to_vec()), 1_u8..=3).prop_flat_map(|(kind, number)| {
        let ends = prop_oneof![3 => Just(None), 1 => Just(Some(Op::Revert))];
        (vec(any_op(kind), 0..5), ends).prop_map(move |(mut ops, end)| {
            ops.extend(end);
            Op::call(id(kind, number), &ops)
        })
    });
    vec(prop_oneof![3 => any_op(kind), 1 => called], 0..6)
}

fn any_transaction() -> impl Strategy<Value = ToyTransaction> {
    (select(KINDS.to_vec()), 1_u8..=3, 0_u64..5).prop_flat_map(|(kind, number, fee)| {
        any_program(kind)
            .prop_map(move |ops| ToyTransaction::new(id(kind, number), 0, &ops).fee(fee))
    })
}

/// A block of transactions whose sequence numbers follow from each other.
fn any_block() -> impl Strategy<Value = Block> {
    let system = || {
        select(KINDS.to_vec()).prop_flat_map(|kind| {
            let mint = (1_u8..=5, 0_u64..9).prop_map(move |(number, amount)| Op::Mint {
                to: id(kind, number),
                amount: U256::from(amount),
            });
            (Just(kind), vec(mint, 0..3), vec(any_op(kind), 0..3))
                .prop_map(|(kind, mints, ops)| (kind, [mints, ops].concat()))
        })
    };
    (system(), system(), vec(any_transaction(), 0..12)).prop_map(
        |((first, begin), (last, end), mut transactions)| {
            let mut sent = std::collections::BTreeMap::<AccountId, u64>::new();
            for tx in &mut transactions {
                let next = sent.entry(tx.sender).or_default();
                tx.sequence = *next;
                *next += 1;
            }
            let mut inputs = Inputs::default();
            for kind in KINDS {
                let ops = |of: MachineKind, ops: &[Op]| {
                    if of == kind { Program::new(ops) } else { Program::default() }
                };
                let block =
                    ToyBlock { gas_limit: 0, begin: ops(first, &begin), end: ops(last, &end) };
                inputs = inputs.with(kind, block);
            }
            block(inputs, transactions)
        },
    )
}

/// A block whose fees can be paid, or a refusal that names a place.
fn run(state: &State, block: &Block) -> Option<BlockOutput> {
    match execute(state, block) {
        Ok(output) => Some(output),
        // A burn of more than there is ends the block's own programs.
        Err(BlockError::Halt { place: Place::Begin(_) | Place::End(_), .. }) => None,
        Err(BlockError::Invalid { place: Place::Transaction(..), invalid }) => {
            assert_eq!(invalid.code, "FUNDS");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn sum(state: &State) -> U256 {
    state.accounts.values().fold(U256::ZERO, |sum, record| sum + record.balance)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_overlay_applies_as_the_plain_state_does(block in any_block()) {
        let state = state();
        let Some(output) = run(&state, &block) else { return Ok(()) };
        let expected = after(&state, &output);
        let mut overlay = Overlay::over(&state);
        for effects in output.effects() {
            overlay.apply(effects).unwrap();
        }
        let ids = KINDS.into_iter().flat_map(|kind| (0..=9).map(move |number| id(kind, number)));
        for id in ids {
            prop_assert_eq!(overlay.account(&id), Ok(expected.accounts.get(&id).copied()));
            for key in 0..3 {
                prop_assert_eq!(overlay.slot(&id, &slot_key(key)), expected.slot(&id, &slot_key(key)));
            }
        }
        for (hash, code) in &expected.codes {
            let found = overlay.code(hash).unwrap();
            prop_assert_eq!(found.bytes(), code);
        }
    }

    #[test]
    fn the_native_asset_is_conserved(block in any_block()) {
        let state = state();
        let Some(output) = run(&state, &block) else { return Ok(()) };
        let minted = output.effects().fold(U256::ZERO, |sum, effects| sum + effects.minted);
        let burned = output.effects().fold(U256::ZERO, |sum, effects| sum + effects.burned);
        prop_assert_eq!(sum(&after(&state, &output)) + burned, sum(&state) + minted);
        for output in &output.transactions {
            prop_assert_eq!(output.effects.minted, U256::ZERO);
        }
    }

    #[test]
    fn the_same_block_gives_the_same_bytes(block in any_block(), other in any_block()) {
        let state = state();
        let Some(output) = run(&state, &block) else { return Ok(()) };
        let bytes = encode(&output);
        let mut used = Sequential::new();
        for _ in 0..10 {
            prop_assert_eq!(&encode(&execute(&state, &block).unwrap()), &bytes);
            let _ = used.execute(&machines(), &state, &other);
            let again = used.execute(&machines(), &state, &block).unwrap();
            prop_assert_eq!(&encode(&again), &bytes);
        }
    }

    #[test]
    fn effects_survive_the_codec(block in any_block()) {
        let state = state();
        let Some(output) = run(&state, &block) else { return Ok(()) };
        for effects in output.effects() {
            let bytes = borsh::to_vec(effects).unwrap();
            prop_assert_eq!(&borsh::from_slice::<Effects>(&bytes).unwrap(), effects);
        }
        for output in &output.transactions {
            let bytes = borsh::to_vec(&output.receipt).unwrap();
            prop_assert_eq!(&borsh::from_slice::<polity_types::Receipt>(&bytes).unwrap(), &output.receipt);
        }
    }
}
