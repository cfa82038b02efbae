//! What all accounts hold together.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcLargestAccountsConfig, RpcLargestAccountsFilter, RpcSupplyConfig},
    response::{RpcAccountBalance, RpcSupply},
};

use super::{Solana, faucet};
use crate::rpc::{Methods, Params, Reply};

/// So many accounts are named.
const LARGEST: usize = 20;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getSupply", supply);
    methods.heavy("getLargestAccounts", largest);
}

/// What the faucet holds is not in circulation.
fn is_circulating(address: &Pubkey) -> bool {
    *address != faucet::address()
}

fn supply(door: &Solana, params: &mut Params<'_>) -> Reply {
    let config: RpcSupplyConfig = params.optional()?.unwrap_or_default();
    let moment = door.moment(None)?;
    let (mut circulating, mut others) = (0_u64, 0_u64);
    let mut accounts = Vec::new();
    for (address, account) in door.everything(&moment)? {
        if is_circulating(&address) {
            circulating = circulating.saturating_add(account.lamports());
        } else {
            others = others.saturating_add(account.lamports());
            accounts.push(address.to_string());
        }
    }
    if config.exclude_non_circulating_accounts_list {
        accounts.clear();
    }
    moment.reply(RpcSupply {
        total: circulating.saturating_add(others),
        circulating,
        non_circulating: others,
        non_circulating_accounts: accounts,
    })
}

fn largest(door: &Solana, params: &mut Params<'_>) -> Reply {
    let config: RpcLargestAccountsConfig = params.optional()?.unwrap_or_default();
    let moment = door.moment(None)?;
    let mut accounts: Vec<(Pubkey, AccountSharedData)> = door.everything(&moment)?;
    accounts.retain(|(address, _)| match config.filter {
        None => true,
        Some(RpcLargestAccountsFilter::Circulating) => is_circulating(address),
        Some(RpcLargestAccountsFilter::NonCirculating) => !is_circulating(address),
    });
    accounts.sort_by_key(|(address, account)| (std::cmp::Reverse(account.lamports()), *address));
    accounts.truncate(LARGEST);
    let balance = |(address, account): (Pubkey, AccountSharedData)| RpcAccountBalance {
        address: address.to_string(),
        lamports: account.lamports(),
    };
    let balances: Vec<RpcAccountBalance> = accounts.into_iter().map(balance).collect();
    moment.reply(balances)
}
