//! The parallel engine against the sequential one, on real blocks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polity_engine::{Parallel, Sequential};
use polity_replay::{Library, Replay, data_root, discover};
use std::num::NonZeroUsize;

#[test]
fn every_block_is_the_same_in_parallel() {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return;
    };
    let library = Library::new();
    let mut engines: Vec<Parallel> = [2, 4, 8]
        .into_iter()
        .map(|threads| Parallel::new(NonZeroUsize::new(threads).unwrap()).unwrap())
        .collect();
    for folder in discover([root.join("mainnet")]).unwrap() {
        let replay = Replay::new(&library.open(&folder).unwrap()).unwrap();
        let expected = replay.execute(&mut Sequential::new()).unwrap();
        for engine in &mut engines {
            for _ in 0..3 {
                let output =
                    engine.execute(&replay.machines, &replay.state, &replay.block).unwrap();
                assert!(output == expected, "block {} differs", replay.number);
            }
        }
    }
}
