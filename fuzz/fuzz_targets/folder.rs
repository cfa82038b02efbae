//! The files of a block folder: reading them, and writing what was read. An odd first byte makes it
//! a full folder, an even one a flat one; the files follow in a fixed order, each ended by a byte
//! 0xff, which no text has. What was read and written reads as the same.

#![no_main]

use std::{cell::RefCell, fs, path::Path};

use libfuzzer_sys::fuzz_target;
use polity_replay::{FolderKind, FolderPath, WriteMode, open, write};
use tempfile::TempDir;

const FULL: &[&str] = &[
    "block.json",
    "pre_state.json",
    "bytecodes.json",
    "block_hashes.json",
    "ommers.json",
    "genesis.json",
];

const FLAT: &[&str] = &[
    "env.json",
    "txs.json",
    "pre_state.json",
    "bytecodes.json",
    "block_hashes.json",
    "genesis.json",
];

thread_local! {
    /// In memory where the system has a place for that.
    static PLACE: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fn at(path: &Path, number: u64, kind: FolderKind) -> FolderPath {
    FolderPath { number, kind, path: path.into() }
}

fn run(place: &Path, kind: FolderKind, names: &[&str], data: &[u8]) {
    let folder = place.join("1");
    let _ = fs::create_dir(&folder);
    let mut parts = data.split(|byte| *byte == 0xff);
    for name in names {
        let path = folder.join(name);
        match parts.next() {
            Some(part) if !part.is_empty() => fs::write(path, part).unwrap_or_default(),
            _ => fs::remove_file(path).unwrap_or_default(),
        }
    }
    let Ok(read) = open(&at(&folder, 1, kind)) else { return };
    let copy = place.join("copy");
    if write(&read, &copy, WriteMode::Replace).is_ok() {
        let again = open(&at(&copy, read.number(), FolderKind::Full));
        assert_eq!(again.ok().as_ref(), Some(&read));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let (kind, names) =
        if kind & 1 == 1 { (FolderKind::Full, FULL) } else { (FolderKind::Flat, FLAT) };
    PLACE.with_borrow_mut(|place| {
        if place.is_none() {
            *place = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).ok();
        }
        // Both kinds have places of their own: neither's files may be left to the other.
        if let Some(place) = place {
            let place = place.path().join(if kind == FolderKind::Full { "full" } else { "flat" });
            let _ = fs::create_dir(&place);
            run(&place, kind, names, data);
        }
    });
});
