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
    /// The block's hash, as far as the state was told.
    pub hash: Option<B256>,
}

impl Head {
    /// Where [`Table::Meta`](crate::Table::Meta) holds the latest.
    pub const KEY: &'static [u8] = b"head";

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// The head with these bytes.
    ///
    /// # Errors
    /// They are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        borsh::from_slice(bytes)
            .map_err(|error| StateError::Corrupt(format!("a block's row: {error}")))
    }
}
