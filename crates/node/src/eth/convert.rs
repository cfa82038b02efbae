//! Blocks, transactions, receipts and logs in the words of Ethereum's JSON-RPC.

use alloy_consensus::{Receipt, ReceiptEnvelope, TxType, transaction::Recovered};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{B256, U256};
use alloy_rlp::{Encodable, length_of_length};
use alloy_rpc_types_eth::{BlockTransactions, Header, Log, TransactionReceipt};
use polity_evm::{address, spec::ChainSpec};

use crate::chain::{Block, Envelope, Included, Transaction};

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
        let hash = |included: &Included| included.transaction.hash();
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
        // The most that it may cost, as geth says.
        effective_gas_price: Some(alloy_consensus::Transaction::max_fee_per_gas(&tx.envelope)),
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
        let first = logs.len() as u64;
        logs.extend(logs_of(block, index, included, first));
    }
    logs
}

/// The logs of a transaction, the first of which has the index `first` in the block.
fn logs_of(
    block: &Block,
    index: u64,
    included: &Included,
    first: u64,
) -> impl Iterator<Item = Log> {
    (first..).zip(included.logs()).map(move |(log_index, log)| Log {
        inner: log,
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(included.transaction.hash()),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    })
}

/// All receipts of a block.
pub(super) fn receipts(spec: &ChainSpec, block: &Block) -> Vec<RpcReceipt> {
    let blob_price = blob_price(spec, block);
    let mut before = Before::default();
    let mut receipts = Vec::with_capacity(block.transactions.len());
    for (index, included) in (0_u64..).zip(&block.transactions) {
        receipts.push(receipt_of(block, index, included, &before, blob_price));
        before.pass(included);
    }
    receipts
}

/// The receipt of one transaction of a block.
pub(super) fn receipt(spec: &ChainSpec, block: &Block, index: usize) -> Option<RpcReceipt> {
    let included = block.transactions.get(index)?;
    let mut before = Before::default();
    block.transactions.iter().take(index).for_each(|earlier| before.pass(earlier));
    Some(receipt_of(block, index as u64, included, &before, blob_price(spec, block)))
}

/// What a receipt says of the block's transactions before its own.
#[derive(Default)]
struct Before {
    gas: u64,
    logs: u64,
}

impl Before {
    fn pass(&mut self, included: &Included) {
        self.gas = self.gas.saturating_add(included.receipt.gas_used);
        self.logs = self.logs.saturating_add(included.log_count() as u64);
    }
}

fn receipt_of(
    block: &Block,
    index: u64,
    included: &Included,
    before: &Before,
    blob_price: Option<u128>,
) -> RpcReceipt {
    let tx = &included.transaction;
    let (inner, receipt) = (&tx.envelope, &included.receipt);
    let plain = Receipt {
        status: receipt.status.is_success().into(),
        cumulative_gas_used: before.gas.saturating_add(receipt.gas_used),
        logs: included.logs(),
    };
    let kind = TxType::try_from(tx.kind()).unwrap_or_default();
    let mut shown = logs_of(block, index, included, before.logs);
    let envelope =
        ReceiptEnvelope::from_typed(kind, plain).map_logs(|_| shown.next().unwrap_or_default());
    let blobs = alloy_consensus::Transaction::blob_count(inner);
    RpcReceipt {
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
        to: alloy_consensus::Transaction::to(inner),
        contract_address: receipt.created.as_ref().map(address),
    }
}

/// What a unit of blob gas costs in a block, in wei; `None` before Cancun.
pub(super) fn blob_price(spec: &ChainSpec, block: &Block) -> Option<u128> {
    let params = spec.blob_params_at(block.number(), block.header.timestamp)?;
    block.header.excess_blob_gas.map(|excess| params.calc_blob_fee(excess))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::included;

    #[test]
    fn a_receipt_is_the_one_among_all() {
        let mut block = Block::empty(alloy_consensus::Header::default(), B256::ZERO);
        block.transactions = (0..20).map(included).collect();
        let spec = ChainSpec::mainnet();
        let all = receipts(&spec, &block);
        let logs: Vec<Log> = all.iter().flat_map(|receipt| receipt.logs().to_vec()).collect();
        assert_eq!(logs, self::logs(&block));
        assert!(logs.iter().map(|log| log.log_index).eq((0..logs.len() as u64).map(Some)));
        for (index, expected) in all.iter().enumerate() {
            assert_eq!(receipt(&spec, &block, index).as_ref(), Some(expected));
        }
        assert_eq!(receipt(&spec, &block, all.len()), None);
    }
}
