//! What the machine tells of its frames where somebody looks on
//! ([`Trace`]).
//!
//! Frames are told when they are opened and closed, and what they changed from revm's
//! journal at every point between them: before a frame opens or reverts, before another machine is
//! called, and at the end. What is written back to the kernel has then been told, so that
//! the trace is [quiet](Trace::quiet) meanwhile.

use crate::{
    account::{account, code_ref},
    executor::Executor,
    session::EvmSession,
};
use alloc::{collections::BTreeMap, format, vec::Vec};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use polity_kernel::{Change, Entry, Exit, Halt, Host, Trace};
use polity_types::{AccountId, Event, LocalKey, Status, Value};
use revm::{
    JournalEntry,
    context::CreateScheme,
    context_interface::journaled_state::entry::SelfdestructionRevertStatus,
    handler::{EvmTr, FrameResult},
    interpreter::{CallScheme, FrameInput, InstructionResult},
};

/// How much of a transaction's doings a trace has been told.
#[derive(Default)]
pub(crate) struct Told {
    /// Whether there is a trace.
    pub(crate) is_traced: bool,
    /// Entries of revm's journal.
    journal: usize,
    logs: usize,
    /// A creation that has not come as far as its frame: what happens until then is its
    /// creator's, and stays when it fails.
    pub(crate) pending: Option<Entry>,
}

/// A cell as revm knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Destroyed(Address),
    Balance(Address),
    Nonce(Address),
    Code(Address),
    Slot(Address, U256),
}

/// Cells as they were before some entries of the journal.
#[derive(Default)]
struct Before {
    numbers: BTreeMap<Cell, U256>,
    /// In the order in which they were touched, the last first.
    touched: Vec<Cell>,
}

impl Before {
    /// The cell to be taken back, as it is by now.
    fn cell(&mut self, session: &EvmSession, cell: Cell) -> &mut U256 {
        self.touched.push(cell);
        self.numbers.entry(cell).or_insert_with(|| session.now(cell))
    }

    /// Takes an entry back, as revm does it.
    fn take_back(&mut self, session: &EvmSession, entry: &JournalEntry) {
        match entry {
            JournalEntry::AccountDestroyed { address, target, destroyed_status, had_balance } => {
                if *destroyed_status == SelfdestructionRevertStatus::GloballySelfdestroyed {
                    *self.cell(session, Cell::Destroyed(*address)) = U256::ZERO;
                }
                if address != target {
                    let heir = self.cell(session, Cell::Balance(*target));
                    *heir = heir.wrapping_sub(*had_balance);
                }
                let own = self.cell(session, Cell::Balance(*address));
                *own = own.wrapping_add(*had_balance);
            }
            JournalEntry::BalanceChange { address, old_balance } => {
                *self.cell(session, Cell::Balance(*address)) = *old_balance;
            }
            JournalEntry::BalanceTransfer { from, to, balance } => {
                let to = self.cell(session, Cell::Balance(*to));
                *to = to.wrapping_sub(*balance);
                let from = self.cell(session, Cell::Balance(*from));
                *from = from.wrapping_add(*balance);
            }
            JournalEntry::NonceChange { address, previous_nonce } => {
                *self.cell(session, Cell::Nonce(*address)) = U256::from(*previous_nonce);
            }
            JournalEntry::NonceBump { address } => {
                let nonce = self.cell(session, Cell::Nonce(*address));
                *nonce = nonce.saturating_sub(U256::ONE);
            }
            JournalEntry::AccountCreated { address, .. } => {
                *self.cell(session, Cell::Nonce(*address)) = U256::ZERO;
            }
            JournalEntry::StorageChanged { key, had_value, address } => {
                *self.cell(session, Cell::Slot(*address, *key)) = *had_value;
            }
            JournalEntry::CodeChange { address, had_code_hash, .. } => {
                *self.cell(session, Cell::Code(*address)) = (*had_code_hash).into();
            }
            _ => {}
        }
    }
}

impl EvmSession {
    /// A cell as it is.
    fn now(&self, cell: Cell) -> U256 {
        let (Cell::Destroyed(address)
        | Cell::Balance(address)
        | Cell::Nonce(address)
        | Cell::Code(address)
        | Cell::Slot(address, _)) = cell;
        let Some(account) = self.inner.state.get(&address) else { return U256::ZERO };
        match cell {
            Cell::Destroyed(_) => U256::from(account.is_selfdestructed()),
            Cell::Balance(_) => account.info.balance,
            Cell::Nonce(_) => U256::from(account.info.nonce),
            Cell::Code(_) => account.info.code_hash.into(),
            Cell::Slot(_, key) => {
                account.storage.get(&key).map_or(U256::ZERO, |slot| slot.present_value)
            }
        }
    }

