//! The accounts that the node signs for.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_dyn_abi::TypedData;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U256, eip191_hash_message, keccak256};
use alloy_rpc_types_eth::TransactionRequest;
use polity_evm::Unsigned;
use serde::Serialize;

use super::{Ethereum, convert, transactions};
use crate::{
    accounts::AccountError,
    chain::{Transaction, without_blobs},
    pool::{self, Conditions},
    rpc::{Later, Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_accounts", |door, _| reply(&door.node.accounts.addresses()));
    methods.alias("eth_requestAccounts", "eth_accounts");
    methods.quick("eth_sign", |door, params| {
        let account: Address = params.required()?;
        let message: Bytes = params.required()?;
        sign(door, account, &eip191_hash_message(message))
    });
    methods.quick("personal_sign", |door, params| {
        let message: Bytes = params.required()?;
        let account: Address = params.required()?;
        sign(door, account, &eip191_hash_message(message))
    });
    methods.quick("eth_signTypedData_v4", sign_typed_data);
    methods.alias("eth_signTypedData", "eth_signTypedData_v4");
    methods.alias("eth_signTypedData_v3", "eth_signTypedData_v4");
    methods.heavy("eth_signTransaction", sign_transaction);
    methods.heavy("eth_fillTransaction", fill_transaction);
    methods.waiting("eth_sendTransaction", |door, params| {
        let request: TransactionRequest = params.required()?;
        let sending = sent(door, request, Ethereum::send);
        Ok(Box::pin(async move { reply(&sending.await?) }))
    });
    methods.waiting("eth_sendTransactionSync", |door, params| {
        let request: TransactionRequest = params.required()?;
        let (sending, door) = (sent(door, request, Ethereum::send), door.clone());
        Ok(Box::pin(async move {
            let events = door.node.chain.subscribe();
            let hash = sending.await?;
            transactions::receipt_within(&door, hash, transactions::PATIENCE, events).await
        }))
    });
    methods.quick("eth_pendingTransactions", pending);
}

/// What only a development chain can do.
pub(super) fn register_powers(methods: &mut Methods<Ethereum>) {
    methods.waiting("eth_sendUnsignedTransaction", |door, params| {
        let request: TransactionRequest = params.required()?;
        let sending = sent(door, request, Ethereum::send_unsigned);
        Ok(Box::pin(async move { reply(&sending.await?) }))
    });
}

/// What waits of the accounts that the node signs for.
fn pending(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let (pending, _) = door.node.pool.content();
    let own = pending.iter().filter(|(sender, _)| door.node.accounts.has_key(**sender));
    let shown = own.flat_map(|(_, waiting)| waiting.values()).map(|tx| convert::pending(tx));
    reply(&shown.collect::<Vec<_>>())
}

impl From<AccountError> for RpcError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Unknown(_) => Self::server("unknown account"),
            other => Self::server(other.to_string()),
        }
    }
}

fn sign(door: &Ethereum, account: Address, hash: &B256) -> Reply {
    let signature = door.node.accounts.sign(account, hash)?;
    reply(&Bytes::from(signature.as_bytes().to_vec()))
}

/// EIP-712. The data come as an object, or as its text.
fn sign_typed_data(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let account: Address = params.required()?;
    let data: serde_json::Value = params.required()?;
    let invalid =
        |error: &dyn std::fmt::Display| RpcError::params(format!("invalid argument 1: {error}"));
    let data: TypedData = match data {
        serde_json::Value::String(text) => serde_json::from_str(&text),
        data => serde_json::from_value(data),
    }
    .map_err(|error| invalid(&error))?;
    sign(door, account, &data.eip712_signing_hash().map_err(|error| invalid(&error))?)
}

/// A transaction with its bytes, as geth gives it.
#[derive(Serialize)]
struct Filled<T> {
    raw: Bytes,
    tx: T,
}

fn sign_transaction(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let request: TransactionRequest = params.required()?;
    let from = sender(&request)?;
    let typed = door.fill(request)?;
    reply(&Bytes::from(door.sign(from, typed)?))
}

fn fill_transaction(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let typed = door.fill(params.required()?)?;
    let mut raw = Vec::new();
    typed.encode_for_signing(&mut raw);
    reply(&Filled { raw: raw.into(), tx: typed })
}

fn sender(request: &TransactionRequest) -> Result<Address, RpcError> {
    request.from.ok_or_else(|| RpcError::server("no sender: `from` is missing"))
}

