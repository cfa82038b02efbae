//! What the machine tells of its frames where somebody looks on
//! ([`Trace`](polity_kernel::Trace)): the instructions of a run, from the runtime's own
//! list of them. They are told before the kernel is told of changes or asked to call
//! another machine, and at the end. What each used is not known: zero.

use crate::run::Setting;
use polity_kernel::{Entry, Exit, Host};
use polity_types::{AccountId, Bytes, Status, U256};
use solana_instruction::TRANSACTION_LEVEL_STACK_HEIGHT;
use solana_pubkey::Pubkey;
use solana_transaction_context::transaction::TransactionContext;
use solana_transaction_error::TransactionError;

/// How many instructions of a run were told.
#[derive(Default)]
pub(crate) struct Tale {
    /// Of those that the run was given; they come first in the runtime's list.
    given: usize,
    /// Of the runtime's list, for those that programs sent.
    sent: usize,
    /// Those that are open, the outermost first.
    open: Vec<usize>,
}

impl Tale {
    /// Tells what has run so far; the innermost instruction is still running.
    pub(crate) fn tell(
        &mut self,
        context: &TransactionContext<'_>,
        setting: &Setting<'_>,
        host: &mut dyn Host,
    ) {
        if host.is_traced()
            && let Ok(current) = context.get_current_instruction_index()
        {
            self.tell_until(root(context, current), context, setting, host);
        }
    }

    /// Tells all that has run, and how it ended.
    pub(crate) fn end(
        mut self,
        result: &Result<(), TransactionError>,
        context: &TransactionContext<'_>,
        setting: &Setting<'_>,
        host: &mut dyn Host,
    ) {
        if !host.is_traced() {
            return;
        }
        let last = match result {
            Err(TransactionError::InstructionError(index, _)) => usize::from(*index),
            _ => setting.instructions.saturating_sub(1),
        };
        self.tell_until(last, context, setting, host);
        while !self.open.is_empty() {
            let status = match result {
                Ok(()) => Status::Success,
                Err(error) => Status::Failed(error.to_string()),
            };
            self.exit(status, setting, host);
        }
    }

    fn tell_until(
        &mut self,
        last: usize,
        context: &TransactionContext<'_>,
        setting: &Setting<'_>,
        host: &mut dyn Host,
    ) {
        let length = context.get_instruction_trace_length();
        for index in self.sent..length {
            if height(context, index) > TRANSACTION_LEVEL_STACK_HEIGHT {
                self.tell_given(root(context, index), context, setting, host);
                let caller = caller(context, index);
                while self.open.last().is_some_and(|open| *open != caller) {
                    self.exit(Status::Success, setting, host);
                }
                self.enter(index, context, setting, host);
            }
        }
        self.sent = length;
        self.tell_given(last, context, setting, host);
    }

    /// Tells the instructions that the run was given up to this one.
    fn tell_given(
        &mut self,
        last: usize,
        context: &TransactionContext<'_>,
        setting: &Setting<'_>,
        host: &mut dyn Host,
    ) {
        while self.given <= last.min(setting.instructions.saturating_sub(1)) {
            while !self.open.is_empty() {
                self.exit(Status::Success, setting, host);
            }
            self.enter(self.given, context, setting, host);
            self.given = self.given.saturating_add(1);
        }
    }

    fn enter(
        &mut self,
        index: usize,
        context: &TransactionContext<'_>,
        setting: &Setting<'_>,
        host: &mut dyn Host,
    ) {
        let from = match self.open.last() {
            Some(caller) => program(context, *caller),
            None => setting.keys.first().map(crate::account),
        };
        let is_first = self.open.is_empty();
        self.open.push(index);
        let Some(trace) = host.trace() else { return };
        // The kernel opened the frame of a call from another machine.
        if is_first && !setting.is_transaction {
            trace.adopt("INVOKE");
            return;
        }
        let data = context.get_instruction_context_at_index_in_trace(index);
        let data = data.map(|instruction| instruction.get_instruction_data().to_vec());
        trace.enter(Entry {
            machine: crate::KIND,
            kind: "INVOKE",
            from: from.unwrap_or_else(|| crate::account(&Pubkey::default())),
            to: program(context, index),
            value: U256::ZERO,
            input: data.unwrap_or_default().into(),
            gas: 0,
        });
    }

    fn exit(&mut self, status: Status, setting: &Setting<'_>, host: &mut dyn Host) {
        self.open.pop();
        let is_hop = self.open.is_empty() && !setting.is_transaction;
        if let Some(trace) = host.trace()
            && !is_hop
        {
            trace.exit(Exit { status, output: Bytes::new(), gas_used: 0, created: None });
        }
    }
}

fn height(context: &TransactionContext<'_>, index: usize) -> usize {
    let instruction = context.get_instruction_context_at_index_in_trace(index);
    instruction.map_or(0, |instruction| instruction.get_stack_height())
}

fn caller(context: &TransactionContext<'_>, index: usize) -> usize {
    let instruction = context.get_instruction_context_at_index_in_trace(index);
    instruction.map_or(0, |instruction| instruction.get_index_of_caller())
}

/// Which of the instructions that the run was given this one belongs to.
fn root(context: &TransactionContext<'_>, mut index: usize) -> usize {
    while height(context, index) > TRANSACTION_LEVEL_STACK_HEIGHT {
        let caller = caller(context, index);
        if caller >= index {
            break;
        }
        index = caller;
    }
    index
}

fn program(context: &TransactionContext<'_>, index: usize) -> Option<AccountId> {
    let instruction = context.get_instruction_context_at_index_in_trace(index).ok()?;
    instruction.get_program_key().ok().map(crate::account)
}
