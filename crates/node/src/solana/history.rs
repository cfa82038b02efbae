//! Transactions in blocks.

use std::{ops::Bound, sync::Arc};

use polity_svm::{KIND, Record, Transaction};
use solana_rpc_client_types::{
    config::{
        RpcEncodingConfigWrapper, RpcSignatureStatusConfig, RpcSignaturesForAddressConfig,
        RpcTransactionConfig,
    },
    response::RpcConfirmedTransactionStatusWithSignature,
};
use solana_signature::Signature;
use solana_transaction_status::{
    ConfirmedTransactionWithStatusMeta, TransactionConfirmationStatus, TransactionStatus,
    TransactionWithStatusMeta, UiTransactionEncoding, extract_and_fmt_memos,
};

use super::{Solana, decode, error, meta};
use crate::{
    chain::{Block, Chain, IncludedGuest, Place},
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// So many statuses can be asked for at once.
const MOST_STATUSES: usize = 256;
/// So many transactions of an account.
const MOST_SIGNATURES: usize = 1000;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getTransaction", transaction);
    methods.heavy("getSignatureStatuses", statuses);
    methods.heavy("getSignaturesForAddress", of_address);
    methods.quick("getTransactionCount", |door, params| {
        door.head(params)?;
        reply(&door.node().chain.store().guest_count()?)
    });
}

/// A transaction in a block.
pub(super) struct Found {
    pub(super) block: Arc<Block>,
    index: u32,
}

impl Found {
    /// The transaction.
    pub(super) fn included(&self) -> Option<&IncludedGuest> {
        self.block.guest(self.index)
    }

    /// Its place among those of all machines.
    fn place(&self) -> Place {
        (self.block.number(), self.index)
    }

    /// Its index among Solana's.
    fn index(&self) -> u32 {
        let before = self.block.of(KIND).take_while(|included| included.index < self.index);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}

/// The transaction with this signature, if a block has it.
///
/// # Errors
/// The store failed.
pub(super) fn find(chain: &Chain, signature: &Signature) -> Result<Option<Found>, RpcError> {
    let hash = polity_svm::transaction_hash(signature);
    let found = chain.guest_transaction(KIND, &hash)?;
    Ok(found.map(|(block, index)| Found { block, index }))
}

/// The signature by which a transaction is known.
pub(super) fn signature(included: &IncludedGuest) -> Signature {
    let transaction = included.transaction.decoded.payload::<Transaction>();
    transaction.map(Transaction::signature).unwrap_or_default()
}

fn transaction(door: &Solana, params: &mut Params<'_>) -> Reply {
    let signature = decode::signature(&params.required::<String>()?)?;
    let config: Option<RpcEncodingConfigWrapper<RpcTransactionConfig>> = params.optional()?;
    let config = config.map(|config| config.convert_to_current()).unwrap_or_default();
    let Some(found) = find(&door.node().chain, &signature)? else { return reply(&()) };
    let Some(included) = found.included() else { return reply(&()) };
    let complete = ConfirmedTransactionWithStatusMeta {
        slot: found.block.number(),
        tx_with_meta: TransactionWithStatusMeta::Complete(meta::complete(included)?),
        block_time: Some(i64::try_from(found.block.header.timestamp).unwrap_or(i64::MAX)),
        index: found.index(),
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    reply(&complete.encode(encoding, config.max_supported_transaction_version)?)
}

fn statuses(door: &Solana, params: &mut Params<'_>) -> Reply {
    let signatures: Vec<String> = params.required()?;
    // Whether or not the history is to be searched, it is.
    let _: Option<RpcSignatureStatusConfig> = params.optional()?;
    if signatures.len() > MOST_STATUSES {
        let text = format!("Too many inputs provided; max {MOST_STATUSES}");
        return Err(RpcError::params(text));
    }
    let moment = door.moment(None)?;
    let mut statuses = Vec::with_capacity(signatures.len());
    for text in &signatures {
        let found = find(&moment.node.chain, &decode::signature(text)?)?;
        statuses.push(found.as_ref().and_then(|found| {
            let record = Record::of(&found.included()?.receipt)?;
            let status = meta::status(&record);
            Some(TransactionStatus {
                slot: found.block.number(),
                confirmations: None,
                err: status.clone().err(),
                status,
                confirmation_status: Some(TransactionConfirmationStatus::Finalized),
            })
        }));
    }
    moment.reply(statuses)
}

fn of_address(door: &Solana, params: &mut Params<'_>) -> Reply {
    let address = decode::address(params)?;
    let config: RpcSignaturesForAddressConfig = params.optional()?.unwrap_or_default();
    let limit = config.limit.unwrap_or(MOST_SIGNATURES);
    if limit == 0 || limit > MOST_SIGNATURES {
        return Err(RpcError::params(format!("Invalid limit; max {MOST_SIGNATURES}")));
    }
    let chain = &door.node().chain;
    let head = chain.head().number();
    if config.min_context_slot.is_some_and(|least| head < least) {
        return Err(error::too_early(head));
    }
    let place = |text: Option<&String>| {
        let Some(text) = text else { return Ok(None) };
        let signature = decode::signature(text)?;
        let found = find(chain, &signature)?;
        Ok::<_, RpcError>(Some(found.map(|found| found.place())))
    };
    let last = match place(config.before.as_ref())? {
        None => Bound::Unbounded,
        Some(Some(before)) => Bound::Excluded(before),
        // Nothing is known to be before what is not known.
        Some(None) => return reply(&[(); 0]),
    };
    let first = place(config.until.as_ref())?.flatten().map_or(Bound::Unbounded, Bound::Excluded);
    if let (Bound::Excluded(first), Bound::Excluded(last)) = (first, last)
        && first >= last
    {
        return reply(&[(); 0]);
    }
    let account = polity_svm::account(&address);
    let places = chain
        .store()
        .guest_places_of(&account, (first, last), limit)
        .map_err(|error| RpcError::internal(&error))?;
    let mut all = Vec::with_capacity(places.len());
    for (number, index) in places {
        let Some(block) = chain.block(number)? else { continue };
        let found = Found { block, index };
        all.extend(found.included().map(|included| listed(&found, included)).transpose()?);
    }
    reply(&all)
}

fn listed(
    found: &Found,
    included: &IncludedGuest,
) -> Result<RpcConfirmedTransactionStatusWithSignature, RpcError> {
    let complete = meta::complete(included)?;
    Ok(RpcConfirmedTransactionStatusWithSignature {
        signature: signature(included).to_string(),
        slot: found.block.number(),
        err: complete.meta.status.clone().err().map(Into::into),
        memo: extract_and_fmt_memos(&complete),
        block_time: Some(i64::try_from(found.block.header.timestamp).unwrap_or(i64::MAX)),
        confirmation_status: Some(TransactionConfirmationStatus::Finalized),
        transaction_index: Some(found.index()),
    })
}
