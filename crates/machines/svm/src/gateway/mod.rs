//! The gateway: the program by which Solana's programs reach other machines.
//!
//! It is built in, at [`ID`], and takes instructions of a transaction and of programs
//! alike. An instruction begins with a tag; numbers are little-endian, an account is
//! `machine (1) ‖ address (32)`.
//!
//! | tag | instruction | data | answer |
//! | --- | --- | --- | --- |
//! | 0 – 24 | those of SPL Token 3.5 | | |
//! | none, 0, 1 | `Create` and `CreateIdempotent` of the associated token account program | | |
//! | 128 | [call](Invocation) | account, lamports (8), compute units (8), flags (1 read-only, 2 abort, 4 lock), payload | status (0 success, 1 reverted, 2 failed), length (4), output |
//! | 129 | [write down an alias](register) | account | |
//! | 130 | [let an account spend](approve) | asset (32), account, amount (16) | |
//! | 131 | [deposit](Tokens::deposit) | amount (8), account | what arrived (8) |
//! | 132 | [withdraw](Tokens::withdraw) | amount (8) | |
//!
//! What changes an amount, of tokens or lamports, that an account of the transaction
//! shows must be given that account, writable: no program sees an amount of the past.
//!
//! All of it needs the kernel, and the runtime has no place for a guest's own data. So the
//! way to the kernel from the innermost run lies in a variable of the thread.

mod asset;
mod associated;
mod books;
mod call;
mod custody;
mod entries;
mod entry;
mod error;
mod instructions;
mod token;

pub(crate) use books::{fill, mint, stored};
pub use custody::{custody, custody_account, deposited};
pub(crate) use entry::Entrypoint;
pub use error::GatewayError;
pub use instructions::{
    Invocation, Tokens, approve, create_token_account, input, register, send, token_account,
};

use crate::{
    run::{Setting, Written},
    trace::Tale,
};
use polity_kernel::{Halt, Host};
use solana_account::{Account, AccountSharedData};
use solana_instruction::error::InstructionError;
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;
use solana_transaction_context::transaction::TransactionContext;
use solana_transaction_error::TransactionError;
use std::sync::LazyLock;

/// The gateway's address.
pub const ID: Pubkey = Pubkey::from_str_const("Gateway111111111111111111111111111111111111");

/// The tags of the instructions that are the gateway's own. Those below are for the
/// interface of token programs.
const CALL: u8 = 128;
const REGISTER: u8 = 129;
const APPROVE: u8 = 130;
const DEPOSIT: u8 = 131;
const WITHDRAW: u8 = 132;
const SEND: u8 = 133;

/// Compute units of every instruction.
const UNITS: u64 = 150;

static VAULT: LazyLock<Pubkey> = LazyLock::new(|| Pubkey::find_program_address(&[b"vault"], &ID).0);

/// The lamports that the vault shows to every run: about half of what a number holds.
const VAULT_LAMPORTS: u64 = 1 << 62;

/// The account through which lamports leave Solana's programs and come back to them: the
/// gateway's derived address for the seed `vault`. Programs see a number of lamports that
/// is made up and says nothing.
pub fn vault() -> Pubkey {
    *VAULT
}

/// The vault as every run finds it.
pub(crate) fn vault_account() -> AccountSharedData {
    let account = Account {
        lamports: VAULT_LAMPORTS,
        owner: ID,
        rent_epoch: crate::account::NEVER,
        ..Account::default()
    };
    account.into()
}

trait Guest {
    fn process(&mut self, invoke: &mut InvokeContext<'_, '_>) -> Result<(), InstructionError>;
}

environmental::environmental!(current: trait Guest);

/// Why an instruction of the gateway ends early.
enum Stop {
    /// It fails, and with it all that its programs do.
    Fails(InstructionError),
    /// The run of the whole transaction is over.
    Halts(Halt),
}

impl From<InstructionError> for Stop {
    fn from(error: InstructionError) -> Self {
        Self::Fails(error)
    }
}

impl From<GatewayError> for Stop {
    fn from(error: GatewayError) -> Self {
        Self::Fails(error.into())
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halts(halt)
    }
}

/// The way from a run to the kernel.
pub(crate) struct Door<'a> {
    setting: &'a Setting<'a>,
    host: &'a mut dyn Host,
    written: Written,
    /// Compute units that other machines used.
    elsewhere: u64,
    halt: Option<Halt>,
    /// What a trace was told.
    tale: Tale,
}

