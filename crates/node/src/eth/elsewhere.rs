//! What a fork does not answer itself: requests about blocks, transactions and states from before
//! the chains part go to the other chain, and its answers are given as they are.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U64};
use alloy_rpc_types_eth::{Filter, Log};
use polity_evm::account;
use polity_kernel::View;
use polity_remote::RemoteError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};

use super::Ethereum;
use crate::{
    fork::Remote,
    rpc::{Elsewhere, Reply, RpcError},
};

/// How a fork's front door asks the other chain.
pub(super) const ELSEWHERE: Elsewhere<Ethereum> =
    Elsewhere { is_on: |door| door.node.chain.remote().is_some(), answer };

/// What says whether a request is about the time before.
#[derive(Clone, Copy)]
enum About {
    /// A block, named by the parameter with this index. The last block that both chains have is
    /// the other's to show: only that knows its transactions.
    Block(usize),
    /// The state after a block. That after the last block which both have is this chain's: who
    /// has keys here has funds in it.
    State(usize),
    /// As [`About::State`], with the block in a field of the parameter.
    Context(usize),
    /// As [`About::State`]; and there is none of this chain's states, of which only a part is
    /// here.
    Proof(Option<usize>),
    /// A transaction, named by its hash.
    Transaction,
    /// A transaction, named by sender and nonce.
    Nonce,
    /// A range of blocks, with its ends in fields of the parameter.
    Range,
}

fn about(method: &str) -> Option<About> {
    Some(match method {
        "eth_getBlockByNumber"
        | "eth_getBlockByHash"
        | "eth_getHeaderByNumber"
        | "eth_getHeaderByHash"
        | "eth_getBlockTransactionCountByNumber"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getBlockReceipts"
        | "eth_getUncleCountByBlockNumber"
        | "eth_getUncleCountByBlockHash"
        | "eth_getUncleByBlockNumberAndIndex"
        | "eth_getUncleByBlockHashAndIndex"
        | "eth_getTransactionByBlockHashAndIndex"
        | "eth_getTransactionByBlockNumberAndIndex"
        | "eth_getRawTransactionByBlockHashAndIndex"
        | "eth_getRawTransactionByBlockNumberAndIndex"
        | "debug_getRawHeader"
        | "debug_getRawBlock"
        | "debug_getRawReceipts"
        | "debug_getRawTransactions"
        | "debug_traceBlockByNumber"
        | "debug_traceBlockByHash"
        | "debug_storageRangeAt"
        | "trace_block"
        | "trace_replayBlockTransactions" => About::Block(0),
        "eth_feeHistory" => About::Block(1),
        "eth_getBalance"
        | "eth_getTransactionCount"
        | "eth_getCode"
        | "eth_getAccount"
        | "eth_getStorageValues"
        | "eth_getAccountInfo"
        | "eth_call"
        | "eth_estimateGas"
        | "eth_createAccessList"
        | "eth_simulateV1"
        | "debug_traceCall"
        | "trace_callMany" => About::State(1),
        "eth_getStorageAt" | "trace_call" | "trace_rawTransaction" => About::State(2),
        "eth_callMany" => About::Context(1),
        "eth_getProof" => About::Proof(Some(2)),
        "polity_getProof" => About::Proof(None),
        "eth_getTransactionByHash"
        | "eth_getTransactionReceipt"
        | "eth_getRawTransactionByHash"
        | "debug_getRawTransaction"
        | "debug_traceTransaction"
        | "trace_transaction"
        | "trace_get"
        | "trace_replayTransaction" => About::Transaction,
        "eth_getTransactionBySenderAndNonce" => About::Nonce,
        "trace_filter" => About::Range,
        _ => return None,
    })
}

/// The answer of the other chain, where a request is about the time before; `None` where it is
/// this chain's to answer, be it with an error.
fn answer(door: &Ethereum, method: &'static str, params: Option<&RawValue>) -> Option<Reply> {
    let remote = door.node.chain.remote()?;
    let about = about(method)?;
    let mut params: Vec<Value> = serde_json::from_str(params?.get()).ok()?;
    match door.is_elsewhere(remote, about, &mut params) {
        Ok(true) => Some(remote.forward(method, &Value::Array(params)).map_err(RpcError::from)),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

impl From<RemoteError> for RpcError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Rpc { code, message, data, .. } => {
                Self { data, ..Self::new(code, message) }
            }
            other => Self::server(format!("the chain that is forked: {other}")),
        }
    }
}

