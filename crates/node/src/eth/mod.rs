//! Ethereum's front door.
//!
//! What is asked of transactions that are executed to see what they do, and of
//! blocks that are executed again: calls, estimates, simulations and traces.
//! A [`Scene`] says where a call takes place, a [`Past`] which block is looked
//! at again; neither knows where states and blocks are kept.

mod access;
mod call;
mod estimate;
mod failure;
mod overrides;
mod parity;
mod past;
mod scene;
mod simulate;
mod trace;

pub use access::create_access_list;
pub use call::{call, call_many};
pub use estimate::estimate_gas;
pub use failure::CallError;
pub use parity::{
    replay_block, replay_transaction, trace_block, trace_call as parity_call,
    trace_call_many as parity_call_many, trace_filter, trace_get, trace_raw, trace_transaction,
};
pub use past::Past;
pub use scene::{GAS_CAP, Scene, Stage};
pub use simulate::{SimulatedTransaction, simulate};
pub use trace::{debug_block, debug_call, debug_transaction};
