//! Transactions that are executed to see what they do.

use crate::{
    KIND,
    inspect::{Inspect, Probe},
    session::EvmSession,
};
use alloc::{boxed::Box, string::ToString};
use core::any::Any;
use polity_kernel::{
    BlockContext, Decoded, Executed, Halt, Invalid, Kernel, Machines, Scratch, Trace,
    TransactionOutput, View,
};
use polity_types::{MachineKind, Resources};
use revm::{
    context_interface::result::{InvalidTransaction, ResultAndState},
    inspector::NoOpInspector,
};

/// Executes Ethereum transactions on views, through the kernel and every
/// machine that takes part, and shows more of them than a block's execution
/// does: revm's own result, the accounts in revm's form, and each step to an
/// inspector.
///
/// Changes nothing: who wants the next transaction to see what this one did
/// applies its effects to a state laid over the view. The transactions may be
/// signed ones, or such as [`Unsigned`](crate::Unsigned) makes, which may be
/// spared checks.
pub struct Simulator<'a> {
    machines: &'a Machines,
    scratch: Scratch,
    limit: Resources,
    traces: bool,
}

/// What a simulated transaction did.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// revm's result, and every account and slot that was loaded. What other
    /// machines did is in the effects alone.
    pub outcome: ResultAndState,
    /// Effects and receipt, as in a block.
    pub output: TransactionOutput,
    /// The call tree over all machines, where it was [asked for](Simulator::trace).
    pub trace: Option<Box<Trace>>,
}

/// Why a simulation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// Ethereum refuses the transaction on this state and in this block.
    #[error("{0}")]
    Invalid(InvalidTransaction),
    /// The kernel refuses it: it needs more than the limit.
    #[error(transparent)]
    Refused(Invalid),
    /// The state could not be read, or a machine broke a rule of the kernel.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// The transaction is another machine's.
    #[error("a transaction of machine {0} is not Ethereum's to simulate")]
    Foreign(MachineKind),
}

impl<'a> Simulator<'a> {
    /// A simulator for the machines of a chain.
    pub fn new(machines: &'a Machines) -> Self {
        Self { machines, scratch: Scratch::default(), limit: Resources::UNLIMITED, traces: false }
    }

    /// Bounds the kernel's meters for every transaction.
    #[must_use]
    pub fn with_limit(mut self, limit: Resources) -> Self {
        self.limit = limit;
        self
    }

    /// From now on writes down the call tree of each transaction, or does not.
    pub const fn trace(&mut self, traces: bool) {
        self.traces = traces;
    }

    /// Executes a transaction on `view` in `block`.
    ///
    /// # Errors
    /// The transaction may not be in the block, or could not be executed.
    pub fn run(
        &mut self,
        view: &dyn View,
        block: &BlockContext,
        tx: &Decoded,
    ) -> Result<Simulated, SimulationError> {
        self.execute(view, block, tx, Probe::default()).map(|(simulated, _)| simulated)
    }

    /// The same, with an inspector that looks on. It is handed back.
    ///
    /// # Errors
    /// As [`Simulator::run`]; the inspector is then lost.
    pub fn inspect<I: Inspect>(
        &mut self,
        view: &dyn View,
        block: &BlockContext,
        tx: &Decoded,
        inspector: I,
    ) -> Result<(Simulated, I), SimulationError> {
        let probe = Probe { inspector: Some(Box::new(inspector)), verdict: None };
        let (simulated, probe) = self.execute(view, block, tx, probe)?;
        let inspector = probe.inspector.unwrap_or_else(|| Box::new(NoOpInspector));
        match (inspector as Box<dyn Any>).downcast() {
            Ok(inspector) => Ok((simulated, *inspector)),
            Err(_) => Err(Halt::Fault("the inspector got lost on the way".to_string()).into()),
        }
    }

    fn execute(
        &mut self,
        view: &dyn View,
        block: &BlockContext,
        tx: &Decoded,
        probe: Probe,
    ) -> Result<(Simulated, Box<Probe>), SimulationError> {
        if tx.machine != KIND {
            return Err(SimulationError::Foreign(tx.machine));
        }
        let mut session = EvmSession::known(self.scratch.take_session(KIND));
        session.probe = Some(Box::new(probe));
        self.scratch.put_session(KIND, session);
        let mut trace = self.traces.then(|| Box::new(Trace::new()));
        let mut kernel = Kernel::new(self.machines, block, view, &mut self.scratch);
        if let Some(trace) = &mut trace {
            kernel = kernel.traced(trace);
        }
        let executed = kernel.transact(tx, self.limit);
        let mut session = EvmSession::known(self.scratch.take_session(KIND));
        let probe = session.probe.take();
        let state = session.finalize();
        self.scratch.put_session(KIND, session);
        let mut probe = probe.unwrap_or_default();
        match (executed?, probe.verdict.take()) {
            (Executed::Included(output), Some(Ok(result))) => {
                let outcome = ResultAndState { result, state };
                Ok((Simulated { outcome, output, trace }, probe))
            }
            (Executed::Invalid { .. }, Some(Err(error))) => Err(SimulationError::Invalid(error)),
            (Executed::Invalid { invalid, .. }, _) => Err(SimulationError::Refused(invalid)),
            (Executed::Included(_), _) => {
                Err(Halt::Fault("an included transaction has no result".to_string()).into())
            }
        }
    }
}
