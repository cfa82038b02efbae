//! The call tree that a kernel writes down: its shape, what stands and what was undone, and what each
//! frame changed and used.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_kernel::{
    BlockContext, Executed, Frame, Inputs, Item, Kernel, Machines, Scratch, Trace,
};
use polity_testkit::{
    state::State,
    told,
    toy::{self, Invocation, Op, Program, Toy, ToyTransaction, slot_key},
};
use polity_types::{
    AccountId, AccountRecord, B256, Bytes, MachineKind, Meter, Resources, Status, U256, Value,
};

const A: MachineKind = MachineKind::new(0x70);
const B: MachineKind = MachineKind::new(0x71);

fn a(number: u8) -> AccountId {
    toy::account(A, number)
}

fn b(number: u8) -> AccountId {
    toy::account(B, number)
}

fn block() -> BlockContext {
    BlockContext {
        chain_id: 31337,
        number: 7,
        timestamp: 700,
        beneficiary: b(9),
        randomness: B256::ZERO,
        inputs: Inputs::default(),
    }
}

/// The first two accounts of each machine have 100 each, and the word 1 in slot 1.
fn state() -> State {
    let mut state = State::default();
    for id in [a(1), a(2), b(1), b(2)] {
        let record = AccountRecord { balance: U256::from(100), ..AccountRecord::default() };
        state.accounts.insert(id, record);
        state.set_slot(id, slot_key(1), Value::word(U256::ONE));
    }
    state
}

fn run_within(mut trace: Trace, ops: &[Op]) -> Trace {
    let machines = Machines::default().with(Toy::new(A)).unwrap().with(Toy::new(B)).unwrap();
    let (block, state, mut scratch) = (block(), state(), Scratch::default());
    let tx = ToyTransaction::new(a(1), 0, ops).decoded();
    let kernel = || {
        Kernel::new(&machines, &block, &state, &mut Scratch::default())
            .transact(&tx, Resources::UNLIMITED)
    };
    let alone = kernel().unwrap();
    let traced = Kernel::new(&machines, &block, &state, &mut scratch).traced(&mut trace);
    let executed = traced.transact(&tx, Resources::UNLIMITED).unwrap();
    assert_eq!(executed, alone, "looking on changes nothing");
    assert!(matches!(executed, Executed::Included(_)));
    trace
}

fn run(ops: &[Op]) -> Trace {
    let trace = run_within(Trace::new(), ops);
    told::check_tree(&trace);
    trace
}

