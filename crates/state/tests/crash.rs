//! A process that commits blocks is killed, again and again, at no matter which moment, or cannot
//! write any more.
//!
//! Whoever opens the state afterwards finds it as it was after the last operation that was
//! acknowledged, or after one that was under way: the root, every cell, the history.

#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

mod common;

use common::{CHAIN, Random, small};
use polity_state::{
    Changes, Commit, History, State, StateError,
    disk::{Disk, DiskOptions},
};
use polity_types::{AccountId, AccountRecord, LocalKey, MachineKind, U256, Value};
use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
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

fn apply(state: &State, number: u64) {
    let height = state.height();
    match operation(number, height) {
        Operation::RollBack(height) => drop(state.roll_back(height).unwrap()),
        Operation::Commit(changes) => {
            let commit = match height {
                None => state.genesis(0, changes),
                Some(height) => state.commit(height + 1, changes),
            };
            commit.unwrap().durable().unwrap();
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

/// Commits and rolls back until something fails, and tells what is durable.
fn work(folder: &Path, first: u64) -> Result<(), StateError> {
    let state = open(folder);
    let mut previous: Option<Commit> = None;
    for number in first.. {
        // As a node does it: the next block is on its way while the last becomes durable.
        let height = state.height();
        let acknowledged = match operation(number, height) {
            Operation::RollBack(height) => {
                previous = None;
                state.roll_back(height)?;
                number
            }
            Operation::Commit(changes) => {
                let commit = match height {
                    None => state.genesis(0, changes),
                    Some(height) => state.commit(height + 1, changes),
                };
                match previous.replace(commit?) {
                    None => continue,
                    Some(previous) => {
                        previous.durable()?;
                        number - 1
                    }
                }
            }
        };
        // One write call a line: a line is there or not.
        std::io::stdout().lock().write_all(format!("durable {acknowledged}\n").as_bytes()).unwrap();
    }
    Ok(())
}

#[test]
fn the_process_that_ends_badly() {
    let (Ok(folder), Ok(first)) = (env::var(FOLDER), env::var(FIRST)) else { return };
    let error = work(Path::new(&folder), first.parse().unwrap()).unwrap_err();
    println!("failed {error}");
}

/// The process, to be started with its first operation.
fn process(program: &str, folder: &Path, first: u64) -> Command {
    let mut command = Command::new(program);
    command.env(FOLDER, folder).env(FIRST, first.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const ARGUMENTS: [&str; 3] = ["the_process_that_ends_badly", "--exact", "--nocapture"];

/// A state in a folder, and what it must be.
struct Checked {
    folder: PathBuf,
    model: State,
    /// How many operations the model has seen.
    done: u64,
}

impl Checked {
    fn new(folder: PathBuf) -> Self {
        Self { folder, model: State::in_memory().unwrap(), done: 0 }
    }

    /// Opens the state after a process that told this; whether there is more than it told.
    fn check(&mut self, told: &str) -> bool {
        let acknowledged = told
            .lines()
            .filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok())
            .next_back();
        while acknowledged.is_some_and(|acknowledged| self.done <= acknowledged) {
            self.advance();
        }
        let state = open(&self.folder);
        let seen = |state: &State| (state.height(), state.root().unwrap());
        // Two operations can be under way: one becomes durable, the next is accepted.
        let mut under_way = 0;
        while seen(&state) != seen(&self.model) {
            assert!(under_way < 2, "after {acknowledged:?}, neither that operation nor a next");
            self.advance();
            under_way += 1;
        }
        let Some(height) = state.height() else { return false };
        state.check().unwrap();
        let model = &self.model;
        assert_eq!(state.view().cells(&[]).unwrap(), model.view().cells(&[]).unwrap());
        let past = height.saturating_sub(3).max(state.oldest().unwrap());
        let cells = |state: &State| state.view_at(past).unwrap().cells(&[]).unwrap();
        assert_eq!(cells(&state), cells(model), "block {past}");
        under_way > 0
    }

    fn advance(&mut self) {
        apply(&self.model, self.done);
        self.done += 1;
    }
}

/// Kills the process so often, and checks the state after each time.
fn kill(times: u32, seed: u64) {
    let place = tempfile::tempdir().unwrap();
    let mut checked = Checked::new(place.path().join("state"));
    let mut random = Random::new(seed);
    let mut in_flight = 0;
    for round in 0..times {
        let program = env::current_exe().unwrap();
        let mut command = process(program.to_str().unwrap(), &checked.folder, checked.done);
        let mut child = command.args(ARGUMENTS).spawn().unwrap();
        // Also while it opens what the last one left.
        let longest = if random.below(2) == 0 { 200 } else { 1500 };
        thread::sleep(Duration::from_millis(random.below(longest)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let story = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "round {round}: it ended: {told} {story}");
        in_flight += u32::from(checked.check(&told));
    }
    let done = checked.done;
    eprintln!("{times} kills, {done} operations, {in_flight} times one more than acknowledged");
    assert!(done > u64::from(times) / 4, "too few operations to mean anything");
}

/// Files that cannot grow beyond a limit, for one process after the other.
#[test]
fn files_that_cannot_grow() {
    let place = tempfile::tempdir().unwrap();
    let mut checked = Checked::new(place.path().join("state"));
    drop(open(&checked.folder));
    let program = env::current_exe().unwrap();
    // In blocks of 512 bytes; not below the size of the trie's table, which has 2,560 pages of 4 KiB
    // and does not grow here: nomt 1.0.5 does not notice where a page of it cannot be written. A write
    // beyond the limit is an error, as the signal for it is ignored.
    for limit in [21_000, 23_000, 25_000] {
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
        let mut command = process("sh", &checked.folder, checked.done);
        command.args(["-c", &script, program.to_str().unwrap()]).args(ARGUMENTS);
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(120) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let story = String::from_utf8_lossy(&output.stderr);
        let failed = told.lines().any(|line| line.starts_with("failed "));
        assert!(failed, "limit {limit}: {:?} {told} {story}", output.status);
        checked.check(&told);
    }
    assert!(checked.done > 2, "nothing was committed");
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
