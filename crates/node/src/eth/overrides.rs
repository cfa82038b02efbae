//! States and blocks that are made up for one request.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::{
    BlockOverrides,
    state::{AccountOverride, StateOverride},
};
use polity_engine::Overlay;
use polity_evm::{account, code_ref};
use polity_kernel::{Code, View, ViewError};
use polity_types::{LocalKey, Value};
use revm::{
    Inspector,
    interpreter::{CallInputs, CallOutcome},
    precompile::{PrecompileSpecId, Precompiles},
    primitives::hardfork::SpecId,
};

use super::CallError;

/// How many ancestors a contract can ask for (`BLOCKHASH`).
const ANCESTORS: u64 = 256;

/// Precompiles that a request moves: from where, to where.
///
/// Looks on at an execution, and makes each call of such an address that of the
/// other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves(Vec<(Address, Address)>);

impl Moves {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<C> Inspector<C> for Moves {
    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let called = inputs.bytecode_address;
        if let Some((from, _)) = self.0.iter().find(|(_, to)| *to == called) {
            inputs.bytecode_address = *from;
        } else if self.0.iter().any(|(from, _)| *from == called) {
            // Its code, if it has any, is in the inputs already.
            inputs.bytecode_address = Address::ZERO;
        }
        None
    }
}

/// Lays what a request makes up of accounts over a state. Gives the precompiles
/// that it moves.
pub(crate) fn override_state(
    state: &mut Overlay<'_>,
    overrides: &StateOverride,
    spec: SpecId,
) -> Result<Moves, CallError> {
    let mut accounts: Vec<(&Address, &AccountOverride)> = overrides.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| **address);
    let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    let mut moves = Vec::new();
    for (address, given) in accounts {
        if let Some(to) = given.move_precompile_to {
            if !precompiles.contains(address) {
                return Err(CallError::Params(format!("account {address} is not a precompile")));
            }
            if to == *address {
                let text = format!("precompile {address} is moved to where it is");
                return Err(CallError::Params(text));
            }
            moves.push((*address, to));
        }
        override_account(state, *address, given)?;
    }
    Ok(Moves(moves))
}

fn override_account(
    state: &mut Overlay<'_>,
    address: Address,
    given: &AccountOverride,
) -> Result<(), CallError> {
    let id = account(address);
    let mut record = state.account(&id)?.unwrap_or_default();
    if let Some(balance) = given.balance {
        record.balance = balance;
    }
    if let Some(nonce) = given.nonce {
        record.sequence = nonce;
    }
    if let Some(code) = &given.code {
        record.code = add_code(state, code);
    }
    state.insert_account(id, Some(record));
    let slots = match (&given.state, &given.state_diff) {
        (Some(_), Some(_)) => {
            let text = format!("account {address} has both 'state' and 'stateDiff'");
            return Err(CallError::Params(text));
        }
        (Some(all), None) => {
            state.reset_storage(id);
            all
        }
        (None, Some(some)) => some,
        (None, None) => return Ok(()),
    };
    let mut slots: Vec<(&B256, &B256)> = slots.iter().collect();
    slots.sort_unstable();
    for (slot, value) in slots {
        let key = LocalKey::storage(U256::from_be_bytes(slot.0));
        state.insert_slot(id, key, Value::word(U256::from_be_bytes(value.0)));
    }
    Ok(())
}

fn add_code(state: &mut Overlay<'_>, code: &Bytes) -> Option<polity_types::CodeRef> {
    let hash = keccak256(code);
    state.insert_code(hash, Arc::new(Code::new(code.clone())));
    code_ref(hash)
}

/// Changes a header to what a request makes up of its block, and lays the
/// hashes of its ancestors over the state.
pub(crate) fn override_block(
    header: &mut Header,
    state: &mut Overlay<'_>,
    given: &BlockOverrides,
) -> Result<(), CallError> {
    if let Some(number) = given.number {
        let number = u64::try_from(number)
            .map_err(|_| CallError::Params(format!("there is no block {number}")))?;
        if number != header.number {
            header.number = number;
            forget_missing_ancestors(state, number)?;
        }
    }
    if let Some(difficulty) = given.difficulty {
        header.difficulty = difficulty;
    }
    if let Some(time) = given.time {
        header.timestamp = time;
    }
    if let Some(limit) = given.gas_limit {
        header.gas_limit = limit;
    }
    if let Some(beneficiary) = given.coinbase {
        header.beneficiary = beneficiary;
    }
    if let Some(random) = given.random {
        header.mix_hash = random;
    }
    if let Some(fee) = given.base_fee {
        let fee = u64::try_from(fee)
            .map_err(|_| CallError::Params(format!("a base fee of {fee} is too high")))?;
        header.base_fee_per_gas = Some(fee);
    }
    if let Some(root) = given.beacon_root {
        header.parent_beacon_block_root = Some(root);
    }
    for (number, hash) in given.block_hash.iter().flatten() {
        state.insert_block_hash(*number, *hash);
    }
    Ok(())
}

/// A made-up block has ancestors that there are not: their hash is zero.
fn forget_missing_ancestors(state: &mut Overlay<'_>, number: u64) -> Result<(), CallError> {
    for ancestor in number.saturating_sub(ANCESTORS)..number {
        match state.block_hash(ancestor) {
            Ok(_) => {}
            Err(ViewError::MissingBlockHash(_)) => state.insert_block_hash(ancestor, B256::ZERO),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
