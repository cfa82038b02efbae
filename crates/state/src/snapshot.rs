//! A state in one file: every cell, the codes that they refer to, the latest block hashes.
//!
//! `docs/state.md` gives every byte. A file is a header and frames, each with a check that covers
//! all that came before it: a damaged file is refused at the first frame that differs, and one that
//! was made up at the end, where its cells must have the root that is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    ops::Bound,
};

use polity_kernel::Machines;
use polity_types::{AccountRecord, B256, Bytes, CodeRef, MachineKind};
use polity_verify::{Cell, hash_value};

use crate::{
    Backend, Batch, BlockRow, CellChange, Head, State, StateError, Table, history::OLDEST, view,
};

/// The version of the format that is written and read here.
pub const SNAPSHOT_VERSION: u32 = 1;

const MAGIC: &[u8; 16] = b"polity snapshot\n";
/// Frames are closed when they are longer than this, in bytes.
const FRAME: usize = 1 << 20;
/// No frame is longer than this: a code may be as long as a cell or a code can be.
const LONGEST_FRAME: u32 = 1 << 28;
/// So many latest blocks' hashes are kept: what contracts may ask for.
const BLOCK_HASHES: u64 = 256;
/// Cells that an import commits at once.
const AT_ONCE: usize = 50_000;
/// Bytes of codes that an import commits at once.
const CODES_AT_ONCE: usize = 16 << 20;

/// What a snapshot is of, and how much is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What the chain is known by.
    pub chain: B256,
    /// The block and the root of the state after it.
    pub head: Head,
    /// Cells: accounts' records and slots.
    pub cells: u64,
    /// Codes.
    pub codes: u64,
}

/// Why a snapshot cannot be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("the snapshot: {0}")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("not a snapshot: it does not begin with \"polity snapshot\"")]
    Foreign,
    /// The file has another format.
    #[error("a snapshot of format {found}, this program knows format {SNAPSHOT_VERSION}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// The file is cut or changed.
    #[error("the snapshot is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the frame begins, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The snapshot is of another chain.
    #[error("a snapshot of the chain {found}, not of {expected}")]
    OtherChain {
        /// Its chain.
        found: B256,
        /// The chain that was asked for.
        expected: B256,
    },
    /// The cells are not those of the state that was asked for.
    #[error("the cells of the snapshot have the root {found}, not {expected}")]
    Root {
        /// The root that is trusted, or that the snapshot names.
        expected: B256,
        /// The root of the cells.
        found: B256,
    },
    /// An account has a code that the snapshot lacks.
    #[error("the snapshot lacks the code {0} of an account")]
    MissingCode(B256),
    /// A code that is no account's, or not what its hash says.
    #[error("the snapshot has something else in place of the code {0}")]
    WrongCode(B256),
    /// An account's code belongs to a machine that is not there to hash it.
    #[error("the snapshot has code of machine {0}, which this program does not have")]
    UnknownMachine(MachineKind),
    /// The store is not a new one.
    #[error("a snapshot can only be imported where there is no state yet")]
    NotEmpty,
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The folder for the state failed.
    #[cfg(feature = "disk")]
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Kind {
    Cells = 1,
    Codes = 2,
    Blocks = 3,
    End = 4,
}

/// Writes the latest state of `chain` as a snapshot.
///
/// # Errors
/// There is no state yet, it cannot be read or the snapshot not be written.
pub fn export(state: &State, chain: B256, to: &mut dyn Write) -> Result<Summary, SnapshotError> {
    // Whatever goes wrong in there is told by the outer result.
    let mut result = Err(SnapshotError::NotEmpty);
    state.still(|backend, head| {
        result = export_still(backend, head, chain, to);
        Ok(())
    })?;
    result
}

fn export_still(
    backend: &dyn Backend,
    head: Head,
    chain: B256,
    to: &mut dyn Write,
) -> Result<Summary, SnapshotError> {
    let mut out = Output::begin(to, chain, head)?;
    let mut summary = Summary { chain, head, cells: 0, codes: 0 };
    let mut codes = BTreeSet::new();
    for row in backend.scan(Table::Cells, Bound::Unbounded, Bound::Unbounded, false)? {
        let (row, bytes) = row?;
        if let (_, Cell::Account(record)) = view::parse(&row, &bytes)? {
            codes.extend(record.code.map(|code| code.hash));
        }
        out.put(Kind::Cells, &[&row_length(&row)?, &row, &length(&bytes)?, &bytes])?;
        summary.cells = summary.cells.saturating_add(1);
    }
    for hash in codes {
        let code = backend.get(Table::Codes, hash.as_slice())?;
        let code = code.ok_or(SnapshotError::MissingCode(hash))?;
        out.put(Kind::Codes, &[hash.as_slice(), &length(&code)?, &code])?;
        summary.codes = summary.codes.saturating_add(1);
    }
    let first = head.height.saturating_sub(BLOCK_HASHES - 1).to_be_bytes();
    let last = head.height.to_be_bytes();
    let blocks = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    for row in backend.scan(Table::Blocks, blocks.0, blocks.1, false)? {
        let (height, row) = row?;
        if let Some(hash) = BlockRow::from_bytes(&row)?.hash {
            out.put(Kind::Blocks, &[&height, hash.as_slice()])?;
        }
    }
    out.end(&summary)?;
    Ok(summary)
}

