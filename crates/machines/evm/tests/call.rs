//! Ethereum contracts that another machine calls: what they see and leave behind, and what of it a
//! revert in the calling machine undoes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod scenery;

use alloy_primitives::{Address, B256, U256, keccak256};
use polity_evm::{
    Evm, account, address, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Executed, Halt, Kernel, Machines, Scratch, TransactionOutput};
use polity_testkit::{
    state::State,
    toy::{self, Invocation, Op, Program, Seen, Toy, ToyTransaction, slot_key},
};
use polity_types::{
    AccountId, AccountRecord, Bytes, Effects, MachineKind, Meter, Resources, Status, Value,
};
use proptest::{collection::vec, prelude::*};

const TOY: MachineKind = MachineKind::new(0x70);

const COUNTER: u8 = 1;
const REVERTER: u8 = 2;
const TRANSIENT: u8 = 3;
const CREATOR: u8 = 4;
const FUNDS: u8 = 5;
const COLD_SLOT: u8 = 6;
const COLD_PRECOMPILE: u8 = 7;
const SPINNER: u8 = 8;
const COLD_BALANCE: u8 = 9;
const FORWARDER: u8 = 10;

/// Counts its calls in slot 0, logs and returns the number.
const COUNTER_CODE: &str = "5f54600101805f55805f52600160205fa160205ff3";

/// The contracts by their number, in EVM code.
const CODES: [(u8, &str); 10] = [
    (COUNTER, COUNTER_CODE),
    // Writes slot 0 and logs, then reverts with 0xab.
    (REVERTER, "60075f555f5fa060ab5f5260205ffd"),
    // Counts its calls in transient slot 0 and returns the number before.
    (TRANSIENT, "5f5c805f526001015f5d60205ff3"),
    // Creates a contract from its input as init code, and returns its address.
    (CREATOR, "365f5f37365f5ff05f5260205ff3"),
    // Returns CALLVALUE, SELFBALANCE and CALLER.
    (FUNDS, "345f5247602052336040526060 5ff3"),
    // Returns what SLOAD of slot 5 costs, and 7 for the rest.
    (COLD_SLOT, "5a60055450 5a90035f5260205ff3"),
    // Returns what a call of the identity precompile costs, and the rest.
    (COLD_PRECOMPILE, "5a5f5f5f5f60045afa50 5a90035f5260205ff3"),
    // Writes a slot, then loops.
    (SPINNER, "60015f555b600456"),
    // Returns what BALANCE of an account with the number 0xff costs, and 7 for the rest.
    (COLD_BALANCE, "5a60ff3150 5a90035f5260205ff3"),
    // Sends 1 wei to the account with the number 0xfe.
    (FORWARDER, "5f5f5f5f600160fe5af100"),
];

fn code(hex: &str) -> Bytes {
    let hex: String = hex.split_whitespace().collect();
    alloy_primitives::hex::decode(hex).unwrap().into()
}

/// Init code that returns a contract's code.
fn deploys(runtime: &[u8]) -> Vec<u8> {
    // PUSH1 len, DUP1, PUSH1 9, PUSH0, CODECOPY, PUSH0, RETURN.
    let mut init = vec![0x60, u8::try_from(runtime.len()).unwrap()];
    init.extend([0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3]);
    init.extend(runtime);
    init
}

/// The address of a contract, clear of the precompiles.
fn at(number: u8) -> Address {
    Address::left_padding_from(&[0xc0, number])
}

fn contract(number: u8) -> AccountId {
    account(at(number))
}

/// An account of the toy machine that sends the transactions.
fn sender() -> AccountId {
    toy::account(TOY, 1)
}

fn other() -> AccountId {
    toy::account(TOY, 2)
}

fn machines() -> Machines {
    let evm = Evm::new(ChainSpec::single(Fork::Osaka));
    Machines::default().with(Toy::new(TOY)).unwrap().with(evm).unwrap()
}

fn block() -> BlockContext {
    scenery::block(7)
}

