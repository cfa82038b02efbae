//! What the state holds.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use alloy_rpc_types_eth::{AccountInfo, EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use polity_evm::{account, read_account, read_code};
use polity_kernel::View;
use polity_types::{AccountRecord, LocalKey};
use polity_verify::Key;
use serde::Serialize;

use super::Ethereum;
use crate::{
    chain::ChainView,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_getBalance", |door, params| {
        let (record, _) = record(door, params)?;
        reply(&record.balance)
    });
    methods.quick("eth_getTransactionCount", transaction_count);
    methods.quick("eth_getCode", |door, params| {
        let address: Address = params.required()?;
        let state = door.at(params.optional()?)?.state;
        reply(&read_code(&state, address)?)
    });
    methods.quick("eth_getStorageAt", storage_at);
    methods.quick("eth_getAccountInfo", |door, params| {
        let (record, state) = record(door, params)?;
        let code = code(&state, &record)?;
        reply(&AccountInfo { balance: record.balance, nonce: record.sequence, code })
    });
    methods.heavy("eth_getProof", proof);
    methods.heavy("polity_getProof", polity_proof);
}

/// The record of the account that the next parameters name, at the block that
/// they name.
fn record(
    door: &Ethereum,
    params: &mut Params<'_>,
) -> Result<(AccountRecord, ChainView), RpcError> {
    let address: Address = params.required()?;
    let state = door.at(params.optional()?)?.state;
    let record = read_account(&state, address)?.unwrap_or_default();
    Ok((record, state))
}

/// The code of an account.
pub(super) fn code(state: &dyn View, record: &AccountRecord) -> Result<Bytes, RpcError> {
    match record.code {
        Some(code) => Ok(state.code(&code.hash)?.bytes().clone()),
        None => Ok(Bytes::new()),
    }
}

fn transaction_count(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let id: BlockId = params.optional()?.unwrap_or_default();
    if id.is_pending() {
        return reply(&U64::from(door.node.next_nonce(address)?));
    }
    let record = door.at(Some(id))?.state.account(&account(address))?.unwrap_or_default();
    reply(&U64::from(record.sequence))
}

fn storage_at(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let slot: JsonStorageKey = params.required()?;
    let state = door.at(params.optional()?)?.state;
    let key = LocalKey::storage(U256::from_be_bytes(slot.as_b256().0));
    let value = state.slot(&account(address), &key)?.as_word().unwrap_or_default();
    reply(&B256::from(value))
}

/// What `eth_getProof` gives. The state's trie is not Ethereum's, and so are its
/// proofs; `proofFormat` says so.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proven {
    #[serde(flatten)]
    response: EIP1186AccountProofResponse,
    /// How `accountProof` is to be read: its one element is a multiproof of the
    /// account and all slots against `stateRoot`, by `polity-verify`.
    proof_format: &'static str,
    state_root: B256,
}

fn proof(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let slots: Vec<JsonStorageKey> = params.optional()?.unwrap_or_default();
    let at = door.at(params.optional()?)?;
    if at.block.hash != door.node.chain.head().hash {
        let text = "proofs are made for the latest block only";
        return Err(RpcError::server(text));
    }
    let id = account(address);
    let word = |slot: &JsonStorageKey| U256::from_be_bytes(slot.as_b256().0);
    let mut keys = vec![Key::Account(id)];
    keys.extend(slots.iter().map(|slot| Key::Slot(id, LocalKey::storage(word(slot)))));
    let (head, proof) = door.node.chain.state().prove(&keys)?;
    let state = door.node.chain.state().view_at(head.height)?;
    let record = state.account(&id)?.unwrap_or_default();
    let mut storage_proof = Vec::with_capacity(slots.len());
    for slot in slots {
        let value = state.slot(&id, &LocalKey::storage(word(&slot)))?;
        let value = value.as_word().unwrap_or_default();
        storage_proof.push(EIP1186StorageProof::new(slot, value, Vec::new()));
    }
    let response = EIP1186AccountProofResponse {
        address,
        balance: record.balance,
        code_hash: record.code.map_or(KECCAK256_EMPTY, |code| code.hash),
        nonce: record.sequence,
        // There is no trie of an account's own.
        storage_hash: B256::ZERO,
        account_proof: vec![proof.to_bytes().into()],
        storage_proof,
    };
    reply(&Proven { response, proof_format: "polity", state_root: head.root })
}

/// A proof of keys of any machine.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PolityProof {
    number: U64,
    state_root: B256,
    /// As `polity state verify` takes it.
    proof: Bytes,
}

fn polity_proof(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let rows: Vec<Bytes> = params.required()?;
    let keys = rows.iter().map(|row| Key::from_row(row)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| RpcError::params(format!("invalid argument 0: {error}")))?;
    let (head, proof) = door.node.chain.state().prove(&keys)?;
    reply(&PolityProof {
        number: U64::from(head.height),
        state_root: head.root,
        proof: proof.to_bytes().into(),
    })
}
