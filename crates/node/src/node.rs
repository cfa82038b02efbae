use std::sync::Arc;

use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256};
use polity_evm::account;
use polity_kernel::{View, ViewError};
use polity_types::AccountRecord;

use crate::{
    accounts::{AccountError, Accounts},
    chain::{Chain, ChainError, ChainView, Storage, Transaction},
    config::Config,
    dev::Powers,
    fork::{ForkError, Forking, Origin, Remote},
    genesis::Development,
    miner::{Miner, Settings, now},
    pool::{self, Conditions, GuestPool, Pool, PoolError},
};

/// A chain that grows: state, blocks, mempool, the accounts it signs for.
pub struct Node {
    /// The chain.
    pub chain: Arc<Chain>,
    /// What waits for a block.
    pub pool: Arc<Pool>,
    /// What of other machines than Ethereum's waits for a block.
    pub guests: Arc<GuestPool>,
    /// What makes blocks.
    pub miner: Arc<Miner>,
    /// Whom the node signs for.
    pub accounts: Arc<Accounts>,
    /// What it was started with.
    pub config: Config,
    /// What only a development chain can do.
    pub powers: Option<Powers>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The chain cannot be opened.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain cannot go on from another one.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// There are no accounts.
    #[error(transparent)]
    Accounts(#[from] AccountError),
    /// The system refuses something.
    #[error("starting the miner: {0}")]
    Thread(#[from] std::io::Error),
}

impl Node {
    /// Opens the chain and begins to make blocks.
    ///
    /// # Errors
    /// The settings contradict each other, or the folder cannot be opened.
    pub fn start(config: &Config) -> Result<Self, NodeError> {
        let accounts =
            Accounts::derive(&config.mnemonic, &config.derivation_path, config.accounts)?;
        let chain = Arc::new(match &config.forking {
            Some(forking) => fork(config, forking, &accounts)?,
            None => open(config, &accounts)?,
        });
        let pool = Arc::new(Pool::new(config.pool_limit));
        let head = chain.head().header.timestamp;
        let settings = Settings {
            mining: config.mining,
            order: config.order,
            beneficiary: config.beneficiary,
            gas_limit: None,
            next_base_fee: None,
            base_fee: None,
            next_randomness: None,
            next_timestamp: None,
            // A chain whose first block has a time of its own goes on from there.
            offset: if config.timestamp.is_some() || config.forking.is_some() {
                i128::from(head) - i128::from(now(0))
            } else {
                0
            },
            block_interval: None,
        };
        let guests = Arc::new(GuestPool::new(config.pool_limit));
        let miner = Miner::start(chain.clone(), pool.clone(), guests.clone(), settings)?;
        let powers = config.development.then(Powers::of_a_development_chain);
        let accounts = Arc::new(accounts);
        let config = config.clone();
        Ok(Self { chain, pool, guests, miner, accounts, config, powers })
    }

    /// Stops making blocks, and waits until what was made is stored.
    ///
    /// # Errors
    /// The state failed.
    pub fn stop(&self) -> Result<(), ChainError> {
        self.miner.stop();
        self.chain.flush()
    }

    /// What the next block is like for the transactions that want into it.
    ///
    /// # Errors
    /// The last header is not of the chain.
    pub fn conditions(&self) -> Result<Conditions, ChainError> {
        let parent = self.chain.head();
        let header = self.miner.draft(&parent).header(self.chain.spec(), &parent)?;
        let instant = self.miner.settings().mining.is_instant();
        Ok(Conditions {
            fork: self.chain.fork(&header),
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.filter(|_| instant),
            any_sender: false,
        })
    }

    /// Decodes, authenticates and checks a transaction as far as that needs no
    /// state.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn authenticate(
        &self,
        raw: &[u8],
        conditions: &Conditions,
    ) -> Result<Transaction, PoolError> {
        let spec = self.chain.spec();
        let transaction = Transaction::decode(raw, spec.chain_id, conditions.fork)?;
        pool::check(&transaction, spec, conditions)?;
        Ok(transaction)
    }

    /// Takes a transaction into the pool. [`Miner::announce`] makes a block for
    /// it, where that is to be done at once.
    ///
    /// # Errors
    /// Its sender cannot pay for it, or the pool does not take it.
    pub fn submit(
        &self,
        transaction: Transaction,
        conditions: &Conditions,
        state: &ChainView,
    ) -> Result<B256, PoolError> {
        let hash = transaction.hash();
        let failed = |error: ViewError| PoolError::State(error.to_string());
        let sender = state.account(&transaction.decoded.sender).map_err(failed)?;
        let is_delegated = || is_delegated(state, sender.as_ref());
        pool::check_sender(&transaction, sender, is_delegated, conditions)?;
        let address = transaction.sender();
        if !self.pool.add(Arc::new(transaction), sender)? {
            // A block that was made meanwhile may have closed the gap, and would
            // not have found the transaction.
            let latest =
                self.chain.latest().map_err(|error| PoolError::State(error.to_string()))?;
            self.pool.renew_sender(address, &latest);
        }
        Ok(hash)
    }

    /// The nonce of an account's next transaction, those that are pending
    /// included.
    ///
    /// # Errors
    /// The state failed.
    pub fn next_nonce(&self, address: Address) -> Result<u64, ChainError> {
        let record = self.chain.latest()?.account(&account(address))?.unwrap_or_default();
        let pending = self.pool.next_nonce(address).unwrap_or_default();
        Ok(pending.max(record.sequence))
    }
}

/// Whether an account's code is a delegation (EIP-7702), so that it may still
/// send.
fn is_delegated(state: &dyn View, record: Option<&AccountRecord>) -> bool {
    let Some(code) = record.and_then(|record| record.code) else { return false };
    let delegation = |code: Arc<polity_kernel::Code>| {
        code.bytes().starts_with(&[0xef, 0x01, 0x00]) && code.bytes().len() == 23
    };
    state.code(&code.hash).is_ok_and(delegation)
}

/// The chain of a genesis file, or a development chain.
fn open(config: &Config, accounts: &Accounts) -> Result<Chain, NodeError> {
    let genesis = match &config.genesis {
        Some(genesis) => Genesis::clone(genesis),
        None => development_genesis(config, accounts),
    };
    let storage = match config.data_dir.as_deref() {
        None => Storage::Memory,
        Some(folder) => {
            if let Some(origin) = Origin::stored(folder)? {
                return Err(ForkError::NotSaid(origin.number()).into());
            }
            Storage::Folder(folder)
        }
    };
    Ok(Chain::open(&genesis, &config.guests, storage, config.history, config.threads)?)
}

/// A chain that goes on from another one.
fn fork(config: &Config, forking: &Forking, accounts: &Accounts) -> Result<Chain, NodeError> {
    let mut storage = Storage::Memory;
    let remote = match config.data_dir.as_deref() {
        None => Remote::open(forking, None, None)?,
        Some(folder) => {
            storage = Storage::Folder(folder);
            let stored = Origin::stored(folder)?;
            let is_new = stored.is_none();
            if is_new && folder.join("state").exists() {
                return Err(ForkError::NoFork.into());
            }
            let remote = Remote::open(forking, stored, Some(&folder.join("fork")))?;
            if is_new {
                remote.origin().store(folder)?;
            }
            remote
        }
    };
    let spec = forking.spec(remote.origin(), config.fork).map_err(ChainError::from)?;
    let funds = (accounts.addresses(), config.balance);
    let remote = Arc::new(remote);
    let Config { guests, history, threads, .. } = config;
    Ok(Chain::open_fork(spec, remote, funds, guests, storage, *history, *threads)?)
}

fn development_genesis(config: &Config, accounts: &Accounts) -> Genesis {
    let balances = accounts.addresses().iter().map(|address| (*address, config.balance));
    Development {
        chain_id: config.chain_id,
        fork: config.fork,
        timestamp: config.timestamp.unwrap_or_else(|| now(0)),
        gas_limit: config.gas_limit,
        base_fee: config.base_fee,
        number: config.first_block,
        balances: balances.collect(),
    }
    .genesis()
}
