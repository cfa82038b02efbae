use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread,
};

use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, Value};
use polity_verify::{Cell, Key, Owner};

use crate::{
    BlockRow, Slots, StateError, Table, history,
    shared::{Epoch, Layer, Shared},
};

/// The state after one block, for as long as its history is kept.
///
/// Later commits do not change what it says. It fails where its block has been
/// pruned or rolled back.
#[derive(Clone)]
pub struct StateView {
    shared: Arc<Shared>,
    /// The block; `None` where there is none yet.
    height: Option<u64>,
    /// Blocks up to that one which are not in the store yet, the oldest first.
    layers: Vec<Arc<Layer>>,
    epoch: Epoch,
}

impl StateView {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        height: Option<u64>,
        layers: Vec<Arc<Layer>>,
        epoch: Epoch,
    ) -> Self {
        Self { shared, height, layers, epoch }
    }

    /// The block's height; `None` where there is no block yet.
    pub const fn height(&self) -> Option<u64> {
        self.height
    }

    /// What the state holds at a key.
    ///
    /// # Errors
    /// The store failed, or the block was pruned or rolled back.
    pub fn cell(&self, key: &Key) -> Result<Option<Cell>, StateError> {
        Ok(match key {
            Key::Account(account) => self.read_account(account)?.map(Cell::Account),
            Key::Slot(account, key) => {
                let value = self.read_slot(account, key)?;
                (!value.is_empty()).then_some(Cell::Slot(value))
            }
        })
    }

    /// Every key whose row begins with these bytes, with what the state holds
    /// there, in ascending order of the rows: four bytes are a subtree of the
    /// trie, [`Owner::row`] is an account, and more is a prefix of its keys.
    ///
    /// # Errors
    /// As [`StateView::cell`].
    pub fn cells(&self, prefix: &[u8]) -> Result<Vec<(Key, Cell)>, StateError> {
        let rows = self.rows(prefix)?;
        rows.into_iter().map(|(row, cell)| parse(&row, &cell)).collect()
    }

    /// As [`StateView::cells`], as it is stored.
    fn rows(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Bytes>, StateError> {
        let Some(height) = self.height else { return Ok(BTreeMap::new()) };
        let mut rows = self.stable(|| self.stored_rows(prefix, height))?;
        for layer in &self.layers {
            layer.changes.apply_rows(prefix, &mut rows);
        }
        Ok(rows)
    }

    /// Rows of the store at this height; layers are not looked at.
    fn stored_rows(
        &self,
        prefix: &[u8],
        height: u64,
    ) -> Result<BTreeMap<Vec<u8>, Bytes>, StateError> {
        let backend = &*self.shared.backend;
        let mut rows = BTreeMap::new();
        for row in history::rows(backend, Table::Cells, prefix)? {
            let (row, cell) = row?;
            rows.insert(row.to_vec(), cell);
        }
        if self.shared.written() > height {
            let common = prefix.get(..4).unwrap_or(prefix);
            let replaced = history::under(backend, common, height)?;
            self.shared.check_kept(height)?;
            for replaced in replaced.iter().filter(|replaced| replaced.row.starts_with(prefix)) {
                match &replaced.cell {
                    Some(cell) => rows.insert(replaced.row.to_vec(), cell.clone()),
                    None => rows.remove(&replaced.row[..]),
                };
            }
        }
        Ok(rows)
    }

    fn read_account(&self, account: &AccountId) -> Result<Option<AccountRecord>, StateError> {
        self.check()?;
        for layer in self.layers.iter().rev() {
            if let Some(record) = layer.changes.account(account) {
                return Ok(record);
            }
        }
        let row = Owner::of(account).record_row();
        let bytes = self.stored(&row)?;
        bytes.map(|bytes| Cell::record(&bytes).map_err(|error| corrupt(&row, &error))).transpose()
    }

    fn read_slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, StateError> {
        self.check()?;
        for layer in self.layers.iter().rev() {
            if let Some(value) = layer.changes.slot(account, key) {
                return Ok(value);
            }
        }
        let row = Owner::of(account).slot_row(key);
        match self.stored(&row)? {
            Some(bytes) => Cell::value(&bytes).map_err(|error| corrupt(&row, &error)),
            None => Ok(Value::Empty),
        }
    }

    fn read_code(&self, hash: &B256) -> Result<Arc<Code>, StateError> {
        self.check()?;
        if let Some(code) = self.shared.codes.get(hash) {
            return Ok(code);
        }
        for layer in self.layers.iter().rev() {
            if let Some(code) = layer.changes.code(hash) {
                return Ok(code.clone());
            }
        }
        let bytes = self.shared.backend.get(Table::Codes, hash.as_slice())?;
        let bytes = bytes.ok_or(ViewError::MissingCode(*hash))?;
        Ok(self.shared.codes.insert(*hash, Arc::new(Code::new(bytes))))
    }

    fn read_block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.check()?;
        let missing = || StateError::View(ViewError::MissingBlockHash(number));
        if self.height.is_none_or(|height| number > height) {
            return Err(missing());
        }
        if let Some(hash) = self.shared.known_hash(number) {
            return Ok(hash);
        }
        let row = self.shared.backend.get(Table::Blocks, &number.to_be_bytes())?;
        row.map(|row| BlockRow::from_bytes(&row))
            .transpose()?
            .and_then(|row| row.hash)
            .ok_or_else(missing)
    }

    /// The bytes of a cell in the store, at this height.
    fn stored(&self, row: &[u8]) -> Result<Option<Bytes>, StateError> {
        let Some(height) = self.height else { return Ok(None) };
        self.stable(|| {
            let backend = &*self.shared.backend;
            // In this order: whoever finds a later block's cell finds in the
            // history what it replaced.
            let latest = backend.get(Table::Cells, row)?;
            if self.shared.written() <= height {
                return Ok(latest);
            }
            let replaced = history::at(backend, &Key::path_of_row(row), height)?;
            self.shared.check_kept(height)?;
            Ok(replaced.map_or(latest, |replaced| replaced.cell))
        })
    }

    /// Fails where the view's block was rolled back.
    fn check(&self) -> Result<Epoch, StateError> {
        let epoch = self.shared.epoch();
        if epoch != self.epoch {
            self.shared.check_rolled_back(self.epoch, self.height)?;
        }
        Ok(epoch)
    }

    /// Reads the store without a rollback in between.
    fn stable<T>(&self, read: impl Fn() -> Result<T, StateError>) -> Result<T, StateError> {
        loop {
            let epoch = self.check()?;
            let found = read();
            if epoch.is_settled() && self.shared.epoch() == epoch {
                return found;
            }
            thread::yield_now();
        }
    }
}

