use crate::{AccountId, MachineKind};
use alloc::string::String;
use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;

/// An asset of the kernel's ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct AssetId(pub B256);

impl AssetId {
    /// The native asset, which fees are paid in.
    pub const NATIVE: Self = Self(B256::ZERO);

    /// The asset that an account issues with this salt.
    pub fn issued(issuer: &AccountId, salt: &B256) -> Self {
        let mut name = [0; 1 + 32 + 32];
        let parts = [issuer.machine.byte()];
        let parts = parts.iter().chain(&issuer.address.0).chain(&salt.0);
        for (to, byte) in name.iter_mut().zip(parts) {
            *to = *byte;
        }
        Self(keccak256(name))
    }

    /// The account of the kernel's own address space that stands for the asset: what
    /// aliases of the asset point to.
    pub const fn account(self) -> AccountId {
        AccountId::new(MachineKind::KERNEL, self.0)
    }

    /// The asset behind an account of the kernel's address space.
    pub fn of(account: &AccountId) -> Option<Self> {
        (account.machine == MachineKind::KERNEL).then_some(Self(account.address))
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What the ledger knows of an asset that was issued in it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AssetInfo {
    /// Who may mint it.
    pub issuer: AccountId,
    /// How many digits of an amount people put behind the point.
    pub decimals: u8,
    /// Its short name.
    pub symbol: String,
    /// Its name.
    pub name: String,
}
