//! Runs instructions on accounts that were loaded, whoever asked for it: a transaction, or
//! another machine's contract.

use crate::{
    block::{Environment, LAMPORTS_PER_SIGNATURE},
    features::runtime_features,
    fees::{self, RentState},
    gateway::Door,
    heaps,
    load::{Loaded, Nature},
    precompiles::Precompiles,
    program::Runtime,
    record::{InnerInstruction, Record},
};
use polity_kernel::{Checkpoint, Halt, Host};
use polity_types::AccountId;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_instruction::TRANSACTION_LEVEL_STACK_HEIGHT;
use solana_program_runtime::{
    execution_budget::SVMTransactionExecutionBudget,
    invoke_context::{EnvironmentConfig, InvokeContext},
    loaded_programs::ProgramCacheForTxBatch,
};
use solana_pubkey::Pubkey;
use solana_svm_log_collector::LogCollector;
use solana_transaction_context::transaction::{ExecutionRecord, TransactionContext};
use solana_transaction_error::TransactionError;
use std::rc::Rc;

/// What instructions run on.
pub(crate) struct Setting<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) keys: &'a [Pubkey],
    pub(crate) loaded: &'a [Loaded],
    /// Which of the accounts may be written.
    pub(crate) writable: &'a [bool],
    /// The first account, where it is not as it was loaded.
    pub(crate) payer: Option<AccountSharedData>,
    /// How many instructions run one after the other.
    pub(crate) instructions: usize,
    pub(crate) compute_units: u64,
    pub(crate) heap_bytes: u32,
    /// The most bytes of logs that are kept.
    pub(crate) log_bytes: Option<usize>,
    /// The account of another machine that is signed for and spent from.
    pub(crate) delegate: Option<AccountId>,
    /// Whether this is a transaction's own run: then nobody but its executor undoes what
    /// becomes of it.
    pub(crate) is_transaction: bool,
}

/// What the kernel's cells say of a run's accounts, where that is not what was loaded.
#[derive(Default)]
pub(crate) struct Written {
    /// The accounts as they were written last, in the run's order; empty before the first
    /// time.
    pub(crate) accounts: Vec<AccountSharedData>,
    /// Where a transaction's own run goes back to if it fails.
    pub(crate) before: Option<Checkpoint>,
}

/// What a run gave.
pub(crate) struct Run {
    pub(crate) result: Result<(), TransactionError>,
    /// The accounts in their order, where it ran.
    pub(crate) accounts: Vec<AccountSharedData>,
    pub(crate) record: Record,
    pub(crate) written: Written,
    /// Compute units that other machines used, which the kernel has charged.
    pub(crate) elsewhere: u64,
}

impl Run {
    /// A run that did not begin.
    pub(crate) fn failed(error: TransactionError) -> Self {
        Self {
            result: Err(error),
            accounts: Vec::new(),
            record: Record::default(),
            written: Written::default(),
            elsewhere: 0,
        }
    }

    /// Writes what became of the accounts.
    pub(crate) fn write(
        &self,
        loaded: &[Loaded],
        writable: &[bool],
        host: &mut dyn Host,
    ) -> Result<(), Halt> {
        let all = loaded.iter().zip(&self.accounts).zip(writable).enumerate();
        for (index, ((loaded, now), _)) in all.filter(|(_, (_, writable))| **writable) {
            let before = self.written.accounts.get(index).unwrap_or(&loaded.account);
            loaded.write(host, before, now)?;
        }
        Ok(())
    }
}

