//! Stands in for a linker that is not used.

use std::{error::Error, fmt};

/// An error that never happens.
#[derive(Debug)]
pub struct LinkerError;

impl fmt::Display for LinkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LLVM is not here")
    }
}

impl Error for LinkerError {}
