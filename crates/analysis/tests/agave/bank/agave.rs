//! Agave's transaction processor, and around it what its bank does: checks of age, status, locks and
//! limits, fees, and the accounts after a transaction.

use polity_kernel::BlockContext;
use polity_svm::{SYSVARS, Svm, features, sysvar_account};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_address_lookup_table_interface::{error::AddressLookupError, state::AddressLookupTable};
use solana_compute_budget_instruction::compute_budget_instruction_details::ComputeBudgetInstructionDetails;
use solana_fee_structure::FeeDetails;
use solana_hash::Hash;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_message::{
    AddressLoader, SanitizedMessage,
    v0::{LoadedAddresses, MessageAddressTableLookup},
};
use solana_program_runtime::{
    execution_budget::{SVMTransactionExecutionAndFeeBudgetLimits, SVMTransactionExecutionBudget},
    loaded_programs::{
        BlockRelation, ForkGraph, ProgramRuntimeEnvironment, ProgramRuntimeEnvironments,
    },
    program_cache_entry::{ProgramCacheEntry, ProgramCacheEntryOwner, ProgramCacheEntryType},
    solana_sbpf::{
        elf::Executable, program::BuiltinFunctionDefinition, verifier::RequisiteVerifier,
    },
};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program};
use solana_svm::{
    account_loader::CheckedTransactionDetails,
    transaction_processing_result::ProcessedTransaction,
    transaction_processor::{
        ExecutionRecordingConfig, TransactionBatchProcessor, TransactionProcessingConfig,
        TransactionProcessingEnvironment,
    },
};
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};
use solana_svm_transaction::svm_message::SVMStaticMessage;
use solana_transaction::{
    sanitized::{MessageHash, SanitizedTransaction},
    versioned::VersionedTransaction,
};
use solana_transaction_error::{AddressLoaderError, TransactionError};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, RwLock, atomic::AtomicU64},
};

/// One chain without forks.
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

/// An instruction that a program sent: program, accounts, data and height.
pub(crate) type Inner = (u8, Vec<u8>, Vec<u8>, u8);

/// What came of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) error: Option<TransactionError>,
    pub(crate) fee: u64,
    pub(crate) units: u64,
    pub(crate) logs: Vec<String>,
    pub(crate) inner: Vec<Vec<Inner>>,
    pub(crate) returned: Option<([u8; 32], Vec<u8>)>,
    pub(crate) loaded_bytes: u32,
    pub(crate) fee_only: bool,
    pub(crate) accounts: Vec<Pubkey>,
}

#[derive(Default)]
struct Store(HashMap<Pubkey, (AccountSharedData, u64)>);

impl TransactionProcessingCallback for Store {
    fn get_account_shared_data(&self, key: &Pubkey) -> Option<(AccountSharedData, u64)> {
        self.0.get(key).cloned()
    }
}

impl InvokeContextCallback for Store {}

pub(crate) struct Agave {
    processor: TransactionBatchProcessor<Line>,
    line: Arc<RwLock<Line>>,
    store: Store,
    statuses: HashSet<Hash>,
    slot: u64,
    recent: Vec<Hash>,
    programs: ProgramRuntimeEnvironment,
}

static RESERVED: LazyLock<HashSet<Pubkey>> =
    LazyLock::new(|| agave_reserved_account_keys::ReservedAccountKeys::new_all_activated().active);

