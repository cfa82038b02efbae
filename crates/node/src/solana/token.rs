//! Tokens of the SPL programs.

use polity_kernel::{View, ViewError};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::{
    UiAccountEncoding,
    parse_account_data::SplTokenAdditionalDataV2,
    parse_token::{UiTokenAmount, token_amount_to_ui_amount_v3},
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcAccountInfoConfig, RpcTokenAccountsFilter},
    response::RpcTokenAccountBalance,
};
use spl_generic_token::{generic_token, is_known_spl_token_id, token::native_mint};
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions, StateWithExtensions, interest_bearing_mint::InterestBearingConfig,
        scaled_ui_amount::ScaledUiAmountConfig,
    },
    state::{Account, Mint},
};

use super::{Solana, decode, encode, error::invalid, moment::Moment};
use crate::rpc::{Methods, Params, Reply, RpcError};

/// Of wrapped SOL.
const NATIVE_DECIMALS: u8 = 9;

/// So many holders of a token are named.
const LARGEST: usize = 20;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getTokenAccountBalance", account_balance);
    methods.heavy("getTokenSupply", supply);
    methods.heavy("getTokenLargestAccounts", largest);
    methods.heavy("getTokenAccountsByOwner", |door, params| accounts(door, params, Role::Owner));
    methods
        .heavy("getTokenAccountsByDelegate", |door, params| accounts(door, params, Role::Delegate));
}

/// The token program in whose form the data of an owner's accounts are: the gateway shows assets of the
/// ledger as SPL Token shows its own.
pub(super) fn form(owner: &Pubkey) -> &Pubkey {
    if *owner == polity_svm::gateway::ID { &spl_generic_token::token::ID } else { owner }
}

/// Whether it is a token program, or has the interface of one.
pub(super) fn is_token_program(address: &Pubkey) -> bool {
    is_known_spl_token_id(form(address))
}

/// What an account of a token program holds.
pub(super) struct Held {
    pub(super) mint: Pubkey,
    pub(super) owner: Pubkey,
    pub(super) amount: u64,
    pub(super) decimals: u8,
}

/// What an account holds, if it is one of a token program with a mint.
pub(super) fn held(
    view: &dyn View,
    account: &AccountSharedData,
) -> Result<Option<Held>, ViewError> {
    let unpacked = generic_token::Account::unpack(account.data(), form(account.owner()));
    let Some(generic_token::Account { mint, owner, amount }) = unpacked else { return Ok(None) };
    let additional = additional(view, &mint, 0)?;
    Ok(additional.map(|additional| Held { mint, owner, amount, decimals: additional.decimals }))
}

/// What has to be known of a mint to show amounts of it at a time.
pub(super) fn additional(
    view: &dyn View,
    mint: &Pubkey,
    time: i64,
) -> Result<Option<SplTokenAdditionalDataV2>, ViewError> {
    if *mint == native_mint::ID {
        let decimals = NATIVE_DECIMALS;
        return Ok(Some(SplTokenAdditionalDataV2::with_decimals(decimals)));
    }
    let account = polity_svm::read_account(view, mint)?;
    Ok(account.and_then(|account| of_mint(&account, time)))
}

fn of_mint(mint: &AccountSharedData, time: i64) -> Option<SplTokenAdditionalDataV2> {
    if !is_token_program(mint.owner()) {
        return None;
    }
    let state = StateWithExtensions::<Mint>::unpack(mint.data()).ok()?;
    let interest = state.get_extension::<InterestBearingConfig>().ok();
    let scaled = state.get_extension::<ScaledUiAmountConfig>().ok();
    Some(SplTokenAdditionalDataV2 {
        decimals: state.base.decimals,
        interest_bearing_config: interest.map(|config| (*config, time)),
        scaled_ui_amount_config: scaled.map(|config| (*config, time)),
    })
}

/// An amount of a mint's tokens as clients are shown it.
fn shown(moment: &Moment, mint: &Pubkey, amount: u64) -> Result<Option<UiTokenAmount>, RpcError> {
    let additional = additional(moment.view(), mint, moment.time())?;
    Ok(additional.map(|additional| token_amount_to_ui_amount_v3(amount, &additional)))
}

