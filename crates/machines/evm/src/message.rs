//! Transactions that call a contract (message calls) in the ordinary way.
//!
//! revm's handler loads the sender and the beneficiary into its journal, to take the fee from one
//! and give it to the other. The kernel keeps balances too, and it alone does so here; revm gets
//! the frames to run. Whatever is not ordinary, or not certain to be valid, is for revm's handler,
//! which knows all cases and has the words for what is wrong.

use crate::{
    account,
    account::address,
    database::DatabaseError,
    executor::{Error, Executor, SessionHandler},
    journal::SessionJournal,
    session::EvmSession,
    terms::Terms,
};
use alloy_primitives::{
    Address, U256,
    map::{AddressMap, HashSet},
};
use core::marker::PhantomData;
use polity_kernel::{Account, Halt, Host};
use revm::{
    context::TxEnv,
    context_interface::{Cfg, result::ExecutionResult},
    handler::{
        EvmTr, FrameResult, Handler, post_execution,
        validation::validate_initial_tx_gas_with_gas_params,
    },
    interpreter::InitialAndFloorGas,
    primitives::{StorageKey, hardfork::SpecId},
};

/// The sender, if it may send the transaction as far as its own account goes.
#[inline]
pub(crate) fn sender(
    tx: &TxEnv,
    terms: &Terms,
    host: &mut dyn Host,
) -> Result<Option<Account>, Halt> {
    let from = host.account(&account(tx.caller))?;
    // Who is not there may send what costs nothing.
    let sender = host.peek(from)?.unwrap_or_default();
    let may = sender.code.is_none() && sender.sequence == tx.nonce && sender.balance >= terms.most;
    Ok(may.then_some(from))
}

/// Takes `amount` from the [`sender`], for gas above all, counts its nonce up, and relies on what
/// allows it. Where the beneficiary, who is touched, does not, nothing is done.
#[inline]
pub(crate) fn buy(
    from: Account,
    tx: &TxEnv,
    terms: &Terms,
    amount: U256,
    host: &mut dyn Host,
) -> Result<bool, Halt> {
    if terms.tip == 0 {
        // The order in which accounts are met is that of the effects, with or without a tip.
        host.account(&account(terms.to))?;
        let beneficiary = account(address(&host.block().beneficiary));
        let beneficiary = host.account(&beneficiary)?;
        if !touch(beneficiary, host)? {
            return Ok(false);
        }
    }
    host.rely_sequence(from)?;
    host.rely_code(from)?;
    host.rely_balance(from, terms.most, U256::MAX)?;
    host.set_sequence(from, tx.nonce.saturating_add(1))?;
    if !host.debit(from, amount)? {
        return Err(Halt::Fault("a balance that was there is not".into()));
    }
    Ok(true)
}

/// Touches an account without a change; tells whether this leaves it as it is, and relies on
/// that whichever way: what is empty goes (EIP-161) or, in earlier forks, comes to be.
fn touch(account: Account, host: &mut dyn Host) -> Result<bool, Halt> {
    host.rely_emptiness(account)?;
    Ok(host.peek(account)?.is_some_and(|record| !record.is_empty()))
}

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
        self.warm();
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

    /// Notes which accounts and slots are warm from the start (EIP-2929, EIP-2930, EIP-3651).
    fn warm(&mut self) {
        let (ctx, _, precompiles, _) = self.all_mut();
        let (block, tx, spec) = (ctx.block, ctx.tx, ctx.cfg.spec);
        let warm = &mut ctx.journaled_state.session.inner.warm_addresses;
        if warm.precompiles().is_empty() {
            warm.set_precompile_addresses(precompiles.warm_addresses());
        }
        if spec >= SpecId::SHANGHAI {
            warm.set_coinbase(block.beneficiary);
        }
        if !tx.access_list.0.is_empty() {
            let mut list = AddressMap::<HashSet<StorageKey>>::default();
            for item in &tx.access_list.0 {
                let keys = item.storage_keys.iter().map(|key| StorageKey::from_be_bytes(key.0));
                list.entry(item.address).or_default().extend(keys);
            }
            warm.set_access_list(list);
        }
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
