//! What there is before a random block.

use super::{
    instructions::{NATIVE_MINT, TOKEN, TOKEN_2022},
    random::place,
};
use crate::Rng;
use alloy_primitives::keccak256;
use polity_engine::Overlay;
use polity_kernel::Code;
use polity_svm::{
    BASE_UNITS_PER_LAMPORT, Stored, base_units,
    genesis::{PROGRAMS, deployed},
};
use polity_types::U256;
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_nonce::{
    state::{DurableNonce, State},
    versions::Versions,
};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, incinerator, system_program};
use solana_signer::Signer;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

/// How many people there are. The last ones have little, nothing or too much.
pub const CROWD: usize = 18;

/// How many of them have plenty.
pub const RICH: usize = 12;

/// Has a little more than what an account must hold.
pub const FRUGAL: usize = RICH;

/// Has less than what an account must hold.
pub const POOR: usize = RICH + 1;

/// Is not there, but for some base units below a lamport.
pub const DUSTY: usize = RICH + 2;

/// Is not there.
pub const ABSENT: usize = RICH + 3;

/// Has more than Solana can count.
pub const CROESUS: usize = RICH + 4;

/// Has exactly one fee and what an account must hold.
pub const EXACT: usize = RICH + 5;

/// How many durable nonces there are; their authorities are the first people.
pub const NONCES: usize = 8;

/// How many look-up tables there are.
pub const TABLES: usize = 2;

/// How many accounts the purse has.
pub const PURSES: usize = 5;

/// How many buffers there are to deploy from; the last is damaged.
pub const BUFFERS: usize = 6;

/// How many programs can be upgraded; the others are deployed.
pub const VERSIONS: usize = 3;

/// The tokens of the token program: their number.
pub const MINTS: usize = 2;

const SOL: u64 = 1_000_000_000;

/// The slot in which everything was deployed.
const DEPLOYED: u64 = 10;

/// Everybody who can sign.
pub static PEOPLE: LazyLock<Vec<Keypair>> = LazyLock::new(|| {
    let key = |index: usize| {
        let seed = keccak256([b"polity solana ".as_slice(), &index.to_be_bytes()].concat());
        Keypair::new_from_array(seed.0)
    };
    (0..CROWD).map(key).collect()
});

/// The addresses of [`PEOPLE`].
static ADDRESSES: LazyLock<Vec<Pubkey>> =
    LazyLock::new(|| PEOPLE.iter().map(Signer::pubkey).collect());

/// The address of a person.
pub fn person(index: usize) -> Pubkey {
    ADDRESSES.get(index).copied().unwrap_or_default()
}

/// Keys of accounts that transactions make: they have to sign.
pub static NEW: LazyLock<Vec<Keypair>> = LazyLock::new(|| {
    let key = |index: usize| {
        let seed = keccak256([b"polity solana new ".as_slice(), &index.to_be_bytes()].concat());
        Keypair::new_from_array(seed.0)
    };
    (0..8).map(key).collect()
});

/// A durable nonce.
pub fn nonce(index: usize) -> Pubkey {
    place("nonce", index)
}

/// The value of every durable nonce before the block.
pub fn first_nonce() -> Hash {
    *DurableNonce::from_blockhash(&Hash::new_from_array(keccak256("of old").0)).as_hash()
}

/// A mint of the token program, or one of the newer program that takes a fee.
pub fn mint(index: usize) -> Pubkey {
    place("mint", index)
}

/// A person's tokens of a mint.
pub fn tokens(person: usize, mint: usize) -> Pubkey {
    place("tokens", mint.saturating_mul(1_000).saturating_add(person))
}

/// A person's wrapped lamports.
pub fn wrapped(person: usize) -> Pubkey {
    place("wrapped", person)
}

/// An account of the purse.
pub fn purse_account(index: usize) -> Pubkey {
    place("account of the purse", index)
}

/// A buffer.
pub fn buffer(index: usize) -> Pubkey {
    place("buffer", index)
}

/// A program that can be upgraded.
pub fn version(index: usize) -> Pubkey {
    place("version", index)
}

/// A look-up table.
pub fn table(index: usize) -> Pubkey {
    place("table", index)
}

/// What is in a look-up table before the block.
pub fn table_entries(index: usize) -> Vec<Pubkey> {
    match index {
        0 => (0..CROWD).map(person).collect(),
        _ => {
            (0..RICH).flat_map(|person| (0..MINTS).map(move |mint| tokens(person, mint))).collect()
        }
    }
}

