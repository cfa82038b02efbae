use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use core::{
    fmt,
    hash::{Hash, Hasher},
};

/// Which machine an address space, a piece of code or a raw transaction belongs
/// to. One byte, chosen by the machine itself and unique among those registered
/// on a chain; `0` is the kernel's own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct MachineKind(u8);

impl MachineKind {
    /// The kernel's own address space: accounts that no machine owns.
    pub const KERNEL: Self = Self(0);

    /// The kind with this byte.
    pub const fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte that stands before an address or a raw transaction.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// An account: the machine whose address space it is, and an address of 32
/// bytes (shorter addresses are left-padded with zeros).
///
/// Two machines' equal-looking addresses are two accounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct AccountId {
    /// The machine whose address space it is.
    pub machine: MachineKind,
    /// The address, left-padded to 32 bytes.
    pub address: B256,
}

impl AccountId {
    /// An account with a full 32-byte address.
    pub const fn new(machine: MachineKind, address: B256) -> Self {
        Self { machine, address }
    }

    /// An account with a 20-byte address.
    pub fn short(machine: MachineKind, address: Address) -> Self {
        Self { machine, address: address.into_word() }
    }

    /// The last 20 bytes of the address: the inverse of [`AccountId::short`].
    pub fn short_address(&self) -> Address {
        Address::from_word(self.address)
    }
}

// Account look-ups are the most frequent hash of all, and hashers take words
// faster than they take bytes.
impl Hash for AccountId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, _) = self.address.as_chunks::<16>();
        for word in words {
            state.write_u128(u128::from_ne_bytes(*word));
        }
        state.write_u8(self.machine.0);
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.machine, self.address)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
