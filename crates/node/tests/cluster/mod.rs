//! A node with Solana's machine, and transactions for it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests stop at a failure"
)]

use std::sync::{Arc, LazyLock};

use polity_node::{
    Node,
    config::Config,
    eth::Ethereum,
    miner::Mining,
    rpc::{Door, Service},
    solana::{Solana, SolanaAccounts, SolanaGuest},
};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A node that makes blocks when it is told to.
pub(crate) fn manual() -> Config {
    Config { mining: Mining::Manual, ..Config::default() }
}

/// A chain with Solana's machine, and its JSON-RPC.
pub(crate) struct Cluster {
    pub(crate) node: Arc<Node>,
    pub(crate) door: Door<Solana>,
    service: Service<Solana>,
}

impl Cluster {
    pub(crate) fn open() -> Self {
        Self::with(&Config::default())
    }

    pub(crate) fn with(config: &Config) -> Self {
        let guest = SolanaGuest::of(config).unwrap();
        let config = Config { guests: config.guests.clone().with(guest), ..config.clone() };
        let node = Arc::new(Node::start(&config).expect("a node"));
        let door = Door::from(Arc::new(Solana::new(Ethereum::door(node.clone())).unwrap()));
        let methods = Solana::methods(node.powers);
        let service = Service::new(door.clone(), methods, config.limits);
        Self { node, door, service }
    }

    pub(crate) async fn answer(&self, body: &[u8]) -> Option<String> {
        self.service.answer(body, None).await
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = block_on(self.answer(body.to_string().as_bytes())).expect("an answer");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(crate) fn ok(&self, method: &str, params: Value) -> Value {
        let text = params.to_string();
        self.call(method, params).unwrap_or_else(|error| panic!("{method} {text}: {error}"))
    }

    pub(crate) fn mine(&self) {
        self.node.miner.mine().unwrap();
    }

    pub(crate) fn key(&self, index: usize) -> Keypair {
        let config = &self.node.config;
        let keys = SolanaAccounts::derive(&config.mnemonic, config.accounts).unwrap();
        keys.keys()[index].insecure_clone()
    }

    pub(crate) fn blockhash(&self) -> Hash {
        Hash::new_from_array(self.node.chain.head().hash.0)
    }

    pub(crate) fn message(&self, from: &Keypair, to: &Pubkey, lamports: u64) -> Message {
        let transfer = transfer(&from.pubkey(), to, lamports);
        Message::new_with_blockhash(&[transfer], Some(&from.pubkey()), &self.blockhash())
    }

    pub(crate) fn transfer(
        &self,
        from: &Keypair,
        to: &Pubkey,
        lamports: u64,
    ) -> VersionedTransaction {
        let message = VersionedMessage::Legacy(self.message(from, to, lamports));
        VersionedTransaction::try_new(message, &[from]).unwrap()
    }
}

pub(crate) fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    solana_system_interface::instruction::transfer(from, to, lamports)
}

pub(crate) fn code(error: &Value) -> i64 {
    error["code"].as_i64().unwrap_or_default()
}
