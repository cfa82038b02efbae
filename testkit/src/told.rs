//! What a trace tells, as a state that it makes of another.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a panic is how a test fails"
)]

use std::collections::BTreeMap;

use crate::state::State;
use polity_kernel::{Change, Item, Trace};
use polity_types::{AccountId, AccountRecord, LocalKey, Value};

/// Does what the frames that stand have done, and checks what each found.
pub fn apply(trace: &Trace, state: &mut State) {
    for told in trace.changes().iter().filter(|told| !told.undone) {
        let account = told.account;
        let record = state.accounts.entry(account).or_default();
        match &told.change {
            // What goes with it is told as well; a balance does not.
            Change::Existence { .. } => {}
            Change::Balance { before, after } => {
                assert_eq!(core::mem::replace(&mut record.balance, *after), *before, "{trace:#?}");
            }
            Change::Sequence { before, after } => {
                assert_eq!(core::mem::replace(&mut record.sequence, *after), *before, "{trace:#?}");
            }
            Change::Code { before, after } => {
                assert_eq!(core::mem::replace(&mut record.code, *after), *before, "{trace:#?}");
            }
            Change::Slot { key, before, after } => {
                let found = state.slots.get(&(account, key.clone())).cloned().unwrap_or_default();
                // Where the storage was emptied in between, what it had been is told as well.
                assert!(found == *before || found.is_empty(), "{found:?} in {trace:#?}");
                state.set_slot(account, key.clone(), after.clone());
            }
            Change::Cleared => state.reset_storage(&account),
        }
    }
}

/// A change in a few words.
pub fn words(change: &Change) -> String {
    match change {
        Change::Existence { after, .. } => format!("exists {after}"),
        Change::Balance { before, after } => format!("balance {before} {after}"),
        Change::Sequence { before, after } => format!("sequence {before} {after}"),
        Change::Code { .. } => "code".into(),
        Change::Slot { before, after, .. } => {
            format!("slot {} {}", before.as_word().unwrap(), after.as_word().unwrap())
        }
        Change::Cleared => "cleared".into(),
    }
}

/// What accounts hold. Whether one that holds nothing exists is left out.
pub fn cells(
    state: &State,
) -> (BTreeMap<AccountId, AccountRecord>, BTreeMap<(AccountId, LocalKey), Value>) {
    let held = state.accounts.iter().filter(|(_, record)| !record.is_empty());
    (held.map(|(id, record)| (*id, *record)).collect(), state.slots.clone())
}

/// Checks that a trace is a tree, that it names each thing once, and that whatever is in what was
/// undone was undone.
pub fn check_tree(trace: &Trace) {
    let (mut events, mut changes, mut calls) = (0, 0, 1);
    for (place, frame) in trace.frames().iter().enumerate() {
        for item in &frame.items {
            let (undone, of) = match *item {
                Item::Call(child) => {
                    calls += 1;
                    let child = &trace.frames()[child];
                    (child.undone, child.parent.unwrap())
                }
                Item::Event(event) => {
                    events += 1;
                    (trace.events()[event].undone, trace.events()[event].frame)
                }
                Item::Change(change) => {
                    changes += 1;
                    (trace.changes()[change].undone, trace.changes()[change].frame)
                }
            };
            assert_eq!(of, place);
            assert!(undone || !frame.undone, "{trace:#?}");
        }
        assert!(frame.undone || place == 0 || frame.exit.status.is_success(), "{trace:#?}");
    }
    let all = (trace.events().len(), trace.changes().len(), trace.frames().len());
    assert_eq!((events, changes, calls), all);
}
