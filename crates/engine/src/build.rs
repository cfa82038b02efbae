use crate::{Block, BlockError, BlockOutput, Place, sequential::at};
use alloc::{string::String, vec::Vec};
use core::fmt;
use polity_kernel::{
    BlockContext, Decoded, Executed, Halt, Invalid, Machines, Totals, TransactionOutput,
};
use polity_types::MachineKind;

/// A block that was built from candidates: those that were possible, each on
/// the state that the ones before it left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// What executing the block of the included candidates alone gives.
    pub output: BlockOutput,
    /// The other candidates, ascending. They had no effect whatever.
    pub left_out: Vec<LeftOut>,
}

impl Built {
    /// The indices of the included among so many candidates, ascending: one for
    /// each of the output's transactions.
    pub fn included(&self, candidates: usize) -> impl Iterator<Item = usize> {
        let mut left_out = self.left_out.iter().map(|left_out| left_out.candidate).peekable();
        (0..candidates).filter(move |index| left_out.next_if_eq(index).is_none())
    }
}

/// A candidate that is not in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its index among the candidates.
    pub candidate: usize,
    /// Why.
    pub why: Refusal,
}

/// Why a candidate is not in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its machine's block limits left no room for it. It was not executed, and
    /// may be possible in a later block.
    NoRoom(Invalid),
    /// It may not be in the block at its place. Whether it ever may is for the
    /// code of the reason to say.
    Invalid(Invalid),
    /// Its machine broke a rule of the kernel over it, and would again. A given
    /// block with it is an error.
    Fault(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(invalid) | Self::Invalid(invalid) => invalid.fmt(f),
            Self::Fault(reason) => write!(f, "machine fault: {reason}"),
        }
    }
}

/// What becomes of a transaction that may not be in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The block is given, and fails.
    Execute,
    /// The block is being built, and does without it.
    Build,
}

/// A block as far as its transactions have been judged.
#[derive(Default)]
pub(crate) struct Assembly {
    pub(crate) built: Built,
    /// Whether a transaction may be left out.
    building: bool,
}

impl Assembly {
    /// A block after its begin.
    pub(crate) fn new(policy: Policy, begun: BlockOutput) -> Self {
        let built = Built { output: begun, left_out: Vec::new() };
        Self { built, building: policy == Policy::Build }
    }

    /// How many transactions have been judged.
    #[cfg(feature = "std")]
    pub(crate) const fn judged(&self) -> usize {
        self.built.output.transactions.len() + self.built.left_out.len()
    }

    /// Whether the block has room for its transaction with this index. One for
    /// which a block under construction has none is thereby left out.
    pub(crate) fn admit(
        &mut self,
        machines: &Machines,
        block: &Block,
        index: usize,
        tx: &Decoded,
    ) -> Result<bool, BlockError> {
        match admit(machines, &block.context, &self.built.output.totals, tx) {
            Ok(()) => Ok(true),
            Err(invalid) if self.building => {
                self.leave_out(index, Refusal::NoRoom(invalid));
                Ok(false)
            }
            Err(invalid) => {
                Err(BlockError::Invalid { place: Place::Transaction(index, tx.hash), invalid })
            }
        }
    }

    /// Takes an admitted transaction into the block, given what its execution in its
    /// turn comes to, and gives its output; `None` where it is left out.
    pub(crate) fn take(
        &mut self,
        index: usize,
        tx: &Decoded,
        execution: Result<Executed, Halt>,
    ) -> Result<Option<&TransactionOutput>, BlockError> {
        let place = Place::Transaction(index, tx.hash);
        let refusal = match execution {
            Ok(Executed::Included(output)) => {
                let BlockOutput { totals, transactions, .. } = &mut self.built.output;
                if let Some((_, totals)) = totals.iter_mut().find(|(kind, _)| *kind == tx.machine) {
                    totals.add(&output.receipt);
                }
                transactions.push(output);
                return Ok(transactions.last());
            }
            Ok(Executed::Invalid { invalid, .. }) if self.building => Refusal::Invalid(invalid),
            Ok(Executed::Invalid { invalid, .. }) => {
                return Err(BlockError::Invalid { place, invalid });
            }
            Err(Halt::Fault(reason)) if self.building => Refusal::Fault(reason),
            Err(halt) => return Err(at(place)(halt)),
        };
        self.leave_out(index, refusal);
        Ok(None)
    }

    fn leave_out(&mut self, candidate: usize, why: Refusal) {
        self.built.left_out.push(LeftOut { candidate, why });
    }
}

/// Whether a machine's own block limits leave room for a transaction, given what
/// all machines' transactions used.
pub(crate) fn admit(
    machines: &Machines,
    context: &BlockContext,
    totals: &[(MachineKind, Totals)],
    tx: &Decoded,
) -> Result<(), Invalid> {
    let Some(machine) = machines.get(tx.machine) else { return Ok(()) };
    machine.admit(tx, &totals_of(totals, tx.machine), context)
}

/// What one machine's transactions used.
pub(crate) fn totals_of(totals: &[(MachineKind, Totals)], machine: MachineKind) -> Totals {
    let own = totals.iter().find(|(kind, _)| *kind == machine);
    own.map_or_else(Totals::default, |(_, totals)| *totals)
}
