//! The call tree of a transaction over all machines, for who wants to look at it.
//!
//! A [`Kernel`](crate::Kernel) that is [traced](crate::Kernel::traced) opens the
//! transaction's frame and one for each call from machine to machine, and notes there what
//! its journal and events say. What happens inside is the machine's to tell: it reaches the
//! trace by [`Host::trace`](crate::Host::trace), opens and closes frames of its own, in the order in
//! which they ran, and may do so later than they ran: at the latest before it calls another
//! machine, and at its end.
//!
//! Nothing is taken out of a trace again. What is undone stays in it and is marked so.

use alloc::vec::Vec;
use hashbrown::HashMap;
use polity_types::{
    AccountId, Bytes, CodeRef, Event, LocalKey, MachineKind, Resources, Status, U256, Value,
};

/// About how many bytes a trace takes at most, if nobody says otherwise.
const MOST: usize = 1 << 28;
/// What a frame, event or change takes beside its bytes, about.
const ITEM: usize = 256;

/// How a frame begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose code runs: the machine's byte.
    pub machine: MachineKind,
    /// What the machine calls such a call: `CALL`, `CREATE2`, `INVOKE`.
    pub kind: &'static str,
    /// Who calls.
    pub from: AccountId,
    /// Who is called; for a creation what is created, if that is known.
    pub to: Option<AccountId>,
    /// The native asset that goes along, in base units.
    pub value: U256,
    /// What the callee is asked.
    pub input: Bytes,
    /// What it may use, in its machine's gas.
    pub gas: u64,
}

/// How a frame ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended. Unless it is a success, all that the frame and its callees did is
    /// undone.
    pub status: Status,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    /// In its machine's gas.
    pub gas_used: u64,
    /// The account that it created.
    pub created: Option<AccountId>,
}

/// A frame: the transaction, a call between machines, or one within a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// How it began.
    pub entry: Entry,
    /// How it ended. A frame that never came to its end has failed.
    pub exit: Exit,
    /// The frame that it is in; none for the transaction.
    pub parent: Option<usize>,
    /// Whether the kernel opened it: a call from one machine to another, or the
    /// transaction.
    pub is_hop: bool,
    /// Whether the callee may act in the caller's name.
    pub delegated: bool,
    /// What the kernel metered in it and its callees. Compute is in the gas of its machine;
    /// writes and growth are known of the transaction alone.
    pub used: Resources,
    /// Whether it, or a frame around it, was undone.
    pub undone: bool,
    /// What happened in it, in order.
    pub items: Vec<Item>,
}

/// Something that happened in a frame, by its place in the trace's list of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// It called: a place in [`Trace::frames`].
    Call(usize),
    /// It emitted: a place in [`Trace::events`].
    Event(usize),
    /// It changed the state: a place in [`Trace::changes`].
    Change(usize),
}

/// An event, and whether it was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedEvent {
    /// The frame that emitted it.
    pub frame: usize,
    /// The event.
    pub event: Event,
    /// Whether it was undone, so that nobody was told.
    pub undone: bool,
}

/// A change of the state, and whether it was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedChange {
    /// The frame that made it.
    pub frame: usize,
    /// The account.
    pub account: AccountId,
    /// What of it.
    pub change: Change,
    /// Whether it was undone.
    pub undone: bool,
}

/// A cell that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Whether the account exists, where that is not a matter of what it holds.
    Existence {
        /// As it was.
        before: bool,
        /// As it is.
        after: bool,
    },
    /// What it has of the native asset.
    Balance {
        /// As it was.
        before: U256,
        /// As it is.
        after: U256,
    },
    /// Its sequence number.
    Sequence {
        /// As it was.
        before: u64,
        /// As it is.
        after: u64,
    },
    /// Its code.
    Code {
        /// As it was.
        before: Option<CodeRef>,
        /// As it is.
        after: Option<CodeRef>,
    },
    /// A slot.
    Slot {
        /// Which.
        key: LocalKey,
        /// As it was.
        before: Value,
        /// As it is.
        after: Value,
    },
    /// All slots were emptied. Those that the transaction had set before are told
    /// one by one as well.
    Cleared,
}

