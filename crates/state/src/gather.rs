use std::{sync::mpsc, thread};

use polity_engine::{Observer, SystemOutput};
use polity_kernel::TransactionOutput;
use polity_types::{AccountId, AccountList, B256, Bytes, Effects, LocalKey, PackedAccount, Value};

use crate::{Changes, StateError, StateView};

/// Gathers what a block changes while it is executed, on a thread of its own:
/// when the block is done, so are its [`Changes`], with the hashes of all keys.
///
/// Give it to [`Parallel::execute_with`](polity_engine::Parallel::execute_with),
/// which tells it of the block's beginning, of each transaction in its turn, and
/// of the end.
pub struct Gather {
    writes: mpsc::Sender<Writes>,
    thread: thread::JoinHandle<Result<Changes, StateError>>,
}

/// What effects write, with little else.
struct Writes {
    accounts: AccountList,
    slots: Vec<SlotWrite>,
    codes: Vec<(B256, Bytes)>,
    /// The account of slot effects that is not listed.
    unlisted: Option<u32>,
}

/// A slot's new value, and the one before where that was relied on.
struct SlotWrite {
    account: AccountId,
    key: LocalKey,
    before: Option<Value>,
    value: Value,
}

impl Gather {
    /// Starts to gather, given the state before the block.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(before: StateView) -> Result<Self, StateError> {
        let (writes, received) = mpsc::channel::<Writes>();
        let gather = move || {
            let mut changes = Changes::new();
            for writes in received {
                writes.apply(&before, &mut changes)?;
            }
            Ok(changes)
        };
        let thread =
            thread::Builder::new().name("polity-gather".into()).spawn(gather).map_err(|error| {
                StateError::Store {
                    what: "starting the thread that gathers changes".into(),
                    error: error.to_string(),
                }
            })?;
        Ok(Self { writes, thread })
    }

    /// The changes of all that was told. Only those of a block whose execution
    /// succeeded are of use.
    ///
    /// # Errors
    /// Effects did not fit the state, or it could not be read.
    pub fn finish(self) -> Result<Changes, StateError> {
        drop(self.writes);
        self.thread.join().map_err(|_| StateError::Closed)?
    }

    fn tell(&self, effects: &Effects) {
        // Where the thread has stopped, `finish` says why.
        let _ = self.writes.send(Writes::of(effects));
    }
}

impl Observer for Gather {
    fn begun(&self, begin: &[SystemOutput]) {
        begin.iter().for_each(|output| self.tell(&output.effects));
    }

    fn committed(&self, _: usize, output: &TransactionOutput) {
        self.tell(&output.effects);
    }

    fn ended(&self, end: &[SystemOutput]) {
        end.iter().for_each(|output| self.tell(&output.effects));
    }
}

impl Writes {
    fn of(effects: &Effects) -> Self {
        let mut unlisted = None;
        let mut slots = Vec::new();
        for slot in &effects.slots {
            let Some(write) = &slot.write else { continue };
            let account =
                usize::try_from(slot.account).ok().and_then(|index| effects.accounts.id(index));
            match account {
                Some(account) => slots.push(SlotWrite {
                    account,
                    key: slot.key.clone(),
                    before: slot.read.clone(),
                    value: write.clone(),
                }),
                None => unlisted = Some(slot.account),
            }
        }
        Self { accounts: effects.accounts.clone(), slots, codes: effects.codes.clone(), unlisted }
    }

    fn apply(self, before: &StateView, changes: &mut Changes) -> Result<(), StateError> {
        if let Some(account) = self.unlisted {
            return Err(StateError::Account(account));
        }
        for account in self.accounts.iter_packed().filter(PackedAccount::writes) {
            changes.apply_account(before, &account.effects())?;
        }
        for SlotWrite { account, key, before, value } in self.slots {
            changes.replace_slot(account, key, before, value)?;
        }
        for (hash, bytes) in self.codes {
            changes.set_code(hash, bytes);
        }
        Ok(())
    }
}
