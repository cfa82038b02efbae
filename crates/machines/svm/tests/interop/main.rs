//! Calls between Solana's programs and contracts of another machine, through the kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod banker;
mod called;
mod calling;
mod custody;
mod reliance;
mod tokens;
mod world;
