use std::{cell::Cell, rc::Rc};

use revm::{
    Inspector,
    context_interface::{ContextTr, context::ContextError},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{LoopControl, MemoryTr},
    },
};

use super::CallError;

/// The most bytes that one trace may take while it is recorded, about.
const MOST: usize = 1 << 30;
/// What a recorded step takes, without its stack and its memory.
const STEP: usize = 256;
/// What a recorded call takes, without its input.
const CALL: usize = 1024;

/// Ends an execution whose trace becomes too large: a loop records more than any
/// memory holds, for little gas.
///
/// Looks on beside the inspector that records. Its copies share one allowance.
#[derive(Clone)]
pub(crate) struct Guard {
    left: Rc<Cell<usize>>,
    records: Records,
    steps: u64,
}

/// What is recorded.
#[derive(Clone, Copy, Default)]
pub(crate) struct Records {
    /// How many steps, at most.
    pub(crate) steps: u64,
    /// The stack before each step.
    pub(crate) stack: bool,
    /// The memory before each step.
    pub(crate) memory: bool,
}

impl Guard {
    pub(crate) fn new(records: Records) -> Self {
        Self { left: Rc::new(Cell::new(MOST)), records, steps: records.steps }
    }

    /// A guard for the next transaction of the same trace.
    pub(crate) fn again(&self) -> Self {
        Self { steps: self.records.steps, ..self.clone() }
    }

    /// The result, unless the trace became too large.
    pub(crate) fn check<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if self.left.get() > 0 {
            return result;
        }
        let text = "the trace is too large; ask for less of it: a `limit` of steps, \
                    `disableStack`, another tracer, or one transaction";
        Err(CallError::Halted(text.into()))
    }

    fn take(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }
}

impl<C: ContextTr> Inspector<C> for Guard {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        if self.steps > 0 {
            self.steps -= 1;
            let stack = if self.records.stack { interpreter.stack.len() } else { 0 };
            let memory = if self.records.memory { interpreter.memory.size() } else { 0 };
            self.take(stack.saturating_mul(32).saturating_add(memory).saturating_add(STEP));
        }
        if self.left.get() == 0 {
            let text = "the trace is too large".to_owned();
            *context.error() = Err(ContextError::Custom(text));
            interpreter.bytecode.reset_action();
            interpreter.halt_fatal();
        }
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.take(inputs.input.len().saturating_add(CALL));
        None
    }

    fn create(&mut self, _: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.take(inputs.init_code().len().saturating_add(CALL));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, TxKind, bytes};
    use revm::{
        Context, InspectEvm, MainBuilder, MainContext,
        bytecode::Bytecode,
        context::TxEnv,
        database::{CacheDB, EmptyDB},
        state::AccountInfo,
    };

    const CODE: Address = Address::repeat_byte(1);

    /// Whether a loop with gas for 30,000 steps is ended before its gas is.
    fn ends(records: Records) -> bool {
        let mut database = CacheDB::new(EmptyDB::default());
        let code = Bytecode::new_raw(bytes!("5b5f56"));
        database.insert_account_info(CODE, AccountInfo::from_bytecode(code));
        let guard = Guard { left: Rc::new(Cell::new(1000 * STEP)), records, steps: records.steps };
        let evm = Context::mainnet().with_db(database);
        let mut evm = evm.build_mainnet_with_inspector(guard.clone());
        let tx = TxEnv { gas_limit: 131_000, kind: TxKind::Call(CODE), ..TxEnv::default() };
        let outcome = evm.inspect_tx(tx);
        assert_eq!(outcome.is_err(), guard.check(Ok(())).is_err());
        outcome.is_err()
    }

    #[test]
    fn an_execution_ends_with_what_its_trace_may_take() {
        assert!(ends(Records { steps: u64::MAX, ..Records::default() }));
        assert!(!ends(Records { steps: 900, ..Records::default() }));
        assert!(ends(Records { steps: 999, stack: true, ..Records::default() }));
        assert!(!ends(Records::default()));
    }
}
