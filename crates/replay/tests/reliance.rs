//! The effects say on what an execution relied. Whatever they do not name may
//! change, and what they name by an interval may move in it: the execution must
//! come out the same. Parallel execution stands on this.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use alloy_primitives::{B256, U256};
use polity_engine::{Overlay, Sequential};
use polity_evm::KIND;
use polity_kernel::{Executed, Kernel, Scratch, View};
use polity_replay::{Library, Replay, data_root, discover};
use polity_types::{AccountEffects, CodeRef, Effects, Interval, LocalKey, Resources, Value};

/// A small generator of reproducible choices (xorshift64*, Vigna 2016).
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A value of the interval, often at its edges.
    fn within(&mut self, lo: U256, hi: U256, now: U256) -> U256 {
        match self.next() % 4 {
            0 => lo,
            1 => hi,
            2 => now,
            _ => lo + U256::from(self.next()) % (hi - lo).saturating_add(U256::ONE).max(U256::ONE),
        }
    }
}

/// A state that differs from `view` in everything on which `effects` do not
/// rely.
fn perturbed<'v>(view: &'v dyn View, effects: &Effects, choices: &mut Choices) -> Overlay<'v> {
    let mut state = Overlay::over(view);
    for account in &effects.accounts {
        let before = view.account(&account.account).unwrap();
        let mut record = before.unwrap_or_default();
        // The supply is far below 2^256, so that no credit can overflow.
        let most = account.balance_read.hi.min(U256::from(1) << 200);
        let least = account.balance_read.lo;
        record.balance = choices.within(least, most.max(least), record.balance);
        if account.sequence_read.is_none() {
            record.sequence = choices.next() >> 8;
        }
        if account.code_read.is_none() {
            let hash = B256::from(U256::from(choices.next()));
            record.code = Some(CodeRef { machine: KIND, hash });
        }
        // A change that would make an account empty, or no longer so, or begin
        // to exist where the execution looked, is not free.
        let was_empty = before.unwrap_or_default().is_empty();
        let exists = account.existence_read.unwrap_or(!record.is_empty() || before.is_some());
        if account.emptiness_read.is_some() && record.is_empty() != was_empty
            || exists != before.is_some() && account.existence_read.is_some()
            || !exists
        {
            continue;
        }
        state.insert_account(account.account, Some(record));
    }
    for slot in effects.slots.iter().filter(|slot| slot.read.is_none()) {
        let account = effects.accounts.id(slot.account as usize).unwrap();
        let key: LocalKey = slot.key.clone();
        state.insert_slot(account, key, Value::word(U256::from(choices.next())));
    }
    state
}

/// The effects without what they rely on.
fn writes(effects: &Effects) -> Effects {
    let mut writes = effects.clone();
    let accounts = effects.accounts.iter().map(|account| AccountEffects {
        existence_read: None,
        emptiness_read: None,
        balance_read: Interval::ANY,
        sequence_read: None,
        code_read: None,
        ..account
    });
    writes.accounts = accounts.collect();
    for slot in &mut writes.slots {
        slot.read = None;
    }
    writes
}

#[test]
fn executions_depend_on_nothing_but_what_their_effects_say() {
    let Some(root) = data_root().unwrap() else {
        eprintln!("skipped: POLITY_DATA unset");
        return;
    };
    let library = Library::new();
    let mut choices = Choices(0x9e37_79b9_7f4a_7c15);
    let mut scratch = Scratch::default();
    let (mut points, mut intervals, mut free) = (0, 0, 0);
    for folder in discover([root.join("mainnet")]).unwrap() {
        let replay = Replay::new(&library.open(&folder).unwrap()).unwrap();
        let output = replay.execute(&mut Sequential::new()).unwrap();
        let mut state = Overlay::over(&replay.state);
        for begin in &output.begin {
            state.apply(&begin.effects).unwrap();
        }
        for (index, (tx, output)) in
            replay.block.transactions.iter().zip(&output.transactions).enumerate()
        {
            for account in &output.effects.accounts {
                let read = account.balance_read;
                assert!(read.lo <= read.hi);
                match read {
                    read if read.is_point() => points += 1,
                    read if read.is_any() => free += 1,
                    _ => intervals += 1,
                }
            }
            for _ in 0..2 {
                let other = perturbed(&state, &output.effects, &mut choices);
                let context = &replay.block.context;
                let kernel = Kernel::new(&replay.machines, context, &other, &mut scratch);
                let again = kernel.transact(tx, Resources::UNLIMITED);
                let at = format!("block {}, transaction {index} ({})", replay.number, tx.hash);
                let Ok(Executed::Included(again)) = again else {
                    panic!("{at}: {again:?}");
                };
                assert_eq!(again.receipt, output.receipt, "{at}");
                assert_eq!(writes(&again.effects), writes(&output.effects), "{at}");
            }
            state.apply(&output.effects).unwrap();
        }
    }
    eprintln!("balances read exactly {points}, by an interval {intervals}, not at all {free}");
}