    /// Tells the trace what was changed and logged since it was told last.
    #[cold]
    pub(crate) fn tell(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        let entries = self.inner.journal.get(self.tale.journal..).unwrap_or_default();
        let mut before = Before::default();
        for entry in entries.iter().rev() {
            before.take_back(self, entry);
        }
        let Before { mut numbers, touched } = before;
        let mut changes = Vec::new();
        for cell in touched.into_iter().rev() {
            let (Some(before), after) = (numbers.remove(&cell), self.now(cell)) else { continue };
            if before == after {
                continue;
            }
            let (Cell::Destroyed(address)
            | Cell::Balance(address)
            | Cell::Nonce(address)
            | Cell::Code(address)
            | Cell::Slot(address, _)) = cell;
            let id = self.id(address, host)?;
            let code = |hash: U256| code_ref(B256::from(hash));
            let change = match cell {
                Cell::Balance(_) => Change::Balance { before, after },
                // An alias has nothing else.
                _ if id != account(address) => continue,
                Cell::Destroyed(_) => Change::Existence { before: true, after: false },
                Cell::Nonce(_) => Change::Sequence {
                    before: before.saturating_to(),
                    after: after.saturating_to(),
                },
                Cell::Code(_) => Change::Code { before: code(before), after: code(after) },
                Cell::Slot(_, key) => Change::Slot {
                    key: LocalKey::storage(key),
                    before: Value::word(before),
                    after: Value::word(after),
                },
            };
            changes.push((id, change));
        }
        if let Some(trace) = host.trace() {
            changes.into_iter().for_each(|(account, change)| trace.change(account, change));
            let logs = self.inner.logs.get(self.tale.logs..).unwrap_or_default();
            logs.iter().for_each(|log| trace.event(event(log.clone())));
        }
        self.skip();
        Ok(())
    }

    /// What was done so far is known to the trace from elsewhere.
    pub(crate) fn skip(&mut self) {
        self.tale.journal = self.inner.journal.len();
        self.tale.logs = self.inner.logs.len();
    }

    /// Something was taken back.
    pub(crate) fn tell_again(&mut self) {
        self.tale.journal = self.tale.journal.min(self.inner.journal.len());
        self.tale.logs = self.tale.logs.min(self.inner.logs.len());
    }

    /// The creation comes as far as its frame.
    #[cold]
    pub(crate) fn tell_creation(
        &mut self,
        created: Option<Address>,
        host: &mut dyn Host,
    ) -> Result<(), Halt> {
        if let Some(mut entry) = self.tale.pending.take() {
            self.tell(host)?;
            entry.to = created.map(account);
            enter(host, entry);
        }
        Ok(())
    }

    /// A contract has ended itself in favour of another account.
    #[cold]
    pub(crate) fn tell_end(
        &mut self,
        contract: Address,
        heir: Address,
        value: U256,
        host: &mut dyn Host,
    ) -> Result<(), Halt> {
        enter(
            host,
            Entry {
                machine: crate::KIND,
                kind: "SELFDESTRUCT",
                from: account(contract),
                to: Some(account(heir)),
                value,
                input: Bytes::new(),
                gas: 0,
            },
        );
        self.tell(host)?;
        if let Some(trace) = host.trace() {
            let (status, output) = (Status::Success, Bytes::new());
            trace.exit(Exit { status, output, gas_used: 0, created: None });
        }
        Ok(())
    }

    /// Whose cells an address shows.
    fn id(&self, address: Address, host: &mut dyn Host) -> Result<AccountId, Halt> {
        let Some(loaded) = self.inner.state.get(&address) else { return Ok(account(address)) };
        let mut database = self.database(host);
        let handle = database.handle(address, &loaded.info)?;
        database.host.id(handle)
    }
}

