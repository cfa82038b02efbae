//! Opening block folders, with the files that a set of folders shares kept in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_consensus::Header;
use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use serde::Deserialize;

use crate::{
    block::FullBlock,
    chain::{self, Chain, MAINNET_CHAIN_ID},
    discover::{FolderKind, FolderPath},
    error::{BlockFault, FolderError},
    flat::{self, FlatBlock},
    folder::{BlockFolder, FolderBlock, PreAccount, PreState, reachable_ancestors},
    json::{self, Quantity, UniqueMap},
};

pub(crate) const BLOCK: &str = "block.json";
pub(crate) const OMMERS: &str = "ommers.json";
pub(crate) const ENV: &str = "env.json";
pub(crate) const TRANSACTIONS: &str = "txs.json";
pub(crate) const PRE_STATE: &str = "pre_state.json";
pub(crate) const CODES: &str = "bytecodes.json";
pub(crate) const BLOCK_HASHES: &str = "block_hashes.json";
pub(crate) const GENESIS: &str = "genesis.json";

/// How many levels above a block folder may hold the files of its set.
const SHARED_LEVELS: usize = 2;

/// Opens block folders. The files that a set of folders shares are read once and kept, so opening
/// a second block of a set is fast; use one library for all of them. It can be shared by threads.
#[derive(Debug, Default)]
pub struct Library {
    codes: Mutex<BTreeMap<PathBuf, Arc<CodeFile>>>,
    hashes: Mutex<BTreeMap<PathBuf, Arc<BTreeMap<u64, B256>>>>,
}

/// Opens one block folder. For several of a set, use a [`Library`].
///
/// # Errors
///
/// As [`Library::open`].
pub fn open(folder: &FolderPath) -> Result<BlockFolder, FolderError> {
    Library::new().open(folder)
}

impl Library {
    /// A library that has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a block folder and checks everything that can be checked without executing: hashes
    /// of the header, of every transaction, of every code that the pre-state names; the roots of
    /// transactions, withdrawals and ommers; the chain id of every signature.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its file and JSON path.
    pub fn open(&self, folder: &FolderPath) -> Result<BlockFolder, FolderError> {
        let places = Places::of(&folder.path)?;
        let (block, mut block_hashes) = match folder.kind {
            FolderKind::Full => {
                let block = read_full(&folder.path, &places)?;
                (FolderBlock::Full(Box::new(block)), BTreeMap::new())
            }
            FolderKind::Flat => {
                let (block, hashes) = read_flat(&folder.path)?;
                (FolderBlock::Flat(Box::new(block)), hashes)
            }
        };
        let number = match &block {
            FolderBlock::Full(block) => block.header.number,
            FolderBlock::Flat(block) => block.env.number,
        };
        if number != folder.number {
            let file = folder.path.join(folder.kind.block_file());
            return Err(FolderError::content(
                file,
                BlockFault::invalid(
                    "number",
                    format!(
                        "block {number} lies in a folder named {}; rename the folder",
                        folder.number
                    ),
                ),
            ));
        }

        let reachable = reachable_ancestors(number);
        block_hashes.retain(|ancestor, _| reachable.contains(ancestor));
        for file in places.files(BLOCK_HASHES) {
            for (ancestor, hash) in self.hashes(&file, &places)?.range(reachable.clone()) {
                block_hashes.entry(*ancestor).or_insert(*hash);
            }
        }
        if let FolderBlock::Full(block) = &block
            && let Some(parent) = number.checked_sub(1)
        {
            let known = *block_hashes.entry(parent).or_insert(block.header.parent_hash);
            if known != block.header.parent_hash {
                let file = places.files(BLOCK_HASHES).into_iter().next();
                return Err(FolderError::content(
                    file.unwrap_or_else(|| folder.path.join(BLOCK_HASHES)),
                    BlockFault::Mismatch {
                        field: parent.to_string(),
                        computed_from: "parentHash of block.json",
                        computed: block.header.parent_hash.to_string(),
                        found: known.to_string(),
                    },
                ));
            }
        }

        let pre_state_file = folder.path.join(PRE_STATE);
        let pre_state = read_pre_state(&pre_state_file)?;
        let codes = self.codes(&pre_state, &pre_state_file, &places)?;
        Ok(BlockFolder { block, pre_state, codes, block_hashes })
    }

