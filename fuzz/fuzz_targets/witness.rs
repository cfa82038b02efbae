//! A witness of a block: what decodes has no other encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polity_state::Witness;

fuzz_target!(|data: &[u8]| {
    if let Ok(witness) = Witness::from_bytes(data) {
        assert_eq!(witness.to_bytes(), data);
    }
});
