//! A look at fjall's manifests before fjall does.
//!
//! Each key space has a file `current`, which names the manifest and has its checksum: version 8,
//! checksum 16 (xxh3), kind of checksum 1 (0), little-endian. fjall 3.1 writes the checksum and does
//! not look at it, and a manifest that is damaged makes it hang or abort; where `current` is gone, it
//! removes the key space.

use super::error::{damaged, io};
use crate::StateError;
use std::{fs, path::Path};

/// Fails where a manifest of the store at `path` is not what its checksum says.
pub(super) fn check(path: &Path) -> Result<(), StateError> {
    let spaces = path.join("keyspaces");
    let entries = fs::read_dir(&spaces).map_err(|error| io("list", &spaces, &error))?;
    for entry in entries {
        let space = entry.map_err(|error| io("list", &spaces, &error))?.path();
        if space.is_dir() {
            check_space(&space)?;
        }
    }
    Ok(())
}

fn check_space(space: &Path) -> Result<(), StateError> {
    let current = space.join("current");
    let bytes = fs::read(&current).map_err(|error| io("read", &current, &error))?;
    let wrong = || damaged(&current, "names no manifest");
    let (version, rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (checksum, kind) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
    if kind != [0] {
        return Err(wrong());
    }
    let manifest = space.join(format!("v{}", u64::from_le_bytes(*version)));
    let bytes = fs::read(&manifest).map_err(|error| io("read", &manifest, &error))?;
    if xxhash_rust::xxh3::xxh3_128(&bytes) != u128::from_le_bytes(*checksum) {
        return Err(damaged(&manifest, "is not what its checksum says"));
    }
    Ok(())
}
