//! Transactions as JSON-RPC writes them, to and from signed envelopes.

use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, Signed, Transaction as _, TxEip1559, TxEip2930,
    TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use serde::{Deserialize, Serialize};

use crate::{error::BlockFault, json::Quantity};

/// One entry of an access list, in either spelling.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAccess {
    address: Address,
    #[serde(alias = "storage_keys")]
    storage_keys: Vec<B256>,
}

/// One signed authorization of EIP-7702, in either spelling.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawAuthorization {
    #[serde(alias = "chain_id")]
    chain_id: Quantity<U256>,
    address: Address,
    nonce: Quantity<u64>,
    #[serde(alias = "y_parity")]
    y_parity: Option<Quantity<u8>>,
    #[serde(skip_serializing)]
    v: Option<Quantity<u8>>,
    r: Quantity<U256>,
    s: Quantity<U256>,
}

pub(crate) fn access_list(raw: Vec<RawAccess>) -> AccessList {
    raw.into_iter()
        .map(|RawAccess { address, storage_keys }| AccessListItem { address, storage_keys })
        .collect::<Vec<_>>()
        .into()
}

pub(crate) fn authorizations(
    raw: Vec<RawAuthorization>,
    field: &str,
) -> Result<Vec<SignedAuthorization>, BlockFault> {
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let Some(Quantity(y_parity)) = raw.y_parity.or(raw.v) else {
                return Err(BlockFault::Missing {
                    field: format!("{field}[{index}].yParity"),
                    reason: "an authorization is signed",
                });
            };
            let inner = Authorization {
                chain_id: raw.chain_id.0,
                address: raw.address,
                nonce: raw.nonce.0,
            };
            Ok(SignedAuthorization::new_unchecked(inner, y_parity, raw.r.0, raw.s.0))
        })
        .collect()
}

/// A transaction of a block as JSON-RPC writes it: the fields of all types side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTransaction {
    #[serde(rename = "type")]
    kind: Option<Quantity<u64>>,
    pub(crate) hash: B256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_hash: Option<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_number: Option<Quantity<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction_index: Option<Quantity<u64>>,
    pub(crate) from: Address,
    #[serde(default)]
    to: Option<Address>,
    nonce: Quantity<u64>,
    gas: Quantity<u64>,
    value: Quantity<U256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_id: Option<Quantity<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gas_price: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_fee_per_gas: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_priority_fee_per_gas: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_fee_per_blob_gas: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_list: Option<Vec<RawAccess>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization_list: Option<Vec<RawAuthorization>>,
    r: Quantity<U256>,
    s: Quantity<U256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y_parity: Option<Quantity<u64>>,
}

/// The place of a transaction, for errors.
struct Place<'a>(&'a str);

impl Place<'_> {
    fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }

    fn need<T>(&self, value: Option<T>, name: &str, reason: &'static str) -> Result<T, BlockFault> {
        value.ok_or_else(|| BlockFault::Missing { field: self.field(name), reason })
    }

    fn number<T>(
        &self,
        value: Option<Quantity<T>>,
        name: &str,
        reason: &'static str,
    ) -> Result<T, BlockFault> {
        self.need(value, name, reason).map(|quantity| quantity.0)
    }
}

const TYPED: &str = "every transaction of type 0x1 and above has it";
const FEE_CAPPED: &str = "transactions of type 0x2, 0x3 and 0x4 have it";
const NO_CREATE: &str = "transactions of type 0x3 and 0x4 cannot create a contract";

