//! Executes a transaction.

use crate::{
    account::Head,
    base_units,
    block::Environment,
    fees,
    load::{ACCOUNT_BASE_SIZE, Loaded, OfHost, rely},
    nonce,
    program::{self, Runtime},
    record::Record,
    run::{Run, Setting, run},
    status,
    transaction::{Fee, Limits, Transaction, check_locks},
};
use polity_kernel::{Halt, Host, Invalid};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_address_lookup_table_interface::{error::AddressLookupError, state::AddressLookupTable};
use solana_instruction::{BorrowedAccountMeta, BorrowedInstruction};
use solana_instructions_sysvar::construct_instructions_data;
use solana_message::{
    SanitizedMessage,
    v0::{LoadedAddresses, MessageAddressTableLookup},
};
use solana_program_runtime::{
    invoke_context::InvokeContext, loaded_programs::ProgramCacheForTxBatch,
};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{native_loader, sysvar};
use solana_svm_timings::ExecuteTimings;
use solana_svm_transaction::svm_message::SVMStaticMessage;
use solana_transaction_error::TransactionError;
use std::borrow::Cow;

/// What every look-up table counts (SIMD-0186).
const LOOKUP_TABLE_SIZE: usize = 8248;

/// Why a transaction did not come to its end.
pub(crate) enum Failure {
    /// It may not be in the block.
    Invalid(TransactionError),
    /// The run is over.
    Halt(Halt),
}

