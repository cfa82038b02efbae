//! The flat layout: `env.json` and `txs.json`.

use std::collections::BTreeMap;

use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use serde::Deserialize;

use crate::{
    error::BlockFault,
    json::{self, Quantity, UniqueMap},
    transaction::{self, RawAccess, RawAuthorization},
};

/// The environment of a flat block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatEnv {
    /// The block number.
    pub number: u64,
    /// The account that is paid the fees.
    pub beneficiary: Address,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// The gas limit of the block.
    pub gas_limit: u64,
    /// The base fee per gas in wei.
    pub base_fee: u64,
    /// The difficulty; zero after the merge.
    pub difficulty: U256,
    /// The randomness of the beacon chain; `None` before the merge.
    pub prevrandao: Option<B256>,
    /// The excess blob gas; `None` before Cancun.
    pub excess_blob_gas: Option<u64>,
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// The name of the fork, as revm spells it: `Prague`.
    pub spec_id: String,
}

/// A transaction without a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatTransaction {
    /// The EIP-2718 type, 0 to 4.
    pub tx_type: u8,
    /// The sender.
    pub caller: Address,
    /// The callee, or the creation of a contract.
    pub to: TxKind,
    /// The nonce of the sender.
    pub nonce: u64,
    /// The amount in wei.
    pub value: U256,
    /// The input or init code.
    pub data: Bytes,
    /// The gas limit.
    pub gas_limit: u64,
    /// The gas price of types 0 and 1, the fee cap of types 2 to 4, in wei per gas.
    pub gas_price: u128,
    /// The tip cap of types 2 to 4, in wei per gas.
    pub gas_priority_fee: Option<u128>,
    /// The chain id that was signed, if one was.
    pub chain_id: Option<u64>,
    /// The declared accesses of types 1 to 4.
    pub access_list: AccessList,
    /// The versioned hashes of the blobs of type 3.
    pub blob_hashes: Vec<B256>,
    /// The cap of the blob fee of type 3, in wei per blob gas.
    pub max_fee_per_blob_gas: u128,
    /// The authorizations of type 4.
    pub authorization_list: Vec<SignedAuthorization>,
}

/// A block of the flat layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatBlock {
    /// The environment.
    pub env: FlatEnv,
    /// The transactions in order.
    pub transactions: Vec<FlatTransaction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnv {
    number: Quantity<u64>,
    coinbase: Address,
    timestamp: Quantity<u64>,
    gas_limit: Quantity<u64>,
    basefee: Quantity<u64>,
    difficulty: Quantity<U256>,
    prevrandao: Option<B256>,
    excess_blob_gas: Option<Quantity<u64>>,
    chain_id: Quantity<u64>,
    spec_id: String,
    #[serde(default)]
    block_hashes: UniqueMap<u64, B256>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFlatTransaction {
    tx_type: Quantity<u8>,
    caller: Address,
    #[serde(default)]
    to: Option<String>,
    nonce: Quantity<u64>,
    value: Quantity<U256>,
    data: Bytes,
    gas_limit: Quantity<u64>,
    gas_price: Quantity<u128>,
    gas_priority_fee: Option<Quantity<u128>>,
    chain_id: Option<Quantity<u64>>,
    #[serde(default)]
    access_list: Vec<RawAccess>,
    #[serde(default)]
    blob_hashes: Vec<B256>,
    max_fee_per_blob_gas: Option<Quantity<u128>>,
    #[serde(default)]
    authorization_list: Vec<RawAuthorization>,
}

/// Parses `env.json`; the second value is the hashes of ancestors.
pub(crate) fn parse_env(text: &[u8]) -> Result<(FlatEnv, BTreeMap<u64, B256>), BlockFault> {
    let raw: RawEnv = json::parse(text)?;
    let env = FlatEnv {
        number: raw.number.0,
        beneficiary: raw.coinbase,
        timestamp: raw.timestamp.0,
        gas_limit: raw.gas_limit.0,
        base_fee: raw.basefee.0,
        difficulty: raw.difficulty.0,
        prevrandao: raw.prevrandao,
        excess_blob_gas: raw.excess_blob_gas.map(|gas| gas.0),
        chain_id: raw.chain_id.0,
        spec_id: raw.spec_id,
    };
    Ok((env, raw.block_hashes.0))
}

/// Parses `txs.json`.
pub(crate) fn parse_transactions(text: &[u8]) -> Result<Vec<FlatTransaction>, BlockFault> {
    let raw: Vec<RawFlatTransaction> = json::parse(text)?;
    raw.into_iter().enumerate().map(|(index, raw)| convert(raw, index)).collect()
}

fn convert(raw: RawFlatTransaction, index: usize) -> Result<FlatTransaction, BlockFault> {
    let tx_type = raw.tx_type.0;
    let invalid =
        |field: &str, reason: String| BlockFault::invalid(format!("[{index}].{field}"), reason);
    let to = match raw.to.as_deref() {
        None | Some("" | "0x") => TxKind::Create,
        Some(address) => match address.parse() {
            Ok(address) => TxKind::Call(address),
            Err(error) => return Err(invalid("to", format!("{address:.80?}: {error}"))),
        },
    };
    let forbid = |present: bool, field: &str, types: &str| {
        if present {
            let reason =
                format!("only transactions of type {types} have it, and this is of type {tx_type}");
            return Err(invalid(field, reason));
        }
        Ok(())
    };
    if tx_type > 4 {
        return Err(invalid("tx_type", format!("{tx_type} is not one of Ethereum's: 0 to 4 are")));
    }
    if tx_type >= 3 && to.is_create() {
        return Err(invalid("to", format!("missing, but type {tx_type} cannot create a contract")));
    }
    if tx_type >= 2 && raw.gas_priority_fee.is_none() {
        return Err(invalid("gas_priority_fee", format!("missing, but type {tx_type} has it")));
    }
    forbid(tx_type == 0 && !raw.access_list.is_empty(), "access_list", "1 to 4")?;
    forbid(tx_type != 3 && !raw.blob_hashes.is_empty(), "blob_hashes", "3")?;
    forbid(tx_type != 4 && !raw.authorization_list.is_empty(), "authorization_list", "4")?;
    let authorization_list = transaction::authorizations(
        raw.authorization_list,
        &format!("[{index}].authorization_list"),
    )?;
    Ok(FlatTransaction {
        tx_type,
        caller: raw.caller,
        to,
        nonce: raw.nonce.0,
        value: raw.value.0,
        data: raw.data,
        gas_limit: raw.gas_limit.0,
        gas_price: raw.gas_price.0,
        gas_priority_fee: raw.gas_priority_fee.map(|fee| fee.0),
        chain_id: raw.chain_id.map(|id| id.0),
        access_list: transaction::access_list(raw.access_list),
        blob_hashes: raw.blob_hashes,
        max_fee_per_blob_gas: raw.max_fee_per_blob_gas.map_or(0, |fee| fee.0),
        authorization_list,
    })
}
