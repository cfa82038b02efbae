use polity_types::{AccountId, Bytes, Resources, Status, U256};

/// A call of one account to another, in words that hold for all machines.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls. Set by the kernel from the frame that calls; what a machine
    /// writes here only has a meaning for the outermost call.
    pub caller: AccountId,
    /// Whose code runs.
    pub target: AccountId,
    /// The native asset that goes along, in base units.
    pub value: U256,
    /// What the target is asked, in its own machine's encoding.
    pub input: Bytes,
    /// What the callee may use at most; never more than the caller has left.
    pub limit: Resources,
    /// Whether the callee and all that it calls may change nothing.
    pub read_only: bool,
}

/// How a call ended. Unless the status is success, nothing of it remains but
/// the resources it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// What it returned, or why it reverted.
    pub output: Bytes,
}

impl Outcome {
    /// A frame that was stopped, with the reason's name.
    pub fn failed(reason: &str) -> Self {
        Self { status: Status::Failed(reason.into()), output: Bytes::new() }
    }
}