impl View for StateView {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        Ok(self.read_account(account)?)
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        Ok(self.read_slot(account, key)?)
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        Ok(self.read_code(hash)?)
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        Ok(self.read_block_hash(number)?)
    }
}

impl Slots for StateView {
    fn slots(&self, account: &AccountId) -> Result<Vec<LocalKey>, StateError> {
        let Some(height) = self.height else { return Ok(Vec::new()) };
        let prefix = Owner::of(account).row();
        let rows = self.stable(|| self.stored_rows(&prefix, height))?;
        let mut keys = BTreeSet::new();
        for row in rows.keys() {
            if let Key::Slot(_, key) = parse_row(row)? {
                keys.insert(key);
            }
        }
        for layer in &self.layers {
            layer.changes.apply_keys(account, &mut keys);
        }
        Ok(keys.into_iter().collect())
    }
}

/// The key and cell of a row of [`Table::Cells`].
pub(crate) fn parse(row: &[u8], cell: &[u8]) -> Result<(Key, Cell), StateError> {
    let key = parse_row(row)?;
    let cell = match &key {
        Key::Account(_) => Cell::record(cell).map(Cell::Account),
        Key::Slot(..) => Cell::value(cell).map(Cell::Slot),
    };
    Ok((key, cell.map_err(|error| corrupt(row, &error))?))
}

fn parse_row(row: &[u8]) -> Result<Key, StateError> {
    Key::from_row(row).map_err(|error| corrupt(row, &error))
}

fn corrupt(row: &[u8], error: &dyn std::fmt::Display) -> StateError {
    let row = Bytes::copy_from_slice(row);
    StateError::Corrupt(format!("cell {row}: {error}"))
}