fn account_balance(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    let account = polity_svm::read_account(moment.view(), &address)?
        .ok_or_else(|| invalid("could not find account"))?;
    let unpacked = generic_token::Account::unpack(account.data(), form(account.owner()))
        .ok_or_else(|| invalid("not a Token account"))?;
    let shown = shown(&moment, &unpacked.mint, unpacked.amount)?
        .ok_or_else(|| invalid("could not find mint"))?;
    moment.reply(shown)
}

fn supply(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    let account = polity_svm::read_account(moment.view(), &address)?
        .ok_or_else(|| invalid("could not find account"))?;
    let unpacked = generic_token::Mint::unpack(account.data(), form(account.owner()))
        .ok_or_else(|| invalid("not a Token mint"))?;
    let shown =
        shown(&moment, &address, unpacked.supply)?.ok_or_else(|| invalid("not a Token mint"))?;
    moment.reply(shown)
}

fn largest(door: &Solana, params: &mut Params<'_>) -> Reply {
    let mint = decode::address(params)?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    let account = polity_svm::read_account(moment.view(), &mint)?;
    let program = account.filter(|account| is_token_program(account.owner()));
    let program = *program.ok_or_else(|| invalid("not a Token mint"))?.owner();
    let mut holders = Vec::new();
    for (address, account) in door.owned(&moment, &program)? {
        let unpacked = generic_token::Account::unpack(account.data(), form(account.owner()));
        if let Some(unpacked) = unpacked.filter(|unpacked| unpacked.mint == mint) {
            holders.push((unpacked.amount, address));
        }
    }
    holders.sort_unstable_by(|one, other| other.cmp(one));
    holders.truncate(LARGEST);
    let mut balances = Vec::with_capacity(holders.len());
    for (amount, address) in holders {
        let amount = shown(&moment, &mint, amount)?.ok_or_else(|| invalid("not a Token mint"))?;
        balances.push(RpcTokenAccountBalance { address: address.to_string(), amount });
    }
    moment.reply(balances)
}

/// What somebody is to a token account.
#[derive(Clone, Copy)]
enum Role {
    Owner,
    Delegate,
}

impl Role {
    /// Whether somebody is it.
    fn is_of(self, of: &Pubkey, account: &AccountSharedData) -> bool {
        let state = StateWithExtensions::<Account>::unpack(account.data());
        state.is_ok_and(|state| match self {
            Self::Owner => state.base.owner == *of,
            Self::Delegate => Option::from(state.base.delegate) == Some(*of),
        })
    }
}

fn accounts(door: &Solana, params: &mut Params<'_>, role: Role) -> Reply {
    let of = decode::address(params)?;
    let wanted: RpcTokenAccountsFilter = params.required()?;
    let config: RpcAccountInfoConfig = params.optional()?.unwrap_or_default();
    let moment = door.moment(config.min_context_slot)?;
    let (program, mint) = match wanted {
        RpcTokenAccountsFilter::ProgramId(program) => {
            let program = decode::parse(&program)?;
            if !is_token_program(&program) {
                return Err(invalid("unrecognized Token program id"));
            }
            (program, None)
        }
        RpcTokenAccountsFilter::Mint(mint) => {
            let mint = decode::parse(&mint)?;
            let account = polity_svm::read_account(moment.view(), &mint)?;
            match account {
                Some(account) if is_token_program(account.owner()) => {
                    (*account.owner(), Some(mint))
                }
                Some(_) => return Err(invalid("not a Token mint")),
                // The mint of wrapped SOL need not be there.
                None if mint == native_mint::ID => (spl_generic_token::token::ID, Some(mint)),
                None => return Err(invalid("could not find mint")),
            }
        }
    };
    let mut accounts = door.owned(&moment, &program)?;
    accounts.retain(|(_, account)| {
        let unpacked = generic_token::Account::unpack(account.data(), form(account.owner()));
        let is_mint =
            |unpacked: generic_token::Account| mint.is_none_or(|mint| mint == unpacked.mint);
        unpacked.is_some_and(is_mint) && role.is_of(&of, account)
    });
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    moment.reply(encode::keyed(&moment, &accounts, encoding, config.data_slice)?)
}
