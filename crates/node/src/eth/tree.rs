//! The call tree over all machines: as geth's callTracer writes it, and in full.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U64, U256};
use alloy_rpc_types_trace::geth::{CallConfig, CallFrame, CallLogFrame};
use polity_evm::{KIND, address};
use polity_kernel::{Change, Frame, Item, Machines, Trace, TracedChange, TracedEvent};
use polity_types::{AccountId, MachineKind, Name, Status, Value};
use serde::Serialize;

use super::{failure, polity::Meters};
use crate::chain::Guests;

/// How machines and accounts are named.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// The machines of the chain.
    pub(crate) machines: &'a Machines,
    /// Those beside Ethereum's.
    pub(crate) guests: &'a Guests,
}

impl Names<'_> {
    fn machine(&self, kind: MachineKind) -> &'static str {
        match self.machines.get(kind) {
            Some(machine) => machine.name(),
            None if kind == MachineKind::KERNEL => "kernel",
            None => "unknown",
        }
    }

    /// An account as its own machine writes it: `evm:0x…`, `svm:…`.
    fn account(&self, account: &AccountId) -> String {
        let text = match self.guests.get(account.machine) {
            Some(guest) => guest.write_account(account),
            None if account.machine == KIND => format!("{:#x}", address(account)),
            None => account.address.to_string(),
        };
        format!("{}:{text}", self.machine(account.machine))
    }
}

/// Whether a transaction of Ethereum's has left its machine.
pub(super) fn crosses(trace: &Trace) -> bool {
    trace.frames().iter().any(|frame| frame.entry.machine != KIND)
}

/// A frame as geth's callTracer writes it, with what there is more to say where there are
/// other machines.
#[derive(Serialize)]
pub(super) struct Called {
    #[serde(flatten)]
    frame: CallFrame,
    machine: &'static str,
    /// Who is called, where that is no address of Ethereum's.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Who calls, where that is no address of Ethereum's.
    #[serde(rename = "fromAccount", skip_serializing_if = "Option::is_none")]
    from_account: Option<String>,
    /// In the place of the frame's own.
    #[serde(rename = "calls", skip_serializing_if = "Vec::is_empty")]
    inner: Vec<Self>,
}

impl Called {
    /// The call that a transaction of Ethereum's is, with all that it came to. The first
    /// frame is the transaction: what it was given and what it paid for is its.
    pub(super) fn of(
        trace: &Trace,
        names: Names<'_>,
        options: CallConfig,
        gas: u64,
        gas_used: u64,
    ) -> Option<Self> {
        let first = calls(trace, 0).next()?;
        // The place of each event that was told among all of them.
        let told = trace.events().iter().enumerate().filter(|(_, event)| !event.undone);
        let places = (0..).zip(told).map(|(place, (event, _))| (event, place)).collect();
        let walk = Walk { trace, names, options, places };
        // Frames are in the order in which they opened: those inside come later.
        let mut made: BTreeMap<usize, Self> = BTreeMap::new();
        let top = options.only_top_call.unwrap_or_default();
        let last = if top { first.saturating_add(1) } else { trace.frames().len() };
        for at in (first..last).rev() {
            let Some(frame) = trace.frames().get(at) else { continue };
            let inner = if top { Vec::new() } else { walk.inner(at, &mut made) };
            made.insert(at, walk.frame(frame, inner));
        }
        let mut root = made.remove(&first)?;
        root.frame.gas = U256::from(gas);
        root.frame.gas_used = U256::from(gas_used);
        Some(root)
    }
}

fn calls(trace: &Trace, frame: usize) -> impl Iterator<Item = usize> {
    let items = trace.frames().get(frame).map_or(&[][..], |frame| &frame.items);
    items.iter().filter_map(|item| match item {
        Item::Call(call) => Some(*call),
        _ => None,
    })
}

struct Walk<'a> {
    trace: &'a Trace,
    names: Names<'a>,
    options: CallConfig,
    places: BTreeMap<usize, u64>,
}

impl Walk<'_> {
    fn inner(&self, frame: usize, made: &mut BTreeMap<usize, Called>) -> Vec<Called> {
        calls(self.trace, frame).filter_map(|call| made.remove(&call)).collect()
    }

    fn frame(&self, frame: &Frame, inner: Vec<Called>) -> Called {
        let Frame { entry, exit, .. } = frame;
        let success = exit.status.is_success();
        let is_creation = entry.kind.starts_with("CREATE");
        let is_end = entry.kind == "SELFDESTRUCT";
        let to = entry.to.as_ref().filter(|_| success || !is_creation);
        let foreign =
            |account: &AccountId| (account.machine != KIND).then(|| self.names.account(account));
        let written = CallFrame {
            typ: entry.kind.into(),
            from: address(&entry.from),
            to: to.map(address),
            value: (entry.kind != "STATICCALL").then_some(entry.value),
            gas: U256::from(entry.gas),
            gas_used: U256::from(exit.gas_used),
            input: entry.input.clone(),
            output: (!exit.output.is_empty() && !is_end).then(|| exit.output.clone()),
            error: failure::frame_text(&exit.status),
            revert_reason: (!success).then(|| failure::revert_reason(&exit.output)).flatten(),
            logs: self.logs(frame),
            ..CallFrame::default()
        };
        Called {
            frame: written,
            machine: self.names.machine(entry.machine),
            account: to.and_then(foreign),
            from_account: foreign(&entry.from),
            inner,
        }
    }

    fn logs(&self, frame: &Frame) -> Vec<CallLogFrame> {
        let mut logs = Vec::new();
        let mut position = 0;
        for item in frame.items.iter().filter(|_| self.options.with_log.unwrap_or_default()) {
            match *item {
                Item::Call(_) => position += 1,
                Item::Event(place) => {
                    let (Some(told), Some(index)) =
                        (self.trace.events().get(place), self.places.get(&place))
                    else {
                        continue;
                    };
                    logs.push(CallLogFrame {
                        address: Some(address(&told.event.emitter)),
                        topics: Some(told.event.topics.clone()),
                        data: Some(told.event.data.clone()),
                        position: Some(position),
                        index: Some(*index),
                    });
                }
                Item::Change(_) => {}
            }
        }
        logs
    }
}

