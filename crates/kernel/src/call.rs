use polity_types::{AccountId, Bytes, Resources, Status, U256};

/// A call of one account to another, in words that hold for all machines.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls: an account of the calling machine's address space, which the
    /// machine vouches for. The callee learns it, and can trust it that far.
    pub caller: AccountId,
    /// Whose code runs, by its own name or by an alias.
    pub target: AccountId,
    /// The native asset that goes along, in base units.
    pub value: U256,
    /// Whose balance the value is taken from: an account of the same address
    /// space, and mostly the caller.
    pub payer: AccountId,
    /// What the target is asked, in its own machine's encoding.
    pub input: Bytes,
    /// What the callee may use at most; never more than the caller has left. Compute
    /// is in the gas of the machine that it is told to.
    pub limit: Resources,
    /// Whether the callee and all that it calls may change nothing.
    pub read_only: bool,
    /// Whether the callee may act in the caller's name: sign for it, and spend what
    /// it holds in the ledger. Ends with the callee: what that calls has no part in it.
    pub delegate: bool,
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