fn data(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn word(word: u64) -> Value {
    Value::word(U256::from(word))
}

/// What happened in a frame, in a few words.
fn items(trace: &Trace, frame: usize) -> Vec<String> {
    let undone = |undone: bool| if undone { " (undone)" } else { "" };
    let items = trace.frames()[frame].items.iter().map(|item| match *item {
        Item::Call(child) => {
            format!("call {child}{}", undone(trace.frames()[child].undone))
        }
        Item::Event(event) => {
            let event = &trace.events()[event];
            let text = String::from_utf8_lossy(&event.event.data).into_owned();
            format!("event {text}{}", undone(event.undone))
        }
        Item::Change(change) => {
            let told = &trace.changes()[change];
            let what = told::words(&told.change);
            format!("{what}{}", undone(told.undone))
        }
    });
    items.collect()
}

fn frames(trace: &Trace) -> Vec<(AccountId, Option<AccountId>, Option<usize>)> {
    let frames = trace.frames().iter();
    frames.map(|frame| (frame.entry.from, frame.entry.to, frame.parent)).collect()
}

#[test]
fn a_tree_has_the_transaction_and_each_call_between_machines() {
    let back = [Op::write(a(2), 2, 8), Op::Emit(data("inner"))];
    let inner = [Op::Emit(data("middle")), Op::call(a(2), &back), Op::write(b(1), 1, 5)];
    let trace = run(&[
        Op::write(a(1), 1, 3),
        Op::Call(Invocation::program(b(1), &inner).value(7)),
        Op::Emit(data("outer")),
        Op::call(b(2), &[]),
    ]);
    let expected = [
        (a(1), None, None),
        (a(1), Some(b(1)), Some(0)),
        (b(1), Some(a(2)), Some(1)),
        (a(1), Some(b(2)), Some(0)),
    ];
    assert_eq!(frames(&trace), expected);
    assert_eq!(items(&trace, 0), ["sequence 0 1", "slot 1 3", "call 1", "event outer", "call 3"]);
    assert_eq!(
        items(&trace, 1),
        ["balance 100 93", "balance 100 107", "event middle", "call 2", "slot 1 5"]
    );
    // Nobody read the slot, and what it had is told.
    assert_eq!(items(&trace, 2), ["slot 0 8", "event inner"]);
    let Frame { entry, is_hop, .. } = &trace.frames()[1];
    assert_eq!((entry.machine, entry.kind, entry.value, *is_hop), (B, "CALL", U256::from(7), true));
}

#[test]
fn what_was_undone_is_told_and_marked() {
    let inner = [Op::write(a(2), 2, 8), Op::Emit(data("inner"))];
    let failing = [Op::Emit(data("middle")), Op::call(a(2), &inner), Op::Revert];
    let trace = run(&[
        Op::write(a(1), 1, 3),
        Op::Call(Invocation::program(b(1), &failing).value(7)),
        Op::Attempt { program: toy::Program::new(&[Op::write(a(1), 1, 4)]), keep: false },
        Op::Emit(data("outer")),
    ]);
    assert_eq!(
        items(&trace, 0),
        ["sequence 0 1", "slot 1 3", "call 1 (undone)", "slot 3 4 (undone)", "event outer"]
    );
    assert_eq!(
        items(&trace, 1),
        [
            "balance 100 93 (undone)",
            "balance 100 107 (undone)",
            "event middle (undone)",
            "call 2 (undone)"
        ]
    );
    assert_eq!(items(&trace, 2), ["slot 0 8 (undone)", "event inner (undone)"]);
    // It succeeded itself.
    assert!(trace.frames()[2].exit.status.is_success());
    assert_eq!(trace.frames()[1].exit.status, Status::Reverted);
    let mut after = state();
    told::apply(&trace, &mut after);
    assert_eq!(after.slots[&(a(1), slot_key(1))], word(3));
    assert_eq!(after.accounts[&b(1)].balance, U256::from(100));
}

#[test]
fn a_slot_that_is_emptied_and_set_again_is_told_again() {
    let again = [Op::ResetStorage(b(2)), Op::write(b(2), 1, 2)];
    let again = Op::Attempt { program: Program::new(&again), keep: true };
    let trace = run(&[Op::call(b(1), &[Op::write(b(2), 1, 2), again])]);
    assert_eq!(items(&trace, 1), ["slot 1 2", "cleared", "slot 0 2"]);
}

#[test]
fn a_transaction_that_failed_keeps_what_it_paid() {
    let trace = run(&[Op::write(a(1), 1, 3), Op::call(b(1), &[Op::write(b(1), 1, 2)]), Op::Fail]);
    assert_eq!(items(&trace, 0), ["sequence 0 1", "slot 1 3 (undone)", "call 1 (undone)"]);
    assert!(!trace.frames()[0].undone);
    assert_eq!(trace.frames()[0].exit.status, Status::Failed("Failed".into()));
}

#[test]
fn calls_that_never_began_are_frames() {
    let poor = Invocation::program(b(1), &[]).value(1_000);
    let stranger = Invocation::program(toy::account(MachineKind::new(0x7f), 1), &[]);
    let limit = Resources { compute: 2, ..Resources::UNLIMITED };
    let spent = Invocation::program(b(1), &[Op::ReadLeft, Op::ReadLeft, Op::ReadLeft]).limit(limit);
    let trace = run(&[Op::Call(poor), Op::Call(stranger), Op::Call(spent)]);
    let statuses: Vec<_> =
        trace.frames().iter().skip(1).map(|frame| frame.exit.status.clone()).collect();
    let failed = |reason: &str| Status::Failed(reason.into());
    assert_eq!(
        statuses,
        [failed("InsufficientBalance"), failed("NoMachineForTarget"), failed("OutOf:compute")]
    );
    assert!(trace.frames().iter().skip(1).all(|frame| frame.undone));
}

#[test]
fn each_frame_says_what_it_used() {
    let inner = [Op::charge(Meter::Compute, 10), Op::read(a(2), 1)];
    let trace = run(&[
        Op::call(b(1), &[Op::charge(Meter::Compute, 5), Op::call(a(2), &inner)]),
        Op::charge(Meter::Compute, 100),
    ]);
    let used = |frame: usize| trace.frames()[frame].used;
    assert_eq!(used(2), Resources { compute: 12, reads: 1, frames: 1, ..Resources::default() });
    assert_eq!(used(1).compute, 2 + 5 + 12);
    assert_eq!(used(1).frames, 2);
    assert_eq!(used(0).compute, 1 + 19 + 101);
    assert_eq!(trace.frames()[1].exit.gas_used, 19);
}

#[test]
fn a_trace_that_is_full_stops_there() {
    let calls: Vec<_> = (0..100).map(|_| Op::call(b(1), &[Op::write(b(1), 1, 5)])).collect();
    let trace = run_within(Trace::within(10_000), &calls);
    assert!(trace.is_full());
    assert!(trace.frames().len() < 20);
    assert!(!run_within(Trace::new(), &calls).is_full());
}
