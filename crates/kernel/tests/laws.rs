//! The rules of the kernel, one by one: borders, read-only frames, depth, limits, re-entrance,
//! conservation, aggregators, and what a transaction relies on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_kernel::{
    BlockContext, Executed, Halt, Inputs, Kernel, MAX_DEPTH, Machines, Scratch, TransactionOutput,
};
use polity_testkit::{
    state::State,
    toy::{self, Invocation, Op, Program, Seen, Toy, ToyBlock, ToyTransaction, slot_key},
};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, Bytes, CodeRef, Delta, Interval, MachineKind,
    Meter, Resources, Status, U256, Value,
};

const A: MachineKind = MachineKind::new(0x70);
const B: MachineKind = MachineKind::new(0x71);
/// Tries every change on the kernel.
const WILD: MachineKind = MachineKind::new(0x72);

fn a(number: u8) -> AccountId {
    toy::account(A, number)
}

fn b(number: u8) -> AccountId {
    toy::account(B, number)
}

fn wild(number: u8) -> AccountId {
    toy::account(WILD, number)
}

fn machines() -> Machines {
    let machines = Machines::default().with(Toy::new(A)).unwrap();
    machines.with(Toy::new(B)).unwrap().with(Toy::unruly(WILD)).unwrap()
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
    for id in [a(1), a(2), b(1), b(2), wild(1), wild(2)] {
        let record = AccountRecord { balance: U256::from(100), ..AccountRecord::default() };
        state.accounts.insert(id, record);
        state.set_slot(id, slot_key(1), Value::word(U256::ONE));
    }
    state
}

fn execute(tx: ToyTransaction, limit: Resources) -> Result<Executed, Halt> {
    let (machines, block, state) = (machines(), block(), state());
    Kernel::new(&machines, &block, &state, &mut Scratch::default()).transact(&tx.decoded(), limit)
}

fn included(executed: Result<Executed, Halt>) -> TransactionOutput {
    match executed.unwrap() {
        Executed::Included(output) => output,
        Executed::Invalid { invalid, .. } => panic!("invalid: {invalid}"),
    }
}

/// Executes a transaction of `a(1)` that is included.
fn run(ops: &[Op]) -> TransactionOutput {
    let tx = ToyTransaction::new(a(1), 0, ops);
    included(execute(tx, Resources::UNLIMITED))
}

/// Executes a transaction of `wild(1)` that breaks a rule, and returns which.
fn fault(ops: &[Op]) -> String {
    match execute(ToyTransaction::new(wild(1), 0, ops), Resources::UNLIMITED) {
        Err(Halt::Fault(reason)) => reason,
        other => panic!("no fault: {other:?}"),
    }
}

fn seen(output: &TransactionOutput) -> Vec<Seen> {
    Seen::list(&output.receipt.output).unwrap()
}

/// How the calls that the outermost program made ended.
fn statuses(output: &TransactionOutput) -> Vec<Status> {
    let statuses = seen(output).into_iter().filter_map(|seen| match seen {
        Seen::Called { status, .. } => Some(status),
        _ => None,
    });
    statuses.collect()
}

/// What the callee of the n-th thing seen saw itself.
fn inner(seen: &[Seen], n: usize) -> Vec<Seen> {
    match &seen[n] {
        Seen::Called { output, .. } => Seen::list(output).unwrap(),
        other => panic!("no call: {other:?}"),
    }
}

fn failed(reason: &str) -> Status {
    Status::Failed(reason.into())
}

fn effects_of(output: &TransactionOutput, account: AccountId) -> AccountEffects {
    output.effects.accounts.iter().find(|effects| effects.account == account).unwrap()
}

fn slot_after(output: &TransactionOutput, account: AccountId, key: u64) -> Value {
    let after = state().apply(&output.effects).unwrap();
    after.slots.get(&(account, slot_key(key))).cloned().unwrap_or_default()
}

