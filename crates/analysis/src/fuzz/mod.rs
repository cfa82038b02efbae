//! Random Ethereum blocks that hold an engine to the sequential one (law 1).
//!
//! [`RandomBlock`] draws a block from a seed: which fork, how many people, which [`Kind`]s of
//! transactions in which mix, so that in some blocks everything meets in a few accounts and in
//! others hardly anything does. The transactions are drawn one after the other on the state that
//! the ones before leave, so that most of them do what they are there for, and are signed as on a
//! live chain. One block in ten holds a transaction that may not be in it.
//!
//! [`Difference`] says where two results of a block part, [`shrink()`] drops what is not needed for
//! it, and [`Delays`] make threads meet in other orders.
//!
//! The contracts' sources and codes are in `contracts/`.

mod block;
mod contracts;
mod delays;
mod difference;
mod draft;
mod generator;
mod kind;
mod setup;
mod shrink;

pub use block::{RandomBlock, RandomBlockError, Transaction};
pub use delays::{Delayed, Delays};
pub use difference::Difference;
pub use draft::Envelope;
pub use kind::Kind;
pub use setup::Account;
pub use shrink::{Shrink, shrink};

/// The id of the random blocks' chain, that of development chains.
pub const CHAIN_ID: u64 = 31_337;