fn state() -> State {
    let mut state = State::default();
    for id in [sender(), other()] {
        let record = AccountRecord { balance: U256::from(1_000), ..AccountRecord::default() };
        state.accounts.insert(id, record);
    }
    for (number, hex) in CODES {
        let code = code(hex);
        let hash = keccak256(&code);
        let record = AccountRecord { sequence: 1, code: code_ref(hash), balance: U256::ZERO };
        state.accounts.insert(contract(number), record);
        state.codes.insert(hash, code);
    }
    state
}

fn transact(ops: &[Op], limit: Resources, scratch: &mut Scratch) -> Result<Executed, Halt> {
    let (machines, block, state) = (machines(), block(), state());
    let tx = ToyTransaction::new(sender(), 0, ops).decoded();
    Kernel::new(&machines, &block, &state, scratch).transact(&tx, limit)
}

fn run_with(ops: &[Op], limit: Resources) -> TransactionOutput {
    match transact(ops, limit, &mut Scratch::default()).unwrap() {
        Executed::Included(output) => output,
        Executed::Invalid { invalid, .. } => panic!("invalid: {invalid}"),
    }
}

fn run(ops: &[Op]) -> TransactionOutput {
    run_with(ops, Resources::UNLIMITED)
}

/// A call with enough gas for anything here but an endless loop.
fn invoke(target: AccountId, input: &[u8]) -> Invocation {
    Invocation::new(target, Program(input.to_vec().into())).limit(gas(1_000_000))
}

fn gas(compute: u64) -> Resources {
    Resources { compute, ..Resources::UNLIMITED }
}

fn call(number: u8) -> Op {
    Op::Call(invoke(contract(number), &[]))
}

fn pay(number: u8, value: u64) -> Op {
    Op::Call(invoke(contract(number), &[]).value(value))
}

fn create(init: &[u8]) -> Op {
    Op::Call(invoke(contract(CREATOR), init))
}

fn seen(output: &TransactionOutput) -> Vec<Seen> {
    Seen::list(&output.receipt.output).unwrap()
}

/// The calls that the outermost program saw: their status, and the words that they returned.
fn calls(output: &TransactionOutput) -> Vec<(Status, Vec<U256>)> {
    let calls = seen(output).into_iter().filter_map(|seen| match seen {
        Seen::Called { status, output } => {
            Some((status, output.chunks(32).map(U256::from_be_slice).collect()))
        }
        _ => None,
    });
    calls.collect()
}

/// What calls returned that all were successful and returned one word.
fn words(output: &TransactionOutput) -> Vec<u64> {
    let words = calls(output).into_iter().map(|(status, words)| {
        assert_eq!(status, Status::Success);
        assert_eq!(words.len(), 1);
        words[0].to()
    });
    words.collect()
}

fn after(output: &TransactionOutput) -> State {
    state().apply(&output.effects).unwrap()
}

fn slot_after(output: &TransactionOutput, id: AccountId, key: u64) -> u64 {
    let after = after(output);
    let value = after.slots.get(&(id, slot_key(key))).cloned().unwrap_or_default();
    value.as_word().unwrap().to()
}

fn balance_after(output: &TransactionOutput, id: AccountId) -> u64 {
    after(output).accounts.get(&id).map_or(0, |record| record.balance.to())
}

/// What is left of a run in which everything but the sequence number of the sender is undone.
fn untouched() -> State {
    let mut state = state();
    state.accounts.get_mut(&sender()).unwrap().sequence = 1;
    state
}

mod frames {
    use super::*;

    #[test]
    fn a_call_sees_the_calls_before_it() {
        let slot = Op::read(contract(COUNTER), 0);
        let output = run(&[call(COUNTER), slot.clone(), call(COUNTER), slot]);
        assert_eq!(words(&output), [1, 2]);
        let values: Vec<_> =
            seen(&output).into_iter().filter(|seen| matches!(seen, Seen::Value(_))).collect();
        assert_eq!(values, [1, 2].map(|word| Seen::Value(Value::word(U256::from(word)))));
        assert_eq!(slot_after(&output, contract(COUNTER), 0), 2);
    }

    #[test]
    fn events_of_both_machines_stand_in_one_order() {
        let emit = |text: &'static [u8]| Op::Emit(Bytes::from_static(text));
        let output = run(&[emit(b"a"), call(COUNTER), emit(b"b"), call(COUNTER), emit(b"c")]);
        let events = &output.effects.events;
        let emitters: Vec<_> = events.iter().map(|event| event.emitter).collect();
        let counter = contract(COUNTER);
        assert_eq!(emitters, [sender(), counter, sender(), counter, sender()]);
        assert_eq!(events[1].topics, [B256::with_last_byte(1)]);
        assert_eq!(events[3].data[..], U256::from(2).to_be_bytes::<32>());
    }

