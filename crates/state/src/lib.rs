//! The authenticated state: commit, root, proofs, witnesses, history.
//!
//! A [`State`] is the state of a chain over a [`Backend`], in memory or on disk.
//! What a block changes are its [`Changes`]; committing them gives a root that
//! depends on what the state holds and on nothing else. `docs/state.md` gives
//! every byte.
//!
//! ```
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), polity_state::StateError> {
//! use polity_state::{Changes, State};
//! use polity_types::{AccountId, AccountRecord, B256, MachineKind, U256};
//! use polity_verify::{Cell, Key};
//!
//! let alice = AccountId::new(MachineKind::new(1), B256::with_last_byte(1));
//! let state = State::in_memory()?;
//! let mut genesis = Changes::new();
//! genesis.set_account(alice, Some(AccountRecord { balance: U256::from(7), ..Default::default() }));
//! let commit = state.genesis(0, genesis)?;
//!
//! // What was committed can be read at once; the root comes when it is known.
//! let key = Key::Account(alice);
//! assert!(matches!(state.view().cell(&key)?, Some(Cell::Account(record)) if record.sequence == 0));
//! let root = commit.root()?;
//!
//! // Whoever has the root can check what is under the key.
//! let (_, proof) = state.prove(&[key])?;
//! assert_eq!(proof.verify(&root).map(<[_]>::len), Ok(1));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "std"))]
//! # fn main() {}
//! ```

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod changes;
mod error;
mod stateless;
mod witness;

#[cfg(feature = "std")]
mod backend;
#[cfg(feature = "std")]
mod codes;
#[cfg(feature = "std")]
mod commit;
#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "std")]
mod gather;
#[cfg(feature = "std")]
mod head;
#[cfg(feature = "std")]
mod history;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod recording;
#[cfg(feature = "std")]
mod shared;
#[cfg(feature = "std")]
pub mod snapshot;
#[cfg(feature = "std")]
mod state;
#[cfg(feature = "std")]
mod view;

pub use changes::{CellChange, Changes, MAX_ROW, Slots};
pub use error::StateError;
pub use stateless::{Reexecuted, StatelessError, stateless};
pub use witness::{Witness, WitnessError};

#[cfg(feature = "std")]
pub use backend::{Backend, Batch, Row, Rows, Table, Write};
#[cfg(feature = "std")]
pub use commit::Commit;
#[cfg(feature = "std")]
pub use gather::Gather;
#[cfg(feature = "std")]
pub use head::{BlockRow, Head};
#[cfg(feature = "std")]
pub use history::History;
#[cfg(feature = "std")]
pub use memory::{Memory, Threads};
#[cfg(feature = "std")]
pub use state::{State, WitnessingError};
#[cfg(feature = "std")]
pub use view::StateView;
