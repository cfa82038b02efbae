//! The authenticated state: commit, root, proofs, witnesses, history.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "std")]
mod backend;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod head;
#[cfg(feature = "std")]
mod memory;

#[cfg(feature = "std")]
pub use backend::{Backend, Batch, Row, Rows, Table, Write};
#[cfg(feature = "std")]
pub use error::StateError;
#[cfg(feature = "std")]
pub use head::Head;
#[cfg(feature = "std")]
pub use memory::Memory;
