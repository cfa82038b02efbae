//! Random blocks of Solana's transactions, alone or mixed with Ethereum's, from a seed.
//!
//! A [`World`](world::World) is what there is before the block: people, mints and token accounts,
//! durable nonces, look-up tables, programs and what can be deployed. [`draw::draw`] gives a
//! transaction of some [`Kind`] on it. Most of what is drawn happens on few accounts, so that
//! transactions meet, and a [`Gift`] is what another machine does to them.

mod block;
pub mod draw;
mod giver;
mod instructions;
mod kind;
mod random;
pub mod world;

pub use block::{SolanaBlock, SolanaBlockError, SolanaTransaction};
pub use giver::{GIVER, Gift, Giver};
pub use kind::Kind;
