//! Every file of a state on disk is damaged in turn: cut, emptied, removed, changed in a bit or a
//! page. What then opens gives the right answers, and everything else an error.
//!
//! The damaged state is opened in a process of its own, so that one that hangs or is aborted shows.

#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

mod common;

use common::{CHAIN, Random, small};
use polity_state::{Changes, History, State, StateError, disk::Disk};
use polity_types::{AccountId, AccountRecord, LocalKey, MachineKind, U256, Value};
use polity_verify::Key;
use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const FOLDER: &str = "POLITY_DAMAGED_FOLDER";
const BLOCKS: u64 = 12;
/// What the process may say in the end.
const ENDINGS: [&str; 3] = ["does not open", "refuses", "answers right"];
/// Longer than any opening that ends takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn account(number: u64) -> AccountId {
    AccountId::new(MachineKind::new(1), polity_verify::hash_value(&number.to_be_bytes()))
}

fn changes(height: u64) -> Changes {
    let mut random = Random::new(height);
    let mut changes = Changes::new();
    for _ in 0..300 {
        let account = account(random.below(300));
        let record =
            AccountRecord { balance: U256::from(random.next()), sequence: height, code: None };
        changes.set_account(account, Some(record));
        let key = LocalKey::storage(U256::from(random.below(40)));
        let value = match random.below(5) {
            0 => Value::Empty,
            1 => Value::bytes(random.next().to_be_bytes().repeat(12).into()),
            _ => Value::word(U256::from(random.next())),
        };
        changes.set_slot(account, key, value).unwrap();
    }
    changes
}

/// A state of so many blocks after the genesis.
fn fill(state: &State, blocks: u64) {
    state.genesis(0, changes(0)).unwrap().durable().unwrap();
    for height in 1..=blocks {
        state.commit(height, changes(height)).unwrap().durable().unwrap();
    }
}

/// What the damaged state is asked, each answered or refused.
fn examine(folder: &Path) -> Result<(), StateError> {
    let model = State::in_memory().unwrap();
    fill(&model, BLOCKS);
    let disk = match Disk::open(folder, Some(CHAIN), &small()) {
        Ok(disk) => Arc::new(disk),
        Err(error) => {
            eprintln!("does not open: {error}");
            return Ok(());
        }
    };
    let state = State::open(disk, History::Archive)?;
    assert_eq!(state.height(), model.height(), "blocks are missing");
    assert_eq!(state.root()?, model.root()?);
    let keys: Vec<Key> = (0..100).map(|number| Key::Account(account(number))).collect();
    match state.prove(&keys) {
        Ok((_, proof)) => assert_eq!(proof, model.prove(&keys)?.1, "another proof"),
        Err(error) => eprintln!("cannot prove: {error}"),
    }
    for height in [BLOCKS, BLOCKS / 2] {
        match state.view_at(height)?.cells(&[]) {
            Ok(cells) => assert_eq!(cells, model.view_at(height)?.cells(&[])?, "other values"),
            Err(error) => eprintln!("cannot read block {height}: {error}"),
        }
    }
    if let Err(error) = state.check() {
        eprintln!("does not check: {error}");
    }
    for height in BLOCKS + 1..BLOCKS + 4 {
        let expected = model.commit(height, changes(height))?.root()?;
        let root = state.commit(height, changes(height))?.durable()?;
        assert_eq!(root, expected, "another root");
    }
    eprintln!("answers right");
    Ok(())
}

#[test]
fn the_process_that_opens_it() {
    let Ok(folder) = env::var(FOLDER) else { return };
    if let Err(error) = examine(Path::new(&folder)) {
        eprintln!("refuses: {error}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Remove,
    /// To this share of its length, in 1/256.
    Cut(u64),
    /// One byte less.
    CutByte,
    /// One bit, at a place where the file is not empty.
    Bit(u64),
    /// A page of zeros there.
    Page(u64),
}

/// Damages a file; false where that would change nothing.
fn damage(path: &Path, damage: Damage) -> bool {
    let length = fs::metadata(path).unwrap().len();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    // A place that holds something, if a few attempts find one.
    let place = |seed: u64| {
        let mut random = Random::new(seed);
        let places = (0..2000).map(|_| random.below(length.max(1)));
        places.into_iter().find(|place| {
            let mut byte = [0];
            file.read_at(&mut byte, *place).is_ok_and(|read| read == 1) && byte != [0]
        })
    };
    match damage {
        Damage::Remove => fs::remove_file(path).unwrap(),
        Damage::Cut(share) if length > 0 => file.set_len(length * share / 256).unwrap(),
        Damage::CutByte if length > 0 => file.set_len(length - 1).unwrap(),
        Damage::Bit(seed) => {
            let Some(place) = place(seed) else { return false };
            let mut byte = [0];
            file.read_exact_at(&mut byte, place).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << (seed % 8))], place).unwrap();
        }
        Damage::Page(seed) => {
            let Some(place) = place(seed) else { return false };
            let page = place / 4096 * 4096;
            let zeros = vec![0; (length - page).min(4096) as usize];
            file.write_all_at(&zeros, page).unwrap();
        }
        _ => return false,
    }
    true
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Copies a folder, holes as holes.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

