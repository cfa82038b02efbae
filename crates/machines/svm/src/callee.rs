//! Calls from other machines: one instruction, on accounts that the caller names.
//!
//! The input is `count ‖ count × (flags ‖ address (32)) ‖ data`, the flags being 1 for an
//! account that signs and 2 for one that may be written. Nobody signs but the alias of
//! who calls, and that only where the caller delegates it: not those who signed a
//! transaction of Solana's that is under way, and not the accounts of programs in it.

use crate::{
    KIND,
    alias::alias,
    block::Environment,
    executor::show_instructions,
    lamports::BASE_UNITS_PER_LAMPORT,
    load::{Loaded, Nature, OfHost},
    program::{self, Runtime},
    run::{Run, Setting, run},
    session,
};
use polity_kernel::{Account, Call, Halt, Host, Outcome};
use polity_types::{Bytes, Event, Meter, Status, U256};
use solana_account::ReadableAccount;
use solana_instruction::{BorrowedAccountMeta, BorrowedInstruction, error::InstructionError};
use solana_program_runtime::{
    execution_budget::{MAX_COMPUTE_UNIT_LIMIT, MIN_HEAP_FRAME_BYTES},
    invoke_context::InvokeContext,
    loaded_programs::ProgramCacheForTxBatch,
};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{native_loader, sysvar};
use solana_svm_timings::ExecuteTimings;
use solana_transaction_context::{
    MAX_ACCOUNTS_PER_TRANSACTION, instruction_accounts::InstructionAccount,
};
use solana_transaction_error::TransactionError;
use std::borrow::Cow;

const SIGNER: u8 = 1;
const WRITABLE: u8 = 2;

/// The most accounts of a call, with the program.
const MAX_ACCOUNTS: usize = 64;

/// Compute units of an account that is loaded, and the bytes of its data that cost one.
pub(crate) const ACCOUNT_UNITS: u64 = 100;
pub(crate) const BYTES_PER_UNIT: u64 = 250;

/// An account as the caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    key: Pubkey,
    signer: bool,
    writable: bool,
}

/// What the caller asks for.
struct Request<'a> {
    accounts: Vec<Listed>,
    data: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(input: &'a [u8]) -> Option<Self> {
        let (count, mut rest) = input.split_first()?;
        let mut accounts = Vec::with_capacity(usize::from(*count));
        for _ in 0..*count {
            let ([flags, key @ ..], after) = rest.split_first_chunk::<33>()?;
            if flags & !(SIGNER | WRITABLE) != 0 {
                return None;
            }
            accounts.push(Listed {
                key: Pubkey::new_from_array(*key),
                signer: flags & SIGNER != 0,
                writable: flags & WRITABLE != 0,
            });
            rest = after;
        }
        Some(Self { accounts, data: rest })
    }
}

/// Why a call ends early.
enum Stop {
    Fails(String),
    Halts(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halts(halt)
    }
}

fn fails<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fails(reason.into()))
}

/// Executes a call.
///
/// # Errors
/// The run of the whole transaction is over.
pub(crate) fn call(call: &Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
    match execute(call, host) {
        Ok(output) => Ok(Outcome { status: Status::Success, output }),
        Err(Stop::Fails(reason)) => Ok(Outcome::failed(&reason)),
        Err(Stop::Halts(halt)) => Err(halt),
    }
}

fn execute(call: &Call, host: &mut dyn Host) -> Result<Bytes, Stop> {
    let Some(Request { accounts: mut listed, data }) = Request::parse(&call.input) else {
        return fails("MalformedInput");
    };
    // Nobody else's account has a code of this machine's.
    if call.target.machine != KIND {
        return fails("NotCallable");
    }
    let program = crate::address(&call.target);
    let caller = alias(&call.caller);
    if listed.iter().any(|listed| listed.signer && !(call.delegate && listed.key == caller)) {
        return fails("UnauthorizedSigner");
    }
    if call.read_only {
        // One list of accounts serves calls of both kinds; a program that writes fails.
        listed.iter_mut().for_each(|listed| listed.writable = false);
    }
    let environment = session::environment(host)?;
    if !call.value.is_zero() {
        pay(call, &listed, &environment, host)?;
    }
    if !call.read_only && listed.iter().any(|listed| listed.key == caller) {
        write_down(&caller, call, host)?;
    }
    let Some(accounts) = Accounts::new(&listed, &program) else {
        return fails("TooManyAccounts");
    };
    let loaded = accounts.load(&listed, data, call, &environment, host)?;
    let programs = programs(&accounts.keys, &loaded, &environment, host)?;
    let is_program = loaded.get(usize::from(accounts.program)).is_some_and(|loaded| {
        let owner = loaded.account.owner();
        loaded.exists() && (native_loader::check_id(owner) || program::is_loader(owner))
    });
    if !is_program {
        return fails("NotCallable");
    }
    let setting = Setting {
        environment: &environment,
        keys: &accounts.keys,
        loaded: &loaded,
        writable: &accounts.writable,
        payer: None,
        instructions: 1,
        compute_units: host.left().compute.min(u64::from(MAX_COMPUTE_UNIT_LIMIT)),
        heap_bytes: MIN_HEAP_FRAME_BYTES,
        log_bytes: None,
        delegate: call.delegate.then_some(call.caller),
        is_transaction: false,
    };
    let run = run(&setting, programs, host, |invoke, units| {
        accounts.process(data.to_vec(), invoke, units)
    })?;
    let own = run.record.compute_units.saturating_sub(run.elsewhere);
    host.charge(Meter::Compute, own)?;
    if let Err(error) = &run.result {
        return fails(reason(error, &run, &accounts.keys));
    }
    run.write(&loaded, &accounts.writable, host)?;
    if !call.read_only {
        for event in events(&run.record.logs) {
            host.emit(event)?;
        }
    }
    let returned = run.record.return_data.filter(|(by, _)| *by == program.to_bytes());
    Ok(returned.map(|(_, data)| data.into()).unwrap_or_default())
}

