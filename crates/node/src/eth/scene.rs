use alloy_consensus::Header;
use alloy_eips::{eip7685::Requests, eip7702::SignedAuthorization};
use alloy_primitives::{B256, TxKind};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use polity_engine::Overlay;
use polity_evm::{
    BlockInput, Inspect, KIND, Simulated, Simulator, Transaction, Unsigned, Waiver, account,
    spec::ChainSpec,
};
use polity_kernel::{
    BlockContext, Decoded, Executed, Kernel, Machines, Scratch, Trace, TransactionOutput, View,
};
use polity_types::Resources;
use revm::{context::TxEnv, context_interface::either::Either, inspector::NoOpInspector};

use super::{
    CallError,
    overrides::{Moves, override_block, override_state},
    tree::Names,
};
use crate::chain::{Company, Guests};

/// The most gas of a call that names none, or too much: geth's.
pub const GAS_CAP: u64 = 50_000_000;

/// Where a call takes place: a state, and the block in which contracts believe
/// to be executed.
#[derive(Clone)]
pub struct Scene<'a> {
    /// The machines of the chain.
    pub machines: &'a Machines,
    /// Ethereum's rules on it.
    pub spec: &'a ChainSpec,
    /// The state.
    pub view: &'a dyn View,
    /// The header of the block: of the one whose state it is, or of the next.
    pub header: Header,
    /// What the other machines are told of the block.
    pub company: Company,
    /// The most gas of one call.
    pub gas_cap: u64,
}

impl<'a> Scene<'a> {
    /// A state in a block, where calls have [`GAS_CAP`] and no machine besides
    /// Ethereum's is told of the block.
    pub fn new(
        machines: &'a Machines,
        spec: &'a ChainSpec,
        view: &'a dyn View,
        header: Header,
    ) -> Self {
        Self { machines, spec, view, header, company: Company::default(), gas_cap: GAS_CAP }
    }

    /// The scene with what a request makes up of its state and block.
    ///
    /// # Errors
    /// The request contradicts itself, or the state failed.
    pub fn stage(
        &self,
        state: Option<&StateOverride>,
        block: Option<&BlockOverrides>,
    ) -> Result<Stage<'a>, CallError> {
        self.stage_over(Overlay::over(self.view), state, block)
    }

    /// The same, over a state that was changed already.
    pub(crate) fn stage_over(
        &self,
        mut overlay: Overlay<'a>,
        state: Option<&StateOverride>,
        block: Option<&BlockOverrides>,
    ) -> Result<Stage<'a>, CallError> {
        let mut header = self.header.clone();
        if let Some(block) = block {
            override_block(&mut header, &mut overlay, block)?;
        }
        let mut moves = Moves::default();
        if let Some(state) = state {
            let fork = self.spec.fork_at(header.number, header.timestamp);
            let spec = fork.spec_id().map_err(|error| CallError::Internal(error.to_string()))?;
            moves = override_state(&mut overlay, state, spec)?;
        }
        let blob_base_fee = block.and_then(|block| block.blob_base_fee);
        let context = context(self.spec, &header, blob_base_fee.map(|fee| fee.saturating_to()));
        let context = self.company.join(context, &header);
        Ok(Stage {
            state: overlay,
            header,
            context,
            gas_cap: self.gas_cap,
            machines: self.machines,
            spec: self.spec,
            simulator: Simulator::new(self.machines),
            moves,
            guests: self.company.guests.clone(),
        })
    }
}

/// The context of a block in which calls take place.
pub(crate) fn context(
    spec: &ChainSpec,
    header: &Header,
    blob_base_fee: Option<u128>,
) -> BlockContext {
    let mut context = BlockInput::context(spec.chain_id, header, Vec::new(), Vec::new());
    if blob_base_fee.is_some()
        && let Some(input) = context.inputs.get::<BlockInput>(KIND).cloned()
    {
        context.inputs = context.inputs.with(KIND, BlockInput { blob_base_fee, ..input });
    }
    context
}

