//! Analysis of contracts, and of the engines that execute them.
//!
//! [`fuzz`] makes random Ethereum blocks from a seed, which hold any other engine to the
//! sequential one; [`solana`] does so with Solana's transactions, and mixes both. [`abi`] encodes
//! calls, and [`Rng`] draws the numbers.

#![forbid(unsafe_code)]

pub mod abi;
pub mod fuzz;
mod rng;
#[cfg(feature = "svm")]
pub mod solana;

pub use rng::Rng;