impl RawTransaction {
    /// The signed transaction; `field` is the JSON path of this object.
    pub(crate) fn to_envelope(
        &self,
        field: &str,
    ) -> Result<EthereumTxEnvelope<TxEip4844>, BlockFault> {
        let place = Place(field);
        let nonce = self.nonce.0;
        let gas_limit = self.gas.0;
        let value = self.value.0;
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let input = match (&self.input, &self.data) {
            (Some(input), None) => input.clone(),
            (None, Some(data)) => data.clone(),
            (Some(input), Some(data)) if input == data => input.clone(),
            (Some(_), Some(_)) => {
                return Err(BlockFault::invalid(place.field("data"), "differs from `input`"));
            }
            (None, None) => place.need(None, "input", "every transaction has it, if only as 0x")?,
        };
        let chain_id = || place.number(self.chain_id, "chainId", TYPED);
        let gas_price =
            || place.number(self.gas_price, "gasPrice", "transactions of type 0x0 and 0x1 have it");
        let max_fee = || place.number(self.max_fee_per_gas, "maxFeePerGas", FEE_CAPPED);
        let tip =
            || place.number(self.max_priority_fee_per_gas, "maxPriorityFeePerGas", FEE_CAPPED);
        let access = || place.need(self.access_list.clone(), "accessList", TYPED).map(access_list);
        let callee = || place.need(self.to, "to", NO_CREATE);

        Ok(match self.kind.map_or(0, |kind| kind.0) {
            0 => {
                let (signature, chain_id) = self.legacy_signature(&place)?;
                if let (Some(Quantity(written)), Some(signed)) = (self.chain_id, chain_id)
                    && written != signed
                {
                    return Err(BlockFault::Mismatch {
                        field: place.field("chainId"),
                        computed_from: "`v`",
                        computed: signed.to_string(),
                        found: written.to_string(),
                    });
                }
                sign(
                    TxLegacy {
                        chain_id,
                        nonce,
                        gas_price: gas_price()?,
                        gas_limit,
                        to,
                        value,
                        input,
                    },
                    signature,
                )
            }
            1 => sign(
                TxEip2930 {
                    chain_id: chain_id()?,
                    nonce,
                    gas_price: gas_price()?,
                    gas_limit,
                    to,
                    value,
                    access_list: access()?,
                    input,
                },
                self.typed_signature(&place)?,
            ),
            2 => sign(
                TxEip1559 {
                    chain_id: chain_id()?,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee()?,
                    max_priority_fee_per_gas: tip()?,
                    to,
                    value,
                    access_list: access()?,
                    input,
                },
                self.typed_signature(&place)?,
            ),
            3 => sign(
                TxEip4844 {
                    chain_id: chain_id()?,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee()?,
                    max_priority_fee_per_gas: tip()?,
                    to: callee()?,
                    value,
                    access_list: access()?,
                    blob_versioned_hashes: place.need(
                        self.blob_versioned_hashes.clone(),
                        "blobVersionedHashes",
                        "transactions of type 0x3 have it",
                    )?,
                    max_fee_per_blob_gas: place.number(
                        self.max_fee_per_blob_gas,
                        "maxFeePerBlobGas",
                        "transactions of type 0x3 have it",
                    )?,
                    input,
                },
                self.typed_signature(&place)?,
            ),
            4 => sign(
                TxEip7702 {
                    chain_id: chain_id()?,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee()?,
                    max_priority_fee_per_gas: tip()?,
                    to: callee()?,
                    value,
                    access_list: access()?,
                    authorization_list: authorizations(
                        place.need(
                            self.authorization_list.clone(),
                            "authorizationList",
                            "transactions of type 0x4 have it",
                        )?,
                        &place.field("authorizationList"),
                    )?,
                    input,
                },
                self.typed_signature(&place)?,
            ),
            other => {
                return Err(BlockFault::invalid(
                    place.field("type"),
                    format!(
                        "transactions of type {other:#x} are not Ethereum's; only 0x0 to 0x4 can be replayed"
                    ),
                ));
            }
        })
    }

