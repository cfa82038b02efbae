use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use polity_engine::BlockOutput;
use polity_kernel::{Code, View};
use polity_types::{
    AccountEffects, AccountId, AccountRecord, B256, Bytes, Effects, LocalKey, PackedAccount, Value,
};
use polity_verify::{Cell, Change, Key, Owner, Path, hash_value};

use crate::StateError;

/// The longest row that stores can hold, in bytes.
pub const MAX_ROW: usize = u16::MAX as usize;

/// What a block changes: the last value of every cell that it writes.
///
/// Gathered from effects in their order, while the block is executed or
/// afterwards; where the leaves of the cells are is worked out on the way.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    accounts: Table<AccountId, AccountChanges>,
    codes: BTreeMap<B256, Arc<Code>>,
}

type Table<K, V> = IndexMap<K, V, DefaultHashBuilder>;

#[derive(Clone, Debug)]
struct AccountChanges {
    owner: Owner,
    record: Option<Option<AccountRecord>>,
    /// The record before the block, as far as anybody told.
    record_before: Option<AccountRecord>,
    /// Whether the slots from before the block are gone.
    reset: bool,
    slots: Table<LocalKey, SlotChange>,
}

#[derive(Clone, Debug)]
struct SlotChange {
    path: Path,
    value: Value,
    /// What it held before the block, as far as anybody told.
    before: Option<Value>,
}

/// One changed cell, as stores take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellChange {
    /// The place of its leaf.
    pub path: Path,
    /// The row of its key.
    pub row: Vec<u8>,
    /// The canonical bytes of what it holds from now on, if anything.
    pub cell: Option<Bytes>,
    /// What it holds before, as far as anybody told: it saves reading that. Where
    /// it is wrong, which the trie tells, it is as if nothing were known.
    pub before: Option<Cell>,
}

impl CellChange {
    /// A change of what nothing is known about before.
    pub const fn new(path: Path, row: Vec<u8>, cell: Option<Bytes>) -> Self {
        Self { path, row, cell, before: None }
    }

    /// What it changes in the trie.
    pub fn change(&self) -> Change {
        (self.path, self.cell.as_ref().map(|cell| hash_value(cell)))
    }
}

/// A state that can list the slots of an account.
pub trait Slots {
    /// The keys of all slots of the account that are not empty.
    ///
    /// # Errors
    /// The store failed, or does not know them all.
    fn slots(&self, account: &AccountId) -> Result<Vec<LocalKey>, StateError>;
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a block changes, given the state before it.
    ///
    /// # Errors
    /// As [`Changes::apply`].
    pub fn of(before: &dyn View, output: &BlockOutput) -> Result<Self, StateError> {
        let mut changes = Self::new();
        output.effects().try_for_each(|effects| changes.apply(before, effects))?;
        Ok(changes)
    }

    /// Adds the next effects of the block, given the state before the block.
    ///
    /// # Errors
    /// They do not fit the state, or it cannot be read. The changes are then of
    /// no use.
    pub fn apply(&mut self, before: &dyn View, effects: &Effects) -> Result<(), StateError> {
        for account in effects.accounts.iter_packed().filter(PackedAccount::writes) {
            self.apply_account(before, &account.effects())?;
        }
        for slot in &effects.slots {
            let Some(write) = &slot.write else { continue };
            let account = usize::try_from(slot.account)
                .ok()
                .and_then(|index| effects.accounts.id(index))
                .ok_or(StateError::Account(slot.account))?;
            self.replace_slot(account, slot.key.clone(), slot.read.clone(), write.clone())?;
        }
        for (hash, bytes) in &effects.codes {
            self.set_code(*hash, bytes.clone());
        }
        Ok(())
    }

