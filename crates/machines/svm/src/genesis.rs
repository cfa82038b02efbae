//! What a chain has from its first block on: published programs.

use crate::account::NEVER;
use solana_account::AccountSharedData;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};
use std::sync::Arc;

/// A program as it was published.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is called.
    pub name: &'static str,
    /// Its address.
    pub address: Pubkey,
    /// The loader that owns it.
    pub loader: Pubkey,
    /// The executable.
    pub elf: &'static [u8],
}

macro_rules! program {
    ($name:literal, $address:literal, $loader:ident, $file:literal) => {
        Program {
            name: $name,
            address: Pubkey::from_str_const($address),
            loader: $loader::ID,
            elf: include_bytes!(concat!("../programs/", $file)),
        }
    };
}

/// The programs that a development chain has as mainnet has them.
pub const PROGRAMS: [Program; 6] = [
    program!(
        "token",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        bpf_loader_upgradeable,
        "spl_token_p.so"
    ),
    program!(
        "token-2022",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        bpf_loader_upgradeable,
        "spl_token_2022-11.0.0.so"
    ),
    program!(
        "associated token account",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
        bpf_loader,
        "spl_associated_token_account-1.1.1.so"
    ),
    program!(
        "memo v1",
        "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
        bpf_loader_deprecated,
        "spl_memo-1.0.0.so"
    ),
    program!(
        "memo",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        bpf_loader,
        "spl_memo-4.0.0.so"
    ),
    program!(
        "address lookup table",
        "AddressLookupTab1e1111111111111111111111111",
        bpf_loader_upgradeable,
        "address_lookup_table.so"
    ),
];

impl Program {
    /// The accounts that hold it: as if deployed in slot 0, for nobody to upgrade.
    pub fn accounts(&self) -> Vec<(Pubkey, AccountSharedData)> {
        deployed(&self.address, &self.loader, self.elf, 0, None)
    }
}

/// The accounts of a program that was deployed in a slot, and that `authority` may
/// upgrade where the loader knows upgrades.
pub fn deployed(
    address: &Pubkey,
    loader: &Pubkey,
    elf: &[u8],
    slot: u64,
    authority: Option<Pubkey>,
) -> Vec<(Pubkey, AccountSharedData)> {
    if !bpf_loader_upgradeable::check_id(loader) {
        return vec![(*address, account(loader, elf.to_vec(), true))];
    }
    let (programdata_address, _) = Pubkey::find_program_address(&[address.as_ref()], loader);
    let program = UpgradeableLoaderState::Program { programdata_address };
    let header = UpgradeableLoaderState::ProgramData { slot, upgrade_authority_address: authority };
    let mut data = state(&header, UpgradeableLoaderState::size_of_programdata_metadata());
    data.extend_from_slice(elf);
    let program = state(&program, UpgradeableLoaderState::size_of_program());
    vec![
        (*address, account(loader, program, true)),
        (programdata_address, account(loader, data, false)),
    ]
}

fn state(state: &UpgradeableLoaderState, len: usize) -> Vec<u8> {
    let mut data = wincode::serialize(state).unwrap_or_default();
    data.resize(len, 0);
    data
}

fn account(owner: &Pubkey, data: Vec<u8>, executable: bool) -> AccountSharedData {
    let lamports = Rent::default().minimum_balance(data.len());
    let data = Arc::new(data);
    AccountSharedData::create_from_existing_shared_data(lamports, data, *owner, executable, NEVER)
}
