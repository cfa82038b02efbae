//! The state before a block, read from a node when it is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use polity_remote::{Ancestor, RemoteError, RpcClient, SourceAccount, ancestors, read_state};

use crate::{
    block::FullBlock,
    folder::{BlockFolder, FolderBlock, PreAccount, PreState, reachable_ancestors},
};

/// A state that can be executed on.
pub trait Source: Send + Sync {
    /// The account, or `None` where it is empty.
    ///
    /// # Errors
    ///
    /// The state cannot be read.
    fn account(&self, address: Address) -> Result<Option<SourceAccount>, RemoteError>;

    /// The value of a slot; zero where it is empty.
    ///
    /// # Errors
    ///
    /// The state cannot be read.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, RemoteError>;

    /// The code with this keccak256, of an account that was read before.
    ///
    /// # Errors
    ///
    /// No account that was read has this code.
    fn code(&self, code_hash: B256) -> Result<Bytes, RemoteError>;

    /// The hash of one of the last 256 blocks.
    ///
    /// # Errors
    ///
    /// The block is not one of them, or cannot be read.
    fn block_hash(&self, number: u64) -> Result<B256, RemoteError>;
}

/// Accounts and slots, to be read in few requests.
pub type StateKeys = BTreeMap<Address, BTreeSet<U256>>;

#[derive(Debug, Default)]
struct Known {
    accounts: BTreeMap<Address, Option<SourceAccount>>,
    slots: BTreeMap<(Address, U256), U256>,
    codes: BTreeMap<B256, Bytes>,
    block_hashes: BTreeMap<u64, B256>,
    /// What the execution asked for, out of what is known.
    read: StateKeys,
    read_hashes: BTreeSet<u64>,
}

/// The state before a block at a node. Everything is asked for at most once, and what the
/// execution read is recorded, so that exactly this can be written as a pre-state.
#[derive(Debug)]
pub struct RemoteState {
    client: Arc<RpcClient>,
    /// The number of the block to execute.
    number: u64,
    known: Mutex<Known>,
}

/// A block whose pre-state is still to be found out by executing it.
#[derive(Debug)]
pub struct RemoteBlock {
    /// The block.
    pub block: FullBlock,
    /// The state to execute it on.
    pub state: RemoteState,
}

impl RemoteBlock {
    /// The block with exactly the state that was read until now.
    pub fn into_folder(self) -> BlockFolder {
        let (pre_state, codes, block_hashes) = self.state.into_parts();
        let block = FolderBlock::Full(Box::new(self.block));
        BlockFolder { block, pre_state, codes, block_hashes }
    }
}

