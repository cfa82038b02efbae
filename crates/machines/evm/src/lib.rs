//! The Ethereum machine: [revm] as a guest of the kernel.
//!
//! Every fork from Frontier to Osaka, all transaction types, and what Ethereum
//! does at a block's begin and end. Gas is Ethereum's to the unit.
//!
//! revm keeps its own journal for the frames of one transaction; here it is a
//! [session](polity_kernel::Session) of the kernel's: it loads through the
//! [`Host`](polity_kernel::Host), notes on what the execution relies, and is
//! written back when the machine returns, so that the kernel's journal stays
//! the only one that lasts.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod account;
mod block;
mod database;
mod executor;
pub mod gateway;
mod hashing;
mod inspect;
mod invalid;
mod journal;
mod machine;
mod message;
mod reader;
mod session;
mod simulate;
mod terms;
mod trace;
mod transaction;
mod transfer;

pub mod dao;
pub mod genesis;
pub mod header;
pub mod receipt;
pub mod rewards;
pub mod spec;

pub use account::{KIND, account, address, code_ref};
pub use block::BlockInput;
pub use executor::SessionContext;
pub use inspect::Inspect;
pub use machine::{Evm, logs};
pub use reader::{StateFault, StateReader, read_account, read_code};
pub use simulate::{Simulated, SimulationError, Simulator};
pub use transaction::{Transaction, Unsigned, Waiver, decode_envelope};
