//! The one undo log of a transaction, and the cells that it covers.
//!
//! Accounts and slots are interned when they are first looked up, with the
//! value that the view gave; a write changes the current value and pushes the
//! former one on the undo log. Reliance is never undone: a reverted frame ran
//! because of what it saw.

mod changes;

use crate::{Code, Halt, View, index::Index};
use alloc::{format, sync::Arc, vec::Vec};
use hashbrown::HashMap;
use polity_types::{
    AccountId, AccountRecord, B256, CodeRef, Delta, Effects, Event, LocalKey, MachineKind, Packer,
    Reliance, Seen, SlotEffects, U256, Value,
};

/// An account of the transaction.
pub(crate) struct AccountCell {
    pub(crate) id: AccountId,
    pub(crate) original: Option<AccountRecord>,
    pub(crate) now: AccountRecord,
    pub(crate) existence: Option<bool>,
    relied: Reliance,
    reset: bool,
}

/// What an absent account holds.
static ABSENT: AccountRecord = AccountRecord { balance: U256::ZERO, sequence: 0, code: None };

impl AccountCell {
    /// The cells before the transaction. By reference: this is read often, and
    /// a record is large.
    fn original(&self) -> &AccountRecord {
        self.original.as_ref().unwrap_or(&ABSENT)
    }

    /// Whether the account exists now.
    fn exists(&self) -> bool {
        self.existence.unwrap_or(self.original.is_some() || !self.now.is_empty())
    }

    pub(crate) fn peek(&self) -> Option<AccountRecord> {
        self.exists().then_some(self.now)
    }

    /// Translates a bound on the balance now into one on the balance before
    /// the transaction, which is what effects speak of.
    fn before(&self, bound: U256) -> U256 {
        match Delta::between(self.original().balance, self.now.balance) {
            delta if delta.is_negative() => bound.saturating_add(delta.magnitude()),
            delta => bound.saturating_sub(delta.magnitude()),
        }
    }

    /// Whether the effects change the account's record.
    fn writes_record(&self) -> bool {
        let original = self.original();
        self.existence.is_some()
            || self.now.balance != original.balance
            || self.now.sequence != original.sequence
            || self.now.code != original.code
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            account: &self.id,
            before: self.original.as_ref(),
            now: &self.now,
            existence: self.existence,
            reset: self.reset,
            relied: &self.relied,
        }
    }
}

/// A slot of the transaction.
struct SlotCell {
    account: u32,
    key: LocalKey,
    /// The value before the transaction, where somebody looked.
    original: Option<Value>,
    /// What was written, since the storage was reset if it was.
    written: Option<Value>,
}

enum Undo {
    Balance(u32, U256),
    Sequence(u32, u64),
    Code(u32, Option<CodeRef>),
    Existence(u32, Option<bool>),
    Reset(u32),
    Slot(u32, Option<Value>),
    Minted(U256),
    Burned(U256),
}

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    undo: usize,
    events: usize,
}

impl Mark {
    /// How long the undo log was.
    pub(crate) const fn changes(&self) -> usize {
        self.undo
    }
}

/// Counts of what a transaction changed, for the meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
}

#[derive(Default)]
pub(crate) struct Journal {
    index: Index,
    accounts: Vec<AccountCell>,
    slot_index: Index,
    slots: Vec<SlotCell>,
    codes: Vec<(B256, Arc<Code>)>,
    fetched_codes: HashMap<B256, Arc<Code>>,
    block_hashes: Vec<(u64, B256)>,
    events: Vec<Event>,
    undo: Vec<Undo>,
    minted: U256,
    burned: U256,
    packer: Packer,
}

fn unknown_account(account: u32) -> Halt {
    Halt::Fault(format!("account handle {account} was not given out in this transaction"))
}

