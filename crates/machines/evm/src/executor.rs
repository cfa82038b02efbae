//! revm put together: its interpreter and frames over the session's journal,
//! with the steps of its handler that look at accounts by themselves.

use crate::{
    block::Environment,
    database::{DatabaseError, KernelDatabase},
    gateway,
    hashing::instructions,
    inspect::Inspect,
    journal::SessionJournal,
    session::EvmSession,
};
use alloc::boxed::Box;
use alloy_primitives::{Address, U256};
use polity_kernel::{Halt, Host};
use revm::{
    context::{
        BlockEnv, CfgEnv, Context, ContextTr, Evm, FrameStack, LocalContext, Transaction, TxEnv,
    },
    context_interface::{
        JournalTr,
        context::ContextError,
        journaled_state::JournalLoadError,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
        transaction::AuthorizationTr,
    },
    handler::{
        EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult, FrameTr, Handler,
        ItemOrResult, evm::FrameInitResult, instructions::InstructionProvider, pre_execution,
    },
    inspector::{InspectorEvmTr, InspectorHandler, NoOpInspector},
    interpreter::{
        FrameInput, GasTable, GasTracker, InitialAndFloorGas, InstructionTable,
        interpreter::EthInterpreter, interpreter_action::FrameInit,
    },
};

/// revm's context over the session's journal: what an inspector is shown.
pub type SessionContext<'h> = Context<
    &'h BlockEnv,
    &'h TxEnv,
    &'h CfgEnv,
    KernelDatabase<'h>,
    SessionJournal<'h>,
    (),
    LocalContext,
>;

/// Why revm did not execute a transaction.
pub(crate) type Error = EVMError<DatabaseError, InvalidTransaction>;

type Frame = EthFrame<EthInterpreter>;

/// Ethereum's instructions. The table of functions is a constant of the
/// context's type, so that opening an executor allocates nothing.
pub(crate) struct Instructions<'h> {
    gas: &'h GasTable,
    _context: core::marker::PhantomData<fn(SessionContext<'h>)>,
}

impl<'h> Instructions<'h> {
    const TABLE: &'h InstructionTable<EthInterpreter, SessionContext<'h>> = &instructions();
}

impl<'h> InstructionProvider for Instructions<'h> {
    type Context = SessionContext<'h>;
    type InterpreterTypes = EthInterpreter;

    fn instruction_table(&self) -> &InstructionTable<EthInterpreter, SessionContext<'h>> {
        Self::TABLE
    }

    fn gas_table(&self) -> &GasTable {
        self.gas
    }
}

/// An EVM for one entry of the machine.
pub(crate) struct Executor<'h>(
    Evm<SessionContext<'h>, Inspection, Instructions<'h>, EthPrecompiles, Frame>,
);

/// Who looks on. That nobody does is decided once per entry, so that it costs
/// an execution nothing.
pub(crate) struct Inspection {
    inspector: Box<dyn Inspect>,
    present: bool,
}

impl Inspection {
    fn new(inspector: Option<Box<dyn Inspect>>) -> Self {
        let present = inspector.is_some();
        // Of no size, so that nothing is allocated.
        Self { inspector: inspector.unwrap_or_else(|| Box::new(NoOpInspector)), present }
    }

    fn into_inspector(self) -> Option<Box<dyn Inspect>> {
        self.present.then_some(self.inspector)
    }
}

impl<'h> Executor<'h> {
    #[inline]
    pub(crate) fn new(
        environment: &'h Environment,
        tx: &'h TxEnv,
        mut journal: SessionJournal<'h>,
        Memory { local, frames }: Memory,
        inspector: Option<Box<dyn Inspect>>,
    ) -> Self {
        let spec = environment.cfg.spec;
        journal.set_spec_id(spec);
        Self(Evm {
            ctx: Context {
                block: &environment.block,
                tx,
                cfg: &environment.cfg,
                journaled_state: journal,
                chain: (),
                local,
                error: Ok(()),
            },
            inspector: Inspection::new(inspector),
            instruction: Instructions {
                gas: &environment.gas_table,
                _context: core::marker::PhantomData,
            },
            precompiles: EthPrecompiles::new(spec),
            frame_stack: frames,
        })
    }

    #[inline]
    pub(crate) fn into_parts(self) -> Remains {
        let SessionJournal { fault, database, .. } = self.0.ctx.journaled_state;
        Remains {
            fault,
            memory: Memory { local: self.0.ctx.local, frames: self.0.frame_stack },
            inspector: self.0.inspector.into_inspector(),
            aliased: database.aliased,
        }
    }

