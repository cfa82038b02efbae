use crate::MachineKind;
use alloc::sync::Arc;
use alloy_primitives::{B256, Bytes, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use core::hash::{Hash, Hasher};

/// A region of an account's keys, so that what differs in kind cannot collide.
/// Machines choose their own values from 16 up; lower ones are the kernel's.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Space(pub u8);

impl Space {
    /// A contract's own storage: words by word, or bytes by bytes.
    pub const STORAGE: Self = Self(16);
}

/// The part of a key that the owner chooses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Name {
    /// A 32-byte word.
    Word(U256),
    /// Any other name.
    Bytes(Arc<[u8]>),
}

// Hashers take words faster than they take bytes, and almost all names are
// words: only the others need a mark to differ from them.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Word(word) => {
                let [a, b, c, d] = word.into_limbs().map(u128::from);
                state.write_u128(b << 64 | a);
                state.write_u128(d << 64 | c);
            }
            Self::Bytes(bytes) => {
                state.write_u8(1);
                bytes.hash(state);
            }
        }
    }
}

/// A key inside one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct LocalKey {
    /// The region.
    pub space: Space,
    /// The name in it.
    pub name: Name,
}

impl LocalKey {
    /// A word of a contract's storage.
    pub const fn storage(word: U256) -> Self {
        Self { space: Space::STORAGE, name: Name::Word(word) }
    }
}

/// What a slot holds. Absent and empty are the same, and so is the word zero:
/// use [`Value::word`] and [`Value::bytes`], which keep to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Value {
    /// Nothing; writing it deletes the slot.
    #[default]
    Empty,
    /// A word other than zero.
    Word(U256),
    /// One byte or more.
    Bytes(Bytes),
}

impl Value {
    /// A word; zero is [`Value::Empty`].
    pub fn word(word: U256) -> Self {
        if word.is_zero() { Self::Empty } else { Self::Word(word) }
    }

    /// Bytes; none are [`Value::Empty`].
    pub fn bytes(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes) }
    }

    /// The word; an empty slot reads as zero, and `None` means that the slot
    /// holds bytes.
    pub const fn as_word(&self) -> Option<U256> {
        match self {
            Self::Empty => Some(U256::ZERO),
            Self::Word(word) => Some(*word),
            Self::Bytes(_) => None,
        }
    }

    /// The length in bytes, for metering growth.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Word(_) => 32,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether the slot is empty.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// A reference to code: the machine that runs it and its hash, by that
/// machine's own hash function.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
// Records are copied often. At an odd offset the pieces of one copy straddle
// those of the one before, and the processor waits for them.
#[repr(align(8))]
pub struct CodeRef {
    /// The machine that runs the code.
    pub machine: MachineKind,
    /// The code's hash.
    pub hash: B256,
}

/// The cells of an account other than its slots. They are read in one look-up
/// and versioned apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountRecord {
    /// The native asset, in base units (18 decimals).
    pub balance: U256,
    /// The machine's sequence number of the account (a nonce).
    pub sequence: u64,
    /// The account's code, if it has any.
    pub code: Option<CodeRef>,
}

impl AccountRecord {
    /// Whether nothing distinguishes the account from an absent one
    /// ([EIP-161](https://eips.ethereum.org/EIPS/eip-161)).
    pub fn is_empty(&self) -> bool {
        self.balance.is_zero() && self.sequence == 0 && self.code.is_none()
    }
}