/// How much of a trace there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    frames: usize,
    events: usize,
    changes: usize,
}

#[derive(Clone, Copy)]
struct Open {
    frame: usize,
    mark: Mark,
    /// What had been used when it was opened.
    before: Resources,
}

/// The recorder of a call tree.
#[derive(Clone, Default)]
pub struct Trace {
    frames: Vec<Frame>,
    events: Vec<TracedEvent>,
    changes: Vec<TracedChange>,
    open: Vec<Open>,
    /// Frames that were opened when there was no more room.
    beyond: usize,
    /// About how many bytes there is room for.
    left: usize,
    is_quiet: bool,
    /// What the kernel has metered so far.
    pub(crate) now: Resources,
    /// How much of the kernel's undo log has been looked at.
    pub(crate) told: usize,
    /// What the frame used that the kernel is going to close.
    metered: Resources,
    /// The values of slots that were written without being read, by the journal's number.
    pub(crate) unread: HashMap<u32, Value>,
}

impl core::fmt::Debug for Trace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trace")
            .field("frames", &self.frames)
            .field("events", &self.events)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty trace.
    pub fn new() -> Self {
        Self::within(MOST)
    }

    /// An empty trace that takes about so many bytes at most. What has no more room is
    /// left out ([`Trace::is_full`]).
    pub fn within(bytes: usize) -> Self {
        Self { left: bytes, ..Self::default() }
    }

    /// Whether something was left out: the tree is then not to be shown as one.
    pub const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// The frames in the order in which they were opened; the first is the transaction.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The events in their order.
    pub fn events(&self) -> &[TracedEvent] {
        &self.events
    }

    /// The changes in their order.
    pub fn changes(&self) -> &[TracedChange] {
        &self.changes
    }

    /// Opens a frame inside the current one.
    pub fn enter(&mut self, entry: Entry) {
        self.open(entry, false, false);
    }

    /// Closes the current frame, which the machine has opened.
    pub fn exit(&mut self, exit: Exit) {
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let Some(Open { frame, mark, before }) = self.open.pop() else { return };
        let success = exit.status.is_success();
        if !success {
            self.undo(mark);
        }
        self.take(exit.output.len());
        let used = self.now.left(&before);
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.undone |= !success;
            frame.used = Resources { compute: exit.gas_used, ..used };
            frame.exit = exit;
        }
    }

    /// Says more of the current frame, which the kernel has opened: what the called
    /// machine calls such a call.
    pub fn adopt(&mut self, kind: &'static str) {
        if let Some(frame) = self.current() {
            frame.entry.kind = kind;
        }
    }

    /// What the callee has used in the current frame, which the kernel has opened and
    /// will close.
    pub fn used(&mut self, gas: u64) {
        if let Some(frame) = self.current() {
            frame.exit.gas_used = gas;
        }
    }

    /// The current frame emits an event.
    pub fn event(&mut self, event: Event) {
        let room = ITEM.saturating_add(event.data.len());
        let (Some(frame), true) = (self.place(), self.take(room)) else { return };
        let at = self.events.len();
        self.events.push(TracedEvent { frame, event, undone: false });
        self.note(frame, Item::Event(at));
    }

    /// The current frame changes the state.
    pub fn change(&mut self, account: AccountId, change: Change) {
        let bytes = match &change {
            Change::Slot { before, after, .. } => before.len().saturating_add(after.len()),
            _ => 0,
        };
        let (Some(frame), true) = (self.place(), self.take(ITEM.saturating_add(bytes))) else {
            return;
        };
        let at = self.changes.len();
        self.changes.push(TracedChange { frame, account, change, undone: false });
        self.note(frame, Item::Change(at));
    }

    /// From now on and until it is ended, what the kernel is told is not new: the machine
    /// writes back what it has already told the trace.
    pub const fn quiet(&mut self, quiet: bool) {
        self.is_quiet = quiet;
    }

    pub(crate) const fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Opens the transaction's frame.
    pub(crate) fn begin(&mut self, entry: Entry) {
        let left = self.left;
        *self = Self { left, ..Self::default() };
        self.open(entry, true, false);
    }

    /// What the frame used that the kernel is going to close.
    pub(crate) const fn metered(&mut self, used: Resources) {
        self.metered = used;
    }

    /// Opens the frame of a call from machine to machine. Gives what closes it.
    pub(crate) fn enter_hop(&mut self, entry: Entry, delegated: bool) -> usize {
        let depth = self.depth();
        self.open(entry, true, delegated);
        depth
    }

    /// The machine that answers the current frame, where it is another than the target's.
    pub(crate) fn answers(&mut self, machine: MachineKind, target: AccountId, gas: u64) {
        if let Some(frame) = self.current() {
            frame.entry.machine = machine;
            frame.entry.to = Some(target);
            frame.entry.gas = gas;
        }
    }

    /// Closes a frame of the kernel's, and those that were left open in it.
    pub(crate) fn exit_hop(&mut self, depth: usize, status: Status, output: Bytes) {
        let used = core::mem::take(&mut self.metered);
        while self.depth() > depth.saturating_add(1) {
            let (status, output) = (stopped(), Bytes::new());
            self.exit(Exit { status, output, gas_used: 0, created: None });
        }
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let told = self.current().map_or(0, |frame| frame.exit.gas_used);
        let gas_used = if told > 0 { told } else { used.compute };
        let frame = self.place();
        self.exit(Exit { status, output, gas_used, created: None });
        if let Some(frame) = frame.and_then(|frame| self.frames.get_mut(frame)) {
            frame.used = used;
        }
    }

    /// Says how the transaction ended. What it left stands, whatever its status is.
    pub(crate) fn conclude(&mut self, exit: Exit, used: Resources) {
        self.open.clear();
        self.beyond = 0;
        if let Some(first) = self.frames.first_mut() {
            first.exit = exit;
            first.used = used;
        }
    }

    pub(crate) const fn mark(&self) -> Mark {
        Mark { frames: self.frames.len(), events: self.events.len(), changes: self.changes.len() }
    }

    /// Marks all since as undone.
    pub(crate) fn undo(&mut self, since: Mark) {
        let frames = self.frames.iter_mut().skip(since.frames);
        frames.for_each(|frame| frame.undone = true);
        let events = self.events.iter_mut().skip(since.events);
        events.for_each(|event| event.undone = true);
        let changes = self.changes.iter_mut().skip(since.changes);
        changes.for_each(|change| change.undone = true);
    }

    const fn depth(&self) -> usize {
        self.open.len().saturating_add(self.beyond)
    }

    fn open(&mut self, entry: Entry, is_hop: bool, delegated: bool) {
        let parent = self.open.last().map(|open| open.frame);
        if self.beyond > 0 || !self.take(ITEM.saturating_mul(2).saturating_add(entry.input.len())) {
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        let at = self.frames.len();
        self.frames.push(Frame {
            entry,
            exit: Exit { status: stopped(), output: Bytes::new(), gas_used: 0, created: None },
            parent,
            is_hop,
            delegated,
            used: Resources::default(),
            undone: false,
            items: Vec::new(),
        });
        if let Some(parent) = parent {
            self.note(parent, Item::Call(at));
        }
        self.open.push(Open { frame: at, mark: self.mark(), before: self.now });
    }

    /// Where to note what happens: the current frame, or, where none is open, the
    /// transaction; nowhere where there is no room.
    fn place(&self) -> Option<usize> {
        if self.beyond > 0 {
            return None;
        }
        Some(self.open.last().map_or(0, |open| open.frame))
    }

    fn current(&mut self) -> Option<&mut Frame> {
        let place = self.place()?;
        self.frames.get_mut(place)
    }

    fn note(&mut self, frame: usize, item: Item) {
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.items.push(item);
        }
    }

    const fn take(&mut self, bytes: usize) -> bool {
        self.left = self.left.saturating_sub(bytes);
        self.left > 0
    }
}

fn stopped() -> Status {
    Status::Failed("Stopped".into())
}
