//! What a kernel writes down where somebody looks on ([`Trace`](crate::Trace)).

use super::{Checkpoint, Kernel};
use crate::{
    Account, Call, Decoded, Halt, Host, Outcome,
    trace::{Entry, Exit},
};
use polity_types::{Bytes, Event, LocalKey, MachineKind, Receipt, U256};

impl Kernel<'_> {
    pub(super) fn trace_transaction(&mut self, tx: &Decoded) {
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.begin(Entry {
                machine: tx.machine,
                kind: "TRANSACTION",
                from: tx.sender,
                to: None,
                value: U256::ZERO,
                input: Bytes::new(),
                gas: tx.gas_limit,
            });
        }
    }

    pub(super) fn trace_receipt(&mut self, receipt: &Receipt) {
        if let Some(trace) = self.trace.as_deref_mut() {
            let Receipt { status, output, gas_used, created, used, .. } = receipt.clone();
            trace.conclude(Exit { status, output, gas_used, created }, used);
        }
    }

    /// What was told so far, and what differs beside that at the transaction's end.
    pub(super) fn trace_settled(&mut self) {
        if let Some(trace) = self.trace.as_deref_mut() {
            self.journal.tell(trace);
            self.journal.tell_rest(trace);
        }
    }

    pub(super) fn trace_write(&mut self, account: Account, key: &LocalKey) -> Result<(), Halt> {
        match self.trace.as_deref_mut() {
            Some(trace) => self.journal.look_before(account.0, key, self.view, trace),
            None => Ok(()),
        }
    }

    pub(super) fn trace_event(&mut self, event: &Event) {
        if let Some(trace) = self.trace().filter(|trace| !trace.is_quiet()) {
            trace.event(event.clone());
        }
    }

    pub(super) fn trace_revert(&mut self, checkpoint: &Checkpoint) {
        if let Some(trace) = self.trace() {
            trace.undo(checkpoint.trace);
            // As much as is going to be left of the undo log.
            trace.told = trace.told.min(checkpoint.journal.changes());
        }
    }

    pub(super) fn trace_call(&mut self, call: &Call) -> Option<usize> {
        let entry = Entry {
            machine: call.target.machine,
            kind: if call.read_only { "STATICCALL" } else { "CALL" },
            from: call.caller,
            to: Some(call.target),
            value: call.value,
            input: Bytes::new(),
            gas: call.limit.compute,
        };
        let trace = self.trace()?;
        let input = call.input.clone();
        Some(trace.enter_hop(Entry { input, ..entry }, call.delegate))
    }

    #[cold]
    pub(super) fn trace_answer(&mut self, call: &Call, kind: MachineKind) {
        if let Some(trace) = self.trace() {
            trace.answers(kind, call.target, call.limit.compute);
        }
    }

    /// Notes what the current frame of the kernel's has used, in its machine's gas.
    pub(super) fn trace_used(&mut self) {
        let Some(frame) = self.frames.last() else { return };
        let used = self.used.left(&frame.before);
        if let Some(trace) = self.trace() {
            trace.metered(used);
        }
    }

    pub(super) fn trace_outcome(&mut self, hop: Option<usize>, outcome: &Outcome) {
        if let (Some(depth), Some(trace)) = (hop, self.trace()) {
            trace.exit_hop(depth, outcome.status.clone(), outcome.output.clone());
        }
    }
}
