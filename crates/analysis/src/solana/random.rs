//! Numbers and addresses.

use crate::Rng;
use alloy_primitives::keccak256;
use solana_pubkey::Pubkey;

/// The address of something that nobody has a key for.
pub(super) fn place(what: &str, index: usize) -> Pubkey {
    let name = [b"polity solana ".as_slice(), what.as_bytes(), &index.to_be_bytes()].concat();
    Pubkey::new_from_array(keccak256(name).0)
}

/// A number up to `most`, now and then one of the edges.
pub(super) fn number(rng: &mut Rng, most: u64) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => most,
        _ => rng.next().checked_rem(most.saturating_add(1)).unwrap_or_else(|| rng.next()),
    }
}

/// Mostly one of few, so that transactions meet; now and then any.
pub(super) fn few(rng: &mut Rng, all: usize) -> usize {
    match rng.once_in(3) {
        true => rng.below(all),
        false => rng.below(all.min(3)),
    }
}
