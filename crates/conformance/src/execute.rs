//! The engine as the tests see it.

use polity_engine::{Block, BlockError, BlockOutput, Sequential};
use polity_kernel::{Machines, View};

/// An engine under test. Each worker thread has its own.
pub trait Execute {
    /// Executes `block` on `view`, the state before it.
    ///
    /// # Errors
    /// Why the block may not be, or could not be executed.
    fn block(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<BlockOutput, BlockError>;
}

impl Execute for Sequential {
    fn block(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<BlockOutput, BlockError> {
        self.execute(machines, view, block)
    }
}
