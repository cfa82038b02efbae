//! Blocks executed on nothing but a witness, and witnesses that were tampered with.

#![cfg(feature = "std")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_engine::{Block, Sequential};
use polity_kernel::{BlockContext, Inputs, Machines};
use polity_state::{Changes, Reexecuted, State, StatelessError, Witness, WitnessError, stateless};
use polity_testkit::toy::{self, Invocation, Op, Program, Toy, ToyTransaction, slot_key};
use polity_types::{AccountId, AccountRecord, B256, Bytes, MachineKind, Resources, U256, Value};
use polity_verify::Path;
use proptest::{collection::vec, prelude::*, sample::Index};

const A: MachineKind = MachineKind::new(0x70);
const B: MachineKind = MachineKind::new(0x71);

fn machines() -> Machines {
    Machines::default().with(Toy::new(A)).unwrap().with(Toy::new(B)).unwrap()
}

/// A state with some accounts, each with some slots, and a program as code.
fn genesis() -> State {
    let state = State::in_memory().unwrap();
    let mut changes = Changes::new();
    for kind in [A, B] {
        for number in 1..=4 {
            let id = toy::account(kind, number);
            let record = AccountRecord { balance: U256::from(1_000), ..AccountRecord::default() };
            changes.set_account(id, Some(record));
            for key in 0..3 {
                changes.set_slot(id, slot_key(key), Value::word(U256::from(key + 1))).unwrap();
            }
        }
    }
    state.genesis(0, changes).unwrap();
    state.set_block_hash(0, B256::repeat_byte(9)).unwrap();
    state
}

fn block(height: u64, transactions: &[Vec<Op>]) -> Block {
    let sender = toy::account(A, 1);
    // One sender's, so that sequence numbers run on from block to block.
    let first = (height - 1) * 100;
    let transactions = (first..).zip(transactions);
    Block {
        context: BlockContext {
            chain_id: 31337,
            number: height,
            timestamp: height,
            beneficiary: toy::account(B, 4),
            randomness: B256::ZERO,
            inputs: Inputs::default(),
        },
        transactions: transactions
            .map(|(sequence, ops)| ToyTransaction::new(sender, sequence, ops).decoded())
            .collect(),
        transaction_limit: Resources::UNLIMITED,
    }
}

fn op() -> impl Strategy<Value = Op> {
    let own = || (1..6_u8).prop_map(|number| toy::account(A, number));
    let other = || {
        (prop_oneof![Just(A), Just(B)], 1..6_u8)
            .prop_map(|(kind, number)| toy::account(kind, number))
    };
    let value = prop_oneof![
        Just(Value::Empty),
        (1..4_u64).prop_map(|word| Value::word(U256::from(word))),
        vec(any::<u8>(), 1..60).prop_map(|bytes| Value::bytes(bytes.into())),
    ];
    let code = prop::option::of((Just(A), vec(any::<u8>(), 1..20).prop_map(Bytes::from)));
    prop_oneof![
        4 => (other(), 0..5_u64).prop_map(|(account, key)| Op::ReadSlot { account, key }),
        4 => (own(), 0..5_u64, value)
            .prop_map(|(account, key, value)| Op::WriteSlot { account, key, value }),
        2 => own().prop_map(Op::ResetStorage),
        1 => other().prop_map(Op::ReadBalance),
        1 => other().prop_map(Op::ReadExistence),
        // Only an empty account may be made to vanish, and this one is sent nothing.
        2 => any::<bool>().prop_map(|exists| Op::SetExistence { account: toy::account(A, 6), exists }),
        1 => Just(Op::ReadBlockHash(0)),
        2 => (own(), code).prop_map(|(account, code)| Op::SetCode { account, code }),
        2 => other().prop_map(|account| {
            Op::Call(Invocation::new(account, Program::default()))
        }),
        3 => (own(), other(), 0..2_000_u64).prop_map(|(from, to, amount)| Op::transfer(from, to, amount)),
    ]
}

/// Blocks whose transactions all follow on each other.
fn blocks() -> impl Strategy<Value = Vec<Vec<Vec<Op>>>> {
    vec(
        vec(vec(op(), 0..6), 100..=100).prop_map(|mut all| {
            all.truncate(100);
            all
        }),
        1..3,
    )
}