/// Who makes blocks.
pub fn beneficiary() -> Pubkey {
    place("beneficiary", 0)
}

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub const $name: (&str, &[u8]) = (
            $file,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../../testkit/programs/elf/", $file, ".so"
            )),
        );
    )*};
}

programs! {
    /// Counts, in accounts of its own.
    COUNTER = "counter";
    /// Calls others.
    CALLER = "caller";
    /// Uses what the runtime has.
    PROBE = "probe";
    /// Changes accounts, allowed or not.
    PURSE = "purse";
    /// A market maker.
    AMM = "amm";
    /// Returns 1.
    VERSION_1 = "version1";
    /// Returns 2.
    VERSION_2 = "version2";
}

/// The address of one of the programs that are there.
pub fn program(of: (&str, &[u8])) -> Pubkey {
    place(of.0, 0)
}

/// The market's pool and its two vaults.
pub fn pool() -> (Pubkey, [Pubkey; 2]) {
    let seeds = [b"pool".as_slice(), &mint(0).to_bytes(), &mint(1).to_bytes()];
    let (pool, _) = Pubkey::find_program_address(&seeds, &program(AMM));
    (pool, [place("vault", 0), place("vault", 1)])
}

/// The accounts before a block.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Those with lamports.
    pub accounts: BTreeMap<Pubkey, AccountSharedData>,
    /// What accounts hold beside their lamports, in base units.
    pub extra: BTreeMap<Pubkey, U256>,
}

impl World {
    /// A world in which some have dust, drawn.
    pub fn new(rng: &mut Rng) -> Self {
        let mut world = Self { accounts: PUBLISHED.clone(), extra: BTreeMap::new() };
        let wallet = |lamports| account(lamports, &system_program::ID, Vec::new());
        let least = Rent::default().minimum_balance(0);
        for index in 0..RICH {
            world.add(person(index), wallet((1 + rng.below(1_000) as u64) * SOL));
        }
        world.add(person(FRUGAL), wallet(least.saturating_add(rng.below(40_000) as u64)));
        world.add(person(POOR), wallet(rng.below(least as usize).max(1) as u64));
        world.add(person(CROESUS), wallet(u64::MAX));
        world.add(person(EXACT), wallet(least.saturating_add(5_000)));
        world.add(incinerator::ID, wallet(least));
        if rng.once_in(2) {
            world.add(beneficiary(), wallet(least));
        }
        let above = base_units(u64::MAX).saturating_mul(U256::from(rng.below(4)));
        world.extra.insert(person(CROESUS), above);
        world.extra.insert(person(DUSTY), dust(rng));
        for index in 0..RICH {
            if rng.once_in(3) {
                world.extra.insert(person(index), dust(rng));
            }
        }
        for index in 0..NONCES {
            let address = nonce(index);
            world.add(address, nonce_account(index, rng));
            if rng.once_in(4) {
                world.extra.insert(address, dust(rng));
            }
        }
        world.add_tokens(rng);
        for index in 0..PURSES {
            let data = vec![index as u8; [0, 1, 64, 165, 5_000].get(index).copied().unwrap_or(9)];
            let lamports = Rent::default().minimum_balance(data.len());
            let lamports = lamports.saturating_add(rng.below(SOL as usize) as u64);
            world.add(purse_account(index), account(lamports, &program(PURSE), data));
            if rng.once_in(2) {
                world.extra.insert(purse_account(index), dust(rng));
            }
        }
        world
    }

    /// Adds an account.
    pub fn add(&mut self, address: Pubkey, account: AccountSharedData) {
        self.accounts.insert(address, account);
    }