impl From<Halt> for Failure {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<TransactionError> for Failure {
    fn from(error: TransactionError) -> Self {
        Self::Invalid(error)
    }
}

/// The most bytes of a transaction's logs, as everywhere on Solana.
const LOG_BYTES: usize = 10_000;

/// What became of a transaction.
pub(crate) struct Executed {
    pub(crate) record: Record,
    /// Compute units in the record that the kernel has charged already.
    pub(crate) elsewhere: u64,
}

/// Executes a transaction, and writes what becomes of its accounts.
pub(crate) fn execute(
    transaction: &Transaction,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<Executed, Failure> {
    let message = match transaction.message() {
        Some(message) => Cow::Borrowed(message),
        None => Cow::Owned(resolve(transaction, environment, host)?),
    };
    let message = &*message;
    check_locks(message)?;
    let limits = transaction.limits()?;
    let nonce = match transaction.waiver().age {
        true => None,
        false => check_age(transaction, message, environment, host)?,
    };
    let fee = &transaction.fee;
    let plain = match &transaction.transfers {
        Some(transfers) => transfers.execute(message, limits, fee, environment, host)?,
        None => None,
    };
    let Executed { mut record, elsewhere } = match plain {
        Some(record) => Executed { record, elsewhere: 0 },
        None => execute_instructions(message, limits, fee, nonce, environment, host)?,
    };
    host.burn(base_units(fee.base))?;
    if fee.priority > 0 {
        let beneficiary = host.block().beneficiary;
        let beneficiary = host.account(&beneficiary)?;
        host.credit(beneficiary, base_units(fee.priority))?;
    }
    status::remember(host, &transaction.message_hash, environment.slot)?;
    if let SanitizedMessage::V0(message) = message {
        let bytes = |keys: &[Pubkey]| keys.iter().map(Pubkey::to_bytes).collect();
        record.loaded_writable = bytes(&message.loaded_addresses.writable);
        record.loaded_readonly = bytes(&message.loaded_addresses.readonly);
    }
    record.fee = fee.total();
    Ok(Executed { record, elsewhere })
}

/// Runs the instructions on accounts of the runtime's own, and writes back what becomes of
/// them.
fn execute_instructions(
    message: &SanitizedMessage,
    limits: &Limits,
    fee: &Fee,
    nonce: Option<(Pubkey, AccountSharedData)>,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<Executed, Failure> {
    let payer = Loaded::new(host, message.fee_payer(), environment)?;
    let mut charged = payer.account.clone();
    if let Err(error) = fees::charge(&mut charged, fee.total(), &environment.rent) {
        payer.rely_exactly(host)?;
        return Err(error.into());
    }
    rely_on_payer(&payer, message, fee, environment, host)?;

    let mut accounts = Accounts { loaded: vec![payer], size: 0, most: limits.loaded_bytes };
    let programs = accounts.load(message, environment, host);
    let keys: Vec<_> = message.account_keys().iter().copied().collect();
    let writable: Vec<_> = (0..keys.len()).map(|index| message.is_writable(index)).collect();
    let setting = Setting {
        environment,
        keys: &keys,
        loaded: &accounts.loaded,
        writable: &writable,
        payer: Some(charged.clone()),
        instructions: SVMStaticMessage::num_instructions(message),
        compute_units: limits.compute_units,
        heap_bytes: limits.heap_bytes,
        log_bytes: Some(LOG_BYTES),
        delegate: None,
        is_transaction: true,
    };
    let mut run = match programs {
        Ok(programs) => {
            run(&setting, programs, host, |invoke, units| process(message, invoke, units))?
        }
        Err(Failure::Invalid(error)) => Run::failed(error),
        Err(Failure::Halt(halt)) => return Err(halt.into()),
    };
    match &run.result {
        Ok(()) => run.write(&accounts.loaded, &writable, host)?,
        Err(error) => {
            run.record = core::mem::take(&mut run.record).failed(error);
            // What it had written on the way to other machines is undone with theirs.
            if let Some(before) = run.written.before.take() {
                host.revert(before);
            }
            roll_back(&accounts.loaded, nonce, message, charged, host)?;
        }
    }
    let mut record = run.record;
    record.loaded_bytes = u32::try_from(accounts.size.min(accounts.most)).unwrap_or(u32::MAX);
    Ok(Executed { record, elsewhere: run.elsewhere })
}

/// Why a transaction may not be in a block, in the kernel's words.
pub(crate) fn invalid(error: &TransactionError) -> Invalid {
    let code = match error {
        TransactionError::BlockhashNotFound => "BlockhashNotFound",
        TransactionError::AlreadyProcessed => "AlreadyProcessed",
        TransactionError::AccountNotFound => "AccountNotFound",
        TransactionError::InsufficientFundsForFee => "InsufficientFundsForFee",
        TransactionError::InvalidAccountForFee => "InvalidAccountForFee",
        TransactionError::InsufficientFundsForRent { .. } => "InsufficientFundsForRent",
        TransactionError::AccountLoadedTwice => "AccountLoadedTwice",
        TransactionError::TooManyAccountLocks => "TooManyAccountLocks",
        TransactionError::AddressLookupTableNotFound => "AddressLookupTableNotFound",
        TransactionError::InvalidAddressLookupTableOwner => "InvalidAddressLookupTableOwner",
        TransactionError::InvalidAddressLookupTableData => "InvalidAddressLookupTableData",
        TransactionError::InvalidAddressLookupTableIndex => "InvalidAddressLookupTableIndex",
        TransactionError::DuplicateInstruction(_) => "DuplicateInstruction",
        TransactionError::InvalidLoadedAccountsDataSizeLimit => {
            "InvalidLoadedAccountsDataSizeLimit"
        }
        TransactionError::InstructionError(..) => "InstructionError",
        _ => "SanitizeFailure",
    };
    Invalid { code, reason: error.to_string() }
}

/// The message with the accounts of its look-up tables.
fn resolve(
    transaction: &Transaction,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<SanitizedMessage, Failure> {
    let lookups = transaction.versioned.message.address_table_lookups().unwrap_or_default();
    let mut loaded = LoadedAddresses::default();
    for lookup in lookups {
        let found = look_up(lookup, environment, host)?;
        loaded.writable.extend(found.writable);
        loaded.readonly.extend(found.readonly);
    }
    Ok(transaction.resolved(loaded).ok_or(TransactionError::SanitizeFailure)?)
}

fn look_up(
    lookup: &MessageAddressTableLookup,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<LoadedAddresses, Failure> {
    let table = Loaded::new(host, &lookup.account_key, environment)?;
    if !table.exists() {
        table.rely_exactly(host)?;
        return Err(TransactionError::AddressLookupTableNotFound.into());
    }
    table.rely_at_least(host, 1)?;
    if !solana_sdk_ids::address_lookup_table::check_id(table.account.owner()) {
        return Err(TransactionError::InvalidAddressLookupTableOwner.into());
    }
    let table = AddressLookupTable::deserialize(table.account.data())
        .map_err(|_| TransactionError::InvalidAddressLookupTableData)?;
    let find = |indexes: &[u8]| {
        table.lookup(environment.slot, indexes, &environment.slot_hashes).map_err(|error| {
            match error {
                AddressLookupError::LookupTableAccountNotFound => {
                    TransactionError::AddressLookupTableNotFound
                }
                AddressLookupError::InvalidAccountOwner => {
                    TransactionError::InvalidAddressLookupTableOwner
                }
                AddressLookupError::InvalidAccountData => {
                    TransactionError::InvalidAddressLookupTableData
                }
                AddressLookupError::InvalidLookupIndex => {
                    TransactionError::InvalidAddressLookupTableIndex
                }
            }
        })
    };
    Ok(LoadedAddresses {
        writable: find(&lookup.writable_indexes)?,
        readonly: find(&lookup.readonly_indexes)?,
    })
}

/// Checks that the transaction names a recent blockhash or a durable nonce, and was
/// not executed before. Gives the nonce's account as it is left in any case.
fn check_age(
    transaction: &Transaction,
    message: &SanitizedMessage,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<Option<(Pubkey, AccountSharedData)>, Failure> {
    let nonce = match environment.age(message.recent_blockhash()) {
        Some(_) => None,
        None => {
            let address =
                *message.get_durable_nonce().ok_or(TransactionError::BlockhashNotFound)?;
            let loaded = Loaded::new(host, &address, environment)?;
            if !loaded.exists() {
                loaded.rely_exactly(host)?;
                return Err(TransactionError::BlockhashNotFound.into());
            }
            loaded.rely_at_least(host, 1)?;
            let advanced = nonce::advanced(&loaded.account, message, environment)
                .ok_or(TransactionError::BlockhashNotFound)?;
            Some((address, advanced))
        }
    };
    if status::is_known(host, &transaction.message_hash)? {
        return Err(TransactionError::AlreadyProcessed.into());
    }
    Ok(nonce)
}

/// Who only pays relies on no more than that it can, and that it keeps enough to be
/// there. An instruction that is given the account may look at its lamports.
fn rely_on_payer(
    payer: &Loaded,
    message: &SanitizedMessage,
    fee: &Fee,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<(), Halt> {
    let keeps = environment.rent.minimum_balance(payer.account.data().len());
    let least = fee.total().saturating_add(keeps);
    if message.is_instruction_account(0) || payer.account.lamports() < least {
        return payer.rely_exactly(host);
    }
    payer.rely_at_least(host, least)
}

/// The accounts of a transaction in its order.
struct Accounts {
    loaded: Vec<Loaded>,
    /// Their bytes, and the most that they may be.
    size: usize,
    most: usize,
}

impl Accounts {
    fn grow(&mut self, bytes: usize) -> Result<(), TransactionError> {
        self.size = self.size.saturating_add(bytes);
        match self.size > self.most {
            true => Err(TransactionError::MaxLoadedAccountsDataSizeExceeded),
            false => Ok(()),
        }
    }

    /// Loads all accounts after the payer's, and the programs among them.
    fn load(
        &mut self,
        message: &SanitizedMessage,
        environment: &Environment,
        host: &mut dyn Host,
    ) -> Result<ProgramCacheForTxBatch, Failure> {
        let keys = message.account_keys();
        let tables = message.message_address_table_lookups().len();
        self.grow(tables.saturating_mul(LOOKUP_TABLE_SIZE))?;
        // Executables that count although the transaction does not name them.
        let mut additional = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                let loaded = load_account(message, index, key, environment, host)?;
                self.loaded.push(loaded);
            }
            let Some(loaded) = self.loaded.get(index) else { continue };
            let bytes = match loaded.exists() && !sysvar::instructions::check_id(key) {
                true => ACCOUNT_BASE_SIZE.saturating_add(loaded.account.data().len()),
                false => 0,
            };
            let programdata = loaded.head.as_ref().and_then(program::programdata_address);
            self.grow(bytes)?;
            if let Some(address) = programdata
                && !additional.contains(&address)
                && !keys.iter().any(|key| *key == address)
                && let Some(head) = head_of(&address, host)?
            {
                self.grow(ACCOUNT_BASE_SIZE.saturating_add(head.len))?;
                additional.push(address);
            }
        }
        for instruction in message.instructions() {
            let loaded = self.loaded.get(usize::from(instruction.program_id_index));
            let loaded = loaded.filter(|loaded| loaded.exists());
            let owner = loaded.ok_or(TransactionError::ProgramAccountNotFound)?.account.owner();
            if !native_loader::check_id(owner) && !program::is_loader(owner) {
                return Err(TransactionError::InvalidProgramForExecution.into());
            }
        }
        let mut programs = Runtime::get().programs(environment.slot);
        for (key, loaded) in keys.iter().zip(&self.loaded) {
            if let Some(head) = &loaded.head
                && let Some(entry) = program::load(&mut OfHost(host), key, head, environment.slot)?
            {
                programs.replenish(*key, entry);
            }
        }
        Ok(programs)
    }
}

fn load_account(
    message: &SanitizedMessage,
    index: usize,
    key: &Pubkey,
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<Loaded, Failure> {
    if sysvar::instructions::check_id(key) {
        return Ok(Loaded::made_up(instructions_account(message)?));
    }
    let loaded = Loaded::new(host, key, environment)?;
    // What no instruction is given is a program or of no account: it is there or not.
    if message.is_instruction_account(index) || !loaded.exists() {
        loaded.rely_exactly(host)?;
    } else {
        loaded.rely_at_least(host, 1)?;
    }
    Ok(loaded)
}

/// The head of an account that may not be there.
fn head_of(address: &Pubkey, host: &mut dyn Host) -> Result<Option<Head>, Halt> {
    let id = crate::account(address);
    let handle = host.account(&id)?;
    let balance = host.peek(handle)?.unwrap_or_default().balance;
    let shown = crate::lamports(balance);
    if shown == 0 {
        let interval = crate::lamports::exactly(0);
        rely(host, handle, interval)?;
        return Ok(None);
    }
    host.rely_balance(handle, base_units(1), polity_types::U256::MAX)?;
    Head::read(&mut OfHost(host), handle).map(Some)
}

/// The sysvar that shows a transaction its own instructions.
fn instructions_account(message: &SanitizedMessage) -> Result<AccountSharedData, TransactionError> {
    let keys = message.account_keys();
    let mut instructions = Vec::with_capacity(SVMStaticMessage::num_instructions(message));
    for (program_id, instruction) in SVMStaticMessage::program_instructions_iter(message) {
        let metas = instruction.accounts.iter().map(|index| {
            let index = usize::from(*index);
            Some(BorrowedAccountMeta {
                is_signer: message.is_signer(index),
                is_writable: message.is_writable(index),
                pubkey: keys.get(index)?,
            })
        });
        let accounts = metas.collect::<Option<_>>().ok_or(TransactionError::SanitizeFailure)?;
        instructions.push(BorrowedInstruction { accounts, data: instruction.data, program_id });
    }
    show_instructions(&instructions)
}

/// The same sysvar for any instructions.
pub(crate) fn show_instructions(
    instructions: &[BorrowedInstruction<'_>],
) -> Result<AccountSharedData, TransactionError> {
    let data = construct_instructions_data(instructions)
        .map_err(|_| TransactionError::MaxLoadedAccountsDataSizeExceeded)?;
    Ok(AccountSharedData::from(Account { data, owner: sysvar::ID, ..Account::default() }))
}

fn process<'a>(
    message: &'a SanitizedMessage,
    invoke: &mut InvokeContext<'_, 'a>,
    compute_units: &mut u64,
) -> Result<(), TransactionError> {
    let failed = |(index, error)| TransactionError::InstructionError(index, error);
    invoke.prepare_top_level_instructions(message).map_err(failed)?;
    let instructions = SVMStaticMessage::program_instructions_iter(message);
    for (index, (program, instruction)) in (0_u8..=u8::MAX).zip(instructions) {
        let mut used = 0;
        let result = if invoke.is_precompile(program) {
            let all = SVMStaticMessage::instructions_iter(message).map(|all| all.data);
            invoke.process_precompile(program, instruction.data, all)
        } else {
            invoke.process_instruction(&mut used, &mut ExecuteTimings::default())
        };
        *compute_units = compute_units.saturating_add(used);
        result.map_err(|error| failed((index, error)))?;
    }
    Ok(())
}

/// What a failed transaction leaves: a fee that is paid, and a nonce that is used.
fn roll_back(
    loaded: &[Loaded],
    nonce: Option<(Pubkey, AccountSharedData)>,
    message: &SanitizedMessage,
    mut payer: AccountSharedData,
    host: &mut dyn Host,
) -> Result<(), Halt> {
    if let Some((address, advanced)) = nonce {
        if &address == message.fee_payer() {
            payer.set_data_from_slice(advanced.data());
        } else {
            let index = message.account_keys().iter().position(|key| *key == address);
            match index.and_then(|index| loaded.get(index)) {
                Some(loaded) => loaded.write(host, &loaded.account, &advanced)?,
                // Loading ended before it.
                None => crate::load::write_data(host, &address, &advanced)?,
            }
        }
    }
    match loaded.first() {
        Some(first) => first.write(host, &first.account, &payer),
        None => Ok(()),
    }
}
