//! Changes that are gathered while a block is executed are those of its output.

#![cfg(feature = "std")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use polity_engine::{Block, Parallel, Sequential};
use polity_kernel::{BlockContext, Inputs, Machines};
use polity_state::{Changes, Gather, State};
use polity_testkit::toy::{self, Op, Program, Toy, ToyBlock, ToyTransaction, slot_key};
use polity_types::{AccountRecord, B256, Bytes, MachineKind, Resources, U256, Value};
use polity_verify::Key;
use proptest::prelude::*;
use std::num::NonZeroUsize;

const A: MachineKind = MachineKind::new(0x70);

fn op() -> impl Strategy<Value = Op> {
    let id = || (1..5_u8).prop_map(|number| toy::account(A, number));
    let code =
        prop::collection::vec(any::<u8>(), 1..9).prop_map(|code| Some((A, Bytes::from(code))));
    prop_oneof![
        4 => (id(), 0..4_u64, 0..3_u64).prop_map(|(id, key, word)| Op::write(id, key, word)),
        2 => (id(), id(), 0..9_u64).prop_map(|(from, to, amount)| Op::transfer(from, to, amount)),
        1 => id().prop_map(Op::ResetStorage),
        1 => (id(), code).prop_map(|(account, code)| Op::SetCode { account, code }),
        1 => (id(), 0..4_u64).prop_map(|(id, key)| Op::read(id, key)),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn gathered_changes_are_those_of_the_output(
        begin in ops(),
        end in ops(),
        transactions in prop::collection::vec((1..5_u8, ops()), 0..30),
        threads in 1..4_usize,
    ) {
        let machines = Machines::default().with(Toy::new(A)).unwrap();
        let state = State::in_memory().unwrap();
        let mut genesis = Changes::new();
        for number in 1..5 {
            let record = AccountRecord { balance: U256::from(20), ..AccountRecord::default() };
            genesis.set_account(toy::account(A, number), Some(record));
            genesis.set_slot(toy::account(A, number), slot_key(1), Value::word(U256::from(9))).unwrap();
        }
        state.genesis(0, genesis).unwrap();

        // The begin writes slots that transactions write again, and transactions those of the end.
        let input = ToyBlock {
            gas_limit: u64::MAX,
            begin: Program::new(&begin),
            end: Program::new(&end),
        };
        let mut sequences = [0_u64; 5];
        let transactions = transactions.into_iter().map(|(number, ops)| {
            let sequence = sequences.get_mut(usize::from(number)).unwrap();
            *sequence += 1;
            ToyTransaction::new(toy::account(A, number), *sequence - 1, &ops).decoded()
        });
        let block = Block {
            context: BlockContext {
                chain_id: 31337,
                number: 1,
                timestamp: 1,
                beneficiary: toy::account(A, 4),
                randomness: B256::ZERO,
                inputs: Inputs::default().with(A, input),
            },
            transactions: transactions.collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let view = state.view();
        let output = Sequential::new().execute(&machines, &view, &block).unwrap();
        let expected = Changes::of(&view, &output).unwrap();

        let gather = Gather::start(state.view()).unwrap();
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut engine = Parallel::new(threads).unwrap().with_least_gas(0);
        engine.execute_with(&machines, &view, &block, &gather).unwrap();
        let gathered = gather.finish().unwrap();
        let cells = gathered.cells(&view).unwrap();
        prop_assert_eq!(&cells, &expected.cells(&view).unwrap());
        // What they tell of the state before is so.
        for cell in cells.into_iter().filter(|cell| cell.before.is_some()) {
            let key = Key::from_row(&cell.row).unwrap();
            prop_assert_eq!(cell.before, view.cell(&key).unwrap());
        }
        prop_assert!(gathered.codes().eq(expected.codes()));
    }
}
