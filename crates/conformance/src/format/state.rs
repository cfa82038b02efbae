//! State tests.

use core::fmt;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Accounts, Config, Quantity, Uint};

/// One transaction in several variants, on one state, for several forks.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StateTest {
    pub(crate) env: Env,
    pub(crate) pre: Accounts,
    /// The transaction's fields; looked at only where a post has no `txbytes`,
    /// since they may be such as no transaction can have.
    pub(crate) transaction: Value,
    pub(crate) post: BTreeMap<String, Vec<Post>>,
    #[serde(default)]
    pub(crate) config: Config,
}

/// The block that the transaction is in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Env {
    pub(crate) current_coinbase: Address,
    pub(crate) current_gas_limit: Uint,
    pub(crate) current_number: Quantity,
    pub(crate) current_timestamp: Quantity,
    pub(crate) current_difficulty: Option<Uint>,
    pub(crate) current_random: Option<Uint>,
    pub(crate) current_base_fee: Option<Quantity>,
    pub(crate) current_excess_blob_gas: Option<Quantity>,
    pub(crate) parent_base_fee: Option<Quantity>,
    pub(crate) parent_gas_used: Option<Quantity>,
    pub(crate) parent_gas_limit: Option<Uint>,
    pub(crate) parent_excess_blob_gas: Option<Quantity>,
    pub(crate) parent_blob_gas_used: Option<Quantity>,
    #[serde(default)]
    pub(crate) block_hashes: BTreeMap<Quantity, B256>,
}

/// What one variant of the transaction leaves, at one fork.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Post {
    pub(crate) hash: B256,
    pub(crate) logs: B256,
    pub(crate) indexes: Indexes,
    pub(crate) txbytes: Option<Bytes>,
    #[serde(rename = "expectException")]
    pub(crate) expect_exception: Option<String>,
    pub(crate) state: Option<Accounts>,
}

/// Which of the transaction's variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Indexes {
    pub(crate) data: usize,
    pub(crate) gas: usize,
    pub(crate) value: usize,
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data {}, gas {}, value {}", self.data, self.gas, self.value)
    }
}
