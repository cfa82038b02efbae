//! Blocks and their receipts.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Header, Index};

use super::{Ethereum, convert};
use crate::{
    chain::Block,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_blockNumber", |door, _| reply(&U64::from(door.node.chain.head().number())));
    methods.quick("eth_getBlockByNumber", by_number);
    methods.quick("eth_getBlockByHash", by_hash);
    methods.quick("eth_getHeaderByNumber", |door, params| header(door, &number(door, params)?));
    methods.quick("eth_getHeaderByHash", |door, params| header(door, &hash(door, params)?));
    methods.quick("eth_getBlockTransactionCountByNumber", |door, params| {
        count(&number(door, params)?)
    });
    methods.quick("eth_getBlockTransactionCountByHash", |door, params| count(&hash(door, params)?));
    methods.quick("eth_getBlockReceipts", receipts);
    methods.quick("eth_getUncleCountByBlockNumber", |door, params| {
        reply(&number(door, params)?.map(|_| U64::ZERO))
    });
    methods.quick("eth_getUncleCountByBlockHash", |door, params| {
        reply(&hash(door, params)?.map(|_| U64::ZERO))
    });
    // There are none since the merge.
    methods.quick("eth_getUncleByBlockNumberAndIndex", |door, params| {
        number(door, params)?;
        params.required::<Index>()?;
        reply(&None::<Header>)
    });
    methods.quick("eth_getUncleByBlockHashAndIndex", |door, params| {
        hash(door, params)?;
        params.required::<Index>()?;
        reply(&None::<Header>)
    });
    methods.quick("debug_getRawHeader", |door, params| {
        raw(door, params, |block| alloy_rlp::encode(&block.header).into())
    });
    methods.quick("debug_getRawBlock", |door, params| raw(door, params, raw_block));
    methods.quick("debug_getRawReceipts", raw_receipts);
}

type Found = Option<Arc<Block>>;

/// The block that the next parameter gives by number or tag.
pub(super) fn number(door: &Ethereum, params: &mut Params<'_>) -> Result<Found, RpcError> {
    door.find(BlockId::Number(params.required::<BlockNumberOrTag>()?))
}

/// The block that the next parameter gives by hash.
pub(super) fn hash(door: &Ethereum, params: &mut Params<'_>) -> Result<Found, RpcError> {
    door.find(BlockId::from(params.required::<B256>()?))
}

fn by_number(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let block = number(door, params)?;
    shown(params, block)
}

fn by_hash(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let block = hash(door, params)?;
    shown(params, block)
}

fn shown(params: &mut Params<'_>, block: Found) -> Reply {
    let full = params.optional()?.unwrap_or(false);
    let Some(block) = block else { return reply(&None::<Header>) };
    let mut shown = serde_json::to_value(convert::block(&block, full))
        .map_err(|error| RpcError::new(RpcError::INTERNAL, error.to_string()))?;
    // A block that is not made yet has neither.
    if block.hash == B256::ZERO
        && let Some(fields) = shown.as_object_mut()
    {
        for field in ["hash", "nonce", "miner"] {
            fields.insert(field.into(), serde_json::Value::Null);
        }
    }
    reply(&shown)
}

fn header(_: &Ethereum, block: &Found) -> Reply {
    reply(&block.as_deref().map(convert::header))
}

fn count(block: &Found) -> Reply {
    reply(&block.as_ref().map(|block| U64::from(block.transactions.len())))
}

fn receipts(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let block = door.find(params.required()?)?;
    reply(&block.map(|block| convert::receipts(door.node.chain.spec(), &block)))
}

fn raw(door: &Ethereum, params: &mut Params<'_>, encode: impl FnOnce(&Block) -> Bytes) -> Reply {
    let id = params.required()?;
    let block = door.find(id)?.ok_or_else(|| super::resolve::no_block(id))?;
    reply(&encode(&block))
}

fn raw_block(block: &Block) -> Bytes {
    let transactions = block.transactions.iter();
    let body = alloy_consensus::BlockBody {
        transactions: transactions.map(|included| included.transaction.envelope.clone()).collect(),
        ommers: Vec::<alloy_consensus::Header>::new(),
        withdrawals: block.header.withdrawals_root.map(|_| block.withdrawals.clone().into()),
    };
    let mut raw = Vec::new();
    alloy_consensus::Block::new(block.header.clone(), body).encode(&mut raw);
    raw.into()
}

fn raw_receipts(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    use alloy_eips::eip2718::Encodable2718;
    let id = params.required()?;
    let block = door.find(id)?.ok_or_else(|| super::resolve::no_block(id))?;
    let parts = block.transactions.iter().map(crate::chain::Included::parts);
    let receipts = polity_evm::receipt::receipts(parts).map_err(crate::chain::ChainError::from)?;
    let raw = receipts.iter().map(|receipt| Bytes::from(receipt.encoded_2718()));
    reply(&raw.collect::<Vec<_>>())
}