/// A [`Scene`] that calls change: each sees what was kept of those before.
pub struct Stage<'a> {
    /// The state now.
    pub state: Overlay<'a>,
    /// The header, with what was made up of it.
    pub header: Header,
    /// The block in the kernel's form.
    pub context: BlockContext,
    /// The most gas of one call.
    pub gas_cap: u64,
    machines: &'a Machines,
    spec: &'a ChainSpec,
    simulator: Simulator<'a>,
    moves: Moves,
    guests: Guests,
}

impl<'a> Stage<'a> {
    /// A transaction as a request describes it, in revm's form: for free where
    /// it offers no price, with all the gas that a call may have where it names
    /// none.
    ///
    /// # Errors
    /// The request contradicts itself, or is for another chain.
    pub fn envelope(&self, request: &TransactionRequest) -> Result<TxEnv, CallError> {
        let chain = self.spec.chain_id;
        if let Some(found) = request.chain_id
            && found != chain
        {
            let text = format!("chainId does not match node's (have={found}, want={chain})");
            return Err(CallError::Params(text));
        }
        let capped =
            request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
        if request.gas_price.is_some() && capped {
            let text = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
            return Err(CallError::Params(text.into()));
        }
        let caller = request.from.unwrap_or_default();
        let nonce = match request.nonce {
            Some(nonce) => nonce,
            None => self.state.account(&account(caller))?.unwrap_or_default().sequence,
        };
        let authorizations = request.authorization_list.iter().flatten();
        let blobs = request.blob_versioned_hashes.clone().unwrap_or_default();
        let tx_type = if request.authorization_list.is_some() {
            4
        } else if request.blob_versioned_hashes.is_some() {
            3
        } else if capped {
            2
        } else {
            u8::from(request.access_list.is_some())
        };
        let price = request.gas_price.unwrap_or_default();
        let data =
            request.input.unique_input().map_err(|error| CallError::Params(error.to_string()))?;
        Ok(TxEnv {
            tx_type,
            caller,
            gas_limit: request.gas.unwrap_or(self.gas_cap).min(self.gas_cap),
            gas_price: request.max_fee_per_gas.unwrap_or(price),
            kind: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            data: data.cloned().unwrap_or_default(),
            nonce,
            chain_id: Some(chain),
            access_list: request.access_list.clone().unwrap_or_default(),
            gas_priority_fee: match tx_type {
                0 | 1 => None,
                _ => Some(request.max_priority_fee_per_gas.unwrap_or(price)),
            },
            blob_hashes: blobs,
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
            authorization_list: authorizations.cloned().map(signed).collect(),
        })
    }

    /// Executes a call.
    ///
    /// # Errors
    /// The transaction may not be in the block, or could not be executed. A
    /// revert is no error.
    pub fn run(&mut self, tx: TxEnv) -> Result<Simulated, CallError> {
        self.run_with(tx, Waiver::CALL)
    }

    /// Executes a transaction that is spared some checks.
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn run_with(&mut self, tx: TxEnv, waiver: Waiver) -> Result<Simulated, CallError> {
        self.run_decoded(&unsigned(tx, waiver))
    }

    /// Executes a transaction.
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn run_decoded(&mut self, tx: &Decoded) -> Result<Simulated, CallError> {
        if !self.moves.is_empty() {
            return self.inspect(tx, NoOpInspector).map(|(simulated, _)| simulated);
        }
        let result = self.simulator.run(&self.state, &self.context, tx);
        result.map_err(|error| self.failure(error, tx))
    }

    /// Executes a transaction while an inspector looks on.
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn inspect<I: Inspect>(
        &mut self,
        tx: &Decoded,
        inspector: I,
    ) -> Result<(Simulated, I), CallError> {
        let Self { simulator, state, context, moves, .. } = self;
        let result = if moves.is_empty() {
            simulator.inspect(state, context, tx, inspector)
        } else {
            let both = (inspector, moves.clone());
            let result = simulator.inspect(state, context, tx, both);
            result.map(|(simulated, (inspector, _))| (simulated, inspector))
        };
        result.map_err(|error| self.failure(error, tx))
    }

    /// Makes what a call did part of the state.
    ///
    /// # Errors
    /// The call was executed on another state.
    pub fn keep(&mut self, simulated: &Simulated) -> Result<(), CallError> {
        Ok(self.state.apply(&simulated.output.effects)?)
    }

