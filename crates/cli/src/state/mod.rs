//! `polity state`.

mod fill;
mod keys;

use crate::output;
use clap::{Args, Subcommand, builder::RangedU64ValueParser};
use eyre::{Context, eyre};
use keys::{AccountArgument, SlotArgument};
use polity_engine::Sequential;
use polity_evm::{Evm, spec::ChainSpec};
use polity_kernel::{Machines, View};
use polity_state::{
    History, State, StateError, Table,
    disk::{Disk, DiskOptions},
    snapshot::{self, Snapshot, SnapshotError, Summary},
};
use polity_types::{AccountRecord, B256, Bytes, LocalKey, Name, U256, Value};
use polity_verify::{Cell, Claim, Key, Owner, Proof};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

const EXAMPLES: &str = "\
Examples:
  polity state init --from examples/chain --data-dir data     genesis and blocks, committed
  polity state root --data-dir data
  polity state get 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 --data-dir data
  polity state prove 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 --out proof --data-dir data
  polity state verify proof --root 0x…                        needs no state
  polity state verify --data-dir data                         recomputes the root from every value
  polity state export state.snapshot --data-dir data
  polity state import state.snapshot --root 0x… --data-dir copy

The folder can also be given once and for all: export POLITY_DATA_DIR=data.

Exit status: 0 if all is well, 1 if a proof or a state does not hold, 2 if a command could not run.";

/// Look at a chain's state on disk, prove what it holds, copy it.
///
/// The state lies in the folder `state` of the data folder; one process at a time has it open.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StateCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(Init),
    Root(Root),
    Get(Get),
    Prove(Prove),
    Verify(Verify),
    Export(Export),
    Import(Import),
    Stats(Stats),
    Rebuild(Rebuild),
}

#[derive(Args)]
struct Common {
    /// The data folder.
    #[arg(long, env = "POLITY_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,

    /// Print JSON.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,
}

/// Make a state from a genesis file, or from block folders.
///
/// From a folder with a `genesis.json` (in geth's format) come the genesis and the blocks that
/// follow it, executed one after the other; from a single block folder, as much of the state
/// before its block as it has, and the block.
#[derive(Args)]
struct Init {
    /// The genesis file or the folder.
    #[arg(long, env = "POLITY_FROM", value_name = "PATH")]
    from: PathBuf,

    /// How many blocks can be read and taken back later [default: all].
    #[arg(long, env = "POLITY_HISTORY", value_name = "BLOCKS")]
    history: Option<u64>,

    #[command(flatten)]
    common: Common,
}

/// Print the root of the state.
#[derive(Args)]
struct Root {
    /// After this block [default: the latest].
    #[arg(long, env = "POLITY_HEIGHT", value_name = "N")]
    height: Option<u64>,

    #[command(flatten)]
    common: Common,
}

/// Print an account, or one of its slots.
#[derive(Args)]
struct Get {
    /// An Ethereum address, or MACHINE:ADDRESS with 32 bytes of address.
    account: AccountArgument,

    /// The slot, a word.
    slot: Option<SlotArgument>,

    /// Print all slots of the account.
    #[arg(long, conflicts_with = "slot")]
    slots: bool,

    /// After this block [default: the latest].
    #[arg(long, env = "POLITY_HEIGHT", value_name = "N")]
    height: Option<u64>,

    #[command(flatten)]
    common: Common,
}

/// Prove what the latest state holds at an account and some of its slots, or that it holds nothing.
#[derive(Args)]
struct Prove {
    /// An Ethereum address, or MACHINE:ADDRESS with 32 bytes of address.
    account: AccountArgument,

    /// Slots, words.
    slots: Vec<SlotArgument>,

    /// Write the proof here instead of printing it in hex.
    #[arg(long, env = "POLITY_OUT", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

/// Verify a proof against a root, or without a proof the whole state on disk.
#[derive(Args)]
struct Verify {
    /// The proof: a file, or hex.
    #[arg(requires = "root")]
    proof: Option<String>,

    /// The root that is trusted.
    #[arg(long, env = "POLITY_ROOT", value_name = "HASH")]
    root: Option<B256>,

    #[command(flatten)]
    common: Common,
}

/// Write the latest state as a snapshot: one file.
#[derive(Args)]
struct Export {
    /// The file; it must not exist. `-` is the standard output.
    file: PathBuf,

    #[command(flatten)]
    common: Common,
}

/// Make a state from a snapshot, verified.
///
/// Every value is hashed into the root, which has to be the one that is trusted; without one it has
/// to be the one that the snapshot itself names. Where anything is wrong, there is no state.
#[derive(Args)]
struct Import {
    /// The snapshot. `-` is the standard input.
    file: PathBuf,

    /// The root that is trusted.
    #[arg(long, env = "POLITY_ROOT", value_name = "HASH")]
    root: Option<B256>,

