use crate::{AccountRecord, Delta, Interval, Reliance, Seen, packed::ABSENT};

/// What several executions, one after the other, relied on and changed in the cells of one
/// account: the effects of all of them together.
///
/// It may rely on more than its parts do, never on less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSum {
    before: Option<AccountRecord>,
    now: Option<AccountRecord>,
    existence: Option<bool>,
    reset: bool,
    relied: Reliance,
}

impl AccountSum {
    /// What one execution relied on and changed, given the account as it left it.
    pub fn new(seen: &Seen<'_>, after: Option<AccountRecord>) -> Self {
        let mut relied = *seen.relied;
        if seen.existence == Some(false) {
            // That a removed account is empty is a matter of its exact balance.
            relied.balance.pin(seen.before.unwrap_or(&ABSENT).balance);
        }
        Self {
            before: seen.before.copied(),
            now: after,
            existence: seen.existence,
            reset: seen.reset,
            relied,
        }
    }

    /// The account as the last one left it.
    pub const fn now(&self) -> Option<&AccountRecord> {
        self.now.as_ref()
    }

    /// Whether every slot was emptied.
    pub const fn resets_storage(&self) -> bool {
        self.reset
    }

    fn cells(&self) -> (&AccountRecord, &AccountRecord) {
        (self.before.as_ref().unwrap_or(&ABSENT), self.now.as_ref().unwrap_or(&ABSENT))
    }

    /// Whether the account's cells, its slots aside, are changed.
    pub fn writes_record(&self) -> bool {
        let (before, now) = self.cells();
        self.existence.is_some() || before != now
    }

    /// Whether the account's cells are changed or its slots emptied.
    pub fn writes(&self) -> bool {
        self.writes_record() || self.reset
    }

    /// Whether it comes to no more than payments from and to an account without code, which nobody
    /// looked at for its exact balance or its existence: others rely on bounds of such a balance.
    pub fn only_pays(&self) -> bool {
        let (before, now) = self.cells();
        self.existence.is_none()
            && !self.reset
            && before.code.is_none()
            && now.code.is_none()
            && !self.relied.existence
            && !self.relied.emptiness
            && !self.relied.balance.is_point()
    }

    /// The change of the balance.
    pub fn delta(&self) -> Delta {
        let (before, now) = self.cells();
        Delta::between(before.balance, now.balance)
    }

    /// The new sequence number, if it is another.
    pub fn sequence_write(&self) -> Option<u64> {
        let (before, now) = self.cells();
        (before.sequence != now.sequence).then_some(now.sequence)
    }

    /// The new code, if it is another.
    pub fn code_write(&self) -> Option<Option<crate::CodeRef>> {
        let (before, now) = self.cells();
        (before.code != now.code).then_some(now.code)
    }

    /// Whether it exists from now on, where that differs from "it is not empty or existed before".
    pub const fn existence_write(&self) -> Option<bool> {
        self.existence
    }

    /// Whether the executions would do the same to the account as it is in `record`.
    pub fn holds(&self, record: Option<&AccountRecord>) -> bool {
        let (before, _) = self.cells();
        let cells = record.unwrap_or(&ABSENT);
        let relied = &self.relied;
        (!relied.existence || self.before.is_some() == record.is_some())
            && (!relied.emptiness || before.is_empty() == cells.is_empty())
            && (!relied.sequence || before.sequence == cells.sequence)
            && (!relied.code || before.code == cells.code)
            && relied.balance.contains(cells.balance)
            && self.delta().apply(cells.balance).is_some()
    }

    /// What the executions make of the account as it is in `record`; `None` within where it does
    /// not exist then, `None` where its balance does not allow the change.
    pub fn apply(&self, record: Option<AccountRecord>) -> Option<Option<AccountRecord>> {
        let mut cells = record.unwrap_or(ABSENT);
        cells.balance = self.delta().apply(cells.balance)?;
        cells.sequence = self.sequence_write().unwrap_or(cells.sequence);
        cells.code = self.code_write().unwrap_or(cells.code);
        let exists = self.existence.unwrap_or(record.is_some() || !cells.is_empty());
        Some(exists.then_some(cells))
    }

    /// Adds the next execution, which saw the account as it is now, and left it as it is in
    /// `after`.
    ///
    /// `None` means that no account allows both, or that the next one saw another account; the sum
    /// is then of no use.
    pub fn add(&mut self, next: &Seen<'_>, after: Option<AccountRecord>) -> Option<()> {
        let first_writes = self.writes_record();
        let (before, now) = self.cells();
        let (balance, delta) = (before.balance, self.delta());
        let same_sequence = before.sequence == now.sequence;
        let same_code = before.code == now.code;
        if next.before.unwrap_or(&ABSENT) != now {
            return None;
        }
        let mut pinned = self.existence.is_some() || next.existence.is_some();
        if first_writes {
            let asks = next.relied.existence || next.relied.emptiness;
            pinned |= asks && !self.surely_filled();
        } else {
            self.relied.existence |= next.relied.existence;
            self.relied.emptiness |= next.relied.emptiness;
        }
        self.relied.sequence |= next.relied.sequence && same_sequence;
        self.relied.code |= next.relied.code && same_code;
        self.relied.balance.narrow(next.relied.balance.before(delta)?);
        self.now = after;
        self.reset |= next.reset;
        let delta = self.delta();
        // That the change fits is a bound on the balance before all of them.
        self.relied.balance.narrow(Interval::ANY.before(delta)?);
        // An account that was filled and emptied again exists, and nothing but the record in
        // between says so.
        pinned |= first_writes && !self.surely_filled() && !delta.is_negative();
        if pinned {
            self.relied.existence = true;
            self.relied.sequence = true;
            self.relied.code = true;
            self.relied.balance.pin(balance);
            self.existence = Some(after.is_some());
        }
        Some(())
    }

