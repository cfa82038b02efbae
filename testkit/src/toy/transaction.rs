use alloy_primitives::keccak256;
use borsh::{BorshDeserialize, BorshSerialize};
use polity_kernel::{Decoded, Hint};
use polity_types::{AccountId, U256};

use super::{Op, Program, slot_key};

/// A transaction of a toy machine. Nobody signs it: the sender is taken at its word.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ToyTransaction {
    /// Who sends it: an account of the machine.
    pub sender: AccountId,
    /// The sender's sequence number, which the transaction raises by 1.
    pub sequence: u64,
    /// What the sender pays to the block's beneficiary, whatever becomes of the program.
    pub fee: U256,
    /// What it takes of the block's limit ([`ToyBlock::gas_limit`](super::ToyBlock::gas_limit)); nothing else looks at it.
    pub gas_limit: u64,
    /// What it does.
    pub program: Program,
}

impl ToyTransaction {
    /// A transaction without a fee.
    pub fn new(sender: AccountId, sequence: u64, ops: &[Op]) -> Self {
        let program = Program::new(ops);
        Self { sender, sequence, fee: U256::ZERO, gas_limit: 0, program }
    }

    /// Pays a fee.
    #[must_use]
    pub fn fee(mut self, fee: u64) -> Self {
        self.fee = U256::from(fee);
        self
    }

    /// Its encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A vector takes all that it is given.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// The form in which the kernel executes it: what [`Machine::decode`](polity_kernel::Machine::decode) gives for its encoding.
    /// The accounts that the program names on its outermost level are the hints.
    pub fn decoded(self) -> Decoded {
        let hash = keccak256(self.encode());
        let (sender, sequence, gas_limit) = (self.sender, self.sequence, self.gas_limit);
        let ops = self.program.ops().unwrap_or_default();
        let hints = ops.iter().filter_map(hint).collect();
        Decoded::new(sender.machine, hash, sender, sequence, gas_limit, self).with_hints(hints)
    }
}

fn hint(op: &Op) -> Option<Hint> {
    match op {
        Op::ReadSlot { account, key } | Op::WriteSlot { account, key, .. } => {
            Some(Hint { account: *account, key: Some(slot_key(*key)) })
        }
        Op::Transfer { to, .. } => Some(Hint { account: *to, key: None }),
        Op::Call(call) => Some(Hint { account: call.target, key: None }),
        _ => None,
    }
}
