//! The JSON of the tests.

mod chain;
mod number;
mod state;

use std::{collections::BTreeMap, fs, io, path::Path};

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, Bytes};
use polity_evm::spec::{ChainSpec, Fork, Network, SpecError};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub(crate) use chain::ChainTest;
pub(crate) use number::{Quantity, Uint, parse};
pub(crate) use state::{Env, Indexes, Post, StateTest};

use crate::TestKind;

/// Why a file, or one test in it, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file could not be read at all.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not JSON.
    #[error("{file}: not JSON: {source}")]
    Json {
        /// The file.
        file: String,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// A test is not as its format has it.
    #[error("{file}: {test}: at {path}: {message}")]
    Test {
        /// The file.
        file: String,
        /// The test's name.
        test: String,
        /// The place inside the test.
        path: String,
        /// What is wrong there.
        message: String,
    },
}

/// One test of a file.
#[derive(Debug)]
pub(crate) enum Test {
    /// One transaction.
    State(Box<StateTest>),
    /// A chain of blocks.
    Chain(Box<ChainTest>),
}

impl Test {
    pub(crate) const fn kind(&self) -> TestKind {
        match self {
            Self::State(_) => TestKind::State,
            Self::Chain(_) => TestKind::Blockchain,
        }
    }
}

/// What a file holds: its tests by name, each read or not.
pub(crate) type Tests = Vec<(String, Result<Test, FormatError>)>;

/// Reads a file. No tests: it is JSON of another kind. Entries of a kind that
/// is neither of the two are passed over.
pub(crate) fn read(path: &Path) -> Result<Tests, FormatError> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| FormatError::Io { file: file.clone(), source })?;
    parse_file(&file, &bytes)
}

/// Reads the bytes of a file.
pub(crate) fn parse_file(file: &str, bytes: &[u8]) -> Result<Tests, FormatError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|source| FormatError::Json { file: file.into(), source })?;
    let Value::Object(entries) = value else { return Ok(Vec::new()) };
    let mut tests = Vec::new();
    for (name, value) in entries {
        let Value::Object(entry) = &value else { continue };
        let test = match kind(entry) {
            Some(TestKind::State) => {
                typed(file, &name, value).map(|test| Test::State(Box::new(test)))
            }
            Some(TestKind::Blockchain) => {
                typed(file, &name, value).map(|test| Test::Chain(Box::new(test)))
            }
            None => continue,
        };
        tests.push((name, test));
    }
    Ok(tests)
}

fn kind(entry: &Map<String, Value>) -> Option<TestKind> {
    let has = |key: &str| entry.contains_key(key);
    if has("post") && has("transaction") && has("pre") {
        Some(TestKind::State)
    } else if has("blocks") && has("pre") && (has("genesisBlockHeader") || has("genesisRLP")) {
        Some(TestKind::Blockchain)
    } else {
        None
    }
}

fn typed<T: DeserializeOwned>(file: &str, test: &str, value: Value) -> Result<T, FormatError> {
    serde_path_to_error::deserialize(value).map_err(|error| FormatError::Test {
        file: file.into(),
        test: test.into(),
        path: error.path().to_string(),
        message: error.into_inner().to_string(),
    })
}

/// An account as it stands in `pre` and in an expected state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct AccountEntry {
    #[serde(default)]
    pub(crate) nonce: Quantity,
    #[serde(default)]
    pub(crate) balance: Uint,
    #[serde(default)]
    pub(crate) code: Bytes,
    #[serde(default)]
    pub(crate) storage: BTreeMap<Uint, Uint>,
}

/// Accounts by address.
pub(crate) type Accounts = BTreeMap<Address, AccountEntry>;

/// What newer tests say about their chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    #[serde(alias = "chainid")]
    chain_id: Option<Quantity>,
    blob_schedule: Option<BTreeMap<String, BlobEntry>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobEntry {
    target: Quantity,
    max: Quantity,
    base_fee_update_fraction: Quantity,
}

impl Config {
    /// The rules of `network` with what the test changes in them.
    pub(crate) fn spec(&self, network: &str) -> Result<ChainSpec, SpecError> {
        let mut spec = Network::parse(network)?;
        if let Some(chain_id) = self.chain_id {
            spec.chain_id = chain_id.0;
        }
        for (name, entry) in self.blob_schedule.iter().flatten() {
            let fork: Fork = name.parse()?;
            // An entry for a fork that the chain does not have says nothing.
            if spec.activation(fork).is_some() {
                let params = BlobParams {
                    target_blob_count: entry.target.0,
                    max_blob_count: entry.max.0,
                    update_fraction: entry.base_fee_update_fraction.0.into(),
                    ..BlobParams::osaka()
                };
                spec.set_blob_params(fork, params)?;
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_json_holds_no_tests() {
        for text in ["[]", "3", "{}", r#"{"a": 1}"#, r#"{"a": {"post": {}}}"#] {
            assert!(parse_file("f", text.as_bytes()).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        let error = parse_file("f.json", b"{").unwrap_err().to_string();
        assert!(error.starts_with("f.json: not JSON"), "{error}");
    }

    #[test]
    fn a_malformed_test_is_named_with_its_place() {
        let text = r#"{"t": {"env": {}, "pre": {"0x01": 3}, "transaction": {}, "post": {}}}"#;
        let tests = parse_file("f.json", text.as_bytes()).unwrap();
        let [(name, Err(FormatError::Test { path, test, .. }))] = tests.as_slice() else {
            panic!("{tests:?}");
        };
        assert_eq!((name.as_str(), test.as_str(), path.as_str()), ("t", "t", "env"));
    }

    #[test]
    fn a_blob_schedule_changes_the_forks_of_the_chain_only() {
        let config: Config = serde_json::from_str(
            r#"{"chainid": "0x05", "blobSchedule": {
                "Cancun": {"target": "0x01", "max": "0x02", "baseFeeUpdateFraction": "0x03"},
                "Osaka": {"target": "0x04", "max": "0x05", "baseFeeUpdateFraction": "0x06"}}}"#,
        )
        .unwrap();
        let spec = config.spec("Prague").unwrap();
        assert_eq!(spec.chain_id, 5);
        let cancun = spec.blob_params(Fork::Cancun).unwrap();
        assert_eq!((cancun.target_blob_count, cancun.max_blob_count), (1, 2));
        let prague = spec.blob_params(Fork::Prague).unwrap();
        assert_eq!(prague.target_blob_count, BlobParams::prague().target_blob_count);
        assert!(config.spec("Nowhere").is_err());
    }
}