    /// Adds what effects do to one account, its slots aside.
    ///
    /// # Errors
    /// As [`Changes::apply`].
    pub fn apply_account(
        &mut self,
        before: &dyn View,
        effects: &AccountEffects,
    ) -> Result<(), StateError> {
        let id = effects.account;
        if effects.writes_record() {
            let apply = |before| effects.apply(before).ok_or(StateError::Balance(id));
            match self.account(&id) {
                Some(record) => self.set_account(id, apply(record)?),
                None => {
                    let before = before.account(&id)?;
                    let changes = self.of_account(id);
                    changes.record = Some(apply(before)?);
                    changes.record_before = before;
                }
            }
        }
        if effects.storage_reset {
            self.reset(id);
        }
        Ok(())
    }

    /// Sets an account's record; `None` removes the account, not its slots.
    pub fn set_account(&mut self, account: AccountId, record: Option<AccountRecord>) {
        self.of_account(account).record = Some(record);
    }

    /// Sets a slot.
    ///
    /// # Errors
    /// The key is longer than stores can hold.
    pub fn set_slot(
        &mut self,
        account: AccountId,
        key: LocalKey,
        value: Value,
    ) -> Result<(), StateError> {
        self.replace_slot(account, key, None, value)
    }

    /// Sets a slot whose value until now is known, or not. That saves the commit
    /// a read; the commit finds out where it is wrong.
    ///
    /// # Errors
    /// As [`Changes::set_slot`].
    pub fn replace_slot(
        &mut self,
        account: AccountId,
        key: LocalKey,
        before: Option<Value>,
        value: Value,
    ) -> Result<(), StateError> {
        let value = if Cell::is_absent(&value) { Value::Empty } else { value };
        let changes = self.of_account(account);
        if let Some(slot) = changes.slots.get_mut(&key) {
            slot.value = value;
            return Ok(());
        }
        let row = changes.owner.slot_row(&key);
        if row.len() > MAX_ROW {
            return Err(StateError::KeyLength { length: row.len(), limit: MAX_ROW });
        }
        let path = Key::path_of_row(&row);
        // What a slot held that was emptied with all others, nobody told. That it held nothing, the
        // trie tells.
        let before = before.filter(|before| !changes.reset && !Cell::is_absent(before));
        changes.slots.insert(key, SlotChange { path, value, before });
        Ok(())
    }

    /// Empties every slot of an account, those set before among them.
    pub fn reset(&mut self, account: AccountId) {
        let changes = self.of_account(account);
        changes.reset = true;
        changes.slots.clear();
    }

    /// Adds a code under its hash, which is the caller's to have checked.
    pub fn set_code(&mut self, hash: B256, bytes: Bytes) {
        self.codes.entry(hash).or_insert_with(|| Arc::new(Code::new(bytes)));
    }

    /// The account's record, where it was set.
    pub fn account(&self, account: &AccountId) -> Option<Option<AccountRecord>> {
        self.accounts.get(account)?.record
    }

    /// The value of a slot, where it was set or emptied.
    pub fn slot(&self, account: &AccountId, key: &LocalKey) -> Option<Value> {
        let changes = self.accounts.get(account)?;
        match changes.slots.get(key) {
            Some(slot) => Some(slot.value.clone()),
            None => changes.reset.then_some(Value::Empty),
        }
    }

    /// A code that was added.
    pub fn code(&self, hash: &B256) -> Option<&Arc<Code>> {
        self.codes.get(hash)
    }

    /// All codes that were added, by hash.
    pub fn codes(&self) -> impl Iterator<Item = (&B256, &Bytes)> {
        self.codes.iter().map(|(hash, code)| (hash, code.bytes()))
    }

    /// The accounts whose slots were emptied.
    pub fn resets(&self) -> impl Iterator<Item = &AccountId> {
        self.accounts.iter().filter(|(_, changes)| changes.reset).map(|(account, _)| account)
    }