    /// Whether the account is not empty now, whatever it was before.
    fn surely_filled(&self) -> bool {
        let (before, now) = self.cells();
        now.balance > before.balance
            || (now.sequence != before.sequence && now.sequence != 0)
            || (now.code != before.code && now.code.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, CodeRef, MachineKind, U256};
    use alloc::vec::Vec;
    use alloy_primitives::{Address, B256};
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

    /// What an execution did on one record.
    struct Run {
        before: Option<AccountRecord>,
        now: AccountRecord,
        existence: Option<bool>,
        relied: Reliance,
    }

    fn code(set: bool) -> Option<CodeRef> {
        set.then_some(CodeRef { machine: MachineKind::KERNEL, hash: B256::ZERO })
    }

    impl Execution {
        /// Whether it does on `record` what it did in `run`, and if so the record after it.
        fn repeats(&self, run: &Run, record: Option<AccountRecord>) -> bool {
            let again = self.run(record);
            let change = |run: &Run| {
                let cells = run.before.unwrap_or_default();
                let sequence = (self.sequence.is_some()).then_some(run.now.sequence);
                let code = (self.code.is_some()).then_some(run.now.code);
                (Delta::between(cells.balance, run.now.balance), sequence, code, run.existence)
            };
            let [existence, emptiness, sequence, code, balance] = self.looks;
            let cells = |record: Option<AccountRecord>| record.unwrap_or_default();
            let (old, new) = (cells(run.before), cells(record));
            let bound = U256::from(self.at_least);
            change(&again) == change(run)
                && (!existence || run.before.is_some() == record.is_some())
                && (!emptiness || old.is_empty() == new.is_empty())
                && (!sequence || old.sequence == new.sequence)
                && (!code || old.code == new.code)
                && (!balance || (old.balance >= bound) == (new.balance >= bound))
        }

        fn run(&self, before: Option<AccountRecord>) -> Run {
            let cells = before.unwrap_or_default();
            let [existence, emptiness, sequence, code_read, balance] = self.looks;
            let mut relied = Reliance {
                existence,
                emptiness,
                // What is set is compared with what there was.
                sequence: sequence || self.sequence.is_some() || self.exists == Some(false),
                code: code_read || self.code.is_some() || self.exists == Some(false),
                balance: Interval::ANY,
            };
            if balance {
                let bound = U256::from(self.at_least);
                match cells.balance >= bound {
                    true => relied.balance.require_at_least(bound),
                    false => relied.balance.require_at_most(bound - U256::from(1)),
                }
            }
            if self.exists == Some(false) {
                return Run { before, now: ABSENT, existence: Some(false), relied };
            }
            let amount = U256::from(self.change.unsigned_abs());
            let mut now = cells;
            if self.change >= 0 {
                now.balance += amount;
            } else if cells.balance >= amount {
                relied.balance.require_at_least(amount);
                now.balance -= amount;
            } else {
                relied.balance.require_at_most(amount - U256::from(1));
            }
            now.sequence = self.sequence.unwrap_or(now.sequence);
            now.code = self.code.map_or(now.code, code);
            Run { before, now, existence: self.exists, relied }
        }
    }

    impl Run {
        fn after(&self) -> Option<AccountRecord> {
            let exists = self.before.is_some() || !self.now.is_empty();
            self.existence.unwrap_or(exists).then_some(self.now)
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
            executions in proptest::collection::vec(execution(), 1..5),
            elsewhere in record(),
        ) {
            let account = AccountId::short(MachineKind::KERNEL, Address::ZERO);
            let mut now = before;
            let mut runs = Vec::new();
            let mut sum: Option<AccountSum> = None;
            for execution in &executions {
                let run = execution.run(now);
                now = run.after();
                let seen = Seen {
                    account: &account,
                    before: run.before.as_ref(),
                    now: &run.now,
                    existence: run.existence,
                    reset: false,
                    relied: &run.relied,
                };
                match &mut sum {
                    None => sum = Some(AccountSum::new(&seen, now)),
                    Some(sum) => sum.add(&seen, now).unwrap(),
                }
                runs.push(run);
            }
            let sum = sum.unwrap();
            prop_assert!(sum.holds(before.as_ref()));
            prop_assert_eq!(sum.apply(before), Some(now));
            prop_assert_eq!(sum.now(), now.as_ref());
            if sum.holds(elsewhere.as_ref()) {
                let mut record = elsewhere;
                for (execution, run) in executions.iter().zip(&runs) {
                    prop_assert!(execution.repeats(run, record));
                    record = execution.run(record).after();
                }
                prop_assert_eq!(sum.apply(elsewhere), Some(record));
            }
        }
    }
}
