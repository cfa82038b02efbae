//! What a block folder holds.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};

use crate::{block::FullBlock, flat::FlatBlock};

/// An account before the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreAccount {
    /// The balance in wei.
    pub balance: U256,
    /// The nonce.
    pub nonce: u64,
    /// keccak256 of the code; `None` for an account without code.
    pub code_hash: Option<B256>,
    /// The slots that the block touches. One that is not here is zero.
    pub storage: BTreeMap<U256, U256>,
}

impl PreAccount {
    /// `code_hash`, with the hash of no code where there is none.
    pub fn code_hash(&self) -> B256 {
        self.code_hash.unwrap_or(KECCAK256_EMPTY)
    }
}

/// The state before the block, as far as the block touches it. An account that is not here is
/// empty.
pub type PreState = BTreeMap<Address, PreAccount>;

/// The block of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderBlock {
    /// A block with its header and signed transactions.
    Full(Box<FullBlock>),
    /// A block environment and transactions that name their sender; no header, so nothing to
    /// compare a result with.
    Flat(Box<FlatBlock>),
}

/// A block and everything that is needed to execute it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFolder {
    /// The block.
    pub block: FolderBlock,
    /// The state before the block.
    pub pre_state: PreState,
    /// The codes that `pre_state` names, by keccak256. Every hash was verified.
    pub codes: BTreeMap<B256, Bytes>,
    /// Hashes of ancestors by number, for BLOCKHASH: those among the last 256 that are known. That
    /// of the parent always is for a full block.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl BlockFolder {
    /// The block number.
    pub fn number(&self) -> u64 {
        match &self.block {
            FolderBlock::Full(block) => block.header.number,
            FolderBlock::Flat(block) => block.env.number,
        }
    }

    /// The EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        match &self.block {
            FolderBlock::Full(block) => block.chain.id(),
            FolderBlock::Flat(block) => block.env.chain_id,
        }
    }

    /// The header, which a flat folder lacks.
    pub fn header(&self) -> Option<&Header> {
        match &self.block {
            FolderBlock::Full(block) => Some(&block.header),
            FolderBlock::Flat(_) => None,
        }
    }

    /// How many transactions the block has.
    pub fn transaction_count(&self) -> usize {
        match &self.block {
            FolderBlock::Full(block) => block.transactions.len(),
            FolderBlock::Flat(block) => block.transactions.len(),
        }
    }
}

/// The numbers of the ancestors that BLOCKHASH can reach from `number`.
pub(crate) fn reachable_ancestors(number: u64) -> std::ops::Range<u64> {
    number.saturating_sub(256)..number
}
