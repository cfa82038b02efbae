//! Transactions of tests that give no signed bytes: built from the fields.
//!
//! Nobody signed them, so they take the way of a simulation. The rules that
//! belong to the signature are not tested by such tests.

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use k256::{ecdsa::SigningKey, elliptic_curve::sec1::ToEncodedPoint};
use polity_evm::Unsigned;
use polity_kernel::Decoded;
use revm::{context::TxEnv, context_interface::either::Either};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    exception::Refusal,
    format::{Indexes, Quantity, Uint, parse},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Template {
    /// Numbers that may be too big for any transaction stay text until used.
    nonce: String,
    #[serde(default)]
    to: String,
    data: Vec<Bytes>,
    gas_limit: Vec<String>,
    value: Vec<String>,
    gas_price: Option<String>,
    max_fee_per_gas: Option<String>,
    max_priority_fee_per_gas: Option<String>,
    max_fee_per_blob_gas: Option<String>,
    access_lists: Option<Vec<Option<Vec<AccessEntry>>>>,
    blob_versioned_hashes: Option<Vec<B256>>,
    authorization_list: Option<Vec<AuthorizationEntry>>,
    sender: Option<Address>,
    secret_key: Option<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessEntry {
    address: Address,
    storage_keys: Vec<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationEntry {
    chain_id: Uint,
    address: Address,
    nonce: Quantity,
    #[serde(alias = "v")]
    y_parity: Quantity,
    r: Uint,
    s: Uint,
}

/// Builds a variant of a transaction.
///
/// # Errors
/// The outer: the test is malformed. The inner: there is no such transaction.
pub(crate) fn build(
    fields: &Value,
    indexes: Indexes,
    chain_id: u64,
) -> Result<Result<Decoded, Refusal>, String> {
    let template: Template = serde_path_to_error::deserialize(fields)
        .map_err(|error| format!("transaction: {error}"))?;
    let sender = match (template.sender, template.secret_key) {
        (Some(sender), _) => sender,
        (None, Some(key)) => address_of(&key)?,
        (None, None) => return Err("transaction: neither sender nor secretKey".into()),
    };
    let missing = |what: &str, at: usize| format!("transaction: no {what} with the index {at}");
    let data = template.data.get(indexes.data).ok_or_else(|| missing("data", indexes.data))?;
    let gas =
        template.gas_limit.get(indexes.gas).ok_or_else(|| missing("gasLimit", indexes.gas))?;
    let value = template.value.get(indexes.value).ok_or_else(|| missing("value", indexes.value))?;
    Ok(template.environment(indexes, sender, data, gas, value, chain_id).map(|env| {
        // Not the hash that the signed transaction has; nothing looks at it.
        let hash = keccak256(format!("{env:?}"));
        Unsigned::for_simulation().transaction(env, hash)
    }))
}

impl Template {
    fn tx_type(&self, access_list: Option<&Vec<AccessEntry>>) -> u8 {
        if self.authorization_list.is_some() {
            4
        } else if self.blob_versioned_hashes.is_some() || self.max_fee_per_blob_gas.is_some() {
            3
        } else if self.max_fee_per_gas.is_some() {
            2
        } else {
            u8::from(access_list.is_some())
        }
    }

    fn environment(
        &self,
        indexes: Indexes,
        caller: Address,
        data: &Bytes,
        gas_limit: &str,
        value: &str,
        chain_id: u64,
    ) -> Result<TxEnv, Refusal> {
        let access_list =
            self.access_lists.as_ref().and_then(|lists| lists.get(indexes.data)?.as_ref());
        let tx_type = self.tx_type(access_list);
        let price = self.max_fee_per_gas.as_ref().or(self.gas_price.as_ref());
        let items = access_list.into_iter().flatten().map(|item| AccessListItem {
            address: item.address,
            storage_keys: item.storage_keys.clone(),
        });
        let kind = match self.to.as_str() {
            "" | "0x" => TxKind::Create,
            to => TxKind::Call(to.parse().map_err(|error| malformed("to", error))?),
        };
        let optional = |field, text: &Option<String>| {
            text.as_ref().map(|text| narrow::<u128>(field, text)).transpose()
        };
        let authorizations = self.authorization_list.iter().flatten();
        Ok(TxEnv {
            tx_type,
            caller,
            gas_limit: narrow("gasLimit", gas_limit)?,
            gas_price: price.map_or(Ok(0), |text| narrow("gasPrice", text))?,
            kind,
            value: parse(value).map_err(|error| malformed("value", error))?,
            data: data.clone(),
            nonce: narrow("nonce", &self.nonce)?,
            chain_id: (tx_type > 0).then_some(chain_id),
            access_list: AccessList(items.collect()),
            gas_priority_fee: optional("maxPriorityFeePerGas", &self.max_priority_fee_per_gas)?,
            blob_hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: optional("maxFeePerBlobGas", &self.max_fee_per_blob_gas)?
                .unwrap_or_default(),
            authorization_list: authorizations
                .map(|entry| Either::Right(entry.recover()))
                .collect(),
        })
    }
}

impl AuthorizationEntry {
    fn recover(&self) -> RecoveredAuthorization {
        let inner =
            Authorization { chain_id: self.chain_id.0, address: self.address, nonce: self.nonce.0 };
        // A parity that is none becomes one that is none in a byte, too.
        let parity = u8::try_from(self.y_parity.0).unwrap_or(u8::MAX);
        let signed = SignedAuthorization::new_unchecked(inner, parity, self.r.0, self.s.0);
        let authority = signed
            .recover_authority()
            .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
        RecoveredAuthorization::new_unchecked(signed.strip_signature(), authority)
    }
}

fn malformed(field: &str, error: impl core::fmt::Display) -> Refusal {
    Refusal::new(&[crate::encoding::MALFORMED], format!("{field}: {error}"))
}

fn narrow<T: TryFrom<U256>>(field: &str, text: &str) -> Result<T, Refusal> {
    let number = parse(text).map_err(|error| malformed(field, error))?;
    T::try_from(number).map_err(|_| malformed(field, format_args!("{text} is too big")))
}

/// The address of a private key.
fn address_of(key: &B256) -> Result<Address, String> {
    let key = SigningKey::from_slice(key.as_slice())
        .map_err(|_| String::from("transaction: secretKey is no key"))?;
    let point = key.verifying_key().as_affine().to_encoded_point(false);
    let uncompressed = point.as_bytes();
    Ok(Address::from_raw_public_key(uncompressed.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;
    use polity_evm::Transaction;
    use serde_json::json;

    use super::*;

    const KEY: &str = "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8";

    fn legacy() -> Value {
        json!({"nonce": "0x01", "to": "", "data": ["0x", "0x01"], "gasLimit": ["0x5208"],
            "value": ["0x:bigint 0x05"], "gasPrice": "10", "secretKey": KEY})
    }

    fn env(fields: &Value, indexes: Indexes) -> TxEnv {
        let decoded = build(fields, indexes, 7).unwrap().unwrap();
        decoded.payload::<Transaction>().unwrap().env.clone()
    }

    #[test]
    fn the_sender_is_that_of_the_key() {
        let env = env(&legacy(), Indexes { data: 1, gas: 0, value: 0 });
        assert_eq!(env.caller, address!("a94f5374fce5edbc8e2a8697c15331677e6ebf0b"));
        assert_eq!((env.tx_type, env.chain_id, env.kind), (0, None, TxKind::Create));
        assert_eq!((env.gas_limit, env.gas_price, env.value), (21_000, 10, U256::from(5)));
        assert_eq!(env.data.as_ref(), [1]);
    }

    #[test]
    fn the_type_follows_from_the_fields() {
        let mut fields = legacy();
        for (field, value, tx_type) in [
            ("accessLists", json!([[{"address": Address::ZERO, "storageKeys": []}]]), 1),
            ("maxFeePerGas", json!("0x0a"), 2),
            ("blobVersionedHashes", json!([B256::ZERO]), 3),
            (
                "authorizationList",
                json!([{"chainId": "0x00", "address": Address::ZERO,
                "nonce": "0x00", "v": "0x00", "r": "0x01", "s": "0x01"}]),
                4,
            ),
        ] {
            fields[field] = value;
            let env = env(&fields, Indexes::default());
            assert_eq!((env.tx_type, env.chain_id), (tx_type, Some(7)));
            assert_eq!(env.access_list.len(), 1);
        }
    }

    #[test]
    fn impossible_transactions_are_refused_and_malformed_tests_are_errors() {
        let mut fields = legacy();
        fields["gasLimit"] = json!(["0x10000000000000000"]);
        let refusal = build(&fields, Indexes::default(), 1).unwrap().unwrap_err();
        assert_eq!(refusal.names, ["MALFORMED"]);
        let out = Indexes { data: 9, gas: 0, value: 0 };
        assert!(build(&legacy(), out, 1).unwrap_err().contains("no data"));
        assert!(build(&json!({}), Indexes::default(), 1).is_err());
    }
}
