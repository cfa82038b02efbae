use alloy_consensus::Header;
use alloy_primitives::{B256, Keccak256};
use polity_state::{Changes, Slots, StateError};
use polity_types::{AccountId, LocalKey};

use super::Guests;

/// What tells a chain from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain id.
    pub chain_id: u64,
    /// A hash of what its first block was made of.
    pub genesis: B256,
}

impl Identity {
    /// The identity of a chain whose first block has this hash for Ethereum, and
    /// holds what the guests put into it. `ageless` is its header without a time.
    pub(super) fn of(
        chain_id: u64,
        first: B256,
        ageless: &Header,
        guests: &Guests,
    ) -> Result<Self, StateError> {
        if guests.is_empty() {
            return Ok(Self { chain_id, genesis: first });
        }
        let mut changes = Changes::new();
        guests.genesis(ageless, &mut changes)?;
        let mut hash = Keccak256::new();
        hash.update(first);
        for guest in guests.iter() {
            hash.update([guest.kind().byte()]);
        }
        for cell in changes.cells(&Nothing)? {
            let value = cell.change().1.unwrap_or_default();
            hash.update([cell.path.bytes().as_slice(), value.as_slice()].concat());
        }
        Ok(Self { chain_id, genesis: hash.finalize() })
    }
}

/// The state before the first block.
struct Nothing;

impl Slots for Nothing {
    fn slots(&self, _: &AccountId) -> Result<Vec<LocalKey>, StateError> {
        Ok(Vec::new())
    }
}
