use alloy_primitives::Bytes;
use polity_engine::{BlockError, Overlay, Place};
use polity_kernel::{Decoded, Executed, Halt, Kernel, Scratch};
use polity_state::Changes;
use polity_types::Resources;

use super::{Block, Chain, ChainError, ChainView, Draft, view::Layer};

/// What a transaction of any machine would do in a block that is not made.
pub struct Trial<'a> {
    /// The state before the transaction: what the machines do at a block's begin
    /// is done.
    pub before: Overlay<'a>,
    /// What executing it gives.
    pub executed: Executed,
    /// What the guest's front door would keep of it besides.
    pub supplement: Bytes,
}

impl Chain {
    /// Executes a transaction as if it were the first of the block after `parent`,
    /// on this state. Nothing comes of it.
    ///
    /// # Errors
    /// The state failed, or the machine broke a rule of the kernel.
    pub fn attempt<'a>(
        &self,
        draft: &Draft,
        parent: &Block,
        state: &'a ChainView,
        transaction: &Decoded,
    ) -> Result<Trial<'a>, ChainError> {
        let header = draft.header(self.spec(), parent)?;
        let context = self.context(&header, draft.withdrawals.clone())?;
        let mut before = Overlay::over(state);
        let mut scratch = Scratch::default();
        let halted = |place: Place| move |halt: Halt| BlockError::Halt { place, halt };
        for machine in self.machines().iter() {
            let place = Place::Begin(machine.kind());
            let kernel = Kernel::new(self.machines(), &context, &before, &mut scratch);
            let effects = kernel.begin_block(machine.kind()).map_err(halted(place))?;
            before.apply(&effects).map_err(|error| BlockError::Overlay { place, error })?;
        }
        let place = Place::Transaction(0, transaction.hash);
        let kernel = Kernel::new(self.machines(), &context, &before, &mut scratch);
        let executed = kernel.transact(transaction, Resources::UNLIMITED).map_err(halted(place))?;
        let mut supplement = Bytes::new();
        if let Executed::Included(output) = &executed
            && let Some(guest) = self.guests().get(transaction.machine)
        {
            let mut changes = Changes::new();
            changes.apply(&before, &output.effects)?;
            let after = Layer { under: &before, changes: &changes };
            supplement = guest.supplement(transaction, output, &before, &after)?.into();
        }
        Ok(Trial { before, executed, supplement })
    }
}
