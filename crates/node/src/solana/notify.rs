//! How clients are told of what happens.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Solana;
use crate::{
    chain::{Block, Event},
    rpc::{Gone, Sink},
};

/// Whether a subscription goes on.
pub(super) enum Then {
    GoOn,
    End,
}

/// Tells a client something.
///
/// # Errors
/// It is gone.
pub(super) fn notify<T: Serialize>(
    sink: &Sink,
    method: &'static str,
    result: &T,
) -> Result<(), Gone> {
    let params = json!({ "result": result, "subscription": sink.id });
    sink.send(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string())
}

/// Serves a subscription with the blocks that are added, until it ends. Who has
/// missed some goes on with those that are left: nothing better is possible.
pub(super) async fn each_block(
    door: Arc<Solana>,
    mut events: Receiver<Event>,
    mut serve: impl FnMut(&Solana, Arc<Block>) -> Result<Then, Gone> + Send + 'static,
) {
    loop {
        match events.recv().await {
            Ok(Event::Added(block)) => match serve(&door, block) {
                Ok(Then::GoOn) => {}
                Ok(Then::End) | Err(Gone) => return,
            },
            Ok(Event::Removed(_)) | Err(RecvError::Lagged(_)) => {}
            // Another chain may have taken its place.
            Err(RecvError::Closed) => events = door.node().chain.subscribe(),
        }
    }
}
