use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use polity_kernel::Code;
use polity_types::B256;

/// Codes that were read, with the forms that machines prepared them in.
#[derive(Default)]
pub(crate) struct CodeCache {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    codes: HashMap<B256, Arc<Code>>,
    bytes: usize,
}

/// When the codes in the cache exceed this many bytes, they are all let go.
const LIMIT: usize = 128 << 20;

impl CodeCache {
    pub(crate) fn get(&self, hash: &B256) -> Option<Arc<Code>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).codes.get(hash).cloned()
    }

    /// Keeps a code, unless it is there already, and returns the one that is.
    pub(crate) fn insert(&self, hash: B256, code: Arc<Code>) -> Arc<Code> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes > LIMIT {
            *kept = Kept::default();
        }
        let length = code.bytes().len();
        let shared = kept.codes.entry(hash).or_insert_with(|| code.clone()).clone();
        if Arc::ptr_eq(&shared, &code) {
            kept.bytes = kept.bytes.saturating_add(length);
        }
        shared
    }
}
