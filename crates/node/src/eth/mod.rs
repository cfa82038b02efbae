//! Ethereum's front door: JSON-RPC as its tools speak it.

mod access;
mod accounts;
mod blobs;
mod blocks;
mod call;
mod convert;
mod edit;
mod elsewhere;
mod erc20;
mod estimate;
mod failure;
mod fees;
mod filters;
mod fork_config;
mod guard;
mod logs;
mod mining;
mod net;
mod overrides;
mod parity;
mod past;
mod polity;
mod reorg;
mod reset;
mod resolve;
mod retrace;
mod scene;
mod shapes;
mod simulate;
mod simulation;
mod snapshot;
mod state;
mod storage;
mod subscribe;
mod tell;
mod trace;
mod transactions;
mod tree;
mod txpool;

use std::sync::{Arc, OnceLock};

use crate::{
    Node,
    dev::Powers,
    rpc::{Door, Methods, WeakDoor},
};

pub use access::create_access_list;
pub use call::{call, call_many};
pub use estimate::estimate_gas;
pub use failure::CallError;
pub use filters::forget as forget_filters;
pub use net::CLIENT_VERSION;
pub use parity::{
    replay_block, replay_transaction, trace_block, trace_call as parity_call,
    trace_call_many as parity_call_many, trace_filter, trace_get, trace_raw, trace_transaction,
};
pub use past::Past;
pub use resolve::At;
pub use scene::{GAS_CAP, Scene, Stage};
pub use simulate::{SimulatedTransaction, simulate};
pub use trace::{debug_block, debug_call, debug_transaction};

/// What Ethereum's methods are answered with.
pub struct Ethereum {
    /// The node.
    pub node: Arc<Node>,
    filters: filters::Filters,
    snapshots: snapshot::Snapshots,
    /// Where it is hung, so that another can take its place.
    door: OnceLock<WeakDoor<Self>>,
}

impl Ethereum {
    /// A front door to this node.
    pub fn new(node: Arc<Node>) -> Self {
        let filters = filters::Filters::new(node.config.limits.subscriptions);
        let snapshots = snapshot::Snapshots::default();
        Self { node, filters, snapshots, door: OnceLock::new() }
    }

    /// A front door to this node, behind which another node can take its place
    /// (`anvil_reset`).
    pub fn door(node: Arc<Node>) -> Door<Self> {
        let door = Door::new(Arc::new(Self::new(node)));
        // It is new, and so has none yet.
        let _ = door.get().door.set(door.downgrade());
        door
    }

    /// Its methods; with powers of development those that change the chain, too.
    pub fn methods(powers: Option<Powers>) -> Methods<Self> {
        let mut methods = Methods::default();
        shapes::register(&mut methods);
        net::register(&mut methods);
        fork_config::register(&mut methods);
        blocks::register(&mut methods);
        state::register(&mut methods);
        storage::register(&mut methods);
        transactions::register(&mut methods);
        fees::register(&mut methods);
        logs::register(&mut methods);
        filters::register(&mut methods);
        subscribe::register(&mut methods);
        accounts::register(&mut methods);
        txpool::register(&mut methods);
        simulation::register(&mut methods);
        retrace::register(&mut methods);
        polity::register(&mut methods);
        tell::register(&mut methods);
        if powers.is_some() {
            mining::register(&mut methods);
            edit::register(&mut methods);
            snapshot::register(&mut methods);
            reorg::register(&mut methods);
            reset::register(&mut methods);
            erc20::register(&mut methods);
            blobs::register(&mut methods);
            accounts::register_powers(&mut methods);
        }
        methods.elsewhere(elsewhere::ELSEWHERE);
        methods
    }
}
