use crate::{
    Block, BlockError, BlockOutput, Built, Overlay, Place, SystemOutput,
    build::{Assembly, Policy},
    overlay::Cells,
};
use alloc::vec::Vec;
use polity_kernel::{
    Decoded, EndOfBlock, Halt, Kernel, Machine, Machines, Scratch, Totals, TransactionOutput, View,
};

/// Executes a block's transactions one after the other, or builds a block of
/// those that may be in it.
///
/// Keeps memory from block to block; it holds nothing of a chain's state.
#[derive(Default)]
pub struct Sequential {
    scratch: Scratch,
    memory: Cells,
}

impl Sequential {
    /// An engine without any memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Executes `block` on `view`, the state before it.
    ///
    /// # Errors
    /// The first transaction that may not be at its place, or a failure to read
    /// the state; nothing of the block then takes effect.
    pub fn execute(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<BlockOutput, BlockError> {
        Ok(self.run(machines, view, block, Policy::Execute)?.output)
    }

    /// Builds a block on `view`, the state before it, from the transactions of
    /// `block` in their order. Those that may not be where they are, or for which
    /// their machine's block limits leave no room, are left out; the output is that
    /// of [`Sequential::execute`] for the others. What finds no room is not executed,
    /// so that candidates beyond what fits cost no more than the question.
    ///
    /// # Errors
    /// A failure to read the state, or of the block's begin or end.
    pub fn build(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
    ) -> Result<Built, BlockError> {
        self.run(machines, view, block, Policy::Build)
    }

    pub(crate) fn run(
        &mut self,
        machines: &Machines,
        view: &dyn View,
        block: &Block,
        policy: Policy,
    ) -> Result<Built, BlockError> {
        let mut run = Run {
            machines,
            block,
            state: Overlay::over_in(view, core::mem::take(&mut self.memory)),
            scratch: &mut self.scratch,
            assembly: Assembly::default(),
        };
        let executed = run.execute(policy);
        let Run { state, assembly, .. } = run;
        self.memory = state.into_memory();
        executed.map(|()| assembly.built)
    }
}

struct Run<'a> {
    machines: &'a Machines,
    block: &'a Block,
    state: Overlay<'a>,
    scratch: &'a mut Scratch,
    assembly: Assembly,
}

impl<'a> Run<'a> {
    fn execute(&mut self, policy: Policy) -> Result<(), BlockError> {
        let Self { machines, block, .. } = *self;
        let begun = begin(machines, block, &mut self.state, self.scratch)?;
        self.assembly = Assembly::new(policy, begun);
        for (index, tx) in block.transactions.iter().enumerate() {
            self.transaction(index, tx)?;
        }
        let output = &mut self.assembly.built.output;
        output.end = end(machines, block, &mut self.state, self.scratch, &output.transactions)?;
        Ok(())
    }

    fn transaction(&mut self, index: usize, tx: &Decoded) -> Result<(), BlockError> {
        let Self { machines, block, .. } = *self;
        if !self.assembly.admit(machines, block, index, tx)? {
            return Ok(());
        }
        let kernel = Kernel::new(machines, &block.context, &self.state, self.scratch);
        let executed = kernel.transact(tx, block.transaction_limit);
        let Some(output) = self.assembly.take(index, tx, executed)? else { return Ok(()) };
        self.state.apply_with(&output.effects, self.scratch.written()).map_err(|error| {
            BlockError::Overlay { place: Place::Transaction(index, tx.hash), error }
        })
    }
}

/// Runs every machine's work before the first transaction: the output of the
/// block so far, with room for its transactions.
pub(crate) fn begin(
    machines: &Machines,
    block: &Block,
    state: &mut Overlay<'_>,
    scratch: &mut Scratch,
) -> Result<BlockOutput, BlockError> {
    let mut output = BlockOutput {
        transactions: Vec::with_capacity(block.transactions.len()),
        ..BlockOutput::default()
    };
    for machine in machines.iter().map(Machine::kind) {
        let place = Place::Begin(machine);
        let kernel = Kernel::new(machines, &block.context, state, scratch);
        let effects = kernel.begin_block(machine).map_err(at(place))?;
        state.apply(&effects).map_err(|error| BlockError::Overlay { place, error })?;
        output.begin.push(SystemOutput { machine, effects, end: EndOfBlock::default() });
        output.totals.push((machine, Totals::default()));
    }
    Ok(output)
}

/// Runs every machine's work after the last transaction.
pub(crate) fn end(
    machines: &Machines,
    block: &Block,
    state: &mut Overlay<'_>,
    scratch: &mut Scratch,
    transactions: &[TransactionOutput],
) -> Result<Vec<SystemOutput>, BlockError> {
    let mut outputs = Vec::new();
    for machine in machines.iter().map(Machine::kind) {
        let place = Place::End(machine);
        let kernel = Kernel::new(machines, &block.context, state, scratch);
        let (effects, end) = kernel.end_block(machine, transactions).map_err(at(place))?;
        state.apply(&effects).map_err(|error| BlockError::Overlay { place, error })?;
        outputs.push(SystemOutput { machine, effects, end });
    }
    Ok(outputs)
}

pub(crate) fn at(place: Place) -> impl Fn(Halt) -> BlockError {
    move |halt| match halt {
        Halt::Block(invalid) => BlockError::Invalid { place, invalid },
        halt => BlockError::Halt { place, halt },
    }
}
