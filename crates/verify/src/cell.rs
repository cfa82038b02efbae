use alloc::{string::String, string::ToString, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use polity_types::{AccountRecord, B256, Value};

use crate::hash_value;

/// What the state holds at a key.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cell {
    /// An account that exists.
    Account(AccountRecord),
    /// A slot that is not empty.
    Slot(Value),
}

/// Why bytes are not what the state holds at a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The bytes do not have the format.
    #[error("not a {what}: {error}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Where they leave it.
        error: String,
    },
    /// A slot holds nothing, or the word zero: such a slot is absent.
    #[error("an empty value, which the state never holds")]
    Empty,
}

impl Cell {
    /// The canonical bytes: the borsh encoding of the record or value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _ = match self {
            Self::Account(record) => record.serialize(&mut bytes),
            Self::Slot(value) => value.serialize(&mut bytes),
        };
        bytes
    }

    /// What a leaf of the trie says about the cell.
    pub fn hash(&self) -> B256 {
        hash_value(&self.to_bytes())
    }

    /// The account's record with these bytes.
    ///
    /// # Errors
    /// The bytes are not the canonical encoding of a record.
    pub fn record(bytes: &[u8]) -> Result<AccountRecord, CellError> {
        decode("account record", bytes)
    }

    /// The slot's value with these bytes.
    ///
    /// # Errors
    /// The bytes are not the canonical encoding of a value, or it is empty.
    pub fn value(bytes: &[u8]) -> Result<Value, CellError> {
        let value: Value = decode("slot value", bytes)?;
        if Self::is_absent(&value) { Err(CellError::Empty) } else { Ok(value) }
    }

    /// Whether a slot with this value is absent from the state.
    pub fn is_absent(value: &Value) -> bool {
        match value {
            Value::Empty => true,
            Value::Word(word) => word.is_zero(),
            Value::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

fn decode<T: BorshDeserialize>(what: &'static str, bytes: &[u8]) -> Result<T, CellError> {
    borsh::from_slice(bytes)
        .map_err(|error| CellError::Malformed { what, error: error.to_string() })
}
