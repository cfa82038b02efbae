use borsh::{BorshDeserialize, BorshSerialize};
use polity_types::Receipt;
use solana_transaction_error::TransactionError;

/// What became of a transaction, in Solana's words: the output in its receipt.
///
/// Balances before and after are not in here: a result must not depend on what
/// the execution did not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    pub(crate) error: Option<Vec<u8>>,
    /// Lamports that were paid for the transaction.
    pub fee: u64,
    /// Compute units that it used.
    pub compute_units: u64,
    /// What programs logged.
    pub logs: Vec<String>,
    /// Instructions that programs sent to others, by the transaction's own.
    pub inner: Vec<Vec<InnerInstruction>>,
    /// What the last program returned, with that program.
    pub return_data: Option<([u8; 32], Vec<u8>)>,
    /// Accounts from look-up tables that may be written.
    pub loaded_writable: Vec<[u8; 32]>,
    /// Accounts from look-up tables that may be read.
    pub loaded_readonly: Vec<[u8; 32]>,
    /// The bytes of the accounts that were loaded.
    pub loaded_bytes: u32,
}

/// An instruction that a program sent to another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InnerInstruction {
    /// The program, by its number among the transaction's accounts.
    pub program: u8,
    /// The accounts, by their numbers.
    pub accounts: Vec<u8>,
    /// What it asked for.
    pub data: Vec<u8>,
    /// How deep it was; the transaction's own instructions are at 1.
    pub stack_height: u8,
}

impl Record {
    /// The record in a receipt; `None` where it is not one of this machine's.
    pub fn of(receipt: &Receipt) -> Option<Self> {
        if receipt.machine != crate::KIND {
            return None;
        }
        borsh::from_slice(&receipt.output).ok()
    }

    /// How it failed, if it did.
    pub fn error(&self) -> Option<TransactionError> {
        // What was written is what is read.
        let read = |bytes: &Vec<u8>| {
            wincode::deserialize(bytes).unwrap_or(TransactionError::CommitCancelled)
        };
        self.error.as_ref().map(read)
    }

    pub(crate) fn failed(mut self, error: &TransactionError) -> Self {
        self.error = Some(wincode::serialize(error).unwrap_or_default());
        self
    }
}