fn balance_after(output: &TransactionOutput, account: AccountId) -> U256 {
    let after = state().apply(&output.effects).unwrap();
    after.accounts.get(&account).map_or(U256::ZERO, |record| record.balance)
}

fn word(word: u64) -> Value {
    Value::word(U256::from(word))
}

/// Calls inside calls, each target asked to call the next; the last runs `ops`.
fn nested(targets: &[AccountId], ops: &[Op]) -> Vec<Op> {
    targets.iter().rev().fold(ops.to_vec(), |ops, target| vec![Op::call(*target, &ops)])
}

/// Every change that a program can make, of an account.
fn changes(account: AccountId) -> Vec<Op> {
    vec![
        Op::write(account, 1, 7),
        Op::write(account, 2, 7),
        Op::ResetStorage(account),
        Op::transfer(account, a(1), 1),
        Op::transfer(account, a(1), 1000),
        Op::Burn { from: account, amount: U256::ONE },
        Op::SetSequence { account, sequence: 5 },
        Op::SetCode { account, code: Some((account.machine, Bytes::from_static(b"x"))) },
        Op::SetExistence { account, exists: true },
    ]
}

mod borders {
    use super::*;

    #[test]
    fn only_the_own_machine_changes_an_account() {
        for change in changes(a(2)) {
            let reason = fault(std::slice::from_ref(&change));
            assert!(reason.contains("changes an account of machine 0x70"), "{change:?}: {reason}");
            // Nor from inside another machine's call.
            let reason = fault(&nested(&[b(1), wild(2)], &[change]));
            assert!(reason.contains("changes an account of machine 0x70"), "{reason}");
        }
    }

    #[test]
    fn anyone_may_credit() {
        let output = run(&[Op::transfer(a(1), b(1), 5), Op::transfer(a(1), b(7), 6)]);
        assert_eq!(balance_after(&output, b(1)), U256::from(105));
        assert_eq!(balance_after(&output, b(7)), U256::from(6));
    }

    #[test]
    fn code_of_another_machine_does_not_own_the_account_it_runs_in() {
        let install = Op::SetCode { account: a(2), code: Some((WILD, Program::new(&[]).0)) };
        let tx = |ops: &[Op]| ToyTransaction::new(a(1), 0, &[install.clone(), Op::call(a(2), ops)]);
        let executed = execute(tx(&[Op::write(a(2), 1, 7)]), Resources::UNLIMITED);
        assert!(matches!(executed, Err(Halt::Fault(_))), "{executed:?}");
        let output = included(execute(tx(&[Op::write(wild(1), 1, 7)]), Resources::UNLIMITED));
        assert_eq!(slot_after(&output, wild(1), 1), word(7));
    }

    #[test]
    fn nobody_answers_for_an_unknown_machine() {
        let stranger = toy::account(MachineKind::new(0x7f), 1);
        let output = run(&[Op::Call(Invocation::program(stranger, &[]).value(5))]);
        assert_eq!(statuses(&output), [failed("NoMachineForTarget")]);
        assert_eq!(balance_after(&output, stranger), U256::ZERO);
    }

    #[test]
    fn a_machine_calls_in_the_name_of_its_frame_only() {
        // The toy names the account that it runs in, which is of machine A but runs B's code.
        let code = Some((B, Program::new(&[]).0));
        let call = Op::Call(Invocation::program(b(1), &[Op::Emit(Bytes::new())]).value(1));
        let output = run(&[Op::SetCode { account: a(2), code }, Op::call(a(2), &[call])]);
        assert_eq!(balance_after(&output, a(2)), U256::from(99));
    }
}

mod read_only {
    use super::*;

    #[test]
    fn frames_change_nothing() {
        let mut changes = changes(wild(2));
        changes.extend([
            Op::Emit(Bytes::new()),
            Op::Credit { to: a(1), amount: U256::ONE },
            Op::Mint { to: a(1), amount: U256::ONE },
        ]);
        for change in changes {
            let direct = Invocation::program(wild(2), std::slice::from_ref(&change)).read_only();
            fault(&[Op::Call(direct)]);
            // Through two other machines, neither of which asks for it again.
            let through = nested(&[b(1), wild(2)], &[change]);
            fault(&[Op::Call(Invocation::program(a(2), &through).read_only())]);
        }
    }

