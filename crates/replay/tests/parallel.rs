//! The parallel engine against the sequential one, on real blocks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polity_engine::{Parallel, Sequential};
use polity_replay::{Library, Replay, data_root, discover};
use std::num::NonZeroUsize;

/// Executes every block this often on each of these numbers of threads.
fn every_block(threads: &[usize], times: usize) {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return;
    };
    let library = Library::new();
    let mut engines: Vec<(usize, Parallel)> = threads
        .iter()
        .map(|threads| (*threads, Parallel::new(NonZeroUsize::new(*threads).unwrap()).unwrap()))
        .collect();
    let folders = discover([root.join("mainnet")]).unwrap();
    assert!(!folders.is_empty());
    for folder in folders {
        let replay = Replay::new(&library.open(&folder).unwrap()).unwrap();
        let expected = replay.execute(&mut Sequential::new()).unwrap();
        for (threads, engine) in &mut engines {
            for _ in 0..times {
                let output =
                    engine.execute(&replay.machines, &replay.state, &replay.block).unwrap();
                let number = replay.number;
                assert!(output == expected, "block {number} differs on {threads} threads");
            }
        }
    }
}

#[test]
fn every_block_is_the_same_in_parallel() {
    every_block(&[2, 4, 8], 3);
}

#[test]
#[ignore = "minutes in release mode; needs POLITY_DATA"]
fn every_block_is_the_same_in_parallel_many_times() {
    every_block(&[1, 2, 4, 8], 20);
}
