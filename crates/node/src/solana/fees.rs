//! Fees, and the blockhashes by which transactions are timed.

use polity_svm::{MAX_AGE, Transaction, Unsigned, Waiver};
use solana_message::VersionedMessage;
use solana_rent::Rent;
use solana_rpc_client_types::response::{RpcBlockhash, RpcPrioritizationFee};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::UiTransactionEncoding;

use super::{
    Solana, decode,
    error::invalid,
    moment::{Moment, with_slot},
};
use crate::rpc::{Methods, Params, Reply, RpcError, reply};

/// The most bytes that an account can have.
const MOST_DATA: usize = 10 << 20;
/// So many accounts can be named.
const MOST_ACCOUNTS: usize = 128;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getLatestBlockhash", |door, params| {
        let head = door.clock(params)?;
        reply(&with_slot(head.number(), blockhash(&head.hash, head.number())))
    });
    methods.quick("isBlockhashValid", is_valid);
    methods.heavy("getFeeForMessage", fee);
    methods.quick("getRecentPrioritizationFees", prioritization);
    methods.quick("getMinimumBalanceForRentExemption", |_, params| {
        let size: usize = params.required()?;
        if size > MOST_DATA {
            return Err(invalid(format!("no account has more than {MOST_DATA} bytes")));
        }
        reply(&Rent::default().minimum_balance(size))
    });
    methods.quick("getStakeMinimumDelegation", |door, params| {
        let head = door.head(params)?;
        reply(&with_slot(head.number(), 1))
    });
}

/// A block's hash, with the height up to which a transaction may name it.
pub(super) fn blockhash(hash: &polity_types::B256, number: u64) -> RpcBlockhash {
    RpcBlockhash {
        blockhash: polity_svm::blockhash(hash).to_string(),
        last_valid_block_height: number.saturating_add(MAX_AGE as u64),
    }
}

/// Whether a transaction in the next block may name a block's hash.
fn is_recent(moment: &Moment, hash: &solana_hash::Hash) -> Result<bool, RpcError> {
    let hash = polity_types::B256::new(hash.to_bytes());
    let block = moment.node.chain.block_by_hash(&hash)?;
    let age = block.map(|block| moment.slot().saturating_sub(block.number()));
    Ok(age.is_some_and(|age| age < MAX_AGE as u64))
}

fn is_valid(door: &Solana, params: &mut Params<'_>) -> Reply {
    let text: String = params.required()?;
    let hash = text.parse().map_err(|error| invalid(format!("{error:?}")))?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    moment.reply(is_recent(&moment, &hash)?)
}

fn fee(door: &Solana, params: &mut Params<'_>) -> Reply {
    const WHAT: &str = "solana_message::versions::VersionedMessage";
    let text: String = params.required()?;
    let bytes = decode::bytes(&text, UiTransactionEncoding::Base64, WHAT)?;
    let message: VersionedMessage = wincode::deserialize_exact(&bytes)
        .map_err(|error| RpcError::params(format!("failed to deserialize {WHAT}: {error}")))?;
    let moment = door.moment(decode::wish(params)?.min_context_slot)?;
    let is_recent = is_recent(&moment, message.recent_blockhash())?;
    let signers = usize::from(message.header().num_required_signatures);
    let transaction =
        VersionedTransaction { signatures: vec![Signature::default(); signers], message };
    let decoded = Unsigned::for_simulation()
        .transaction(transaction, Waiver::default())
        .map_err(|error| RpcError::params(format!("invalid transaction message: {error}")))?;
    let fee = decoded.payload::<Transaction>().and_then(|payload| payload.fee().ok());
    moment.reply(fee.filter(|_| is_recent))
}

/// Every block has room: nobody has to pay for it.
fn prioritization(door: &Solana, params: &mut Params<'_>) -> Reply {
    let accounts: Vec<String> = params.optional()?.unwrap_or_default();
    if accounts.len() > MOST_ACCOUNTS {
        return Err(RpcError::params(format!("Too many inputs provided; max {MOST_ACCOUNTS}")));
    }
    accounts.iter().try_for_each(|text| decode::parse(text).map(drop))?;
    let chain = &door.node().chain;
    let head = chain.head().number();
    let first = head.saturating_sub(MAX_AGE as u64 - 1).max(chain.first());
    let fee = |slot| RpcPrioritizationFee { slot, prioritization_fee: 0 };
    reply(&(first..=head).map(fee).collect::<Vec<_>>())
}
