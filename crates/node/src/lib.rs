//! A node: mempool, block building, storage of blocks, and the front doors.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod chain;
pub mod config;
pub mod dev;
pub mod eth;
pub mod fork;
pub mod genesis;
pub mod metrics;
pub mod miner;
mod node;
pub mod pool;
pub mod rpc;
#[cfg(feature = "svm")]
pub mod solana;
mod standing;

pub use node::{Node, NodeError};
pub use standing::Standing;
