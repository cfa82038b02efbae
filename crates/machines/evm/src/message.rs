//! Transactions that call a contract (message calls) in the ordinary way.
//!
//! revm's handler loads the sender and the beneficiary into its journal, to take the fee from one
//! and give it to the other. The kernel keeps balances too, and it alone does so here; revm gets
//! the frames to run. Whatever is not ordinary, or not certain to be valid, is for revm's handler,
//! which knows all cases and has the words for what is wrong.

use crate::{
    account,
    database::DatabaseError,
    executor::{Error, Executor, SessionHandler},
    journal::SessionJournal,
    session::EvmSession,
    terms::{Terms, buy, sender},
};
use alloy_primitives::{Address, U256};
use core::marker::PhantomData;
use polity_kernel::Halt;
use revm::{
    context_interface::{Cfg, result::ExecutionResult},
    handler::{
        FrameResult, Handler, post_execution, validation::validate_initial_tx_gas_with_gas_params,
    },
    interpreter::InitialAndFloorGas,
};

impl Executor<'_> {
    /// Executes a message call. `None` where the transaction is anything else or might not be
    /// valid; it has then left no trace.
    pub(crate) fn message(&mut self) -> Result<Option<ExecutionResult>, Error> {
        let ctx = self.context();
        let (cfg, block, tx) = (ctx.cfg, ctx.block, ctx.tx);
        let Some(terms) = Terms::of(cfg, block, tx) else { return Ok(None) };
        let intrinsic = validate_initial_tx_gas_with_gas_params(
            tx,
            cfg.spec,
            cfg.gas_params(),
            cfg.is_eip7623_disabled(),
            cfg.is_amsterdam_eip8037_enabled(),
            cfg.tx_gas_limit_cap(),
            None,
        );
        // It costs more than it may use.
        let Ok(intrinsic) = intrinsic else { return Ok(None) };
        let advance = U256::from(terms.price).saturating_mul(U256::from(tx.gas_limit));
        let host = self.host();
        let Some(from) = sender(tx, &terms, host).map_err(DatabaseError)? else {
            return Ok(None);
        };
        if !buy(from, tx, &terms, advance, host).map_err(DatabaseError)? {
            return Ok(None);
        }
        match self.run_message(&terms, intrinsic) {
            Ok(result) => Ok(Some(result)),
            Err(error) => SessionHandler(PhantomData).catch_error(self, error).map(Some),
        }
    }

    /// Runs the frames, and returns what is left of the gas.
    fn run_message(
        &mut self,
        terms: &Terms,
        intrinsic: InitialAndFloorGas,
    ) -> Result<ExecutionResult, Error> {
        let mut handler = SessionHandler(PhantomData);
        handler.load_accounts(self)?;
        let ctx = self.context();
        let (tx, block, cfg) = (ctx.tx, ctx.block, ctx.cfg);
        let SessionJournal { database, session, .. } = &mut self.context().journaled_state;
        if tx.value.is_zero() {
            session.sender = Some(tx.caller);
        } else {
            // From where revm takes it.
            session.inner.load_account(database, tx.caller)?;
        }
        let mut gas = handler.tx_gas(self, &intrinsic);
        let Some(frame) = handler.first_frame_input(self, &mut gas)? else {
            return Err(DatabaseError(Halt::Fault("a call has no frame".into())).into());
        };
        let mut result: FrameResult = handler.run_exec_loop(self, frame)?;
        handler.last_frame_result(self, &mut result, &mut gas)?;
        post_execution::refund(cfg.gas_params(), result.gas_mut(), 0);
        let is_halt = result.instruction_result().is_halt();
        let spent = post_execution::build_result_gas(is_halt, result.gas(), intrinsic);
        post_execution::eip7623_check_gas_floor(result.gas_mut(), intrinsic);
        let used = result.gas().used();
        let wei = |price: u128, gas: u64| U256::from(price).saturating_mul(U256::from(gas));
        self.pay(tx.caller, wei(terms.price, tx.gas_limit.saturating_sub(used)))?;
        self.pay(block.beneficiary, wei(terms.tip, used))?;
        handler.execution_result(self, result, spent)
    }

    /// Gives an account wei, where revm does not have it in the kernel.
    fn pay(&mut self, to: Address, wei: U256) -> Result<(), DatabaseError> {
        if wei.is_zero() {
            return Ok(());
        }
        let SessionJournal { database, session: EvmSession { inner, .. }, .. } =
            &mut self.context().journaled_state;
        if inner.state.contains_key(&to) {
            return inner.balance_incr(database, to, wei);
        }
        let to = database.host.account(&account(to))?;
        Ok(database.host.credit(to, wei)?)
    }
}
