//! Taking transactions in.

use std::sync::Arc;

use polity_svm::{KIND, Transaction};
use solana_rpc_client_types::{
    config::RpcSendTransactionConfig, response::RpcSimulateTransactionResult,
};
use solana_transaction_error::TransactionError;
use solana_transaction_status::UiTransactionEncoding;

use super::{
    Solana, decode,
    error::PREFLIGHT,
    simulate::{self, Show},
};
use crate::{
    Node,
    chain::GuestTransaction,
    pool::GuestError,
    rpc::{Later, Methods, Params, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.waiting("sendTransaction", send);
}

fn send(door: &Arc<Solana>, params: &mut Params<'_>) -> Result<Later, RpcError> {
    let text: String = params.required()?;
    let config: RpcSendTransactionConfig = params.optional()?.unwrap_or_default();
    let door = door.clone();
    Ok(Box::pin(async move {
        let sent = tokio::task::spawn_blocking(move || door.take_in(&text, &config)).await;
        let (node, signature) = sent.map_err(|error| RpcError::internal(&error))??;
        node.miner.announce().await;
        reply(&signature)
    }))
}

impl Solana {
    fn take_in(
        &self,
        text: &str,
        config: &RpcSendTransactionConfig,
    ) -> Result<(Arc<Node>, String), RpcError> {
        let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
        let (raw, _) = decode::transaction(text, encoding)?;
        let decoded = simulate::authenticate(&raw)?;
        let signature = decoded.payload().map(Transaction::signature).unwrap_or_default();
        let moment = self.moment(config.min_context_slot)?;
        // Clients send again what they do not see in a block.
        let waits = moment.node.guests.get(KIND, &decoded.hash).is_some();
        if !config.skip_preflight && !waits {
            let tried = simulate::run(&moment, &decoded, Show::default())?;
            if let Some(error) = tried.err.clone() {
                return Err(failed(&error.into(), &tried));
            }
        }
        submit(&moment.node, GuestTransaction { decoded, raw: raw.into() })?;
        Ok((moment.node, signature.to_string()))
    }
}

/// Takes a transaction into the pool, unless it is there or in a block.
///
/// # Errors
/// The pool is full.
pub(super) fn submit(node: &Node, transaction: GuestTransaction) -> Result<(), RpcError> {
    match node.submit_guest(transaction) {
        Ok(_) | Err(GuestError::Waiting | GuestError::Included(_)) => Ok(()),
        Err(error) => Err(RpcError::server(error.to_string())),
    }
}

/// A transaction that fails where it is tried out.
fn failed(error: &TransactionError, tried: &RpcSimulateTransactionResult) -> RpcError {
    let data = serde_json::to_value(tried).unwrap_or_default();
    RpcError::new(PREFLIGHT, format!("Transaction simulation failed: {error}")).with_data(data)
}
