//! The authenticated state as a light client sees it: keys and their paths, the
//! trie, and proofs against its root.
//!
//! `docs/state.md` gives every byte. Nothing here reads a store: a proof is the
//! [encoding](Trie::encode) of a [`Trie`] of which a part is open, and whatever
//! bytes are given, the answer is a value or an error.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod cell;
mod codec;
mod hash;
mod key;
mod opening;
mod path;
mod proof;
mod trie;

pub use cell::{Cell, CellError};
pub use codec::{DecodeError, Reader, Tag};
pub use hash::{Kind, TERMINATOR, hash_inner, hash_leaf, hash_value};
pub use key::{Key, KeyError, Owner};
pub use opening::{Advance, Opening};
pub use path::Path;
pub use proof::{Claim, Proof, ProofError};
pub use trie::{
    Change, Join, Leaf, Lookup, MINIMUM_DEPTH, Serial, Trie, TrieError, fold, is_sentinel,
    sentinels,
};
