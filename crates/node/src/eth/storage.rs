//! What the storage of accounts holds, many slots at once or as a whole.

use std::collections::BTreeMap;

use alloy_consensus::{TrieAccount, proofs::storage_root_unhashed};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rpc_types_eth::Index;
use alloy_serde::JsonStorageKey;
use polity_evm::account;
use polity_kernel::{View, ViewError};
use polity_types::{AccountId, LocalKey, Name, Space};
use polity_verify::{Key, Owner};
use serde::Serialize;

use super::{Ethereum, resolve::no_block};
use crate::{
    chain::ChainView,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// So many slots can be asked for at once.
const MOST_SLOTS: usize = 1024;

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("eth_getAccount", whole_account);
    methods.quick("eth_getStorageValues", values);
    methods.heavy("debug_storageRangeAt", range);
    methods.quick("debug_codeByHash", code_by_hash);
}

/// The slots of an account that are not zero.
///
/// # Errors
/// The state failed, or only a part of it is here.
fn slots(door: &Ethereum, state: &ChainView, id: AccountId) -> Result<Vec<U256>, RpcError> {
    if door.node.chain.remote().is_some() {
        let text = "a fork does not know all slots of an account: of the other chain's state, \
                    only a part is here";
        return Err(RpcError::server(text));
    }
    let cells = state.cells(&Owner::of(&id).row())?;
    let slot = |key| match key {
        Key::Slot(_, LocalKey { space: Space::STORAGE, name: Name::Word(slot) }) => Some(slot),
        Key::Slot(..) | Key::Account(_) => None,
    };
    Ok(cells.into_iter().filter_map(|(key, _)| slot(key)).collect())
}

fn value(state: &dyn View, id: &AccountId, slot: U256) -> Result<U256, ViewError> {
    Ok(state.slot(id, &LocalKey::storage(slot))?.as_word().unwrap_or_default())
}

/// An account as Ethereum's trie would have it. The storage's root is computed from all slots.
fn whole_account(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let address: Address = params.required()?;
    let state = door.at(params.optional()?)?.state;
    let id = account(address);
    let record = state.account(&id)?.unwrap_or_default();
    let mut storage = Vec::new();
    for slot in slots(door, &state, id)? {
        storage.push((B256::from(slot), value(&state, &id, slot)?));
    }
    reply(&TrieAccount {
        nonce: record.sequence,
        balance: record.balance,
        storage_root: storage_root_unhashed(storage),
        code_hash: record.code.map_or(KECCAK256_EMPTY, |code| code.hash),
    })
}

fn values(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let wanted: BTreeMap<Address, Vec<JsonStorageKey>> = params.required()?;
    let state = door.at(params.optional()?)?.state;
    let count = wanted.values().map(Vec::len).fold(0, usize::saturating_add);
    if count > MOST_SLOTS {
        return Err(RpcError::params(format!("too many slots (max {MOST_SLOTS})")));
    }
    let mut found: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for (address, slots) in wanted {
        let id = account(address);
        let value = |slot: JsonStorageKey| {
            value(&state, &id, U256::from_be_bytes(slot.as_b256().0)).map(B256::from)
        };
        let values = slots.into_iter().map(value).collect::<Result<_, _>>()?;
        found.insert(address, values);
    }
    reply(&found)
}

/// The code with a hash, as far as it can still be found.
fn code_by_hash(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let state = door.at(params.optional()?)?.state;
    if hash == KECCAK256_EMPTY {
        return reply(&Bytes::new());
    }
    match state.code(&hash) {
        Ok(code) => reply(code.bytes()),
        Err(ViewError::MissingCode(_)) => reply(&None::<Bytes>),
        Err(error) => Err(error.into()),
    }
}

/// A part of an account's storage, in the order of the slots' hashes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    storage: BTreeMap<B256, Cell>,
    /// The hash of the first slot after the part.
    next_key: Option<B256>,
}

#[derive(Serialize)]
struct Cell {
    key: B256,
    value: B256,
}

/// A part of an account's storage as it is before a transaction of a block.
fn range(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let block: BlockId = params.required()?;
    let index: Index = params.required()?;
    let address: Address = params.required()?;
    let start: Bytes = params.required()?;
    let most: usize = params.required()?;
    let id = account(address);
    let looked = door.look(block)?.ok_or_else(|| no_block(block))?;
    let past = looked.past(door);
    let before = past.before(usize::from(index)).ok_or_else(|| {
        RpcError::server(format!("transaction index {} is not in the block", usize::from(index)))
    })?;
    let stage = past.until(before)?;
    let mut all = slots(door, &looked.before, id)?;
    all.extend(stage.state.slots(&id).filter_map(|(key, _)| match key {
        LocalKey { space: Space::STORAGE, name: Name::Word(slot) } => Some(*slot),
        LocalKey { .. } => None,
    }));
    let hashed = |slot: U256| (keccak256(B256::from(slot)), slot);
    let mut all: BTreeMap<B256, U256> = all.into_iter().map(hashed).collect();
    // A start that is too short or too long is compared as bytes are.
    all.retain(|hash, _| hash.as_slice() >= &start[..]);
    let mut range = Range { storage: BTreeMap::new(), next_key: None };
    for (hash, slot) in all {
        let value = value(&stage.state, &id, slot)?;
        if value.is_zero() {
            continue;
        }
        if range.storage.len() >= most {
            range.next_key = Some(hash);
            break;
        }
        range.storage.insert(hash, Cell { key: slot.into(), value: value.into() });
    }
    reply(&range)
}
