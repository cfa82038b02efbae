//! A node, and transactions for it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at a failure"
)]

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use polity_node::{
    Node,
    accounts::Accounts,
    chain::Transaction,
    config::Config,
    eth::Ethereum,
    miner::Mining,
    rpc::{RpcError, Service},
};
use serde_json::{Value, json};

pub(crate) const ONE_ETHER: u128 = 1_000_000_000_000_000_000;

/// A node that makes blocks when it is told to.
pub(crate) fn manual() -> Config {
    Config { mining: Mining::Manual, ..Config::default() }
}

/// What the keys of a development chain sign.
pub(crate) struct Signer {
    accounts: Accounts,
    chain_id: u64,
}

impl Signer {
    pub(crate) fn of(config: &Config) -> Self {
        let accounts =
            Accounts::derive(&config.mnemonic, &config.derivation_path, config.accounts).unwrap();
        Self { accounts, chain_id: config.chain_id }
    }

    pub(crate) fn address(&self, index: usize) -> Address {
        self.accounts.addresses()[index]
    }

    /// A transfer with this tip, in wei per gas.
    pub(crate) fn transfer(
        &self,
        from: usize,
        nonce: u64,
        to: Address,
        wei: u128,
        tip: u128,
    ) -> Bytes {
        let tx = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 100_000_000_000 + tip,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value: U256::from(wei),
            ..TxEip1559::default()
        };
        self.sign(from, tx.into())
    }

    pub(crate) fn sign(&self, from: usize, tx: TypedTransaction) -> Bytes {
        let signature = self.accounts.sign(self.address(from), &tx.signature_hash()).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
    }
}

/// Puts a transaction into the pool.
pub(crate) fn submit(
    node: &Node,
    raw: &[u8],
) -> Result<Arc<Transaction>, polity_node::pool::PoolError> {
    let conditions = node.conditions().expect("conditions");
    let transaction = node.authenticate(raw, &conditions)?;
    let hash = node.submit(transaction, &conditions, &node.chain.latest().expect("state"))?;
    Ok(node.pool.get(&hash).expect("in the pool"))
}

/// The JSON-RPC of a node.
pub(crate) struct Door {
    pub(crate) node: Arc<Node>,
    service: Service<Ethereum>,
}

impl Door {
    pub(crate) fn open(config: &Config) -> Self {
        let node = Arc::new(Node::start(config).expect("a node"));
        let door = Arc::new(Ethereum::new(node.clone()));
        let service = Service::new(door, Ethereum::methods(node.powers), config.limits);
        Self { node, service }
    }

    pub(crate) async fn answer(&self, body: &[u8]) -> Option<String> {
        self.service.answer(body, None).await
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.answer(body.to_string().as_bytes()).await.expect("an answer");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }
}

pub(crate) fn code(error: &Value) -> i64 {
    error["code"].as_i64().unwrap_or_default()
}

pub(crate) const NO_METHOD: i64 = RpcError::NO_METHOD;
