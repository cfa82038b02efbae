//! revm put together: its interpreter and frames over the session's journal,
//! with the steps of its handler that look at accounts by themselves.

use crate::{
    block::Environment,
    database::{DatabaseError, KernelDatabase},
    hashing::instructions,
    journal::SessionJournal,
};
use polity_kernel::Halt;
use revm::{
    context::{
        BlockEnv, CfgEnv, Context, ContextTr, Evm, FrameStack, LocalContext, Transaction, TxEnv,
    },
    context_interface::{
        JournalTr,
        context::ContextError,
        result::{EVMError, HaltReason, InvalidTransaction},
        transaction::AuthorizationTr,
    },
    handler::{
        EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult, FrameTr, Handler,
        evm::FrameInitResult, instructions::InstructionProvider, pre_execution,
    },
    interpreter::{
        FrameInput, GasTable, GasTracker, InitialAndFloorGas, InstructionTable,
        interpreter::EthInterpreter, interpreter_action::FrameInit,
    },
};

/// revm's context over the session's journal.
pub(crate) type SessionContext<'h> = Context<
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
    Evm<SessionContext<'h>, (), Instructions<'h>, EthPrecompiles, Frame>,
);

impl<'h> Executor<'h> {
    pub(crate) fn new(
        environment: &'h Environment,
        tx: &'h TxEnv,
        mut journal: SessionJournal<'h>,
        local: LocalContext,
        frame_stack: FrameStack<Frame>,
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
            inspector: (),
            instruction: Instructions {
                gas: &environment.gas_table,
                _context: core::marker::PhantomData,
            },
            precompiles: EthPrecompiles::new(spec),
            frame_stack,
        })
    }

    /// What outlives the entry: a fault that revm could not pass on, and memory.
    pub(crate) fn into_parts(self) -> (Option<Halt>, LocalContext, FrameStack<Frame>) {
        (self.0.ctx.journaled_state.fault, self.0.ctx.local, self.0.frame_stack)
    }
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
        self.0.frame_init(input)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextError<DatabaseError>> {
        self.0.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<FrameResult>, ContextError<DatabaseError>> {
        self.0.frame_return_result(result)
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
