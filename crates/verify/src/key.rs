use alloc::{sync::Arc, vec::Vec};
use borsh::{
    BorshDeserialize, BorshSerialize,
    io::{self, ErrorKind, Read, Write},
};
use core::fmt;
use polity_types::{AccountId, B256, LocalKey, MachineKind, Name, Space, U256};

use crate::{Path, hash_value};

/// The byte after the owner in the key of an account's record. A slot's key
/// goes on behind the space, so that one in space 0 is another key.
const RECORD: u8 = 0;

/// The byte before a name that is a word.
const WORD: u8 = 0;

/// The byte before any other name.
const BYTES: u8 = 1;

/// A key of the state: an account's record, or one of its slots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The record of an account.
    Account(AccountId),
    /// A slot of an account.
    Slot(AccountId, LocalKey),
}

/// Why bytes are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes end inside the owner, or behind the space.
    #[error(
        "a key of {0} bytes, which no key has: the owner has 33, a slot's name a tag before it"
    )]
    Length(usize),
    /// The name has another tag than 0 (a word) or 1 (bytes).
    #[error("a slot's name with the tag {0:#04x}: 0x00 is a word, 0x01 bytes")]
    Tag(u8),
    /// The name is tagged as a word and has not 32 bytes.
    #[error("a slot named by a word of {0} bytes instead of 32")]
    Word(usize),
}

/// An account as the owner of keys: with the hash that starts their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// The first four bytes of each of its keys' paths.
    pub prefix: [u8; 4],
}

impl Owner {
    /// The bytes of an owner in a key.
    pub const LEN: usize = 33;

    /// The bytes of an owner in a row.
    pub const ROW_LEN: usize = 4 + Self::LEN;

    /// How many turns the paths of one account's keys have in common.
    pub const PREFIX_BITS: u16 = 32;

    /// The account as owner.
    pub fn of(account: &AccountId) -> Self {
        let mut bytes = Vec::with_capacity(Self::LEN);
        push_owner(&mut bytes, account);
        Self { account: *account, prefix: first(&hash_value(&bytes)) }
    }

    /// The leftmost path of the account's subtree.
    pub fn path(&self) -> Path {
        path(self.prefix, &[0; 28])
    }

    /// The bytes that start the rows of all keys of the account, and no others.
    pub fn row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(Self::ROW_LEN);
        row.extend_from_slice(&self.prefix);
        push_owner(&mut row, &self.account);
        row
    }

    /// The row of the account's record.
    pub fn record_row(&self) -> Vec<u8> {
        let mut row = self.row();
        row.push(RECORD);
        row
    }

    /// The row of a slot.
    pub fn slot_row(&self, key: &LocalKey) -> Vec<u8> {
        let mut row = Vec::with_capacity(Self::ROW_LEN + 2 + name_len(&key.name));
        row.extend_from_slice(&self.prefix);
        push_owner(&mut row, &self.account);
        push_local(&mut row, key);
        row
    }
}

impl Key {
    /// The account whose key it is.
    pub const fn account(&self) -> &AccountId {
        match self {
            Self::Account(account) | Self::Slot(account, _) => account,
        }
    }

    /// The canonical bytes: owner, space and name.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.row().split_off(4)
    }

    /// The key with these bytes.
    ///
    /// # Errors
    /// No key has them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let length = || KeyError::Length(bytes.len());
        let (machine, rest) = bytes.split_first().ok_or_else(length)?;
        let (address, rest) = rest.split_first_chunk::<32>().ok_or_else(length)?;
        let account = AccountId::new(MachineKind::new(*machine), B256::new(*address));
        let (space, rest) = rest.split_first().ok_or_else(length)?;
        let Some((tag, name)) = rest.split_first() else {
            return if *space == RECORD { Ok(Self::Account(account)) } else { Err(length()) };
        };
        let name = match *tag {
            WORD => {
                let word = name.try_into().map_err(|_| KeyError::Word(name.len()))?;
                Name::Word(U256::from_be_bytes::<32>(word))
            }
            BYTES => Name::Bytes(Arc::from(name)),
            tag => return Err(KeyError::Tag(tag)),
        };
        Ok(Self::Slot(account, LocalKey { space: Space(*space), name }))
    }

    /// The bytes under which an ordered table holds the key: the first four
    /// bytes of its path, then the key. Rows lie together by subtree of the
    /// trie, in it by account, in that by space and name.
    pub fn row(&self) -> Vec<u8> {
        let owner = Owner::of(self.account());
        match self {
            Self::Account(_) => owner.record_row(),
            Self::Slot(_, key) => owner.slot_row(key),
        }
    }

    /// The key with this row. The first four bytes are not looked at: they
    /// follow from the others.
    ///
    /// # Errors
    /// No key has this row.
    pub fn from_row(row: &[u8]) -> Result<Self, KeyError> {
        let (_, key) = row.split_at_checked(4).ok_or(KeyError::Length(row.len()))?;
        Self::from_bytes(key)
    }

    /// The place of the key's leaf in the trie.
    pub fn path(&self) -> Path {
        Self::path_of_row(&self.row())
    }

    /// The path of the key with this row, which is not checked.
    pub fn path_of_row(row: &[u8]) -> Path {
        let (prefix, key) = row.split_first_chunk::<4>().unwrap_or((&[0; 4], row));
        path(*prefix, &first(&hash_value(key)))
    }
}

fn path(prefix: [u8; 4], rest: &[u8; 28]) -> Path {
    let mut bytes = [0; 32];
    let places = bytes.iter_mut();
    for (place, byte) in places.zip(prefix.iter().chain(rest)) {
        *place = *byte;
    }
    Path::new(bytes)
}

fn first<const N: usize>(hash: &B256) -> [u8; N] {
    hash.first_chunk().copied().unwrap_or([0; N])
}

fn push_owner(bytes: &mut Vec<u8>, account: &AccountId) {
    bytes.push(account.machine.byte());
    bytes.extend_from_slice(account.address.as_slice());
}

fn push_local(bytes: &mut Vec<u8>, key: &LocalKey) {
    bytes.push(key.space.0);
    match &key.name {
        Name::Word(word) => {
            bytes.push(WORD);
            bytes.extend_from_slice(&word.to_be_bytes::<32>());
        }
        Name::Bytes(name) => {
            bytes.push(BYTES);
            bytes.extend_from_slice(name);
        }
    }
}

fn name_len(name: &Name) -> usize {
    match name {
        Name::Word(_) => 32,
        Name::Bytes(name) => name.len(),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "account {account}"),
            Self::Slot(account, LocalKey { space, name: Name::Word(word) }) => {
                write!(f, "slot {word:#x} in space {} of {account}", space.0)
            }
            Self::Slot(account, LocalKey { space, name: Name::Bytes(name) }) => {
                write!(f, "slot 0x")?;
                name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, " (bytes) in space {} of {account}", space.0)
            }
        }
    }
}

impl BorshSerialize for Key {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        self.to_bytes().serialize(writer)
    }
}

impl BorshDeserialize for Key {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = Vec::deserialize_reader(reader)?;
        Self::from_bytes(&bytes)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, alloc::format!("{error}")))
    }
}