    #[test]
    fn frames_send_nothing() {
        let send = Op::Call(Invocation::program(b(1), &[]).value(1));
        let output = run(&[
            Op::Call(Invocation::program(a(2), &[send]).read_only()),
            Op::Call(Invocation::program(a(2), &[]).value(1).read_only()),
        ]);
        assert_eq!(statuses(&output), [Status::Success, failed("ValueInReadOnlyCall")]);
        assert_eq!(
            inner(&seen(&output), 0),
            [Seen::Called { status: failed("ValueInReadOnlyCall"), output: Bytes::new() }]
        );
        assert_eq!(balance_after(&output, b(1)), U256::from(100));
    }

    #[test]
    fn frames_see_what_went_before_and_end() {
        let look = Invocation::program(a(2), &[Op::read(a(1), 1)]).read_only();
        let output = run(&[Op::write(a(1), 1, 7), Op::Call(look), Op::write(a(1), 2, 8)]);
        assert_eq!(inner(&seen(&output), 0), [Seen::Value(word(7))]);
        assert_eq!(slot_after(&output, a(1), 2), word(8));
    }

    #[test]
    fn frames_at_a_blocks_end_mint_nothing() {
        let mint = Op::Mint { to: wild(1), amount: U256::ONE };
        let attempt = Invocation::program(
            wild(2),
            &[Op::Attempt { program: Program::new(&[mint]), keep: true }],
        );
        let end = Program::new(&[Op::Call(attempt.read_only())]);
        let mut block = block();
        block.inputs = Inputs::default().with(WILD, ToyBlock { end, ..ToyBlock::default() });
        let (machines, state) = (machines(), state());
        let mut scratch = Scratch::default();
        let ended = Kernel::new(&machines, &block, &state, &mut scratch).end_block(WILD, &[]);
        match ended {
            Err(Halt::Fault(reason)) => assert!(reason.contains("read-only"), "{reason}"),
            other => panic!("no fault: {other:?}"),
        }
    }
}

mod depth {
    use super::*;

    #[test]
    fn the_last_frame_cannot_call() {
        // The transaction's own frame counts.
        let targets = [b(1), a(2)].repeat(MAX_DEPTH);
        let deepest = |frames: usize| {
            let output = run(&nested(&targets[..frames - 1], &[]));
            let mut seen = seen(&output);
            let mut depth = 1;
            let last = loop {
                match seen.first() {
                    Some(Seen::Called { status, .. }) => {
                        let status = status.clone();
                        if !status.is_success() {
                            break status;
                        }
                        seen = inner(&seen, 0);
                        depth += 1;
                    }
                    _ => break Status::Success,
                }
            };
            (depth, last, output.receipt.used.frames)
        };
        let (depth, last, frames) = deepest(MAX_DEPTH - 1);
        assert_eq!((depth, last, frames), (MAX_DEPTH - 1, Status::Success, MAX_DEPTH as u64 - 2));
        let (depth, last, frames) = deepest(MAX_DEPTH + 1);
        assert_eq!((depth, last, frames), (MAX_DEPTH, failed("CallDepth"), MAX_DEPTH as u64 - 1));
    }
}

mod limits {
    use super::*;

    fn compute(compute: u64) -> Resources {
        Resources { compute, ..Resources::UNLIMITED }
    }

    fn charge(amount: u64) -> Op {
        Op::charge(Meter::Compute, amount)
    }