/// A frame in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    #[serde(rename = "type")]
    kind: &'static str,
    machine: &'static str,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    value: U256,
    input: Bytes,
    /// In the machine's own gas, as is what was used.
    gas: U64,
    gas_used: U64,
    /// `success`, `reverted`, or the machine's name for the failure.
    status: String,
    output: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    revert_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Whether the kernel opened it.
    hop: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    delegated: bool,
    /// Whether it, or a frame around it, was undone.
    undone: bool,
    resources: Meters,
    events: Vec<ToldEvent>,
    changes: Vec<ToldChange>,
    calls: Vec<Self>,
}

/// An event of a frame. `position` is how many of the frame's calls came before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldEvent {
    position: usize,
    emitter: String,
    topics: Vec<B256>,
    data: Bytes,
    undone: bool,
}

/// A change of a frame. `position` is how many of the frame's calls came before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldChange {
    position: usize,
    account: String,
    cell: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<serde_json::Value>,
    undone: bool,
}

#[derive(Serialize)]
struct Slot {
    space: u8,
    /// A word of 32 bytes, or the name's bytes.
    name: Bytes,
}

impl Told {
    /// The transaction, with all that it came to.
    pub(super) fn of(trace: &Trace, names: Names<'_>) -> Option<Self> {
        let mut made: BTreeMap<usize, Self> = BTreeMap::new();
        for (at, frame) in trace.frames().iter().enumerate().rev() {
            let inner = calls(trace, at).filter_map(|call| made.remove(&call)).collect();
            made.insert(at, Self::frame(trace, frame, names, inner));
        }
        made.remove(&0)
    }

    fn frame(trace: &Trace, frame: &Frame, names: Names<'_>, calls: Vec<Self>) -> Self {
        let Frame { entry, exit, is_hop, delegated, used, undone, items, .. } = frame;
        let (mut events, mut changes, mut position) = (Vec::new(), Vec::new(), 0_usize);
        for item in items {
            match *item {
                Item::Call(_) => position = position.saturating_add(1),
                Item::Event(place) => {
                    let told = trace.events().get(place);
                    events.extend(told.map(|told| ToldEvent::of(told, position, names)));
                }
                Item::Change(place) => {
                    let told = trace.changes().get(place);
                    changes.extend(told.map(|told| ToldChange::of(told, position, names)));
                }
            }
        }
        let success = exit.status.is_success();
        Self {
            kind: entry.kind,
            machine: names.machine(entry.machine),
            from: names.account(&entry.from),
            to: entry.to.as_ref().map(|to| names.account(to)),
            value: entry.value,
            input: entry.input.clone(),
            gas: U64::from(entry.gas),
            gas_used: U64::from(exit.gas_used),
            status: match &exit.status {
                Status::Success => "success".into(),
                Status::Reverted => "reverted".into(),
                Status::Failed(reason) => reason.clone(),
            },
            output: exit.output.clone(),
            revert_reason: (!success).then(|| failure::revert_reason(&exit.output)).flatten(),
            created: exit.created.as_ref().map(|created| names.account(created)),
            hop: *is_hop,
            delegated: *delegated,
            undone: *undone,
            resources: (*used).into(),
            events,
            changes,
            calls,
        }
    }
}

impl ToldEvent {
    fn of(told: &TracedEvent, position: usize, names: Names<'_>) -> Self {
        Self {
            position,
            emitter: names.account(&told.event.emitter),
            topics: told.event.topics.clone(),
            data: told.event.data.clone(),
            undone: told.undone,
        }
    }
}

impl ToldChange {
    fn of(told: &TracedChange, position: usize, names: Names<'_>) -> Self {
        use serde_json::json;
        let code = |code: &Option<polity_types::CodeRef>| json!(code.map(|code| code.hash));
        let value = |value: &Value| match value {
            Value::Empty => serde_json::Value::Null,
            Value::Word(word) => json!(B256::from(*word)),
            Value::Bytes(bytes) => json!(bytes),
        };
        let mut slot = None;
        let (cell, before, after) = match &told.change {
            Change::Existence { before, after } => ("existence", json!(before), json!(after)),
            Change::Balance { before, after } => ("balance", json!(before), json!(after)),
            Change::Sequence { before, after } => {
                ("sequence", json!(U64::from(*before)), json!(U64::from(*after)))
            }
            Change::Code { before, after } => ("code", code(before), code(after)),
            Change::Slot { key, before, after } => {
                let name = match &key.name {
                    Name::Word(word) => Bytes::copy_from_slice(B256::from(*word).as_slice()),
                    Name::Bytes(bytes) => Bytes::copy_from_slice(bytes),
                };
                slot = Some(Slot { space: key.space.0, name });
                ("slot", value(before), value(after))
            }
            Change::Cleared => ("storage", json!(null), json!(null)),
        };
        let told_values = !matches!(told.change, Change::Cleared);
        Self {
            position,
            account: names.account(&told.account),
            cell,
            slot,
            before: told_values.then_some(before),
            after: told_values.then_some(after),
            undone: told.undone,
        }
    }
}
