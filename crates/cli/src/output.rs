//! What every command writes: results to the standard output, the story to the
//! standard error.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Write};

/// Writes a result and a line break.
pub(crate) fn result(text: &str) -> eyre::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}") {
        // The reader has seen enough: `polity run … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> eyre::Result<()> {
    result(&serde_json::to_string_pretty(value)?)
}

/// Tells why a command could not run, with the causes.
pub(crate) fn error(error: &eyre::Report) {
    let mut told = error.to_string();
    story(&format!("error: {told}"));
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors say their cause themselves.
        if !told.contains(&cause) {
            story(&format!("  because: {cause}"));
        }
        told = cause;
    }
}

/// Tells something that is not a result.
pub(crate) fn story(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A bar on the standard error, shown where that is a terminal.
pub(crate) fn progress(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_prefix(what);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A table with right-aligned columns, except for the first `left`.
pub(crate) fn table(head: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    // A result must not depend on the terminal's width.
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}