    /// Runs `run` where other machines may run: see [`EvmSession::leave`].
    pub(crate) fn leave<T>(
        &mut self,
        run: impl FnOnce(&mut dyn Host) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let SessionJournal { database, session, .. } = &mut self.0.ctx.journaled_state;
        let mut inspector = None;
        if self.0.inspector.present {
            let stand_in: Box<dyn Inspect> = Box::new(NoOpInspector);
            inspector = Some(core::mem::replace(&mut self.0.inspector.inspector, stand_in));
        }
        session.aliased |= database.aliased;
        let result = session.leave(database.host, &mut inspector, run);
        database.aliased = session.aliased;
        if let Some(inspector) = inspector {
            self.0.inspector.inspector = inspector;
        }
        result
    }

    pub(crate) const fn context(&mut self) -> &mut SessionContext<'h> {
        &mut self.0.ctx
    }

    /// The kernel, which has not been told what the session did since it was left last.
    pub(crate) fn host(&mut self) -> &mut dyn Host {
        self.0.ctx.journaled_state.database.host
    }

    /// An account's balance as contracts see it.
    pub(crate) fn balance(&mut self, address: Address) -> Result<U256, Halt> {
        let loaded =
            self.0.ctx.journaled_state.load_account_info_skip_cold_load(address, false, false);
        match loaded {
            Ok(loaded) => Ok(loaded.account.balance),
            Err(JournalLoadError::DBError(DatabaseError(halt))) => Err(halt),
            Err(JournalLoadError::ColdLoadSkipped) => {
                Err(Halt::Fault("a load that was not to be skipped was".into()))
            }
        }
    }

    pub(crate) const fn session(&mut self) -> &mut EvmSession {
        self.0.ctx.journaled_state.session
    }

    /// Whether another machine has called, and is answered by this.
    pub(crate) const fn is_nested(&self) -> bool {
        self.0.ctx.journaled_state.session.is_nested()
    }

    const fn is_traced(&self) -> bool {
        self.0.ctx.journaled_state.session.tale.is_traced
    }

    /// Opens a frame, or has a door answer.
    #[inline]
    fn open(
        &mut self,
        input: FrameInit,
    ) -> Result<FrameInitResult<'_, Frame>, ContextError<DatabaseError>> {
        if self.0.ctx.journaled_state.database.gateway
            && let FrameInput::Call(inputs) = &input.frame_input
            && let Some(result) = gateway::intercept(self, inputs, input.depth)?
        {
            return Ok(ItemOrResult::Result(FrameResult::Call(result)));
        }
        self.0.frame_init(input)
    }

    /// Opens a frame, and tells a trace of it.
    #[cold]
    #[inline(never)]
    fn open_traced(
        &mut self,
        input: FrameInit,
    ) -> Result<FrameInitResult<'_, Frame>, ContextError<DatabaseError>> {
        self.tell_call(&input.frame_input).map_err(DatabaseError)?;
        let result = match self.open(input)? {
            ItemOrResult::Item(_) => None,
            ItemOrResult::Result(result) => Some(result),
        };
        match result {
            None => Ok(ItemOrResult::Item(self.0.frame_stack.get())),
            Some(result) => {
                self.tell_result(&result).map_err(DatabaseError)?;
                Ok(ItemOrResult::Result(result))
            }
        }
    }

    /// Gas that was used in other machines.
    pub(crate) const fn abroad(&self) -> u64 {
        self.0.ctx.journaled_state.session.abroad
    }

    pub(crate) const fn set_abroad(&mut self, gas: u64) {
        self.0.ctx.journaled_state.session.abroad = gas;
    }

    /// Executes the transaction.
    #[inline]
    pub(crate) fn transact(&mut self) -> Result<ExecutionResult, Error> {
        if self.0.inspector.present {
            return self.inspected_transact();
        }
        SessionHandler(core::marker::PhantomData).run(self)
    }

    // Apart, so that the interpreter's other loop does not lie in the way.
    #[cold]
    #[inline(never)]
    fn inspected_transact(&mut self) -> Result<ExecutionResult, Error> {
        SessionHandler(core::marker::PhantomData).inspect_run(self)
    }

    /// Executes a frame and those that it opens.
    #[inline]
    pub(crate) fn run_frame(&mut self, frame: FrameInit) -> Result<FrameResult, Error> {
        if self.0.inspector.present {
            return self.inspected_run_frame(frame);
        }
        SessionHandler(core::marker::PhantomData).run_exec_loop(self, frame)
    }

    #[cold]
    #[inline(never)]
    fn inspected_run_frame(&mut self, frame: FrameInit) -> Result<FrameResult, Error> {
        SessionHandler(core::marker::PhantomData).inspect_run_exec_loop(self, frame)
    }
}

