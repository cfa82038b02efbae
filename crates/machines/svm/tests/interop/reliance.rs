//! Whatever a transaction's effects do not name may be another: it comes out the same.

use crate::world::toy;
use polity_kernel::{View, alias};
use polity_testkit::state::State;
use polity_types::{AccountEffects, Effects, Interval, U256, Value};

/// A state with nothing but what the effects rely on, and otherwise as misleading as can be.
/// Of the two numbers that a balance may be at the ends of its interval, `high` is the other.
pub(crate) fn misleading(state: &State, effects: &Effects, high: bool) -> State {
    let (decoy, code) = alias::code(&toy(7));
    let mut other = State { block_hashes: state.block_hashes.clone(), ..State::default() };
    other.codes.clone_from(&state.codes);
    other.codes.insert(decoy.hash, code);
    for account in &effects.accounts {
        let before = state.account(&account.account).unwrap();
        let mut record = before.unwrap_or_default();
        let Interval { lo, hi } = account.balance_read;
        // So many that no credit passes the largest number.
        record.balance = if high { hi.min(U256::from(1) << 200).max(lo) } else { lo };
        record.sequence = account.sequence_read.unwrap_or(record.sequence.wrapping_add(77));
        record.code = account.code_read.unwrap_or(Some(decoy));
        let existed = before.is_some();
        let is_free = account.existence_read.is_none_or(|existed| existed || record.is_empty());
        if !is_free || account.emptiness_read.is_some_and(|empty| empty != record.is_empty()) {
            record = before.unwrap_or_default();
        }
        let exists = account.existence_read.unwrap_or(existed || !record.is_empty());
        if exists {
            other.accounts.insert(account.account, record);
        }
    }
    for slot in &effects.slots {
        let account = effects.accounts.id(slot.account as usize).unwrap();
        let value = slot.read.clone().unwrap_or_else(|| Value::word(U256::from(0xbad)));
        other.set_slot(account, slot.key.clone(), value);
    }
    other
}

/// The effects without what they rely on.
pub(crate) fn changes(effects: &Effects) -> Effects {
    let mut changes = effects.clone();
    let accounts = effects.accounts.iter().map(|account| AccountEffects {
        existence_read: None,
        emptiness_read: None,
        balance_read: Interval::ANY,
        sequence_read: None,
        code_read: None,
        ..account
    });
    changes.accounts = accounts.collect();
    for slot in &mut changes.slots {
        slot.read = None;
    }
    changes
}
