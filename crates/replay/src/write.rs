//! Writing a block folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::Serialize;

use crate::{
    block::FullBlock,
    error::FolderError,
    folder::{BlockFolder, FolderBlock},
    json::Quantity,
    library::{BLOCK, BLOCK_HASHES, CODES, GENESIS, OMMERS, PRE_STATE},
};

/// What to do where the target exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// Fail and leave it as it is.
    #[default]
    New,
    /// Replace the whole folder.
    Replace,
}

#[derive(Serialize)]
struct Account {
    balance: Quantity<U256>,
    nonce: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_hash: Option<B256>,
    storage: BTreeMap<B256, Quantity<U256>>,
}

/// Writes a full block folder with everything that it needs beside it. The same folder always
/// gives the same bytes. It is written under another name first and then renamed, so the target
/// is either the whole folder or not there; parents of the target are created.
///
/// # Errors
///
/// The target exists and may not be replaced, the system refuses, the folder is flat, or it lacks
/// a code that its pre-state names.
pub fn write(folder: &BlockFolder, target: &Path, mode: WriteMode) -> Result<(), FolderError> {
    let unwritable =
        |field: String, reason| FolderError::Unwritable { path: target.into(), field, reason };
    let FolderBlock::Full(block) = &folder.block else {
        return Err(unwritable(
            "block".into(),
            "a flat block has no header; copy its folder instead",
        ));
    };
    for (address, account) in &folder.pre_state {
        if let Some(hash) = account.code_hash
            && !folder.codes.contains_key(&hash)
        {
            return Err(unwritable(
                format!("{address:?}.code_hash"),
                "its code is not among the codes of the folder; add it",
            ));
        }
    }
    for (hash, code) in &folder.codes {
        if keccak256(code) != *hash {
            return Err(unwritable(
                format!("codes.{hash}"),
                "its key is not its keccak256; insert codes by their hash",
            ));
        }
    }
    if mode == WriteMode::New && target.exists() {
        return Err(FolderError::Exists { path: target.into() });
    }
    let files = contents(folder, block)
        .map_err(|source| FolderError::io(target, "serialise the block", source.into()))?;

    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)
        .map_err(|source| FolderError::io(parent, "create the folder", source))?;
    let temporary = Temporary::new(target)?;
    for (name, text) in &files {
        let path = temporary.path.join(name);
        write_file(&path, text)
            .map_err(|source| FolderError::io(path, "write the file", source))?;
    }
    temporary.rename_to(target, mode)
}

fn contents(
    folder: &BlockFolder,
    block: &FullBlock,
) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
    let pre_state: BTreeMap<Address, Account> = folder
        .pre_state
        .iter()
        .map(|(address, account)| {
            let storage = account
                .storage
                .iter()
                .map(|(slot, value)| (B256::from(*slot), Quantity(*value)))
                .collect();
            let balance = Quantity(account.balance);
            let account =
                Account { balance, nonce: account.nonce, code_hash: account.code_hash, storage };
            (*address, account)
        })
        .collect();
    let codes: &BTreeMap<B256, Bytes> = &folder.codes;
    let mut files = vec![
        (BLOCK, block.to_json()?),
        (PRE_STATE, serde_json::to_vec(&pre_state)?),
        (CODES, serde_json::to_vec(codes)?),
        (BLOCK_HASHES, serde_json::to_vec_pretty(&folder.block_hashes)?),
    ];
    if let Some(ommers) = &block.ommers
        && !ommers.is_empty()
    {
        files.push((OMMERS, serde_json::to_vec(ommers)?));
    }
    if let Some(genesis) = block.chain.genesis() {
        files.push((GENESIS, serde_json::to_vec_pretty(genesis)?));
    }
    for (_, text) in &mut files {
        text.push(b'\n');
    }
    Ok(files)
}

fn write_file(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A folder under a hidden name beside its later place, removed unless it is renamed.
pub(crate) struct Temporary {
    pub(crate) path: PathBuf,
}

impl Temporary {
    pub(crate) fn new(target: &Path) -> Result<Self, FolderError> {
        let path = hidden_name(target, "new");
        fs::create_dir(&path)
            .map_err(|source| FolderError::io(&path, "create the folder", source))?;
        Ok(Self { path })
    }

    /// Gives the folder its name, in one step where nothing has the name yet.
    pub(crate) fn rename_to(self, target: &Path, mode: WriteMode) -> Result<(), FolderError> {
        let rename = |from: &Path, to: &Path| {
            fs::rename(from, to).map_err(|source| FolderError::io(to, "rename the folder", source))
        };
        let old = hidden_name(target, "old");
        if mode == WriteMode::Replace && target.exists() {
            rename(target, &old)?;
            if let Err(error) = rename(&self.path, target) {
                rename(&old, target)?;
                return Err(error);
            }
            let removed =
                if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
            return removed
                .map_err(|source| FolderError::io(old, "remove the replaced folder", source));
        }
        rename(&self.path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing under this name; before it, an error is on its way
        // already, and what is left is hidden.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn hidden_name(target: &Path, suffix: &str) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{suffix}-{}-{count}", process::id()))
}
