//! Errors. Every one names the node and the method, or the field, and says what can be done.

use serde_json::Value;

/// What is wrong with a block or a state, apart from where it was read.
#[derive(Debug, thiserror::Error)]
pub enum BlockFault {
    /// The text is not JSON, or a value has the wrong type.
    #[error("at `{field}`: {source}")]
    Json {
        /// JSON path of the value; `.` is the whole document.
        field: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A field that this kind of block or transaction must have is absent.
    #[error("at `{field}`: missing, but {reason}")]
    Missing {
        /// JSON path of the field.
        field: String,
        /// Why the field must be there.
        reason: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("at `{field}`: {reason}")]
    Invalid {
        /// JSON path of the field.
        field: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A value that can be computed from the rest of the block is a different one.
    #[error(
        "at `{field}`: {found} is written, but {computed_from} gives {computed}; the file was changed or is of another block: fetch it again"
    )]
    Mismatch {
        /// JSON path of the field.
        field: String,
        /// What the value was computed from.
        computed_from: &'static str,
        /// The computed value.
        computed: String,
        /// The value that was read.
        found: String,
    },
}

/// Why a node does not tell what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL is not one of a node.
    #[error("node URL: {reason}; write it as http://HOST:PORT or https://HOST/PATH")]
    Url {
        /// What is wrong.
        reason: String,
    },
    /// The node was not reached or the connection broke, after all attempts.
    #[error(
        "{method} at {host}: {source} (attempt {attempts} of {attempts}); check that the node runs and is reachable, or raise the timeout"
    )]
    Transport {
        /// The node, without path and query, which may hold a key.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// What the transport says.
        source: Box<ureq::Error>,
    },
    /// The node answered with an HTTP status instead of JSON-RPC.
    #[error(
        "{method} at {host}: HTTP status {status}: {body}; check the URL, the key in it and the rate limit"
    )]
    Status {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The HTTP status code.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method} at {host}: error {code}: {message}{}", more(data.as_ref()))]
    Rpc {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
        /// What it gives beside the message.
        data: Option<Value>,
    },
    /// The state before the block is not to be had.
    #[error(
        "{method} at {host} for the state of block {block}: error {code}: {message}; a node prunes old state: take a recent block or an archive node"
    )]
    State {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The block whose state was asked for.
        block: u64,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// The answer is not what the method promises.
    #[error("{method} at {host}: {fault}")]
    Answer {
        /// The node, without path and query.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The field and what is wrong with it.
        fault: Box<BlockFault>,
    },
    /// The node does not have the block.
    #[error("{host}: has no block {block}; check the number, or wait until the node is in sync")]
    NoSuchBlock {
        /// The node, without path and query.
        host: String,
        /// The block as it was asked for.
        block: String,
    },
    /// Something was read that cannot be part of the state before the block.
    #[error("{what}: {reason}")]
    NotReadable {
        /// What was asked for.
        what: String,
        /// Why it cannot be had.
        reason: &'static str,
    },
}

/// What a node gives beside an error's message, as far as it is a text and short.
pub(crate) fn more(data: Option<&Value>) -> String {
    match data {
        Some(Value::String(data)) => format!(" ({data:.200})"),
        _ => String::new(),
    }
}

impl BlockFault {
    /// A field that has a value that cannot be.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }
}
