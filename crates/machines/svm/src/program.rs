//! Programs: those that are built in, and executables prepared to run.

use crate::{
    account::{Cells, Head, NEVER},
    features::runtime_features,
    gateway, precompiles,
};
use polity_kernel::Code;
use solana_account::AccountSharedData;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_program_runtime::{
    execution_budget::{SVMTransactionExecutionBudget, SVMTransactionExecutionCost},
    loaded_programs::{
        ProgramCacheForTxBatch, ProgramRuntimeEnvironment, ProgramRuntimeEnvironments,
    },
    program_cache_entry::{ProgramCacheEntry, ProgramCacheEntryOwner, ProgramCacheEntryType},
    program_metrics::LoadProgramMetrics,
    solana_sbpf::program::BuiltinFunctionDefinition,
};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, compute_budget, loader_v4,
    native_loader, system_program,
};
use std::sync::{Arc, LazyLock, OnceLock};

/// What every transaction runs in.
pub(crate) struct Runtime {
    pub(crate) environments: ProgramRuntimeEnvironments,
    pub(crate) budget: SVMTransactionExecutionBudget,
    pub(crate) cost: SVMTransactionExecutionCost,
    /// The programs that are built in.
    builtins: ProgramCacheForTxBatch,
    /// Their accounts, and those of the precompiles. They are in no state.
    accounts: Vec<(Pubkey, AccountSharedData)>,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(Runtime::new);

impl Runtime {
    pub(crate) fn get() -> &'static Self {
        &RUNTIME
    }

    fn new() -> Self {
        let features = runtime_features();
        let budget =
            SVMTransactionExecutionBudget::new_with_defaults(features.raise_cpi_nesting_limit_to_8);
        // The names of system calls are the library's own and differ.
        let environment =
            solana_syscalls::create_program_runtime_environment(features, &budget, false, false);
        #[expect(clippy::expect_used, reason = "constants in, and a test starts it")]
        let environment = environment.expect("the environment of programs");
        let loader = solana_bpf_loader_program::Entrypoint::register;
        let programs = [
            (
                system_program::ID,
                "system_program",
                ProgramCacheEntry::new_builtin(
                    0,
                    0,
                    solana_system_program::system_processor::Entrypoint::register,
                ),
            ),
            (
                bpf_loader_deprecated::ID,
                "solana_bpf_loader_deprecated_program",
                ProgramCacheEntry::new_builtin(0, 0, loader),
            ),
            (
                bpf_loader::ID,
                "solana_bpf_loader_program",
                ProgramCacheEntry::new_builtin(0, 0, loader),
            ),
            (
                bpf_loader_upgradeable::ID,
                "solana_bpf_loader_upgradeable_program",
                ProgramCacheEntry::new_builtin(0, 0, loader),
            ),
            (
                compute_budget::ID,
                "compute_budget_program",
                ProgramCacheEntry::new_builtin(
                    0,
                    0,
                    solana_compute_budget_program::Entrypoint::register,
                ),
            ),
            (
                gateway::ID,
                "polity_gateway",
                ProgramCacheEntry::new_builtin(0, 0, gateway::Entrypoint::register),
            ),
        ];
        let mut builtins = ProgramCacheForTxBatch::new(0);
        let mut accounts = Vec::new();
        for (id, name, entry) in programs {
            accounts.push((id, native(name.as_bytes())));
            builtins.replenish(id, Arc::new(entry));
        }
        for id in precompiles::ALL {
            accounts.push((id, native(&[])));
        }
        Self {
            environments: ProgramRuntimeEnvironments::new(environment.clone(), environment),
            budget,
            cost: SVMTransactionExecutionCost::default(),
            builtins,
            accounts,
        }
    }

    /// The programs that are built in, for a transaction in this slot.
    pub(crate) fn programs(&self, slot: u64) -> ProgramCacheForTxBatch {
        let mut programs = self.builtins.clone();
        programs.set_slot_for_tests(slot);
        programs
    }

    /// The accounts of the programs that are built in.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&Pubkey, &AccountSharedData)> {
        self.accounts.iter().map(|(address, account)| (address, account))
    }

    fn environment(&self) -> &ProgramRuntimeEnvironment {
        self.environments.get_env_for_execution()
    }
}

fn native(data: &[u8]) -> AccountSharedData {
    let data = Arc::new(data.to_vec());
    AccountSharedData::create_from_existing_shared_data(1, data, native_loader::ID, true, NEVER)
}

