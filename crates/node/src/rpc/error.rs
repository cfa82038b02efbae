use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    chain::{ChainError, StoreError},
    pool::PoolError,
};

/// The error of a request, with the codes of JSON-RPC 2.0 and of Ethereum's
/// clients (EIP-1474).
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// What kind of error it is.
    pub code: i64,
    /// What is wrong.
    pub message: Cow<'static, str>,
    /// More of it, such as what a reverted call returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// The request is no JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON is no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const NO_METHOD: i64 = -32601;
    /// The parameters are not those of the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Something in here failed.
    pub const INTERNAL: i64 = -32603;
    /// The method did not succeed.
    pub const SERVER: i64 = -32000;
    /// What was asked for is not there.
    pub const NOT_FOUND: i64 = -32001;
    /// More was asked for than is given.
    pub const LIMIT: i64 = -32005;
    /// An error with this code.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The method did not succeed.
    pub fn server(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::SERVER, message)
    }

    /// The parameters are not those of the method.
    pub fn params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::INVALID_PARAMS, message)
    }

    /// Something in here failed.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self::new(Self::INTERNAL, format!("internal error: {error}"))
    }

    /// There is no such method.
    pub fn no_method(method: &str) -> Self {
        let text = format!("the method {method} does not exist/is not available");
        Self::new(Self::NO_METHOD, text)
    }

    /// More was asked for than is given.
    pub fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::LIMIT, message)
    }

    /// Adds data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        ChainError::from(error).into()
    }
}

impl From<PoolError> for RpcError {
    fn from(error: PoolError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<polity_kernel::ViewError> for RpcError {
    fn from(error: polity_kernel::ViewError) -> Self {
        ChainError::from(error).into()
    }
}

impl From<polity_state::StateError> for RpcError {
    fn from(error: polity_state::StateError) -> Self {
        ChainError::from(error).into()
    }
}

/// What a method gives: JSON, or an error.
pub type Reply = Result<Box<RawValue>, RpcError>;

/// A value as JSON.
///
/// # Errors
/// It cannot be written as JSON, which is a fault of ours.
pub fn reply<T: Serialize>(value: &T) -> Reply {
    serde_json::value::to_raw_value(value)
        .map_err(|error| RpcError::new(RpcError::INTERNAL, error.to_string()))
}
