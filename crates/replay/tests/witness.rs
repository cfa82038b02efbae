//! Real blocks: committed to a state, and executed again on nothing but a witness.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polity_engine::Sequential;
use polity_replay::{Library, Replay, data_root, discover, state::load};
use polity_state::{Changes, State, Witness, stateless};

#[test]
fn every_block_reaches_its_root_on_a_witness() {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return;
    };
    let library = Library::new();
    for folder in discover([root.join("mainnet")]).unwrap() {
        let folder = library.open(&folder).unwrap();
        let replay = Replay::new(&folder).unwrap();
        let expected = replay.execute(&mut Sequential::new()).unwrap();

        let state = State::in_memory().unwrap();
        let before = load(&state, &folder).unwrap().root().unwrap();
        let (head, witness, output) = state.witness(&replay.machines, &replay.block).unwrap();
        assert!(output == expected, "block {}: another output on the store", replay.number);
        assert_eq!(head.root, before);
        let view = state.view();
        let commit = state.commit(replay.number, Changes::of(&view, &output).unwrap()).unwrap();
        let after = commit.root().unwrap();

        let witness = Witness::from_bytes(&witness.to_bytes()).unwrap();
        let made = stateless(&replay.machines, &replay.block, &witness, &before).unwrap();
        assert_eq!(made.root, after, "block {}", replay.number);
        assert!(made.output == expected, "block {}: another output on a witness", replay.number);
        assert_eq!(state.roll_back(replay.number - 1).unwrap(), before);
    }
}
