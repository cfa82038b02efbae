//! A node: mempool, block building, storage of blocks, and the front doors.

#![forbid(unsafe_code)]

pub mod chain;
pub mod dev;
pub mod genesis;
pub mod pool;
