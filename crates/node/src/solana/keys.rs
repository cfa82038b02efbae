//! The keys of a development chain, as Solana's wallets derive them.

use alloy_signer_local::coins_bip39::{English, Mnemonic};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::accounts::AccountError;

/// The path below which accounts are derived; index and `'/0'` follow.
pub const DERIVATION_PATH: &str = "m/44'/501'/";

/// All steps of the path are hardened: there are no others for this curve.
const HARDENED: u32 = 1 << 31;

/// Accounts of Solana with keys.
pub struct SolanaAccounts(Vec<Keypair>);

impl SolanaAccounts {
    /// The first accounts of a mnemonic, by SLIP-0010.
    ///
    /// # Errors
    /// The mnemonic is none.
    pub fn derive(mnemonic: &str, count: u32) -> Result<Self, AccountError> {
        let failed = |reason: String| AccountError::Derivation {
            index: 0,
            path: DERIVATION_PATH.into(),
            reason,
        };
        let seed = Mnemonic::<English>::new_from_phrase(mnemonic)
            .and_then(|mnemonic| mnemonic.to_seed(None))
            .map_err(|error| failed(error.to_string()))?;
        let derive = |index| {
            let path = [44, 501, index, 0];
            let key = derive(&seed, &path);
            key.ok_or_else(|| failed("no key".into())).map(Keypair::new_from_array)
        };
        (0..count).map(derive).collect::<Result<_, _>>().map(Self)
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = Pubkey> {
        self.0.iter().map(Signer::pubkey)
    }

    /// The keys, in order.
    pub fn keys(&self) -> &[Keypair] {
        &self.0
    }
}

/// The key under a path of hardened steps (SLIP-0010, ed25519).
fn derive(seed: &[u8], path: &[u32]) -> Option<[u8; 32]> {
    let node = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        let output: [u8; 64] = mac.finalize().into_bytes().into();
        let (key, chain) = output.split_first_chunk::<32>()?;
        Some((*key, <[u8; 32]>::try_from(chain).ok()?))
    };
    let (mut key, mut chain) = node(b"ed25519 seed", &[seed])?;
    for step in path {
        let step = step.checked_add(HARDENED)?.to_be_bytes();
        (key, chain) = node(&chain, &[&[0], &key, &step])?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::MNEMONIC;
    use alloy_primitives::hex;

    #[test]
    fn keys_are_those_of_slip_0010() {
        // Test vector 1 of the standard.
        let seed = hex!("000102030405060708090a0b0c0d0e0f");
        let key = derive(&seed, &[0, 1, 2, 2, 1_000_000_000]).unwrap();
        let expected = hex!("8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793");
        assert_eq!(key, expected);
    }

    #[test]
    fn the_accounts_of_a_mnemonic_differ() {
        let accounts = SolanaAccounts::derive(MNEMONIC, 3).unwrap();
        let addresses: std::collections::BTreeSet<Pubkey> = accounts.addresses().collect();
        assert_eq!(addresses.len(), 3);
        assert!(SolanaAccounts::derive("test test", 1).is_err());
    }
}
