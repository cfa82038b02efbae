//! The state after a block of a node, in as few requests as possible.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};

use crate::{
    error::{BlockFault, RemoteError, more},
    json::{Quantity, parse_hex},
    rpc::{Call, RpcClient},
};

/// An account as a node gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAccount {
    /// The balance in wei.
    pub balance: U256,
    /// The nonce.
    pub nonce: u64,
    /// keccak256 of the code; `None` for an account without code.
    pub code_hash: Option<B256>,
}

impl SourceAccount {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash.is_none()
    }
}

/// A part of a state.
#[derive(Clone, Debug, Default)]
pub struct StatePart {
    /// Accounts, in the order in which they were asked for; `None` for those that are empty.
    pub accounts: Vec<(Address, Option<SourceAccount>)>,
    /// The codes of these accounts.
    pub codes: BTreeMap<B256, Bytes>,
    /// Slots, in the order in which they were asked for.
    pub slots: Vec<((Address, U256), U256)>,
}

/// Reads accounts with their codes, and slots, after a block. `done` is told how many of how many
/// calls are answered.
///
/// # Errors
///
/// The node is not reached or does not have the state.
pub fn read_state(
    client: &RpcClient,
    block: u64,
    accounts: &[Address],
    slots: &[(Address, U256)],
    mut done: impl FnMut(usize, usize),
) -> Result<StatePart, RemoteError> {
    let at = Quantity(block);
    let account_calls = accounts.iter().flat_map(|address| {
        ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"]
            .map(|method| Call { method, params: json!([address, at]) })
    });
    let slot_calls = slots.iter().map(|(address, slot)| Call {
        method: "eth_getStorageAt",
        params: json!([address, B256::from(*slot), at]),
    });
    let calls: Vec<Call> = account_calls.chain(slot_calls).collect();
    let results = client
        .batch(&calls, |answered| done(answered, calls.len()))
        .map_err(|error| state_error(error, block))?;

    let mut results = results.iter();
    let mut part = StatePart::default();
    for address in accounts {
        let balance: Quantity<U256> = take(client, &mut results, "eth_getBalance")?;
        let nonce: Quantity<u64> = take(client, &mut results, "eth_getTransactionCount")?;
        let code: Bytes = take(client, &mut results, "eth_getCode")?;
        let code_hash = (!code.is_empty()).then(|| keccak256(&code));
        let account = SourceAccount { balance: balance.0, nonce: nonce.0, code_hash };
        part.codes.extend(code_hash.map(|hash| (hash, code)));
        part.accounts.push((*address, (!account.is_empty()).then_some(account)));
    }
    for key in slots {
        let value: String = take(client, &mut results, "eth_getStorageAt")?;
        let value = parse_slot(&value)
            .map_err(|reason| client.fault("eth_getStorageAt", BlockFault::invalid(".", reason)))?;
        part.slots.push((*key, value));
    }
    Ok(part)
}

fn take<'a, T: DeserializeOwned>(
    client: &RpcClient,
    results: &mut impl Iterator<Item = &'a Box<RawValue>>,
    method: &'static str,
) -> Result<T, RemoteError> {
    let null = RawValue::NULL;
    client.decode(method, results.next().map_or(null, |result| result))
}

/// Says that it is the old state which the node does not have.
fn state_error(error: RemoteError, block: u64) -> RemoteError {
    match error {
        RemoteError::Rpc { host, method, code, message, data } => {
            let message = format!("{message}{}", more(data.as_ref()));
            RemoteError::State { host, method, block, code, message }
        }
        other => other,
    }
}

/// Nodes differ in how they write a slot: with all digits, without leading zeros, or `0x` for 0.
fn parse_slot(text: &str) -> Result<U256, String> {
    if text == "0x" { Ok(U256::ZERO) } else { parse_hex(text) }
}

/// What of a block is needed to check the chain of hashes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ancestor {
    number: Quantity<u64>,
    /// The hash of the block.
    pub hash: B256,
    /// The hash of the block before.
    pub parent_hash: B256,
}

/// Asks for blocks by number, without their transactions.
///
/// # Errors
///
/// The node is not reached or does not have one of them.
pub fn ancestors(
    client: &RpcClient,
    numbers: impl IntoIterator<Item = u64>,
    done: impl FnMut(usize),
) -> Result<BTreeMap<u64, Ancestor>, RemoteError> {
    const METHOD: &str = "eth_getBlockByNumber";
    let numbers: Vec<u64> = numbers.into_iter().collect();
    let calls: Vec<Call> = numbers
        .iter()
        .map(|number| Call { method: METHOD, params: json!([Quantity(*number), false]) })
        .collect();
    let results = client.batch(&calls, done)?;
    let mut found = BTreeMap::new();
    for (number, result) in numbers.into_iter().zip(&results) {
        let block: Option<Ancestor> = client.decode(METHOD, result)?;
        let block = block.ok_or_else(|| RemoteError::NoSuchBlock {
            host: client.host().into(),
            block: number.to_string(),
        })?;
        if block.number.0 != number {
            return Err(client.fault(
                METHOD,
                BlockFault::invalid("number", format!("{} instead of {number}", block.number.0)),
            ));
        }
        found.insert(number, block);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_any_node_writes_them() {
        let full = format!("0x{:064x}", 5);
        for (text, value) in [("0x", 0), ("0x0", 0), ("0x5", 5), (full.as_str(), 5)] {
            assert_eq!(parse_slot(text), Ok(U256::from(value)));
        }
        for wrong in ["", "5", "0xz", &format!("{full}0")] {
            assert!(parse_slot(wrong).is_err(), "{wrong}");
        }
    }
}
