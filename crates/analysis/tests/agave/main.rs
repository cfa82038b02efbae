//! Solana's machine beside agave's own transaction processor: whatever is executed by both comes out
//! alike, to the compute unit and to the lamport.

#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::iter_over_hash_type,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod bank;
mod dust;
mod programs;
mod random;
mod transactions;