    #[test]
    fn value_arrives() {
        let output = run(&[pay(FUNDS, 5), pay(FUNDS, 6), Op::ReadBalance(contract(FUNDS))]);
        let caller = U256::from_be_slice(address(&sender()).as_slice());
        let words = |value, balance| vec![U256::from(value), U256::from(balance), caller];
        assert_eq!(
            calls(&output),
            [(Status::Success, words(5, 5)), (Status::Success, words(6, 11))]
        );
        assert_eq!(seen(&output)[2], Seen::Amount(U256::from(11)));
        assert_eq!(balance_after(&output, contract(FUNDS)), 11);
        assert_eq!(balance_after(&output, sender()), 989);
    }

    #[test]
    fn value_to_an_account_without_code_arrives() {
        let nobody = account(Address::with_last_byte(0xee));
        let output = run(&[Op::Call(invoke(nobody, &[]).value(5)), Op::ReadBalance(nobody)]);
        assert_eq!(calls(&output), [(Status::Success, vec![])]);
        assert_eq!(balance_after(&output, nobody), 5);
    }

    #[test]
    fn a_contract_sends_on_what_it_got() {
        let output = run(&[pay(FORWARDER, 3), call(FORWARDER), pay(FUNDS, 1)]);
        assert_eq!(balance_after(&output, contract(FORWARDER)), 1);
        assert_eq!(balance_after(&output, account(Address::with_last_byte(0xfe))), 2);
    }

    #[test]
    fn a_revert_is_told_and_undone() {
        let output = run(&[pay(REVERTER, 5), call(COUNTER)]);
        let [reverted, counted] = &calls(&output)[..] else { panic!("two calls") };
        assert_eq!(*reverted, (Status::Reverted, vec![U256::from(0xab)]));
        assert_eq!(counted.1, [U256::ONE]);
        assert_eq!(slot_after(&output, contract(REVERTER), 0), 0);
        assert_eq!(balance_after(&output, contract(REVERTER)), 0);
        assert_eq!(output.effects.events.len(), 1);
    }

    #[test]
    fn transient_storage_lasts_for_the_transaction() {
        assert_eq!(words(&run(&[call(TRANSIENT), call(TRANSIENT), call(TRANSIENT)])), [0, 1, 2]);
        let mut scratch = Scratch::default();
        for _ in 0..2 {
            let executed = transact(&[call(TRANSIENT)], Resources::UNLIMITED, &mut scratch);
            let Ok(Executed::Included(output)) = executed else { panic!("{executed:?}") };
            assert_eq!(words(&output), [0]);
        }
    }

    #[test]
    fn what_was_warm_stays_warm_for_the_transaction() {
        assert_eq!(words(&run(&[call(COLD_SLOT), call(COLD_SLOT)])), [2107, 107]);
        assert_eq!(words(&run(&[call(COLD_BALANCE), call(COLD_BALANCE)])), [2607, 107]);
    }

    #[test]
    fn precompiles_are_warm_from_the_start() {
        let output = run(&[call(COLD_PRECOMPILE), call(COLD_PRECOMPILE)]);
        // 100 for the warm account, 15 for identity, and 17 for the rest.
        assert_eq!(words(&output), [132, 132]);
    }

    #[test]
    fn a_created_contract_can_be_called() {
        let created = at(CREATOR).create(1);
        let init = deploys(&code(COUNTER_CODE));
        let counter = Op::Call(invoke(account(created), &[]));
        let output = run(&[create(&init), counter.clone(), counter]);
        let expected = U256::from_be_slice(created.as_slice());
        let words: Vec<_> = calls(&output).into_iter().map(|(_, words)| words[0]).collect();
        assert_eq!(words, [expected, U256::ONE, U256::from(2)]);
        let after = after(&output);
        assert_eq!(after.accounts[&account(created)].sequence, 1);
        assert_eq!(after.codes[&keccak256(code(COUNTER_CODE))], code(COUNTER_CODE));
        assert_eq!(after.accounts[&contract(CREATOR)].sequence, 2);
        assert_eq!(slot_after(&output, account(created), 0), 2);
    }
}

