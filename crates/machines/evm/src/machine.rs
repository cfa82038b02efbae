use crate::{
    KIND, account,
    account::address,
    block::{BlockInput, Environment},
    dao,
    executor::{Error, SessionHandler},
    invalid::invalid,
    receipt, rewards,
    session::{EvmSession, emit},
    spec::{ChainSpec, Fork},
    trace::quietly,
    transaction::{Transaction, Waiver, decode_bytes, decode_envelope},
    transfer::{self, transfer},
};
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, TxKind, U256, keccak256};
use core::marker::PhantomData;
use polity_kernel::{
    BlockContext, Call, DecodeError, Decoded, EndOfBlock, Halt, Host, Invalid, Machine, Outcome,
    Totals, Transacted, TransactionOutput,
};
use polity_types::{Event, MachineKind, Meter, Receipt, Resources, Status};
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        Block as _, ContextTr, JournalTr, LocalContextTr, Transaction as _,
        context::take_error,
        result::{ExecutionResult, HaltReason},
    },
    handler::{EvmTr, FrameResult, Handler, SYSTEM_ADDRESS},
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, FrameInput, InstructionResult, SharedMemory,
        interpreter_action::FrameInit,
    },
};

/// The gas of a system call (EIP-4788, EIP-2935, EIP-7002, EIP-7251). It counts
/// towards no limit.
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// What it costs to enter the machine, in gas, beside what the contract does: what an
/// empty call from another machine takes (`polity-benches interop`).
const ENTRY: u64 = 3_000;

/// The Ethereum machine, by the rules of one chain.
#[derive(Clone, Debug)]
pub struct Evm {
    spec: Arc<ChainSpec>,
}

impl Evm {
    /// A machine with these rules.
    pub fn new(spec: ChainSpec) -> Self {
        Self { spec: Arc::new(spec) }
    }

    /// The chain's rules.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The rules and the environment of a block in revm's form, for who shows
    /// them to tools of revm's.
    ///
    /// # Errors
    /// A block without an input for this machine, or a fork that revm lacks.
    pub fn environment(&self, block: &BlockContext) -> Result<(CfgEnv, BlockEnv), Halt> {
        let environment = Environment::new(&self.spec, block, self.input(block)?)
            .map_err(|error| Halt::Fault(format!("block {}: {error}", block.number)))?;
        Ok((environment.cfg, environment.block))
    }

