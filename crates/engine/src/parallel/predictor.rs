//! Which transactions are better left for their turn.
//!
//! Transactions that call the same contract mostly conflict alike, in this block
//! and in the next. As a branch predictor does, this keeps a small table of
//! counters that are found by hash, without the keys: a transaction's hints name
//! its counters. A wrong guess costs time, never the result.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use hashbrown::DefaultHashBuilder;
use polity_kernel::Decoded;

/// How many counters there are.
const COUNTERS: usize = 4096;

/// How many of a transaction's hints are looked at.
const HINTS: usize = 4;

/// From here on a counter says that running ahead is in vain.
const LIKELY: u8 = 128;

/// One in so many transactions is run ahead even so, to find out whether it is
/// worth it again.
const PROBE: u32 = 64;

/// See the module.
pub(super) struct Predictor {
    hasher: DefaultHashBuilder,
    counters: Vec<AtomicU8>,
}

impl Predictor {
    pub(super) fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU8::new(0)).collect();
        Self { hasher: DefaultHashBuilder::default(), counters }
    }

    fn counters(&self, tx: &Decoded) -> impl Iterator<Item = &AtomicU8> {
        tx.hints.iter().take(HINTS).filter_map(|hint| {
            let hash = self.hasher.hash_one((&hint.account, &hint.key));
            self.counters.get(hash as usize % COUNTERS)
        })
    }

    /// Whether running this transaction ahead of its turn will be in vain.
    pub(super) fn expects_conflict(&self, tx: &Decoded, index: u32) -> bool {
        !index.is_multiple_of(PROBE)
            && self.counters(tx).any(|counter| counter.load(Relaxed) >= LIKELY)
    }

    /// Whether running it ahead was in vain.
    pub(super) fn learn(&self, tx: &Decoded, vain: bool) {
        for counter in self.counters(tx) {
            let before = counter.load(Relaxed);
            if vain {
                counter.store(before + (u8::MAX - before).div_ceil(4), Relaxed);
            } else if before > 0 {
                counter.store(before - before.div_ceil(4), Relaxed);
            }
        }
    }
}