mod undone {
    use super::*;

    #[test]
    fn a_call_that_was_stopped_midway_leaves_what_others_then_do() {
        let stopped = Resources { reads: 0, ..gas(100_000) };
        let output = run(&[
            call(COUNTER),
            Op::Call(invoke(contract(COLD_BALANCE), &[]).limit(stopped)),
            Op::transfer(sender(), contract(COUNTER), 1),
        ]);
        assert_eq!(calls(&output)[1].0, Status::Failed("OutOf:reads".into()));
        assert_eq!(balance_after(&output, contract(COUNTER)), 1);
    }

    #[test]
    fn storage_and_logs() {
        let output =
            run(&[call(COUNTER), Op::undone(&[call(COUNTER), call(COUNTER)]), call(COUNTER)]);
        assert_eq!(words(&output), [1, 2, 3, 2]);
        assert_eq!(slot_after(&output, contract(COUNTER), 0), 2);
        assert_eq!(output.effects.events.len(), 2);
    }

    #[test]
    fn by_the_frame_that_called() {
        let body = [call(COUNTER), call(TRANSIENT), pay(FUNDS, 5), Op::Revert];
        let output = run(&[Op::call(other(), &body), call(COUNTER), call(TRANSIENT)]);
        assert_eq!(calls(&output)[0].0, Status::Reverted);
        assert_eq!(calls(&output)[1].1, [U256::ONE]);
        assert_eq!(calls(&output)[2].1, [U256::ZERO]);
        assert_eq!(balance_after(&output, contract(FUNDS)), 0);
        assert_eq!(balance_after(&output, other()), 1_000);
    }

    #[test]
    fn all_of_it() {
        let init = deploys(&code(COUNTER_CODE));
        let created = account(at(CREATOR).create(1));
        let output = run(&[Op::undone(&[
            call(COUNTER),
            call(TRANSIENT),
            pay(FUNDS, 5),
            create(&init),
            Op::Call(invoke(created, &[]).value(3)),
            pay(FORWARDER, 3),
        ])]);
        assert_eq!(after(&output), untouched());
        assert!(output.effects.events.is_empty());
        let changed = output.effects.slots.iter().filter(|slot| slot.write.is_some());
        assert_eq!(changed.count(), 0);
    }

    #[test]
    fn transient_storage() {
        let output = run(&[
            call(TRANSIENT),
            Op::undone(&[call(TRANSIENT), call(TRANSIENT)]),
            call(TRANSIENT),
        ]);
        assert_eq!(words(&output), [0, 1, 2, 1]);
    }

    #[test]
    fn warmth() {
        let output = run(&[Op::undone(&[call(COLD_SLOT), call(COLD_SLOT)]), call(COLD_SLOT)]);
        assert_eq!(words(&output), [2107, 107, 2107]);
        let output = run(&[call(COUNTER), Op::undone(&[call(COLD_BALANCE)]), call(COLD_BALANCE)]);
        assert_eq!(words(&output), [1, 2607, 2607]);
    }

    #[test]
    fn created_accounts() {
        let init = deploys(&code(COUNTER_CODE));
        let created = account(at(CREATOR).create(1));
        let counter = Op::Call(invoke(created, &[]));
        let output = run(&[
            Op::undone(&[create(&init), counter.clone()]),
            // There is no code any more.
            counter.clone(),
            create(&init),
            counter,
        ]);
        let calls = calls(&output);
        assert_eq!(calls[0], calls[3]);
        assert_eq!(calls[2], (Status::Success, vec![]));
        assert_eq!(calls[4].1, [U256::ONE]);
    }

    #[test]
    fn from_the_same_checkpoint_twice() {
        let two = Program::new(&[call(COUNTER), call(TRANSIENT), call(COLD_SLOT)]);
        let output = run(&[
            call(COUNTER),
            Op::AttemptTwice(two.clone(), two),
            call(COUNTER),
            call(TRANSIENT),
            call(COLD_SLOT),
        ]);
        assert_eq!(words(&output), [1, 2, 0, 2107, 2, 0, 2107, 2, 0, 2107]);
    }