impl Ethereum {
    /// Fills in what a request leaves open: nonce, fees, gas.
    pub(super) fn fill(
        &self,
        mut request: TransactionRequest,
    ) -> Result<TypedTransaction, RpcError> {
        let from = sender(&request)?;
        let chain_id = self.node.chain.spec().chain_id;
        if request.chain_id.is_some_and(|found| found != chain_id) {
            let found = request.chain_id.unwrap_or_default();
            let text = format!("chainId does not match node's (have={found}, want={chain_id})");
            return Err(RpcError::server(text));
        }
        request.chain_id = Some(chain_id);
        if request.nonce.is_none() {
            request.nonce = Some(self.node.next_nonce(from)?);
        }
        // Without a receiver it is a creation.
        request.to.get_or_insert_default();
        let london = self.next_base_fee()?.is_some();
        let (fee, tip) = self.suggested_fees()?;
        if request.transaction_type == Some(1) || !london {
            request.gas_price.get_or_insert(fee);
        }
        if request.gas_price.is_none() {
            let tip = *request
                .max_priority_fee_per_gas
                .get_or_insert_with(|| request.max_fee_per_gas.map_or(tip, |most| most.min(tip)));
            request.max_fee_per_gas.get_or_insert(fee.max(tip));
        }
        if request.sidecar.is_some() || request.blob_versioned_hashes.is_some() {
            request.populate_blob_hashes();
            let head = self.node.chain.head();
            let price = self.next_blob_price(&head)?.unwrap_or(1);
            request.max_fee_per_blob_gas.get_or_insert(price.saturating_mul(2));
        }
        if request.gas.is_none() {
            request.gas = Some(self.estimate_for(&request)?);
        }
        request
            .build_consensus_tx()
            .map_err(|error| RpcError::params(format!("invalid argument 0: {}", error.error)))
    }

    /// A transaction in the name of an account that anybody may act for. Its
    /// hash is its own, for so is its signature: the sender's address.
    pub(super) fn unsigned(&self, from: Address, typed: TypedTransaction) -> Transaction {
        let r = U256::from_be_bytes(keccak256(from).0) >> 1;
        let signature = Signature::new(r, U256::from_be_slice(from.as_slice()), false);
        let (envelope, sidecar) = without_blobs(typed.into_signed(signature).into());
        let decoded = Unsigned::for_simulation().envelope(&envelope, from);
        Transaction { envelope, decoded, sidecar: sidecar.map(Arc::new) }
    }

    /// Signs a request in the name of its sender, or takes it unsigned where
    /// anybody may act for it, and puts it into the pool.
    fn send(&self, request: TransactionRequest) -> Result<B256, RpcError> {
        let from = sender(&request)?;
        let node = &self.node;
        if !self.is_signer(from)? {
            return self.send_unsigned(request);
        }
        let typed = self.fill(request)?;
        let conditions = node.conditions()?;
        let transaction = node.authenticate(&self.sign(from, typed)?, &conditions)?;
        Ok(node.submit(transaction, &conditions, &node.chain.latest()?)?)
    }

    /// Puts a request into the pool in the name of its sender, whoever that is.
    fn send_unsigned(&self, request: TransactionRequest) -> Result<B256, RpcError> {
        self.powers()?;
        let from = sender(&request)?;
        let node = &self.node;
        let typed = self.fill(request)?;
        let conditions = Conditions { any_sender: true, ..node.conditions()? };
        let transaction = self.unsigned(from, typed);
        pool::check(&transaction, node.chain.spec(), &conditions)?;
        Ok(node.submit(transaction, &conditions, &node.chain.latest()?)?)
    }

    /// Whether the node signs for an account; else anybody may act for it.
    ///
    /// # Errors
    /// Neither is so.
    pub(super) fn is_signer(&self, of: Address) -> Result<bool, RpcError> {
        let accounts = &self.node.accounts;
        if accounts.has_key(of) {
            return Ok(true);
        }
        if accounts.is_impersonated(of) {
            return Ok(false);
        }
        Err(AccountError::Unknown(of).into())
    }

    /// The bytes of a transaction that the node signs.
    pub(super) fn sign(&self, from: Address, typed: TypedTransaction) -> Result<Vec<u8>, RpcError> {
        let signature = self.node.accounts.sign(from, &typed.signature_hash())?;
        Ok(TxEnvelope::from(typed.into_signed(signature)).encoded_2718())
    }
}

/// Sends a request, and waits for its block where it gets one at once.
fn sent(
    door: &Arc<Ethereum>,
    request: TransactionRequest,
    send: fn(&Ethereum, TransactionRequest) -> Result<B256, RpcError>,
) -> Later<Result<B256, RpcError>> {
    let door = door.clone();
    Box::pin(async move {
        let sending = door.clone();
        let sent = tokio::task::spawn_blocking(move || send(&sending, request)).await;
        let failed = |error: tokio::task::JoinError| RpcError::internal(&error);
        let hash = sent.map_err(failed)??;
        door.node.miner.announce().await;
        Ok(hash)
    })
}
