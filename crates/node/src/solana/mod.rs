//! Solana's front door: JSON-RPC and subscriptions as its tools speak them.
//!
//! A slot is a block, and its hash is the block's. A development chain has no
//! forks, so that whatever commitment is asked for, it is that of the last block.

mod accounts;
mod blocks;
mod cluster;
mod decode;
mod encode;
mod error;
mod faucet;
mod fees;
mod guest;
mod history;
mod keys;
mod meta;
mod moment;
mod notify;
mod program;
mod scan;
mod send;
mod simulate;
mod slots;
mod subscribe;
mod supply;
mod surfnet;
mod token;

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use tokio::sync::Semaphore;

use crate::{
    Node,
    dev::Powers,
    eth::Ethereum,
    miner::Mining,
    rpc::{Door, Methods, RpcError},
};

pub use faucet::FAUCET_LAMPORTS;
pub use guest::SolanaGuest;
pub use keys::{DERIVATION_PATH, SolanaAccounts};

/// What Solana's methods are answered with.
pub struct Solana {
    /// Where the node is found: another can take its place.
    ethereum: Door<Ethereum>,
    scans: scan::Scans,
    faucet: faucet::Faucet,
    slots: slots::Slots,
    /// Held by who takes a transaction in.
    taking_in: Arc<Semaphore>,
    /// Whether a block is going to be made for transactions that can wait for it.
    is_due: AtomicBool,
    /// When blocks were made before the clock was paused, if it is.
    paused: Mutex<Option<Mining>>,
}

/// The chain has no Solana machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this chain has no Solana machine: it was made without")]
pub struct NoSolana;

impl Solana {
    /// A front door to the node behind Ethereum's.
    ///
    /// # Errors
    /// The node has no Solana machine.
    pub fn new(ethereum: Door<Ethereum>) -> Result<Self, NoSolana> {
        let computing = ethereum.get().node.config.limits.computing;
        let door = Self {
            ethereum,
            taking_in: Arc::new(Semaphore::new(computing)),
            is_due: AtomicBool::new(false),
            scans: scan::Scans::default(),
            faucet: faucet::Faucet::new(),
            slots: slots::Slots::default(),
            paused: Mutex::default(),
        };
        match door.node().chain.guests().get(polity_svm::KIND) {
            Some(_) => Ok(door),
            None => Err(NoSolana),
        }
    }

    /// The node behind the door.
    fn node(&self) -> Arc<Node> {
        self.ethereum.get().node.clone()
    }

    /// The powers of development.
    fn powers(node: &Node) -> Result<&Powers, RpcError> {
        node.powers.as_ref().ok_or_else(|| RpcError::server("this is no development chain"))
    }

    /// Its methods; with powers of development those that change the chain, too.
    pub fn methods(powers: Option<Powers>) -> Methods<Self> {
        let mut methods = Methods::default();
        methods.phrase(error::phrased);
        accounts::register(&mut methods);
        program::register(&mut methods);
        token::register(&mut methods);
        supply::register(&mut methods);
        blocks::register(&mut methods);
        history::register(&mut methods);
        fees::register(&mut methods);
        cluster::register(&mut methods);
        send::register(&mut methods);
        simulate::register(&mut methods);
        subscribe::register(&mut methods);
        if powers.is_some() {
            faucet::register(&mut methods);
            surfnet::register(&mut methods);
        }
        methods
    }
}
