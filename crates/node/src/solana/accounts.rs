//! Accounts by their address.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::RpcAccountInfoConfig;

use super::{Solana, decode, encode, moment::Moment};
use crate::rpc::{Methods, Params, Reply, RpcError};

/// So many accounts can be asked for at once.
const MOST: usize = 100;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getAccountInfo", info);
    methods.heavy("getMultipleAccounts", multiple);
    methods.quick("getBalance", balance);
}

impl Moment {
    /// The account at an address: one of the state, or one that the machine or the
    /// block stands for.
    ///
    /// # Errors
    /// The state failed.
    pub(super) fn account(&self, address: &Pubkey) -> Result<Option<AccountSharedData>, RpcError> {
        if let Some(account) = polity_svm::builtin_account(address) {
            return Ok(Some(account));
        }
        if address.as_ref().starts_with(&SYSVAR) {
            let context = self.node.chain.context(&self.block().header, Vec::new())?;
            let sysvar = polity_svm::sysvar_account(&context, address)
                .map_err(|error| RpcError::internal(&error))?;
            if sysvar.is_some() {
                return Ok(sysvar);
            }
        }
        Ok(polity_svm::read_account(self.view(), address)?)
    }
}

/// How the addresses of sysvars begin: `Sysvar`.
const SYSVAR: [u8; 3] = [0x06, 0xa7, 0xd5];

fn info(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let config: RpcAccountInfoConfig = params.optional()?.unwrap_or_default();
    let moment = door.moment(config.min_context_slot)?;
    let account = moment.account(&address)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let encode = |account: AccountSharedData| {
        let (view, time) = (moment.view(), moment.time());
        encode::account(view, time, &address, &account, encoding, config.data_slice)
    };
    moment.reply(account.map(encode).transpose()?)
}

fn multiple(door: &Solana, params: &mut Params<'_>) -> Reply {
    let addresses: Vec<String> = params.required()?;
    if addresses.len() > MOST {
        return Err(RpcError::params(format!("Too many inputs provided; max {MOST}")));
    }
    let addresses = addresses.iter().map(|text| decode::parse(text));
    let addresses: Vec<Pubkey> = addresses.collect::<Result<_, _>>()?;
    let config: RpcAccountInfoConfig = params.optional()?.unwrap_or_default();
    let moment = door.moment(config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
    let mut accounts = Vec::with_capacity(addresses.len());
    for address in addresses {
        let encode = |account: AccountSharedData| {
            let (view, time) = (moment.view(), moment.time());
            encode::account(view, time, &address, &account, encoding, config.data_slice)
        };
        accounts.push(moment.account(&address)?.map(encode).transpose()?);
    }
    moment.reply(accounts)
}

fn balance(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    moment.reply(moment.account(&address)?.map_or(0, |account| account.lamports()))
}
