//! The pre-state of a block folder as an authenticated state.

use alloy_primitives::KECCAK256_EMPTY;
use polity_evm::{account, code_ref};
use polity_state::{Changes, Commit, State, StateError};
use polity_types::{AccountRecord, LocalKey, Value};

use crate::folder::BlockFolder;

/// Commits the state before the folder's block, as far as the folder has it, as the genesis of
/// `state`. Its root is not that of the chain: the folder has only what its block touches.
///
/// # Errors
/// The state is not empty or fails, or the block has no parent.
pub fn load(state: &State, folder: &BlockFolder) -> Result<Commit, StateError> {
    let height = folder.number().checked_sub(1);
    let height = height.ok_or(StateError::Height { head: 0, found: 0 })?;
    let commit = state.genesis(height, changes(folder)?)?;
    for (number, hash) in &folder.block_hashes {
        state.set_block_hash(*number, *hash)?;
    }
    Ok(commit)
}

/// The state before the folder's block, as changes of the empty state.
///
/// # Errors
/// Never: every key of an Ethereum account can be stored.
pub fn changes(folder: &BlockFolder) -> Result<Changes, StateError> {
    let mut changes = Changes::new();
    for (address, pre) in &folder.pre_state {
        let id = account(*address);
        let code = code_ref(pre.code_hash.unwrap_or(KECCAK256_EMPTY));
        let record = AccountRecord { balance: pre.balance, sequence: pre.nonce, code };
        changes.set_account(id, Some(record));
        for (slot, value) in &pre.storage {
            changes.set_slot(id, LocalKey::storage(*slot), Value::word(*value))?;
        }
    }
    for (hash, code) in &folder.codes {
        changes.set_code(*hash, code.clone());
    }
    Ok(changes)
}
