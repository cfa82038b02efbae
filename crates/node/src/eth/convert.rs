//! Blocks, transactions, receipts and logs in the words of Ethereum's JSON-RPC.

use alloy_consensus::{Receipt, ReceiptEnvelope, TxType, transaction::Recovered};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{B256, U256};
use alloy_rlp::{Encodable, length_of_length};
use alloy_rpc_types_eth::{BlockTransactions, Header, Log, TransactionReceipt};
use polity_evm::{address, spec::ChainSpec};

use crate::chain::{Block, Envelope, Transaction};

/// A transaction as it is shown.
pub(super) type RpcTransaction = alloy_rpc_types_eth::Transaction<Envelope>;
/// A block as it is shown.
pub(super) type RpcBlock = alloy_rpc_types_eth::Block<RpcTransaction, Header>;
/// A receipt as it is shown.
pub(super) type RpcReceipt = TransactionReceipt<ReceiptEnvelope<Log>>;

/// A block, with its transactions in full or with their hashes. `hash` is
/// `None` for a block that is not made yet.
pub(super) fn block(block: &Block, full: bool) -> RpcBlock {
    let transactions = if full {
        let all = 0..block.transactions.len();
        BlockTransactions::Full(all.filter_map(|index| transaction_in(block, index)).collect())
    } else {
        let hash = |included: &crate::chain::Included| included.transaction.hash();
        BlockTransactions::Hashes(block.transactions.iter().map(hash).collect())
    };
    let withdrawals = block.header.withdrawals_root.map(|_| block.withdrawals.clone().into());
    RpcBlock { header: header(block), uncles: Vec::new(), transactions, withdrawals }
}

/// The header of a block.
pub(super) fn header(block: &Block) -> Header {
    Header {
        hash: block.hash,
        inner: block.header.clone(),
        total_difficulty: None,
        size: Some(U256::from(size(block))),
    }
}

/// The length of the block's RLP, in bytes.
fn size(block: &Block) -> usize {
    let list = |payload: usize| payload.saturating_add(length_of_length(payload));
    let transactions =
        block.transactions.iter().map(|included| included.transaction.envelope.length()).sum();
    let withdrawals = block.header.withdrawals_root.map_or(0, |_| block.withdrawals.length());
    let ommers = list(0);
    let parts = [block.header.length(), list(transactions), ommers, withdrawals];
    list(parts.into_iter().fold(0, usize::saturating_add))
}

/// A transaction of a block, by its index.
pub(super) fn transaction_in(block: &Block, index: usize) -> Option<RpcTransaction> {
    let included = block.transactions.get(index)?;
    let tx = &included.transaction;
    // A block that is not made yet has no hash.
    let hash = (block.hash != B256::ZERO).then_some(block.hash);
    Some(RpcTransaction {
        inner: recovered(tx),
        block_hash: hash,
        block_number: Some(block.number()),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(tx.price(block.base_fee())),
        block_timestamp: Some(block.header.timestamp),
    })
}

/// A transaction that waits for a block.
pub(super) fn pending(tx: &Transaction) -> RpcTransaction {
    RpcTransaction {
        inner: recovered(tx),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: None,
        block_timestamp: None,
    }
}

fn recovered(tx: &Transaction) -> Recovered<Envelope> {
    Recovered::new_unchecked(tx.envelope.clone(), tx.sender())
}

/// All logs of a block.
pub(super) fn logs(block: &Block) -> Vec<Log> {
    let mut logs = Vec::new();
    for (index, included) in (0_u64..).zip(&block.transactions) {
        for log in included.logs() {
            logs.push(Log {
                inner: log,
                block_hash: Some(block.hash),
                block_number: Some(block.number()),
                block_timestamp: Some(block.header.timestamp),
                transaction_hash: Some(included.transaction.hash()),
                transaction_index: Some(index),
                log_index: Some(logs.len() as u64),
                removed: false,
            });
        }
    }
    logs
}

/// All receipts of a block.
pub(super) fn receipts(spec: &ChainSpec, block: &Block) -> Vec<RpcReceipt> {
    let mut logs = logs(block).into_iter().peekable();
    let mut cumulative_gas_used = 0_u64;
    let blob_price = blob_price(spec, block);
    let mut receipts = Vec::with_capacity(block.transactions.len());
    for (index, included) in (0_u64..).zip(&block.transactions) {
        let tx = &included.transaction;
        let of_this =
            std::iter::from_fn(|| logs.next_if(|log| log.transaction_index == Some(index)));
        let of_this: Vec<Log> = of_this.collect();
        let (inner, receipt) = (tx.envelope.clone(), &included.receipt);
        cumulative_gas_used = cumulative_gas_used.saturating_add(receipt.gas_used);
        let plain = Receipt {
            status: receipt.status.is_success().into(),
            cumulative_gas_used,
            logs: of_this.iter().map(|log| log.inner.clone()).collect(),
        };
        let kind = TxType::try_from(tx.kind()).unwrap_or_default();
        let mut shown = of_this.into_iter();
        let envelope =
            ReceiptEnvelope::from_typed(kind, plain).map_logs(|_| shown.next().unwrap_or_default());
        let blobs = alloy_consensus::Transaction::blob_count(&inner);
        receipts.push(RpcReceipt {
            inner: envelope,
            transaction_hash: tx.hash(),
            transaction_index: Some(index),
            block_hash: Some(block.hash),
            block_number: Some(block.number()),
            gas_used: receipt.gas_used,
            effective_gas_price: tx.price(block.base_fee()),
            blob_gas_used: blobs.map(|blobs| blobs.saturating_mul(DATA_GAS_PER_BLOB)),
            blob_gas_price: blobs.and(blob_price),
            from: tx.sender(),
            to: alloy_consensus::Transaction::to(&inner),
            contract_address: receipt.created.as_ref().map(address),
        });
    }
    receipts
}

/// What a unit of blob gas costs in a block, in wei; `None` before Cancun.
pub(super) fn blob_price(spec: &ChainSpec, block: &Block) -> Option<u128> {
    let params = spec.blob_params_at(block.number(), block.header.timestamp)?;
    block.header.excess_blob_gas.map(|excess| params.calc_blob_fee(excess))
}
