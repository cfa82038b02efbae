//! What an account of another machine is called here.
//!
//! An alias is an account whose code is the kernel's and names the account that it stands
//! for ([`polity_kernel::alias`]). It shows what the other holds, owned by the system
//! program and without data, so that programs treat it as a wallet: whatever they credit
//! is the other's. Nobody has a key for it; it signs where the other calls a program and
//! delegates that ([`Call::delegate`](polity_kernel::Call)).

use crate::KIND;
use polity_kernel::{View, ViewError};
use polity_types::AccountId;
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;

/// The end of what is hashed. With it that is 52 bytes: a program's derived address is
/// made of at least 53, one with a seed of at least 64, so neither can be an alias.
const MARKER: &[u8] = b"polity/alias/solana";

/// The address of an account in Solana's address space: its own, if it is one of this
/// machine's, else that of its alias, which is the SHA-256 of the account's 32 bytes of
/// address, its machine's byte and `polity/alias/solana`. For an asset, use its
/// [`account`](polity_types::AssetId::account).
pub fn alias(account: &AccountId) -> Pubkey {
    if account.machine == KIND {
        return crate::address(account);
    }
    let hash = Sha256::new()
        .chain_update(account.address)
        .chain_update([account.machine.byte()])
        .chain_update(MARKER);
    Pubkey::new_from_array(hash.finalize().into())
}

/// Which account a view shows as an alias at this address, if it is one.
pub(crate) fn aliased(
    view: &dyn View,
    address: &AccountId,
) -> Result<Option<AccountId>, ViewError> {
    let code = view.account(address)?.and_then(|record| record.code);
    polity_kernel::alias::resolve(view, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polity_types::{B256, MachineKind};

    #[test]
    fn each_account_has_one_name() {
        let own = AccountId::new(KIND, B256::repeat_byte(7));
        assert_eq!(alias(&own).to_bytes(), [7; 32]);
        let other = AccountId::new(MachineKind::new(2), B256::repeat_byte(7));
        let hash = Sha256::digest([&[7; 32][..], &[2], MARKER].concat());
        assert_eq!(alias(&other).to_bytes(), <[u8; 32]>::from(hash));
        let third = AccountId::new(MachineKind::KERNEL, B256::repeat_byte(7));
        assert_ne!(alias(&other), alias(&third));
        // What `find_program_address` and `create_with_seed` hash is longer.
        assert_eq!(32 + 1 + MARKER.len(), 52);
    }
}
