//! Ethereum's front door: JSON-RPC as its tools speak it.

mod accounts;
mod blocks;
mod convert;
mod fees;
mod filters;
mod logs;
mod net;
mod resolve;
mod state;
mod subscribe;
mod transactions;
mod txpool;

use std::sync::Arc;

use crate::{Node, dev::Powers, rpc::Methods};

pub use net::CLIENT_VERSION;
pub use resolve::At;

/// What Ethereum's methods are answered with.
pub struct Ethereum {
    /// The node.
    pub node: Arc<Node>,
    filters: filters::Filters,
}

impl Ethereum {
    /// A front door to this node.
    pub fn new(node: Arc<Node>) -> Self {
        let filters = filters::Filters::new(node.limits.subscriptions);
        Self { node, filters }
    }

    /// Its methods.
    pub fn methods(_: Option<Powers>) -> Methods<Self> {
        let mut methods = Methods::default();
        net::register(&mut methods);
        blocks::register(&mut methods);
        state::register(&mut methods);
        transactions::register(&mut methods);
        fees::register(&mut methods);
        logs::register(&mut methods);
        filters::register(&mut methods);
        subscribe::register(&mut methods);
        accounts::register(&mut methods);
        txpool::register(&mut methods);
        methods
    }
}