fn run(witness: &[u8], block: &Block, before: &B256) -> Option<Reexecuted> {
    let witness = Witness::from_bytes(witness).ok()?;
    stateless(&machines(), block, &witness, before).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 8))]

    #[test]
    fn a_witness_is_enough_and_no_other_bytes_are(
        blocks in blocks(),
        places in vec(any::<(Index, Index, u8)>(), 12),
    ) {
        let (state, machines) = (genesis(), machines());
        for (height, transactions) in (1..).zip(&blocks) {
            let block = block(height, transactions);
            let view = state.view();
            let output = Sequential::new().execute(&machines, &view, &block).unwrap();
            let (head, witness, same) = state.witness(&machines, &block).unwrap();
            prop_assert_eq!(&same, &output);
            let changes = Changes::of(&view, &output).unwrap();
            let root = state.commit(height, changes).unwrap().root().unwrap();
            let bytes = witness.to_bytes();
            let read = Witness::from_bytes(&bytes).unwrap();
            prop_assert_eq!(read.to_bytes(), bytes.clone());
            let block_hashes = witness.block_hashes().clone();
            let expected = Reexecuted { root, output, block_hashes };
            prop_assert_eq!(run(&bytes, &block, &head.root), Some(expected.clone()));
            prop_assert_eq!(run(&bytes, &block, &B256::repeat_byte(1)), None);

            for (place, other, bit) in &places {
                let (place, other) = (place.index(bytes.len()), other.index(bytes.len()));
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << (bit % 8);
                let mut swapped = bytes.clone();
                swapped.swap(place, other);
                let mut moved = bytes.clone();
                moved[place..].rotate_left((other % 80).min(bytes.len() - place));
                let longer = [&bytes[..], &[0]].concat();
                for changed in [flipped, swapped, moved, bytes[..place].to_vec(), longer] {
                    // The hashes of ancestors are said to be what they are, and nothing else
                    // that differs goes through.
                    if let Some(found) = run(&changed, &block, &head.root) {
                        prop_assert!(
                            found == expected || found.block_hashes != expected.block_hashes
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn part_of_a_witness_is_never_another_result(
        transactions in vec(vec(op(), 0..6), 1..8),
        kept in vec(any::<bool>(), 64),
    ) {
        let (state, machines) = (genesis(), machines());
        let block = block(1, &transactions);
        let (head, witness, output) = state.witness(&machines, &block).unwrap();
        let changes = Changes::of(&state.view(), &output).unwrap();
        let root = state.commit(1, changes).unwrap().root().unwrap();
        let mut kept = kept.into_iter().cycle();
        let paths: Vec<Path> =
            witness.cells().filter(|_| kept.next().unwrap()).map(|(path, _)| *path).collect();
        let part = Witness::new(
            witness.trie().prove(&paths).unwrap(),
            witness.cells().map(|(_, cell)| cell.clone()),
            witness.codes().to_vec(),
            witness.block_hashes().clone(),
        );
        if let Ok(found) = stateless(&machines, &block, &part, &head.root) {
            prop_assert_eq!(found.root, root);
            prop_assert_eq!(found.output, output);
        }
    }
}

#[test]
fn a_reset_shows_every_slot_that_it_deletes() {
    let (state, machines) = (genesis(), machines());
    let id: AccountId = toy::account(A, 2);
    let block = block(1, &[vec![Op::ResetStorage(id), Op::write(id, 7, 1)]]);
    let (head, witness, output) = state.witness(&machines, &block).unwrap();
    let changes = Changes::of(&state.view(), &output).unwrap();
    let root = state.commit(1, changes).unwrap().root().unwrap();
    let made = stateless(&machines, &block, &witness, &head.root).unwrap();
    assert_eq!(made.root, root);
    let slots: Vec<Path> = witness
        .cells()
        .filter(|(_, (key, _))| key.account() == &id)
        .map(|(path, _)| *path)
        .collect();
    // The record, and the three slots that are gone.
    assert_eq!(slots.len(), 4);
    for left_out in slots {
        let paths: Vec<Path> =
            witness.cells().map(|(path, _)| *path).filter(|path| *path != left_out).collect();
        let cells = witness.cells().map(|(_, cell)| cell.clone());
        let trie = witness.trie().prove(&paths).unwrap();
        let part = Witness::new(trie, cells, Vec::new(), Default::default());
        let refused = stateless(&machines, &block, &part, &head.root);
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[test]
fn witnesses_of_other_states_and_machines_are_refused() {
    let (state, machines) = (genesis(), machines());
    let code =
        Op::SetCode { account: toy::account(A, 3), code: Some((B, Bytes::from_static(b"x"))) };
    let first = block(1, &[vec![code]]);
    let (head, witness, output) = state.witness(&machines, &first).unwrap();
    state.commit(1, Changes::of(&state.view(), &output).unwrap()).unwrap();
    let mut second = block(2, &[]);
    let call = Op::Call(Invocation::new(toy::account(A, 3), Program::default()));
    second.transactions = vec![ToyTransaction::new(toy::account(A, 2), 0, &[call]).decoded()];
    let refused = stateless(&machines, &first, &witness, &state.root().unwrap()).unwrap_err();
    assert!(matches!(refused, StatelessError::Root { found, .. } if found == head.root));

    let (head, witness, _) = state.witness(&machines, &second).unwrap();
    assert_eq!(witness.codes().len(), 1);
    stateless(&machines, &second, &witness, &head.root).unwrap();
    let kind = witness.codes()[0].0;
    let only = Machines::default().with(Toy::new(if kind == A { B } else { A })).unwrap();
    let refused = stateless(&only, &second, &witness, &head.root);
    assert_eq!(refused, Err(StatelessError::Machine(kind)));

    let mut bytes = witness.to_bytes();
    bytes[0] = 7;
    assert_eq!(Witness::from_bytes(&bytes).err(), Some(WitnessError::Version(7)));
}
