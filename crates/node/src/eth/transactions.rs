//! Transactions: to find them, and to send them.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::Index;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tokio::sync::{broadcast, oneshot};

use super::{
    Ethereum, blocks,
    convert::{self, RpcReceipt, RpcTransaction},
};
use crate::{
    chain::{Block, Event, Transaction},
    rpc::{Gathered, Later, Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_getTransactionByHash", by_hash);
    methods.quick("eth_getTransactionByBlockHashAndIndex", |door, params| {
        let block = blocks::hash(door, params)?;
        by_index(params, block.as_deref())
    });
    methods.quick("eth_getTransactionByBlockNumberAndIndex", |door, params| {
        let block = blocks::number(door, params)?;
        by_index(params, block.as_deref())
    });
    methods.quick("eth_getRawTransactionByHash", raw_by_hash);
    methods.quick("eth_getRawTransactionByBlockHashAndIndex", |door, params| {
        let block = blocks::hash(door, params)?;
        raw_by_index(params, block.as_deref())
    });
    methods.quick("eth_getRawTransactionByBlockNumberAndIndex", |door, params| {
        let block = blocks::number(door, params)?;
        raw_by_index(params, block.as_deref())
    });
    methods.quick("eth_getTransactionBySenderAndNonce", by_sender_and_nonce);
    methods.quick("eth_getTransactionReceipt", receipt);
    methods.together("eth_sendRawTransaction", send_raw);
    methods.waiting("eth_sendRawTransactionSync", send_raw_sync);
    methods.quick("debug_getRawTransaction", raw_by_hash);
    methods.quick("debug_getRawTransactions", |door, params| {
        let id: BlockId = params.required()?;
        let block = door.find(id)?.ok_or_else(|| super::resolve::no_block(id))?;
        let raw = block.transactions.iter();
        reply(&raw.map(|tx| Bytes::from(tx.transaction.raw())).collect::<Vec<_>>())
    });
}

fn by_hash(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    if let Some((block, index)) = door.node.chain.transaction(&hash)? {
        return reply(&convert::transaction_in(&block, index));
    }
    reply(&door.node.pool.get(&hash).map(|tx| convert::pending(&tx)))
}

fn by_index(params: &mut Params<'_>, block: Option<&Block>) -> Reply {
    let index: Index = params.required()?;
    reply(&block.and_then(|block| convert::transaction_in(block, index.into())))
}

fn raw_by_hash(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let found = match door.node.chain.transaction(&hash)? {
        Some((block, index)) => block.transactions.get(index).map(|tx| tx.transaction.raw()),
        None => door.node.pool.get(&hash).map(|tx| tx.raw_with_blobs()),
    };
    reply(&found.map(Bytes::from))
}

fn raw_by_index(params: &mut Params<'_>, block: Option<&Block>) -> Reply {
    let index: Index = params.required()?;
    let included = block.and_then(|block| block.transactions.get(usize::from(index)));
    reply(&included.map(|included| Bytes::from(included.transaction.raw())))
}

fn by_sender_and_nonce(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let sender: Address = params.required()?;
    let nonce: alloy_primitives::U64 = params.required()?;
    let nonce = nonce.to::<u64>();
    if let Some(tx) = door.node.pool.get_by_nonce(sender, nonce) {
        return reply(&convert::pending(&tx));
    }
    // The block after which the sender's nonce is above it is the first of those
    // for which that holds.
    let chain = &door.node.chain;
    let head = chain.head().number();
    let used = |number: u64| -> Result<bool, RpcError> {
        let state = chain.state_at(number)?;
        let record = polity_kernel::View::account(&state, &polity_evm::account(sender))?;
        Ok(record.unwrap_or_default().sequence > nonce)
    };
    let oldest = chain.state().oldest().unwrap_or(head).max(chain.first());
    if !used(head)? || used(oldest)? {
        return reply(&None::<RpcTransaction>);
    }
    let (mut unused, mut first) = (oldest, head);
    while first.saturating_sub(unused) > 1 {
        let middle = unused.midpoint(first);
        if used(middle)? { first = middle } else { unused = middle }
    }
    let block = chain.block(first)?;
    let found = block.as_deref().and_then(|block| {
        let is_it = |tx: &Transaction| tx.sender() == sender && tx.nonce() == nonce;
        let mut all = block.transactions.iter();
        let index = all.position(|included| is_it(&included.transaction))?;
        convert::transaction_in(block, index)
    });
    reply(&found)
}

fn receipt(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    reply(&receipt_of(door, &params.required()?)?)
}

fn receipt_of(door: &Ethereum, hash: &B256) -> Result<Option<RpcReceipt>, RpcError> {
    let Some((block, index)) = door.node.chain.transaction(hash)? else { return Ok(None) };
    Ok(convert::receipt(door.node.chain.spec(), &block, index))
}

type Sent = Result<B256, RpcError>;

/// More transactions than this are handed to the threads that compute: it costs
/// as much as a few signatures do.
const FEW: usize = 4;

/// Takes transactions in. The signatures of many are recovered on the threads that
/// compute, at the same time.
async fn take_in(door: &Arc<Ethereum>, raw: Vec<Result<Bytes, RpcError>>) -> Vec<Sent> {
    // A fork may have to ask for the sender.
    let at_once = raw.len() <= FEW && door.node.chain.remote().is_none();
    let sent = if at_once { door.submit(raw) } else { submit_many(door, raw).await };
    if sent.iter().any(Result::is_ok) {
        door.node.miner.announce().await;
    }
    sent
}

async fn submit_many(door: &Arc<Ethereum>, raw: Vec<Result<Bytes, RpcError>>) -> Vec<Sent> {
    let (answer, answered) = oneshot::channel();
    let of_task = door.clone();
    let count = raw.len();
    rayon::spawn(move || {
        let taken = of_task.submit(raw);
        // Nobody waits any more where the client has gone.
        let _ = answer.send(taken);
    });
    let lost = |_| {
        let lost = || RpcError::internal(&"no answer");
        (0..count).map(|_| Err(lost())).collect()
    };
    answered.await.unwrap_or_else(lost)
}

impl Ethereum {
    fn submit(&self, raw: Vec<Result<Bytes, RpcError>>) -> Vec<Sent> {
        let node = &self.node;
        let known = node.conditions().and_then(|known| Ok((known, node.chain.latest()?)));
        let (conditions, state) = match known {
            Ok(known) => known,
            Err(error) => {
                let error = RpcError::from(error);
                return raw.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let authenticate = |raw: Result<Bytes, RpcError>| {
            raw.and_then(|raw| Ok(node.authenticate(&raw, &conditions)?))
        };
        let authentic: Vec<_> = if raw.len() <= FEW {
            raw.into_iter().map(authenticate).collect()
        } else {
            raw.into_par_iter().map(authenticate).collect()
        };
        let submit = |transaction: Result<Transaction, RpcError>| {
            Ok(node.submit(transaction?, &conditions, &state)?)
        };
        authentic.into_iter().map(submit).collect()
    }
}

fn send_raw(door: &Arc<Ethereum>, params: Gathered<'_>) -> Later<Vec<Reply>> {
    let raw = params.into_iter().map(|params| params.and_then(|mut params| params.required()));
    let (door, raw) = (door.clone(), raw.collect());
    Box::pin(async move {
        let sent = take_in(&door, raw).await;
        sent.into_iter().map(|sent| sent.and_then(|hash| reply(&hash))).collect()
    })
}

/// Milliseconds to wait for a receipt at most, where the client does not say.
pub(super) const PATIENCE: u64 = 2_000;

/// EIP-7966: sends a transaction and waits for its receipt.
fn send_raw_sync(door: &Arc<Ethereum>, params: &mut Params<'_>) -> Result<Later, RpcError> {
    /// The longest that a client can ask for, in milliseconds.
    const MOST_PATIENCE: u64 = 60_000;
    let raw: Bytes = params.required()?;
    let patience = params.optional::<u64>()?.unwrap_or(PATIENCE).min(MOST_PATIENCE);
    let door = door.clone();
    Ok(Box::pin(async move {
        let events = door.node.chain.subscribe();
        let mut sent = take_in(&door, vec![Ok(raw)]).await;
        let lost = || RpcError::internal(&"no answer");
        let hash = sent.pop().ok_or_else(lost)??;
        receipt_within(&door, hash, patience, events).await
    }))
}

/// The receipt of a transaction, as soon as it has one, within so many milliseconds. `events` are
/// those since before it was sent.
pub(super) async fn receipt_within(
    door: &Ethereum,
    hash: B256,
    patience: u64,
    mut events: broadcast::Receiver<Event>,
) -> Reply {
    let included = async {
        loop {
            if let Some(receipt) = receipt_of(door, &hash)? {
                return Ok::<_, RpcError>(receipt);
            }
            // Whether or not events were missed, it is looked again.
            let _ = events.recv().await;
        }
    };
    let limit = std::time::Duration::from_millis(patience);
    match tokio::time::timeout(limit, included).await {
        Ok(receipt) => reply(&receipt?),
        Err(_) => {
            let text = format!(
                "The transaction was added to the mempool but wasn't processed in {patience}ms"
            );
            Err(RpcError::new(4, text).with_data(hash.to_string()))
        }
    }
}

/// Where a search for blocks begins and ends, as numbers.
pub(super) fn number_of(door: &Ethereum, tag: BlockNumberOrTag) -> Result<u64, RpcError> {
    let chain = &door.node.chain;
    Ok(match tag {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest if chain.remote().is_some() => 0,
        BlockNumberOrTag::Earliest => chain.first(),
        BlockNumberOrTag::Pending => chain.head().number().saturating_add(1),
        _ => chain.head().number(),
    })
}
