use crate::{Block, BlockError, BlockOutput, Overlay, Place, SystemOutput, overlay::Cells};
use alloc::vec::Vec;
use polity_kernel::{
    Decoded, EndOfBlock, Executed, Halt, Kernel, Machine, Machines, Scratch, Totals,
    TransactionOutput, View,
};

/// Executes a block's transactions one after the other.
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
        let mut run = Run {
            machines,
            block,
            state: Overlay::over_in(view, core::mem::take(&mut self.memory)),
            scratch: &mut self.scratch,
            output: BlockOutput::default(),
        };
        let executed = run.execute();
        let Run { state, output, .. } = run;
        self.memory = state.into_memory();
        executed.map(|()| output)
    }
}

struct Run<'a> {
    machines: &'a Machines,
    block: &'a Block,
    state: Overlay<'a>,
    scratch: &'a mut Scratch,
    output: BlockOutput,
}

impl<'a> Run<'a> {
    fn execute(&mut self) -> Result<(), BlockError> {
        let Self { machines, block, .. } = *self;
        self.output = begin(machines, block, &mut self.state, self.scratch)?;
        for (index, tx) in block.transactions.iter().enumerate() {
            self.transaction(index, tx)?;
        }
        let transactions = &self.output.transactions;
        self.output.end = end(machines, block, &mut self.state, self.scratch, transactions)?;
        Ok(())
    }

    fn kernel(&mut self) -> Kernel<'_> {
        Kernel::new(self.machines, &self.block.context, &self.state, self.scratch)
    }

    fn transaction(&mut self, index: usize, tx: &Decoded) -> Result<(), BlockError> {
        let place = Place::Transaction(index, tx.hash);
        self.output.admit(self.machines, self.block, place, tx)?;
        let limit = self.block.transaction_limit;
        let output = match self.kernel().transact(tx, limit).map_err(at(place))? {
            Executed::Included(output) => output,
            Executed::Invalid { invalid, .. } => {
                return Err(BlockError::Invalid { place, invalid });
            }
        };
        self.state
            .apply_with(&output.effects, self.scratch.records())
            .map_err(|error| BlockError::Overlay { place, error })?;
        self.output.include(tx, output);
        Ok(())
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
