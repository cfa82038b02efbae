//! `txpool_`: what waits for a block.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Address;
use alloy_rpc_types_txpool::{
    TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary, TxpoolStatus,
};

use super::{Ethereum, convert};
use crate::{
    chain::Transaction,
    pool::Content,
    rpc::{Methods, Params, Reply, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("txpool_status", |door, _| {
        let size = door.node.pool.size();
        reply(&TxpoolStatus { pending: size.pending as u64, queued: size.queued as u64 })
    });
    methods.heavy("txpool_content", |door, _| {
        let (pending, queued) = door.node.pool.content();
        let full = |tx: &Transaction| convert::pending(tx);
        reply(&TxpoolContent { pending: shown(&pending, full), queued: shown(&queued, full) })
    });
    methods.heavy("txpool_inspect", |door, _| {
        let (pending, queued) = door.node.pool.content();
        let summary = |tx: &Transaction| TxpoolInspectSummary::from_tx(tx.envelope.clone());
        reply(&TxpoolInspect { pending: shown(&pending, summary), queued: shown(&queued, summary) })
    });
    methods.quick("txpool_contentFrom", content_from);
}

fn shown<T>(
    content: &Content,
    show: impl Fn(&Transaction) -> T,
) -> BTreeMap<Address, BTreeMap<String, T>> {
    let named = |(nonce, tx): (&u64, &Arc<Transaction>)| (nonce.to_string(), show(tx));
    let senders = content.iter();
    senders.map(|(sender, txs)| (*sender, txs.iter().map(named).collect())).collect()
}

fn content_from(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let sender: Address = params.required()?;
    let (pending, queued) = door.node.pool.content();
    let of = |content: Content| shown(&content, convert::pending).remove(&sender);
    reply(&TxpoolContentFrom {
        pending: of(pending).unwrap_or_default(),
        queued: of(queued).unwrap_or_default(),
    })
}
