//! A process that commits blocks is killed, again and again, at no matter which moment.
//!
//! Whoever opens the state afterwards finds it as it was after the last operation that was
//! acknowledged, or after one that was under way: the root, every cell, the history.

#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

mod common;

use common::{CHAIN, Random, small};
use polity_state::{
    Changes, History, State,
    disk::{Disk, DiskOptions},
};
use polity_types::{AccountId, AccountRecord, B256, LocalKey, MachineKind, U256, Value};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

const FOLDER: &str = "POLITY_CRASH_FOLDER";
const FIRST: &str = "POLITY_CRASH_FIRST";
/// So many blocks can be rolled back.
const HISTORY: History = History::Blocks(6);

/// A trie that has to grow now and then.
fn options() -> DiskOptions {
    DiskOptions { trie_pages: 1100, ..small() }
}

/// Operation `number` on a state at some height.
enum Operation {
    Commit(Changes),
    RollBack(u64),
}

fn operation(number: u64, height: Option<u64>) -> Operation {
    let mut random = Random::new(number);
    if let Some(height) = height.filter(|_| number % 8 == 7) {
        return Operation::RollBack(height.saturating_sub(random.below(4)));
    }
    let mut changes = Changes::new();
    // Each operation leaves a state that no other one does.
    changes.set_slot(account(0), LocalKey::storage(U256::ZERO), word(number + 1)).unwrap();
    for _ in 0..random.below(300) {
        let account = account(1 + random.below(40));
        match random.below(12) {
            0 => changes.reset(account),
            1 => changes.set_account(account, None),
            2..5 => {
                let balance = U256::from(random.next());
                let record = AccountRecord { balance, sequence: number, code: None };
                changes.set_account(account, Some(record));
            }
            _ => {
                let key = LocalKey::storage(U256::from(random.below(60)));
                changes
                    .set_slot(account, key, word(random.below(3) * (random.next() >> 2)))
                    .unwrap();
            }
        }
    }
    if random.below(3) == 0 {
        let code = random.next().to_be_bytes().repeat(64);
        changes.set_code(polity_verify::hash_value(&code), code.into());
    }
    Operation::Commit(changes)
}

fn account(number: u64) -> AccountId {
    AccountId::new(MachineKind::new(1), polity_verify::hash_value(&number.to_be_bytes()))
}

fn word(word: u64) -> Value {
    Value::word(U256::from(word))
}

/// Applies an operation and waits until it is durable, where that is asked for.
fn apply(state: &State, number: u64, wait: bool) -> (u64, B256) {
    let height = state.height();
    match operation(number, height) {
        Operation::RollBack(height) => (height, state.roll_back(height).unwrap()),
        Operation::Commit(changes) => {
            let (height, commit) = match height {
                None => (0, state.genesis(0, changes).unwrap()),
                Some(height) => (height + 1, state.commit(height + 1, changes).unwrap()),
            };
            (height, if wait { commit.durable() } else { commit.root() }.unwrap())
        }
    }
}

fn open(path: &Path) -> State {
    let disk = match Disk::open(path, Some(CHAIN), &options()) {
        Err(polity_state::disk::DiskError::NoState(_)) => Disk::create(path, CHAIN, &options()),
        disk => disk,
    };
    State::open(Arc::new(disk.unwrap()), HISTORY).unwrap()
}

#[test]
fn the_process_that_is_killed() {
    let (Ok(folder), Ok(first)) = (env::var(FOLDER), env::var(FIRST)) else { return };
    let state = open(Path::new(&folder));
    let first: u64 = first.parse().unwrap();
    let mut previous: Option<polity_state::Commit> = None;
    for number in first.. {
        // As a node does it: the next block is on its way while the last becomes durable.
        let height = state.height();
        let acknowledged = match operation(number, height) {
            Operation::RollBack(height) => {
                previous = None;
                state.roll_back(height).unwrap();
                number
            }
            Operation::Commit(changes) => {
                let commit = match height {
                    None => state.genesis(0, changes),
                    Some(height) => state.commit(height + 1, changes),
                };
                match previous.replace(commit.unwrap()) {
                    None => continue,
                    Some(previous) => {
                        previous.durable().unwrap();
                        number - 1
                    }
                }
            }
        };
        // One write call a line: a line is there or not.
        std::io::stdout().lock().write_all(format!("durable {acknowledged}\n").as_bytes()).unwrap();
    }
}

/// Kills the process so often, and checks the state after each time.
fn kill(times: u32, seed: u64) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("state");
    let mut random = Random::new(seed);
    let model = State::in_memory().unwrap();
    // How many operations the model has seen.
    let mut done = 0;
    let mut in_flight = 0;
    for round in 0..times {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["the_process_that_is_killed", "--exact", "--nocapture"])
            .env(FOLDER, &folder)
            .env(FIRST, done.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Also while it opens what the last one left.
        let longest = if random.below(2) == 0 { 200 } else { 1500 };
        thread::sleep(Duration::from_millis(random.below(longest)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(status.code().is_none(), "round {round}: it ended by itself: {told}");
        let output = BufReader::new(child.stdout.take().unwrap());
        let acknowledged = output
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("durable ")?.parse().ok())
            .last();
        let least = acknowledged.map_or(done, |number: u64| number + 1);
        while done < least {
            apply(&model, done, true);
            done += 1;
        }

        let state = open(&folder);
        // Two operations can be under way: one becomes durable, the next is accepted.
        let mut under_way = 0;
        while (state.height(), state.root().unwrap()) != (model.height(), model.root().unwrap()) {
            assert!(under_way < 2, "round {round}: after operation {least}, neither it nor a next");
            apply(&model, done, true);
            done += 1;
            under_way += 1;
        }
        in_flight += u32::from(under_way > 0);
        let Some(height) = state.height() else { continue };
        state.check().unwrap();
        assert_eq!(state.view().cells(&[]).unwrap(), model.view().cells(&[]).unwrap());
        let past = height.saturating_sub(3).max(state.oldest().unwrap());
        let cells = |state: &State| state.view_at(past).unwrap().cells(&[]).unwrap();
        assert_eq!(cells(&state), cells(&model), "round {round}: block {past}");
    }
    eprintln!("{times} kills, {done} operations, {in_flight} times one more than acknowledged");
    assert!(done > u64::from(times) / 2, "too few operations to mean anything");
}

#[test]
fn killed_a_few_times() {
    kill(6, 1);
}

#[test]
#[ignore = "six minutes"]
fn killed_two_hundred_times() {
    kill(200, 2);
}
