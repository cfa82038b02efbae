//! Making a block that shows something smaller.

use std::ops::Range;

/// A block of which parts can be left out.
pub trait Shrink: Sized {
    /// Why there is no block without them.
    type Error;

    /// How many transactions it has.
    fn count(&self) -> usize;

    /// The block without some of its transactions, and without those that are then not possible.
    ///
    /// # Errors
    /// It cannot be made.
    fn without(&self, dropped: Range<usize>) -> Result<Self, Self::Error>;
}

/// Drops transactions as long as `shows` still gives something for what is left, first many at a
/// time, then single ones. `seen` is what it gave for `block`; the result is the smallest block
/// found and what it gave for that.
///
/// What depends on chance may not show each time: `shows` should try often enough.
///
/// # Errors
/// A smaller block cannot be made.
pub fn shrink<B: Shrink, T>(
    mut block: B,
    mut seen: T,
    mut shows: impl FnMut(&B) -> Option<T>,
) -> Result<(B, T), B::Error> {
    let mut size = block.count().div_ceil(2);
    while size > 0 {
        let before = block.count();
        let mut at = 0;
        while at < block.count() {
            let smaller = block.without(at..at.saturating_add(size))?;
            // Some may have become possible that were not before: that is no progress.
            let less = smaller.count() < block.count();
            match if less { shows(&smaller) } else { None } {
                Some(again) => (block, seen) = (smaller, again),
                None => at = at.saturating_add(size),
            }
        }
        // Single ones are tried until none can be dropped.
        if size > 1 || block.count() == before {
            size /= 2;
        }
    }
    Ok((block, seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{Kind, RandomBlock};

    #[test]
    fn what_is_needed_is_left() {
        let wanted = [Kind::FundPoor, Kind::PoorSpends];
        let shows = |block: &RandomBlock| {
            let count = |kind| block.transactions.iter().filter(|tx| tx.kind == kind).count();
            wanted.into_iter().all(|kind| count(kind) > 0).then_some(block.transactions.len())
        };
        let mut tried = 0;
        for seed in 0..60 {
            let block = RandomBlock::new(seed, 60).unwrap();
            let Some(seen) = shows(&block) else { continue };
            let (block, seen) = shrink(block, seen, shows).unwrap();
            assert_eq!(block.transactions.len(), seen);
            assert!((2..5).contains(&seen), "seed {seed} left {seen} transactions");
            for index in 0..seen {
                let smaller = block.without(index..index + 1).unwrap();
                assert_eq!(shows(&smaller), None, "seed {seed}: {index} was not needed");
            }
            tried += 1;
        }
        assert!(tried >= 3, "{tried}");
    }
}