    #[test]
    fn a_callee_uses_no_more_than_it_was_given() {
        let greedy = Invocation::program(b(1), &[Op::write(b(1), 1, 7), charge(1_000_000)]);
        let tx = ToyTransaction::new(a(1), 0, &[Op::Call(greedy.limit(compute(10))), Op::ReadLeft]);
        let output = included(execute(tx, compute(100)));
        assert_eq!(statuses(&output), [failed("OutOf:compute")]);
        // The call, all of the callee's, and the look at what is left.
        assert_eq!(seen(&output)[1], Seen::Number(100 - 1 - 10 - 1));
        assert_eq!(output.receipt.used.compute, 12);
        assert_eq!(slot_after(&output, b(1), 1), word(1));
    }

    #[test]
    fn a_callee_uses_no_more_than_its_caller_has_left() {
        let greedy = Invocation::program(b(2), &[Op::ReadLeft, charge(u64::MAX)]);
        let middle = [charge(3), Op::Call(greedy), Op::write(b(1), 1, 7)];
        let middle = Invocation::program(b(1), &middle).limit(compute(10));
        let tx = ToyTransaction::new(a(1), 0, &[Op::Call(middle), Op::ReadLeft]);
        let output = included(execute(tx, compute(100)));
        // Nothing is left to the middle frame for what comes after the call.
        assert_eq!(statuses(&output), [failed("OutOf:compute")]);
        assert_eq!(seen(&output)[1], Seen::Number(100 - 1 - 10 - 1));
        assert_eq!(slot_after(&output, b(1), 1), word(1));
    }

    #[test]
    fn an_exhausted_frame_leaves_no_trace_but_what_it_used() {
        let body = [
            Op::write(b(1), 1, 7),
            Op::transfer(b(1), a(2), 5),
            Op::Emit(Bytes::from_static(b"gone")),
            Op::EmitLater(Bytes::from_static(b"gone")),
            Op::WriteTransient { key: 1, value: 7 },
            Op::SetSequence { account: b(1), sequence: 9 },
            Op::charge(Meter::Availability, 8),
        ];
        let limit = Resources { availability: 7, ..Resources::UNLIMITED };
        let call = Invocation::program(b(1), &body).value(3).limit(limit);
        let output = run(&[Op::Call(call), Op::call(b(2), &[Op::ReadTransient(1)])]);
        assert_eq!(statuses(&output), [failed("OutOf:availability"), Status::Success]);
        assert_eq!(inner(&seen(&output), 1), [Seen::Number(0)]);
        assert!(output.effects.events.is_empty());
        assert_eq!(output.receipt.used.availability, 7);
        let after = state().apply(&output.effects).unwrap();
        let mut expected = state();
        expected.accounts.get_mut(&a(1)).unwrap().sequence = 1;
        assert_eq!(after, expected);
    }

    #[test]
    fn a_callers_own_exhaustion_is_not_the_callees() {
        // Looking the target up takes the last read of the frame that calls.
        let call = Op::call(a(2), &[]);
        let limit = Resources { reads: 0, ..Resources::UNLIMITED };
        let middle = Invocation::program(b(1), &[call, Op::Emit(Bytes::new())]).limit(limit);
        let output = run(&[Op::Call(middle)]);
        assert_eq!(statuses(&output), [failed("OutOf:reads")]);
        assert!(output.effects.events.is_empty());
    }

    #[test]
    fn a_transaction_beyond_its_limit_is_invalid() {
        let limits = [
            Resources { compute: 3, ..Resources::UNLIMITED },
            Resources { reads: 1, ..Resources::UNLIMITED },
            Resources { frames: 0, ..Resources::UNLIMITED },
            Resources { availability: 1, ..Resources::UNLIMITED },
            Resources { writes: 2, ..Resources::UNLIMITED },
            Resources { growth: 31, ..Resources::UNLIMITED },
        ];
        let ops = [
            Op::write(a(1), 1, 7),
            Op::read(b(1), 1),
            Op::charge(Meter::Availability, 2),
            Op::transfer(a(1), b(1), 1),
            Op::call(b(1), &[]),
            Op::Emit(Bytes::new()),
        ];
        assert!(run(&ops).receipt.status.is_success());
        for (n, limit) in limits.into_iter().enumerate() {
            let executed = execute(ToyTransaction::new(a(1), 0, &ops), limit);
            if n == 2 {
                // Only the frame that was not opened.
                assert_eq!(statuses(&included(executed)), [failed("OutOf:frames")]);
                continue;
            }
            let Ok(Executed::Invalid { invalid, relied }) = executed else {
                panic!("{limit:?}: {executed:?}");
            };
            assert_eq!(invalid.code, "RESOURCES_EXHAUSTED");
            assert_eq!(state().apply(&relied).unwrap(), state(), "{limit:?}");
            assert!(relied.events.is_empty());
        }
    }

