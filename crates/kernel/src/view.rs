use alloc::{boxed::Box, string::String, sync::Arc};
use core::{any::Any, fmt};
use once_cell::race::OnceBox;
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, Value};

/// A read-only state at a point in time.
///
/// An absent account is `None` and an absent slot [`Value::Empty`]; neither is
/// an error. A code that an account refers to and that is not there is one.
pub trait View: Sync {
    /// The account's cells other than its slots.
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError>;

    /// The value of a slot.
    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError>;

    /// The code with this hash.
    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError>;

    /// The hash of the block at this height, which is one of the ancestors that
    /// contracts may ask for.
    fn block_hash(&self, number: u64) -> Result<B256, ViewError>;
}

/// Why a view could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A value of an earlier transaction that is still being executed.
    #[error("waits for transaction {0} of the same block")]
    NotReady(u32),
    /// A code that is referred to is not in the state.
    #[error("no code with the hash {0} in the state")]
    MissingCode(B256),
    /// The hash of an ancestor is not known.
    #[error("no hash for block {0} in the state")]
    MissingBlockHash(u64),
    /// The store behind the view failed.
    #[error("state store: {0}")]
    Store(String),
}

/// A contract's code, and the form that its machine prepared it in.
///
/// The prepared form (analysed, compiled) is made once and lives as long as the
/// code, so that the state layer caches both together.
pub struct Code {
    bytes: Bytes,
    prepared: OnceBox<Box<dyn Any + Send + Sync>>,
}

impl Code {
    /// The code with these bytes, not prepared yet.
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, prepared: OnceBox::new() }
    }

    /// The bytes as deployed.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The prepared form, made by `prepare` the first time. `None` where the
    /// code was prepared in another form before: two machines claim it.
    pub fn prepared<P: Any + Send + Sync>(&self, prepare: impl FnOnce(&Bytes) -> P) -> Option<&P> {
        self.prepared.get_or_init(|| Box::new(Box::new(prepare(&self.bytes)))).downcast_ref()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}