    /// The keys that it leaves with nothing, those of slots that a reset empties
    /// aside.
    pub fn emptied(&self) -> impl Iterator<Item = Key> {
        self.accounts.iter().flat_map(|(account, changes)| {
            let record = changes.record.is_some_and(|record| record.is_none());
            let slots = changes.slots.iter().filter(|(_, slot)| slot.value.is_empty());
            let slots = slots.map(|(key, _)| Key::Slot(*account, key.clone()));
            record.then_some(Key::Account(*account)).into_iter().chain(slots)
        })
    }

    /// The codes that the records name which it sets.
    pub fn named_codes(&self) -> impl Iterator<Item = B256> {
        let records = self.accounts.values().filter_map(|changes| changes.record?);
        records.filter_map(|record| record.code).map(|code| code.hash)
    }

    /// Every changed cell, in ascending order of the paths. `before` lists the
    /// slots that a reset deletes.
    ///
    /// # Errors
    /// Those of `before`.
    pub fn cells(&self, before: &dyn Slots) -> Result<Vec<CellChange>, StateError> {
        let mut cells = Vec::new();
        for (account, changes) in &self.accounts {
            let owner = &changes.owner;
            if let Some(record) = changes.record {
                let row = owner.record_row();
                let cell = record.map(|record| Cell::Account(record).to_bytes().into());
                let before = changes.record_before.map(Cell::Account);
                cells.push(CellChange { path: Key::path_of_row(&row), row, cell, before });
            }
            for (key, slot) in &changes.slots {
                let row = owner.slot_row(key);
                let before = slot.before.clone().map(Cell::Slot);
                let cell = cell_of(&slot.value);
                cells.push(CellChange { path: slot.path, row, cell, before });
            }
            if changes.reset {
                let gone = before.slots(account)?;
                for key in gone.iter().filter(|key| !changes.slots.contains_key(*key)) {
                    let row = owner.slot_row(key);
                    cells.push(CellChange::new(Key::path_of_row(&row), row, None));
                }
            }
        }
        cells.sort_unstable_by_key(|cell| cell.path);
        Ok(cells)
    }

    /// Changes the rows that begin with `prefix`, given those before.
    pub fn apply_rows(&self, prefix: &[u8], rows: &mut BTreeMap<Vec<u8>, Bytes>) {
        let set = |rows: &mut BTreeMap<Vec<u8>, Bytes>, row: Vec<u8>, cell: Option<Bytes>| {
            if row.starts_with(prefix) {
                match cell {
                    Some(cell) => rows.insert(row, cell),
                    None => rows.remove(&row),
                };
            }
        };
        for changes in self.accounts.values() {
            let owner = changes.owner.row();
            if !owner.starts_with(prefix) && !prefix.starts_with(&owner) {
                continue;
            }
            let record_row = changes.owner.record_row();
            if changes.reset {
                rows.retain(|row, _| !row.starts_with(&owner) || *row == record_row);
            }
            if let Some(record) = changes.record {
                set(rows, record_row, record.map(|record| Cell::Account(record).to_bytes().into()));
            }
            for (key, slot) in &changes.slots {
                set(rows, changes.owner.slot_row(key), cell_of(&slot.value));
            }
        }
    }

    /// Changes the keys of an account's slots, given those before.
    pub fn apply_keys(&self, account: &AccountId, keys: &mut BTreeSet<LocalKey>) {
        let Some(changes) = self.accounts.get(account) else { return };
        if changes.reset {
            keys.clear();
        }
        for (key, slot) in &changes.slots {
            if slot.value.is_empty() {
                keys.remove(key);
            } else {
                keys.insert(key.clone());
            }
        }
    }

    fn of_account(&mut self, account: AccountId) -> &mut AccountChanges {
        self.accounts.entry(account).or_insert_with(|| AccountChanges {
            owner: Owner::of(&account),
            record: None,
            record_before: None,
            reset: false,
            slots: Table::default(),
        })
    }
}

/// The bytes of a slot that holds anything.
fn cell_of(value: &Value) -> Option<Bytes> {
    (!value.is_empty()).then(|| Cell::Slot(value.clone()).to_bytes().into())
}