impl RemoteState {
    pub(crate) fn new(client: Arc<RpcClient>, block: &FullBlock) -> Self {
        let number = block.header.number;
        let mut known = Known::default();
        if let Some(parent) = number.checked_sub(1) {
            known.block_hashes.insert(parent, block.header.parent_hash);
            known.read_hashes.insert(parent);
        }
        Self { client, number, known: Mutex::new(known) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parent(&self) -> u64 {
        self.number.saturating_sub(1)
    }

    /// Reads accounts and slots in batches, so that later reads of them cost no request. They are
    /// not recorded as read. `done` is told how many of how many calls are answered.
    ///
    /// # Errors
    ///
    /// The node is not reached or does not have the state.
    pub fn warm(
        &self,
        keys: &StateKeys,
        done: impl FnMut(usize, usize),
    ) -> Result<(), RemoteError> {
        let (accounts, slots) = {
            let known = self.known();
            let accounts: Vec<Address> = keys
                .keys()
                .filter(|address| !known.accounts.contains_key(*address))
                .copied()
                .collect();
            let slots: Vec<(Address, U256)> = keys
                .iter()
                .flat_map(|(address, slots)| slots.iter().map(|slot| (*address, *slot)))
                .filter(|key| !known.slots.contains_key(key))
                .collect();
            (accounts, slots)
        };
        let part = read_state(&self.client, self.parent(), &accounts, &slots, done)?;
        let mut known = self.known();
        known.accounts.extend(part.accounts);
        known.codes.extend(part.codes);
        known.slots.extend(part.slots);
        Ok(())
    }

    /// As [`RemoteState::warm`], and records all of it as read.
    ///
    /// # Errors
    ///
    /// As [`RemoteState::warm`].
    pub fn load(
        &self,
        keys: &StateKeys,
        done: impl FnMut(usize, usize),
    ) -> Result<(), RemoteError> {
        self.warm(keys, done)?;
        let mut known = self.known();
        for (address, slots) in keys {
            known.read.entry(*address).or_default().extend(slots);
        }
        Ok(())
    }

    /// Adds hashes of ancestors that are known already, as read.
    pub(crate) fn add_block_hashes(&self, hashes: impl IntoIterator<Item = (u64, B256)>) {
        let mut known = self.known();
        for (number, hash) in hashes {
            known.block_hashes.insert(number, hash);
            known.read_hashes.insert(number);
        }
    }

    /// The codes of all accounts that are known.
    pub(crate) fn any_code(&self, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        self.known().codes.values().any(|code| test(code))
    }

    /// What was read until now: accounts with their slots, their codes, hashes of ancestors.
    pub fn into_parts(self) -> (PreState, BTreeMap<B256, Bytes>, BTreeMap<u64, B256>) {
        let known = self.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut pre_state = PreState::new();
        let mut codes = BTreeMap::new();
        for (address, slots) in known.read {
            // What is empty is left out.
            let Some(Some(account)) = known.accounts.get(&address) else { continue };
            if let Some(hash) = account.code_hash
                && let Some(code) = known.codes.get(&hash)
            {
                codes.insert(hash, code.clone());
            }
            let storage = slots
                .into_iter()
                .filter_map(|slot| Some((slot, *known.slots.get(&(address, slot))?)))
                .collect();
            let SourceAccount { balance, nonce, code_hash } = *account;
            pre_state.insert(address, PreAccount { balance, nonce, code_hash, storage });
        }
        let block_hashes = known
            .block_hashes
            .into_iter()
            .filter(|(number, _)| known.read_hashes.contains(number))
            .collect();
        (pre_state, codes, block_hashes)
    }
}

fn not_readable(what: impl fmt::Display, reason: &'static str) -> RemoteError {
    RemoteError::NotReadable { what: what.to_string(), reason }
}

impl Source for RemoteState {
    fn account(&self, address: Address) -> Result<Option<SourceAccount>, RemoteError> {
        loop {
            {
                let mut known = self.known();
                if let Some(account) = known.accounts.get(&address).copied() {
                    known.read.entry(address).or_default();
                    return Ok(account);
                }
            }
            self.warm(&StateKeys::from([(address, BTreeSet::new())]), |_, _| {})?;
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, RemoteError> {
        // The storage of an empty account is empty.
        if self.account(address)?.is_none() {
            return Ok(U256::ZERO);
        }
        loop {
            {
                let mut known = self.known();
                if let Some(value) = known.slots.get(&(address, slot)).copied() {
                    known.read.entry(address).or_default().insert(slot);
                    return Ok(value);
                }
            }
            self.warm(&StateKeys::from([(address, BTreeSet::from([slot]))]), |_, _| {})?;
        }
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, RemoteError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        self.known().codes.get(&code_hash).cloned().ok_or_else(|| {
            not_readable(
                format_args!("code {code_hash}"),
                "no account that was read has it; read the account first",
            )
        })
    }

    fn block_hash(&self, number: u64) -> Result<B256, RemoteError> {
        if !reachable_ancestors(self.number).contains(&number) {
            return Err(not_readable(
                format_args!("hash of block {number}"),
                "only the last 256 blocks before the block can be asked for",
            ));
        }
        {
            let mut known = self.known();
            if let Some(hash) = known.block_hashes.get(&number).copied() {
                known.read_hashes.insert(number);
                return Ok(hash);
            }
        }
        let ancestor = ancestors(&self.client, [number], |_| {})?;
        let Some((_, Ancestor { hash, .. })) = ancestor.first_key_value() else {
            return Err(not_readable(format_args!("hash of block {number}"), "not answered"));
        };
        self.add_block_hashes([(number, *hash)]);
        Ok(*hash)
    }
}
