//! Blockchain tests.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes};
use serde::Deserialize;
use serde_json::Value;

use super::{Accounts, Config, Quantity, Uint};

/// A genesis and the blocks that are offered to the chain, in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChainTest {
    pub(crate) network: String,
    pub(crate) genesis_block_header: Option<GenesisHeader>,
    #[serde(rename = "genesisRLP")]
    pub(crate) genesis_rlp: Option<Bytes>,
    pub(crate) pre: Accounts,
    pub(crate) blocks: Vec<BlockEntry>,
    #[serde(rename = "lastblockhash")]
    pub(crate) last_block_hash: B256,
    pub(crate) post_state: Option<Accounts>,
    pub(crate) post_state_hash: Option<B256>,
    #[serde(default)]
    pub(crate) config: Config,
}

/// A block that is offered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockEntry {
    pub(crate) rlp: Bytes,
    /// Absent where the block is invalid.
    block_header: Option<HeaderHash>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct HeaderHash {
    hash: Option<B256>,
}

impl BlockEntry {
    /// The hash that the block has by the test.
    pub(crate) fn hash(&self) -> Option<B256> {
        self.block_header.and_then(|header| header.hash)
    }

    /// Why the block is invalid, by the test: `None` for a valid one, an empty
    /// text where the test does not say why.
    ///
    /// The oldest fillers put a network's name, or `ALL`, behind
    /// `expectException`.
    pub(crate) fn exception(&self, network: &str) -> Option<&str> {
        let named = ["", network, "ALL"]
            .into_iter()
            .find_map(|suffix| self.other.get(&format!("expectException{suffix}"))?.as_str());
        named.or_else(|| self.block_header.is_none().then_some(""))
    }
}

/// The genesis block's header.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GenesisHeader {
    parent_hash: B256,
    uncle_hash: B256,
    coinbase: Address,
    pub(crate) state_root: B256,
    transactions_trie: B256,
    receipt_trie: B256,
    bloom: Bloom,
    difficulty: Uint,
    number: Quantity,
    gas_limit: Quantity,
    gas_used: Quantity,
    timestamp: Quantity,
    extra_data: Bytes,
    #[serde(default)]
    mix_hash: B256,
    #[serde(default)]
    nonce: B64,
    base_fee_per_gas: Option<Quantity>,
    withdrawals_root: Option<B256>,
    blob_gas_used: Option<Quantity>,
    excess_blob_gas: Option<Quantity>,
    parent_beacon_block_root: Option<B256>,
    requests_hash: Option<B256>,
    pub(crate) hash: Option<B256>,
}

impl From<&GenesisHeader> for Header {
    fn from(header: &GenesisHeader) -> Self {
        let number = |quantity: Option<Quantity>| quantity.map(|quantity| quantity.0);
        Self {
            parent_hash: header.parent_hash,
            ommers_hash: header.uncle_hash,
            beneficiary: header.coinbase,
            state_root: header.state_root,
            transactions_root: header.transactions_trie,
            receipts_root: header.receipt_trie,
            logs_bloom: header.bloom,
            difficulty: header.difficulty.0,
            number: header.number.0,
            gas_limit: header.gas_limit.0,
            gas_used: header.gas_used.0,
            timestamp: header.timestamp.0,
            extra_data: header.extra_data.clone(),
            mix_hash: header.mix_hash,
            nonce: header.nonce,
            base_fee_per_gas: number(header.base_fee_per_gas),
            withdrawals_root: header.withdrawals_root,
            blob_gas_used: number(header.blob_gas_used),
            excess_blob_gas: number(header.excess_blob_gas),
            parent_beacon_block_root: header.parent_beacon_block_root,
            requests_hash: header.requests_hash,
            ..Self::default()
        }
    }
}