    #[test]
    fn what_is_fetched_twice_is_charged_once() {
        let code = Program::new(&[]).0;
        let mut state = state();
        let hash = alloy_primitives::keccak256(&code);
        state.codes.insert(hash, code);
        for id in [b(1), b(2)] {
            state.accounts.get_mut(&id).unwrap().code = Some(CodeRef { machine: B, hash });
        }
        let run_code = |id| Op::Call(Invocation::new(id, Program::default()));
        let ops =
            [Op::read(a(2), 1), Op::read(a(2), 1), run_code(b(1)), run_code(b(2)), run_code(b(1))];
        let (machines, block) = (machines(), block());
        let mut scratch = Scratch::default();
        let tx = ToyTransaction::new(a(1), 0, &ops).decoded();
        let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
        let output = included(kernel.transact(&tx, Resources::UNLIMITED));
        // The sender, an account and its slot, two more accounts and the code that both have.
        assert_eq!(output.receipt.used.reads, 1 + 2 + 2 + 1);
    }
}

mod reentrance {
    use super::*;

    #[test]
    fn every_frame_sees_the_writes_before_it() {
        let innermost = [
            Op::read(a(1), 1),
            Op::read(b(1), 1),
            Op::ReadBalance(b(1)),
            Op::ReadTransient(1),
            Op::write(a(1), 1, 9),
            Op::WriteTransient { key: 1, value: 9 },
        ];
        let middle = [
            Op::read(a(1), 1),
            Op::write(b(1), 1, 8),
            Op::WriteTransient { key: 1, value: 8 },
            Op::call(a(1), &innermost),
            Op::read(a(1), 1),
            Op::ReadTransient(1),
        ];
        let output = run(&[
            Op::write(a(1), 1, 7),
            Op::WriteTransient { key: 1, value: 7 },
            Op::Call(Invocation::program(b(1), &middle).value(5)),
            Op::read(a(1), 1),
            Op::ReadTransient(1),
        ]);
        let outer = seen(&output);
        assert_eq!(outer[1..], [Seen::Value(word(9)), Seen::Number(9)]);
        let middle = inner(&outer, 0);
        assert_eq!(middle[0], Seen::Value(word(7)));
        assert_eq!(middle[2..], [Seen::Value(word(9)), Seen::Number(8)]);
        let innermost = inner(&middle, 1);
        assert_eq!(
            innermost,
            [
                Seen::Value(word(7)),
                Seen::Value(word(8)),
                Seen::Amount(U256::from(105)),
                Seen::Number(7)
            ]
        );
    }