fn damage_every_file(damages: &dyn Fn(u64) -> Vec<Damage>) {
    damage_files("", damages);
}

/// Damages the files whose names begin so.
fn damage_files(begin: &str, damages: &dyn Fn(u64) -> Vec<Damage>) {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    let disk = Disk::create(&whole, CHAIN, &small()).unwrap();
    fill(&State::open(Arc::new(disk), History::Archive).unwrap(), BLOCKS);
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    let mut bad = Vec::new();
    for (number, file) in files(&whole).into_iter().enumerate() {
        let name = file.strip_prefix(&whole).unwrap();
        if !file.file_name().unwrap().to_str().unwrap().starts_with(begin) {
            continue;
        }
        for kind in damages(number as u64) {
            let folder = place.path().join("damaged");
            copy(&whole, &folder);
            if damage(&folder.join(name), kind) {
                match open(&folder) {
                    Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
                    Err(wrong) => bad.push(format!("{}, {kind:?}: {wrong}", name.display())),
                }
            }
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    eprintln!("{outcomes:#?}");
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// How the process ends that opens the folder, or what is wrong with that.
fn open(folder: &Path) -> Result<&'static str, String> {
    let log = folder.with_extension("log");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["the_process_that_opens_it", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let told = fs::read_to_string(&log).unwrap();
    match status {
        Some(status) if status.success() => {
            let said = |ending: &&str| told.lines().any(|line| line.starts_with(*ending));
            ENDINGS.into_iter().find(said).ok_or(format!("it says nothing: {told}"))
        }
        Some(status) => Err(format!("{status}: {told}")),
        None => Err(format!("it hangs: {told}")),
    }
}

#[test]
fn damaged_files_give_errors_or_right_answers() {
    damage_every_file(&|number| vec![Damage::Cut(128), Damage::Bit(number)]);
}

#[test]
fn damaged_manifests_are_told() {
    damage_files("current", &|number| {
        (0..12).map(|seed| Damage::Bit(number * 50 + seed)).collect()
    });
    damage_files("v", &|number| (0..6).map(|seed| Damage::Bit(number * 50 + seed)).collect());
    damage_files("current", &|_| vec![Damage::Remove, Damage::Cut(0)]);
}

#[test]
#[ignore = "a quarter of an hour"]
fn files_damaged_in_many_ways() {
    damage_every_file(&|number| {
        let mut damages = vec![Damage::Remove, Damage::Cut(0), Damage::Cut(200), Damage::CutByte];
        damages.extend((0..40).map(|seed| Damage::Bit(number * 1000 + seed)));
        damages.extend((0..8).map(|seed| Damage::Page(number * 1000 + seed)));
        damages
    });
}

#[test]
fn an_undamaged_copy_answers_right() {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    let disk = Disk::create(&whole, CHAIN, &small()).unwrap();
    fill(&State::open(Arc::new(disk), History::Archive).unwrap(), BLOCKS);
    assert_eq!(open(&whole).unwrap(), "answers right");
}

#[test]
fn a_damaged_trie_is_rebuilt_from_the_values() {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    let disk = Disk::create(&whole, CHAIN, &small()).unwrap();
    fill(&State::open(Arc::new(disk), History::Archive).unwrap(), BLOCKS);
    fs::File::create(whole.join("trie/ht")).unwrap();
    assert_eq!(open(&whole).unwrap(), "does not open");
    drop(Disk::rebuild(&whole, &small()).unwrap());
    assert_eq!(open(&whole).unwrap(), "answers right");
    fs::remove_dir_all(whole.join("trie")).unwrap();
    drop(Disk::rebuild(&whole, &small()).unwrap());
    drop(Disk::open(&whole, Some(CHAIN), &small()).unwrap());
}
