//! Agave's own transaction processor over accounts in a map.

use super::workloads::Workload;
use eyre::{OptionExt, eyre};
use polity_svm::{LAMPORTS_PER_SIGNATURE, features};
use solana_account::AccountSharedData;
use solana_fee_structure::FeeDetails;
use solana_hash::Hash;
use solana_program_runtime::{
    execution_budget::{
        MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES, SVMTransactionExecutionAndFeeBudgetLimits,
        SVMTransactionExecutionBudget,
    },
    loaded_programs::{BlockRelation, ForkGraph, ProgramRuntimeEnvironments},
    program_cache_entry::ProgramCacheEntry,
    solana_sbpf::program::BuiltinFunctionDefinition,
};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_upgradeable, compute_budget, native_loader, system_program,
};
use solana_svm::{
    account_loader::CheckedTransactionDetails,
    transaction_processing_result::ProcessedTransaction,
    transaction_processor::{
        ExecutionRecordingConfig, TransactionBatchProcessor, TransactionProcessingConfig,
        TransactionProcessingEnvironment,
    },
};
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};
use solana_transaction::sanitized::SanitizedTransaction;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, RwLock},
};

/// A processor with the accounts of a workload.
pub(super) struct Agave {
    processor: TransactionBatchProcessor<Line>,
    _line: Arc<RwLock<Line>>,
    environment: TransactionProcessingEnvironment,
    budget: SVMTransactionExecutionBudget,
    accounts: Accounts,
    transactions: Vec<SanitizedTransaction>,
}

struct Accounts(HashMap<Pubkey, AccountSharedData>);

impl TransactionProcessingCallback for Accounts {
    fn get_account_shared_data(&self, address: &Pubkey) -> Option<(AccountSharedData, u64)> {
        self.0.get(address).cloned().map(|account| (account, 0))
    }
}

impl InvokeContextCallback for Accounts {}

/// A chain without forks.
struct Line;

impl ForkGraph for Line {
    fn relationship(&self, a: u64, b: u64) -> BlockRelation {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => BlockRelation::Ancestor,
            std::cmp::Ordering::Equal => BlockRelation::Equal,
            std::cmp::Ordering::Greater => BlockRelation::Descendant,
        }
    }
}

impl Agave {
    pub(super) fn new(workload: &Workload, slot: u64) -> eyre::Result<Self> {
        let runtime = features().runtime_features();
        let budget = SVMTransactionExecutionBudget::new_with_defaults(false);
        let programs =
            solana_syscalls::create_program_runtime_environment(&runtime, &budget, false, false)
                .map_err(|error| eyre!("{error}"))?;
        let line = Arc::new(RwLock::new(Line));
        let mut processor = TransactionBatchProcessor::new_uninitialized(slot, 0);
        processor
            .global_program_cache
            .write()
            .map_err(|_| eyre!("poisoned"))?
            .set_fork_graph(Arc::downgrade(&line));
        processor.set_program_runtime_environment(programs.clone());
        let mut accounts: HashMap<_, _> = workload.accounts.iter().cloned().collect();
        let loader = solana_bpf_loader_program::Entrypoint::register;
        for (id, entry) in [
            (
                system_program::ID,
                ProgramCacheEntry::new_builtin(
                    0,
                    1,
                    solana_system_program::system_processor::Entrypoint::register,
                ),
            ),
            (bpf_loader::ID, ProgramCacheEntry::new_builtin(0, 1, loader)),
            (bpf_loader_upgradeable::ID, ProgramCacheEntry::new_builtin(0, 1, loader)),
            (
                compute_budget::ID,
                ProgramCacheEntry::new_builtin(
                    0,
                    1,
                    solana_compute_budget_program::Entrypoint::register,
                ),
            ),
        ] {
            let mut account = AccountSharedData::new(1, 1, &native_loader::ID);
            solana_account::WritableAccount::set_executable(&mut account, true);
            accounts.insert(id, account);
            processor.add_builtin(id, entry);
        }
        let sanitized = workload.transactions.iter().map(|transaction| {
            let legacy = transaction.clone().into_legacy_transaction().ok_or_eyre("legacy")?;
            Ok(SanitizedTransaction::try_from_legacy_transaction(legacy, &HashSet::new())?)
        });
        let environment = TransactionProcessingEnvironment {
            blockhash: Hash::default(),
            blockhash_lamports_per_signature: LAMPORTS_PER_SIGNATURE,
            alpenglow_migration_succeeded: false,
            epoch_total_stake: 0,
            feature_set: runtime,
            program_runtime_environments: ProgramRuntimeEnvironments::new(
                programs.clone(),
                programs,
            ),
            rent: Rent::default(),
        };
        Ok(Self {
            processor,
            _line: line,
            environment,
            budget,
            accounts: Accounts(accounts),
            transactions: sanitized.collect::<eyre::Result<_>>()?,
        })
    }

    /// Executes all transactions as one batch, which keeps what it changed to itself, and
    /// gives the compute units of each.
    pub(super) fn execute(&self) -> eyre::Result<Vec<u64>> {
        let limits = SVMTransactionExecutionAndFeeBudgetLimits {
            budget: self.budget,
            loaded_accounts_data_size_limit: MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES.get(),
            fee_details: FeeDetails::new(LAMPORTS_PER_SIGNATURE, 0),
        };
        let checks =
            vec![Ok(CheckedTransactionDetails::new(None, limits)); self.transactions.len()];
        let config = TransactionProcessingConfig {
            recording_config: ExecutionRecordingConfig::new_single_setting(true),
            check_program_deployment_slot: true,
            ..Default::default()
        };
        let output = self.processor.load_and_execute_sanitized_transactions(
            &self.accounts,
            &self.transactions,
            checks,
            &self.environment,
            &config,
        );
        let units = output.processing_results.into_iter().map(|result| match result? {
            ProcessedTransaction::Executed(executed) => {
                executed.execution_details.status?;
                Ok(executed.execution_details.executed_units)
            }
            ProcessedTransaction::FeesOnly(fees) => Err(fees.load_error.into()),
        });
        units.collect()
    }
}