impl Ethereum {
    /// Whether a request is the other chain's to answer. Tags of blocks, which say something else
    /// there, become numbers.
    fn is_elsewhere(
        &self,
        remote: &Remote,
        about: About,
        params: &mut [Value],
    ) -> Result<bool, RpcError> {
        let chain = &self.node.chain;
        match about {
            About::Block(index) => self.is_before(remote, params.get_mut(index), true),
            About::State(index) => self.is_before(remote, params.get_mut(index), false),
            About::Context(index) => {
                let context = params.get_mut(index);
                let id = context.and_then(|context| context.get_mut("blockNumber"));
                self.is_before(remote, id, false)
            }
            About::Proof(index) => {
                let id = index.and_then(|index| params.get_mut(index));
                if self.is_before(remote, id, true)? {
                    return Ok(true);
                }
                let text = "a fork proves nothing after the block that it goes on from: of its \
                            state, only a part is here";
                Err(RpcError::server(text))
            }
            About::Transaction => {
                let Some(hash) = parsed::<B256>(params.first()) else { return Ok(false) };
                let is_here =
                    chain.transaction(&hash)?.is_some() || self.node.pool.get(&hash).is_some();
                Ok(!is_here && remote.has_transaction(&hash)?)
            }
            About::Nonce => {
                let sender = parsed::<Address>(params.first());
                let nonce = parsed::<U64>(params.get(1));
                let Some((sender, nonce)) = sender.zip(nonce) else { return Ok(false) };
                let record = chain.state_at(chain.first())?.account(&account(sender))?;
                Ok(record.is_some_and(|record| U64::from(record.sequence) > nonce))
            }
            About::Range => {
                // What crosses the border, the method puts together.
                let Some(range) = params.first_mut() else { return Ok(false) };
                let to = range.get("toBlock").and_then(|end| parsed(Some(end)));
                let to = to.unwrap_or(BlockNumberOrTag::Latest);
                let to = self.height(to).unwrap_or(u64::MAX);
                if to > remote.number() {
                    return Ok(false);
                }
                if let Some(range) = range.as_object_mut() {
                    range.insert("toBlock".into(), json!(U64::from(to)));
                }
                Ok(true)
            }
        }
    }

    /// Whether a block is one that both chains have; the last of them is only for `last`.
    fn is_before(
        &self,
        remote: &Remote,
        id: Option<&mut Value>,
        last: bool,
    ) -> Result<bool, RpcError> {
        let Some(id) = id else { return self.is_first(remote, BlockNumberOrTag::Latest, last) };
        match parsed::<BlockId>(Some(id)) {
            // No block that there could be: the method says so.
            None if !id.is_null() => Ok(false),
            None => self.is_first(remote, BlockNumberOrTag::Latest, last),
            Some(BlockId::Hash(hash)) => {
                let hash = hash.block_hash;
                match self.node.chain.block_by_hash(&hash)? {
                    Some(block) => Ok(last && block.number() <= remote.number()),
                    None => Ok(remote.has_block(&hash)?),
                }
            }
            Some(BlockId::Number(tag)) => {
                let before = self.is_first(remote, tag, last)?;
                if before && let Some(number) = self.height(tag) {
                    *id = json!(U64::from(number));
                }
                Ok(before)
            }
        }
    }

    fn is_first(
        &self,
        remote: &Remote,
        tag: BlockNumberOrTag,
        last: bool,
    ) -> Result<bool, RpcError> {
        let first = remote.number();
        let before = |number| number < first || (last && number == first);
        Ok(self.height(tag).is_some_and(before))
    }

    /// The height that a tag names; `None` for the block that is not made yet.
    fn height(&self, tag: BlockNumberOrTag) -> Option<u64> {
        match tag {
            BlockNumberOrTag::Number(number) => Some(number),
            BlockNumberOrTag::Earliest => Some(0),
            BlockNumberOrTag::Pending => None,
            _ => Some(self.node.chain.head().number()),
        }
    }

    /// The logs of the other chain that a filter describes, in blocks from `first` to `last`.
    pub(super) fn logs_elsewhere(
        &self,
        remote: &Remote,
        filter: &Filter,
        first: u64,
        last: u64,
    ) -> Result<Vec<Log>, RpcError> {
        const METHOD: &str = "eth_getLogs";
        let filter = filter.clone().from_block(first).to_block(last);
        let found = remote.forward(METHOD, &json!([filter]))?;
        logs_in(&found)
    }

    /// The traces of the other chain that a filter lets through, in blocks from `first` until the
    /// chains part.
    pub(super) fn traces_elsewhere(
        &self,
        remote: &Remote,
        mut filter: Value,
        first: u64,
    ) -> Result<Vec<Value>, RpcError> {
        if let Some(fields) = filter.as_object_mut() {
            fields.insert("fromBlock".into(), json!(U64::from(first)));
            fields.insert("toBlock".into(), json!(U64::from(remote.number())));
            // What is skipped is skipped here, where it is known how much is left of that.
            let after = fields.remove("after").and_then(|after| after.as_u64()).unwrap_or_default();
            if let Some(count) = fields.get_mut("count") {
                *count = json!(count.as_u64().unwrap_or(u64::MAX).saturating_add(after));
            }
        }
        let found = remote.forward("trace_filter", &json!([filter]))?;
        let wrong = |error| RpcError::server(format!("the chain that is forked: traces: {error}"));
        serde_json::from_str(found.get()).map_err(wrong)
    }

    /// The logs of a block that only the other chain has; `None` where it has none such.
    pub(super) fn logs_of_block_elsewhere(
        &self,
        filter: &Filter,
        hash: &B256,
    ) -> Result<Option<Vec<Log>>, RpcError> {
        let Some(remote) = self.node.chain.remote() else { return Ok(None) };
        if !remote.has_block(hash)? {
            return Ok(None);
        }
        logs_in(&remote.forward("eth_getLogs", &json!([filter]))?).map(Some)
    }
}

fn logs_in(answer: &RawValue) -> Result<Vec<Log>, RpcError> {
    let wrong = |error| RpcError::server(format!("the chain that is forked: logs: {error}"));
    serde_json::from_str(answer.get()).map_err(wrong)
}

fn parsed<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    T::deserialize(value?).ok()
}
