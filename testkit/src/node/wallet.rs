//! Keys, and transactions signed with them.

use super::CHAIN;
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use k256::ecdsa::SigningKey;

/// A key and its address.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: SigningKey,
    /// The address that the key signs for.
    pub address: Address,
}

/// What a transaction does.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Whom it calls.
    pub to: Address,
    /// What it pays.
    pub value: u64,
    /// Its input.
    pub input: Bytes,
    /// Its gas limit.
    pub gas: u64,
}

impl Wallet {
    /// One of many wallets, always the same for a number.
    pub fn numbered(number: u64) -> Self {
        // Almost every hash is a key.
        let mut seed = keccak256(number.to_be_bytes());
        loop {
            if let Ok(key) = SigningKey::from_slice(seed.as_slice()) {
                let address = Address::from_public_key(key.verifying_key());
                return Self { key, address };
            }
            seed = keccak256(seed);
        }
    }

    /// A transaction of type 2, as it goes over the wire. It pays up to 100 gwei for gas.
    pub fn sign(&self, nonce: u64, transaction: &Transaction) -> Vec<u8> {
        let Transaction { to, value, ref input, gas } = *transaction;
        let transaction = TxEip1559 {
            chain_id: CHAIN,
            nonce,
            gas_limit: gas,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            access_list: Default::default(),
            input: input.clone(),
        };
        let hash = transaction.signature_hash();
        // A hash that cannot be signed does not occur: it would have to be a preimage of nought.
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(hash.as_slice()).unwrap_or_else(|_| unreachable!());
        let (r, s) = signature.split_bytes();
        let [r, s] = [r, s].map(|bytes| U256::from_be_slice(&bytes));
        let signed = transaction.into_signed(Signature::new(r, s, recovery.is_y_odd()));
        let mut bytes = Vec::with_capacity(signed.eip2718_encoded_length());
        signed.eip2718_encode(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable};
    use alloy_primitives::hex;

    #[test]
    fn what_is_signed_is_recovered() {
        use alloy_consensus::private::alloy_eips::Decodable2718 as _;

        let wallet = Wallet::numbered(7);
        let transaction =
            Transaction { to: Address::repeat_byte(1), value: 5, input: Bytes::new(), gas: 21_000 };
        let raw = wallet.sign(3, &transaction);
        let decoded = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        assert_eq!(decoded.recover_signer().unwrap(), wallet.address, "{}", hex::encode(&raw));
    }
}
