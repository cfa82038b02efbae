//! The rules that the compiler cannot hold, held by a test.
//!
//! [`tidy`] reads a checkout and lists every place where it breaks a rule of the house:
//!
//! - [`manifests`]: which crate may depend on which, and how a manifest declares it;
//! - [`sources`]: file sizes, `no_std`, `unsafe`, and a kernel that knows no machine by name;
//! - [`text`]: no file depends on one particular computer or registry.
//!
//! `cargo run -p xtask -- tidy` prints the list; `cargo test` fails unless it is empty.

#![forbid(unsafe_code)]

pub mod code;
pub mod manifests;
pub mod rooms;
pub mod sources;
pub mod text;
pub mod tree;

use std::fmt;

pub use tree::Tree;

/// One broken rule: where it is broken, how, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// A path from the repository root, with `:line` where a line is to blame.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

impl Violation {
    pub(crate) fn new(
        place: impl Into<String>,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), what: what.into(), todo: todo.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.todo)
    }
}

/// Every violation in the tree, sorted by place.
pub fn tidy(tree: &Tree) -> Vec<Violation> {
    let mut found = manifests::check(tree);
    found.extend(sources::check(tree));
    found.extend(text::check(tree));
    found.sort();
    found
}
