//! Slots that go by.
//!
//! Solana's tools wait for slots: until a program that was deployed can run, until a
//! table can be used. A chain that makes blocks for transactions alone would keep
//! them waiting for ever, so a block is made for those who look whether one was.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval},
};

use super::{Solana, error, moment::Wish, notify::Then};
use crate::{
    Node,
    chain::{Block, Event},
    miner::Mining,
    rpc::{Gone, Params, RpcError},
};

/// How long a slot lasts for who asks again and again.
pub(super) const SLOT: Duration = Duration::from_millis(400);

/// How long it lasts for who is told of each: two blocks are not of the same second, so
/// that a chain with more of them would be ahead of the time.
const TICK: Duration = Duration::from_secs(1);

/// The last block that somebody saw, and since when.
#[derive(Default)]
pub(super) struct Slots(Mutex<Option<(B256, Instant)>>);

impl Solana {
    /// The last block, for who looks at the clock, given a [`Wish`].
    ///
    /// # Errors
    /// It is not as high as wished, or no block could be made.
    pub(super) fn clock(&self, params: &mut Params<'_>) -> Result<Arc<Block>, RpcError> {
        let wish: Wish = params.optional()?.unwrap_or_default();
        let node = self.node();
        self.look(&node, SLOT)?;
        let head = node.chain.head();
        match wish.min_context_slot {
            Some(least) if head.number() < least => Err(error::too_early(head.number())),
            _ => Ok(head),
        }
    }

    /// Makes a block where the last one was seen so long ago and time alone makes none.
    fn look(&self, node: &Node, slot: Duration) -> Result<(), RpcError> {
        let mut seen = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        let head = node.chain.head().hash;
        match &*seen {
            Some((hash, since)) if *hash == head => {
                if since.elapsed() < slot || !self.is_idle(node) {
                    return Ok(());
                }
                let made = node.miner.mine()?;
                *seen = Some((made.hash, Instant::now()));
            }
            _ => *seen = Some((head, Instant::now())),
        }
        Ok(())
    }

    /// Whether blocks are made for transactions alone.
    fn is_idle(&self, node: &Node) -> bool {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.is_none() && node.miner.settings().mining == Mining::Instant
    }
}

/// Serves a subscription to slots: as long as there is one, slots go by.
pub(super) async fn each_slot(
    door: Arc<Solana>,
    mut events: Receiver<Event>,
    mut serve: impl FnMut(&Block) -> Result<Then, Gone> + Send + 'static,
) {
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Added(block)) => match serve(&block) {
                    Ok(Then::GoOn) => {}
                    Ok(Then::End) | Err(Gone) => return,
                },
                Ok(Event::Removed(_)) | Err(RecvError::Lagged(_)) => {}
                // Another chain may have taken its place.
                Err(RecvError::Closed) => events = door.node().chain.subscribe(),
            },
            _ = clock.tick() => {
                let door = door.clone();
                let looked = tokio::task::spawn_blocking(move || door.look(&door.node(), TICK));
                if let Ok(Err(error)) = looked.await {
                    tracing::error!(%error, "no slot could go by");
                }
            }
        }
    }
}