/// A snapshot that is being read.
pub struct Snapshot<'a> {
    input: Input<'a>,
    /// The chain that it says it is of.
    pub chain: B256,
    /// The block and the root that it says it is of.
    pub head: Head,
}

impl<'a> Snapshot<'a> {
    /// Reads what the snapshot says it is.
    ///
    /// # Errors
    /// It is none, or of another format.
    pub fn open(from: &'a mut dyn Read) -> Result<Self, SnapshotError> {
        let (input, chain, head) = Input::open(from)?;
        Ok(Self { input, chain, head })
    }

    /// Fails where it says it is of another chain.
    ///
    /// # Errors
    /// [`SnapshotError::OtherChain`].
    pub fn expect_chain(&self, expected: B256) -> Result<(), SnapshotError> {
        match self.chain {
            found if found == expected => Ok(()),
            found => Err(SnapshotError::OtherChain { found, expected }),
        }
    }

    /// Reads it into a backend that holds no state yet, and verifies it: against `root` where one
    /// is trusted, against the root that it says it is of otherwise. Codes are hashed by the
    /// machines that they belong to.
    ///
    /// # Errors
    /// It is not what it should be, or the backend fails. The backend then holds a part of it and
    /// no state, and is of no use.
    pub fn import(
        self,
        backend: &dyn Backend,
        machines: &Machines,
        root: Option<B256>,
    ) -> Result<Summary, SnapshotError> {
        read(self, backend, machines, root)
    }
}

fn read(
    Snapshot { mut input, chain, head }: Snapshot<'_>,
    backend: &dyn Backend,
    machines: &Machines,
    root: Option<B256>,
) -> Result<Summary, SnapshotError> {
    if backend.get(Table::Meta, Head::KEY)?.is_some() {
        return Err(SnapshotError::NotEmpty);
    }
    let expected = root.unwrap_or(head.root);
    if expected != head.root {
        return Err(SnapshotError::Root { expected, found: head.root });
    }
    let mut import = Import {
        backend,
        machines,
        summary: Summary { chain, head, cells: 0, codes: 0 },
        cells: Vec::new(),
        last_row: Vec::new(),
        codes: BTreeMap::new(),
        found: Vec::new(),
        found_bytes: 0,
        blocks: BTreeMap::new(),
    };
    loop {
        let offset = input.offset;
        let (kind, payload) = input.next()?;
        let damaged = |what: String| SnapshotError::Damaged { offset, what };
        let mut rest = Entries(&payload);
        let end = "ends in the middle of an entry";
        match kind {
            Kind::Cells => {
                while !rest.0.is_empty() {
                    let (row, cell) = rest.cell().ok_or_else(|| damaged(end.to_owned()))?;
                    import.cell(row, cell).map_err(damaged)?;
                }
                if import.cells.len() >= AT_ONCE {
                    import.commit_cells()?;
                }
            }
            Kind::Codes => {
                while !rest.0.is_empty() {
                    let (hash, code) = rest.code().ok_or_else(|| damaged(end.to_owned()))?;
                    import.code(hash, code)?;
                }
                if import.found_bytes >= CODES_AT_ONCE {
                    import.commit_cells()?;
                }
            }
            Kind::Blocks => {
                while !rest.0.is_empty() {
                    let (height, hash) = rest.block().ok_or_else(|| damaged(end.to_owned()))?;
                    if height > head.height {
                        return Err(damaged(format!("names block {height}, which is not there")));
                    }
                    import.blocks.insert(height, hash);
                }
            }
            Kind::End => {
                if payload != counts(&import.summary) {
                    return Err(damaged("not the numbers of cells and codes".to_owned()));
                }
                input.nothing_more()?;
                return import.finish(expected);
            }
        }
    }
}

