use alloc::{sync::Arc, vec::Vec};
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use polity_kernel::{Code, View, ViewError};
use polity_types::{
    AccountId, AccountRecord, B256, Bytes, Effects, LocalKey, PackedAccount, Value,
};

/// A state in memory: values laid over another view, or over nothing.
///
/// Over nothing it is a whole state, in which what was not inserted is absent.
#[derive(Default)]
pub struct Overlay<'a> {
    base: Option<&'a dyn View>,
    cells: Cells,
}

type Table<K, V> = IndexMap<K, V, DefaultHashBuilder>;

/// What is laid over the base. Records and slots lie in tables of their own:
/// most accounts have no slots, and the smaller an entry, the fewer cache lines
/// a look-up touches.
#[derive(Default)]
pub(crate) struct Cells {
    /// In the order in which they were set: what is appended is written faster than
    /// what goes to a random place.
    records: Table<AccountId, Option<AccountRecord>>,
    storages: HashMap<AccountId, Storage>,
    codes: HashMap<B256, Arc<Code>>,
    block_hashes: HashMap<u64, B256>,
}

#[derive(Default)]
struct Storage {
    /// Whether the base's slots are gone.
    reset: bool,
    slots: HashMap<LocalKey, Value>,
}

/// Tables with room for more entries than this are given back instead of being
/// kept for the next block.
const KEEP: usize = 1 << 20;

impl Cells {
    /// Forgets everything, keeping the memory.
    fn clear(&mut self) {
        if self.records.capacity() > KEEP {
            self.records = Table::default();
        }
        if self.storages.capacity() > KEEP {
            self.storages = HashMap::new();
        }
        self.records.clear();
        // Those that were of use in the last block may be in the next one.
        self.storages.retain(|_, storage| {
            let used = storage.reset || !storage.slots.is_empty();
            storage.reset = false;
            storage.slots.clear();
            used && storage.slots.capacity() <= KEEP
        });
        self.codes.clear();
        self.block_hashes.clear();
    }
}

