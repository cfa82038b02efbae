use crate::ViewError;
use alloc::string::String;
use polity_types::Meter;

/// Ends the run of a transaction without any effect. Not a revert: no frame
/// sees it, and the transaction is either run again or its block fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The state could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The current frame's limit on a meter is exhausted. [`crate::Host::call`]
    /// turns it into the failure of the frame whose limit it was.
    #[error("out of {}", .0.name())]
    Exhausted(Meter),
    /// The block cannot be, whatever its transactions do: at its begin or end
    /// something is missing or malformed.
    #[error("invalid block: {0}")]
    Block(Invalid),
    /// A machine broke a rule of the kernel, such as the conservation of the
    /// native asset or the borders of address spaces.
    #[error("machine fault: {0}")]
    Fault(String),
}

/// Why a transaction may not be in a block at this place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// A stable name that machines and tests compare, in the machine's words.
    pub code: &'static str,
    /// What is wrong, for people.
    pub reason: String,
}
