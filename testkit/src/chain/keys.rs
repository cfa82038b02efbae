use alloy_primitives::{Address, B256, Signature, U256, b256};
use k256::ecdsa::SigningKey;

/// One of the keys that development chains derive from the mnemonic
/// `test test test test test test test test test test test junk`. Everybody knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(B256);

impl Key {
    /// The first eight, in order.
    pub const ALL: [Self; 8] = [
        Self(b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")),
        Self(b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")),
        Self(b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")),
        Self(b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6")),
        Self(b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a")),
        Self(b256!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba")),
        Self(b256!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e")),
        Self(b256!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356")),
    ];

    /// The address that the key signs for.
    pub fn address(self) -> Address {
        SigningKey::from_slice(self.0.as_slice())
            .map(|key| Address::from_public_key(key.verifying_key()))
            .unwrap_or_default()
    }

    /// Signs a hash. The nonce is that of RFC 6979, so that the signature is always the same.
    ///
    /// # Errors
    /// Never for the keys of [`Key::ALL`].
    pub fn sign(self, hash: B256) -> Result<Signature, k256::ecdsa::Error> {
        let key = SigningKey::from_slice(self.0.as_slice())?;
        let (signature, recovery) = key.sign_prehash_recoverable(hash.as_slice())?;
        let (r, s) = signature.split_bytes();
        let [r, s] = [r, s].map(|bytes| U256::from_be_slice(&bytes));
        Ok(Signature::new(r, s, recovery.is_y_odd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_keys_are_those_of_the_mnemonic() {
        let addresses = Key::ALL.map(Key::address);
        assert_eq!(
            addresses,
            [
                address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
                address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
                address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
                address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
                address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
                address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
                address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
                address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
            ]
        );
    }

    #[test]
    fn signatures_recover() {
        let hash = B256::repeat_byte(7);
        for key in Key::ALL {
            let signature = key.sign(hash).unwrap();
            assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), key.address());
            assert!(signature.normalize_s().is_none());
        }
    }
}
