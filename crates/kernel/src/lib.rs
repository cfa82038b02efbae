//! The host of all machines: call stack, journal, meters, asset ledger.
//!
//! A [`Machine`] is a guest that runs contracts; a [`Kernel`] is what it sees of
//! the world while it executes one transaction, through the [`Host`] trait.
//! The kernel reads the state before the transaction from a [`View`], keeps
//! every change in one [journal](Kernel::checkpoint) and hands out the
//! [effects](polity_types::Effects) at the end. It knows no machine by name.
//!
//! ```text
//!   engine ──▶ Kernel ──▶ Machine::transact ──▶ Host::call ──▶ Machine::call …
//!                │  ▲                              │
//!              View └── reads, writes, ledger, events, meters ──┘
//! ```

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod alias;
mod block;
mod call;
mod halt;
mod host;
mod index;
mod journal;
mod kernel;
mod ledger;
mod machine;
mod machines;
mod trace;
mod view;

pub use block::{BlockContext, Inputs};
pub use call::{Call, Outcome};
pub use halt::{Halt, Invalid};
pub use host::{Account, Host, Session};
pub use kernel::{Checkpoint, Kernel, MAX_DEPTH, Phase, Scratch};
pub use ledger::{Ledger, LedgerError, MAX_NAME, Settled, holding_key, info_key, supply_key};
pub use machine::{
    DecodeError, Decoded, EndOfBlock, Executed, Hint, Machine, Totals, Transacted,
    TransactionOutput,
};
pub use machines::{Machines, RegistrationError};
pub use trace::{Change, Entry, Exit, Frame, Item, Trace, TracedChange, TracedEvent};
pub use view::{Code, View, ViewError};
