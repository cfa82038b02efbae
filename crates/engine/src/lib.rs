//! Executes a block over a view.
//!
//! [`Sequential`] is the specification (law 1): transactions one after the
//! other, each on the state that its predecessors left. Any other engine must
//! give the same [`BlockOutput`], byte for byte.
//!
//! A given block is executed, or fails at the first transaction that may not be
//! in it. A block under construction is [built](Sequential::build) from
//! candidates: those that may not be in it are left out.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod block;
mod build;
mod overlay;
#[cfg(feature = "std")]
mod parallel;
mod sequential;

pub use block::{Block, BlockError, BlockOutput, Place, SystemOutput};
pub use build::{Built, LeftOut, Refusal};
pub use overlay::{Overlay, OverlayError};
#[cfg(feature = "std")]
pub use parallel::{Observer, Parallel, PoolError, Statistics};
pub use sequential::Sequential;
