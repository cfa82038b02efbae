use alloc::{collections::BTreeMap, string::String, string::ToString, vec::Vec};

use polity_types::{B256, Bytes, MachineKind};
use polity_verify::{
    Cell, CellError, DecodeError, Key, KeyError, Leaf, Lookup, Path, Reader, Tag, Trie,
};

/// The part of a state that is enough to execute one block and to know the root
/// after it: the trie with what the block reads and writes open, the cells there,
/// the codes that it runs, and the hashes of ancestors that it asks for.
#[derive(Clone, Debug)]
pub struct Witness {
    trie: Trie,
    cells: BTreeMap<Path, (Key, Cell)>,
    codes: Vec<(MachineKind, Bytes)>,
    block_hashes: BTreeMap<u64, B256>,
}

/// The tag of a leaf that is written as its key and cell.
const CELL: Tag = Tag(4);

/// Why bytes are not a witness. `at` is an offset in the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The witness has another format.
    #[error("a witness of format {0}, this program knows format {known}", known = Witness::VERSION)]
    Version(u8),
    /// The bytes do not have the format.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The bytes of a key are none.
    #[error("byte {at}: {error}")]
    Key {
        /// Where.
        at: usize,
        /// Why.
        error: KeyError,
    },
    /// The bytes of a cell are none.
    #[error("byte {at}: {error}")]
    Cell {
        /// Where.
        at: usize,
        /// Why.
        error: CellError,
    },
    /// Something is not written in the one way that it can be.
    #[error("byte {at}: {what}")]
    NotCanonical {
        /// Where.
        at: usize,
        /// What is wrong.
        what: String,
    },
}

impl Witness {
    /// The format of witnesses that are made and read here.
    pub const VERSION: u8 = 1;

    /// A witness of these parts. Cells whose leaf is not open are left out.
    pub fn new(
        trie: Trie,
        cells: impl IntoIterator<Item = (Key, Cell)>,
        mut codes: Vec<(MachineKind, Bytes)>,
        block_hashes: BTreeMap<u64, B256>,
    ) -> Self {
        let cells = cells
            .into_iter()
            .map(|(key, cell)| (key.path(), (key, cell)))
            .filter(|(path, (_, cell))| trie.get(path) == Lookup::Present(cell.hash()))
            .collect();
        codes.sort_unstable();
        codes.dedup();
        Self { trie, cells, codes, block_hashes }
    }

    /// The trie before the block. Its root is computed from what is in it.
    pub const fn trie(&self) -> &Trie {
        &self.trie
    }

    /// What the state holds at a path, where the witness has it.
    pub fn cell(&self, path: &Path) -> Option<&(Key, Cell)> {
        self.cells.get(path)
    }

    /// Every cell in the witness, by path.
    pub fn cells(&self) -> impl Iterator<Item = (&Path, &(Key, Cell))> {
        self.cells.iter()
    }

    /// The codes, each with the machine whose hash function gives its hash.
    pub fn codes(&self) -> &[(MachineKind, Bytes)] {
        &self.codes
    }

    /// The hashes of ancestors, by height. The trie does not vouch for them.
    pub const fn block_hashes(&self) -> &BTreeMap<u64, B256> {
        &self.block_hashes
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![Self::VERSION];
        let mut last = Vec::new();
        bytes.extend(self.trie.encode_with(|leaf, bytes| {
            let Some((key, cell)) = self.cells.get(&leaf.path) else { return false };
            let key = key.to_bytes();
            let shared = shared(&last, &key);
            let rest = key.get(shared..).unwrap_or_default();
            bytes.extend([CELL.0, u8::try_from(shared).unwrap_or(u8::MAX)]);
            // A key is at most `MAX_ROW` bytes.
            bytes.extend(u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(rest);
            push(bytes, &cell.to_bytes());
            last = key;
            true
        }));
        push_count(&mut bytes, self.codes.len());
        for (machine, code) in &self.codes {
            bytes.push(machine.byte());
            push(&mut bytes, code);
        }
        push_count(&mut bytes, self.block_hashes.len());
        for (height, hash) in &self.block_hashes {
            bytes.extend(height.to_be_bytes());
            bytes.extend(hash.as_slice());
        }
        bytes
    }

    /// The witness with these bytes.
    ///
    /// # Errors
    /// They are not the canonical bytes of any witness.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WitnessError> {
        let mut reader = Reader::new(bytes);
        let [version] = reader.array()?;
        if version != Self::VERSION {
            return Err(WitnessError::Version(version));
        }
        let mut cells = BTreeMap::new();
        let mut last = Vec::new();
        let trie = Trie::decode_with(&mut reader, |reader, tag| {
            let at = reader.at();
            if tag != CELL {
                let at = at.saturating_sub(1);
                return Err(DecodeError::Tag { at, tag: tag.0 }.into());
            }
            let (key, cell) = read_cell(reader, &mut last)?;
            let path = key.path();
            let value = cell.hash();
            cells.insert(path, (key, cell));
            Ok::<_, WitnessError>(Leaf { path, value })
        })?;
        let mut codes = Vec::new();
        for _ in 0..count(&mut reader)? {
            let at = reader.at();
            let [machine] = reader.array()?;
            let code = (MachineKind::new(machine), Bytes::copy_from_slice(take(&mut reader)?));
            if codes.last().is_some_and(|last| *last >= code) {
                return Err(not_canonical(at, "codes are not in order"));
            }
            codes.push(code);
        }
        let mut block_hashes = BTreeMap::new();
        for _ in 0..count(&mut reader)? {
            let at = reader.at();
            let height = u64::from_be_bytes(reader.array()?);
            if block_hashes.last_key_value().is_some_and(|(last, _)| *last >= height) {
                return Err(not_canonical(at, "block hashes are not in order"));
            }
            block_hashes.insert(height, B256::new(reader.array()?));
        }
        reader.finish()?;
        Ok(Self { trie, cells, codes, block_hashes })
    }
}

/// Reads a key and its cell; `last` is the key before it.
fn read_cell(reader: &mut Reader<'_>, last: &mut Vec<u8>) -> Result<(Key, Cell), WitnessError> {
    let at = reader.at();
    let [length] = reader.array()?;
    let length = usize::from(length);
    let rest = usize::from(u16::from_be_bytes(reader.array()?));
    let rest = reader.take(rest)?;
    let mut bytes = last.get(..length).unwrap_or_default().to_vec();
    bytes.extend_from_slice(rest);
    if shared(last, &bytes) != length {
        return Err(not_canonical(at, "a key that shares another length with the one before"));
    }
    *last = bytes;
    let key = Key::from_bytes(last).map_err(|error| WitnessError::Key { at, error })?;
    let at = reader.at();
    let bytes = take(reader)?;
    let cell = match &key {
        Key::Account(_) => Cell::record(bytes).map(Cell::Account),
        Key::Slot(..) => Cell::value(bytes).map(Cell::Slot),
    };
    Ok((key, cell.map_err(|error| WitnessError::Cell { at, error })?))
}

fn not_canonical(at: usize, what: &str) -> WitnessError {
    WitnessError::NotCanonical { at, what: what.to_string() }
}

/// How many of the first 255 bytes are the same.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take(usize::from(u8::MAX)).take_while(|(a, b)| a == b).count()
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    // No state in memory has more of anything.
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    push_count(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn count(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    Ok(u32::from_be_bytes(reader.array()?))
}

fn take<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = usize::try_from(count(reader)?).unwrap_or(usize::MAX);
    reader.take(length)
}
