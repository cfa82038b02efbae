//! Taking transactions in.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use polity_svm::{KIND, MAX_AGE, Transaction};
use solana_rpc_client_types::{
    config::RpcSendTransactionConfig, response::RpcSimulateTransactionResult,
};
use solana_transaction_error::TransactionError;
use solana_transaction_status::UiTransactionEncoding;

use super::{
    Solana, decode,
    error::PREFLIGHT,
    simulate::{self, Show},
    slots::SLOT,
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
        let sent = door.computed(move |door| door.take_in(&text, &config)).await?;
        let Sent { node, signature, age } = sent;
        match u32::try_from(age / YOUNG) {
            Ok(0) => node.miner.announce().await,
            Ok(slots) => door.announce_after(SLOT.saturating_mul(slots)),
            Err(_) => {}
        }
        reply(&signature)
    }))
}

/// A transaction that was taken in.
struct Sent {
    node: Arc<Node>,
    signature: String,
    /// How many blocks were made since that whose hash it names.
    age: u64,
}

/// As long as a blockhash is no older than this, in blocks, every transaction that
/// names it gets a block at once.
const YOUNG: u64 = MAX_AGE as u64 / 3;

impl Solana {
    /// Does something on a thread that may compute.
    ///
    /// # Errors
    /// Those of what is done.
    pub(super) async fn computed<T: Send + 'static>(
        self: &Arc<Self>,
        compute: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let permit = self.taking_in.clone().acquire_owned().await;
        let permit = permit.map_err(|error| RpcError::internal(&error))?;
        let door = self.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let computed = compute(&door);
            drop(permit);
            computed
        });
        computed.await.map_err(|error| RpcError::internal(&error))?
    }

    /// Makes a block after a while. Who signs many transactions with one blockhash,
    /// such as those that write a program, is to get them all into blocks: one block
    /// for each would soon be more than a blockhash lives through, which is a minute
    /// on Solana.
    fn announce_after(self: &Arc<Self>, time: Duration) {
        if self.is_due.swap(true, Ordering::Relaxed) {
            return;
        }
        let door = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            door.is_due.store(false, Ordering::Relaxed);
            let node = door.node();
            // One block: what comes while it is made has a time of its own.
            let made = tokio::task::spawn_blocking(move || {
                let is_wanted = node.miner.settings().mining.is_instant();
                let waits = is_wanted && !node.guests.is_empty();
                if waits { node.miner.mine().map(drop) } else { Ok(()) }
            });
            if let Ok(Err(error)) = made.await {
                tracing::error!(%error, "no block could be made");
            }
        });
    }

    fn take_in(&self, text: &str, config: &RpcSendTransactionConfig) -> Result<Sent, RpcError> {
        let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
        let (raw, transaction) = decode::transaction(text, encoding)?;
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
        let blockhash = transaction.message.recent_blockhash().to_bytes().into();
        let named = moment.node.chain.block_by_hash(&blockhash)?;
        let age = named.map_or(0, |named| moment.slot().saturating_sub(named.number()));
        submit(&moment.node, GuestTransaction { decoded, raw: raw.into() })?;
        Ok(Sent { node: moment.node, signature: signature.to_string(), age })
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
