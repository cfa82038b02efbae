//! The state's storage engines: what a commit costs in memory, on disk, and elsewhere.

mod engines;

use crate::{clock, table};
use clap::{Args, ValueEnum};
use engines::Entry;
use eyre::{Context, ContextCompat, ensure};
use polity_types::{AccountId, B256, LocalKey, MachineKind, U256, Value};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Slots of one account.
const SLOTS: u64 = 100;
/// Entries that the state is filled with at once.
const FILL: u64 = 50_000;
/// So long an engine has after the filling for what it does in the background.
const REST: Duration = Duration::from_secs(10);
/// Changes of a block, and how many such blocks.
const BLOCKS: [(u64, u32); 3] = [(1_000, 20), (10_000, 8), (100_000, 3)];

/// Commits of the state's storage engines, in wall and CPU time, bytes written, disk and memory.
///
/// Every engine runs in a process of its own, one after the other, and makes each block durable
/// before the next: 90 % of a block's changes are to entries that exist, 10 % are new.
#[derive(Args)]
pub(crate) struct States {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// How many entries the state has.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,

    /// Where the engines put their files: on the disk that counts.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: std::path::PathBuf,

    /// Only this engine.
    #[arg(long)]
    engine: Option<Kind>,

    /// What the process of one engine is given.
    #[arg(long, hide = true)]
    inside: bool,
}

/// A storage engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Polity's state in memory, with a history of 64 blocks.
    Memory,
    /// Polity's state on disk, with a history of 64 blocks.
    Disk,
    /// The same, where nobody has read what the changes replace.
    Blind,
    /// nomt alone, as its README shows it.
    Nomt,
    /// Ethereum's Merkle-Patricia trie: eth_trie, its nodes in fjall.
    Mpt,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    engine: Kind,
    keys: u64,
    blocks: Vec<Block>,
    /// Bytes on disk in the end; holes do not count.
    disk: u64,
    /// The most memory that the process had, in bytes.
    memory: u64,
}

/// The mean of the blocks of one size.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    changes: u64,
    wall: Duration,
    processor: Duration,
    /// Until the root was known.
    root: Duration,
    written: u64,
}

impl States {
    pub(crate) fn run(self) -> eyre::Result<()> {
        if self.inside {
            let kind = self.engine.wrap_err("no engine")?;
            let report = self.measure(kind)?;
            return table::result(&serde_json::to_string(&report)?);
        }
        let mut reports = Vec::new();
        for kind in Kind::value_variants() {
            if self.engine.is_none_or(|engine| engine == *kind) {
                table::story(&format!("{kind:?}"));
                reports.push(self.spawn(*kind)?);
            }
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&reports)?);
        }
        table::result(&costs(&reports))?;
        table::result("")?;
        table::result(&sizes(&reports))
    }

    /// Measures in a process of its own.
    fn spawn(&self, kind: Kind) -> eyre::Result<Report> {
        let name = kind.to_possible_value().map(|value| value.get_name().to_owned());
        let output = Command::new(std::env::current_exe()?)
            .args(["state", "--inside", "--engine", &name.unwrap_or_default()])
            .args(["--keys", &self.keys.to_string(), "--folder"])
            .arg(&self.folder)
            .stderr(std::process::Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "{kind:?}: {}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn measure(&self, kind: Kind) -> eyre::Result<Report> {
        let place = tempfile::Builder::new().prefix("state-bench").tempdir_in(&self.folder)?;
        let mut random = Random(1);
        let mut engine = engines::open(kind, place.path(), self.keys)?;
        let mut known = 0;
        while known < self.keys {
            let entries =
                (known..self.keys.min(known + FILL)).map(|number| entry(number, &mut random));
            engine.prepare(entries.collect())?;
            engine.commit()?;
            known = self.keys.min(known + FILL);
        }
        std::thread::sleep(REST);
        let mut blocks = Vec::new();
        for (changes, times) in BLOCKS {
            let mut sum = Block { changes, ..Block::NOTHING };
            for _ in 0..times {
                let mut numbers: Vec<u64> = (0..changes)
                    .map(|change| match change % 10 {
                        0 => known + change / 10,
                        _ => random.next() % known,
                    })
                    .collect();
                known += changes.div_ceil(10);
                numbers.sort_unstable();
                numbers.dedup();
                let entries = numbers.into_iter().map(|number| entry(number, &mut random));
                engine.prepare(entries.collect())?;
                let (written, start) = (bytes_written()?, Instant::now());
                let (root, processor) = clock::process(|| engine.commit());
                sum.root += root?;
                sum.wall += start.elapsed();
                sum.processor += processor;
                sum.written += bytes_written()?.saturating_sub(written);
            }
            blocks.push(sum.mean(times));
        }
        let memory = most_memory()?;
        drop(engine);
        Ok(Report { engine: kind, keys: known, blocks, disk: size(place.path())?, memory })
    }
}

impl Block {
    const NOTHING: Self = Self {
        changes: 0,
        wall: Duration::ZERO,
        processor: Duration::ZERO,
        root: Duration::ZERO,
        written: 0,
    };

    fn mean(self, times: u32) -> Self {
        Self {
            changes: self.changes,
            wall: self.wall / times,
            processor: self.processor / times,
            root: self.root / times,
            written: self.written / u64::from(times),
        }
    }
}

fn costs(reports: &[Report]) -> String {
    let head = [
        "engine",
        "changes",
        "wall ms",
        "root ms",
        "CPU ms",
        "changes/CPU s",
        "KiB written/change",
    ];
    let rows = reports.iter().flat_map(|report| {
        report.blocks.iter().map(|block| {
            let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            let changes = block.changes as f64;
            vec![
                format!("{:?}", report.engine).to_lowercase(),
                block.changes.to_string(),
                ms(block.wall),
                ms(block.root),
                ms(block.processor),
                format!("{:.0}", changes / block.processor.as_secs_f64()),
                format!("{:.2}", block.written as f64 / 1024.0 / changes),
            ]
        })
    });
    table::markdown(&head, rows.collect())
}

fn sizes(reports: &[Report]) -> String {
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    let rows = reports.iter().map(|report| {
        vec![
            format!("{:?}", report.engine).to_lowercase(),
            report.keys.to_string(),
            mib(report.disk),
            mib(report.memory),
        ]
    });
    table::markdown(&["engine", "entries", "disk MiB", "peak memory MiB"], rows.collect())
}

/// An entry with a new value of 1 to 60 bytes or a word.
fn entry(number: u64, random: &mut Random) -> Entry {
    let address = B256::from(U256::from(number / SLOTS));
    let account = AccountId::new(MachineKind::new(1), address);
    let value = match random.next() % 3 {
        0 => Value::bytes(random.next().to_be_bytes().repeat(1 + number as usize % 7).into()),
        _ => Value::word(U256::from_limbs([random.next(), random.next(), random.next(), 1])),
    };
    Entry { account, key: LocalKey::storage(U256::from(number % SLOTS)), value }
}

/// Numbers that look random and are always the same: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Bytes that this process has had written to disk, or is to have.
fn bytes_written() -> eyre::Result<u64> {
    field("/proc/self/io", "write_bytes:")
}

fn most_memory() -> eyre::Result<u64> {
    Ok(field("/proc/self/status", "VmHWM:")?.saturating_mul(1024))
}

fn field(path: &str, name: &str) -> eyre::Result<u64> {
    let text = fs::read_to_string(path).wrap_err(path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).wrap_err(name.to_owned())?;
    Ok(number.parse()?)
}

fn size(path: &Path) -> eyre::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.blocks() * 512);
    }
    fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + size(&entry?.path())?))
}
