//! Another node, asked over JSON-RPC: a blocking client, and the state after a block of that node.
//!
//! What a node answers is not trusted: the result is a value or an error that names the node, the
//! method and the field, and never a panic.

#![forbid(unsafe_code)]

mod error;
pub mod json;
mod rpc;
mod state;

pub use error::{BlockFault, RemoteError};
pub use rpc::{Call, RpcClient, RpcOptions};
pub use state::{Ancestor, SourceAccount, StatePart, ancestors, read_state};
