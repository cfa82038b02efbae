//! What the node measures, for Prometheus.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::broadcast::error::RecvError;

use crate::{chain::Event, eth::Ethereum, rpc::Door};

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to record. Where the process records elsewhere already, that goes on.
pub fn install() {
    HANDLE.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().ok()?;
        metrics::describe_counter!("polity_rpc_requests_total", "requests by method");
        metrics::describe_gauge!("polity_block_number", "height of the last block");
        metrics::describe_counter!("polity_transactions_total", "transactions in blocks");
        metrics::describe_counter!("polity_gas_used_total", "gas used by blocks");
        metrics::describe_gauge!("polity_pool_pending", "transactions that a block could take");
        metrics::describe_gauge!("polity_pool_queued", "transactions behind a gap");
        metrics::describe_gauge!("polity_pool_guests", "waiting transactions of other machines");
        Some(handle)
    });
}

/// All that is recorded, in Prometheus' text format.
pub fn render() -> String {
    let handle = HANDLE.get().and_then(Option::as_ref);
    handle.map(PrometheusHandle::render).unwrap_or_default()
}

/// Records what happens to the chain of the node behind a door, for ever.
pub async fn watch(door: Door<Ethereum>) {
    let mut events = door.get().node.chain.subscribe();
    let number = metrics::gauge!("polity_block_number");
    let transactions = metrics::counter!("polity_transactions_total");
    let gas = metrics::counter!("polity_gas_used_total");
    let pending = metrics::gauge!("polity_pool_pending");
    let queued = metrics::gauge!("polity_pool_queued");
    let guests = metrics::gauge!("polity_pool_guests");
    loop {
        // It is not kept while nothing happens: another may take its place.
        let node = door.get().node.clone();
        number.set(node.chain.head().number() as f64);
        let size = node.pool.size();
        pending.set(size.pending as f64);
        queued.set(size.queued as f64);
        guests.set(node.guests.len() as f64);
        drop(node);
        match events.recv().await {
            Ok(Event::Added(block)) => {
                transactions.increment(block.len() as u64);
                gas.increment(block.header.gas_used);
            }
            Ok(Event::Removed(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => events = door.get().node.chain.subscribe(),
        }
    }
}
