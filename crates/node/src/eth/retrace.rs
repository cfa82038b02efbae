//! The methods that look at executions step by step.

use std::{fmt::Display, sync::Arc};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U64, map::HashSet};
use alloy_rpc_types_eth::{BlockOverrides, Index, TransactionRequest, state::StateOverride};
use alloy_rpc_types_trace::{
    filter::TraceFilter,
    geth::{GethDebugTracingCallOptions, GethDebugTracingOptions},
    parity::{LocalizedTransactionTrace, TraceResults, TraceType},
};
use serde_json::{Value, from_value, json};

use super::{
    CallError, Ethereum, Past, debug_block, debug_call, debug_transaction, parity_call,
    parity_call_many, replay_block, replay_transaction, resolve::no_block, trace_block,
    trace_filter, trace_get, trace_raw, trace_transaction, transactions::number_of,
};
use crate::{
    chain::{Block, ChainView, Company, Envelope, Transaction},
    rpc::{Methods, Params, Reply, RpcError, reply},
};

type Kinds = HashSet<TraceType>;

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("debug_traceTransaction", |door, params| {
        let hash: B256 = params.required()?;
        let options = params.optional()?.unwrap_or_default();
        let found = door.retrace(&hash)?;
        let (looked, index) = found.ok_or_else(|| RpcError::server("transaction not found"))?;
        reply(&debug_transaction(&looked.past(door), index, &options)?)
    });
    methods.heavy("debug_traceBlockByNumber", |door, params| {
        let tag: BlockNumberOrTag = params.required()?;
        debug(door, tag.into(), params)
    });
    methods.heavy("debug_traceBlockByHash", |door, params| {
        let hash: B256 = params.required()?;
        debug(door, hash.into(), params)
    });
    methods.heavy("debug_traceBlock", debug_raw);
    methods.heavy("debug_traceCall", debug_a_call);
    methods.heavy("trace_transaction", |door, params| {
        let found = door.retrace(&params.required()?)?;
        let traces = found.map(|(looked, index)| trace_transaction(&looked.past(door), index));
        reply(&traces.transpose()?.unwrap_or_default())
    });
    methods.heavy("trace_get", |door, params| {
        let found = door.retrace(&params.required()?)?;
        let path: Vec<Index> = params.required()?;
        // A place in the list of calls, as other clients take it.
        let (Some((looked, index)), [call]) = (found, path.as_slice()) else {
            return reply(&None::<LocalizedTransactionTrace>);
        };
        reply(&trace_get(&looked.past(door), index, usize::from(*call))?)
    });
    methods.heavy("trace_block", |door, params| {
        let id: BlockId = params.required()?;
        let looked = door.look(id)?;
        reply(&looked.map(|looked| trace_block(&looked.past(door))).transpose()?)
    });
    methods.heavy("trace_filter", filter);
    methods.heavy("trace_call", |door, params| {
        let request: TransactionRequest = params.required()?;
        let kinds: Kinds = params.required()?;
        let at = door.at(params.optional()?)?;
        let state: Option<StateOverride> = params.optional()?;
        let block: Option<BlockOverrides> = params.optional()?;
        let scene = door.scene(&at);
        reply(&parity_call(&scene, &request, &kinds, state.as_ref(), block.as_ref())?)
    });
    methods.heavy("trace_callMany", |door, params| {
        let calls: Vec<(TransactionRequest, Kinds)> = params.required()?;
        let at = door.at(params.optional()?)?;
        reply(&parity_call_many(&door.scene(&at), &calls)?)
    });
    methods.heavy("trace_rawTransaction", raw);
    methods.heavy("trace_replayTransaction", |door, params| {
        let found = door.retrace(&params.required()?)?;
        let kinds: Kinds = params.required()?;
        let (looked, index) = found.ok_or_else(|| RpcError::server("transaction not found"))?;
        let trace: TraceResults = replay_transaction(&looked.past(door), index, &kinds)?;
        reply(&trace)
    });
    methods.heavy("trace_replayBlockTransactions", |door, params| {
        let id: BlockId = params.required()?;
        let kinds: Kinds = params.required()?;
        let looked = door.look(id)?;
        reply(&looked.map(|looked| replay_block(&looked.past(door), &kinds)).transpose()?)
    });
}

