//! Powers over a development chain, by the names that Surfpool gave them.

use std::sync::PoisonError;

use alloy_primitives::hex;
use serde::Deserialize;
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::bpf_loader_upgradeable;
use spl_generic_token::{
    associated_token_account, is_known_spl_token_id, token, token::native_mint,
};
use spl_token_2022_interface::state::{Account, AccountState};

use super::{Solana, cluster, decode, error::invalid, guest, moment::Moment};
use crate::{
    miner::Mining,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// So many blocks are made at once to come to a slot.
const MOST_BLOCKS: u64 = 100_000;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("surfnet_setAccount", set_account);
    methods.heavy("surfnet_setTokenAccount", set_token_account);
    methods.heavy("surfnet_resetAccount", reset_account);
    methods.heavy("surfnet_setProgramAuthority", set_program_authority);
    methods.heavy("surfnet_timeTravel", time_travel);
    methods.heavy("surfnet_resetNetwork", |door, _| {
        let ethereum = door.ethereum.get();
        ethereum.begin_again()?;
        door.moment(None)?.reply(())
    });
    methods.quick("surfnet_pauseClock", |door, _| door.pause(true));
    methods.quick("surfnet_resumeClock", |door, _| door.pause(false));
}

/// Puts accounts into the state, outside of any block.
fn put(moment: &Moment, accounts: &[(Pubkey, AccountSharedData)]) -> Result<(), RpcError> {
    let powers = Solana::powers(&moment.node)?;
    moment.node.chain.edit::<RpcError>(powers, |changes, _| {
        let mut put = accounts.iter();
        Ok(put.try_for_each(|(address, account)| guest::set_account(changes, address, account))?)
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountUpdate {
    lamports: Option<u64>,
    owner: Option<String>,
    executable: Option<bool>,
    /// In hexadecimal.
    data: Option<String>,
}

fn set_account(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let update: AccountUpdate = params.required()?;
    let moment = door.moment(None)?;
    let mut account = polity_svm::read_account(moment.view(), &address)?.unwrap_or_default();
    if let Some(lamports) = update.lamports {
        account.set_lamports(lamports);
    }
    if let Some(owner) = &update.owner {
        account.set_owner(decode::parse(owner)?);
    }
    if let Some(executable) = update.executable {
        account.set_executable(executable);
    }
    if let Some(data) = &update.data {
        let data = hex::decode(data).map_err(|error| invalid(format!("data: {error}")))?;
        if data.len() > MOST_DATA {
            return Err(invalid(format!("no account has more than {MOST_DATA} bytes")));
        }
        account.set_data_from_slice(&data);
    }
    put(&moment, &[(address, account)])?;
    moment.reply(())
}

/// The most bytes that an account can have.
const MOST_DATA: usize = 10 << 20;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAccountUpdate {
    amount: Option<u64>,
    /// An address, or `"null"` for nobody.
    delegate: Option<String>,
    state: Option<String>,
    delegated_amount: Option<u64>,
    /// An address, or `"null"` for nobody.
    close_authority: Option<String>,
}

/// An address that may be nobody's.
fn somebody(text: &str) -> Result<Option<Pubkey>, RpcError> {
    match text {
        "null" => Ok(None),
        text => decode::parse(text).map(Some),
    }
}

impl TokenAccountUpdate {
    fn apply(&self, account: &mut Account) -> Result<(), RpcError> {
        if let Some(amount) = self.amount {
            account.amount = amount;
        }
        if let Some(delegate) = &self.delegate {
            account.delegate = somebody(delegate)?.into();
        }
        if let Some(state) = &self.state {
            account.state = match state.as_str() {
                "uninitialized" => AccountState::Uninitialized,
                "initialized" => AccountState::Initialized,
                "frozen" => AccountState::Frozen,
                _ => return Err(invalid("state: uninitialized, initialized or frozen")),
            };
        }
        if let Some(amount) = self.delegated_amount {
            account.delegated_amount = amount;
        }
        if let Some(authority) = &self.close_authority {
            account.close_authority = somebody(authority)?.into();
        }
        Ok(())
    }
}

fn set_token_account(door: &Solana, params: &mut Params<'_>) -> Reply {
    let owner = decode::address(params)?;
    let mint = decode::address(params)?;
    let update: TokenAccountUpdate = params.required()?;
    let program = params.optional::<String>()?.as_deref().map(decode::parse).transpose()?;
    let program = program.unwrap_or(token::ID);
    if !is_known_spl_token_id(&program) {
        return Err(invalid("unrecognized Token program id"));
    }
    let moment = door.moment(None)?;
    let seeds = [owner.as_ref(), program.as_ref(), mint.as_ref()];
    let (address, _) = Pubkey::find_program_address(&seeds, &associated_token_account::ID);
    let mut account = match polity_svm::read_account(moment.view(), &address)? {
        Some(account) if *account.owner() == program => account,
        _ => new_token_account(&owner, &mint, &program),
    };
    let mut data = account.data().to_vec();
    // What extensions say is behind the account proper, and stays.
    let (base, _) = data
        .split_at_mut_checked(Account::LEN)
        .ok_or_else(|| invalid("the account there is no token account"))?;
    let mut state = Account::unpack_unchecked(base).map_err(|error| invalid(error.to_string()))?;
    update.apply(&mut state)?;
    if state.is_native.is_some() {
        let reserve = Rent::default().minimum_balance(account.data().len());
        account.set_lamports(reserve.saturating_add(state.amount));
    }
    Account::pack(state, base).map_err(|error| invalid(error.to_string()))?;
    account.set_data_from_slice(&data);
    put(&moment, &[(address, account)])?;
    moment.reply(())
}

/// A token account that holds nothing.
fn new_token_account(owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> AccountSharedData {
    let reserve = Rent::default().minimum_balance(Account::LEN);
    let is_native = (*mint == native_mint::ID).then_some(reserve).into();
    let state = Account {
        mint: *mint,
        owner: *owner,
        state: AccountState::Initialized,
        is_native,
        ..Account::default()
    };
    let mut data = [0; Account::LEN];
    state.pack_into_slice(&mut data);
    let mut account = AccountSharedData::new(reserve, Account::LEN, program);
    account.set_data_from_slice(&data);
    account
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResetWish {
    include_owned_accounts: Option<bool>,
}

/// Makes accounts what they were when the chain began.
fn reset_account(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let wish: ResetWish = params.optional()?.unwrap_or_default();
    let moment = door.moment(None)?;
    let mut addresses = vec![address];
    if wish.include_owned_accounts == Some(true) {
        addresses.extend(door.owned(&moment, &address)?.into_iter().map(|(address, _)| address));
    }
    let chain = &moment.node.chain;
    let first = chain.state_at(chain.first())?;
    let mut accounts = Vec::with_capacity(addresses.len());
    for address in addresses {
        let account = polity_svm::read_account(&first, &address)?.unwrap_or_default();
        accounts.push((address, account));
    }
    put(&moment, &accounts)?;
    moment.reply(())
}

fn set_program_authority(door: &Solana, params: &mut Params<'_>) -> Reply {
    let program = decode::address(params)?;
    let authority = params.optional::<String>()?.as_deref().map(decode::parse).transpose()?;
    let moment = door.moment(None)?;
    let read = |address: &Pubkey| polity_svm::read_account(moment.view(), address);
    let account = read(&program)?.ok_or_else(|| invalid("could not find account"))?;
    let is_upgradeable = bpf_loader_upgradeable::check_id(account.owner());
    let state = wincode::deserialize::<UpgradeableLoaderState>(account.data());
    let programdata = match state {
        Ok(UpgradeableLoaderState::Program { programdata_address }) if is_upgradeable => {
            programdata_address
        }
        _ => return Err(invalid("not a program that can be upgraded")),
    };
    let lost = || invalid("the program has no data");
    let mut account = read(&programdata)?.ok_or_else(lost)?;
    let mut data = account.data().to_vec();
    let len = UpgradeableLoaderState::size_of_programdata_metadata();
    let header = data.get_mut(..len).ok_or_else(lost)?;
    let slot = match wincode::deserialize::<UpgradeableLoaderState>(header) {
        Ok(UpgradeableLoaderState::ProgramData { slot, .. }) => slot,
        _ => return Err(lost()),
    };
    let state = UpgradeableLoaderState::ProgramData { slot, upgrade_authority_address: authority };
    let mut written = wincode::serialize(&state).map_err(|error| RpcError::internal(&error))?;
    written.resize(len, 0);
    header.copy_from_slice(&written);
    account.set_data_from_slice(&data);
    put(&moment, &[(programdata, account)])?;
    moment.reply(())
}

/// Where to go in time.
#[derive(Deserialize)]
enum Destination {
    #[serde(rename = "absoluteEpoch")]
    Epoch(u64),
    #[serde(rename = "absoluteSlot")]
    Slot(u64),
    /// In milliseconds since 1970.
    #[serde(rename = "absoluteTimestamp")]
    Timestamp(u64),
}

fn time_travel(door: &Solana, params: &mut Params<'_>) -> Reply {
    /// An hour, for who does not say where to.
    const AHEAD: u64 = 3_600_000;
    let node = door.node();
    Solana::powers(&node)?;
    let head = node.chain.head();
    let destination = params.optional()?.unwrap_or_else(|| {
        Destination::Timestamp(node.miner.now().saturating_mul(1000).saturating_add(AHEAD))
    });
    let past = || invalid("that is not ahead");
    let slot = match destination {
        Destination::Timestamp(millis) => {
            let timestamp = millis / 1000;
            if timestamp <= head.header.timestamp {
                return Err(past());
            }
            node.miner.set(|settings| settings.next_timestamp = Some(timestamp));
            head.number().saturating_add(1)
        }
        Destination::Slot(slot) => slot,
        Destination::Epoch(epoch) => cluster::schedule().get_first_slot_in_epoch(epoch),
    };
    let blocks = slot.checked_sub(head.number()).filter(|blocks| *blocks > 0).ok_or_else(past)?;
    if blocks > MOST_BLOCKS {
        return Err(invalid(format!(
            "slots are blocks: slot {slot} is {blocks} ahead, and {MOST_BLOCKS} are made at once"
        )));
    }
    for _ in 0..blocks {
        node.miner.mine()?;
    }
    reply(&cluster::epoch_info(&node, node.chain.head().number())?)
}

impl Solana {
    /// Stops the blocks that time alone makes, or goes on with them.
    fn pause(&self, on: bool) -> Reply {
        let node = self.node();
        Self::powers(&node)?;
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if on && paused.is_none() {
            let mining = node.miner.settings().mining;
            *paused = Some(mining);
            let still = match mining {
                Mining::Interval(_) | Mining::Manual => Mining::Manual,
                Mining::Mixed(_) | Mining::Instant => Mining::Instant,
            };
            node.miner.set(|settings| settings.mining = still);
        } else if !on && let Some(mining) = paused.take() {
            node.miner.set(|settings| settings.mining = mining);
        }
        drop(paused);
        reply(&cluster::epoch_info(&node, node.chain.head().number())?)
    }
}
