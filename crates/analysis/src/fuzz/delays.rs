//! Delays, so that threads meet in ever new orders.

use crate::Rng;
use polity_engine::Observer;
use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, LocalKey, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Pauses whose lengths are drawn from a seed: none, a spin, a yield, or a sleep of up to 50 µs.
/// Which thread gets which is up to the system.
///
/// As an [`Observer`] it pauses the worker that tells.
#[derive(Debug)]
pub struct Delays(AtomicU64);

impl Delays {
    /// Delays with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Waits for a while, or not.
    pub fn pause(&self) {
        let draw = Rng::new(self.0.fetch_add(1, Ordering::Relaxed)).next();
        match draw % 16 {
            0 => thread::sleep(Duration::from_micros((draw >> 8) % 50)),
            1 | 2 => thread::yield_now(),
            3..=6 => (0..(draw >> 8) % 2_000).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

impl Observer for Delays {
    fn started(&self, _: usize, _: usize, _: bool) {
        self.pause();
    }

    fn finished(&self, _: usize, _: usize, _: Option<usize>) {
        self.pause();
    }
}

/// A view whose answers come late, by chance.
pub struct Delayed<'a> {
    view: &'a dyn View,
    delays: &'a Delays,
}

impl<'a> Delayed<'a> {
    /// `view`, delayed.
    pub const fn new(view: &'a dyn View, delays: &'a Delays) -> Self {
        Self { view, delays }
    }
}

impl View for Delayed<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        self.delays.pause();
        self.view.account(account)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.delays.pause();
        self.view.slot(account, key)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.delays.pause();
        self.view.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        self.delays.pause();
        self.view.block_hash(number)
    }
}