/// A block that is looked at again, and the state before it.
pub(super) struct Looked {
    block: Arc<Block>,
    pub(super) before: ChainView,
    company: Company,
}

impl Looked {
    pub(super) fn past<'a>(&'a self, door: &'a Ethereum) -> Past<'a> {
        let chain = &door.node.chain;
        Past {
            machines: chain.machines(),
            spec: chain.spec(),
            before: &self.before,
            header: &self.block.header,
            hash: self.block.hash,
            transactions: self.block.all().map(|entry| entry.decoded()).collect(),
            withdrawals: &self.block.withdrawals,
            company: self.company.clone(),
        }
    }
}

impl Ethereum {
    /// A block and the state before it; `None` where there is no such block.
    pub(super) fn look(&self, id: BlockId) -> Result<Option<Looked>, RpcError> {
        self.find(id)?.map(|block| self.look_at(block)).transpose()
    }

    pub(super) fn look_at(&self, block: Arc<Block>) -> Result<Looked, RpcError> {
        let chain = &self.node.chain;
        let number = block.number();
        if number <= chain.first() {
            return Err(RpcError::server("genesis is not traceable"));
        }
        let company = chain.company(&block.header)?;
        Ok(Looked { before: chain.state_before(number)?, block, company })
    }

    /// The block that a transaction of Ethereum's is in, and its index there among
    /// those of all machines.
    fn retrace(&self, hash: &B256) -> Result<Option<(Looked, usize)>, RpcError> {
        let Some((block, index)) = self.node.chain.transaction(hash)? else { return Ok(None) };
        let Some(included) = block.transactions.get(index) else { return Ok(None) };
        let index = usize::try_from(included.index).unwrap_or(usize::MAX);
        Ok(Some((self.look_at(block)?, index)))
    }
}

fn debug(door: &Ethereum, id: BlockId, params: &mut Params<'_>) -> Reply {
    let options: GethDebugTracingOptions = params.optional()?.unwrap_or_default();
    let looked = door.look(id)?.ok_or_else(|| no_block(id))?;
    reply(&debug_block(&looked.past(door), &options)?)
}

/// A block that comes as RLP: one of this chain, or one that could have been.
fn debug_raw(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let raw: Bytes = params.required()?;
    let options: GethDebugTracingOptions = params.optional()?.unwrap_or_default();
    let undecodable =
        |error: &dyn Display| RpcError::server(format!("could not decode block: {error}"));
    let block: alloy_consensus::Block<Envelope> =
        alloy_rlp::decode_exact(&raw).map_err(|error| undecodable(&error))?;
    let (header, body) = (block.header, block.body);
    let hash = header.hash_slow();
    // One of ours may have transactions of other machines.
    if let Some(looked) = door.look(hash.into())? {
        return reply(&debug_block(&looked.past(door), &options)?);
    }
    let chain = &door.node.chain;
    let parent = chain.block_by_hash(&header.parent_hash)?;
    let parent = parent.filter(|parent| Some(parent.number()) == header.number.checked_sub(1));
    let parent = parent
        .ok_or_else(|| RpcError::server(format!("parent {} not found", header.parent_hash)))?;
    let gas = body.transactions.iter().map(alloy_consensus::Transaction::gas_limit);
    let gas = gas.fold(0, u64::saturating_add);
    let most = door.node.config.limits.call_gas.max(parent.header.gas_limit);
    if gas > most {
        return Err(RpcError::limit(format!("a block of {gas} gas: the limit is {most}")));
    }
    let (chain_id, fork) = (chain.spec().chain_id, chain.fork(&header));
    let decode = |envelope: &Envelope| polity_evm::decode_envelope(envelope, chain_id, fork);
    let decoded = body.transactions.iter().map(decode).collect::<Result<Vec<_>, _>>();
    let decoded = decoded.map_err(|error| undecodable(&error))?;
    let past = Past {
        machines: chain.machines(),
        spec: chain.spec(),
        before: &chain.state_at(parent.number())?,
        header: &header,
        hash,
        transactions: decoded.iter().collect(),
        withdrawals: body.withdrawals.as_deref().map_or(&[], Vec::as_slice),
        company: chain.company(&header)?,
    };
    reply(&debug_block(&past, &options)?)
}