    #[test]
    fn from_nested_checkpoints() {
        let inner = Op::undone(&[call(COUNTER), call(TRANSIENT)]);
        let output = run(&[
            Op::undone(&[call(COUNTER), inner, call(COUNTER), call(TRANSIENT)]),
            call(COUNTER),
            call(TRANSIENT),
        ]);
        assert_eq!(words(&output), [1, 2, 0, 2, 0, 1, 0]);
    }
}

mod balances {
    use super::*;

    /// What FUNDS says that it has.
    fn said(output: &TransactionOutput) -> Vec<u64> {
        let calls = calls(output).into_iter();
        calls.filter_map(|(_, words)| Some(words.get(1)?.to())).collect()
    }

    fn credit(amount: u64) -> Op {
        Op::transfer(sender(), contract(FUNDS), amount)
    }

    #[test]
    fn a_credit_between_two_calls_is_seen() {
        let output = run(&[call(FUNDS), credit(7), call(FUNDS), credit(1), pay(FUNDS, 2)]);
        assert_eq!(said(&output), [0, 7, 10]);
        assert_eq!(balance_after(&output, contract(FUNDS)), 10);
    }

    #[test]
    fn a_credit_after_the_last_call_stays() {
        let output = run(&[pay(FUNDS, 2), credit(7)]);
        assert_eq!(balance_after(&output, contract(FUNDS)), 9);
        // Also where the contract itself sent something before.
        let forwarder = contract(FORWARDER);
        let output = run(&[pay(FORWARDER, 3), Op::transfer(sender(), forwarder, 7)]);
        assert_eq!(balance_after(&output, forwarder), 9);
    }

    #[test]
    fn an_undone_credit_is_not_seen() {
        let output = run(&[
            pay(FUNDS, 2),
            Op::undone(&[credit(7), call(FUNDS)]),
            call(FUNDS),
            Op::undone(&[credit(7)]),
            call(FUNDS),
            credit(1),
            Op::undone(&[call(FUNDS), credit(5), call(FUNDS)]),
        ]);
        assert_eq!(said(&output), [2, 9, 2, 2, 3, 8]);
        assert_eq!(balance_after(&output, contract(FUNDS)), 3);
    }

    #[test]
    fn a_contract_that_destroyed_itself_can_be_credited() {
        // PUSH1 0xfd SELFDESTRUCT, as a contract's code and as init code.
        let destroys = code("60fdff");
        let created = account(at(CREATOR).create(1));
        for init in [deploys(&destroys), destroys.to_vec()] {
            let output = run(&[
                create(&init),
                Op::Call(invoke(created, &[]).value(3)),
                Op::transfer(sender(), created, 7),
            ]);
            let after = after(&output);
            let sum: U256 = after.accounts.values().map(|record| record.balance).sum();
            assert_eq!(sum + output.effects.burned, U256::from(2_000));
            assert!(!after.accounts.contains_key(&created));
        }
    }
}

mod limits {
    use super::*;

    #[test]
    fn a_read_only_call_changes_nothing() {
        let init = deploys(&code(COUNTER_CODE));
        let read_only =
            |number, input: &[u8]| Op::Call(invoke(contract(number), input).read_only());
        let output = run(&[
            read_only(COUNTER, &[]),
            read_only(TRANSIENT, &[]),
            read_only(CREATOR, &init),
            read_only(FORWARDER, &[]),
            Op::Call(Invocation::program(other(), &[call(COUNTER)]).read_only()),
        ]);
        for (status, _) in &calls(&output)[..4] {
            assert!(matches!(status, Status::Failed(_)), "{status:?}");
        }
        assert_eq!(after(&output), untouched());
        assert!(output.effects.events.is_empty());
    }

    #[test]
    fn a_read_only_call_sees_what_was_written() {
        let output = run(&[
            call(TRANSIENT),
            call(COUNTER),
            pay(FUNDS, 5),
            Op::Call(invoke(contract(FUNDS), &[]).read_only()),
            Op::Call(invoke(contract(COLD_SLOT), &[]).read_only()),
        ]);
        let calls = calls(&output);
        assert_eq!(calls[3].1[1], U256::from(5));
        assert_eq!(calls[4], (Status::Success, vec![U256::from(2107)]));
    }