    fn input<'b>(&self, block: &'b BlockContext) -> Result<&'b BlockInput, Halt> {
        block.inputs.get(KIND).ok_or_else(|| {
            Halt::Fault(format!("block {} has no input for the Ethereum machine", block.number))
        })
    }

    fn fork(&self, block: &BlockContext) -> Fork {
        match block.inputs.get::<BlockInput>(KIND).and_then(|input| input.parent_total_difficulty) {
            Some(total) => self.spec.fork_after(block.number, block.timestamp, total),
            None => self.spec.fork_at(block.number, block.timestamp),
        }
    }

    /// Calls a contract in the name of the system. `None` where there is no
    /// code at the address.
    fn system_call(
        &self,
        host: &mut dyn Host,
        target: Address,
        data: Bytes,
    ) -> Result<Option<ExecutionResult>, Halt> {
        let contract = host.account(&account(target))?;
        if host.code(contract)?.is_none() {
            return Ok(None);
        }
        let tx = TxEnv {
            caller: SYSTEM_ADDRESS,
            kind: TxKind::Call(target),
            data,
            gas_limit: SYSTEM_CALL_GAS,
            ..TxEnv::default()
        };
        let mut session = EvmSession::take(host);
        let result = session.execute(&self.spec, host, &tx, Waiver::NONE, |executor| {
            SessionHandler(PhantomData).run_system_call(executor)
        })?;
        let result = result.map_err(|error| fault(&error))?;
        let logs = session.untold(result.logs().to_vec()).collect::<Vec<_>>();
        session.settle(host)?;
        session.put_back(host);
        for log in logs {
            emit(host, log)?;
        }
        Ok(Some(result))
    }

    /// The requests that a system contract hands out at the end of a block
    /// (EIP-7002, EIP-7251), without which the block is invalid.
    fn dequeue(&self, host: &mut dyn Host, contract: Address) -> Result<Bytes, Halt> {
        match self.system_call(host, contract, Bytes::new())? {
            Some(ExecutionResult::Success { output, .. }) => Ok(output.into_data()),
            Some(result) => Err(invalid_block(
                "SYSTEM_CONTRACT_CALL_FAILED",
                format!("the system contract {contract} failed: {result:?}"),
            )),
            None if self.spec.request_contracts_optional => Ok(Bytes::new()),
            None => Err(invalid_block(
                "SYSTEM_CONTRACT_EMPTY",
                format!("there is no system contract at {contract}"),
            )),
        }
    }

    fn execute(
        &self,
        session: &mut EvmSession,
        tx: &Transaction,
        host: &mut dyn Host,
    ) -> Result<Transacted, Halt> {
        // Who wants to know how revm's own handler does it, or to be spared a check, is for that.
        let ordinary = session.probe.is_none() && tx.waiver().is_none();
        // A trace is told of frames.
        if ordinary
            && !host.is_traced()
            && let Some(receipt) = transfer(session.environment(&self.spec, host)?, &tx.env, host)?
        {
            // The kernel did all of it.
            session.clear = true;
            return Ok(Transacted::Included(receipt));
        }
        let run = session.execute(&self.spec, host, &tx.env, tx.waiver(), |executor| {
            let message = if ordinary { executor.message()? } else { None };
            let result = match message {
                Some(result) => result,
                None => executor.transact()?,
            };
            let ctx = executor.ctx_ref();
            let blob_price = ctx.block().blob_gasprice().unwrap_or_default();
            Ok((result, ctx.block().basefee, blob_price))
        })?;
        let (result, base_fee, blob_price) = match run {
            Ok(run) => run,
            Err(Error::Transaction(error)) => {
                let refusal = invalid(&error);
                if let Some(probe) = &mut session.probe {
                    probe.verdict = Some(Err(error));
                }
                return Ok(Transacted::Invalid(refusal));
            }
            Err(error) => return Err(fault(&error)),
        };
        if let Some(probe) = &mut session.probe {
            probe.verdict = Some(Ok(result.clone()));
        }
        let gas_used = result.tx_gas_used();
        let blob_gas = tx.blob_gas();
        session.burn(
            U256::from(base_fee) * U256::from(gas_used)
                + U256::from(blob_price) * U256::from(blob_gas),
        );
        // What other machines used has been charged.
        host.charge(Meter::Compute, result.gas().total_gas_spent().saturating_sub(session.abroad))?;
        host.charge(Meter::Availability, blob_gas)?;
        let (status, output, created, logs) = match result {
            ExecutionResult::Success { output, logs, .. } => {
                let created = output.address().map(|address| account(*address));
                (Status::Success, output.into_data(), created, logs)
            }
            ExecutionResult::Revert { output, logs, .. } => (Status::Reverted, output, None, logs),
            ExecutionResult::Halt { reason, logs, .. } => {
                (Status::Failed(failure(&reason)), Bytes::new(), None, logs)
            }
        };
        quietly(host, |host| session.untold(logs).try_for_each(|log| emit(host, log)))?;
        Ok(Transacted::Included(Receipt {
            machine: KIND,
            status,
            gas_used,
            used: Resources::default(),
            output,
            created,
        }))
    }

    /// Mints wei for an account, which touches it (EIP-161).
    fn reward(
        &self,
        host: &mut dyn Host,
        fork: Fork,
        (to, wei): (Address, U256),
    ) -> Result<(), Halt> {
        let to = host.account(&account(to))?;
        if wei.is_zero() {
            let empty = host.peek(to)?.is_some_and(|record| record.is_empty());
            if empty && fork >= Fork::SpuriousDragon {
                host.rely_emptiness(to)?;
                host.set_existence(to, false)?;
            }
            return Ok(());
        }
        host.mint(wei)?;
        host.credit(to, wei)
    }
}

impl Machine for Evm {
    fn kind(&self) -> MachineKind {
        KIND
    }

