//! Toy machines: their contracts and transactions are lists of host operations.
//!
//! A [`Toy`] can be registered any number of times with different kinds. Its transaction
//! ([`ToyTransaction`]), the input of a call to it and the code of its contracts are all a
//! [`Program`], a list of [`Op`]s. A program records what it [sees](Seen) into the output of its
//! frame, so that a test can compare what was read and not only what came of it.
//!
//! | status of a frame | when |
//! | --- | --- |
//! | success | the program ran to its end |
//! | reverted | [`Op::Revert`] |
//! | failed: `Failed` | [`Op::Fail`] |
//! | failed: `BadProgram` | the input is no program |
//! | failed: `NoSuchMeter` | [`Op::Charge`] or [`Op::Drain`] names a meter that is none |
//! | failed: `Nesting` | [`Op::Attempt`] is nested deeper than [`MAX_NESTING`] |
//! | failed: `ReadOnly` | a change in a read-only frame, unless [unruly](Toy::unruly) |
//! | failed: `Border` | a change of a foreign account, unless [unruly](Toy::unruly) |
//! | failed: `InsufficientBalance` | [`Op::Burn`] of more than there is |

mod frame;
mod machine;
mod program;
mod transaction;

pub use frame::MAX_NESTING;
pub use machine::{Toy, ToyBlock};
pub use program::{Invocation, Op, Program, Seen};
pub use transaction::ToyTransaction;

use polity_types::{AccountId, B256, LocalKey, MachineKind, U256};

/// The key of a slot.
pub fn slot_key(key: u64) -> LocalKey {
    LocalKey::storage(U256::from(key))
}

/// An account of a toy machine.
pub fn account(kind: MachineKind, number: u8) -> AccountId {
    AccountId::new(kind, B256::with_last_byte(number))
}