    /// The chain that the snapshot has to be of: its id.
    #[arg(long, env = "POLITY_CHAIN_ID", value_name = "ID",
          value_parser = RangedU64ValueParser::<u64>::new())]
    chain_id: Option<u64>,

    #[command(flatten)]
    common: Common,
}

/// Print how much there is in a state and what it takes.
#[derive(Args)]
struct Stats {
    #[command(flatten)]
    common: Common,
}

/// Make the trie anew from the values, where it is damaged and they are not.
#[derive(Args)]
struct Rebuild {
    #[command(flatten)]
    common: Common,
}

impl StateCommand {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        match self.command {
            Command::Init(init) => init.run(),
            Command::Root(root) => root.run(),
            Command::Get(get) => get.run(),
            Command::Prove(prove) => prove.run(),
            Command::Verify(verify) => verify.run(),
            Command::Export(export) => export.run(),
            Command::Import(import) => import.run(),
            Command::Stats(stats) => stats.run(),
            Command::Rebuild(rebuild) => rebuild.run(),
        }
    }
}

/// A state that was opened.
struct Opened {
    disk: Arc<Disk>,
    state: State,
}

impl Common {
    fn folder(&self) -> PathBuf {
        self.data_dir.join("state")
    }

    fn open(&self) -> eyre::Result<Opened> {
        let disk = Disk::open(&self.folder(), None, &DiskOptions::default())?;
        let disk = Arc::new(disk);
        let state = State::open(disk.clone(), History::Archive)?;
        Ok(Opened { disk, state })
    }

    /// Prints `value` as JSON or `text`, whichever was asked for.
    fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> eyre::Result<()> {
        if self.json { output::json(value) } else { output::result(&text(value)) }
    }
}

/// What a chain is known by in a state folder: its id.
fn chain_of(id: u64) -> B256 {
    B256::from(U256::from(id))
}

