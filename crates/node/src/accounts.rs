//! The accounts that a node can sign for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use alloy_primitives::{Address, B256, Signature};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};

/// The mnemonic of development chains, which all tools know. Its keys are public.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The path below which accounts are derived (BIP-44); the index follows.
pub const DERIVATION_PATH: &str = "m/44'/60'/0'/0/";

/// Why there are no accounts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The mnemonic or the path is none.
    #[error("account {index} of the mnemonic at {path}: {reason}")]
    Derivation {
        /// Which account.
        index: u32,
        /// The derivation path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The node has no key of the account.
    #[error("unknown account {0}")]
    Unknown(Address),
    /// Signing failed.
    #[error("signing: {0}")]
    Signing(String),
}

/// Keys, and accounts in whose name anybody may act.
#[derive(Default)]
pub struct Accounts {
    keys: BTreeMap<Address, PrivateKeySigner>,
    order: Vec<Address>,
    impersonated: RwLock<Impersonated>,
}

#[derive(Default)]
struct Impersonated {
    all: bool,
    accounts: BTreeSet<Address>,
}

impl Accounts {
    /// The first accounts of a mnemonic.
    ///
    /// # Errors
    /// The mnemonic or the path is none.
    pub fn derive(mnemonic: &str, path: &str, count: u32) -> Result<Self, AccountError> {
        let mut accounts = Self::default();
        for index in 0..count {
            let path = format!("{path}{index}");
            let failed = |error: alloy_signer_local::LocalSignerError| AccountError::Derivation {
                index,
                path: path.clone(),
                reason: error.to_string(),
            };
            let key = MnemonicBuilder::<English>::default()
                .phrase(mnemonic)
                .derivation_path(&path)
                .and_then(|builder| builder.build())
                .map_err(failed)?;
            accounts.order.push(key.address());
            accounts.keys.insert(key.address(), key);
        }
        Ok(accounts)
    }

    /// The accounts with keys, in the order of their derivation.
    pub fn addresses(&self) -> &[Address] {
        &self.order
    }

    /// The accounts with their private keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = (Address, B256)> {
        self.order.iter().filter_map(|address| {
            let key = self.keys.get(address)?;
            Some((*address, key.to_bytes()))
        })
    }

    /// Signs a hash in the name of an account.
    ///
    /// # Errors
    /// There is no key of it.
    pub fn sign(&self, account: Address, hash: &B256) -> Result<Signature, AccountError> {
        let key = self.keys.get(&account).ok_or(AccountError::Unknown(account))?;
        key.sign_hash_sync(hash).map_err(|error| AccountError::Signing(error.to_string()))
    }

    /// Whether there is a key of the account.
    pub fn has_key(&self, account: Address) -> bool {
        self.keys.contains_key(&account)
    }

    /// Whether anybody may act in the account's name.
    pub fn is_impersonated(&self, account: Address) -> bool {
        let impersonated = self.impersonated.read().unwrap_or_else(PoisonError::into_inner);
        impersonated.all || impersonated.accounts.contains(&account)
    }

    /// Lets anybody act in an account's name, or not any more.
    pub fn impersonate(&self, _: &crate::dev::Powers, account: Address, on: bool) {
        let mut impersonated = self.impersonated.write().unwrap_or_else(PoisonError::into_inner);
        if on {
            impersonated.accounts.insert(account);
        } else {
            impersonated.accounts.remove(&account);
        }
    }

    /// Lets anybody act in every account's name, or not any more.
    pub fn impersonate_all(&self, _: &crate::dev::Powers, on: bool) {
        self.impersonated.write().unwrap_or_else(PoisonError::into_inner).all = on;
    }
}