    #[test]
    fn the_limit_on_compute_is_the_gas_limit() {
        let spin = Op::Call(invoke(contract(SPINNER), &[]).value(5).limit(gas(50_000)));
        let output = run_with(&[spin, call(COUNTER)], gas(1_000_000));
        let (status, words) = &calls(&output)[0];
        assert!(matches!(status, Status::Failed(reason) if reason == "OutOfGas"), "{status:?}");
        assert!(words.is_empty());
        assert_eq!(slot_after(&output, contract(SPINNER), 0), 0);
        assert_eq!(balance_after(&output, contract(SPINNER)), 0);
        let counted = run_with(&[call(COUNTER)], gas(1_000_000)).receipt.used.compute;
        // The call itself is one of the toy's operations.
        assert_eq!(output.receipt.used.compute, 50_001 + counted);
    }

    #[test]
    fn gas_is_ethereums() {
        // Two slots of one contract: 22100 for SSTORE of a cold slot that was 0, 2100 of it paid by
        // SLOAD; LOG1 with 32 bytes 1006; the rest by hand.
        let output = run(&[call(COUNTER), Op::ReadLeft]);
        let rest: u64 = 2 + 3 + 3 + 3 + 2 + 3 + 2 + 3 + 3 + 3 + 3 + 2 + 3 + 2;
        let gas: u64 = 3_000 + 2_100 + 20_000 + 1_006 + rest;
        // The toy counts in its own unit, of which three are four of gas.
        assert_eq!(output.receipt.used.compute, 2 + (gas * 3).div_ceil(4));
    }

    #[test]
    fn a_meter_that_runs_out_inside_leaves_no_trace() {
        for reads in 0..6 {
            let limit = Resources { reads, ..gas(1_000_000) };
            let init = deploys(&code(COUNTER_CODE));
            let output = run(&[
                Op::Call(invoke(contract(COUNTER), &[]).limit(limit)),
                Op::Call(invoke(contract(CREATOR), &init).limit(limit)),
                Op::Call(invoke(contract(FORWARDER), &[]).value(3).limit(limit)),
                call(TRANSIENT),
                call(COUNTER),
            ]);
            let calls = calls(&output);
            let mut counted = 1;
            if calls[0].0.is_success() {
                counted += 1;
            } else {
                assert_eq!(calls[0].0, Status::Failed("OutOf:reads".into()));
            }
            assert_eq!(calls[4].1, [U256::from(counted)], "{reads} reads");
        }
    }
}

mod determinism {
    use super::*;

    fn encode(output: &TransactionOutput) -> Vec<u8> {
        borsh::to_vec(&(&output.effects, &output.receipt)).unwrap()
    }

    fn included(ops: &[Op], scratch: &mut Scratch) -> TransactionOutput {
        match transact(ops, Resources::UNLIMITED, scratch) {
            Ok(Executed::Included(output)) => output,
            other => panic!("{other:?}"),
        }
    }

    /// Init code that fills many slots and deploys nothing.
    fn fills(slots: u8) -> Vec<u8> {
        (1..=slots).flat_map(|slot| [0x60, slot, 0x60, slot.wrapping_mul(37), 0x55]).collect()
    }

    #[test]
    fn of_the_slots_of_a_created_contract() {
        let ops = [create(&fills(40)), call(COUNTER), create(&fills(30))];
        let first = run(&ops);
        let writes = first.effects.slots.iter().filter(|slot| slot.write.is_some()).count();
        assert_eq!(writes, 40 + 30 + 1);
        for _ in 0..20 {
            assert_eq!(encode(&run(&ops)), encode(&first));
        }
    }

    #[test]
    fn whatever_ran_in_the_same_memory_before() {
        let ops = [call(COLD_PRECOMPILE), call(COLD_SLOT), call(TRANSIENT), create(&fills(9))];
        let fresh = encode(&run(&ops));
        let mut scratch = Scratch::default();
        let before = [
            vec![call(COLD_PRECOMPILE), call(COLD_SLOT), create(&fills(20))],
            vec![Op::undone(&[call(TRANSIENT), pay(FUNDS, 5)]), call(SPINNER)],
            vec![call(COUNTER), Op::Credit { to: sender(), amount: U256::ONE }],
        ];
        for ops_before in before {
            let _ = transact(&ops_before, Resources::UNLIMITED, &mut scratch);
            assert_eq!(encode(&included(&ops, &mut scratch)), fresh);
        }
    }
}