    fn legacy_signature(&self, place: &Place<'_>) -> Result<(Signature, Option<u64>), BlockFault> {
        let v = place.number(self.v, "v", "transactions of type 0x0 are signed with it")?;
        let (parity, chain_id) = match v {
            0 | 1 => (v == 1, None),
            27 | 28 => (v == 28, None),
            35.. => {
                let rest = v.saturating_sub(35);
                let chain_id = u64::try_from(rest / 2).map_err(|_| {
                    BlockFault::invalid(place.field("v"), "names a chain id above 64 bits")
                })?;
                (rest % 2 == 1, Some(chain_id))
            }
            _ => {
                return Err(BlockFault::invalid(
                    place.field("v"),
                    format!("{v} is no signature value; 27, 28 and 35 upwards are"),
                ));
            }
        };
        Ok((Signature::new(self.r.0, self.s.0, parity), chain_id))
    }

    fn typed_signature(&self, place: &Place<'_>) -> Result<Signature, BlockFault> {
        let (name, parity) = match (self.y_parity, self.v) {
            (Some(Quantity(parity)), _) => ("yParity", u128::from(parity)),
            (None, v) => ("v", place.number(v, "yParity", TYPED)?),
        };
        match parity {
            0 | 1 => Ok(Signature::new(self.r.0, self.s.0, parity == 1)),
            _ => Err(BlockFault::invalid(
                place.field(name),
                format!("{parity} is no parity; 0 and 1 are"),
            )),
        }
    }

    /// The JSON of a signed transaction in a block.
    pub(crate) fn from_envelope(
        envelope: &EthereumTxEnvelope<TxEip4844>,
        from: Address,
        block_hash: B256,
        block_number: u64,
        index: u64,
        base_fee: Option<u64>,
    ) -> Self {
        let signature = envelope.signature();
        let parity = signature.v();
        let legacy = envelope.is_legacy();
        let typed = !legacy;
        let v = match (legacy, envelope.chain_id()) {
            (true, Some(chain_id)) => {
                u128::from(chain_id).saturating_mul(2).saturating_add(35 + u128::from(parity))
            }
            (true, None) => 27 + u128::from(parity),
            (false, _) => u128::from(parity),
        };
        let capped = envelope.is_dynamic_fee();
        Self {
            kind: Some(Quantity(u64::from(u8::from(envelope.tx_type())))),
            hash: *envelope.tx_hash(),
            block_hash: Some(block_hash),
            block_number: Some(Quantity(block_number)),
            transaction_index: Some(Quantity(index)),
            from,
            to: envelope.to(),
            nonce: Quantity(envelope.nonce()),
            gas: Quantity(envelope.gas_limit()),
            value: Quantity(envelope.value()),
            input: Some(envelope.input().clone()),
            data: None,
            chain_id: envelope.chain_id().map(Quantity),
            gas_price: Some(Quantity(envelope.effective_gas_price(base_fee))),
            max_fee_per_gas: capped.then(|| Quantity(envelope.max_fee_per_gas())),
            max_priority_fee_per_gas: envelope.max_priority_fee_per_gas().map(Quantity),
            max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().map(Quantity),
            access_list: envelope.access_list().map(|list| {
                list.iter()
                    .map(|item| RawAccess {
                        address: item.address,
                        storage_keys: item.storage_keys.clone(),
                    })
                    .collect()
            }),
            blob_versioned_hashes: envelope.blob_versioned_hashes().map(<[B256]>::to_vec),
            authorization_list: envelope.authorization_list().map(|list| {
                list.iter()
                    .map(|signed| RawAuthorization {
                        chain_id: Quantity(signed.chain_id),
                        address: signed.address,
                        nonce: Quantity(signed.nonce),
                        y_parity: Some(Quantity(signed.y_parity())),
                        v: None,
                        r: Quantity(signed.r()),
                        s: Quantity(signed.s()),
                    })
                    .collect()
            }),
            r: Quantity(signature.r()),
            s: Quantity(signature.s()),
            v: Some(Quantity(v)),
            y_parity: typed.then(|| Quantity(u64::from(parity))),
        }
    }
}

fn sign<T>(transaction: T, signature: Signature) -> EthereumTxEnvelope<TxEip4844>
where
    T: SignableTransaction<Signature>,
    EthereumTxEnvelope<TxEip4844>: From<Signed<T>>,
{
    transaction.into_signed(signature).into()
}
