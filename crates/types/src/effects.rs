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

    /// Adds what the next execution relied on and changed, so that these become
    /// the effects of both together. `before` is the account as the first
    /// execution saw it, `after` as the second left it, which saw what the first
    /// had left.
    ///
    /// The sum may rely on more than both of its parts, never on less. `None`
    /// means that no account's balance allows both; these effects are then of no
    /// use.
    pub fn then(
        &mut self,
        next: &Self,
        before: Option<&AccountRecord>,
        after: Option<&AccountRecord>,
    ) -> Option<()> {
        let first_writes = self.writes_record();
        if self.sequence_write.is_none() {
            self.sequence_read = self.sequence_read.or(next.sequence_read);
        }
        if self.code_write.is_none() {
            self.code_read = self.code_read.or(next.code_read);
        }
        self.balance_read.narrow(next.balance_read.before(self.balance_delta)?);
        let mut pinned = self.existence_write.is_some() || next.existence_write.is_some();
        if !first_writes {
            self.existence_read = self.existence_read.or(next.existence_read);
            self.emptiness_read = self.emptiness_read.or(next.emptiness_read);
        } else if !self.surely_filled() {
            pinned |= next.existence_read.is_some() || next.emptiness_read.is_some();
        }
        self.balance_delta = self.balance_delta.checked_add(next.balance_delta)?;
        // That the second change fits is a bound on the balance before both.
        self.balance_read.narrow(Interval::ANY.before(self.balance_delta)?);
        self.sequence_write = next.sequence_write.or(self.sequence_write);
        self.code_write = next.code_write.or(self.code_write);
        self.storage_reset |= next.storage_reset;
        // An account that was filled and emptied again exists, and nothing but
        // the record in between says so.
        pinned |= first_writes && !self.surely_filled() && !self.balance_delta.is_negative();
        if pinned {
            let cells = before.copied().unwrap_or_default();
            self.existence_read = Some(before.is_some());
            self.balance_read.pin(cells.balance);
            self.sequence_read = Some(cells.sequence);
            self.code_read = Some(cells.code);
            self.existence_write = Some(after.is_some());
        }
        Some(())
    }

    /// Whether the account is not empty afterwards, whatever it was before.
    fn surely_filled(&self) -> bool {
        (!self.balance_delta.is_negative() && !self.balance_delta.is_zero())
            || self.sequence_write.is_some_and(|sequence| sequence != 0)
            || matches!(self.code_write, Some(Some(_)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MachineKind;
    use alloy_primitives::Address;
    use proptest::prelude::*;

    /// What a made-up execution looks at and does, in the cells of one account.
    #[derive(Clone, Debug)]
    struct Execution {
        looks: [bool; 5],
        at_least: u64,
        change: i64,
        sequence: Option<u64>,
        code: Option<bool>,
        exists: Option<bool>,
    }

    fn code(set: bool) -> Option<CodeRef> {
        set.then_some(CodeRef { machine: MachineKind::KERNEL, hash: B256::ZERO })
    }

    impl Execution {
        fn run(&self, before: Option<AccountRecord>) -> AccountEffects {
            let cells = before.unwrap_or_default();
            let [existence, emptiness, sequence, code_read, balance] = self.looks;
            let mut balance_read = Interval::ANY;
            if balance {
                let bound = U256::from(self.at_least);
                match cells.balance >= bound {
                    true => balance_read.require_at_least(bound),
                    false => balance_read.require_at_most(bound - U256::from(1)),
                }
            }
            let amount = U256::from(self.change.unsigned_abs());
            let balance_delta = match self.change {
                change if change >= 0 => Delta::plus(amount),
                _ => Delta::minus(amount.min(cells.balance)),
            };
            if self.exists == Some(false) {
                // What is removed is empty.
                balance_read.pin(cells.balance);
                return AccountEffects {
                    existence_write: Some(false),
                    balance_read,
                    balance_delta: Delta::minus(cells.balance),
                    sequence_write: Some(0),
                    code_write: Some(None),
                    ..Self { exists: None, ..self.clone() }.run(before)
                };
            }
            AccountEffects {
                account: AccountId::short(MachineKind::KERNEL, Address::ZERO),
                existence_read: existence.then_some(before.is_some()),
                emptiness_read: emptiness.then_some(cells.is_empty()),
                existence_write: self.exists,
                balance_read,
                balance_delta,
                sequence_read: sequence.then_some(cells.sequence),
                sequence_write: self.sequence,
                code_read: code_read.then_some(cells.code),
                code_write: self.code.map(code),
                storage_reset: false,
            }
        }
    }

    fn execution() -> impl Strategy<Value = Execution> {
        let rare = || prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
        let sequence = prop_oneof![3 => Just(None), 1 => (0_u64..2).prop_map(Some)];
        (any::<[bool; 5]>(), 0_u64..4, -3_i64..4, sequence, rare(), rare()).prop_map(
            |(looks, at_least, change, sequence, code, exists)| Execution {
                looks,
                at_least,
                change,
                sequence,
                code,
                exists,
            },
        )
    }

    fn record() -> impl Strategy<Value = Option<AccountRecord>> {
        let filled = (0_u64..4, 0_u64..2, any::<bool>()).prop_map(|(balance, sequence, set)| {
            AccountRecord { balance: U256::from(balance), sequence, code: code(set) }
        });
        prop_oneof![1 => Just(None), 4 => filled.prop_map(Some)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_sum_holds_only_where_its_parts_do_and_does_what_they_do(
            before in record(),
            executions in proptest::collection::vec(execution(), 2..5),
            elsewhere in record(),
        ) {
            let mut now = before;
            let mut parts = Vec::new();
            let mut sum: Option<AccountEffects> = None;
            for execution in &executions {
                let next = execution.run(now);
                now = next.apply(now).unwrap();
                match &mut sum {
                    None => sum = Some(next.clone()),
                    Some(sum) => sum.then(&next, before.as_ref(), now.as_ref()).unwrap(),
                }
                parts.push(next);
            }
            let sum = sum.unwrap();
            prop_assert!(sum.holds(before.as_ref()));
            prop_assert_eq!(sum.apply(before), Some(now));
            if sum.holds(elsewhere.as_ref()) {
                let mut record = elsewhere;
                for part in &parts {
                    prop_assert!(part.holds(record.as_ref()));
                    record = part.apply(record).unwrap();
                }
                prop_assert_eq!(sum.apply(elsewhere), Some(record));
            }
        }
    }
}
