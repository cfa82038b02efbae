//! What was edited before a block, in the form in which it is stored: whoever
//! executes the block again begins where it began.

use borsh::{BorshDeserialize, BorshSerialize};
use polity_state::{Changes, StateError, StateView};
use polity_types::Value;
use polity_verify::{Cell, Key};

/// The rows that were set, and the codes.
#[derive(BorshSerialize, BorshDeserialize)]
struct Edits {
    cells: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    codes: Vec<(polity_types::B256, Vec<u8>)>,
}

/// The bytes of edits of a state; `None` where nothing was edited.
///
/// # Errors
/// The state failed.
pub(super) fn encode(edits: &Changes, of: &StateView) -> Result<Option<Vec<u8>>, StateError> {
    let cells = edits.cells(of)?.into_iter();
    let cells = cells.map(|change| (change.row, change.cell.map(|cell| cell.to_vec()))).collect();
    let codes = edits.codes().map(|(hash, bytes)| (*hash, bytes.to_vec())).collect();
    let edits = Edits { cells, codes };
    if edits.cells.is_empty() && edits.codes.is_empty() {
        return Ok(None);
    }
    let bytes = borsh::to_vec(&edits);
    bytes.map(Some).map_err(|error| StateError::Corrupt(error.to_string()))
}

/// The edits with these bytes.
///
/// # Errors
/// They are none; the text says why.
pub(super) fn decode(bytes: &[u8]) -> Result<Changes, String> {
    let stored: Edits = borsh::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut edits = Changes::new();
    for (row, cell) in stored.cells {
        let cell = cell.as_deref();
        match Key::from_row(&row).map_err(|error| error.to_string())? {
            Key::Account(account) => {
                let record = cell.map(Cell::record).transpose();
                edits.set_account(account, record.map_err(|error| error.to_string())?);
            }
            Key::Slot(account, key) => {
                let value = cell.map(Cell::value).transpose().map_err(|error| error.to_string())?;
                let value = value.unwrap_or(Value::Empty);
                edits.set_slot(account, key, value).map_err(|error| error.to_string())?;
            }
        }
    }
    for (hash, code) in stored.codes {
        edits.set_code(hash, code.into());
    }
    Ok(edits)
}
