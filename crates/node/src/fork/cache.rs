use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use polity_kernel::Code;
use polity_remote::SourceAccount;
use serde::{Deserialize, Serialize};

use super::{ForkError, Origin};

/// Something that a node told of the state after the block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Fact {
    /// An account, or that there is none.
    Account(Address, Option<SourceAccount>),
    /// The value of a slot.
    Slot(Address, U256, U256),
    /// A code.
    Code(Bytes),
    /// The hash of a block before.
    Hash(u64, B256),
}

/// What is asked from a node just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    Account(Address),
    Slot(Address, U256),
    Hash(u64),
}

/// What is known of the state after the block.
#[derive(Default)]
pub(super) struct Known {
    pub(super) accounts: HashMap<Address, Option<SourceAccount>>,
    pub(super) slots: HashMap<(Address, U256), U256>,
    pub(super) codes: HashMap<B256, Arc<Code>>,
    pub(super) hashes: BTreeMap<u64, B256>,
    /// What some thread asks for.
    pub(super) asked: HashSet<Wish>,
}

impl Known {
    pub(super) fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::Account(address, account) => {
                self.accounts.insert(*address, *account);
            }
            Fact::Slot(address, slot, value) => {
                self.slots.insert((*address, *slot), *value);
            }
            Fact::Code(bytes) => {
                let code = || Arc::new(Code::new(bytes.clone()));
                self.codes.entry(keccak256(bytes)).or_insert_with(code);
            }
            Fact::Hash(number, hash) => {
                self.hashes.insert(*number, *hash);
            }
        }
    }

    /// Whether a wish is fulfilled.
    pub(super) fn has(&self, wish: &Wish) -> bool {
        match wish {
            Wish::Account(address) => self.accounts.contains_key(address),
            Wish::Slot(address, slot) => self.slots.contains_key(&(*address, *slot)),
            Wish::Hash(number) => self.hashes.contains_key(number),
        }
    }
}

/// A file of facts, one in a line of JSON. Nodes that fork the same block can share it: each
/// appends whole lines, and none changes what is there.
pub(super) struct Cache {
    path: PathBuf,
    file: Mutex<File>,
}

impl Cache {
    /// The file for a block, with what is in it.
    pub(super) fn open(
        folder: &Path,
        origin: &Origin,
        known: &mut Known,
    ) -> Result<Self, ForkError> {
        let folder = folder.join(origin.chain_id.to_string());
        let path = folder.join(format!("{}-{}.jsonl", origin.number(), origin.header.hash));
        let mut open = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            let whole = read(&file, known)?;
            file.seek(SeekFrom::End(0))?;
            if !whole {
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| ForkError::File(path.clone(), error))?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Adds facts. Where that fails, they are asked for again another time.
    pub(super) fn add(&self, facts: &[Fact]) {
        let mut text = Vec::new();
        for fact in facts {
            // None of them has a key that is no text, which is all that could fail.
            if serde_json::to_writer(&mut text, fact).is_ok() {
                text.push(b'\n');
            }
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&text) {
            tracing::warn!(%error, path = %self.path.display(), "writing the cache of a fork");
        }
    }
}

/// Reads the facts in a file. A line that was cut off when the process ended is none. Gives
/// whether the last line has an end.
fn read(file: &File, known: &mut Known) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut whole = true;
    while reader.read_until(b'\n', &mut line)? > 0 {
        whole = line.ends_with(b"\n");
        match serde_json::from_slice(&line) {
            Ok(fact) => known.add(&fact),
            Err(error) => tracing::debug!(%error, "a line in the cache of a fork"),
        }
        line.clear();
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin { chain_id: 7, header: alloy_rpc_types_eth::Header::default() };
        let open = |known: &mut Known| Cache::open(folder.path(), &origin, known).unwrap();
        let (address, slot) = (Address::with_last_byte(1), U256::from(2));
        let cache = open(&mut Known::default());
        cache.add(&[Fact::Slot(address, slot, U256::MAX), Fact::Account(address, None)]);
        cache.file.lock().unwrap().write_all(b"{\"Hash\":[1").unwrap();
        let mut known = Known::default();
        open(&mut known).add(&[Fact::Code(Bytes::from_static(&[0xfe]))]);
        assert_eq!(known.slots.get(&(address, slot)), Some(&U256::MAX));
        assert_eq!(known.accounts.get(&address), Some(&None));
        let mut known = Known::default();
        open(&mut known);
        assert!(known.codes.contains_key(&keccak256([0xfe])));
        assert!(known.hashes.is_empty());
    }
}
