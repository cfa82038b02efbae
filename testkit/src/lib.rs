//! What the tests of several rooms share.
//!
//! - [`toy`]: machines whose contracts are lists of host operations, to drive every way through the
//!   kernel from a test.
//! - [`solana`]: programs for Solana's machine and how their instructions are written.
//! - [`state`]: a state in ordered maps, as plain as can be.
//! - [`told`]: what a trace tells, applied to such a state.
//! - `chain` (a feature): the sample chain and an assembler for its contracts.
//! - `data` (a feature): the folder of recorded blocks and test vectors.
//! - `node` (a feature): development chains as processes, and the tools that use them.
//! - `script` (a feature): a contract of Ethereum's that does what it is told.
//! - `workloads` (a feature): blocks of Ethereum transactions that are all of one kind.

#![forbid(unsafe_code)]

#[cfg(feature = "chain")]
pub mod chain;
#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "script")]
pub mod script;
pub mod solana;
pub mod state;
pub mod told;
pub mod toy;
#[cfg(feature = "workloads")]
pub mod workloads;