impl Agave {
    pub(crate) fn new(block: &BlockContext) -> Self {
        let features = features().runtime_features();
        let budget =
            SVMTransactionExecutionBudget::new_with_defaults(features.raise_cpi_nesting_limit_to_8);
        let programs =
            solana_syscalls::create_program_runtime_environment(&features, &budget, false, false)
                .unwrap();
        let line = Arc::new(RwLock::new(Line));
        let mut processor = TransactionBatchProcessor::<Line>::new_uninitialized(block.number, 0);
        processor.global_program_cache.write().unwrap().set_fork_graph(Arc::downgrade(&line));
        processor.set_program_runtime_environment(programs.clone());
        let loader = solana_bpf_loader_program::Entrypoint::register;
        for (id, function) in [
            (
                system_program::ID,
                solana_system_program::system_processor::Entrypoint::register as _,
            ),
            (solana_sdk_ids::bpf_loader_deprecated::ID, loader as _),
            (solana_sdk_ids::bpf_loader::ID, loader as _),
            (bpf_loader_upgradeable::ID, loader as _),
            (
                solana_sdk_ids::compute_budget::ID,
                solana_compute_budget_program::Entrypoint::register as _,
            ),
        ] {
            processor.add_builtin(id, ProgramCacheEntry::new_builtin(0, 0, function));
        }
        let mut agave = Self {
            processor,
            line,
            store: Store::default(),
            statuses: HashSet::new(),
            slot: block.number,
            recent: Vec::new(),
            programs,
        };
        agave.enter(block, Vec::new());
        agave
    }

    /// Goes to a block whose ancestors have these hashes, the parent's first.
    pub(crate) fn enter(&mut self, block: &BlockContext, recent: Vec<Hash>) {
        assert_eq!(Arc::strong_count(&self.line), 1);
        self.processor = self.processor.new_from(block.number, 0);
        self.slot = block.number;
        self.recent = recent;
        for id in SYSVARS {
            let account = sysvar_account(block, &id).unwrap().unwrap();
            self.store.0.insert(id, (account, self.slot));
        }
        self.processor.fill_missing_sysvar_cache_entries(&self.store);
        let natives = self.processor.builtin_program_ids.read().unwrap().clone();
        for id in natives {
            self.store.0.insert(id, (polity_svm::builtin_account(&id).unwrap(), 0));
        }
    }

    pub(crate) fn set(&mut self, address: Pubkey, account: Option<AccountSharedData>) {
        match account.filter(|account| account.lamports() > 0) {
            Some(account) => self.store.0.insert(address, (account, self.slot)),
            None => self.store.0.remove(&address),
        };
    }

    pub(crate) fn account(&self, address: &Pubkey) -> Option<&AccountSharedData> {
        self.store.0.get(address).map(|(account, _)| account)
    }

