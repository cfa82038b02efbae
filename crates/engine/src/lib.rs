//! Executes a block over a view.
//!
//! [`Sequential`] is the specification (law 1): transactions one after the
//! other, each on the state that its predecessors left. Any other engine must
//! give the same [`BlockOutput`], byte for byte.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod block;
mod overlay;
#[cfg(feature = "std")]
mod parallel;
mod sequential;

pub use block::{Block, BlockError, BlockOutput, Place, SystemOutput};
pub use overlay::{Overlay, OverlayError};
#[cfg(feature = "std")]
pub use parallel::{Observer, Parallel, PoolError, Statistics};
pub use sequential::Sequential;