/// Moves the value, which the kernel gave to the program, to the first account.
fn pay(
    call: &Call,
    listed: &[Listed],
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<(), Stop> {
    if !(call.value % U256::from(BASE_UNITS_PER_LAMPORT)).is_zero() {
        return fails("DustInValue");
    }
    let Some(first) = listed.first().filter(|first| first.writable) else {
        return fails("NoRecipient");
    };
    let recipient = match Loaded::new(host, &first.key, environment)?.nature() {
        Nature::MadeUp => return fails("NoRecipient"),
        // The alias of who calls may not be written down yet.
        Nature::Own(_) if first.key == alias(&call.caller) => host.account(&call.caller)?,
        Nature::Own(handle) | Nature::Alias(handle, _) | Nature::Shown(handle) => handle,
    };
    let program = host.account(&call.target)?;
    if !host.debit(program, call.value)? {
        return Err(Halt::Fault(format!("{} was not given the value", call.target)).into());
    }
    host.credit(recipient, call.value)?;
    Ok(())
}

/// Makes the address of who calls an alias, where it is none yet.
fn write_down(address: &Pubkey, call: &Call, host: &mut dyn Host) -> Result<(), Stop> {
    let handle: Account = host.account(&crate::account(address))?;
    if host.aliased(handle)?.is_some() {
        return Ok(());
    }
    // A frame that waits shows it as the account that it was.
    if session::is_in_use(host, address, true) {
        return fails(format!("AccountInUse: {address}"));
    }
    Ok(host.alias(handle, &call.caller)?)
}

/// The accounts of a call, each once.
struct Accounts {
    keys: Vec<Pubkey>,
    writable: Vec<bool>,
    /// The place of the program.
    program: u16,
    /// What the instruction is given, by place.
    given: Vec<InstructionAccount>,
    /// The first place in `given` of each account.
    first: Vec<u16>,
}

impl Accounts {
    fn new(listed: &[Listed], program: &Pubkey) -> Option<Self> {
        let mut accounts = Self {
            keys: Vec::with_capacity(listed.len()),
            writable: Vec::new(),
            program: 0,
            given: Vec::with_capacity(listed.len()),
            first: vec![u16::MAX; MAX_ACCOUNTS_PER_TRANSACTION],
        };
        for Listed { key, .. } in listed {
            // What is said of an account in one place holds in all.
            let mut same = listed.iter().filter(|other| other.key == *key);
            let writable = same.clone().any(|other| other.writable);
            let signer = same.any(|other| other.signer);
            let place = accounts.place(key, writable)?;
            let given = u16::try_from(accounts.given.len()).ok()?;
            let first = accounts.first.get_mut(usize::from(place))?;
            *first = given.min(*first);
            accounts.given.push(InstructionAccount::new(place, signer, writable));
        }
        accounts.program = accounts.place(program, false)?;
        Some(accounts)
    }

    /// The place of an account, which is added where it is new.
    fn place(&mut self, key: &Pubkey, writable: bool) -> Option<u16> {
        let place = match self.keys.iter().position(|known| known == key) {
            Some(place) => place,
            None if self.keys.len() == MAX_ACCOUNTS => return None,
            None => {
                self.keys.push(*key);
                self.writable.push(writable);
                self.keys.len().saturating_sub(1)
            }
        };
        u16::try_from(place).ok()
    }

    /// Loads the accounts, none of which a waiting frame may have in a way that forbids it.
    fn load(
        &self,
        listed: &[Listed],
        data: &[u8],
        call: &Call,
        environment: &Environment,
        host: &mut dyn Host,
    ) -> Result<Vec<Loaded>, Stop> {
        let caller = alias(&call.caller);
        let mut all = Vec::with_capacity(self.keys.len());
        let mut units = 0_u64;
        for (index, (key, writable)) in self.keys.iter().zip(&self.writable).enumerate() {
            let loaded = if sysvar::instructions::check_id(key) {
                let accounts = listed.iter().map(|listed| BorrowedAccountMeta {
                    pubkey: &listed.key,
                    is_signer: listed.signer,
                    is_writable: listed.writable,
                });
                let program_id = &crate::address(&call.target);
                let accounts = accounts.collect();
                let shown =
                    show_instructions(&[BorrowedInstruction { program_id, accounts, data }]);
                Loaded::made_up(shown.map_err(|error| Stop::Fails(error.to_string()))?)
            } else if *key == caller {
                Loaded::standing_for(host, &call.caller)?
            } else {
                Loaded::new(host, key, environment)?
            };
            let in_use = match loaded.nature() {
                Nature::Own(_) => session::is_in_use(host, key, *writable),
                Nature::Alias(..) => session::is_in_use(host, key, false),
                Nature::MadeUp | Nature::Shown(_) => false,
            };
            if in_use {
                return fails(format!("AccountInUse: {key}"));
            }
            if self.first.get(index) == Some(&u16::MAX) && loaded.exists() {
                loaded.rely_at_least(host, 1)?;
            } else {
                loaded.rely_exactly(host)?;
            }
            let bytes = loaded.account.data().len() as u64;
            units = units.saturating_add(ACCOUNT_UNITS).saturating_add(bytes / BYTES_PER_UNIT);
            all.push(loaded);
        }
        host.charge(Meter::Compute, units)?;
        Ok(all)
    }

    fn process(
        &self,
        data: Vec<u8>,
        invoke: &mut InvokeContext<'_, 'static>,
        compute_units: &mut u64,
    ) -> Result<(), TransactionError> {
        let (given, first) = (self.given.clone(), self.first.clone());
        invoke
            .transaction_context
            .configure_instruction_at_index(0, self.program, given, first, Cow::Owned(data), None)
            .and_then(|()| {
                invoke.process_instruction(compute_units, &mut ExecuteTimings::default())
            })
            .map_err(|error| TransactionError::InstructionError(0, error))
    }
}

/// The programs among the accounts. One that a waiting frame has locked is not to be
/// called, and not by a program between either.
fn programs(
    keys: &[Pubkey],
    loaded: &[Loaded],
    environment: &Environment,
    host: &mut dyn Host,
) -> Result<ProgramCacheForTxBatch, Stop> {
    let mut programs = Runtime::get().programs(environment.slot);
    for (key, loaded) in keys.iter().zip(loaded) {
        let Some(head) = &loaded.head else { continue };
        if program::is_loader(&head.owner) && host.is_locked(&crate::account(key)) {
            return fails("Reentrant");
        }
        if let Some(entry) = program::load(&mut OfHost(host), key, head, environment.slot)? {
            programs.replenish(*key, entry);
        }
    }
    Ok(programs)
}

/// What the logs of the runtime say where a program used up the compute units.
const OUT_OF_UNITS: &str = "failed: exceeded CUs meter at BPF instruction";

/// The name of a failure for the caller: the runtime's text, with a program's own number
/// in it (`custom program error: 0x1770`).
fn reason(error: &TransactionError, run: &Run, keys: &[Pubkey]) -> String {
    // No program can write such a line: its own begin with other words.
    let is_status = |line: &&String| line.starts_with("Program ") && line.ends_with(OUT_OF_UNITS);
    let is_log = |line: &&String| line.starts_with("Program log: ");
    match error {
        TransactionError::InstructionError(_, InstructionError::ComputationalBudgetExceeded) => {
            "OutOf:compute".into()
        }
        TransactionError::InstructionError(_, InstructionError::ProgramFailedToComplete)
            if run.record.logs.iter().any(|line| is_status(&line) && !is_log(&line)) =>
        {
            "OutOf:compute".into()
        }
        TransactionError::InstructionError(_, error) => error.to_string(),
        TransactionError::InsufficientFundsForRent { account_index } => {
            let key = keys.get(usize::from(*account_index)).copied().unwrap_or_default();
            format!("InsufficientFundsForRent: {key}")
        }
        TransactionError::InvalidWritableAccount => "AliasChanged".into(),
        other => other.to_string(),
    }
}

/// What programs logged, each line in the name of the program whose it is.
fn events(logs: &[String]) -> Vec<Event> {
    let mut running: Vec<Pubkey> = Vec::new();
    let mut events = Vec::new();
    for line in logs {
        let is_own = line.starts_with("Program log: ") || line.starts_with("Program data: ");
        if is_own {
            let emitter = running.last().map(crate::account);
            let data = Bytes::copy_from_slice(line.as_bytes());
            events.extend(emitter.map(|emitter| Event { emitter, topics: Vec::new(), data }));
            continue;
        }
        let mut words = line.split(' ').skip(1);
        let (program, what) = (words.next(), words.next());
        match (program.and_then(|program| program.parse().ok()), what) {
            (Some(program), Some("invoke")) => running.push(program),
            (Some(_), Some("success" | "failed:")) => {
                running.pop();
            }
            _ => {}
        }
    }
    events
}
