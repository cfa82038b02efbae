use crate::{AccountId, AccountList, AccountRecord, CodeRef, Delta, Interval, LocalKey, Value};
use alloc::vec::Vec;
use alloy_primitives::{B256, Bytes, U256};
use borsh::{BorshDeserialize, BorshSerialize};

/// Something that a contract told the world.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// The account that emitted it.
    pub emitter: AccountId,
    /// What it can be found by.
    pub topics: Vec<B256>,
    /// What it says.
    pub data: Bytes,
}

/// What a transaction relied on and changed in the cells of one account.
///
/// `None` in a `read` means that the execution does not depend on the cell;
/// `None` in a `write` means that the cell keeps its value.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountEffects {
    /// The account.
    pub account: AccountId,
    /// Whether it existed, where that was relied on.
    pub existence_read: Option<bool>,
    /// Whether it was empty or absent (EIP-161), where that was relied on.
    pub emptiness_read: Option<bool>,
    /// Whether it exists from now on, where that differs from "it is not
    /// empty or existed before".
    pub existence_write: Option<bool>,
    /// What was relied on about the balance before the transaction.
    pub balance_read: Interval,
    /// The change of the balance.
    pub balance_delta: Delta,
    /// The sequence number that was relied on.
    pub sequence_read: Option<u64>,
    /// The new sequence number.
    pub sequence_write: Option<u64>,
    /// The code that was relied on.
    pub code_read: Option<Option<CodeRef>>,
    /// The new code.
    pub code_write: Option<Option<CodeRef>>,
    /// Whether every slot was emptied, before the slot writes listed.
    pub storage_reset: bool,
}

impl AccountEffects {
    /// The account after these effects, or `None` where it does not exist
    /// afterwards. Fails with `None` inside where the balance would leave
    /// 0..2^256: the effects are then not valid on this record.
    pub fn apply(&self, before: Option<AccountRecord>) -> Option<Option<AccountRecord>> {
        let mut record = before.unwrap_or_default();
        record.balance = self.balance_delta.apply(record.balance)?;
        if let Some(sequence) = self.sequence_write {
            record.sequence = sequence;
        }
        if let Some(code) = self.code_write {
            record.code = code;
        }
        let exists = self.existence_write.unwrap_or(before.is_some() || !record.is_empty());
        Some(exists.then_some(record))
    }

    /// Whether the account's cells (slots aside) are changed at all.
    pub fn writes_record(&self) -> bool {
        !self.balance_delta.is_zero()
            || self.sequence_write.is_some()
            || self.code_write.is_some()
            || self.existence_write.is_some()
    }

    /// Whether the account's cells are changed or its slots emptied.
    pub fn writes(&self) -> bool {
        self.writes_record() || self.storage_reset
    }

    /// Whether what was relied on is true of the account as it is in `before`,
    /// and the change fits it: running on it gives these effects.
    pub fn holds(&self, before: Option<&AccountRecord>) -> bool {
        let absent = AccountRecord::default();
        let cells = before.unwrap_or(&absent);
        self.existence_read.is_none_or(|existed| existed == before.is_some())
            && self.emptiness_read.is_none_or(|empty| empty == cells.is_empty())
            && self.sequence_read.is_none_or(|sequence| sequence == cells.sequence)
            && self.code_read.is_none_or(|code| code == cells.code)
            && self.balance_read.contains(cells.balance)
            && self.balance_delta.apply(cells.balance).is_some()
    }
}

/// What a transaction relied on and changed in one slot.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlotEffects {
    /// The index of the account in [`Effects::accounts`].
    pub account: u32,
    /// The key inside the account.
    pub key: LocalKey,
    /// The value before the transaction, where it was relied on.
    pub read: Option<Value>,
    /// The new value.
    pub write: Option<Value>,
}

/// What a transaction reads, writes, adds and emits. Accounts and slots stand
/// in the order of their first access, which is a function of the execution
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Effects {
    /// Accounts, each once.
    pub accounts: AccountList,
    /// Slots, each once.
    pub slots: Vec<SlotEffects>,
    /// Codes that accounts above now refer to, by hash.
    pub codes: Vec<(B256, Bytes)>,
    /// Heights whose block hash was relied on, with the hash.
    pub block_hashes: Vec<(u64, B256)>,
    /// Events, in the order of emission.
    pub events: Vec<Event>,
    /// The native asset created, in base units.
    pub minted: U256,
    /// The native asset destroyed, in base units.
    pub burned: U256,
}