/// Runs instructions. `process` is given the runtime and the compute units that it counts.
///
/// # Errors
/// The run of the whole transaction is over.
pub(crate) fn run<'ix>(
    setting: &Setting<'_>,
    mut programs: ProgramCacheForTxBatch,
    host: &mut dyn Host,
    process: impl FnOnce(&mut InvokeContext<'_, 'ix>, &mut u64) -> Result<(), TransactionError>,
) -> Result<Run, Halt> {
    let runtime = Runtime::get();
    let Setting { environment, keys, .. } = *setting;
    let loaded = setting.loaded.iter().map(|loaded| loaded.account.clone());
    let mut all: Vec<_> = keys.iter().copied().zip(loaded).collect();
    if let (Some((_, first)), Some(payer)) = (all.first_mut(), &setting.payer) {
        *first = payer.clone();
    }
    let before = sum(all.iter().map(|(_, account)| account));
    let rent_before = rent_states(setting, all.iter().map(|(_, account)| account));
    let budget = SVMTransactionExecutionBudget {
        compute_unit_limit: setting.compute_units,
        heap_size: setting.heap_bytes,
        ..runtime.budget
    };
    let mut context = TransactionContext::new(
        all,
        environment.rent.clone(),
        budget.max_instruction_stack_depth,
        budget.max_instruction_trace_length,
        setting.instructions,
    );
    let logs = LogCollector::new_ref_with_limit(setting.log_bytes);
    let config = EnvironmentConfig::new(
        environment.blockhash,
        LAMPORTS_PER_SIGNATURE,
        false,
        &Precompiles,
        runtime_features(),
        &runtime.environments,
        &environment.sysvars,
    );
    let running = heaps::Running::new(setting.heap_bytes);
    let mut compute_units = 0;
    // What a transaction that fails did is undone, as one that looks on is told.
    let begin = (host.is_traced() && setting.is_transaction).then(|| host.checkpoint());
    let mut door = Door::new(setting, host);
    let mut result = {
        let mut invoke = InvokeContext::new(
            &mut context,
            &mut programs,
            config,
            Some(logs.clone()),
            budget,
            runtime.cost,
        );
        door.open(|| process(&mut invoke, &mut compute_units))
    };
    drop(running);
    door.tell(&result, &context);
    let (written, elsewhere) = door.close()?;
    let inner = inner_instructions(&context);
    let ExecutionRecord { accounts: after, return_data, .. } = context.into();
    let after: Vec<_> = after.into_iter().map(|(_, account)| account).collect();
    if result.is_ok() {
        let rent_now = rent_states(setting, after.iter());
        result = check_rent(keys, &rent_before, &rent_now);
    }
    if result.is_ok() && sum(after.iter()) != before {
        result = Err(TransactionError::UnbalancedTransaction);
    }
    if result.is_ok() && !may_become(setting, &written, &after) {
        result = Err(TransactionError::InvalidWritableAccount);
    }
    if let (Err(_), Some(begin)) = (&result, begin) {
        host.revert(begin);
    }
    let logs = Rc::try_unwrap(logs).map(|logs| logs.into_inner().into_messages());
    let record = Record {
        compute_units,
        logs: logs.unwrap_or_default(),
        inner,
        return_data: (!return_data.data.is_empty())
            .then(|| (return_data.program_id.to_bytes(), return_data.data)),
        ..Record::default()
    };
    Ok(Run { result, accounts: after, record, written, elsewhere })
}

fn sum<'a>(mut accounts: impl Iterator<Item = &'a AccountSharedData>) -> Option<u128> {
    accounts.try_fold(0_u128, |sum, account| sum.checked_add(u128::from(account.lamports())))
}

/// Whether each account that may be written holds enough; `None` for the others, and for
/// those whose lamports are not their own.
fn rent_states<'a>(
    setting: &Setting<'_>,
    accounts: impl Iterator<Item = &'a AccountSharedData>,
) -> Vec<Option<RentState>> {
    let all = setting.loaded.iter().zip(setting.writable).zip(accounts);
    let state = |((loaded, writable), account): ((&Loaded, &bool), &AccountSharedData)| {
        let (lamports, len) = (account.lamports(), account.data().len());
        let counts = *writable && matches!(loaded.nature(), Nature::Own(_) | Nature::MadeUp);
        counts.then(|| RentState::of(lamports, len, &setting.environment.rent))
    };
    all.map(state).collect()
}

fn check_rent(
    keys: &[Pubkey],
    before: &[Option<RentState>],
    now: &[Option<RentState>],
) -> Result<(), TransactionError> {
    for (index, (key, states)) in (0_u8..=u8::MAX).zip(keys.iter().zip(before.iter().zip(now))) {
        let (Some(before), Some(now)) = states else { continue };
        if !now.may_follow(*before) && !fees::is_exempt_from_rules(key) {
            return Err(TransactionError::InsufficientFundsForRent { account_index: index });
        }
    }
    Ok(())
}

fn may_become(setting: &Setting<'_>, written: &Written, after: &[AccountSharedData]) -> bool {
    let mut all = setting.loaded.iter().zip(after).enumerate();
    all.all(|(index, (loaded, now))| {
        let before = written.accounts.get(index).unwrap_or(&loaded.account);
        loaded.may_become(before, now, setting.delegate.as_ref())
    })
}

/// What programs sent to others, by the transaction's own instructions.
fn inner_instructions(context: &TransactionContext<'_>) -> Vec<Vec<InnerInstruction>> {
    let mut outer = Vec::new();
    // The transaction's own instruction that each of the trace belongs to.
    let mut belongs = Vec::new();
    for index in 0..context.get_instruction_trace_length() {
        let Ok(instruction) = context.get_instruction_context_at_index_in_trace(index) else {
            break;
        };
        let height = instruction.get_stack_height();
        if height == TRANSACTION_LEVEL_STACK_HEIGHT {
            belongs.push(outer.len());
            outer.push(Vec::new());
            continue;
        }
        let root = belongs.get(instruction.get_index_of_caller()).copied().unwrap_or(usize::MAX);
        belongs.push(root);
        let number = |number: u16| u8::try_from(number).unwrap_or(u8::MAX);
        let accounts = (0..instruction.get_number_of_instruction_accounts()).map(|account| {
            let account = instruction.get_index_of_instruction_account_in_transaction(account);
            number(account.unwrap_or_default())
        });
        let program = instruction.get_index_of_program_account_in_transaction();
        if let Some(inner) = outer.get_mut(root) {
            inner.push(InnerInstruction {
                program: number(program.unwrap_or_default()),
                accounts: accounts.collect(),
                data: instruction.get_instruction_data().to_vec(),
                stack_height: u8::try_from(height).unwrap_or(u8::MAX),
            });
        }
    }
    outer
}
