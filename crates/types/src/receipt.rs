use crate::{AccountId, MachineKind, Resources};
use alloc::string::String;
use alloy_primitives::Bytes;
use borsh::{BorshDeserialize, BorshSerialize};

/// How a frame or a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Status {
    /// It did what it was asked to.
    Success,
    /// The contract undid itself and may say why in its output.
    Reverted,
    /// The machine stopped it; the machine's own name for the reason.
    Failed(String),
}

impl Status {
    /// Whether the frame's changes stand.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
}

/// What became of an included transaction, in words that hold for all machines.
/// Each front door renders it in its own ecosystem's form; the events are in
/// the transaction's [`crate::Effects`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The machine that executed the transaction.
    pub machine: MachineKind,
    /// How it ended.
    pub status: Status,
    /// What it pays for, in the machine's own gas, after refunds.
    pub gas_used: u64,
    /// What the kernel metered.
    pub used: Resources,
    /// What the outermost frame returned, or why it reverted.
    pub output: Bytes,
    /// The account that the transaction created, if that was its purpose.
    pub created: Option<AccountId>,
}