    fn hashes(
        &self,
        file: &Path,
        places: &Places,
    ) -> Result<Arc<BTreeMap<u64, B256>>, FolderError> {
        let read = || {
            let map: UniqueMap<u64, B256> =
                json::read_json(file, "the hashes of ancestors for BLOCKHASH")?;
            Ok(Arc::new(map.0))
        };
        if places.is_own(file) { read() } else { cached(&self.hashes, file, read) }
    }

    fn codes(
        &self,
        pre_state: &PreState,
        pre_state_file: &Path,
        places: &Places,
    ) -> Result<BTreeMap<B256, Bytes>, FolderError> {
        let wanted: BTreeSet<B256> =
            pre_state.values().filter_map(|account| account.code_hash).collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut found = BTreeMap::new();
        let files = places.files(CODES);
        for file in &files {
            if found.len() == wanted.len() {
                break;
            }
            let load = || CodeFile::read(file).map(Arc::new);
            let codes =
                if places.is_own(file) { load()? } else { cached(&self.codes, file, load)? };
            for hash in &wanted {
                if !found.contains_key(hash)
                    && let Some(code) = codes.get(hash)?
                {
                    found.insert(*hash, code);
                }
            }
        }
        for (address, account) in pre_state {
            if let Some(code_hash) = account.code_hash
                && !found.contains_key(&code_hash)
            {
                let searched = if files.is_empty() {
                    format!("{CODES}: there is none here or up to {SHARED_LEVELS} levels above")
                } else {
                    let names: Vec<_> =
                        files.iter().map(|file| file.display().to_string()).collect();
                    names.join(", ")
                };
                return Err(FolderError::MissingCode {
                    path: pre_state_file.into(),
                    field: format!("{address:?}.code_hash"),
                    code_hash,
                    searched,
                });
            }
        }
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entry of `file`, read now if it was not yet. Others wait meanwhile rather than read twice.
fn cached<T>(
    cache: &Mutex<BTreeMap<PathBuf, Arc<T>>>,
    file: &Path,
    read: impl FnOnce() -> Result<Arc<T>, FolderError>,
) -> Result<Arc<T>, FolderError> {
    let mut cache = lock(cache);
    if let Some(value) = cache.get(file) {
        return Ok(Arc::clone(value));
    }
    let value = read()?;
    cache.insert(file.into(), Arc::clone(&value));
    Ok(value)
}

/// The folders that may hold a file of a block folder, nearest first.
struct Places(Vec<PathBuf>);

impl Places {
    fn of(folder: &Path) -> Result<Self, FolderError> {
        let absolute = std::path::absolute(folder)
            .map_err(|source| FolderError::io(folder, "resolve the path", source))?;
        Ok(Self(absolute.ancestors().take(SHARED_LEVELS + 1).map(Path::to_path_buf).collect()))
    }

    /// The files of this name that exist, nearest first.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        self.0.iter().map(|place| place.join(name)).filter(|file| file.is_file()).collect()
    }

    /// Whether a file lies in the block folder itself.
    fn is_own(&self, file: &Path) -> bool {
        self.0.first().is_some_and(|own| file.parent() == Some(own))
    }
}

fn read_full(path: &Path, places: &Places) -> Result<FullBlock, FolderError> {
    let chain = match places.files(GENESIS).first() {
        None => Chain::Mainnet,
        Some(file) => chain_of(chain::read_genesis(file)?),
    };
    let file = path.join(BLOCK);
    let text = json::read_file(
        &file,
        "a full block folder holds the block in it, as eth_getBlockByNumber gives it with full transactions",
    )?;
    let mut block =
        FullBlock::parse(&text, chain).map_err(|fault| FolderError::content(&file, fault))?;
    let ommers = path.join(OMMERS);
    if ommers.is_file() {
        let headers: Vec<Header> = json::read_json(&ommers, "the headers of the ommers")?;
        block.set_ommers(headers).map_err(|fault| FolderError::content(&ommers, fault))?;
    }
    Ok(block)
}

/// The chain of a genesis file. Mainnet's fork schedule is built in, whatever the file says.
pub(crate) fn chain_of(genesis: Genesis) -> Chain {
    match genesis.config.chain_id {
        MAINNET_CHAIN_ID => Chain::Mainnet,
        _ => Chain::Custom(Box::new(genesis)),
    }
}

fn read_flat(path: &Path) -> Result<(FlatBlock, BTreeMap<u64, B256>), FolderError> {
    let env_file = path.join(ENV);
    let text = json::read_file(&env_file, "a flat block folder holds the block environment in it")?;
    let (env, hashes) =
        flat::parse_env(&text).map_err(|fault| FolderError::content(&env_file, fault))?;
    let file = path.join(TRANSACTIONS);
    let text = json::read_file(&file, "a flat block folder holds the transactions in it")?;
    let transactions =
        flat::parse_transactions(&text).map_err(|fault| FolderError::content(&file, fault))?;
    Ok((FlatBlock { env, transactions }, hashes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccount {
    balance: Quantity<U256>,
    nonce: Quantity<u64>,
    #[serde(default)]
    code_hash: Option<B256>,
    #[serde(default)]
    storage: UniqueMap<Quantity<U256>, Quantity<U256>>,
}

fn read_pre_state(file: &Path) -> Result<PreState, FolderError> {
    let raw: UniqueMap<Address, RawAccount> =
        json::read_json(file, "a block folder holds the state before the block in it")?;
    Ok(raw
        .0
        .into_iter()
        .map(|(address, raw)| {
            let account = PreAccount {
                balance: raw.balance.0,
                nonce: raw.nonce.0,
                code_hash: raw.code_hash.filter(|hash| *hash != KECCAK256_EMPTY),
                storage: raw.storage.0.into_iter().map(|(slot, value)| (slot.0, value.0)).collect(),
            };
            (address, account)
        })
        .collect())
}

/// One `bytecodes.json`: its text, and where in it each code stands. A code is decoded and
/// verified when it is first asked for.
#[derive(Debug)]
struct CodeFile {
    path: PathBuf,
    text: String,
    places: BTreeMap<B256, (usize, usize)>,
    decoded: Mutex<BTreeMap<B256, Bytes>>,
}

impl CodeFile {
    fn read(path: &Path) -> Result<Self, FolderError> {
        let text = json::read_file(path, "the codes of the pre-state")?;
        let text = String::from_utf8(text).map_err(|error| {
            FolderError::content(path, BlockFault::invalid(".", format!("is not text: {error}")))
        })?;
        let map: UniqueMap<B256, &str> =
            json::parse(text.as_bytes()).map_err(|fault| FolderError::content(path, fault))?;
        // The strings are borrowed from the text, so their addresses give their offsets in it.
        let start = text.as_ptr().addr();
        let places = map
            .0
            .into_iter()
            .map(|(hash, code)| (hash, (code.as_ptr().addr().wrapping_sub(start), code.len())))
            .collect();
        Ok(Self { path: path.into(), text, places, decoded: Mutex::default() })
    }

    fn get(&self, hash: &B256) -> Result<Option<Bytes>, FolderError> {
        if let Some(code) = lock(&self.decoded).get(hash) {
            return Ok(Some(code.clone()));
        }
        let Some((start, length)) = self.places.get(hash) else { return Ok(None) };
        let text = self.text.get(*start..start.saturating_add(*length)).unwrap_or_default();
        let code: Bytes = json::decode_bytes(text)
            .map_err(|reason| {
                FolderError::content(&self.path, BlockFault::invalid(hash.to_string(), reason))
            })?
            .into();
        let computed = keccak256(&code);
        if computed != *hash {
            return Err(FolderError::WrongCode {
                path: self.path.clone(),
                field: hash.to_string(),
                computed,
            });
        }
        lock(&self.decoded).insert(*hash, code.clone());
        Ok(Some(code))
    }
}