/// Why effects cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The balance would leave 0..2^256: the effects are of another state.
    #[error("the change of the balance of {0} does not fit its balance")]
    Balance(AccountId),
    /// A slot that belongs to no account of the effects.
    #[error("slot effects name account {0}, which the effects do not list")]
    Account(u32),
    /// The base view failed.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl<'a> Overlay<'a> {
    /// The empty state.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A state that is `base` until something is laid over it.
    pub fn over(base: &'a dyn View) -> Self {
        Self::over_in(base, Cells::default())
    }

    /// A state that is `base`, in the memory of one that is no longer needed.
    pub(crate) fn over_in(base: &'a dyn View, mut memory: Cells) -> Self {
        memory.clear();
        Self { base: Some(base), cells: memory }
    }

    /// The memory, for another state.
    pub(crate) fn into_memory(self) -> Cells {
        self.cells
    }

    /// Sets an account's record; `None` removes the account, not its slots.
    pub fn insert_account(&mut self, account: AccountId, record: Option<AccountRecord>) {
        self.cells.records.insert(account, record);
    }

    /// Sets a slot.
    pub fn insert_slot(&mut self, account: AccountId, key: LocalKey, value: Value) {
        self.cells.storages.entry(account).or_default().slots.insert(key, value);
    }

    /// Empties all slots of an account.
    pub fn reset_storage(&mut self, account: AccountId) {
        let storage = self.cells.storages.entry(account).or_default();
        storage.reset = true;
        storage.slots.clear();
    }

    /// Adds a code under its hash, which is the caller's to have checked.
    pub fn insert_code(&mut self, hash: B256, code: Arc<Code>) {
        self.cells.codes.insert(hash, code);
    }

    /// Sets the hash of an ancestor block.
    pub fn insert_block_hash(&mut self, number: u64, hash: B256) {
        self.cells.block_hashes.insert(number, hash);
    }

    /// Applies the effects of a transaction.
    ///
    /// # Errors
    /// An error leaves the overlay in part changed: its state is then of no use.
    pub fn apply(&mut self, effects: &Effects) -> Result<(), OverlayError> {
        for account in effects.accounts.iter_packed().filter(PackedAccount::writes_record) {
            let account = account.effects();
            let before = self.account(&account.account)?;
            let after = account.apply(before).ok_or(OverlayError::Balance(account.account))?;
            self.cells.records.insert(account.account, after);
        }
        self.apply_others(effects)
    }

    /// Applies effects of which it is known what becomes of the records that they
    /// change: `written` gives those.
    pub(crate) fn apply_with<'e>(
        &mut self,
        effects: &Effects,
        written: impl Iterator<Item = (&'e AccountId, Option<AccountRecord>)>,
    ) -> Result<(), OverlayError> {
        for (account, after) in written {
            self.cells.records.insert(*account, after);
        }
        self.apply_others(effects)
    }

    /// Applies all of the effects but the accounts' records.
    fn apply_others(&mut self, effects: &Effects) -> Result<(), OverlayError> {
        for account in effects.accounts.iter_packed().filter(PackedAccount::storage_reset) {
            self.reset_storage(account.account());
        }
        for slot in &effects.slots {
            let Some(write) = &slot.write else { continue };
            let account = effects
                .accounts
                .id(slot.account as usize)
                .ok_or(OverlayError::Account(slot.account))?;
            let storage = self.cells.storages.entry(account).or_default();
            storage.slots.insert(slot.key.clone(), write.clone());
        }
        for (hash, bytes) in &effects.codes {
            self.add_code(*hash, bytes);
        }
        Ok(())
    }

    fn add_code(&mut self, hash: B256, bytes: &Bytes) {
        self.cells.codes.entry(hash).or_insert_with(|| Arc::new(Code::new(bytes.clone())));
    }

    /// Every account with slots that were laid over the base: whether the base's
    /// are gone, and the others with their values.
    #[cfg(feature = "std")]
    pub(crate) fn storages(
        &self,
    ) -> impl Iterator<Item = (&AccountId, bool, impl Iterator<Item = (&LocalKey, &Value)>)> {
        let storages = self.cells.storages.iter();
        storages.map(|(account, storage)| (account, storage.reset, storage.slots.iter()))
    }

    /// Every code that was added.
    #[cfg(feature = "std")]
    pub(crate) fn codes(&self) -> impl Iterator<Item = (&B256, &Arc<Code>)> {
        self.cells.codes.iter()
    }

    /// Every account that was laid over the base and its record, in any order.
    #[cfg(feature = "std")]
    pub(crate) fn records(&self) -> impl Iterator<Item = (&AccountId, Option<&AccountRecord>)> {
        self.cells.records.iter().map(|(id, record)| (id, record.as_ref()))
    }

    /// Every account that was laid over the base and its record, in the order of
    /// their ids.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountId, Option<&AccountRecord>)> {
        let mut records: Vec<_> = self.cells.records.iter().collect();
        records.sort_unstable_by_key(|(id, _)| *id);
        records.into_iter().map(|(id, record)| (id, record.as_ref()))
    }

    /// Every slot of an account that was laid over the base and its value, in
    /// the order of the keys.
    pub fn slots(&self, account: &AccountId) -> impl Iterator<Item = (&LocalKey, &Value)> {
        let storage = self.cells.storages.get(account);
        let mut slots: Vec<_> = storage.into_iter().flat_map(|storage| &storage.slots).collect();
        slots.sort_unstable_by_key(|(key, _)| *key);
        slots.into_iter()
    }
}

impl View for Overlay<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match self.cells.records.get(account) {
            Some(record) => Ok(*record),
            None => self.base.map_or(Ok(None), |base| base.account(account)),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        if let Some(storage) = self.cells.storages.get(account) {
            if let Some(value) = storage.slots.get(key) {
                return Ok(value.clone());
            }
            if storage.reset {
                return Ok(Value::Empty);
            }
        }
        self.base.map_or(Ok(Value::Empty), |base| base.slot(account, key))
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        match (self.cells.codes.get(hash), self.base) {
            (Some(code), _) => Ok(code.clone()),
            (None, Some(base)) => base.code(hash),
            (None, None) => Err(ViewError::MissingCode(*hash)),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        match (self.cells.block_hashes.get(&number), self.base) {
            (Some(hash), _) => Ok(*hash),
            (None, Some(base)) => base.block_hash(number),
            (None, None) => Err(ViewError::MissingBlockHash(number)),
        }
    }
}