impl Executor<'_> {
    /// A frame is about to open.
    #[cold]
    pub(crate) fn tell_call(&mut self, input: &FrameInput) -> Result<(), Halt> {
        self.tell()?;
        let is_first = self.frame_stack().index().is_none();
        let entry = match input {
            FrameInput::Call(inputs) => {
                let (kind, from, to) = match inputs.scheme {
                    CallScheme::Call => ("CALL", inputs.caller, inputs.target_address),
                    CallScheme::StaticCall => ("STATICCALL", inputs.caller, inputs.target_address),
                    CallScheme::CallCode => {
                        ("CALLCODE", inputs.target_address, inputs.bytecode_address)
                    }
                    CallScheme::DelegateCall => {
                        ("DELEGATECALL", inputs.target_address, inputs.bytecode_address)
                    }
                };
                if is_first && self.is_nested() {
                    if let Some(trace) = self.host().trace() {
                        trace.adopt(kind);
                    }
                    return Ok(());
                }
                let is_full = self.host().trace().is_none_or(|trace| trace.is_full());
                let input = match is_full {
                    true => Bytes::new(),
                    false => Bytes::copy_from_slice(&inputs.input.bytes(self.context())),
                };
                Entry {
                    machine: crate::KIND,
                    kind,
                    from: account(from),
                    to: Some(account(to)),
                    value: inputs.value.get(),
                    input,
                    gas: inputs.gas_limit,
                }
            }
            FrameInput::Create(inputs) => {
                let kind = match inputs.scheme() {
                    CreateScheme::Create2 { .. } => "CREATE2",
                    _ => "CREATE",
                };
                let entry = Entry {
                    machine: crate::KIND,
                    kind,
                    from: account(inputs.caller()),
                    to: None,
                    value: inputs.value(),
                    input: inputs.init_code().clone(),
                    gas: inputs.gas_limit(),
                };
                self.session().tale.pending = Some(entry);
                return Ok(());
            }
            FrameInput::Empty => return Ok(()),
        };
        enter(self.host(), entry);
        Ok(())
    }

    /// A frame ended before any code ran.
    #[cold]
    pub(crate) fn tell_result(&mut self, result: &FrameResult) -> Result<(), Halt> {
        let journal = &mut self.context().journaled_state;
        journal.session.tell_creation(None, journal.database.host)?;
        let is_first = self.frame_stack().index().is_none();
        self.tell_exit(result, is_first)
    }

    /// A result is handed to whoever waits for it.
    #[cold]
    pub(crate) fn tell_return(&mut self, result: &FrameResult) -> Result<(), Halt> {
        // Else it is of a frame that ended before any code ran.
        if !self.frame_stack().get().is_finished() {
            return Ok(());
        }
        let is_first = self.frame_stack().index() == Some(0);
        self.tell_exit(result, is_first)
    }

    fn tell_exit(&mut self, result: &FrameResult, is_first: bool) -> Result<(), Halt> {
        self.tell()?;
        let exit = exit(result);
        let is_hop = is_first && self.is_nested();
        if let Some(trace) = self.host().trace() {
            if is_hop { trace.used(exit.gas_used) } else { trace.exit(exit) }
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), Halt> {
        let journal = &mut self.context().journaled_state;
        journal.session.aliased |= journal.database.aliased;
        journal.session.tell(journal.database.host)
    }
}

/// Lets the machine write back to the kernel what the trace has been told.
pub(crate) fn quietly<T>(
    host: &mut dyn Host,
    write: impl FnOnce(&mut dyn Host) -> Result<T, Halt>,
) -> Result<T, Halt> {
    let quiet = |host: &mut dyn Host, quiet| {
        if let Some(trace) = host.trace() {
            trace.quiet(quiet);
        }
    };
    quiet(host, true);
    let written = write(host);
    quiet(host, false);
    written
}

/// A log as the kernel's event.
pub(crate) fn event(log: Log) -> Event {
    let (topics, data) = log.data.split();
    Event { emitter: account(log.address), topics, data }
}

fn enter(host: &mut dyn Host, entry: Entry) {
    if let Some(trace) = host.trace() {
        Trace::enter(trace, entry);
    }
}

fn exit(result: &FrameResult) -> Exit {
    let (ended, gas) = (result.interpreter_result(), result.gas());
    let status = match ended.result {
        ok if ok.is_ok() => Status::Success,
        InstructionResult::Revert => Status::Reverted,
        other => Status::Failed(format!("{other:?}")),
    };
    // Whatever is no exceptional halt gives back what is left.
    let gives_back =
        ended.result.is_ok_or_revert() || ended.result == InstructionResult::NonceOverflow;
    let created = match result {
        FrameResult::Create(outcome) if ended.result.is_ok() => outcome.address.map(account),
        _ => None,
    };
    Exit {
        status,
        output: if gives_back { ended.output.clone() } else { Bytes::new() },
        gas_used: if gives_back { gas.total_gas_spent() } else { gas.limit() },
        created,
    }
}
