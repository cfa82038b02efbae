//! A node: mempool, block building, storage of blocks, and the front doors.

#![forbid(unsafe_code)]

pub mod eth;
