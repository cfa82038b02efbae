//! Makes token accounts, in the form in which the associated token account program does.
//!
//! That program makes accounts of SPL Token and Token-2022 alone. So the gateway takes its
//! instructions as well: the addresses are the same, and clients that let the program be
//! chosen name the gateway. Nobody else could make something of these addresses, for the
//! token program is part of what they are made of.

use super::{
    Door, GatewayError, ID, Passed, Stop,
    books::{TOKEN, associated},
    call::transfer,
    token::Desk,
};
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::system_program;
use solana_svm_timings::ExecuteTimings;

/// The program's own error for an account that is somebody else's.
const ILLEGAL_OWNER: InstructionError = InstructionError::IllegalOwner;

/// Whether these are data and accounts of `Create` (nothing, or 0) or `CreateIdempotent`
/// (1). SPL Token's instructions with these numbers have more data or fewer accounts.
pub(super) fn is_creation(data: &[u8], accounts: &[Passed]) -> bool {
    let system = accounts.get(4).is_some_and(|passed| system_program::check_id(&passed.key));
    system && accounts.len() >= 6 && matches!(data, [] | [0 | 1])
}

impl Door<'_> {
    /// Makes the token account of a wallet. Accounts: who pays (signs, writable), the account
    /// (writable), the wallet, the mint, the system program, the gateway.
    pub(super) fn create(
        &mut self,
        data: &[u8],
        accounts: Vec<Passed>,
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        let [payer, account, wallet, mint, _, program, ..] = &*accounts else {
            return Err(InstructionError::MissingAccount.into());
        };
        let [payer, account, wallet, mint, program] =
            [payer, account, wallet, mint, program].map(|passed| passed.key);
        if program != ID {
            return Err(InstructionError::IncorrectProgramId.into());
        }
        if account != associated(&wallet, &ID, &mint) {
            return Err(GatewayError::NotAssociated.into());
        }
        let desk = Desk::new(invoke, accounts);
        let (owner, lamports) =
            desk.with(1, |account| Ok((*account.get_owner(), account.get_lamports())))?;
        if owner == ID && data == [1] {
            desk.token(1)?;
            return Ok(());
        }
        if !system_program::check_id(&owner) {
            return Err(ILLEGAL_OWNER.into());
        }
        let missing = Rent::default().minimum_balance(TOKEN).saturating_sub(lamports);
        if missing > 0 {
            desk.invoke.native_invoke_signed(transfer(&payer, &account, missing), &[])?;
        }
        let space = (TOKEN as u64).to_le_bytes();
        for (tag, argument) in [(8_u32, &space[..]), (1, ID.as_ref())] {
            let instruction = Instruction {
                program_id: system_program::ID,
                accounts: vec![AccountMeta::new(account, true)],
                data: [&tag.to_le_bytes(), argument].concat(),
            };
            sign(desk.invoke, instruction, account)?;
        }
        self.initialize_account([1, 3], &wallet, &desk)
    }
}

/// Has a program do something that the new account signs.
fn sign(
    invoke: &mut InvokeContext<'_, '_>,
    instruction: Instruction,
    account: Pubkey,
) -> Result<(), InstructionError> {
    invoke.prepare_next_cpi_instruction(instruction, &[account])?;
    invoke.process_instruction(&mut 0, &mut ExecuteTimings::default())
}