    #[test]
    fn a_revert_undoes_its_frame_and_what_it_called() {
        let write = |account: AccountId, value: u64| {
            [
                Op::write(account, 1, value),
                Op::write(account, 5, value),
                Op::WriteTransient { key: 1, value },
                Op::Emit(Bytes::from(value.to_be_bytes().to_vec())),
                Op::EmitLater(Bytes::from(value.to_be_bytes().to_vec())),
            ]
        };
        let with = |ops: &[Op], more: &[Op]| [ops, more].concat();
        let undone = with(&write(b(1), 8), &[Op::call(a(2), &write(a(2), 9)), Op::Revert]);
        let output = run(&with(
            &write(a(1), 7),
            &[
                Op::Call(Invocation::program(b(1), &undone).value(5)),
                Op::call(a(2), &[Op::ReadTransient(1), Op::read(a(2), 1), Op::read(a(2), 5)]),
                Op::call(b(1), &[Op::ReadTransient(1), Op::read(b(1), 1), Op::read(b(1), 5)]),
            ],
        ));
        assert_eq!(statuses(&output), [Status::Reverted, Status::Success, Status::Success]);
        let outer = seen(&output);
        let values =
            |transient| [Seen::Number(transient), Seen::Value(word(1)), Seen::Value(Value::Empty)];
        assert_eq!(inner(&outer, 1), values(7));
        assert_eq!(inner(&outer, 2), values(0));
        assert_eq!(output.effects.events.len(), 2);
        assert_eq!(balance_after(&output, b(1)), U256::from(100));
        for slot in &output.effects.slots {
            let account = output.effects.accounts.id(slot.account as usize).unwrap();
            assert_eq!(slot.write.is_some(), account == a(1), "{slot:?}");
        }
    }

    #[test]
    fn a_checkpoint_can_be_gone_back_to_twice() {
        let write = |value| {
            Program::new(&[
                Op::ReadTransient(1),
                Op::read(a(1), 1),
                Op::write(a(1), 1, value),
                Op::WriteTransient { key: 1, value },
            ])
        };
        let output = run(&[
            Op::WriteTransient { key: 1, value: 7 },
            Op::AttemptTwice(write(8), write(9)),
            Op::ReadTransient(1),
            Op::read(a(1), 1),
        ]);
        let (seven, one) = (Seen::Number(7), Seen::Value(word(1)));
        let done = Seen::Attempted(Status::Success);
        let expected = [&seven, &one, &done, &seven, &one, &done, &seven, &one];
        assert_eq!(seen(&output).iter().collect::<Vec<_>>(), expected);
    }
}

mod ledger {
    use super::*;

    #[test]
    fn what_comes_from_nowhere_is_a_fault() {
        let one = U256::ONE;
        for ops in [
            vec![Op::Credit { to: wild(1), amount: one }],
            vec![Op::Debit { from: wild(1), amount: one }],
            vec![Op::transfer(wild(1), wild(2), 5), Op::Credit { to: wild(2), amount: one }],
            vec![Op::call(a(2), &[Op::Credit { to: b(1), amount: one }])],
        ] {
            assert!(fault(&ops).contains("not conserved"), "{ops:?}");
        }
    }

    #[test]
    fn what_a_reverted_frame_made_is_no_fault() {
        let made = [Op::Credit { to: b(1), amount: U256::ONE }, Op::Revert];
        let burned = [Op::Burn { from: b(1), amount: U256::from(9) }, Op::Revert];
        let output = run(&[Op::call(b(1), &made), Op::call(b(1), &burned)]);
        assert_eq!(balance_after(&output, b(1)), U256::from(100));
        assert_eq!(output.effects.burned, U256::ZERO);
    }

    #[test]
    fn a_debit_may_be_paid_out_by_another_machine() {
        let amount = U256::from(5);
        let output = run(&[
            Op::Debit { from: a(1), amount },
            Op::call(b(1), &[Op::Credit { to: b(1), amount }]),
        ]);
        assert_eq!(balance_after(&output, b(1)), U256::from(105));
    }

    #[test]
    fn a_transaction_mints_nothing_and_may_burn() {
        assert!(fault(&[Op::Mint { to: wild(1), amount: U256::ONE }]).contains("mints"));
        let output = run(&[Op::Burn { from: a(1), amount: U256::from(9) }]);
        assert_eq!(output.effects.burned, U256::from(9));
        assert_eq!(balance_after(&output, a(1)), U256::from(91));
    }

    #[test]
    fn a_balance_beyond_all_bounds_is_a_fault() {
        let reason = fault(&[Op::Credit { to: wild(2), amount: U256::MAX }]);
        assert!(reason.contains("passes 2^256"), "{reason}");
    }

