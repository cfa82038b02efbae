//! Filters: what a client asks for again and again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::{
    Ethereum,
    convert::{self, RpcTransaction},
    subscribe::logs_of,
    transactions::number_of,
};
use crate::{
    chain::{Event, Transaction},
    rpc::{Door, Methods, Params, Reply, RpcError, reply},
};

/// A filter that nobody asks for is forgotten after this.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// The filters of all clients.
pub(super) struct Filters {
    table: Mutex<HashMap<u64, Installed>>,
    next: AtomicU64,
    most: usize,
}

struct Installed {
    kind: Kind,
    used: Instant,
}

enum Kind {
    Logs { filter: Box<Filter>, events: Receiver<Event> },
    Blocks(Receiver<Event>),
    Pending { added: Receiver<Arc<Transaction>>, full: bool },
}

/// What happened since the last time.
#[derive(Serialize)]
#[serde(untagged)]
enum Changes {
    Logs(Vec<Log>),
    Hashes(Vec<B256>),
    Transactions(Vec<RpcTransaction>),
}

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_newFilter", |door, params| {
        let filter: Box<Filter> = params.required()?;
        door.install(Kind::Logs { filter, events: door.node.chain.subscribe() })
    });
    methods.quick("eth_newBlockFilter", |door, _| {
        door.install(Kind::Blocks(door.node.chain.subscribe()))
    });
    methods.quick("eth_newPendingTransactionFilter", |door, params| {
        let full = params.optional()?.unwrap_or(false);
        door.install(Kind::Pending { added: door.node.pool.subscribe(), full })
    });
    methods.quick("eth_getFilterChanges", changes);
    methods.heavy("eth_getFilterLogs", filter_logs);
    methods.quick("eth_uninstallFilter", |door, params| {
        let id: U64 = params.required()?;
        reply(&door.filters.table().remove(&id.to::<u64>()).is_some())
    });
}

impl Filters {
    pub(super) fn new(most: usize) -> Self {
        Self { table: Mutex::default(), next: AtomicU64::new(1), most }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Installed>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those that nobody has asked for that long.
    fn forget(&self, life: Duration) {
        self.table().retain(|_, filter| filter.used.elapsed() < life);
    }
}

/// Forgets the filters of clients that are gone, for ever: a filter holds the events that nobody
/// fetched, and with them their blocks.
pub async fn forget(door: Door<Ethereum>) {
    let mut clock = tokio::time::interval(LIFE / 5);
    loop {
        clock.tick().await;
        door.get().filters.forget(LIFE);
    }
}

impl Ethereum {
    fn install(&self, kind: Kind) -> Reply {
        self.filters.forget(LIFE);
        let mut table = self.filters.table();
        if table.len() >= self.filters.most {
            return Err(RpcError::limit(format!("more than {} filters", self.filters.most)));
        }
        let id = self.filters.next.fetch_add(1, Ordering::Relaxed);
        table.insert(id, Installed { kind, used: Instant::now() });
        reply(&U64::from(id))
    }
}

fn changes(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let id: U64 = params.required()?;
    let mut table = door.filters.table();
    let installed = table.get_mut(&id.to::<u64>()).ok_or_else(unknown)?;
    installed.used = Instant::now();
    let changes = match &mut installed.kind {
        Kind::Logs { filter, events } => {
            let (first, last) = range(door, filter)?;
            let mut logs = Vec::new();
            drain(events, |event| logs.extend(logs_of(&event, filter)))?;
            let within =
                |log: &Log| log.block_number.is_some_and(|number| (first..=last).contains(&number));
            logs.retain(within);
            Changes::Logs(logs)
        }
        Kind::Blocks(events) => {
            let mut hashes = Vec::new();
            drain(events, |event| {
                if let Event::Added(block) = event {
                    hashes.push(block.hash);
                }
            })?;
            Changes::Hashes(hashes)
        }
        Kind::Pending { added, full } => {
            let mut transactions = Vec::new();
            drain(added, |tx| transactions.push(tx))?;
            if *full {
                Changes::Transactions(transactions.iter().map(|tx| convert::pending(tx)).collect())
            } else {
                Changes::Hashes(transactions.iter().map(|tx| tx.hash()).collect())
            }
        }
    };
    reply(&changes)
}

fn filter_logs(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let id: U64 = params.required()?;
    let filter = match door.filters.table().get_mut(&id.to::<u64>()) {
        Some(Installed { kind: Kind::Logs { filter, .. }, used }) => {
            *used = Instant::now();
            filter.clone()
        }
        _ => return Err(unknown()),
    };
    reply(&door.logs(&filter)?)
}

/// The blocks in which a filter is interested, as far as it says so.
fn range(door: &Ethereum, filter: &Filter) -> Result<(u64, u64), RpcError> {
    let FilterBlockOption::Range { from_block, to_block } = filter.block_option else {
        return Ok((0, u64::MAX));
    };
    let numbered = |tag: alloy_eips::BlockNumberOrTag| tag.is_number().then_some(tag);
    let first = from_block.and_then(numbered).map(|tag| number_of(door, tag)).transpose()?;
    let last = to_block.and_then(numbered).map(|tag| number_of(door, tag)).transpose()?;
    Ok((first.unwrap_or_default(), last.unwrap_or(u64::MAX)))
}

/// Takes all that is there. Who waits for too long loses the oldest.
fn drain<T: Clone>(events: &mut Receiver<T>, mut take: impl FnMut(T)) -> Result<(), RpcError> {
    loop {
        match events.try_recv() {
            Ok(event) => take(event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
        }
    }
}

fn unknown() -> RpcError {
    RpcError::server("filter not found")
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let filters = Filters::new(1);
        let (events, added) = broadcast::channel(1);
        let kind = Kind::Pending { added, full: false };
        filters.table().insert(1, Installed { kind, used: Instant::now() });
        filters.forget(LIFE);
        assert_eq!(events.receiver_count(), 1);
        filters.forget(Duration::ZERO);
        assert_eq!(events.receiver_count(), 0, "events are still kept for it");
    }
}