/// What outlives an entry.
pub(crate) struct Remains {
    /// A fault that revm could not pass on.
    pub(crate) fault: Option<Halt>,
    pub(crate) memory: Memory,
    /// Who looked on.
    pub(crate) inspector: Option<Box<dyn Inspect>>,
    /// Whether the transaction has met an alias.
    pub(crate) aliased: bool,
}

/// Memory that is reused from entry to entry.
#[derive(Default)]
pub(crate) struct Memory {
    local: LocalContext,
    frames: FrameStack<Frame>,
}

impl<'h> EvmTr for Executor<'h> {
    type Context = SessionContext<'h>;
    type Instructions = Instructions<'h>;
    type Precompiles = EthPrecompiles;
    type Frame = Frame;

    fn all(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.0.all()
    }

    fn all_mut(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
    ) {
        self.0.all_mut()
    }

    fn frame_init(
        &mut self,
        input: FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextError<DatabaseError>> {
        // A creation looks at its creator's nonce, and at its balance even
        // where that does not suffice and no transfer is tried.
        if let FrameInput::Create(inputs) = &input.frame_input {
            let journal = &mut self.0.ctx.journaled_state;
            journal.rely_payer(inputs.caller(), inputs.value())?;
        }
        if self.is_traced() { self.open_traced(input) } else { self.open(input) }
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextError<DatabaseError>> {
        self.0.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<FrameResult>, ContextError<DatabaseError>> {
        if self.is_traced() {
            self.tell_return(&result).map_err(DatabaseError)?;
        }
        self.0.frame_return_result(result)
    }
}

impl<'h> InspectorEvmTr for Executor<'h> {
    type Inspector = Box<dyn Inspect>;

    fn all_inspector(
        &self,
    ) -> (
        &Self::Context,
        &Self::Instructions,
        &Self::Precompiles,
        &FrameStack<Frame>,
        &Self::Inspector,
    ) {
        let evm = &self.0;
        let inspector = &evm.inspector.inspector;
        (&evm.ctx, &evm.instruction, &evm.precompiles, &evm.frame_stack, inspector)
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Frame>,
        &mut Self::Inspector,
    ) {
        let evm = &mut self.0;
        let inspector = &mut evm.inspector.inspector;
        (&mut evm.ctx, &mut evm.instruction, &mut evm.precompiles, &mut evm.frame_stack, inspector)
    }
}

/// revm's handler, with notes on what its steps rely on.
pub(crate) struct SessionHandler<'h>(pub(crate) core::marker::PhantomData<fn(Executor<'h>)>);

impl<'h> Handler for SessionHandler<'h> {
    type Evm = Executor<'h>;
    type Error = Error;
    type HaltReason = HaltReason;

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Executor<'h>,
        _: &mut InitialAndFloorGas,
    ) -> Result<(), Error> {
        let (tx, journal) = evm.ctx().tx_journal_mut();
        // An amount that overflows is refused whatever the balance is.
        let most = tx.max_balance_spending().unwrap_or_default();
        journal.rely_payer(tx.caller(), most)?;
        let validated: Result<(), Error> =
            pre_execution::validate_against_state_and_deduct_caller(evm.ctx());
        if let Err(Error::Transaction(InvalidTransaction::LackOfFundForMaxFee { .. })) = validated {
            // The refusal names the balance.
            let (tx, journal) = evm.ctx().tx_journal_mut();
            journal.rely_exact_balance(tx.caller())?;
        }
        validated
    }

    fn apply_eip7702_auth_list(
        &self,
        evm: &mut Executor<'h>,
        gas: &mut GasTracker,
    ) -> Result<Option<u64>, Error> {
        let (tx, journal) = evm.ctx().tx_journal_mut();
        // Noted before the authorizations change the accounts.
        if tx.tx_type() == revm::context::TransactionType::Eip7702 as u8 {
            for authorization in tx.authorization_list() {
                let Some(authority) = authorization.authority() else { continue };
                journal.rely_authority(authority).map_err(DatabaseError)?;
            }
        }
        pre_execution::apply_eip7702_auth_list(evm.ctx(), gas)
    }
}

impl InspectorHandler for SessionHandler<'_> {
    type IT = EthInterpreter;
}