    fn add_tokens(&mut self, rng: &mut Rng) {
        for index in 0..RICH {
            for mint in 0..MINTS {
                let amount = 1 + rng.below(1_000_000_000) as u64;
                let data = token_account(self::mint(mint), person(index), amount, None);
                self.add(tokens(index, mint), exempt(&TOKEN, data));
            }
            let amount = 1 + rng.below(1_000_000_000) as u64;
            let mut data = token_account(mint(MINTS), person(index), amount, None);
            // An account, and no tokens that were withheld as fees.
            data.extend_from_slice(&[2, 2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            self.add(tokens(index, MINTS), exempt(&TOKEN_2022, data));
            let least = Rent::default().minimum_balance(165);
            let amount = rng.below(SOL as usize) as u64;
            let data = token_account(NATIVE_MINT, person(index), amount, Some(least));
            let mut wrapped = exempt(&TOKEN, data);
            wrapped.set_lamports(least.saturating_add(amount));
            self.add(self::wrapped(index), wrapped);
        }
    }

    /// The state with these accounts.
    pub fn lay_over(&self, state: &mut Overlay<'_>) {
        for (address, account) in &self.accounts {
            let mut stored = Stored::new(account);
            if let Some(extra) = self.extra.get(address) {
                let record = stored.record.get_or_insert_default();
                record.balance = record.balance.saturating_add(*extra);
            }
            put(state, address, stored);
        }
        for (address, extra) in &self.extra {
            if !self.accounts.contains_key(address) && !extra.is_zero() {
                let mut record = polity_svm::record(0, None);
                record.balance = *extra;
                state.insert_account(polity_svm::account(address), Some(record));
            }
        }
    }
}

/// Puts an account into a state in which there is none at the address.
pub fn put(state: &mut Overlay<'_>, address: &Pubkey, stored: Stored) {
    let id = polity_svm::account(address);
    state.insert_account(id, stored.record);
    if let Some((reference, bytes)) = stored.code {
        state.insert_code(reference.hash, Arc::new(Code::new(bytes)));
    }
    for (key, value) in stored.slots {
        state.insert_slot(id, key, value);
    }
}

/// Less than a lamport, often at the edge.
pub(super) fn dust(rng: &mut Rng) -> U256 {
    U256::from(match rng.below(4) {
        0 => 1,
        1 => BASE_UNITS_PER_LAMPORT - 1,
        _ => 1 + rng.below(BASE_UNITS_PER_LAMPORT as usize - 1) as u64,
    })
}

fn account(lamports: u64, owner: &Pubkey, data: Vec<u8>) -> AccountSharedData {
    let data = Arc::new(data);
    AccountSharedData::create_from_existing_shared_data(lamports, data, *owner, false, u64::MAX)
}

fn exempt(owner: &Pubkey, data: Vec<u8>) -> AccountSharedData {
    account(Rent::default().minimum_balance(data.len()), owner, data)
}

/// What is the same in all worlds, and large.
static PUBLISHED: LazyLock<BTreeMap<Pubkey, AccountSharedData>> = LazyLock::new(published);

fn published() -> BTreeMap<Pubkey, AccountSharedData> {
    let mut accounts: BTreeMap<_, _> = PROGRAMS.iter().flat_map(|all| all.accounts()).collect();
    let loader = bpf_loader_upgradeable::ID;
    for of in [COUNTER, CALLER, PROBE, PURSE, AMM] {
        accounts.extend(deployed(&program(of), &loader, of.1, DEPLOYED, Some(person(0))));
    }
    for index in 0..VERSIONS {
        let authority = Some(person(index + 1));
        // With room for another.
        let mut elf = VERSION_1.1.to_vec();
        elf.resize(elf.len().saturating_mul(2), 0);
        accounts.extend(deployed(&version(index), &loader, &elf, DEPLOYED, authority));
    }
    for index in 0..BUFFERS {
        let (_, elf) = if index % 2 == 0 { VERSION_2 } else { VERSION_1 };
        let mut elf = elf.to_vec();
        if index + 1 == BUFFERS
            && let Some(byte) = elf.get_mut(100)
        {
            *byte ^= 0x40;
        }
        let header = UpgradeableLoaderState::Buffer {
            authority_address: Some(person(1 + index % VERSIONS)),
        };
        let mut data = wincode::serialize(&header).unwrap_or_default();
        data.resize(UpgradeableLoaderState::size_of_buffer_metadata(), 0);
        data.extend_from_slice(&elf);
        accounts.insert(buffer(index), exempt(&loader, data));
    }
    for index in 0..TABLES {
        let entries = table_entries(index);
        accounts.insert(table(index), exempt(&address_lookup_table::ID, table_data(&entries)));
    }
    for index in 0..MINTS {
        let data = mint_data(person(0), Some(person(0)));
        accounts.insert(mint(index), exempt(&TOKEN, data));
    }
    accounts.insert(mint(MINTS), exempt(&TOKEN_2022, mint_with_fee()));
    accounts.insert(NATIVE_MINT, exempt(&TOKEN, native_mint()));
    let (pool, vaults) = pool();
    for (index, vault) in vaults.into_iter().enumerate() {
        let data = token_account(mint(index), pool, 1_000_000_000_000, None);
        accounts.insert(vault, exempt(&TOKEN, data));
    }
    accounts.insert(pool, exempt(&program(AMM), pool_data(vaults)));
    accounts
}

fn nonce_account(index: usize, rng: &mut Rng) -> AccountSharedData {
    let durable = DurableNonce::from_blockhash(&Hash::new_from_array(keccak256("of old").0));
    let state = State::new_initialized(&person(index), durable, 5_000);
    let data = wincode::serialize(&Versions::new(state)).unwrap_or_default();
    let mut account = exempt(&system_program::ID, data);
    let more = rng.below(3) as u64 * 7_000;
    account.set_lamports(account.lamports().saturating_add(more));
    account
}

fn mint_data(authority: Pubkey, freezer: Option<Pubkey>) -> Vec<u8> {
    let option = |key: Option<Pubkey>| match key {
        Some(key) => [&1_u32.to_le_bytes()[..], key.as_ref()].concat(),
        None => vec![0; 36],
    };
    let supply = 1_u64 << 50;
    [&option(Some(authority))[..], &supply.to_le_bytes(), &[6, 1], &option(freezer)].concat()
}

fn native_mint() -> Vec<u8> {
    let mut data = vec![0; 82];
    for (place, byte) in data.iter_mut().skip(44).zip([9, 1]) {
        *place = byte;
    }
    data
}

/// One that takes two percent of what is transferred, at most 5,000.
fn mint_with_fee() -> Vec<u8> {
    let mut data = mint_data(person(0), Some(person(0)));
    data.resize(165, 0);
    // A mint, with the extension 1 of 108 bytes.
    data.extend_from_slice(&[1, 1, 0, 108, 0]);
    data.extend_from_slice(person(0).as_ref());
    data.extend_from_slice(person(0).as_ref());
    data.extend_from_slice(&[0; 8]);
    for _ in 0..2 {
        data.extend_from_slice(&0_u64.to_le_bytes());
        data.extend_from_slice(&5_000_u64.to_le_bytes());
        data.extend_from_slice(&200_u16.to_le_bytes());
    }
    data
}

fn token_account(mint: Pubkey, owner: Pubkey, amount: u64, native: Option<u64>) -> Vec<u8> {
    let mut data = Vec::with_capacity(165);
    data.extend_from_slice(mint.as_ref());
    data.extend_from_slice(owner.as_ref());
    data.extend_from_slice(&amount.to_le_bytes());
    // No delegate; initialized.
    data.extend_from_slice(&[0; 36]);
    data.push(1);
    match native {
        Some(least) => {
            data.extend_from_slice(&1_u32.to_le_bytes());
            data.extend_from_slice(&least.to_le_bytes());
        }
        None => data.extend_from_slice(&[0; 12]),
    }
    // Nothing delegated, nobody else may close.
    data.extend_from_slice(&[0; 8 + 36]);
    data
}

fn table_data(entries: &[Pubkey]) -> Vec<u8> {
    let mut data = 1_u32.to_le_bytes().to_vec();
    // Active; extended in slot 10 from the first entry on.
    data.extend_from_slice(&u64::MAX.to_le_bytes());
    data.extend_from_slice(&DEPLOYED.to_le_bytes());
    data.push(0);
    data.push(1);
    data.extend_from_slice(person(0).as_ref());
    data.extend_from_slice(&[0; 2]);
    for entry in entries {
        data.extend_from_slice(entry.as_ref());
    }
    data
}

fn pool_data(vaults: [Pubkey; 2]) -> Vec<u8> {
    let seeds = [b"pool".as_slice(), &mint(0).to_bytes(), &mint(1).to_bytes()];
    let (_, bump) = Pubkey::find_program_address(&seeds, &program(AMM));
    let mut data = b"pool\0\0\0\x01".to_vec();
    for key in [mint(0), mint(1), vaults[0], vaults[1], TOKEN] {
        data.extend_from_slice(key.as_ref());
    }
    data.extend_from_slice(&0_u64.to_le_bytes());
    data.extend_from_slice(&30_u16.to_le_bytes());
    data.push(bump);
    data
}