    #[test]
    fn a_removed_account_is_empty() {
        let remove = Op::SetExistence { account: wild(2), exists: false };
        assert!(fault(std::slice::from_ref(&remove)).contains("not empty"));
        let all = Op::transfer(wild(2), wild(1), 100);
        let tx = ToyTransaction::new(wild(1), 0, &[all, Op::ResetStorage(wild(2)), remove]);
        let output = included(execute(tx, Resources::UNLIMITED));
        let after = state().apply(&output.effects).unwrap();
        assert!(!after.accounts.contains_key(&wild(2)));
        // That it is empty depends on all of it.
        let effects = effects_of(&output, wild(2));
        assert!(effects.balance_read.is_point());
        assert_eq!(effects.sequence_read, Some(0));
        assert_eq!(effects.code_read, Some(None));
    }
}

mod aggregators {
    use super::*;

    fn interval(lo: u64, hi: Option<u64>) -> Interval {
        Interval { lo: U256::from(lo), hi: hi.map_or(U256::MAX, U256::from) }
    }

    /// What a transaction with these operations relies on of the balance of `a(2)`, which is 100.
    fn relied(ops: &[Op]) -> Interval {
        effects_of(&run(ops), a(2)).balance_read
    }

    #[test]
    fn a_credit_relies_on_nothing() {
        assert_eq!(relied(&[Op::transfer(a(1), a(2), 5)]), Interval::ANY);
        assert_eq!(relied(&[Op::Call(Invocation::program(a(2), &[]).value(5))]), Interval::ANY);
    }

    #[test]
    fn a_debit_relies_on_at_least() {
        assert_eq!(relied(&[Op::transfer(a(2), a(1), 30)]), interval(30, None));
        let twice = [Op::transfer(a(2), a(1), 30), Op::transfer(a(2), a(1), 20)];
        assert_eq!(relied(&twice), interval(50, None));
    }

    #[test]
    fn what_was_credited_can_be_debited_without_reliance() {
        let ops = [Op::transfer(a(1), a(2), 30), Op::transfer(a(2), a(1), 30)];
        assert_eq!(relied(&ops), Interval::ANY);
        let ops = [Op::transfer(a(1), a(2), 30), Op::transfer(a(2), a(1), 40)];
        assert_eq!(relied(&ops), interval(10, None));
    }

    #[test]
    fn a_failed_debit_relies_on_less_than() {
        assert_eq!(relied(&[Op::transfer(a(2), a(1), 101)]), interval(0, Some(100)));
        let ops = [Op::transfer(a(2), a(1), 60), Op::transfer(a(2), a(1), 50)];
        assert_eq!(relied(&ops), interval(60, Some(109)));
        let ops = [Op::transfer(a(1), a(2), 10), Op::transfer(a(2), a(1), 150)];
        assert_eq!(relied(&ops), interval(0, Some(139)));
    }

    #[test]
    fn an_exact_read_relies_on_the_point() {
        assert_eq!(relied(&[Op::ReadBalance(a(2))]), interval(100, Some(100)));
        let ops = [Op::transfer(a(2), a(1), 30), Op::ReadBalance(a(2))];
        assert_eq!(relied(&ops), interval(100, Some(100)));
    }

    #[test]
    fn nothing_and_everything_are_amounts() {
        assert_eq!(relied(&[Op::transfer(a(2), a(1), 0)]), Interval::ANY);
        let all = Op::Transfer { from: a(2), to: a(1), amount: U256::MAX };
        let output = run(&[all]);
        let most = U256::MAX - U256::ONE;
        assert_eq!(effects_of(&output, a(2)).balance_read, Interval { lo: U256::ZERO, hi: most });
        assert_eq!(seen(&output), [Seen::Flag(false)]);
    }