fn debug_a_call(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let request: TransactionRequest = params.required()?;
    let id: BlockId = params.optional()?.unwrap_or_default();
    let options: GethDebugTracingCallOptions = params.optional()?.unwrap_or_default();
    if options.tx_index.is_none() {
        let at = door.at(Some(id))?;
        return reply(&debug_call(&door.scene(&at), None, &request, &options)?);
    }
    let looked = door.look(id)?.ok_or_else(|| no_block(id))?;
    let past = looked.past(door);
    let scene = past.scene(door.node.config.limits.call_gas);
    reply(&debug_call(&scene, Some(&past), &request, &options)?)
}

fn filter(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let mut filter: Value = params.required()?;
    for end in ["fromBlock", "toBlock"] {
        if let Some(named) = filter.get_mut(end).filter(|end| end.is_string()) {
            let tag: BlockNumberOrTag = from_value(named.clone()).map_err(invalid)?;
            *named = json!(U64::from(number_of(door, tag)?));
        }
    }
    let given = filter.clone();
    let mut filter: TraceFilter = from_value(filter).map_err(invalid)?;
    let chain = &door.node.chain;
    let head = chain.head().number();
    let first = filter.from_block.unwrap_or_default();
    let last = filter.to_block.unwrap_or(head).min(head);
    let mut found = Vec::new();
    if let Some(remote) = chain.remote().filter(|remote| first <= remote.number() && first <= last)
    {
        found = door.traces_elsewhere(remote, given, first)?;
        let skipped = filter.after.unwrap_or_default().min(found.len() as u64);
        found.drain(..usize::try_from(skipped).unwrap_or(usize::MAX));
        filter.after = filter.after.map(|after| after.saturating_sub(skipped));
        filter.count = filter.count.map(|count| count.saturating_sub(found.len() as u64));
    }
    let first = first.max(chain.first().saturating_add(1));
    let most = door.node.config.limits.log_blocks;
    if last.saturating_sub(first) > most {
        return Err(RpcError::limit(format!("block range too large: the limit is {most}")));
    }
    let mut failed = None;
    let traces = trace_filter(&filter, first..=last, |number| {
        let looked = door.look(BlockId::number(number));
        match looked {
            Ok(Some(looked)) => trace_block(&looked.past(door)),
            Ok(None) => Ok(Vec::new()),
            Err(error) => {
                let text = error.to_string();
                failed = Some(error);
                Err(CallError::Internal(text))
            }
        }
    });
    match failed {
        Some(error) => Err(error),
        None if found.is_empty() => reply(&traces?),
        None => {
            for trace in traces? {
                let wrong = |error: serde_json::Error| RpcError::internal(&error);
                found.push(serde_json::to_value(trace).map_err(wrong)?);
            }
            reply(&found)
        }
    }
}

fn invalid(error: serde_json::Error) -> RpcError {
    RpcError::params(format!("invalid argument 0: {error}"))
}

fn raw(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let raw: Bytes = params.required()?;
    let kinds: Kinds = params.required()?;
    let at = door.at(params.optional()?)?;
    let chain = &door.node.chain;
    let fork = chain.fork(&at.block.header);
    let transaction = Transaction::decode(&raw, chain.spec().chain_id, fork)
        .map_err(|error| RpcError::server(error.to_string()))?;
    reply(&trace_raw(&door.scene(&at), &transaction.decoded, &kinds)?)
}