/// A step of a random program.
#[derive(Clone, Debug)]
enum Step {
    Kept(Op),
    Undone(Vec<Op>),
}

fn any_op() -> impl Strategy<Value = Op> {
    let init = prop_oneof![
        Just(deploys(&code(COUNTER_CODE))),
        Just(code("60fdff").to_vec()),
        Just(deploys(&code("60fdff"))),
        // Slots and a log, then a revert.
        Just(code("600160015560025f5560005fa060005ffd").to_vec()),
    ];
    let created = (1_u64..4).prop_map(|nonce| at(CREATOR).create(nonce));
    let value = || prop_oneof![2 => Just(0_u64), 1 => 1_u64..9];
    prop_oneof![
        8 => (1_u8..=7, value()).prop_map(|(number, value)| pay(number, value)),
        2 => (9_u8..=10, value()).prop_map(|(number, value)| pay(number, value)),
        2 => init.prop_map(|init| create(&init)),
        2 => (created, value()).prop_map(|(created, value)| {
            Op::Call(invoke(account(created), &[]).value(value))
        }),
        2 => (1_u8..=10, 0_u64..9)
            .prop_map(|(number, amount)| Op::transfer(sender(), contract(number), amount)),
        1 => (1_u64..4, 0_u64..9).prop_map(|(nonce, amount)| {
            let created = account(at(CREATOR).create(nonce));
            Op::transfer(sender(), created, amount)
        }),
        1 => Just(Op::Call(invoke(contract(SPINNER), &[]).value(1).limit(gas(30_000)))),
        1 => (0_u64..6, 1_u8..=10).prop_map(|(reads, number)| {
            let limit = Resources { reads, ..gas(100_000) };
            Op::Call(invoke(contract(number), &[]).limit(limit).read_only())
        }),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any_op().prop_map(Step::Kept),
        2 => vec(any_op(), 1..4).prop_map(Step::Undone),
    ];
    vec(step, 0..10)
}

/// What effects change and tell, whatever they looked at.
fn changes(effects: &Effects) -> (State, Vec<polity_types::Event>, U256) {
    (state().apply(effects).unwrap(), effects.events.clone(), effects.burned)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A program with undone parts does what it does without them.
    #[test]
    fn what_is_undone_never_happened(steps in any_steps()) {
        // What was read in an undone part is not charged again: a limit on reads can tell.
        let unlimited = |op: &Op| match op {
            Op::Call(call) => call.limit.reads == u64::MAX,
            _ => true,
        };
        let mut with = Vec::new();
        let mut without = Vec::new();
        for step in steps {
            match step {
                Step::Kept(op) if unlimited(&op) => {
                    with.push(op.clone());
                    without.push(op);
                }
                Step::Kept(op) => with.push(Op::undone(&[op])),
                Step::Undone(ops) => with.push(Op::call(other(), &[ops, vec![Op::Revert]].concat())),
            }
        }
        let (with, without) = (run(&with), run(&without));
        prop_assert_eq!(changes(&with.effects), changes(&without.effects));
        let outcomes = |output: &TransactionOutput| {
            let kept = seen(output).into_iter().filter(|seen| {
                !matches!(seen, Seen::Called { status: Status::Reverted, output } if output.len() != 32)
                    && !matches!(seen, Seen::Attempted(_))
            });
            kept.filter(|seen| !matches!(seen, Seen::Called { status: Status::Failed(_), .. }))
                .collect::<Vec<_>>()
        };
        let kept = outcomes(&without);
        let all = outcomes(&with);
        // Attempts tell of their calls in the same list.
        let mut rest = all.iter();
        for seen in &kept {
            prop_assert!(rest.any(|other| other == seen), "{:?} is not in {:?}", seen, all);
        }
        let compute = |output: &TransactionOutput| output.receipt.used.get(Meter::Compute);
        prop_assert!(compute(&with) >= compute(&without));
    }
}
