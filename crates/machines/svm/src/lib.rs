//! The Solana machine: agave's runtime as a guest of the kernel.
//!
//! Transactions in Solana's wire format, its built-in programs, loaders and
//! precompiles, and programs compiled to SBF, by the rules of Solana's mainnet.
//! Compute units are Solana's to the unit.
//!
//! A transaction's accounts are loaded through the
//! [`Host`](polity_kernel::Host) into a transaction context of agave's, its
//! instructions run there, and what changed is written back. Lamports are the
//! native asset ([`base_units`]); how an account lies in the kernel's cells says
//! [`Stored`].

mod account;
mod address;
mod alias;
mod block;
mod callee;
mod executor;
mod features;
mod fees;
pub mod gateway;
pub mod genesis;
mod heaps;
mod lamports;
mod load;
mod machine;
mod nonce;
mod precompiles;
mod program;
mod record;
mod run;
mod session;
mod status;
mod trace;
mod transaction;
mod transfer;

pub use account::{PAGE, Stored, head_key, owner, read_account, record};
pub use address::{KIND, account, address, blockhash};
pub use alias::alias;
pub use block::{
    BlockInput, LAMPORTS_PER_SIGNATURE, MAX_AGE, MAX_ANCESTORS, SYSVARS, sysvar_account,
};
pub use features::features;
pub use lamports::{BASE_UNITS_PER_LAMPORT, base_units, lamports};
pub use machine::{MAX_BLOCK_UNITS, Svm};
pub use program::builtin_account;
pub use record::{InnerInstruction, Record};
pub use transaction::{MAX_SIZE, Transaction, Unsigned, Waiver, decode, parse, transaction_hash};