    fn name(&self) -> &'static str {
        "evm"
    }

    fn decode(&self, raw: &[u8], block: &BlockContext) -> Result<Decoded, DecodeError> {
        decode_envelope(&decode_bytes(raw)?, block.chain_id, self.fork(block))
    }

    fn admit(&self, tx: &Decoded, used: &Totals, block: &BlockContext) -> Result<(), Invalid> {
        let Some(input) = block.inputs.get::<BlockInput>(KIND) else { return Ok(()) };
        let left = input.gas_limit.saturating_sub(used.gas_used);
        if tx.gas_limit > left {
            return Err(Invalid {
                code: "GAS_ALLOWANCE_EXCEEDED",
                reason: format!("gas limit {} exceeds the {left} left in the block", tx.gas_limit),
            });
        }
        let blob_gas = tx.payload::<Transaction>().map_or(0, Transaction::blob_gas);
        if blob_gas > 0
            && let Some(blobs) = self.spec.blob_params(self.fork(block))
        {
            let left = blobs.max_blob_gas_per_block().saturating_sub(used.used.availability);
            if blob_gas > left {
                return Err(Invalid {
                    code: "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED",
                    reason: format!("blob gas {blob_gas} exceeds the {left} left in the block"),
                });
            }
        }
        Ok(())
    }

    // What arithmetic takes (`polity-benches interop`).
    fn unit(&self) -> u64 {
        750
    }

    fn work(&self, tx: &Decoded) -> u64 {
        let env = tx.payload().map(|tx: &Transaction| &tx.env);
        let pays = env.is_some_and(|env| env.kind.is_call() && env.data.is_empty());
        if pays { transfer::WORK.min(tx.gas_limit) } else { tx.gas_limit }
    }

    fn is_address(&self, address: &B256) -> bool {
        Address::from_word(*address).into_word() == *address
    }

    fn entry(&self) -> u64 {
        ENTRY
    }

    fn code_hash(&self, code: &[u8]) -> B256 {
        keccak256(code)
    }

    fn begin_block(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let block = host.block();
        let number = block.number;
        let fork = self.fork(block);
        let input = self.input(block)?;
        if input.transactions_only {
            return Ok(());
        }
        let parent_hash = input.parent_hash;
        let beacon_root = input.parent_beacon_root;
        if self.spec.drains_dao_at(number) {
            let refund = host.account(&account(dao::REFUND_CONTRACT))?;
            for address in dao::DRAINED {
                let drained = host.account(&account(address))?;
                let balance = host.balance(drained)?;
                host.debit(drained, balance)?;
                host.credit(refund, balance)?;
            }
        }
        // The first block of all has no parent to tell of.
        if number == 0 {
            return Ok(());
        }
        if fork >= Fork::Cancun
            && let Some(root) = beacon_root
        {
            self.system_call(host, BEACON_ROOTS_ADDRESS, root.into())?;
        }
        if fork >= Fork::Prague {
            self.system_call(host, HISTORY_STORAGE_ADDRESS, parent_hash.into())?;
        }
        Ok(())
    }

    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt> {
        let tx: &Transaction = tx.payload().ok_or_else(|| {
            Halt::Fault("a transaction of another machine came to the Ethereum machine".into())
        })?;
        let mut session = EvmSession::take(host);
        let result = self.execute(&mut session, tx, host);
        if !matches!(result, Ok(Transacted::Included(_))) {
            polity_kernel::Session::clear(&mut *session);
        }
        session.put_back(host);
        result
    }

    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
        let gas_limit = call.limit.compute;
        let caller = address(&call.caller);
        let tx = TxEnv {
            caller,
            kind: TxKind::Call(address(&call.target)),
            gas_limit,
            ..TxEnv::default()
        };
        let mut session = EvmSession::take(host);
        let abroad = session.abroad;
        session.nested = session.nested.saturating_add(1);
        let mut entered = session.refresh(host);
        if self.spec.gateway {
            entered = entered.and_then(|()| session.name(host, &call.caller).map(drop));
        }
        session.skip();
        let entered = entered.and_then(|()| {
            session.execute(&self.spec, host, &tx, Waiver::NONE, |executor| {
                SessionHandler(PhantomData).load_accounts(executor)?;
                let ctx = executor.ctx();
                let memory =
                    SharedMemory::new_with_buffer(ctx.local().shared_memory_buffer().clone());
                let target = ctx.tx().kind().to().copied().unwrap_or_default();
                let journal = ctx.journal_mut();
                let loaded = journal.load_account_with_code(target)?;
                let mut code =
                    (loaded.info.code_hash, loaded.info.code.clone().unwrap_or_default());
                if let Some(delegate) = code.1.eip7702_address() {
                    let loaded = journal.load_account_with_code(delegate)?;
                    code = (loaded.info.code_hash, loaded.info.code.clone().unwrap_or_default());
                }
                let inputs = call_inputs(&call, target, caller, gas_limit, code);
                let depth = ctx.journal().depth();
                let frame =
                    FrameInit { depth, memory, frame_input: FrameInput::Call(Box::new(inputs)) };
                let result = executor.run_frame(frame);
                executor.ctx().local_mut().clear();
                executor.frame_stack().clear();
                // What the state could not answer ends the run, not the frame.
                take_error::<Error, _>(executor.ctx().error())?;
                result
            })
        });
        let outcome = match entered {
            Ok(Ok(frame)) => session.write_back(host).map(|()| outcome(frame)),
            Ok(Err(error)) => Err(fault(&error)),
            Err(halt) => Err(halt),
        };
        session.nested = session.nested.saturating_sub(1);
        let abroad = session.abroad.saturating_sub(abroad);
        session.put_back(host);
        let (outcome, spent) = outcome?;
        host.charge(Meter::Compute, spent.saturating_sub(abroad))?;
        Ok(outcome)
    }

    fn settle(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let mut session = EvmSession::take(host);
        let settled = quietly(host, |host| session.settle(host));
        session.put_back(host);
        settled
    }

    fn end_block(
        &self,
        outputs: &[TransactionOutput],
        host: &mut dyn Host,
    ) -> Result<EndOfBlock, Halt> {
        let block = host.block();
        let (number, fork) = (block.number, self.fork(block));
        let beneficiary = address(&block.beneficiary);
        let input = self.input(block)?;
        if input.transactions_only {
            return Ok(EndOfBlock::default());
        }
        let rewards = rewards::block_rewards(fork, number, beneficiary, &input.ommers);
        let withdrawals = rewards::withdrawals(&input.withdrawals);
        let mut requests = Vec::new();
        if fork >= Fork::Prague {
            let contract = self.spec.deposit_contract;
            let logs: Vec<Log> =
                outputs.iter().flat_map(|output| logs(&output.effects.events)).collect();
            let deposits = receipt::deposits(&logs, contract).map_err(|error| {
                invalid_block("INVALID_DEPOSIT_EVENT_LAYOUT", error.to_string())
            })?;
            let withdrawals = self.dequeue(host, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS)?;
            let consolidations = self.dequeue(host, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)?;
            requests = receipt::requests(deposits, withdrawals, consolidations).take();
        }
        for credit in rewards.into_iter().chain(withdrawals) {
            self.reward(host, fork, credit)?;
        }
        Ok(EndOfBlock { requests })
    }
}

