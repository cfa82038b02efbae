//! Instructions of programs for which no interface is at hand, written byte by byte.

use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{compute_budget, system_program};

pub(super) const TOKEN: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(super) const TOKEN_2022: Pubkey =
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
pub(super) const ASSOCIATED: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
pub(super) const MEMO: Pubkey =
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
pub(super) const NATIVE_MINT: Pubkey =
    Pubkey::from_str_const("So11111111111111111111111111111111111111112");

pub(super) fn write(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, false)
}

pub(super) fn read(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, false)
}

pub(super) fn signs(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, true)
}

pub(super) fn pays(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, true)
}

/// An instruction whose data is made of these parts.
pub(super) fn instruction(
    program_id: Pubkey,
    accounts: &[AccountMeta],
    data: &[&[u8]],
) -> Instruction {
    Instruction { program_id, accounts: accounts.to_vec(), data: data.concat() }
}

/// What is asked of a token program.
#[derive(Clone, Copy)]
pub(super) enum Token {
    Transfer(u64),
    Approve(u64),
    Revoke,
    /// Who may freeze, or whom an account belongs to, becomes somebody else.
    SetOwner(Pubkey),
    MintTo(u64),
    Burn(u64),
    Close,
    Freeze,
    Thaw,
    /// With the number of decimals.
    TransferChecked(u64, u8),
    SyncNative,
    InitializeAccount(Pubkey),
    /// With decimals and the fee that is expected.
    TransferWithFee(u64, u8, u64),
    /// What was withheld in the accounts that are named is collected in the mint.
    Harvest,
}

impl Token {
    pub(super) fn of(self, program: Pubkey, accounts: &[AccountMeta]) -> Instruction {
        let number = |tag: u8, n: u64| [&[tag][..], &n.to_le_bytes()].concat();
        let data = match self {
            Self::Transfer(amount) => number(3, amount),
            Self::Approve(amount) => number(4, amount),
            Self::Revoke => vec![5],
            Self::SetOwner(owner) => [&[6, 2, 1][..], owner.as_ref()].concat(),
            Self::MintTo(amount) => number(7, amount),
            Self::Burn(amount) => number(8, amount),
            Self::Close => vec![9],
            Self::Freeze => vec![10],
            Self::Thaw => vec![11],
            Self::TransferChecked(amount, decimals) => {
                [number(12, amount), vec![decimals]].concat()
            }
            Self::SyncNative => vec![17],
            Self::InitializeAccount(owner) => [&[18][..], owner.as_ref()].concat(),
            Self::TransferWithFee(amount, decimals, fee) => {
                [&[26, 1][..], &amount.to_le_bytes(), &[decimals], &fee.to_le_bytes()].concat()
            }
            Self::Harvest => vec![26, 4],
        };
        Instruction { program_id: program, accounts: accounts.to_vec(), data }
    }
}

/// Where a wallet has its tokens of a mint.
pub(super) fn associated(wallet: &Pubkey, mint: &Pubkey, token: &Pubkey) -> Pubkey {
    let seeds = [wallet.as_ref(), token.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

/// Makes the account there, unless it is there.
pub(super) fn create_associated(
    payer: Pubkey,
    wallet: Pubkey,
    mint: Pubkey,
    token: Pubkey,
    whatever: bool,
) -> Instruction {
    let accounts = [
        pays(payer),
        write(associated(&wallet, &mint, &token)),
        read(wallet),
        read(mint),
        read(system_program::ID),
        read(token),
    ];
    instruction(ASSOCIATED, &accounts, &[&[u8::from(whatever)]])
}

/// What a transaction asks of the runtime for itself.
#[derive(Clone, Copy)]
pub(super) enum Budget {
    Heap(u32),
    Units(u32),
    Price(u64),
    Loaded(u32),
}

impl Budget {
    pub(super) fn instruction(self) -> Instruction {
        let data = match self {
            Self::Heap(bytes) => [&[1][..], &bytes.to_le_bytes()].concat(),
            Self::Units(units) => [&[2][..], &units.to_le_bytes()].concat(),
            Self::Price(price) => [&[3][..], &price.to_le_bytes()].concat(),
            Self::Loaded(bytes) => [&[4][..], &bytes.to_le_bytes()].concat(),
        };
        instruction(compute_budget::ID, &[], &[&data])
    }
}
