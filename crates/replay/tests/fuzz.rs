//! No bytes in any file make the reader panic.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

mod common;

use std::fs;

use common::{dev_chain, flat_files, full_folder, path_of, write_files};
use polity_replay::{FolderKind, WriteMode, discover, open, write};
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

/// One change of a file.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, String),
    Delete(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let token = prop_oneof![
        Just("null".to_owned()),
        Just("\"0x\"".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just(format!("\"0x{}\"", "f".repeat(64))),
        Just("[".repeat(300)),
        Just("\\u0000".to_owned()),
        Just("\u{1F980}".to_owned()),
        "[\\[\\]{},:\"x0-9a-f]{1,4}",
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<prop::sample::Index>(), token).prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(at, n)| Change::Delete(at, n)),
        (any::<prop::sample::Index>(), 1..200_usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        any::<prop::sample::Index>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Change::Insert(at, text) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
        Change::Delete(at, n) => {
            let at = at.index(bytes.len());
            let end = (at + n).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Repeat(at, n) => {
            let at = at.index(bytes.len());
            let end = (at + n).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

fn full() -> (TempDir, FolderKind) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("20000000");
    write(&full_folder(20_000_000, dev_chain()), &path, WriteMode::New).unwrap();
    (root, FolderKind::Full)
}

fn flat() -> (TempDir, FolderKind) {
    let root = tempfile::tempdir().unwrap();
    write_files(&root.path().join("20000000"), &flat_files(20_000_000));
    (root, FolderKind::Flat)
}

fn spoil_and_open(
    (root, kind): (TempDir, FolderKind),
    file: prop::sample::Index,
    changes: &[Change],
) {
    let path = root.path().join("20000000");
    let mut files: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let file = file.get(&files);
    let mut bytes = fs::read(file).unwrap();
    for change in changes {
        apply(&mut bytes, change);
    }
    fs::write(file, bytes).unwrap();
    let opened = open(&path_of(&path, 20_000_000, kind));
    if let Ok(folder) = &opened
        && kind == FolderKind::Full
    {
        // What is read can be written, and reads as the same.
        let again = root.path().join("again/20000000");
        write(folder, &again, WriteMode::New).unwrap();
        assert_eq!(&open(&path_of(&again, 20_000_000, kind)).unwrap(), folder);
    }
    // The message of an error is made without a panic as well.
    let _ = opened.map_err(|error| error.to_string());
    let _ = discover([root.path()]).map_err(|error| error.to_string());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn spoiled_full_folders(file in any::<prop::sample::Index>(), changes in vec(change(), 1..4)) {
        spoil_and_open(full(), file, &changes);
    }

    #[test]
    fn spoiled_flat_folders(file in any::<prop::sample::Index>(), changes in vec(change(), 1..4)) {
        spoil_and_open(flat(), file, &changes);
    }

    #[test]
    fn any_bytes(name in prop_oneof![
        Just("block.json"), Just("env.json"), Just("txs.json"), Just("pre_state.json"),
        Just("bytecodes.json"), Just("block_hashes.json"), Just("genesis.json"), Just("ommers.json"),
    ], bytes in vec(any::<u8>(), 0..200)) {
        for (root, kind) in [full(), flat()] {
            let path = root.path().join("20000000");
            fs::write(path.join(name), &bytes).unwrap();
            let _ = open(&path_of(&path, 20_000_000, kind)).map_err(|error| error.to_string());
        }
    }
}
