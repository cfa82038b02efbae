//! Which transactions were executed: none is a second time as long as it could be.
//!
//! A slot per transaction in an account of the machine's own, and one per block with
//! those that can be forgotten with it.

use crate::{KIND, block::MAX_AGE};
use polity_kernel::{Halt, Host, TransactionOutput};
use polity_types::{AccountId, B256, Bytes, LocalKey, Name, Space, U256, Value};
use solana_hash::Hash;

/// The account that has the slots. It has no key and is no program's.
const HOLDER: AccountId = AccountId::new(KIND, B256::new(*b"polity: transactions of the past"));

/// Message hash → slot of the block.
const KNOWN: Space = Space(19);
/// Slot of a block → the hashes of its messages.
const LISTS: Space = Space(20);

fn known(message: &Hash) -> LocalKey {
    LocalKey { space: KNOWN, name: Name::Word(U256::from_be_bytes(message.to_bytes())) }
}

fn list(slot: u64) -> LocalKey {
    LocalKey { space: LISTS, name: Name::Word(U256::from(slot)) }
}

/// Whether the transaction was executed already.
pub(crate) fn is_known(host: &mut dyn Host, message: &Hash) -> Result<bool, Halt> {
    let holder = host.account(&HOLDER)?;
    Ok(!host.read(holder, &known(message))?.is_empty())
}

/// Remembers that it was executed.
pub(crate) fn remember(host: &mut dyn Host, message: &Hash, slot: u64) -> Result<(), Halt> {
    let holder = host.account(&HOLDER)?;
    host.write(holder, &known(message), Value::word(U256::from(slot)))
}

/// Forgets the transactions of the block whose hash is too old to be named.
pub(crate) fn forget(host: &mut dyn Host) -> Result<(), Halt> {
    let Some(old) = host.block().number.checked_sub(MAX_AGE as u64 + 1) else { return Ok(()) };
    let holder = host.account(&HOLDER)?;
    let Value::Bytes(hashes) = host.read(holder, &list(old))? else { return Ok(()) };
    for hash in hashes.as_chunks::<32>().0 {
        host.write(holder, &known(&Hash::new_from_array(*hash)), Value::Empty)?;
    }
    host.write(holder, &list(old), Value::Empty)
}

/// Lists the transactions of the block that ends.
pub(crate) fn enlist(host: &mut dyn Host, outputs: &[TransactionOutput]) -> Result<(), Halt> {
    let mut hashes = Vec::new();
    for output in outputs.iter().filter(|output| output.receipt.machine == KIND) {
        let effects = &output.effects;
        let is_holder = |index: u32| {
            effects.accounts.get(index as usize).is_some_and(|account| account.account == HOLDER)
        };
        for slot in effects.slots.iter().filter(|slot| slot.key.space == KNOWN) {
            if let Name::Word(word) = &slot.key.name
                && slot.write.is_some()
                && is_holder(slot.account)
            {
                hashes.extend_from_slice(&word.to_be_bytes::<32>());
            }
        }
    }
    if hashes.is_empty() {
        return Ok(());
    }
    let slot = host.block().number;
    let holder = host.account(&HOLDER)?;
    host.write(holder, &list(slot), Value::bytes(Bytes::from(hashes)))
}