struct Import<'a> {
    backend: &'a dyn Backend,
    machines: &'a Machines,
    summary: Summary,
    /// Cells to commit.
    cells: Vec<CellChange>,
    last_row: Vec<u8>,
    /// The codes that accounts refer to and that have not come yet.
    codes: BTreeMap<B256, BTreeSet<MachineKind>>,
    /// Codes to commit.
    found: Vec<(B256, Bytes)>,
    found_bytes: usize,
    blocks: BTreeMap<u64, B256>,
}

impl Import<'_> {
    fn cell(&mut self, row: &[u8], bytes: &[u8]) -> Result<(), String> {
        if row <= &self.last_row[..] {
            return Err("the cells are not in order".to_owned());
        }
        let (key, cell) = view::parse(row, bytes).map_err(|error| error.to_string())?;
        if key.row() != row {
            return Err(format!("the row of {key} does not begin with the hash of its account"));
        }
        if let Cell::Account(AccountRecord { code: Some(code), .. }) = cell {
            let CodeRef { machine, hash } = code;
            self.codes.entry(hash).or_default().insert(machine);
        }
        self.last_row.clear();
        self.last_row.extend_from_slice(row);
        self.summary.cells = self.summary.cells.saturating_add(1);
        let cell = Some(Bytes::copy_from_slice(bytes));
        self.cells.push(CellChange::new(key.path(), row.to_vec(), cell));
        Ok(())
    }

    fn commit_cells(&mut self) -> Result<B256, StateError> {
        let mut batch = Batch::new(std::mem::take(&mut self.cells));
        for (hash, code) in std::mem::take(&mut self.found) {
            batch.put(Table::Codes, hash.as_slice(), code);
        }
        self.found_bytes = 0;
        self.commit(batch)
    }

    fn commit(&self, batch: Batch) -> Result<B256, StateError> {
        let mut root = None;
        self.backend.commit(batch, &mut |new| root = Some(new))?;
        root.map_or_else(|| self.backend.root(), Ok)
    }

    fn code(&mut self, hash: B256, code: &[u8]) -> Result<(), SnapshotError> {
        let wanted = self.codes.remove(&hash).ok_or(SnapshotError::WrongCode(hash))?;
        for kind in wanted {
            let found = self.machines.code_hash(kind, code);
            if found.ok_or(SnapshotError::UnknownMachine(kind))? != hash {
                return Err(SnapshotError::WrongCode(hash));
            }
        }
        self.found_bytes = self.found_bytes.saturating_add(code.len());
        self.found.push((hash, Bytes::copy_from_slice(code)));
        self.summary.codes = self.summary.codes.saturating_add(1);
        Ok(())
    }

    fn finish(mut self, expected: B256) -> Result<Summary, SnapshotError> {
        if let Some(hash) = self.codes.keys().next() {
            return Err(SnapshotError::MissingCode(*hash));
        }
        let found = self.commit_cells()?;
        if found != expected {
            return Err(SnapshotError::Root { expected, found });
        }
        let Head { height, .. } = self.summary.head;
        let mut batch = Batch::default();
        for (height, hash) in &self.blocks {
            let row = BlockRow { root: None, hash: Some(*hash) };
            batch.put(Table::Blocks, height.to_be_bytes(), row.to_bytes());
        }
        batch.put(Table::Meta, OLDEST, height.to_be_bytes().to_vec());
        batch.set_head(height, self.blocks.get(&height).copied());
        self.commit(batch)?;
        Ok(self.summary)
    }
}

/// The entries of a frame that are not read yet.
struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take()?);
        self.slice(usize::try_from(length).ok()?)
    }

    /// Row and cell.
    fn cell(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let length = u16::from_be_bytes(self.take()?);
        Some((self.slice(usize::from(length))?, self.bytes()?))
    }

    /// Hash and code.
    fn code(&mut self) -> Option<(B256, &'a [u8])> {
        Some((B256::new(self.take()?), self.bytes()?))
    }

    /// Height and hash.
    fn block(&mut self) -> Option<(u64, B256)> {
        Some((u64::from_be_bytes(self.take()?), B256::new(self.take()?)))
    }
}

/// Writes input.
struct Output<'a> {
    to: &'a mut dyn Write,
    check: B256,
    kind: Kind,
    frame: Vec<u8>,
}

impl<'a> Output<'a> {
    fn begin(to: &'a mut dyn Write, chain: B256, head: Head) -> io::Result<Self> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
        header.extend_from_slice(chain.as_slice());
        header.extend_from_slice(&head.height.to_be_bytes());
        header.extend_from_slice(head.root.as_slice());
        let check = hash_value(&header);
        to.write_all(&header)?;
        to.write_all(check.as_slice())?;
        Ok(Self { to, check, kind: Kind::Cells, frame: Vec::new() })
    }