    /// All accounts, what is executed before what refers to it.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Pubkey, Option<&AccountSharedData>)> {
        let mut all: Vec<_> =
            self.store.0.iter().map(|(key, (account, _))| (*key, account)).collect();
        all.sort_by_key(|(key, account)| (account.executable(), *key));
        all.into_iter().map(|(key, account)| (key, Some(account)))
    }

    /// Makes the programs that are there run without being compiled.
    pub(crate) fn interpret(&mut self) -> usize {
        let mut prepared = 0;
        for (address, (account, _)) in &self.store.0 {
            let Ok(owner) = ProgramCacheEntryOwner::try_from(account.owner()) else { continue };
            let (elf, deployed) = match wincode::deserialize(account.data()) {
                _ if !account.executable() => continue,
                Ok(UpgradeableLoaderState::Program { programdata_address })
                    if bpf_loader_upgradeable::check_id(account.owner()) =>
                {
                    let data = self.store.0[&programdata_address].0.data();
                    let Ok(UpgradeableLoaderState::ProgramData { slot, .. }) =
                        wincode::deserialize(data)
                    else {
                        continue;
                    };
                    (data[45..].to_vec(), slot)
                }
                _ => (account.data().to_vec(), 0),
            };
            let Ok(executable) = Executable::load(&elf, Arc::clone(&*self.programs)) else {
                continue;
            };
            executable.verify::<RequisiteVerifier>().unwrap();
            let entry = ProgramCacheEntry {
                program: ProgramCacheEntryType::Loaded(executable),
                account_owner: owner,
                account_size: elf.len(),
                deployment_slot: deployed,
                effective_slot: deployed,
                stats: Arc::default(),
                latest_access_slot: AtomicU64::new(0),
            };
            self.processor.global_program_cache.write().unwrap().assign_program(
                &self.programs,
                *address,
                0,
                Arc::new(entry),
            );
            prepared += 1;
        }
        prepared
    }

    /// Executes the transaction with these bytes, as many as fit into a packet.
    pub(crate) fn execute(&mut self, raw: &[u8]) -> Result<Done, TransactionError> {
        if raw.len() > 1232 {
            return Err(TransactionError::SanitizeFailure);
        }
        let tx: VersionedTransaction =
            wincode::deserialize_exact(raw).map_err(|_| TransactionError::SanitizeFailure)?;
        let loader = Tables(self);
        let tx =
            SanitizedTransaction::try_create(tx, MessageHash::Compute, None, loader, &RESERVED)?;
        if tx.message().instructions().len() > 64 {
            return Err(TransactionError::SanitizeFailure);
        }
        tx.verify()?;
        SanitizedTransaction::validate_account_locks(tx.message(), 64)?;
        let message = tx.message();
        let limits = ComputeBudgetInstructionDetails::try_from(
            SVMStaticMessage::program_instructions_iter(message),
        )?
        .sanitize_and_convert_to_compute_budget_limits(features())?;
        let nonce = self.check_age(message)?;
        if !self.statuses.insert(*tx.message_hash()) {
            return Err(TransactionError::AlreadyProcessed);
        }
        let signatures = message.get_signature_details().total_signatures();
        let fee = FeeDetails::new(signatures * 5_000, limits.get_prioritization_fee());
        let runtime = features().runtime_features();
        let budget = SVMTransactionExecutionBudget {
            compute_unit_limit: u64::from(limits.compute_unit_limit),
            heap_size: limits.updated_heap_bytes,
            ..SVMTransactionExecutionBudget::new_with_defaults(runtime.raise_cpi_nesting_limit_to_8)
        };
        let limits = SVMTransactionExecutionAndFeeBudgetLimits {
            budget,
            loaded_accounts_data_size_limit: limits.loaded_accounts_bytes.get(),
            fee_details: fee,
        };
        let details = CheckedTransactionDetails::new(nonce, limits);
        let environment = TransactionProcessingEnvironment {
            blockhash: self.recent[0],
            blockhash_lamports_per_signature: 5_000,
            alpenglow_migration_succeeded: false,
            epoch_total_stake: 0,
            feature_set: runtime,
            program_runtime_environments: ProgramRuntimeEnvironments::new(
                self.programs.clone(),
                self.programs.clone(),
            ),
            rent: Default::default(),
        };
        let config = TransactionProcessingConfig {
            recording_config: ExecutionRecordingConfig::new_single_setting(true),
            check_program_deployment_slot: true,
            ..Default::default()
        };
        let mut output = self.processor.load_and_execute_sanitized_transactions(
            &self.store,
            std::slice::from_ref(&tx),
            vec![Ok(details)],
            &environment,
            &config,
        );
        let processed = output.processing_results.pop().unwrap();
        if processed.is_err() {
            self.statuses.remove(tx.message_hash());
        }
        Ok(self.commit(&tx, processed?, fee.total_fee()))
    }

    fn commit(&mut self, tx: &SanitizedTransaction, done: ProcessedTransaction, fee: u64) -> Done {
        let accounts = tx.message().account_keys().iter().copied().collect();
        match done {
            ProcessedTransaction::Executed(done) => {
                let details = done.execution_details;
                let loaded = done.loaded_transaction;
                if details.status.is_ok() {
                    let all = loaded.accounts.into_iter().zip(&loaded.touched_flags).enumerate();
                    for (index, ((address, account), touched)) in all {
                        if tx.message().is_writable(index) && *touched {
                            self.set(address, Some(account));
                        }
                    }
                    let mut cache = self.processor.global_program_cache.write().unwrap();
                    cache.merge(&self.programs, self.slot, &done.programs_modified_by_tx);
                } else {
                    for (address, account) in &loaded.rollback_accounts {
                        self.set(*address, Some(account.clone()));
                    }
                }
                let inner = details.inner_instructions.unwrap_or_default();
                Done {
                    error: details.status.err(),
                    fee,
                    units: details.executed_units,
                    logs: details.log_messages.unwrap_or_default(),
                    inner: inner
                        .into_iter()
                        .map(|all| {
                            let parts =
                                |inner: solana_message::inner_instruction::InnerInstruction| {
                                    let i = inner.instruction;
                                    (i.program_id_index, i.accounts, i.data, inner.stack_height)
                                };
                            all.into_iter().map(parts).collect()
                        })
                        .collect(),
                    returned: details
                        .return_data
                        .map(|returned| (returned.program_id.to_bytes(), returned.data)),
                    loaded_bytes: loaded.loaded_accounts_data_size,
                    fee_only: false,
                    accounts,
                }
            }
            ProcessedTransaction::FeesOnly(failed) => {
                for (address, account) in &failed.rollback_accounts {
                    self.set(*address, Some(account.clone()));
                }
                Done {
                    error: Some(failed.load_error),
                    fee,
                    units: 0,
                    logs: Vec::new(),
                    inner: Vec::new(),
                    returned: None,
                    loaded_bytes: failed.loaded_accounts_data_size,
                    fee_only: true,
                    accounts,
                }
            }
        }
    }

    /// The durable nonce of a transaction that names no recent blockhash.
    fn check_age(&self, message: &SanitizedMessage) -> Result<Option<Pubkey>, TransactionError> {
        if self.recent.iter().take(150).any(|hash| hash == message.recent_blockhash()) {
            return Ok(None);
        }
        let not_found = TransactionError::BlockhashNotFound;
        let address = *message.get_durable_nonce().ok_or(not_found.clone())?;
        let account = self.account(&address).ok_or(not_found.clone())?;
        let data = solana_nonce_account::verify_nonce_account(account, message.recent_blockhash())
            .ok_or(not_found.clone())?;
        let signed = message.get_ix_signers(0).any(|signer| signer == &data.authority);
        let next = solana_nonce::state::DurableNonce::from_blockhash(&self.recent[0]);
        if !signed || data.durable_nonce == next {
            return Err(not_found);
        }
        Ok(Some(address))
    }
}

