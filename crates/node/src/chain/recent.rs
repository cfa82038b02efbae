//! The blocks that were made or asked for last, decoded.

use std::{collections::BTreeMap, sync::Arc};

use super::Block;

/// How many there are at most.
const BLOCKS: usize = 128;

/// How many bytes they have at most where they are stored, beside the last one. Decoded, a block
/// of transfers takes six times as much, others less.
const BYTES: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    kept: BTreeMap<u64, Kept>,
    bytes: usize,
    /// How often one of them was asked for, or added.
    uses: u64,
    age: Age,
}

struct Kept {
    block: Arc<Block>,
    /// Its bytes where it is stored.
    bytes: usize,
    /// The last use.
    used: u64,
}

/// How often blocks were taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age(u64);

impl Recent {
    /// The block at a height; where it is not here, the age for [`Self::put_back`].
    pub(super) fn get(&mut self, number: u64) -> Result<Arc<Block>, Age> {
        let kept = self.kept.get_mut(&number).ok_or(self.age)?;
        self.uses = self.uses.saturating_add(1);
        kept.used = self.uses;
        Ok(kept.block.clone())
    }

    /// Adds a block, with its bytes where it is stored. Those that were not asked for the longest
    /// make room.
    pub(super) fn add(&mut self, block: Arc<Block>, bytes: usize) {
        self.remove(block.number());
        while self.kept.len() >= BLOCKS || self.bytes.saturating_add(bytes) > BYTES {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(number) = oldest.map(|(number, _)| *number) else { break };
            self.remove(number);
        }
        self.uses = self.uses.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.kept.insert(block.number(), Kept { block, bytes, used: self.uses });
    }

    /// Adds a block that was read after it was not found here, unless blocks were taken back since:
    /// it may be one of them.
    pub(super) fn put_back(&mut self, block: Arc<Block>, bytes: usize, age: Age) {
        if age == self.age {
            self.add(block, bytes);
        }
    }

    /// Forgets the blocks above a height, which are taken back.
    pub(super) fn truncate(&mut self, height: u64) {
        self.age = Age(self.age.0.saturating_add(1));
        let gone = self.kept.split_off(&height.saturating_add(1));
        let bytes = gone.values().map(|kept| kept.bytes).fold(0, usize::saturating_add);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn remove(&mut self, number: u64) {
        if let Some(gone) = self.kept.remove(&number) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_primitives::B256;

    use super::*;

    fn block(number: u64) -> Arc<Block> {
        Arc::new(Block::empty(Header { number, ..Header::default() }, B256::ZERO))
    }

    fn heights(recent: &Recent) -> Vec<u64> {
        recent.kept.keys().copied().collect()
    }

    #[test]
    fn so_many_blocks_stay() {
        let mut recent = Recent::default();
        (0..200).for_each(|number| recent.add(block(number), 10));
        assert_eq!(heights(&recent), (72..200).collect::<Vec<_>>());
        assert_eq!(recent.bytes, 1280);
    }

    #[test]
    fn what_is_asked_for_stays_and_large_blocks_make_others_go() {
        let mut recent = Recent::default();
        (0..4).for_each(|number| recent.add(block(number), BYTES / 4));
        assert!(recent.get(0).is_ok());
        recent.add(block(4), BYTES / 4);
        assert_eq!(heights(&recent), [0, 2, 3, 4]);
        // The last one is there however large it is, and once.
        recent.add(block(5), BYTES * 2);
        recent.add(block(5), BYTES * 2);
        assert_eq!(heights(&recent), [5]);
        assert_eq!(recent.bytes, BYTES * 2);
    }

    #[test]
    fn what_was_taken_back_does_not_return() {
        let mut recent = Recent::default();
        (0..4).for_each(|number| recent.add(block(number), 10));
        let Err(before) = recent.get(7) else { unreachable!("it was never added") };
        recent.put_back(block(7), 10, before);
        assert!(recent.get(7).is_ok());
        recent.truncate(1);
        assert_eq!(heights(&recent), [0, 1]);
        assert_eq!(recent.bytes, 20);
        recent.put_back(block(3), 10, before);
        assert_eq!(heights(&recent), [0, 1]);
    }
}