    fn put(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        if kind != self.kind || self.frame.len() >= FRAME {
            self.close()?;
            self.kind = kind;
        }
        for part in parts {
            self.frame.extend_from_slice(part);
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let length = length(&self.frame)?;
        self.check = check(&self.check, self.kind as u8, length, &self.frame);
        self.to.write_all(&[self.kind as u8])?;
        self.to.write_all(&length)?;
        self.to.write_all(&self.frame)?;
        self.to.write_all(self.check.as_slice())?;
        self.frame.clear();
        Ok(())
    }

    fn end(&mut self, summary: &Summary) -> io::Result<()> {
        self.put(Kind::End, &[&counts(summary)])?;
        self.close()?;
        self.to.flush()
    }
}

/// Reads input.
struct Input<'a> {
    from: &'a mut dyn Read,
    check: B256,
    last: Kind,
    /// Where the next frame begins.
    offset: u64,
}

impl<'a> Input<'a> {
    /// Reads the header: the chain and the state that the snapshot says it is of.
    fn open(from: &'a mut dyn Read) -> Result<(Self, B256, Head), SnapshotError> {
        let mut magic = [0; MAGIC.len()];
        if from.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(SnapshotError::Foreign);
        }
        let mut input = Self { from, check: B256::ZERO, last: Kind::Cells, offset: 0 };
        let version = input.exact::<4>()?;
        match u32::from_be_bytes(version) {
            SNAPSHOT_VERSION => {}
            found => return Err(SnapshotError::Format { found }),
        }
        let chain = input.exact::<32>()?;
        let height = input.exact::<8>()?;
        let root = input.exact::<32>()?;
        let header = [&magic[..], &version, &chain, &height, &root].concat();
        input.check = hash_value(&header);
        if input.exact::<32>()? != input.check {
            return Err(input.damaged("the header is not what its check says"));
        }
        input.offset = (header.len() as u64).saturating_add(32);
        let head = Head { height: u64::from_be_bytes(height), root: B256::new(root) };
        Ok((input, B256::new(chain), head))
    }

    fn next(&mut self) -> Result<(Kind, Vec<u8>), SnapshotError> {
        let [number] = self.exact()?;
        let kinds = [Kind::Cells, Kind::Codes, Kind::Blocks, Kind::End];
        let kind = kinds.into_iter().find(|kind| *kind as u8 == number && *kind >= self.last);
        let kind = kind.ok_or_else(|| self.damaged("no frame of this kind can be here"))?;
        let length = self.exact::<4>()?;
        let size = u32::from_be_bytes(length);
        if size > LONGEST_FRAME {
            return Err(self.damaged("a frame that is too long"));
        }
        let mut payload = Vec::new();
        // Memory is taken as the bytes come, not as the frame announces them.
        (&mut self.from).take(u64::from(size)).read_to_end(&mut payload)?;
        if payload.len() as u64 != u64::from(size) {
            return Err(self.damaged("the file ends inside a frame"));
        }
        self.check = check(&self.check, number, length, &payload);
        if self.exact::<32>()? != self.check {
            return Err(self.damaged("a frame is not what its check says"));
        }
        self.last = kind;
        self.offset = self.offset.saturating_add(u64::from(size)).saturating_add(37);
        Ok((kind, payload))
    }

    fn nothing_more(&mut self) -> Result<(), SnapshotError> {
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(self.damaged("the file goes on behind its end")),
        }
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        match self.from.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("the file ends too early"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, what: &str) -> SnapshotError {
        SnapshotError::Damaged { offset: self.offset, what: what.to_owned() }
    }
}

/// The check of a frame: SHA-256 of the one before and of the frame.
fn check(before: &B256, kind: u8, length: [u8; 4], payload: &[u8]) -> B256 {
    let payload = hash_value(payload);
    hash_value(&[before.as_slice(), &[kind], &length, payload.as_slice()].concat())
}

fn counts(summary: &Summary) -> [u8; 16] {
    let counts = u128::from(summary.cells) << 64 | u128::from(summary.codes);
    counts.to_be_bytes()
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST_FRAME / 2);
    length.map(u32::to_be_bytes).ok_or_else(|| io::Error::other("a value that is too long"))
}

fn row_length(row: &[u8]) -> io::Result<[u8; 2]> {
    let length = u16::try_from(row.len());
    length.map(u16::to_be_bytes).map_err(|_| io::Error::other("a row that is too long"))
}