impl<'a> Door<'a> {
    pub(crate) fn new(setting: &'a Setting<'a>, host: &'a mut dyn Host) -> Self {
        let (written, tale) = (Written::default(), Tale::default());
        Self { setting, host, written, elsewhere: 0, halt: None, tale }
    }

    /// Runs what may come to the gateway.
    pub(crate) fn open<T>(&mut self, run: impl FnOnce() -> T) -> T {
        current::using(self, run)
    }

    /// What was written meanwhile, and the compute units that other machines used.
    ///
    /// # Errors
    /// The run of the whole transaction is over.
    pub(crate) fn close(self) -> Result<(Written, u64), Halt> {
        match self.halt {
            Some(halt) => Err(halt),
            None => Ok((self.written, self.elsewhere)),
        }
    }

    /// Tells a trace how the run ended.
    pub(crate) fn tell(
        &mut self,
        result: &Result<(), TransactionError>,
        context: &TransactionContext<'_>,
    ) {
        core::mem::take(&mut self.tale).end(result, context, self.setting, self.host);
    }

    fn dispatch(&mut self, invoke: &mut InvokeContext<'_, '_>) -> Result<(), Stop> {
        self.tale.tell(invoke.transaction_context, self.setting, self.host);
        let context = invoke.transaction_context.get_current_instruction_context()?;
        let data = context.get_instruction_data().to_vec();
        let accounts = passed(invoke)?;
        if associated::is_creation(&data, &accounts) {
            return self.create(&data, accounts, invoke);
        }
        let (tag, rest) = data.split_first().ok_or(InstructionError::InvalidInstructionData)?;
        match *tag {
            CALL => self.call(rest, &accounts, invoke),
            REGISTER => self.register(rest, &accounts, invoke),
            APPROVE => self.allow(rest, &accounts, invoke),
            DEPOSIT => self.deposit(rest, &accounts, invoke),
            WITHDRAW => self.withdraw(rest, &accounts, invoke),
            SEND => self.send(rest, &accounts, invoke),
            tag => self.token(tag, rest, accounts, invoke),
        }
    }
}

impl Guest for Door<'_> {
    fn process(&mut self, invoke: &mut InvokeContext<'_, '_>) -> Result<(), InstructionError> {
        match self.dispatch(invoke) {
            Ok(()) => Ok(()),
            Err(Stop::Fails(error)) => Err(error),
            Err(Stop::Halts(halt)) => {
                self.halt = Some(halt);
                Err(InstructionError::ProgramEnvironmentSetupFailure)
            }
        }
    }
}

/// An account of the instruction that the gateway executes.
#[derive(Clone, Copy, Debug)]
struct Passed {
    /// Its number among the run's accounts.
    index: u16,
    key: Pubkey,
    signer: bool,
    writable: bool,
}

impl Passed {
    /// Whether it is the vault, and can be used.
    fn is_vault(&self) -> bool {
        self.writable && self.key == vault()
    }
}

/// The instruction's accounts in its order.
fn passed(invoke: &InvokeContext<'_, '_>) -> Result<Vec<Passed>, InstructionError> {
    let context = invoke.transaction_context.get_current_instruction_context()?;
    let all = context.instruction_accounts().iter();
    let one = |account: &solana_transaction_context::instruction_accounts::InstructionAccount| {
        let index = account.index_in_transaction;
        let key = *invoke.transaction_context.get_key_of_account_at_index(index)?;
        Ok(Passed { index, key, signer: account.is_signer(), writable: account.is_writable() })
    };
    all.map(one).collect()
}

/// The place of an account of the instruction.
fn place_of(
    accounts: &[Passed],
    wanted: impl Fn(&Passed) -> bool,
) -> Result<u16, InstructionError> {
    let found = (0_u16..).zip(accounts).find(|(_, passed)| wanted(passed));
    found.map(|(place, _)| place).ok_or(InstructionError::MissingAccount)
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(data: &mut &[u8]) -> Result<[u8; N], InstructionError> {
    let (bytes, rest) = data.split_first_chunk().ok_or(InstructionError::InvalidInstructionData)?;
    *data = rest;
    Ok(*bytes)
}
