//! Trying out a transaction.

use polity_kernel::{Decoded, Executed};
use polity_svm::{Record, Transaction, Unsigned, Waiver};
use solana_account::AccountSharedData;
use solana_account_decoder::{UiAccount, UiAccountEncoding};
use solana_message::AccountKeys;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcSimulateTransactionAccountsConfig, RpcSimulateTransactionConfig},
    response::{RpcBlockhash, RpcSimulateTransactionResult},
};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{
    InnerInstructions, UiTransactionEncoding, parse_ui_inner_instructions,
};

use super::{
    Solana, decode, encode, error, fees,
    meta::{self, Balances},
    moment::Moment,
};
use crate::rpc::{Methods, Params, Reply, RpcError};

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("simulateTransaction", simulate);
}

/// What an answer is to have besides.
#[derive(Default)]
pub(super) struct Show<'a> {
    accounts: Option<(&'a [Pubkey], UiAccountEncoding)>,
    inner: bool,
    replacement: Option<RpcBlockhash>,
}

fn simulate(door: &Solana, params: &mut Params<'_>) -> Reply {
    let text: String = params.required()?;
    let config: RpcSimulateTransactionConfig = params.optional()?.unwrap_or_default();
    if config.sig_verify && config.replace_recent_blockhash {
        return Err(RpcError::params("sigVerify may not be used with replaceRecentBlockhash"));
    }
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
    let (raw, mut transaction) = decode::transaction(&text, encoding)?;
    let moment = door.moment(config.min_context_slot)?;
    let mut show = Show { inner: config.inner_instructions, ..Show::default() };
    if config.replace_recent_blockhash {
        let blockhash = polity_svm::blockhash(&moment.block().hash);
        transaction.message.set_recent_blockhash(blockhash);
        show.replacement = Some(fees::blockhash(&moment.block().hash, moment.slot()));
    }
    let accounts = config.accounts.map(|wanted| addresses(wanted, &transaction)).transpose()?;
    show.accounts = accounts.as_ref().map(|(keys, encoding)| (keys.as_slice(), *encoding));
    let decoded = if config.sig_verify {
        authenticate(&raw)?
    } else {
        unsigned(transaction, Waiver { age: config.replace_recent_blockhash })?
    };
    moment.reply(run(&moment, &decoded, show)?)
}

/// The accounts that are to be shown as they are afterwards.
fn addresses(
    wanted: RpcSimulateTransactionAccountsConfig,
    transaction: &VersionedTransaction,
) -> Result<(Vec<Pubkey>, UiAccountEncoding), RpcError> {
    let encoding = wanted.encoding.unwrap_or(UiAccountEncoding::Base64);
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) {
        return Err(RpcError::params("base58 encoding not supported"));
    }
    let keys = transaction.message.static_account_keys().len();
    let lookups = transaction.message.address_table_lookups().unwrap_or_default();
    let looked_up: usize = lookups
        .iter()
        .map(|table| table.writable_indexes.len().saturating_add(table.readonly_indexes.len()))
        .sum();
    let most = keys.saturating_add(looked_up);
    if wanted.addresses.len() > most {
        return Err(RpcError::params(format!("Too many accounts provided; max {most}")));
    }
    let addresses = wanted.addresses.iter().map(|text| decode::parse(text));
    Ok((addresses.collect::<Result<_, _>>()?, encoding))
}

/// A transaction whose signatures are good.
///
/// # Errors
/// They are not, or it is none.
pub(super) fn authenticate(raw: &[u8]) -> Result<Decoded, RpcError> {
    polity_svm::decode(raw).map_err(|error| match error {
        polity_kernel::DecodeError::Signature(_) => error::signature(),
        other => RpcError::params(format!("invalid transaction: {other}")),
    })
}

fn unsigned(transaction: VersionedTransaction, waiver: Waiver) -> Result<Decoded, RpcError> {
    let decoded = Unsigned::for_simulation().transaction(transaction, waiver);
    decoded.map_err(|error| RpcError::params(format!("invalid transaction: {error}")))
}

