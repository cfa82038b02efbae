//! Custody: tokens of SPL Token and Token-2022 that lie with the gateway while as many of
//! an asset of the ledger go around in their place.
//!
//! The asset is issued by the gateway, with the mint's address as the salt, and so has one
//! alias. Tokens lie in the associated account of the gateway's derived address for the
//! seed `custody`: nobody else ever was its owner.

use super::{
    Door, GatewayError, ID, Passed, Stop,
    asset::{account, consume},
    books::{amount, associated, decimals, key_at, unnamed},
    entries::settled,
    take,
};
use polity_types::{AssetId, B256, U256};
use solana_account::ReadableAccount;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;
use std::sync::LazyLock;

/// Compute units beside those of the token program.
const UNITS: u64 = 3_000;

/// The token programs whose tokens can be deposited.
const TOKEN_PROGRAMS: [Pubkey; 2] = [
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
];

static CUSTODY: LazyLock<(Pubkey, u8)> =
    LazyLock::new(|| Pubkey::find_program_address(&[b"custody"], &ID));

/// The address that owns the tokens in custody.
pub fn custody() -> Pubkey {
    CUSTODY.0
}

/// The token account in which tokens of a mint lie in custody.
pub fn custody_account(token_program: &Pubkey, mint: &Pubkey) -> Pubkey {
    associated(&custody(), token_program, mint)
}

/// The asset that goes around in place of a mint's tokens.
pub fn deposited(mint: &Pubkey) -> AssetId {
    AssetId::issued(&crate::account(&ID), &B256::new(mint.to_bytes()))
}

/// A mint of a token program, and where its tokens lie.
struct Tokens {
    mint: Pubkey,
    decimals: u8,
    program: Pubkey,
    vault: Passed,
}

impl Tokens {
    /// Checks the accounts at these places.
    fn new(
        accounts: &[Passed],
        [mint, vault, program]: [usize; 3],
        invoke: &InvokeContext<'_, '_>,
    ) -> Result<Self, InstructionError> {
        let passed = |place: usize| accounts.get(place).ok_or(InstructionError::MissingAccount);
        let (mint, vault, program) = (passed(mint)?, passed(vault)?, passed(program)?.key);
        let account = invoke.transaction_context.accounts().try_borrow(mint.index)?;
        if !TOKEN_PROGRAMS.contains(&program) || *account.owner() != program {
            return Err(InstructionError::IncorrectProgramId);
        }
        let decimals = decimals(account.data()).ok_or(InstructionError::InvalidAccountData)?;
        if vault.key != custody_account(&program, &mint.key) {
            return Err(GatewayError::WrongCustody.into());
        }
        Ok(Self { mint: mint.key, decimals, program, vault: *vault })
    }

    /// How much there is in custody.
    fn held(&self, invoke: &InvokeContext<'_, '_>) -> Result<u64, InstructionError> {
        let vault = invoke.transaction_context.accounts().try_borrow(self.vault.index)?;
        let data = vault.data();
        let is_ours = *vault.owner() == self.program
            && key_at(data, 0) == Some(self.mint)
            && key_at(data, 32) == Some(custody());
        amount(data).filter(|_| is_ours).ok_or(GatewayError::WrongCustody.into())
    }

    /// The token program's transfer that says mint and decimals, with what accounts a
    /// transfer hook may want.
    fn transfer(
        &self,
        [from, to, authority]: [&Pubkey; 3],
        amount: u64,
        more: &[Passed],
    ) -> Instruction {
        let mut data = vec![12];
        data.extend_from_slice(&amount.to_le_bytes());
        data.push(self.decimals);
        let mut accounts = vec![
            AccountMeta::new(*from, false),
            AccountMeta::new_readonly(self.mint, false),
            AccountMeta::new(*to, false),
            AccountMeta::new_readonly(*authority, true),
        ];
        accounts.extend(more.iter().map(|more| AccountMeta {
            pubkey: more.key,
            is_signer: false,
            is_writable: more.writable,
        }));
        Instruction { program_id: self.program, accounts, data }
    }
}

impl Door<'_> {
    /// Takes tokens into custody: `amount (8) ‖ machine ‖ recipient (32)`. Accounts: who
    /// signs for the tokens, their account (writable), the mint, the account in custody
    /// (writable), the token program, then what the transfer needs besides. The recipient is
    /// given as much of the asset as arrived; the answer says how much (8 bytes).
    pub(super) fn deposit(
        &mut self,
        mut data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        consume(invoke, UNITS)?;
        let amount = u64::from_le_bytes(take(&mut data)?);
        let recipient = self.canonical(&account(&mut data)?)?;
        let tokens = Tokens::new(accounts, [2, 3, 4], invoke)?;
        let [authority, source] = first(accounts)?;
        let before = tokens.held(invoke)?;
        let keys = [&source.key, &tokens.vault.key, &authority.key];
        let more = accounts.get(5..).unwrap_or_default();
        invoke.native_invoke_signed(tokens.transfer(keys, amount, more), &[])?;
        // Some mints keep a part.
        let arrived = tokens.held(invoke)?.saturating_sub(before);
        let asset = deposited(&tokens.mint);
        let is_known = self.host.asset(asset)?.is_some();
        let host = self.change()?;
        if !is_known {
            let info = unnamed(&tokens.mint, &ID, tokens.decimals);
            settled(host.issue(&info, &B256::new(tokens.mint.to_bytes()))?)?;
        }
        settled(host.mint_asset(asset, &recipient, U256::from(arrived))?)?;
        self.settle(accounts, invoke)?;
        invoke.transaction_context.set_return_data(ID, arrived.to_le_bytes().to_vec())?;
        Ok(())
    }

    /// Pays tokens out of custody: `amount (8)`. Accounts: who holds the asset and signs,
    /// where the tokens go (writable), the mint, the account in custody (writable), the token
    /// program, the address that owns it, then what the transfer needs besides.
    pub(super) fn withdraw(
        &mut self,
        mut data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        consume(invoke, UNITS)?;
        let amount = u64::from_le_bytes(take(&mut data)?);
        let tokens = Tokens::new(accounts, [2, 3, 4], invoke)?;
        let [_, target] = first(accounts)?;
        if target.key == tokens.vault.key {
            return Err(GatewayError::WrongCustody.into());
        }
        tokens.held(invoke)?;
        let holder = self.signer(accounts, 0)?;
        let asset = deposited(&tokens.mint);
        let signer = accounts.first().map(|signer| signer.key).unwrap_or_default();
        let wallet = self.wallet(&signer)?;
        self.sweep(asset, &wallet)?;
        let host = self.change()?;
        settled(host.burn_asset(asset, &holder, U256::from(amount))?)?;
        let owner = custody();
        let keys = [&tokens.vault.key, &target.key, &owner];
        let more = accounts.get(6..).unwrap_or_default();
        let instruction = tokens.transfer(keys, amount, more);
        invoke.native_invoke_signed(instruction, &[&[b"custody", &[CUSTODY.1]]])?;
        self.settle(accounts, invoke)
    }
}

fn first(accounts: &[Passed]) -> Result<[Passed; 2], InstructionError> {
    accounts.first_chunk().copied().ok_or(InstructionError::MissingAccount)
}