/// The machines whose codes a state can have.
fn machines() -> eyre::Result<Machines> {
    Ok(Machines::default().with(Evm::new(ChainSpec::mainnet()))?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct At {
    height: u64,
    root: B256,
}

impl At {
    fn text(&self) -> String {
        format!("{} after block {}", self.root, self.height)
    }
}

fn latest(state: &State) -> eyre::Result<At> {
    let height = state.height().ok_or_else(|| eyre!("the state has no block yet"))?;
    Ok(At { height, root: state.root()? })
}

impl Init {
    fn run(self) -> eyre::Result<bool> {
        let source = fill::Source::read(&self.from)?;
        let folder = self.common.folder();
        let id = chain_of(source.chain_id());
        let options = DiskOptions::default();
        // What was committed stays where a later block fails, and can be looked at.
        let disk = Disk::create(&folder, id, &options)?;
        let history = self.history.map_or(History::Archive, History::Blocks);
        let state = State::open(Arc::new(disk), history)?;
        source.commit(&state, &mut Sequential::new())?;
        state.flush()?;
        self.common.print(&latest(&state)?, At::text)?;
        Ok(true)
    }
}

impl Root {
    fn run(self) -> eyre::Result<bool> {
        let Opened { state, .. } = self.common.open()?;
        let at = match self.height {
            None => latest(&state)?,
            Some(height) => {
                let root = state.root_at(height)?;
                At { height, root: root.ok_or_else(|| eyre!("no root of block {height}"))? }
            }
        };
        self.common.print(&at, |at| at.root.to_string())?;
        Ok(true)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountRow {
    account: String,
    exists: bool,
    balance: U256,
    sequence: u64,
    code_machine: Option<u8>,
    code_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<Vec<SlotRow>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlotRow {
    space: u8,
    name: String,
    value: Bytes,
}

impl Get {
    fn run(self) -> eyre::Result<bool> {
        let Opened { state, .. } = self.common.open()?;
        let view = match self.height {
            None => state.view(),
            Some(height) => state.view_at(height)?,
        };
        let account = self.account.0;
        if let Some(SlotArgument(slot)) = self.slot {
            let key = LocalKey::storage(slot);
            let row = slot_row(&key, &view.slot(&account, &key)?);
            self.common.print(&row, |row| row.value.to_string())?;
            return Ok(true);
        }
        let record = view.account(&account)?;
        let mut slots = Vec::new();
        if self.slots {
            for (key, cell) in view.cells(&Owner::of(&account).row())? {
                if let (Key::Slot(_, key), Cell::Slot(value)) = (key, cell) {
                    slots.push(slot_row(&key, &value));
                }
            }
        }
        let exists = record.is_some();
        let AccountRecord { balance, sequence, code } = record.unwrap_or_default();
        let row = AccountRow {
            account: account.to_string(),
            exists,
            balance,
            sequence,
            code_machine: code.map(|code| code.machine.byte()),
            code_hash: code.map(|code| code.hash),
            slots: self.slots.then_some(slots),
        };
        self.common.print(&row, account_text)?;
        Ok(true)
    }
}

fn account_text(row: &AccountRow) -> String {
    let mut text = format!("account  {}\n", row.account);
    if !row.exists {
        return text + "does not exist";
    }
    text += &format!("balance  {}\nsequence {}", row.balance, row.sequence);
    if let Some(hash) = row.code_hash {
        text += &format!("\ncode     {hash}");
    }
    for slot in row.slots.iter().flatten() {
        text += &format!("\nslot     {} {}", slot.name, slot.value);
    }
    text
}

fn slot_row(key: &LocalKey, value: &Value) -> SlotRow {
    let name = match &key.name {
        Name::Word(word) => format!("{word:#x}"),
        Name::Bytes(bytes) => Bytes::copy_from_slice(bytes).to_string(),
    };
    let value = match value {
        Value::Empty => Bytes::from_static(&[0; 32]),
        Value::Word(word) => word.to_be_bytes::<32>().to_vec().into(),
        Value::Bytes(bytes) => bytes.clone(),
    };
    SlotRow { space: key.space.0, name, value }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proven {
    height: u64,
    root: B256,
    /// What is proven, in words.
    claims: Vec<String>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Bytes>,
}

impl Prove {
    fn run(self) -> eyre::Result<bool> {
        let Opened { state, .. } = self.common.open()?;
        let account = self.account.0;
        let mut keys = vec![Key::Account(account)];
        keys.extend(self.slots.iter().map(|slot| Key::Slot(account, LocalKey::storage(slot.0))));
        let (head, proof) = state.prove(&keys)?;
        let bytes = proof.to_bytes();
        // Nobody should have to verify what cannot be verified.
        let claims = proof.verify(&head.root)?.iter().map(claim_text).collect();
        if let Some(path) = &self.out {
            fs::write(path, &bytes).wrap_err_with(|| format!("writing {}", path.display()))?;
        }
        let proven = Proven {
            height: head.height,
            root: head.root,
            claims,
            bytes: bytes.len(),
            proof: self.out.is_none().then(|| bytes.into()),
        };
        self.common.print(&proven, |proven| match &proven.proof {
            Some(proof) => proof.to_string(),
            None => format!("{} bytes, for the root {}", proven.bytes, proven.root),
        })?;
        Ok(true)
    }
}

fn claim_text(claim: &Claim) -> String {
    match &claim.cell {
        None => format!("{}: nothing", claim.key),
        Some(Cell::Account(record)) => {
            let AccountRecord { balance, sequence, code } = record;
            let code = code.map_or_else(|| "none".to_owned(), |code| code.hash.to_string());
            format!("{}: balance {balance}, sequence {sequence}, code {code}", claim.key)
        }
        Some(Cell::Slot(Value::Word(word))) => format!("{}: {word:#x}", claim.key),
        Some(Cell::Slot(Value::Bytes(bytes))) => format!("{}: {bytes}", claim.key),
        Some(Cell::Slot(Value::Empty)) => format!("{}: nothing", claim.key),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    valid: bool,
    /// What is proven, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claims: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Verify {
    fn run(self) -> eyre::Result<bool> {
        let verified = match (&self.proof, self.root) {
            (Some(proof), Some(root)) => {
                let proof = Proof::from_bytes(&proof_bytes(proof)?);
                let claims = proof.and_then(|proof| {
                    Ok(proof.verify(&root)?.iter().map(claim_text).collect::<Vec<_>>())
                });
                Verified {
                    valid: claims.is_ok(),
                    reason: claims.as_ref().err().map(ToString::to_string),
                    claims: claims.unwrap_or_default(),
                    cells: None,
                }
            }
            (_, root) => {
                let Opened { state, .. } = self.common.open()?;
                let found = latest(&state)?.root;
                let checked = match root.filter(|root| *root != found) {
                    Some(root) => Err(format!("the state has the root {found}, not {root}")),
                    None => state.check().map_err(|error| error.to_string()),
                };
                Verified {
                    valid: checked.is_ok(),
                    claims: Vec::new(),
                    cells: checked.as_ref().ok().copied(),
                    reason: checked.err(),
                }
            }
        };
        self.common.print(&verified, |verified| match (&verified.reason, verified.cells) {
            (Some(reason), _) => format!("does not hold: {reason}"),
            (None, Some(cells)) => format!("{cells} values have the root of the state"),
            (None, None) => verified.claims.join("\n"),
        })?;
        Ok(verified.valid)
    }
}

/// A proof from a file or, where there is none of that name, from hex.
fn proof_bytes(argument: &str) -> eyre::Result<Vec<u8>> {
    if !Path::new(argument).exists() && argument.starts_with("0x") {
        let bytes: Bytes = argument.parse().wrap_err("the proof is neither a file nor hex")?;
        return Ok(bytes.to_vec());
    }
    fs::read(argument).wrap_err_with(|| format!("reading {argument}"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryRow {
    chain: B256,
    height: u64,
    root: B256,
    cells: u64,
    codes: u64,
}

impl SummaryRow {
    fn text(&self) -> String {
        let Self { height, root, cells, codes, .. } = self;
        format!("block {height}, root {root}: {cells} values, {codes} codes")
    }
}

impl From<Summary> for SummaryRow {
    fn from(summary: Summary) -> Self {
        let Summary { chain, head, cells, codes } = summary;
        Self { chain, height: head.height, root: head.root, cells, codes }
    }
}

impl Export {
    fn run(self) -> eyre::Result<bool> {
        let Opened { disk, state } = self.common.open()?;
        if self.file.as_os_str() == "-" {
            let summary = snapshot::export(&state, disk.chain(), &mut io::stdout().lock())?;
            output::story(&SummaryRow::from(summary).text());
            return Ok(true);
        }
        let doing = || format!("writing {}", self.file.display());
        let file = File::create_new(&self.file).wrap_err_with(doing)?;
        let mut file = BufWriter::new(file);
        let written = snapshot::export(&state, disk.chain(), &mut file).map_err(eyre::Report::from);
        let written = written.and_then(|summary| {
            file.flush()?;
            file.get_ref().sync_all()?;
            Ok(summary)
        });
        if written.is_err() {
            // Half a snapshot is of no use, and the error says more than one that remains.
            let _ = fs::remove_file(&self.file);
        }
        self.common.print(&SummaryRow::from(written.wrap_err_with(doing)?), SummaryRow::text)?;
        Ok(true)
    }
}

impl Import {
    fn run(self) -> eyre::Result<bool> {
        let machines = machines()?;
        let mut from: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(&self.file);
            Box::new(BufReader::new(
                file.wrap_err_with(|| format!("opening {}", self.file.display()))?,
            ))
        };
        let mut import = || -> Result<Summary, SnapshotError> {
            let snapshot = Snapshot::open(&mut *from)?;
            self.chain_id.map_or(Ok(()), |id| snapshot.expect_chain(chain_of(id)))?;
            let (folder, options) = (self.common.folder(), DiskOptions::default());
            let chain = snapshot.chain;
            let fill = |disk: &Disk| snapshot.import(disk, &machines, self.root);
            Disk::create_with(&folder, chain, &options, fill).map(|(_, summary)| summary)
        };
        let summary = import().wrap_err_with(|| format!("{}", self.file.display()))?;
        self.common.print(&SummaryRow::from(summary), SummaryRow::text)?;
        Ok(true)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsRow {
    chain: B256,
    height: u64,
    oldest: u64,
    root: B256,
    accounts: u64,
    slots: u64,
    value_bytes: u64,
    trie_bytes: u64,
}

impl Stats {
    fn run(self) -> eyre::Result<bool> {
        let Opened { disk, state } = self.common.open()?;
        let At { height, root } = latest(&state)?;
        let (mut accounts, mut slots) = (0_u64, 0_u64);
        state.still(|backend, _| {
            let all = Bound::Unbounded;
            for row in backend.scan(Table::Cells, all, all, false)? {
                match Key::from_row(&row?.0) {
                    Ok(Key::Account(_)) => accounts += 1,
                    Ok(Key::Slot(..)) => slots += 1,
                    Err(error) => return Err(StateError::Corrupt(error.to_string())),
                }
            }
            Ok(())
        })?;
        let size = disk.size()?;
        let row = StatsRow {
            chain: disk.chain(),
            height,
            oldest: state.oldest().unwrap_or(height),
            root,
            accounts,
            slots,
            value_bytes: size.values,
            trie_bytes: size.trie,
        };
        self.common.print(&row, |row| {
            let rows = [
                ("chain", row.chain.to_string()),
                ("height", row.height.to_string()),
                ("oldest readable height", row.oldest.to_string()),
                ("root", row.root.to_string()),
                ("accounts", row.accounts.to_string()),
                ("slots", row.slots.to_string()),
                ("values on disk, bytes", row.value_bytes.to_string()),
                ("trie on disk, bytes", row.trie_bytes.to_string()),
            ];
            let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
            output::table(&["", ""], 2, rows.to_vec())
        })?;
        Ok(true)
    }
}

impl Rebuild {
    fn run(self) -> eyre::Result<bool> {
        let disk = Disk::rebuild(&self.common.folder(), &DiskOptions::default())?;
        let state = State::open(Arc::new(disk), History::Archive)?;
        self.common.print(&latest(&state)?, At::text)?;
        Ok(true)
    }
}
