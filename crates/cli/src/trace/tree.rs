//! The tree as the node tells it, and as text.

use alloy_primitives::{U64, U256};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write;

/// A transaction and its frames.
pub(super) struct Traced {
    pub(super) hash: String,
    block: u64,
    index: u64,
    /// In the order in which they opened: the transaction first.
    pub(super) frames: Vec<Frame>,
}

/// A frame.
pub(super) struct Frame {
    pub(super) kind: String,
    pub(super) machine: String,
    pub(super) from: String,
    pub(super) to: Option<String>,
    pub(super) value: U256,
    pub(super) selector: String,
    pub(super) gas: u64,
    pub(super) gas_used: u64,
    pub(super) status: String,
    pub(super) undone: bool,
    pub(super) hop: bool,
    pub(super) events: usize,
    pub(super) changes: usize,
    /// Places in the list.
    pub(super) calls: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    transaction_hash: String,
    block_number: U64,
    index: U64,
    #[serde(borrow)]
    trace: &'a RawValue,
}

/// One frame at a time: calls may be inside each other deeper than a parser goes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: String,
    machine: String,
    from: String,
    to: Option<String>,
    created: Option<String>,
    value: U256,
    input: String,
    gas: U64,
    gas_used: U64,
    status: String,
    revert_reason: Option<String>,
    hop: bool,
    undone: bool,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
    #[serde(borrow)]
    calls: Vec<&'a RawValue>,
}

impl Traced {
    /// Reads the node's answer.
    pub(super) fn parse(answer: &str) -> serde_json::Result<Self> {
        let Answer { transaction_hash: hash, block_number, index, trace } =
            serde_json::from_str(answer)?;
        let mut frames: Vec<Frame> = Vec::new();
        let mut rest = vec![(None, trace)];
        while let Some((parent, raw)) = rest.pop() {
            let told: Told<'_> = serde_json::from_str(raw.get())?;
            let at = frames.len();
            if let Some(parent) = parent.and_then(|parent: usize| frames.get_mut(parent)) {
                parent.calls.push(at);
            }
            rest.extend(told.calls.iter().rev().map(|call| (Some(at), *call)));
            frames.push(told.into());
        }
        Ok(Self { hash, block: block_number.to(), index: index.to(), frames })
    }

    /// What the picture and the text begin with.
    pub(super) fn title(&self) -> String {
        let first = self.frames.first();
        let status = first.map(|frame| frame.status.as_str()).unwrap_or_default();
        let gas = first.map(|frame| frame.gas_used).unwrap_or_default();
        let Self { hash, block, index, .. } = self;
        format!("transaction {hash}, block {block}, index {index}: {status}, gas {}", grouped(gas))
    }

    /// A line per frame.
    pub(super) fn text(&self, full: bool) -> String {
        let mut text = self.title();
        text.push('\n');
        let mut rest = vec![(0_usize, String::new(), String::new())];
        while let Some((at, lead, below)) = rest.pop() {
            let Some(frame) = self.frames.get(at) else { continue };
            let _ = writeln!(text, "{lead}{}", frame.line(full));
            let last = frame.calls.len().saturating_sub(1);
            for (place, call) in frame.calls.iter().enumerate().rev() {
                let (branch, trunk) =
                    if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                rest.push((*call, format!("{below}{branch}"), format!("{below}{trunk}")));
            }
        }
        text
    }
}

impl Frame {
    fn line(&self, full: bool) -> String {
        let name = |account: &str| self.name(account, full);
        let mut line = format!("{} {} {}", self.machine, self.kind, name(&self.from));
        if let Some(to) = &self.to {
            let _ = write!(line, " → {}", name(to));
        }
        if !self.selector.is_empty() {
            let _ = write!(line, " {}", self.selector);
        }
        if !self.value.is_zero() {
            let _ = write!(line, "  value {}", self.value);
        }
        // Solana's runtime counts the units of a transaction, not those of its instructions.
        if self.gas > 0 {
            let _ = write!(line, "  gas {}/{}", grouped(self.gas_used), grouped(self.gas));
        }
        for (count, what) in [(self.events, "event"), (self.changes, "change")] {
            if count > 0 {
                let _ = write!(line, "  {count} {what}{}", if count == 1 { "" } else { "s" });
            }
        }
        let _ = write!(line, "  {}", self.status);
        if self.undone {
            line.push_str(" (undone)");
        }
        line
    }

    /// An account, without its machine where that is the frame's.
    pub(super) fn name(&self, account: &str, full: bool) -> String {
        let (machine, text) = account.split_once(':').unwrap_or(("", account));
        let own = machine == self.machine;
        let text = if full { text.to_owned() } else { short(text) };
        if own { text } else { format!("{machine}:{text}") }
    }
}

impl From<Told<'_>> for Frame {
    fn from(told: Told<'_>) -> Self {
        let status = match told.revert_reason {
            Some(reason) => format!("{}: {reason}", told.status),
            None => told.status,
        };
        Self {
            selector: told.input.get(..10).unwrap_or_default().to_owned(),
            kind: told.kind,
            machine: told.machine,
            from: told.from,
            to: told.to.or(told.created),
            value: told.value,
            gas: told.gas.to(),
            gas_used: told.gas_used.to(),
            status,
            undone: told.undone,
            hop: told.hop,
            events: told.events.len(),
            changes: told.changes.len(),
            calls: Vec::new(),
        }
    }
}

/// The begin and the end of a long name.
fn short(text: &str) -> String {
    let count = text.chars().count();
    if count <= 16 {
        return text.to_owned();
    }
    let begin: String = text.chars().take(6).collect();
    let end: String = text.chars().skip(count.saturating_sub(4)).collect();
    format!("{begin}…{end}")
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn answer(depth: usize) -> String {
        let frame = |machine: &str, status: &str, calls: &str| {
            format!(
                r#"{{"type":"CALL","machine":"{machine}","from":"evm:0x1111111111111111111111111111111111111111",
                "to":"{machine}:0x2222222222222222222222222222222222222222222222222222222222222222","value":"0x7",
                "input":"0xd09de08a00","gas":"0x186a0","gasUsed":"0x61a8","status":"{status}","output":"0x","hop":true,
                "undone":{},"events":[{{}}],"changes":[],"calls":[{calls}]}}"#,
                status != "success"
            )
        };
        let mut inner = frame("toy", "reverted", "");
        for _ in 0..depth {
            inner = frame("evm", "success", &inner);
        }
        format!(
            r#"{{"transactionHash":"0xabcd","blockHash":"0x","blockNumber":"0x7","index":"0x1","trace":{inner}}}"#
        )
    }

    #[test]
    fn a_tree_is_a_line_per_frame() {
        let traced = Traced::parse(&answer(2)).unwrap();
        let text = traced.text(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "transaction 0xabcd, block 7, index 1: success, gas 25,000");
        assert!(lines[2].starts_with("└─ evm CALL 0x1111…1111 → 0x2222…2222 0xd09de08a  value 7"));
        assert!(lines[3].starts_with("   └─ toy CALL evm:0x1111…1111 → 0x2222…2222"));
        assert!(lines[3].ends_with("gas 25,000/100,000  1 event  reverted (undone)"), "{text}");
    }

    #[test]
    fn calls_may_be_as_deep_as_machines_allow() {
        assert_eq!(Traced::parse(&answer(600)).unwrap().frames.len(), 601);
        assert!(Traced::parse("{}").is_err());
    }
}
