//! What a fork has written with nothing. The state keeps no empty cells, and where
//! it has none, the other chain is asked: so it is marked that there is nothing to
//! ask for. A mark is a slot of the account in a space of its own. Thereby it has
//! the history of the state, is taken back with it, and is stored with it.

use polity_evm::KIND;
use polity_kernel::ViewError;
use polity_state::{Changes, StateError};
use polity_types::{AccountId, LocalKey, Name, Space, U256, Value};
use polity_verify::Key;

/// Marks of slots, by the slot's name.
const SLOTS: Space = Space(254);
/// Marks of the account as a whole.
const ACCOUNT: Space = Space(255);

const fn of_account(name: u64) -> LocalKey {
    LocalKey { space: ACCOUNT, name: Name::Word(U256::from_limbs([name, 0, 0, 0])) }
}

/// The mark of an account that was removed here.
pub(super) const fn removed() -> LocalKey {
    of_account(0)
}

/// The mark of an account whose slots were all emptied here.
pub(super) const fn reset() -> LocalKey {
    of_account(1)
}

/// The mark of a slot that was emptied here; `None` for one that the other chain
/// does not have.
pub(super) fn emptied(key: &LocalKey) -> Option<LocalKey> {
    (key.space == Space::STORAGE).then(|| LocalKey { space: SLOTS, name: key.name.clone() })
}

/// Whether a key is a mark.
pub(super) fn is_mark(key: &LocalKey) -> bool {
    matches!(key.space, SLOTS | ACCOUNT)
}

/// Adds the marks of what changes leave with nothing. `is_removed` says whether
/// an account has the mark of one that was removed before.
///
/// # Errors
/// A key is longer than stores can hold; those of `is_removed`.
pub(super) fn add(
    changes: &mut Changes,
    is_removed: impl Fn(&AccountId) -> Result<bool, ViewError>,
) -> Result<(), StateError> {
    let mut marks = Vec::new();
    let is_remote = |account: &AccountId| account.machine == KIND;
    for key in changes.emptied() {
        match key {
            // The other chain has nothing of other machines, and is not asked.
            Key::Account(account) | Key::Slot(account, _) if !is_remote(&account) => {}
            Key::Account(account) => marks.push((account, removed())),
            Key::Slot(account, key) => marks.extend(emptied(&key).map(|mark| (account, mark))),
        }
    }
    for account in changes.resets().filter(|account| is_remote(account)) {
        marks.push((*account, reset()));
        // What a reset empties are the marks, too.
        if changes.account(account).is_none() && is_removed(account)? {
            marks.push((*account, removed()));
        }
    }
    let mark = |(account, key)| changes.set_slot(account, key, Value::word(U256::from(1)));
    marks.into_iter().try_for_each(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polity_evm::account;

    #[test]
    fn what_is_left_with_nothing_is_marked() {
        let [gone, emptied_one, wiped] =
            [1, 2, 3].map(|byte| account(alloy_primitives::Address::with_last_byte(byte)));
        let slot = |slot: u64| LocalKey::storage(U256::from(slot));
        let mut changes = Changes::new();
        changes.set_account(gone, None);
        changes.set_slot(emptied_one, slot(1), Value::word(U256::ZERO)).unwrap();
        changes.set_slot(emptied_one, slot(2), Value::word(U256::MAX)).unwrap();
        changes.reset(wiped);
        add(&mut changes, |of| Ok(*of == wiped)).unwrap();
        let marked = |of, key: Option<LocalKey>| {
            changes.slot(of, &key.unwrap()).is_some_and(|value| !value.is_empty())
        };
        assert!(marked(&gone, Some(removed())));
        assert!(marked(&emptied_one, emptied(&slot(1))));
        assert!(!marked(&emptied_one, emptied(&slot(2))));
        assert!(!marked(&emptied_one, Some(reset())));
        assert!(marked(&wiped, Some(reset())));
        assert!(marked(&wiped, Some(removed())));
        assert_eq!(emptied(&removed()), None);
    }
}