impl Journal {
    /// Forgets the transaction, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.accounts.clear();
        self.slot_index.clear();
        self.slots.clear();
        self.codes.clear();
        self.fetched_codes.clear();
        self.block_hashes.clear();
        self.events.clear();
        self.undo.clear();
        self.minted = U256::ZERO;
        self.burned = U256::ZERO;
        self.packer.clear();
    }

    /// The handle of an account, and whether the view was asked for it.
    pub(crate) fn intern(&mut self, id: &AccountId, view: &dyn View) -> Result<(u32, bool), Halt> {
        if let Some(account) = self.index.find(&self.accounts, id, |cell| cell.id == *id) {
            return Ok((account, false));
        }
        let original = view.account(id)?;
        let account = u32::try_from(self.accounts.len())
            .map_err(|_| Halt::Fault("more than 2^32 accounts".into()))?;
        self.accounts.push(AccountCell {
            id: *id,
            original,
            now: original.unwrap_or_default(),
            existence: None,
            relied: Reliance::default(),
            reset: false,
        });
        self.index.add_last(&self.accounts, |cell| cell.id);
        Ok((account, true))
    }

    pub(crate) fn get(&self, account: u32) -> Result<&AccountCell, Halt> {
        self.accounts.get(account as usize).ok_or_else(|| unknown_account(account))
    }

    fn get_mut(&mut self, account: u32) -> Result<&mut AccountCell, Halt> {
        self.accounts.get_mut(account as usize).ok_or_else(|| unknown_account(account))
    }

    pub(crate) fn owner(&self, account: u32) -> Result<MachineKind, Halt> {
        Ok(self.get(account)?.id.machine)
    }

    pub(crate) fn rely_existence(&mut self, account: u32) -> Result<(), Halt> {
        self.get_mut(account)?.relied.existence = true;
        Ok(())
    }

    pub(crate) fn rely_emptiness(&mut self, account: u32) -> Result<(), Halt> {
        self.get_mut(account)?.relied.emptiness = true;
        Ok(())
    }

    pub(crate) fn rely_sequence(&mut self, account: u32) -> Result<u64, Halt> {
        let cell = self.get_mut(account)?;
        cell.relied.sequence = true;
        Ok(cell.now.sequence)
    }

    pub(crate) fn rely_code(&mut self, account: u32) -> Result<Option<CodeRef>, Halt> {
        let cell = self.get_mut(account)?;
        cell.relied.code = true;
        Ok(cell.now.code)
    }

    pub(crate) fn rely_balance(&mut self, account: u32, lo: U256, hi: U256) -> Result<(), Halt> {
        let cell = self.get_mut(account)?;
        cell.relied.balance.require_at_least(lo);
        cell.relied.balance.require_at_most(hi);
        Ok(())
    }

    pub(crate) fn balance(&mut self, account: u32) -> Result<U256, Halt> {
        let cell = self.get_mut(account)?;
        cell.relied.balance.pin(cell.original().balance);
        Ok(cell.now.balance)
    }

    pub(crate) fn credit(&mut self, account: u32, amount: U256) -> Result<(), Halt> {
        if !amount.is_zero() {
            self.revive(account)?;
        }
        let cell = self.get_mut(account)?;
        let before = cell.now.balance;
        cell.now.balance = before
            .checked_add(amount)
            .ok_or_else(|| Halt::Fault(format!("the balance of {} passes 2^256", cell.id)))?;
        if !amount.is_zero() {
            self.undo.push(Undo::Balance(account, before));
        }
        Ok(())
    }

    pub(crate) fn debit(&mut self, account: u32, amount: U256) -> Result<bool, Halt> {
        let cell = self.get_mut(account)?;
        let before = cell.now.balance;
        let Some(after) = before.checked_sub(amount) else {
            // The amount exceeds a balance, so it is at least 1.
            let below = cell.before(amount.saturating_sub(U256::ONE));
            cell.relied.balance.require_at_most(below);
            return Ok(false);
        };
        let least = cell.before(amount);
        cell.relied.balance.require_at_least(least);
        cell.now.balance = after;
        if !amount.is_zero() {
            self.undo.push(Undo::Balance(account, before));
        }
        Ok(true)
    }

    /// Makes balance and sequence number those of `record`.
    pub(crate) fn restate(&mut self, account: u32, record: &AccountRecord) -> Result<(), Halt> {
        let now = &self.get(account)?.now;
        let (balance, sequence) = (now.balance, now.sequence);
        if record.balance > balance {
            self.credit(account, record.balance.wrapping_sub(balance))?;
        } else if record.balance < balance {
            self.debit(account, balance.wrapping_sub(record.balance))?;
        }
        if record.sequence != sequence {
            self.set_sequence(account, record.sequence)?;
        }
        Ok(())
    }

    /// Relies on whether `amount` can be paid where the balance is `now`.
    pub(crate) fn rely_can_pay(
        &mut self,
        account: u32,
        now: &U256,
        amount: &U256,
    ) -> Result<(), Halt> {
        let cell = self.get_mut(account)?;
        let before = cell.original().balance;
        // The same bound, on the balance before the transaction.
        let bound = |bound: U256| match *now >= before {
            true => bound.saturating_sub(now.wrapping_sub(before)),
            false => bound.saturating_add(before.wrapping_sub(*now)),
        };
        if amount.is_zero() {
        } else if amount <= now {
            cell.relied.balance.require_at_least(bound(*amount));
        } else {
            cell.relied.balance.require_at_most(bound(amount.wrapping_sub(U256::ONE)));
        }
        Ok(())
    }

    pub(crate) fn mint(&mut self, amount: U256) {
        self.undo.push(Undo::Minted(self.minted));
        self.minted = self.minted.wrapping_add(amount);
    }

    pub(crate) fn burn(&mut self, amount: U256) {
        self.undo.push(Undo::Burned(self.burned));
        self.burned = self.burned.wrapping_add(amount);
    }

    /// Sets the sequence number. Whether that is a change is decided by the
    /// number before, which is therefore relied on; the same holds for codes.
    pub(crate) fn set_sequence(&mut self, account: u32, sequence: u64) -> Result<(), Halt> {
        if sequence != 0 {
            self.revive(account)?;
        }
        let cell = self.get_mut(account)?;
        cell.relied.sequence = true;
        let before = core::mem::replace(&mut cell.now.sequence, sequence);
        self.undo.push(Undo::Sequence(account, before));
        Ok(())
    }

    pub(crate) fn set_code(
        &mut self,
        account: u32,
        code: Option<(CodeRef, Arc<Code>)>,
    ) -> Result<(), Halt> {
        if code.is_some() {
            self.revive(account)?;
        }
        let reference = code.as_ref().map(|(reference, _)| *reference);
        let cell = self.get_mut(account)?;
        cell.relied.code = true;
        let before = core::mem::replace(&mut cell.now.code, reference);
        self.undo.push(Undo::Code(account, before));
        // A code is content: it stays when the reference to it is undone.
        if let Some((reference, code)) = code
            && self.new_code(&reference.hash).is_none()
        {
            self.codes.push((reference.hash, code));
        }
        Ok(())
    }

    /// An account that was removed exists again once something is put in it.
    fn revive(&mut self, account: u32) -> Result<(), Halt> {
        let cell = self.get_mut(account)?;
        if cell.existence == Some(false) {
            let before = cell.existence.take();
            self.undo.push(Undo::Existence(account, before));
        }
        Ok(())
    }

    /// The code with this hash, and whether the view was asked for it.
    pub(crate) fn code_by_hash(
        &mut self,
        hash: &B256,
        view: &dyn View,
    ) -> Result<(Arc<Code>, bool), Halt> {
        if let Some(code) = self.new_code(hash).or_else(|| self.fetched_codes.get(hash)) {
            return Ok((code.clone(), false));
        }
        let code = view.code(hash)?;
        self.fetched_codes.insert(*hash, code.clone());
        Ok((code, true))
    }

    fn new_code(&self, hash: &B256) -> Option<&Arc<Code>> {
        self.codes.iter().find(|(known, _)| known == hash).map(|(_, code)| code)
    }

    /// Lets an account exist although it is empty, or removes all of it but
    /// the balance.
    pub(crate) fn set_existence(&mut self, account: u32, exists: bool) -> Result<(), Halt> {
        if !exists {
            self.set_sequence(account, 0)?;
            self.set_code(account, None)?;
            self.reset_storage(account)?;
        }
        let cell = self.get_mut(account)?;
        let before = cell.existence.replace(exists);
        self.undo.push(Undo::Existence(account, before));
        Ok(())
    }

    /// The value of a slot, and whether the view was asked for it.
    pub(crate) fn read(
        &mut self,
        account: u32,
        key: &LocalKey,
        view: &dyn View,
    ) -> Result<(Value, bool), Halt> {
        let cell = self.accounts.get(account as usize).ok_or_else(|| unknown_account(account))?;
        let index = self.slot(account, key);
        let slot = index.and_then(|index| self.slots.get_mut(index as usize));
        if let Some(written) = slot.as_ref().and_then(|slot| slot.written.as_ref()) {
            return Ok((written.clone(), false));
        }
        if cell.reset {
            return Ok((Value::Empty, false));
        }
        if let Some(original) = slot.as_ref().and_then(|slot| slot.original.as_ref()) {
            return Ok((original.clone(), false));
        }
        let value = view.slot(&cell.id, key)?;
        match slot {
            // It was written blindly, and that was undone.
            Some(slot) => slot.original = Some(value.clone()),
            None => {
                self.push_slot(account, key.clone(), Some(value.clone()))?;
            }
        }
        Ok((value, true))
    }

    pub(crate) fn write(&mut self, account: u32, key: &LocalKey, value: Value) -> Result<(), Halt> {
        self.get(account)?;
        let index = match self.slot(account, key) {
            Some(index) => index,
            None => self.push_slot(account, key.clone(), None)?,
        };
        if let Some(slot) = self.slots.get_mut(index as usize) {
            let before = slot.written.replace(value);
            self.undo.push(Undo::Slot(index, before));
        }
        Ok(())
    }

    pub(crate) fn reset_storage(&mut self, account: u32) -> Result<(), Halt> {
        let cell = self.get_mut(account)?;
        if !core::mem::replace(&mut cell.reset, true) {
            self.undo.push(Undo::Reset(account));
        }
        for (index, slot) in (0u32..).zip(&mut self.slots) {
            if slot.account == account && slot.written.is_some() {
                let before = slot.written.take();
                self.undo.push(Undo::Slot(index, before));
            }
        }
        Ok(())
    }

    fn slot(&self, account: u32, key: &LocalKey) -> Option<u32> {
        self.slot_index
            .find(&self.slots, &(account, key), |slot| slot.account == account && slot.key == *key)
    }

    fn push_slot(
        &mut self,
        account: u32,
        key: LocalKey,
        original: Option<Value>,
    ) -> Result<u32, Halt> {
        let index = u32::try_from(self.slots.len())
            .map_err(|_| Halt::Fault("more than 2^32 slots".into()))?;
        self.slots.push(SlotCell { account, key, original, written: None });
        self.slot_index.add_last(&self.slots, |slot| (slot.account, &slot.key));
        Ok(index)
    }

    pub(crate) fn block_hash(&mut self, number: u64, view: &dyn View) -> Result<B256, Halt> {
        if let Some((_, hash)) = self.block_hashes.iter().find(|(known, _)| *known == number) {
            return Ok(*hash);
        }
        let hash = view.block_hash(number)?;
        self.block_hashes.push((number, hash));
        Ok(hash)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { undo: self.undo.len(), events: self.events.len() }
    }

    pub(crate) fn revert(&mut self, mark: Mark) {
        self.events.truncate(mark.events);
        while self.undo.len() > mark.undo {
            let Some(undo) = self.undo.pop() else { return };
            match undo {
                Undo::Balance(account, before) => {
                    self.restore(account, |cell| cell.now.balance = before);
                }
                Undo::Sequence(account, before) => {
                    self.restore(account, |cell| cell.now.sequence = before);
                }
                Undo::Code(account, before) => {
                    self.restore(account, |cell| cell.now.code = before);
                }
                Undo::Existence(account, before) => {
                    self.restore(account, |cell| cell.existence = before);
                }
                Undo::Reset(account) => self.restore(account, |cell| cell.reset = false),
                Undo::Slot(index, before) => {
                    if let Some(slot) = self.slots.get_mut(index as usize) {
                        slot.written = before;
                    }
                }
                Undo::Minted(before) => self.minted = before,
                Undo::Burned(before) => self.burned = before,
            }
        }
    }

    fn restore(&mut self, account: u32, with: impl FnOnce(&mut AccountCell)) {
        if let Some(cell) = self.accounts.get_mut(account as usize) {
            with(cell);
        }
    }

    /// The accounts in the order of the effects, and as they are now.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (Seen<'_>, Option<AccountRecord>)> {
        self.accounts.iter().map(|cell| (cell.seen(), cell.peek()))
    }

    /// The accounts whose record changed, as they are now.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&AccountId, Option<AccountRecord>)> {
        let written = self.accounts.iter().filter(|cell| cell.writes_record());
        written.map(|cell| (&cell.id, cell.peek()))
    }

    /// Hands out the effects; the accounts can still be looked at. Fails where the
    /// native asset is not conserved: what the balances gained is what was
    /// minted less what was burned.
    pub(crate) fn finish(&mut self) -> Result<(Effects, Growth), Halt> {
        let mut gained = U256::ZERO;
        let mut growth = Growth::default();
        for cell in &mut self.accounts {
            // That a removed account is empty is a matter of its exact balance.
            if cell.existence == Some(false) {
                cell.relied.balance.pin(cell.original().balance);
            }
            gained = gained.wrapping_add(cell.now.balance.wrapping_sub(cell.original().balance));
            if !cell.exists() && !cell.now.is_empty() {
                return Err(Halt::Fault(format!("{} was removed but is not empty", cell.id)));
            }
            growth.writes += u64::from(self.packer.push(&cell.seen()));
        }
        if gained != self.minted.wrapping_sub(self.burned) {
            return Err(Halt::Fault(format!(
                "the native asset is not conserved: balances changed by {gained}, minted {}, \
                 burned {} (modulo 2^256)",
                self.minted, self.burned
            )));
        }
        let mut slots = Vec::with_capacity(self.slots.len());
        for SlotCell { account, key, original, written } in self.slots.drain(..) {
            let reset = self.accounts.get(account as usize).is_some_and(|cell| cell.reset);
            // The value without the write: empty after a reset, else the
            // original, which is unknown where nobody looked.
            let write = written.filter(|value| match &original {
                _ if reset => !value.is_empty(),
                Some(original) => value != original,
                None => true,
            });
            if let Some(value) = &write {
                growth.writes += 1;
                growth.bytes += value.len() as u64;
            }
            slots.push(SlotEffects { account, key, read: original, write });
        }
        let mut codes = Vec::new();
        for (hash, code) in self.codes.drain(..) {
            let refers = |cell: &AccountCell| {
                let before = cell.original.and_then(|record| record.code);
                cell.now.code.is_some_and(|code| code.hash == hash) && cell.now.code != before
            };
            if self.accounts.iter().any(refers) {
                growth.bytes += code.bytes().len() as u64;
                codes.push((hash, code.bytes().clone()));
            }
        }
        let effects = Effects {
            accounts: self.packer.finish(),
            slots,
            codes,
            block_hashes: core::mem::take(&mut self.block_hashes),
            // They are kept as long as the block: without room to spare.
            events: self.events.drain(..).collect(),
            minted: self.minted,
            burned: self.burned,
        };
        Ok((effects, growth))
    }
}
