//! Accounts by the program that owns them.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{config::RpcProgramAccountsConfig, filter::RpcFilterType};
use spl_generic_token::generic_token;

use super::{Solana, decode, encode, error::invalid, token};
use crate::rpc::{Methods, Params, Reply, RpcError, reply};

/// So many filters may be combined.
const MOST_FILTERS: usize = 4;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getProgramAccounts", accounts);
}

/// What accounts are to be like.
pub(super) struct Filters(Vec<RpcFilterType>);

impl Filters {
    /// Filters, their bytes decoded.
    ///
    /// # Errors
    /// One of them is none.
    pub(super) fn new(filters: Option<Vec<RpcFilterType>>) -> Result<Self, RpcError> {
        let mut filters = filters.unwrap_or_default();
        if filters.len() > MOST_FILTERS {
            let text = format!("Too many filters provided; max {MOST_FILTERS}");
            return Err(RpcError::params(text));
        }
        for filter in &mut filters {
            filter.verify().map_err(invalid)?;
            if let RpcFilterType::Memcmp(compared) = filter {
                compared.convert_to_raw_bytes().map_err(invalid)?;
            }
        }
        Ok(Self(filters))
    }

    /// Whether an account is as wanted.
    pub(super) fn let_through(&self, account: &AccountSharedData) -> bool {
        self.0.iter().all(|filter| match filter {
            RpcFilterType::DataSize(size) => account.data().len() as u64 == *size,
            RpcFilterType::Memcmp(compared) => compared.bytes_match(account.data()),
            RpcFilterType::TokenAccountState => {
                generic_token::Account::unpack(account.data(), token::form(account.owner()))
                    .is_some()
            }
        })
    }
}

fn accounts(door: &Solana, params: &mut Params<'_>) -> Reply {
    let program = decode::address(params)?;
    let config: RpcProgramAccountsConfig = params.optional()?.unwrap_or_default();
    let filters = Filters::new(config.filters)?;
    let moment = door.moment(config.account_config.min_context_slot)?;
    let mut accounts: Vec<(Pubkey, AccountSharedData)> = door.owned(&moment, &program)?;
    accounts.retain(|(_, account)| filters.let_through(account));
    let encoding = config.account_config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let slice = config.account_config.data_slice;
    // They are in the order of their addresses, whether or not that is wished.
    let keyed = encode::keyed(&moment, &accounts, encoding, slice)?;
    match config.with_context {
        Some(true) => moment.reply(keyed),
        _ => reply(&keyed),
    }
}
