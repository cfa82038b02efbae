use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use polity_engine::{Block, BlockError, BlockOutput, Sequential};
use polity_kernel::{Code, Machines, View, ViewError};
use polity_types::{AccountId, AccountRecord, B256, Bytes, LocalKey, MachineKind, Value};
use polity_verify::{Cell, Change, Key, Lookup, Owner, Path, is_sentinel};

use crate::{CellChange, Changes, Slots, StateError, Witness};

/// What executing a block on a witness proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reexecuted {
    /// The root of the state after the block.
    pub root: B256,
    /// The block's output.
    pub output: BlockOutput,
    /// The hashes of ancestors that the block may have asked for. The result is
    /// that of the block if they are the ancestors' hashes, which the state does
    /// not tell: whoever relies on it compares them with the headers.
    pub block_hashes: BTreeMap<u64, B256>,
}

/// Why a block could not be executed on a witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatelessError {
    /// The witness is of another state.
    #[error("the witness is of the state with root {found}, not {expected}")]
    Root {
        /// The root before the block.
        expected: B256,
        /// The root of the witness.
        found: B256,
    },
    /// A code in the witness is of a machine that does not run here.
    #[error("the witness has a code of machine {0}, which is not registered")]
    Machine(MachineKind),
    /// The block is invalid, or the witness lacks something that it reads.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The witness lacks something that the new root needs.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Executes a block with nothing but a witness of the state before it, whose
/// root is `before`.
///
/// # Errors
/// The witness is of another state or not enough, or the block is invalid.
pub fn stateless(
    machines: &Machines,
    block: &Block,
    witness: &Witness,
    before: &B256,
) -> Result<Reexecuted, StatelessError> {
    let found = witness.trie().root();
    if found != *before {
        return Err(StatelessError::Root { expected: *before, found });
    }
    let view = WitnessView::new(witness, machines)?;
    let output = Sequential::new().execute(machines, &view, block)?;
    let cells = Changes::of(&view, &output)?.cells(&view)?;
    let changes: Vec<Change> = cells.iter().map(CellChange::change).collect();
    let mut trie = witness.trie().clone();
    trie.update(&changes).map_err(StateError::Trie)?;
    Ok(Reexecuted { root: trie.root(), output, block_hashes: witness.block_hashes().clone() })
}

/// The state that a witness is of, as far as the witness has it.
struct WitnessView<'w> {
    witness: &'w Witness,
    codes: BTreeMap<B256, Arc<Code>>,
}

impl<'w> WitnessView<'w> {
    fn new(witness: &'w Witness, machines: &Machines) -> Result<Self, StatelessError> {
        let code = |(machine, bytes): &(MachineKind, Bytes)| {
            let hash = machines.code_hash(*machine, bytes);
            let hash = hash.ok_or(StatelessError::Machine(*machine))?;
            Ok((hash, Arc::new(Code::new(bytes.clone()))))
        };
        let codes = witness.codes().iter().map(code).collect::<Result<_, StatelessError>>()?;
        Ok(Self { witness, codes })
    }

    /// What the state holds at a key; `None` where it surely holds nothing.
    fn cell(&self, path: &Path, key: impl FnOnce() -> Key) -> Result<Option<&Cell>, ViewError> {
        match (self.witness.trie().get(path), self.witness.cell(path)) {
            (Lookup::Absent, _) => Ok(None),
            (Lookup::Present(_), Some((_, cell))) => Ok(Some(cell)),
            (Lookup::Present(_) | Lookup::Closed, _) => {
                Err(ViewError::Store(format!("the witness lacks {}", key())))
            }
        }
    }
}

/// A cell at the path of another kind of key: two keys with one path.
fn misplaced() -> ViewError {
    ViewError::Store(String::from("the witness has a slot where an account is, or the reverse"))
}

impl View for WitnessView<'_> {
    fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        let path = Key::path_of_row(&Owner::of(account).record_row());
        match self.cell(&path, || Key::Account(*account))? {
            None => Ok(None),
            Some(Cell::Account(record)) => Ok(Some(*record)),
            Some(Cell::Slot(_)) => Err(misplaced()),
        }
    }

    fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        let path = Key::path_of_row(&Owner::of(account).slot_row(key));
        match self.cell(&path, || Key::Slot(*account, key.clone()))? {
            None => Ok(Value::Empty),
            Some(Cell::Slot(value)) => Ok(value.clone()),
            Some(Cell::Account(_)) => Err(misplaced()),
        }
    }

    fn code(&self, hash: &B256) -> Result<Arc<Code>, ViewError> {
        self.codes.get(hash).cloned().ok_or(ViewError::MissingCode(*hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        let hash = self.witness.block_hashes().get(&number);
        hash.copied().ok_or(ViewError::MissingBlockHash(number))
    }
}

impl Slots for WitnessView<'_> {
    /// All of the account's subtree has to be open, and every leaf in it has to
    /// have its key: so none is left out.
    fn slots(&self, account: &AccountId) -> Result<Vec<LocalKey>, StateError> {
        let prefix = Owner::of(account).path();
        let leaves = self.witness.trie().leaves(&prefix, Owner::PREFIX_BITS)?;
        let mut keys = Vec::new();
        for leaf in leaves.iter().filter(|leaf| !is_sentinel(&leaf.path)) {
            let (key, _) = self.witness.cell(&leaf.path).ok_or_else(|| {
                let text = format!("the witness lacks the key at path {}", leaf.path);
                StateError::View(ViewError::Store(text))
            })?;
            if let Key::Slot(owner, key) = key
                && owner == account
            {
                keys.push(key.clone());
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }
}