/// The account of a program that is built in; `None` for every other address.
pub fn builtin_account(address: &Pubkey) -> Option<AccountSharedData> {
    let mut all = Runtime::get().accounts();
    all.find(|(builtin, _)| *builtin == address).map(|(_, account)| account.clone())
}

/// Who may own a program that is called. The last loader is not there yet: what it owns
/// is loaded, and its call fails.
pub(crate) fn is_loader(owner: &Pubkey) -> bool {
    loader(owner).is_some() || loader_v4::check_id(owner)
}

fn loader(owner: &Pubkey) -> Option<ProgramCacheEntryOwner> {
    let loader = ProgramCacheEntryOwner::try_from(owner).ok()?;
    let known = matches!(
        loader,
        ProgramCacheEntryOwner::LoaderV1
            | ProgramCacheEntryOwner::LoaderV2
            | ProgramCacheEntryOwner::LoaderV3
    );
    known.then_some(loader)
}

/// An executable as its code is kept with it: verified and compiled once, for
/// each loader that may own it.
#[derive(Default)]
struct Prepared([OnceLock<Option<Arc<ProgramCacheEntry>>>; 3]);

/// The executable in a code, prepared to run; `None` where it cannot run.
fn prepared(code: &Code, owner: &Pubkey) -> Option<Arc<ProgramCacheEntry>> {
    let place = match loader(owner)? {
        ProgramCacheEntryOwner::LoaderV1 => 0,
        ProgramCacheEntryOwner::LoaderV2 => 1,
        _ => 2,
    };
    let make = || compile(code.bytes(), owner).map(Arc::new);
    // Another machine may claim the code as well: then it is compiled each time.
    match code.prepared(|_| Prepared::default()) {
        Some(Prepared(all)) => all.get(place)?.get_or_init(make).clone(),
        None => make(),
    }
}

/// Verifies an executable and compiles it. It is said to be there since ever:
/// from when on it may run is looked up in the account.
fn compile(elf: &[u8], owner: &Pubkey) -> Option<ProgramCacheEntry> {
    let environment = Runtime::get().environment().clone();
    let metrics = &mut LoadProgramMetrics::default();
    ProgramCacheEntry::new(owner, environment, 0, 0, elf, elf.len(), metrics).ok()
}

/// Where the account of an upgradeable program has its executable.
pub(crate) fn programdata_address(head: &Head) -> Option<Pubkey> {
    if !bpf_loader_upgradeable::check_id(&head.owner) {
        return None;
    }
    match head.loader_state()? {
        UpgradeableLoaderState::Program { programdata_address } => Some(programdata_address),
        _ => None,
    }
}

/// What runs when a program of one of the loaders is called: the program, or
/// what stands for one that is closed, damaged or not yet visible.
pub(crate) fn load<C: Cells>(
    cells: &mut C,
    address: &Pubkey,
    head: &Head,
    slot: u64,
) -> Result<Option<Arc<ProgramCacheEntry>>, C::Error> {
    let Some(loader) = loader(&head.owner) else { return Ok(None) };
    let tombstone = |why| Ok(Some(Arc::new(ProgramCacheEntry::new_tombstone(slot, loader, why))));
    let holder = match loader {
        ProgramCacheEntryOwner::LoaderV3 => {
            let Some(programdata) = programdata_address(head) else {
                return tombstone(ProgramCacheEntryType::Closed);
            };
            let holder = cells.handle(&crate::account(&programdata))?;
            let head = Head::read(cells, holder)?;
            let deployed = match head.loader_state() {
                Some(UpgradeableLoaderState::ProgramData { slot, .. })
                    if bpf_loader_upgradeable::check_id(&head.owner) && head.has_code =>
                {
                    slot
                }
                _ => return tombstone(ProgramCacheEntryType::Closed),
            };
            // A program runs from the slot after that in which it was deployed.
            if deployed >= slot {
                return tombstone(ProgramCacheEntryType::DelayVisibility);
            }
            holder
        }
        _ => cells.handle(&crate::account(address))?,
    };
    let code = cells.code(holder)?;
    match code.and_then(|code| prepared(&code, &head.owner)) {
        Some(entry) => Ok(Some(entry)),
        None => tombstone(ProgramCacheEntryType::FailedVerification(
            Runtime::get().environment().clone(),
        )),
    }
}