/// Tries out a transaction as the first of the next block.
///
/// # Errors
/// The state failed.
pub(super) fn run(
    moment: &Moment,
    decoded: &Decoded,
    show: Show<'_>,
) -> Result<RpcSimulateTransactionResult, RpcError> {
    let node = &moment.node;
    let draft = node.miner.draft(moment.block());
    let trial = node.chain.attempt(&draft, moment.block(), &moment.view, decoded)?;
    let mut after = trial.before;
    let (record, balances) = match &trial.executed {
        Executed::Included(output) => {
            after.apply(&output.effects).map_err(|error| RpcError::internal(&error))?;
            let record = Record::of(&output.receipt)
                .ok_or_else(|| RpcError::internal(&"the transaction left no record"))?;
            (record, Balances::stored(&trial.supplement)?)
        }
        Executed::Invalid { invalid, .. } => {
            return Ok(refused(error::refusal(invalid, decoded), show));
        }
    };
    let accounts = show.accounts.map(|(addresses, encoding)| {
        let one = |address: &Pubkey| {
            let account = match polity_svm::builtin_account(address) {
                Some(account) => Some(account),
                None => polity_svm::read_account(&after, address)?,
            };
            let encode = |account: AccountSharedData| {
                encode::account(&after, moment.time(), address, &account, encoding, None)
            };
            account.map(encode).transpose()
        };
        addresses.iter().map(one).collect::<Result<Vec<Option<UiAccount>>, RpcError>>()
    });
    let inner = show.inner.then(|| shown_inner(decoded, &record));
    let meta = meta::meta(&record, balances);
    let tokens = |all: Option<Vec<solana_transaction_status::TransactionTokenBalance>>| {
        all.map(|all| all.into_iter().map(Into::into).collect())
    };
    Ok(RpcSimulateTransactionResult {
        err: meta.status.err().map(Into::into),
        logs: meta.log_messages,
        accounts: accounts.transpose()?,
        units_consumed: meta.compute_units_consumed,
        loaded_accounts_data_size: Some(record.loaded_bytes),
        return_data: meta.return_data.map(Into::into),
        inner_instructions: inner,
        replacement_blockhash: show.replacement,
        fee: Some(record.fee),
        pre_balances: Some(meta.pre_balances),
        post_balances: Some(meta.post_balances),
        pre_token_balances: tokens(meta.pre_token_balances),
        post_token_balances: tokens(meta.post_token_balances),
        loaded_addresses: Some((&meta.loaded_addresses).into()),
    })
}

/// The instructions that programs sent to others, as far as their accounts are known.
fn shown_inner(
    decoded: &Decoded,
    record: &Record,
) -> Vec<solana_transaction_status::UiInnerInstructions> {
    let Some(transaction) = decoded.payload::<Transaction>() else { return Vec::new() };
    let loaded = meta::loaded(record);
    let keys = AccountKeys::new(transaction.static_accounts(), Some(&loaded));
    let is_sound = |all: &InnerInstructions| {
        all.instructions.iter().all(|inner| meta::fits(&inner.instruction, keys.len()))
    };
    let inner = meta::inner(record).into_iter().filter(is_sound);
    inner.map(|all| parse_ui_inner_instructions(all, &keys)).collect()
}

/// What is told of a transaction that no block takes.
fn refused(error: TransactionError, show: Show<'_>) -> RpcSimulateTransactionResult {
    RpcSimulateTransactionResult {
        err: Some(error.into()),
        logs: Some(Vec::new()),
        accounts: show.accounts.map(|(addresses, _)| vec![None; addresses.len()]),
        units_consumed: Some(0),
        loaded_accounts_data_size: Some(0),
        return_data: None,
        inner_instructions: show.inner.then(Vec::new),
        replacement_blockhash: show.replacement,
        fee: None,
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: None,
    }
}