#[derive(Clone, Copy)]
struct Tables<'a>(&'a Agave);

impl AddressLoader for Tables<'_> {
    fn load_addresses(
        self,
        lookups: &[MessageAddressTableLookup],
    ) -> Result<LoadedAddresses, AddressLoaderError> {
        let hashes = self.0.processor.sysvar_cache().get_slot_hashes().unwrap();
        let error = |error| match error {
            AddressLookupError::LookupTableAccountNotFound => {
                AddressLoaderError::LookupTableAccountNotFound
            }
            AddressLookupError::InvalidAccountOwner => AddressLoaderError::InvalidAccountOwner,
            AddressLookupError::InvalidAccountData => AddressLoaderError::InvalidAccountData,
            AddressLookupError::InvalidLookupIndex => AddressLoaderError::InvalidLookupIndex,
        };
        let mut all = LoadedAddresses::default();
        for lookup in lookups {
            let account = self
                .0
                .account(&lookup.account_key)
                .ok_or(AddressLoaderError::LookupTableAccountNotFound)?;
            if !solana_sdk_ids::address_lookup_table::check_id(account.owner()) {
                return Err(AddressLoaderError::InvalidAccountOwner);
            }
            let table = AddressLookupTable::deserialize(account.data())
                .map_err(|_| AddressLoaderError::InvalidAccountData)?;
            let slot = self.0.slot;
            let find = |indexes: &[u8]| table.lookup(slot, indexes, &hashes).map_err(error);
            all.writable.extend(find(&lookup.writable_indexes)?);
            all.readonly.extend(find(&lookup.readonly_indexes)?);
        }
        Ok(all)
    }
}

/// The machine under test is one of many; here it is alone.
pub(crate) const MACHINE: Svm = Svm::new();
