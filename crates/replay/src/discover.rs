//! Finding block folders under a path.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    error::FolderError,
    json::{self, Quantity},
    library::{BLOCK, ENV, PRE_STATE, TRANSACTIONS},
};

/// How many levels below a path are searched.
const DEPTH: usize = 4;

/// Which files a block folder consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FolderKind {
    /// `block.json` and `pre_state.json`.
    Full,
    /// `env.json`, `txs.json` and `pre_state.json`.
    Flat,
}

impl FolderKind {
    /// The file that holds the block number.
    pub(crate) fn block_file(self) -> &'static str {
        match self {
            Self::Full => BLOCK,
            Self::Flat => ENV,
        }
    }
}

/// A block folder that was found, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderPath {
    /// The block number: the name of the folder, or where that is none, what its file says.
    pub number: u64,
    /// Which files the folder consists of.
    pub kind: FolderKind,
    /// The folder.
    pub path: PathBuf,
}

/// Finds the block folders that each path names or contains up to four levels below, sorted by
/// block number. A path may also name a file of a block folder. A folder that is found twice is
/// given once, and folders whose name starts with a dot are not searched.
///
/// # Errors
///
/// A path does not exist, cannot be read, or has no block folder.
pub fn discover<P: AsRef<Path>>(
    paths: impl IntoIterator<Item = P>,
) -> Result<Vec<FolderPath>, FolderError> {
    let mut found = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let metadata =
            fs::metadata(path).map_err(|source| FolderError::io(path, "open the path", source))?;
        let folder = if metadata.is_dir() { path } else { path.parent().unwrap_or(path) };
        let before = found.len();
        // A file stands for its own folder alone.
        search(folder, if metadata.is_dir() { DEPTH } else { 0 }, &mut found)?;
        if found.len() == before {
            return Err(FolderError::NothingFound { path: path.into(), depth: DEPTH });
        }
    }
    found.sort();
    let mut seen = BTreeSet::new();
    found.retain(|folder| {
        let real = fs::canonicalize(&folder.path).unwrap_or_else(|_| folder.path.clone());
        seen.insert(real)
    });
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<FolderPath>) -> Result<(), FolderError> {
    if let Some(kind) = kind_of(folder) {
        found.push(FolderPath { number: number_of(folder, kind)?, kind, path: folder.into() });
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let failed = |source| FolderError::io(folder, "list the folder", source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_dir() {
            search(&entry.path(), depth, found)?;
        }
    }
    Ok(())
}

/// Any file that only a block folder has makes one, so that a damaged folder is reported when it
/// is opened rather than skipped.
fn kind_of(folder: &Path) -> Option<FolderKind> {
    let has = |name: &str| folder.join(name).is_file();
    if has(BLOCK) {
        Some(FolderKind::Full)
    } else if has(ENV) || has(TRANSACTIONS) {
        Some(FolderKind::Flat)
    } else if has(PRE_STATE) {
        Some(FolderKind::Full)
    } else {
        None
    }
}

fn number_of(folder: &Path, kind: FolderKind) -> Result<u64, FolderError> {
    #[derive(Deserialize)]
    struct Numbered {
        number: Quantity<u64>,
    }

    // The name of `.` is only known from the whole path.
    let name = std::path::absolute(folder).ok().and_then(|folder| {
        folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok())
    });
    match name {
        Some(number) => Ok(number),
        None => {
            let numbered: Numbered = json::read_json(
                &folder.join(kind.block_file()),
                "a block folder holds the block in it",
            )?;
            Ok(numbered.number.0)
        }
    }
}
