use alloc::sync::Arc;
use hashbrown::HashMap;
use polity_kernel::{Code, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, Bytes, Effects, LocalKey, Value};

/// A state in memory: values laid over another view, or over nothing.
///
/// Over nothing it is a whole state, in which what was not inserted is absent.
#[derive(Default)]
pub struct Overlay<'a> {
    base: Option<&'a dyn View>,
    accounts: HashMap<AccountId, Overlaid>,
    codes: HashMap<B256, Arc<Code>>,
    block_hashes: HashMap<u64, B256>,
}

#[derive(Default)]
struct Overlaid {
    /// The record, where it differs from the base's.
    record: Option<Option<AccountRecord>>,
    /// Whether the base's slots are gone.
    reset: bool,
    slots: HashMap<LocalKey, Value>,
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
        Self { base: Some(base), ..Self::default() }
    }

    /// Sets an account's record; `None` removes the account, not its slots.
    pub fn insert_account(&mut self, account: AccountId, record: Option<AccountRecord>) {
        self.accounts.entry(account).or_default().record = Some(record);
    }

    /// Sets a slot.
    pub fn insert_slot(&mut self, account: AccountId, key: LocalKey, value: Value) {
        self.accounts.entry(account).or_default().slots.insert(key, value);
    }

    /// Adds a code under its hash, which is the caller's to have checked.
    pub fn insert_code(&mut self, hash: B256, code: Arc<Code>) {
        self.codes.insert(hash, code);
    }

    /// Sets the hash of an ancestor block.
    pub fn insert_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// Applies the effects of a transaction.
    ///
    /// # Errors
    /// An error leaves the overlay in part changed: its state is then of no use.
    pub fn apply(&mut self, effects: &Effects) -> Result<(), OverlayError> {
        for account in &effects.accounts {
            if account.writes_record() {
                let before = self.account(&account.account)?;
                let after = account.apply(before).ok_or(OverlayError::Balance(account.account))?;
                self.accounts.entry(account.account).or_default().record = Some(after);
            }
            if account.storage_reset {
                let overlaid = self.accounts.entry(account.account).or_default();
                overlaid.reset = true;
                overlaid.slots.clear();
            }
        }
        for slot in &effects.slots {
            let Some(write) = &slot.write else { continue };
            let account = effects
                .accounts
                .get(slot.account as usize)
                .ok_or(OverlayError::Account(slot.account))?;
            let overlaid = self.accounts.entry(account.account).or_default();
            overlaid.slots.insert(slot.key.clone(), write.clone());
        }
        for (hash, bytes) in &effects.codes {
            self.add_code(*hash, bytes);
        }
        Ok(())
    }

    fn add_code(&mut self, hash: B256, bytes: &Bytes) {
        self.codes.entry(hash).or_insert_with(|| Arc::new(Code::new(bytes.clone())));
    }

    /// Every account that was laid over the base and its record, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountId, Option<&AccountRecord>)> {
        self.accounts
            .iter()
            .filter_map(|(id, overlaid)| Some((id, overlaid.record.as_ref()?.as_ref())))
    }

    /// Every slot of an account that was laid over the base and its value, in
    /// no order.
    pub fn slots(&self, account: &AccountId) -> impl Iterator<Item = (&LocalKey, &Value)> {
        self.accounts.get(account).into_iter().flat_map(|overlaid| overlaid.slots.iter())
    }
}

impl View for Overlay<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        match self.accounts.get(account).and_then(|overlaid| overlaid.record) {
            Some(record) => Ok(record),
            None => self.base.map_or(Ok(None), |base| base.account(account)),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        if let Some(overlaid) = self.accounts.get(account) {
            if let Some(value) = overlaid.slots.get(key) {
                return Ok(value.clone());
            }
            if overlaid.reset {
                return Ok(Value::Empty);
            }
        }
        self.base.map_or(Ok(Value::Empty), |base| base.slot(account, key))
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        match (self.codes.get(hash), self.base) {
            (Some(code), _) => Ok(code.clone()),
            (None, Some(base)) => base.code(hash),
            (None, None) => Err(ViewError::MissingCode(*hash)),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        match (self.block_hashes.get(&number), self.base) {
            (Some(hash), _) => Ok(*hash),
            (None, Some(base)) => base.block_hash(number),
            (None, None) => Err(ViewError::MissingBlockHash(number)),
        }
    }
}
