//! The trie in memory: what the root of a block costs, apart from everything else.

use crate::{clock, table};
use clap::Args;
use polity_state::Threads;
use polity_types::B256;
use polity_verify::{Change, Join, Path, Serial, Trie, hash_value};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The trie in memory, in processor and wall time: changes of 90 % old and 10 % new keys.
#[derive(Args)]
pub(crate) struct Tries {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// How many keys the trie has.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,

    /// How many blocks of each size; the least time counts.
    #[arg(long, value_name = "TIMES", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    changes: u64,
    serial: Times,
    parallel: Times,
}

#[derive(Clone, Copy, Serialize)]
struct Times {
    wall: Duration,
    processor: Duration,
}

impl Tries {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let mut keys = Keys { old: 0, next: 0 };
        let mut trie = Trie::empty();
        trie.update(&keys.grow(self.keys))?;
        let mut rows = Vec::new();
        for changes in [1_000, 10_000, 100_000] {
            rows.push(Row {
                changes,
                serial: self.least(&mut trie, &mut keys, changes, &Serial)?,
                parallel: self.least(&mut trie, &mut keys, changes, &Threads)?,
            });
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let head = ["changes", "serial ms", "µs each", "parallel ms", "parallel CPU ms"];
        table::result(&table::markdown(&head, rows.iter().map(Row::cells).collect()))
    }

    fn least(
        &self,
        trie: &mut Trie,
        keys: &mut Keys,
        changes: u64,
        join: &impl Join,
    ) -> eyre::Result<Times> {
        let mut least = Times { wall: Duration::MAX, processor: Duration::MAX };
        for _ in 0..self.repeat {
            let block = keys.block(changes);
            let start = Instant::now();
            let (updated, processor) = clock::process(|| trie.replace(&block, join));
            updated?;
            least.wall = least.wall.min(start.elapsed());
            least.processor = least.processor.min(processor);
        }
        Ok(least)
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let milliseconds = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        vec![
            self.changes.to_string(),
            milliseconds(self.serial.wall),
            format!("{:.2}", self.serial.wall.as_secs_f64() * 1e6 / self.changes as f64),
            milliseconds(self.parallel.wall),
            milliseconds(self.parallel.processor),
        ]
    }
}

/// Keys spread over the whole trie, by number.
struct Keys {
    old: u64,
    next: u64,
}

impl Keys {
    /// Sets so many keys that were not there.
    fn grow(&mut self, count: u64) -> Vec<Change> {
        let changes = (self.next..self.next + count).map(|number| change(number, 0)).collect();
        self.next += count;
        sorted(changes)
    }

    fn block(&mut self, count: u64) -> Vec<Change> {
        let new = count / 10;
        let mut changes = self.grow(new);
        // A stride that visits them all before it comes back.
        for _ in new..count {
            self.old = (self.old + 7_368_787) % (self.next - new);
            changes.push(change(self.old, self.next));
        }
        sorted(changes)
    }
}

fn change(number: u64, value: u64) -> Change {
    let path: B256 = hash_value(&number.to_be_bytes());
    (Path::new(path.0), Some(hash_value(&value.to_be_bytes())))
}

fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_unstable();
    changes.dedup_by_key(|(path, _)| *path);
    changes
}
