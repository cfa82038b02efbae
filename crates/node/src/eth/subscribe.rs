//! Subscriptions: what a connection is told by itself.

use std::sync::Arc;

use alloy_primitives::U64;
use alloy_rpc_types_eth::{
    Filter, Log,
    pubsub::{Params as Wanted, SubscriptionKind},
};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use super::{Ethereum, convert, logs::matching};
use crate::{
    chain::Event,
    rpc::{Connection, Gone, Methods, Params, Reply, RpcError, Sink, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.connected("eth_subscribe", subscribe);
    methods.connected("eth_unsubscribe", |_, params, connection| {
        let id: U64 = params.required()?;
        reply(&connection.unsubscribe(id.to::<u64>()))
    });
}

#[derive(Serialize)]
struct Notification<'a, T> {
    jsonrpc: &'static str,
    method: &'static str,
    params: Subscribed<'a, T>,
}

#[derive(Serialize)]
struct Subscribed<'a, T> {
    subscription: U64,
    result: &'a T,
}

fn notify<T: Serialize>(sink: &Sink, result: &T) -> Result<(), Gone> {
    let subscription = U64::from(sink.id);
    let params = Subscribed { subscription, result };
    let notification = Notification { jsonrpc: "2.0", method: "eth_subscription", params };
    sink.send(serde_json::to_string(&notification).unwrap_or_default())
}

fn subscribe(door: &Arc<Ethereum>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let name: String = params.required()?;
    let kind = serde_json::from_value(serde_json::Value::String(name.clone())).map_err(|_| {
        RpcError::new(RpcError::NO_METHOD, format!("no \"{name}\" subscription in eth namespace"))
    })?;
    let wanted: Wanted = params.optional()?.unwrap_or_default();
    let chain = door.node.chain.clone();
    let id = match kind {
        SubscriptionKind::NewHeads => {
            let events = chain.subscribe();
            connection.subscribe(|sink| {
                each_event(events, move |event| match event {
                    Event::Added(block) => notify(&sink, &convert::header(&block)),
                    Event::Removed(_) => Ok(()),
                })
            })
        }
        SubscriptionKind::Logs => {
            let filter = match wanted {
                Wanted::Logs(filter) => *filter,
                _ => Filter::default(),
            };
            let events = chain.subscribe();
            connection.subscribe(|sink| {
                each_event(events, move |event| {
                    logs_of(&event, &filter).iter().try_for_each(|log| notify(&sink, log))
                })
            })
        }
        SubscriptionKind::NewPendingTransactions => {
            let full = matches!(wanted, Wanted::Bool(true));
            let mut added = door.node.pool.subscribe();
            connection.subscribe(|sink| async move {
                loop {
                    let sent = match added.recv().await {
                        Ok(tx) if full => notify(&sink, &convert::pending(&tx)),
                        Ok(tx) => notify(&sink, &tx.hash()),
                        Err(RecvError::Lagged(_)) => Ok(()),
                        Err(RecvError::Closed) => return,
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            })
        }
        // The node is never behind anybody.
        SubscriptionKind::Syncing => connection.subscribe(|sink| async move {
            let _ = notify(&sink, &false);
            std::future::pending::<()>().await;
        }),
        SubscriptionKind::TransactionReceipts => {
            let events = chain.subscribe();
            let hashes = match wanted {
                Wanted::TransactionReceipts(params) => {
                    params.transaction_hashes.unwrap_or_default()
                }
                _ => Vec::new(),
            };
            connection.subscribe(|sink| {
                each_event(events, move |event| {
                    let Event::Added(block) = event else { return Ok(()) };
                    let mut receipts = convert::receipts(chain.spec(), &block);
                    receipts.retain(|receipt| {
                        hashes.is_empty() || hashes.contains(&receipt.transaction_hash)
                    });
                    if receipts.is_empty() { Ok(()) } else { notify(&sink, &receipts) }
                })
            })
        }
    }?;
    reply(&U64::from(id))
}

/// Serves a subscription to the chain. Who has missed events goes on with those
/// that are left: nothing better is possible.
async fn each_event(
    mut events: tokio::sync::broadcast::Receiver<Event>,
    serve: impl Fn(Event) -> Result<(), Gone> + Send + 'static,
) {
    loop {
        match events.recv().await {
            Ok(event) => {
                if serve(event).is_err() {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// The logs that an event brings, or takes back.
pub(super) fn logs_of(event: &Event, filter: &Filter) -> Vec<Log> {
    let mut logs = Vec::new();
    match event {
        Event::Added(block) => matching(block, filter, &mut logs),
        Event::Removed(blocks) => {
            blocks.iter().for_each(|block| matching(block, filter, &mut logs));
            logs.iter_mut().for_each(|log| log.removed = true);
        }
    }
    logs
}
