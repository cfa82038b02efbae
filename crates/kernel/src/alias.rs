//! Aliases: what an account of one machine is called in the address space of another.
//!
//! An alias is an account whose code is the kernel's, and names the account that it
//! stands for. It holds nothing itself: what is meant for it is for the other.

use crate::{View, ViewError};
use polity_types::{AccountId, B256, Bytes, CodeRef, MachineKind};

/// What the code of an alias begins with. No contract of Ethereum's begins so
/// ([EIP-3541](https://eips.ethereum.org/EIPS/eip-3541)), which is why it can be shown
/// there as it is.
const PREFIX: [u8; 2] = [0xef, 0x02];

/// Bytes in the code of an alias: prefix, the machine's byte, the address.
const LEN: usize = PREFIX.len() + 1 + 32;

/// The code of an alias, and how its account refers to it.
pub fn code(target: &AccountId) -> (CodeRef, Bytes) {
    let mut code = [0; LEN];
    let machine = [target.machine.byte()];
    let parts = PREFIX.iter().chain(&machine).chain(&target.address.0);
    for (to, byte) in code.iter_mut().zip(parts) {
        *to = *byte;
    }
    (CodeRef { machine: MachineKind::KERNEL, hash: hash(&code) }, Bytes::copy_from_slice(&code))
}

/// Which account an alias with this code stands for; `None` where the code is no
/// alias's.
pub fn target(code: &[u8]) -> Option<AccountId> {
    let (machine, address) = code.strip_prefix(&PREFIX)?.split_first()?;
    let address = B256::try_from(address).ok()?;
    Some(AccountId::new(MachineKind::new(*machine), address))
}

/// Which account one with this code is an alias of, if it is one, as a view shows it.
///
/// # Errors
/// The view failed.
pub fn resolve(view: &dyn View, code: Option<CodeRef>) -> Result<Option<AccountId>, ViewError> {
    match code.filter(|code| code.machine == MachineKind::KERNEL) {
        Some(code) => Ok(target(view.code(&code.hash)?.bytes())),
        None => Ok(None),
    }
}

/// The hash by which an account refers to the code of an alias: Keccak-256.
pub fn hash(code: &[u8]) -> B256 {
    polity_types::keccak256(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_names_its_target() {
        let account = AccountId::new(MachineKind::new(3), B256::repeat_byte(7));
        let (reference, bytes) = code(&account);
        assert_eq!(bytes.len(), LEN);
        assert_eq!(target(&bytes), Some(account));
        assert_eq!(reference, CodeRef { machine: MachineKind::KERNEL, hash: hash(&bytes) });
        assert_eq!(target(&bytes[..LEN - 1]), None);
        assert_eq!(target(&[bytes.as_ref(), &[0]].concat()), None);
        assert_eq!(target(&[]), None);
    }
}
