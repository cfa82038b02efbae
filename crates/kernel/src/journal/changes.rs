//! What the undo log says was changed, for a [trace](crate::Trace).

use super::{AccountCell, Journal, SlotCell, Undo};
use crate::{
    Halt, View,
    trace::{Change, Trace},
};
use alloc::{collections::BTreeMap, vec::Vec};
use hashbrown::{HashMap, HashSet};
use polity_types::{AccountId, AccountRecord, CodeRef, LocalKey, U256, Value};

/// The cells of a stretch of the undo log as they were at its begin, in the order in
/// which they were touched.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    Balance(u32),
    Sequence(u32),
    Code(u32),
    Existence(u32),
    Slot(u32),
}

enum Before {
    Balance(U256),
    Sequence(u64),
    Code(Option<CodeRef>),
    Existence(Option<bool>),
    /// Whether the storage had been reset by then is told apart.
    Slot(Option<Value>, bool),
}

impl Journal {
    /// Looks at the value of a slot that is going to be written without having been read,
    /// which nothing is going to rely on.
    pub(crate) fn look_before(
        &self,
        account: u32,
        key: &LocalKey,
        view: &dyn View,
        trace: &mut Trace,
    ) -> Result<(), Halt> {
        let cell = self.get(account)?;
        let slot = self.slot(account, key);
        let known = slot.and_then(|slot| self.slots.get(slot as usize));
        if known.is_some_and(|slot| slot.original.is_some()) {
            return Ok(());
        }
        // The number that it is going to have.
        let number = slot.or_else(|| u32::try_from(self.slots.len()).ok()).unwrap_or(u32::MAX);
        if !trace.unread.contains_key(&number) {
            trace.unread.insert(number, view.slot(&cell.id, key)?);
        }
        Ok(())
    }

    /// Tells the trace what was changed since it was told last.
    pub(crate) fn tell(&self, trace: &mut Trace) {
        let new = self.undo.get(trace.told..).unwrap_or_default();
        trace.told = self.undo.len();
        if new.is_empty() || trace.is_quiet() {
            return;
        }
        let resets: HashSet<u32> = new
            .iter()
            .filter_map(|undo| match undo {
                Undo::Reset(account) => Some(*account),
                _ => None,
            })
            .collect();
        let (mut order, mut seen) = (Vec::new(), HashMap::new());
        let mut reset_here = HashSet::new();
        for undo in new {
            let (cell, before) = match undo {
                Undo::Balance(account, before) => {
                    (Cell::Balance(*account), Before::Balance(*before))
                }
                Undo::Sequence(account, before) => {
                    (Cell::Sequence(*account), Before::Sequence(*before))
                }
                Undo::Code(account, before) => (Cell::Code(*account), Before::Code(*before)),
                Undo::Existence(account, before) => {
                    (Cell::Existence(*account), Before::Existence(*before))
                }
                Undo::Reset(account) => {
                    reset_here.insert(*account);
                    if let Ok(cell) = self.get(*account) {
                        trace.change(cell.id, Change::Cleared);
                    }
                    continue;
                }
                Undo::Slot(slot, before) => {
                    let account = self.slots.get(*slot as usize).map(|slot| slot.account);
                    let was_reset = account.is_some_and(|account| {
                        let before_this = self.is_reset(account) && !resets.contains(&account);
                        before_this || reset_here.contains(&account)
                    });
                    (Cell::Slot(*slot), Before::Slot(before.clone(), was_reset))
                }
                Undo::Minted(_) | Undo::Burned(_) => continue,
            };
            seen.entry(cell).or_insert_with(|| {
                order.push(cell);
                before
            });
        }
        for cell in order {
            if let Some(before) = seen.remove(&cell)
                && let Some((account, change)) = self.change(cell, before, &resets, trace)
            {
                trace.change(account, change);
            }
        }
    }

    fn is_reset(&self, account: u32) -> bool {
        self.get(account).is_ok_and(|cell| cell.reset)
    }

