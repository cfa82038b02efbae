use alloy_primitives::{Address, B256, keccak256};
use polity_types::{AccountId, CodeRef, MachineKind};
use revm::primitives::KECCAK_EMPTY;

/// The byte of Ethereum's address space, code and transactions.
pub const KIND: MachineKind = MachineKind::new(0x01);

/// The account behind an Ethereum address.
pub fn account(address: Address) -> AccountId {
    AccountId::short(KIND, address)
}

/// What Ethereum calls an account: its own accounts by their address, those of
/// other machines by the last 20 bytes of the keccak-256 of kind and address.
pub fn address(account: &AccountId) -> Address {
    if account.machine == KIND {
        return account.short_address();
    }
    let mut name = [0; 33];
    name[0] = account.machine.byte();
    name[1..].copy_from_slice(account.address.as_slice());
    Address::from_word(keccak256(name))
}

/// The reference to Ethereum code with this hash; none for the hash of no code.
pub fn code_ref(hash: B256) -> Option<CodeRef> {
    (hash != KECCAK_EMPTY && !hash.is_zero()).then_some(CodeRef { machine: KIND, hash })
}

/// Ethereum's hash for a code reference.
pub(crate) fn code_hash(code: Option<CodeRef>) -> B256 {
    code.map_or(KECCAK_EMPTY, |code| code.hash)
}
