//! A proof of the state: it verifies against the root that it leads to or not at all, what decodes
//! has no other encoding, and against any other root it does not verify.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polity_types::B256;
use polity_verify::{Proof, Trie};

fuzz_target!(|data: &[u8]| {
    if let Ok(trie) = Trie::decode(data) {
        assert_eq!(trie.encode(), data);
    }
    let Ok(proof) = Proof::from_bytes(data) else { return };
    assert_eq!(proof.to_bytes(), data);
    let Ok(root) = proof.root() else { return };
    if proof.verify(&root).is_ok() {
        assert!(proof.verify(&B256::repeat_byte(1)).is_err());
    }
});