    /// What a cell is now, if that differs. `resets` are the accounts whose storage has just
    /// been told to be empty.
    fn change(
        &self,
        cell: Cell,
        before: Before,
        resets: &HashSet<u32>,
        trace: &Trace,
    ) -> Option<(AccountId, Change)> {
        let account = |account: u32| self.get(account).ok();
        let (id, change) = match (cell, before) {
            (Cell::Balance(of), Before::Balance(before)) => {
                let cell = account(of)?;
                (cell.id, Change::Balance { before, after: cell.now.balance })
            }
            (Cell::Sequence(of), Before::Sequence(before)) => {
                let cell = account(of)?;
                (cell.id, Change::Sequence { before, after: cell.now.sequence })
            }
            (Cell::Code(of), Before::Code(before)) => {
                let cell = account(of)?;
                (cell.id, Change::Code { before, after: cell.now.code })
            }
            (Cell::Existence(of), Before::Existence(before)) => {
                let cell = account(of)?;
                let before = before.unwrap_or(cell.original.is_some());
                (cell.id, Change::Existence { before, after: cell.exists() })
            }
            (Cell::Slot(of), Before::Slot(before, was_reset)) => {
                let slot = self.slots.get(of as usize)?;
                let cell = account(slot.account)?;
                let value = |written: Option<&Value>, reset| match written {
                    Some(value) => value.clone(),
                    None if reset => Value::Empty,
                    None => slot.at_first(of, trace),
                };
                let mut before = value(before.as_ref(), was_reset);
                let after = value(slot.written.as_ref(), cell.reset);
                // It was emptied, and set to what it had been.
                if resets.contains(&slot.account) && before == after {
                    before = Value::Empty;
                }
                (cell.id, Change::Slot { key: slot.key.clone(), before, after })
            }
            _ => return None,
        };
        change.differs().then_some((id, change))
    }

    /// Tells the trace, at the transaction's end, what differs from the state before it and
    /// was no frame's doing: what machines leave to that moment.
    pub(crate) fn tell_rest(&self, trace: &mut Trace) {
        let mut records: HashMap<AccountId, (AccountRecord, Option<bool>, bool)> = HashMap::new();
        let mut slots: BTreeMap<(AccountId, LocalKey), Value> = BTreeMap::new();
        let index: HashMap<AccountId, &AccountCell> =
            self.accounts.iter().map(|cell| (cell.id, cell)).collect();
        for told in trace.changes().iter().filter(|told| !told.undone) {
            let original = index.get(&told.account).and_then(|cell| cell.original);
            let known = records.entry(told.account);
            let known = known.or_insert_with(|| (original.unwrap_or_default(), None, false));
            match &told.change {
                Change::Existence { after, .. } => known.1 = Some(*after),
                Change::Balance { after, .. } => known.0.balance = *after,
                Change::Sequence { after, .. } => known.0.sequence = *after,
                Change::Code { after, .. } => known.0.code = *after,
                Change::Slot { key, after, .. } => {
                    slots.insert((told.account, key.clone()), after.clone());
                }
                Change::Cleared => known.2 = true,
            }
        }
        let mut rest = Vec::new();
        for cell in &self.accounts {
            let told = records.get(&cell.id).copied();
            let (before, existence, cleared) =
                told.unwrap_or_else(|| (*AccountCell::original(cell), None, false));
            // An account that was not there had no slots.
            if cell.reset && !cleared && cell.original.is_some() {
                rest.push((cell.id, Change::Cleared));
                let own = slots.iter_mut().filter(|((account, _), _)| *account == cell.id);
                own.for_each(|(_, value)| *value = Value::Empty);
            }
            let now = &cell.now;
            rest.push((cell.id, Change::Balance { before: before.balance, after: now.balance }));
            let (sequence, code) = (now.sequence, now.code);
            rest.push((cell.id, Change::Sequence { before: before.sequence, after: sequence }));
            rest.push((cell.id, Change::Code { before: before.code, after: code }));
            if let Some(after) = cell.existence {
                let before = existence.unwrap_or(cell.original.is_some());
                rest.push((cell.id, Change::Existence { before, after }));
            }
        }
        for (number, slot) in (0_u32..).zip(&self.slots) {
            let Ok(cell) = self.get(slot.account) else { continue };
            let before = slots.remove(&(cell.id, slot.key.clone()));
            if before.is_none() && slot.written.is_none() {
                continue;
            }
            let before = before.unwrap_or_else(|| slot.at_first(number, trace));
            let after = match &slot.written {
                Some(value) => value.clone(),
                None if cell.reset => Value::Empty,
                None => slot.at_first(number, trace),
            };
            rest.push((cell.id, Change::Slot { key: slot.key.clone(), before, after }));
        }
        // What was told of slots that were emptied before the kernel was told of them.
        for ((account, key), before) in slots {
            if index.get(&account).is_some_and(|cell| cell.reset) {
                rest.push((account, Change::Slot { key, before, after: Value::Empty }));
            }
        }
        for (account, change) in rest {
            if change.differs() {
                trace.change(account, change);
            }
        }
    }
}

impl SlotCell {
    /// The value before the transaction.
    fn at_first(&self, number: u32, trace: &Trace) -> Value {
        let known = self.original.as_ref().or_else(|| trace.unread.get(&number));
        known.cloned().unwrap_or_default()
    }
}

impl Change {
    fn differs(&self) -> bool {
        match self {
            Self::Existence { before, after } => before != after,
            Self::Balance { before, after } => before != after,
            Self::Sequence { before, after } => before != after,
            Self::Code { before, after } => before != after,
            Self::Slot { before, after, .. } => before != after,
            Self::Cleared => true,
        }
    }
}
