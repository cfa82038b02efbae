//! A disk that is full.

#![cfg(all(feature = "disk", target_os = "linux"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

mod common;

use common::{Blocks, CHAIN, commit, small};
use polity_state::{Backend, StateError, disk::Disk};
use std::{path::Path, process::Command};

/// A file system in memory, as long as this lives.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// None where this process may not mount.
    fn new(place: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place);
        let output = command.output().ok()?;
        output.status.success().then_some(Self(place))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(place.path(), "80m") else {
        eprintln!("skipped: only root may mount a small disk");
        return;
    };
    let path = place.path().join("state");
    let disk = Disk::create(&path, CHAIN, &small()).unwrap();
    let mut blocks = Blocks::new(4);
    let mut root = commit(&disk, blocks.next(1000));
    let refused = loop {
        let batch = blocks.next(1000);
        match disk.commit(batch.clone(), &mut |announced| root = announced) {
            Ok(()) => assert!(blocks.height < 1000, "the disk does not get full"),
            Err(error) => break (batch, error),
        }
    };
    let (batch, error) = refused;
    assert!(matches!(error, StateError::Full { .. }), "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    // Everything is as it was, and can be read.
    assert_eq!(disk.root().unwrap(), root);
    drop(disk);
    let disk = Disk::open(&path, Some(CHAIN), &small()).unwrap();
    assert_eq!(disk.root().unwrap(), root);
    // And with more room it goes on.
    mount.resize("300m");
    assert_ne!(commit(&disk, batch), root);
    drop(disk);
    Disk::open(&path, Some(CHAIN), &small()).unwrap();
}