/// The Ethereum logs among a transaction's events.
pub fn logs(events: &[Event]) -> Vec<Log> {
    let own = events.iter().filter(|event| event.emitter.machine == KIND);
    own.map(|event| Log {
        address: address(&event.emitter),
        data: LogData::new_unchecked(event.topics.clone(), event.data.clone()),
    })
    .collect()
}

fn call_inputs(
    call: &Call,
    target: Address,
    caller: Address,
    gas_limit: u64,
    known_bytecode: (alloy_primitives::B256, Bytecode),
) -> CallInputs {
    CallInputs {
        input: CallInput::Bytes(call.input.clone()),
        return_memory_offset: 0..0,
        gas_limit,
        reservoir: 0,
        bytecode_address: target,
        known_bytecode,
        target_address: target,
        caller,
        // The kernel has moved it already.
        value: CallValue::Apparent(call.value),
        scheme: if call.read_only { CallScheme::StaticCall } else { CallScheme::Call },
        is_static: call.read_only,
        charged_new_account_state_gas: false,
    }
}

/// How a frame ended, and the gas that it spent.
fn outcome(frame: FrameResult) -> (Outcome, u64) {
    let spent = frame.gas().total_gas_spent();
    let result = frame.into_interpreter_result();
    let status = match result.result {
        ok if ok.is_ok() => Status::Success,
        InstructionResult::Revert => Status::Reverted,
        other => Status::Failed(format!("{other:?}")),
    };
    (Outcome { status, output: result.output }, spent)
}

/// The name of a halt, without its details.
fn failure(reason: &HaltReason) -> String {
    let name = format!("{reason:?}");
    name.split(['(', ' ', '{']).next().unwrap_or_default().to_string()
}

fn invalid_block(code: &'static str, reason: String) -> Halt {
    Halt::Block(Invalid { code, reason })
}

fn fault(error: &Error) -> Halt {
    Halt::Fault(format!("revm: {error}"))
}
