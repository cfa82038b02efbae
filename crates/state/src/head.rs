use alloc::{format, vec::Vec};

use borsh::{BorshDeserialize, BorshSerialize};
use polity_types::B256;

use crate::StateError;

/// A block and the state after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// The block's height.
    pub height: u64,
    /// The root of the state after it.
    pub root: B256,
}

/// What a store knows of a block: a value of [`Table::Blocks`](crate::Table).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockRow {
    /// The root of the state after it; `None` before the state began.
    pub root: Option<B256>,
    /// The block's hash, as far as the state was told.
    pub hash: Option<B256>,
}

impl Head {
    /// Where [`Table::Meta`](crate::Table) holds the latest.
    pub const KEY: &'static [u8] = b"head";

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The head with these bytes.
    ///
    /// # Errors
    /// They are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        decode("the latest block", bytes)
    }
}

impl BlockRow {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The row with these bytes.
    ///
    /// # Errors
    /// They are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        decode("a block", bytes)
    }
}

fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector does not fail.
    let _ = value.serialize(&mut bytes);
    bytes
}

fn decode<T: BorshDeserialize>(what: &str, bytes: &[u8]) -> Result<T, StateError> {
    borsh::from_slice(bytes)
        .map_err(|error| StateError::Corrupt(format!("the row of {what}: {error}")))
}
