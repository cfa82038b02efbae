//! Ethereum's own tests, run through the kernel: the proof that the Ethereum
//! machine is Ethereum.
//!
//! Two formats are read, as the fillers of `ethereum/tests` and of
//! `execution-spec-tests` write them:
//!
//! - a **state test** is one transaction on a small state, for one or more
//!   forks. It runs through [`polity_kernel::Kernel::transact`] alone: nothing
//!   of a block's begin or end takes place. Where [`Options`] say so, an engine executes it too.
//! - a **blockchain test** is a genesis and blocks as RLP, valid and invalid
//!   ones, side chains too. Each goes through every check that a node makes,
//!   and through an engine ([`Execute`]).
//!
//! What is compared is Ethereum's: the root of the Merkle-Patricia trie, the
//! hash of the logs, receipts, gas, requests, and the *name* of the rule that a
//! refused transaction or block breaks. A refusal for another reason than the
//! expected one is a failure.
//!
//! ```no_run
//! use polity_conformance::{Options, run, table};
//!
//! let report = run(&["fixtures".into()], &Options::default())?;
//! assert!(report.is_success(), "{}", table(&report));
//! # Ok::<(), polity_conformance::DiscoverError>(())
//! ```

#![forbid(unsafe_code)]

mod block;
mod chain;
mod discover;
mod encoding;
mod exception;
mod execute;
mod format;
mod render;
mod report;
mod runner;
mod skip;
mod state;
mod template;
mod world;

pub use discover::DiscoverError;
pub use execute::Execute;
pub use format::FormatError;
pub use render::{json, junit, table};
pub use report::{Difference, Failure, FileSummary, Report, Skipped, TestKind, Total};
pub use runner::{Options, Progress, run};
pub use skip::{SKIPS, Skip};