    /// Does what the machines do before the first transaction of a block.
    ///
    /// # Errors
    /// The state failed, or there cannot be such a block.
    pub fn begin(&mut self) -> Result<(), CallError> {
        let mut scratch = Scratch::default();
        for machine in self.machines.iter() {
            let kernel = Kernel::new(self.machines, &self.context, &self.state, &mut scratch);
            let effects = kernel.begin_block(machine.kind())?;
            self.state.apply(&effects)?;
        }
        Ok(())
    }

    /// Does what the machines do after the last transaction of a block, given what
    /// its transactions did, and gives what Ethereum's hands out (EIP-7685).
    ///
    /// # Errors
    /// As [`Stage::begin`].
    pub fn end(&mut self, outputs: &[TransactionOutput]) -> Result<Requests, CallError> {
        let mut requests = Vec::new();
        let mut scratch = Scratch::default();
        for machine in self.machines.iter() {
            let kernel = Kernel::new(self.machines, &self.context, &self.state, &mut scratch);
            let (effects, end) = kernel.end_block(machine.kind(), outputs)?;
            self.state.apply(&effects)?;
            if machine.kind() == KIND {
                requests = end.requests;
            }
        }
        Ok(Requests::new(requests))
    }

    /// Executes a transaction of any machine that was executed once, and makes
    /// what it does part of the state.
    ///
    /// # Errors
    /// It cannot be executed on this state.
    pub fn repeat(&mut self, tx: &Decoded) -> Result<(), CallError> {
        let mut scratch = Scratch::default();
        let kernel = Kernel::new(self.machines, &self.context, &self.state, &mut scratch);
        match kernel.transact(tx, Resources::UNLIMITED)? {
            Executed::Included(output) => Ok(self.state.apply(&output.effects)?),
            Executed::Invalid { invalid, .. } => {
                let text = format!("transaction {} cannot be executed again: {invalid}", tx.hash);
                Err(CallError::Internal(text))
            }
        }
    }

    /// The call tree of a transaction of any machine that was executed once, and is
    /// executed again.
    ///
    /// # Errors
    /// It cannot be executed on this state, or the tree is too large.
    pub fn retell(&mut self, tx: &Decoded) -> Result<Trace, CallError> {
        let (mut scratch, mut trace) = (Scratch::default(), Trace::new());
        let kernel = Kernel::new(self.machines, &self.context, &self.state, &mut scratch);
        match kernel.traced(&mut trace).transact(tx, Resources::UNLIMITED)? {
            Executed::Included(_) => whole(&trace).map(|()| trace),
            Executed::Invalid { invalid, .. } => {
                let text = format!("transaction {} cannot be executed again: {invalid}", tx.hash);
                Err(CallError::Internal(text))
            }
        }
    }

    /// From now on the call tree of each transaction is handed out with what it did.
    pub const fn watch(&mut self) {
        self.simulator.trace(true);
    }

    /// How machines and accounts are named.
    pub(crate) const fn names(&self) -> Names<'_> {
        Names { machines: self.machines, guests: &self.guests }
    }

    /// Ethereum's rules.
    pub const fn spec(&self) -> &'a ChainSpec {
        self.spec
    }

    fn failure(&self, error: polity_evm::SimulationError, tx: &Decoded) -> CallError {
        let base_fee = self.header.base_fee_per_gas.unwrap_or_default();
        match tx.payload::<Transaction>() {
            Some(tx) => CallError::of(error, &tx.env, base_fee),
            None => CallError::Internal(error.to_string()),
        }
    }
}

/// Refuses a call tree of which something was left out.
pub(crate) fn whole(trace: &Trace) -> Result<(), CallError> {
    if trace.is_full() {
        return Err(CallError::Halted("the trace is too large".into()));
    }
    Ok(())
}

/// A transaction that nobody signed.
pub(crate) fn unsigned(tx: TxEnv, waiver: Waiver) -> Decoded {
    Unsigned::for_simulation().transaction_with(tx, B256::ZERO, waiver)
}

fn signed<T>(authorization: SignedAuthorization) -> Either<SignedAuthorization, T> {
    Either::Left(authorization)
}
