//! The words that all rooms share: accounts, keys, amounts, effects, receipts.
//!
//! Nothing here executes anything. Types that reach another process, a proof or
//! a hash derive [`borsh`], the canonical codec: one value has one encoding.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod amount;
mod asset;
mod effects;
mod meter;
mod packed;
mod receipt;
mod state;
mod sum;

pub use account::{AccountId, MachineKind};
pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
pub use amount::{Delta, Interval};
pub use asset::{AssetId, AssetInfo};
pub use effects::{AccountEffects, Effects, Event, SlotEffects};
pub use meter::{Meter, Resources};
pub use packed::{AccountList, PackedAccount, Packer, Reliance, Seen};
pub use receipt::{Receipt, Status};
pub use state::{AccountRecord, CodeRef, LocalKey, Name, Space, Value};
pub use sum::AccountSum;