    #[test]
    fn what_a_reverted_frame_relied_on_stays() {
        let output = run(&[
            Op::undone(&[Op::transfer(a(2), a(1), 30)]),
            Op::call(b(1), &[Op::ReadSequence(a(2)), Op::read(a(2), 1), Op::Revert]),
        ]);
        let effects = effects_of(&output, a(2));
        assert_eq!(effects.balance_read, interval(30, None));
        assert_eq!(effects.balance_delta, Delta::ZERO);
        assert_eq!(effects.sequence_read, Some(0));
        let read = output.effects.slots.iter().find(|slot| slot.key == slot_key(1)).unwrap();
        assert_eq!((&read.read, &read.write), (&Some(word(1)), &None));
    }
}

mod blind_writes {
    use super::*;

    #[test]
    fn a_reverted_one_leaves_the_slot_as_it_was() {
        let output = run(&[Op::undone(&[Op::write(a(2), 1, 7)]), Op::read(a(2), 1)]);
        assert_eq!(seen(&output)[1], Seen::Value(word(1)));
        let output = run(&[Op::undone(&[Op::write(a(2), 1, 7)])]);
        assert_eq!(slot_after(&output, a(2), 1), word(1));
        assert!(output.effects.slots.iter().all(|slot| slot.write.is_none()));
        let undone = [Op::ResetStorage(a(2)), Op::write(a(2), 1, 7), Op::read(a(2), 1)];
        let output = run(&[Op::undone(&undone), Op::read(a(2), 1)]);
        assert_eq!(seen(&output)[2], Seen::Value(word(1)));
    }

    #[test]
    fn one_of_the_same_value_is_a_write_or_a_reliance() {
        // Nobody looked, so on another state the same write would change something.
        let output = run(&[
            Op::write(a(2), 1, 1),
            Op::SetSequence { account: a(2), sequence: 0 },
            Op::SetCode { account: a(2), code: None },
        ]);
        let effects = effects_of(&output, a(2));
        assert!(effects.sequence_read.is_some() || effects.sequence_write == Some(0));
        assert!(effects.code_read.is_some() || effects.code_write == Some(None));
        assert_eq!(output.effects.slots[0].write, Some(word(1)));
    }
}

mod memory {
    use super::*;

    /// What is settled at the end does not follow from what earlier transactions did.
    #[test]
    fn the_order_of_settlement_is_not_that_of_earlier_transactions() {
        let later = |name: &'static [u8]| Op::EmitLater(Bytes::from_static(name));
        let first_b = ToyTransaction::new(b(1), 0, &[later(b"b"), Op::call(a(1), &[later(b"a")])]);
        let first_a = ToyTransaction::new(a(1), 0, &[later(b"a"), Op::call(b(1), &[later(b"b")])]);
        let (machines, block, state) = (machines(), block(), state());
        let mut used = Scratch::default();
        let run = |tx: &ToyTransaction, scratch: &mut Scratch| {
            let kernel = Kernel::new(&machines, &block, &state, scratch);
            included(kernel.transact(&tx.clone().decoded(), Resources::UNLIMITED))
        };
        let fresh = [&first_a, &first_b].map(|tx| run(tx, &mut Scratch::default()));
        assert_eq!(run(&first_b, &mut used), fresh[1]);
        assert_eq!(run(&first_a, &mut used), fresh[0]);
    }

    #[test]
    fn nothing_of_a_halted_transaction_is_left() {
        let (machines, block, state) = (machines(), block(), state());
        let mut scratch = Scratch::default();
        let halted = [
            Op::write(a(1), 1, 7),
            Op::WriteTransient { key: 1, value: 7 },
            Op::EmitLater(Bytes::new()),
            Op::call(wild(1), &[Op::Mint { to: a(1), amount: U256::ONE }]),
        ];
        let looks = [Op::read(a(1), 1), Op::ReadTransient(1), Op::ReadBalance(a(1))];
        let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
        let tx = ToyTransaction::new(a(1), 0, &halted).decoded();
        assert!(kernel.transact(&tx, Resources::UNLIMITED).is_err());
        let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
        let tx = ToyTransaction::new(a(1), 0, &looks).decoded();
        let output = included(kernel.transact(&tx, Resources::UNLIMITED));
        assert_eq!(output, run(&looks));
    }
}
