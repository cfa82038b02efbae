//! How the gateway's instructions are written.

use super::{
    APPROVE, CALL, DEPOSIT, ID, REGISTER, SEND, WITHDRAW, books::associated, custody,
    custody_account, vault,
};
use crate::alias;
use polity_types::{AccountId, AssetId};
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;

/// A call of another machine's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Whom to call, by its own name or by an alias in its machine.
    pub target: AccountId,
    /// Lamports that go along.
    pub value: u64,
    /// The most compute units that the callee may use; 0 for all that are left.
    pub units: u64,
    /// Whether the callee may change nothing.
    pub read_only: bool,
    /// Whether the instruction fails where the callee does.
    pub abort: bool,
    /// Whether nobody may call the calling program meanwhile.
    pub lock: bool,
    /// What the callee is asked, in its own machine's encoding.
    pub payload: Vec<u8>,
}

impl Invocation {
    /// A call without lamports and with all that is left, which fails if the callee does.
    pub const fn new(target: AccountId, payload: Vec<u8>) -> Self {
        let (read_only, abort, lock) = (false, true, false);
        Self { target, value: 0, units: 0, read_only, abort, lock, payload }
    }

    /// The instruction, with the accounts that it needs and those that the callee may
    /// credit or change.
    pub fn instruction(&self, caller: &Pubkey, touched: &[AccountMeta]) -> Instruction {
        let mut data = vec![CALL, self.target.machine.byte()];
        data.extend_from_slice(self.target.address.as_slice());
        data.extend_from_slice(&self.value.to_le_bytes());
        data.extend_from_slice(&self.units.to_le_bytes());
        let flags = [self.read_only, self.abort, self.lock];
        data.push((0_u8..).zip(flags).fold(0, |all, (bit, set)| all | u8::from(set) << bit));
        data.extend_from_slice(&self.payload);
        let caller = match self.value {
            0 => AccountMeta::new_readonly(*caller, true),
            _ => AccountMeta::new(*caller, true),
        };
        let mut accounts = vec![
            caller,
            AccountMeta::new(vault(), false),
            AccountMeta::new_readonly(system_program::ID, false),
        ];
        accounts.extend_from_slice(touched);
        Instruction { program_id: ID, accounts, data }
    }
}

/// The input of a call to a Solana program from another machine: the accounts that its
/// instruction is given, and its data.
pub fn input(accounts: &[AccountMeta], data: &[u8]) -> Vec<u8> {
    let mut input = vec![u8::try_from(accounts.len()).unwrap_or(u8::MAX)];
    for account in accounts {
        input.push(u8::from(account.is_signer) | u8::from(account.is_writable) << 1);
        input.extend_from_slice(account.pubkey.as_ref());
    }
    input.extend_from_slice(data);
    input
}

/// Writes down what an alias stands for: another machine's account, or an asset's.
pub fn register(target: &AccountId) -> Instruction {
    let mut data = vec![REGISTER];
    push(&mut data, target);
    let accounts = vec![AccountMeta::new(alias(target), false)];
    Instruction { program_id: ID, accounts, data }
}

/// Lets a foreign account spend of what `owner` holds; [`u128::MAX`] stands for any amount.
pub fn approve(owner: &Pubkey, asset: AssetId, spender: &AccountId, amount: u128) -> Instruction {
    let mut data = vec![APPROVE];
    data.extend_from_slice(asset.0.as_slice());
    push(&mut data, spender);
    data.extend_from_slice(&amount.to_le_bytes());
    let accounts = vec![AccountMeta::new_readonly(*owner, true)];
    Instruction { program_id: ID, accounts, data }
}

/// Sends what `owner` holds of an asset to an account of any machine. `shown` are token
/// accounts that it shows in and that the instruction's programs have.
pub fn send(
    owner: &Pubkey,
    asset: AssetId,
    recipient: &AccountId,
    amount: u128,
    shown: &[AccountMeta],
) -> Instruction {
    let mut data = vec![SEND];
    data.extend_from_slice(asset.0.as_slice());
    push(&mut data, recipient);
    data.extend_from_slice(&amount.to_le_bytes());
    let mut accounts = vec![AccountMeta::new_readonly(*owner, true)];
    accounts.extend_from_slice(shown);
    Instruction { program_id: ID, accounts, data }
}

/// The token account of a wallet for a mint of the gateway's: at the address that the
/// associated token account program has for it.
pub fn token_account(wallet: &Pubkey, mint: &Pubkey) -> Pubkey {
    associated(wallet, &ID, mint)
}

/// Makes the token account of a wallet, where it is not there yet.
pub fn create_token_account(payer: &Pubkey, wallet: &Pubkey, mint: &Pubkey) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*payer, true),
        AccountMeta::new(token_account(wallet, mint), false),
        AccountMeta::new_readonly(*wallet, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new_readonly(system_program::ID, false),
        AccountMeta::new_readonly(ID, false),
    ];
    Instruction { program_id: ID, accounts, data: vec![1] }
}

/// The accounts of a mint of SPL Token or Token-2022.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The mint.
    pub mint: Pubkey,
    /// Its token program.
    pub program: Pubkey,
}

impl Tokens {
    fn accounts(&self) -> [AccountMeta; 3] {
        [
            AccountMeta::new_readonly(self.mint, false),
            AccountMeta::new(custody_account(&self.program, &self.mint), false),
            AccountMeta::new_readonly(self.program, false),
        ]
    }

    /// Takes tokens into custody, for the asset that goes around in their place. `source`
    /// is the token account that `authority` signs for.
    pub fn deposit(
        &self,
        authority: &Pubkey,
        source: &Pubkey,
        recipient: &AccountId,
        amount: u64,
    ) -> Instruction {
        let mut data = vec![DEPOSIT];
        data.extend_from_slice(&amount.to_le_bytes());
        push(&mut data, recipient);
        let mut accounts =
            vec![AccountMeta::new_readonly(*authority, true), AccountMeta::new(*source, false)];
        accounts.extend(self.accounts());
        Instruction { program_id: ID, accounts, data }
    }

    /// Pays tokens out of custody, into the token account `target`.
    pub fn withdraw(&self, holder: &Pubkey, target: &Pubkey, amount: u64) -> Instruction {
        let mut data = vec![WITHDRAW];
        data.extend_from_slice(&amount.to_le_bytes());
        let mut accounts =
            vec![AccountMeta::new_readonly(*holder, true), AccountMeta::new(*target, false)];
        accounts.extend(self.accounts());
        accounts.push(AccountMeta::new_readonly(custody(), false));
        Instruction { program_id: ID, accounts, data }
    }
}

fn push(data: &mut Vec<u8>, account: &AccountId) {
    data.push(account.machine.byte());
    data.extend_from_slice(account.address.as_slice());
}
