//! Real blocks: those of the test data, where there is some.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

use std::time::Instant;

use alloy_eips::eip7702::SignedAuthorization;
use polity_replay::{
    FolderBlock, FolderKind, FolderPath, Library, WriteMode, data_root, discover, open, write,
};

#[test]
fn real_blocks_open_and_read_back_as_written() {
    let Some(root) = data_root().unwrap() else {
        println!("skipped: POLITY_DATA unset");
        return;
    };
    let library = Library::new();
    let found = discover([&root]).unwrap();
    assert!(found.len() >= 45, "{}", found.len());
    assert!(found.is_sorted());
    let copies = tempfile::tempdir().unwrap();
    for path in &found {
        let start = Instant::now();
        let folder = library.open(path).unwrap();
        println!("{}: {:?}", path.path.display(), start.elapsed());
        assert_eq!(folder.number(), path.number);
        match &folder.block {
            FolderBlock::Full(block) => {
                for signed in block.transactions.iter().take(3) {
                    assert_eq!(signed.recover_sender().unwrap(), signed.claimed_sender);
                }
                let copy = copies.path().join(path.number.to_string());
                write(&folder, &copy, WriteMode::New).unwrap();
                let copy = FolderPath { number: path.number, kind: FolderKind::Full, path: copy };
                assert_eq!(open(&copy).unwrap(), folder);
            }
            FolderBlock::Flat(block) => {
                let recovered = block
                    .transactions
                    .iter()
                    .flat_map(|transaction| &transaction.authorization_list)
                    .all(|signed: &SignedAuthorization| signed.recover_authority().is_ok());
                assert!(recovered);
            }
        }
    }
}
