//! Blocks: to Solana, each height has one.

use serde_json::json;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{
    RpcBlockConfig, RpcBlockProductionConfig, RpcBlocksConfigWrapper, RpcEncodingConfigWrapper,
};
use solana_transaction_status::{
    BlockEncodingOptions, ConfirmedBlock, TransactionDetails, TransactionWithStatusMeta,
    UiConfirmedBlock, UiTransactionEncoding,
};
use std::sync::Arc;

use super::{Solana, cluster, decode, error, meta, moment::with_slot};
use crate::{
    chain::{Block, Chain, IncludedGuest},
    rpc::{Methods, Params, Reply, RpcError, reply},
};
use polity_svm::KIND;

/// So many blocks can be asked for at once.
const MOST: u64 = 500_000;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.heavy("getBlock", block);
    methods.quick("getBlocks", blocks);
    methods.quick("getBlocksWithLimit", blocks_with_limit);
    methods.heavy("getBlockTime", time);
    methods.quick("getBlockCommitment", |_, params| {
        let _: u64 = params.required()?;
        // There is no stake that could stand behind a block.
        reply(&json!({ "commitment": null, "totalStake": 0 }))
    });
    methods.quick("getBlockProduction", production);
    methods.quick("getFirstAvailableBlock", |door, _| reply(&door.node().chain.first()));
    methods.alias("minimumLedgerSlot", "getFirstAvailableBlock");
    methods.heavy("getBlockHeight", |door, params| reply(&door.clock(params)?.number()));
    methods.alias("getSlot", "getBlockHeight");
    methods.quick("getMaxRetransmitSlot", |door, _| reply(&door.node().chain.head().number()));
    methods.alias("getMaxShredInsertSlot", "getMaxRetransmitSlot");
}

/// The block in a slot.
///
/// # Errors
/// There is none, not any more or not yet.
pub(super) fn find(chain: &Chain, slot: u64) -> Result<Arc<Block>, RpcError> {
    let first = chain.first();
    if slot < first {
        return Err(error::cleaned_up(slot, first));
    }
    chain.block(slot)?.ok_or_else(|| error::no_block(slot))
}

/// What of a block is shown, and how.
#[derive(Clone, Copy)]
pub(super) struct Show {
    encoding: UiTransactionEncoding,
    details: TransactionDetails,
    rewards: bool,
    version: Option<u8>,
}

impl Show {
    /// What a client asks for, and this encoding where it does not say.
    pub(super) fn new(config: &RpcBlockConfig, encoding: UiTransactionEncoding) -> Self {
        Self {
            encoding: config.encoding.unwrap_or(encoding),
            details: config.transaction_details.unwrap_or_default(),
            rewards: config.rewards.unwrap_or(true),
            version: config.max_supported_transaction_version,
        }
    }

    /// Those of a block's transactions that are wanted.
    ///
    /// # Errors
    /// A transaction is of a version that the client does not know.
    pub(super) fn block(
        self,
        block: &Block,
        is_wanted: impl Fn(&IncludedGuest) -> bool,
    ) -> Result<UiConfirmedBlock, RpcError> {
        let wanted = block.of(KIND).filter(|included| is_wanted(included));
        let complete = wanted
            .map(|included| meta::complete(included).map(TransactionWithStatusMeta::Complete));
        let number = block.number();
        let block = ConfirmedBlock {
            previous_blockhash: polity_svm::blockhash(&block.header.parent_hash).to_string(),
            blockhash: polity_svm::blockhash(&block.hash).to_string(),
            parent_slot: number.saturating_sub(1),
            transactions: match self.details {
                TransactionDetails::None => Vec::new(),
                _ => complete.collect::<Result<_, _>>()?,
            },
            rewards: Vec::new(),
            num_partitions: None,
            block_time: Some(i64::try_from(block.header.timestamp).unwrap_or(i64::MAX)),
            block_height: Some(number),
        };
        let options = BlockEncodingOptions {
            transaction_details: self.details,
            show_rewards: self.rewards,
            max_supported_transaction_version: self.version,
        };
        Ok(block.encode_with_options(self.encoding, options)?)
    }
}

fn block(door: &Solana, params: &mut Params<'_>) -> Reply {
    let slot: u64 = params.required()?;
    let config: Option<RpcEncodingConfigWrapper<RpcBlockConfig>> = params.optional()?;
    let config = config.map(|config| config.convert_to_current()).unwrap_or_default();
    let block = find(&door.node().chain, slot)?;
    reply(&Show::new(&config, UiTransactionEncoding::Json).block(&block, |_| true)?)
}

fn blocks(door: &Solana, params: &mut Params<'_>) -> Reply {
    let first: u64 = params.required()?;
    let wrapper: Option<RpcBlocksConfigWrapper> = params.optional()?;
    let last = wrapper.and_then(|wrapper| wrapper.unzip().0);
    let chain = &door.node().chain;
    let head = chain.head().number();
    let last = last.unwrap_or_else(|| first.saturating_add(MOST)).min(head);
    if last.saturating_sub(first) > MOST {
        return Err(RpcError::params(format!("Slot range too large; max {MOST}")));
    }
    reply(&(first.max(chain.first())..=last).collect::<Vec<u64>>())
}

fn blocks_with_limit(door: &Solana, params: &mut Params<'_>) -> Reply {
    let first: u64 = params.required()?;
    let limit: u64 = params.required()?;
    if limit > MOST {
        return Err(RpcError::params(format!("Limit too large; max {MOST}")));
    }
    let chain = &door.node().chain;
    let first = first.max(chain.first());
    let end = first.saturating_add(limit).min(chain.head().number().saturating_add(1));
    reply(&(first..end).collect::<Vec<u64>>())
}

fn time(door: &Solana, params: &mut Params<'_>) -> Reply {
    let block = find(&door.node().chain, params.required()?)?;
    reply(&block.header.timestamp)
}

fn production(door: &Solana, params: &mut Params<'_>) -> Reply {
    let config: RpcBlockProductionConfig = params.optional()?.unwrap_or_default();
    let head = door.node().chain.head().number();
    let epoch = cluster::schedule().get_first_slot_in_epoch(cluster::schedule().get_epoch(head));
    let (first, last) = config
        .range
        .map_or((epoch, head), |range| (range.first_slot, range.last_slot.unwrap_or(head)));
    if last < first || last > head {
        return Err(RpcError::params(format!(
            "lastSlot {last} must be between firstSlot {first} and the last block, {head}"
        )));
    }
    let identity = config.identity.as_deref().map(decode::parse).transpose()?;
    let is_wanted = identity.is_none_or(|identity: Pubkey| identity == cluster::identity());
    let count = last.saturating_sub(first).saturating_add(1);
    let mut by_identity = serde_json::Map::new();
    if is_wanted {
        by_identity.insert(cluster::identity().to_string(), json!([count, count]));
    }
    let range = json!({ "firstSlot": first, "lastSlot": last });
    reply(&with_slot(head, json!({ "byIdentity": by_identity, "range": range })))
}
