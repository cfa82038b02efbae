use polity_types::{AccountId, B256, MachineKind};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

/// The byte of Solana's address space, code and transactions.
pub const KIND: MachineKind = MachineKind::new(0x03);

/// The account behind a Solana address.
pub fn account(address: &Pubkey) -> AccountId {
    AccountId::new(KIND, B256::new(address.to_bytes()))
}

/// What Solana calls an account of its own address space.
pub fn address(account: &AccountId) -> Pubkey {
    Pubkey::new_from_array(account.address.0)
}

/// A block's hash as Solana writes it: the same 32 bytes.
pub fn blockhash(hash: &B256) -> Hash {
    Hash::new_from_array(hash.0)
}
