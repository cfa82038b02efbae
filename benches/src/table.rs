//! Results to the standard output, the story to the standard error.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::io::{self, Write};

/// Writes a result and a line break.
pub(crate) fn result(text: &str) -> eyre::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Tells something that is not a result.
pub(crate) fn story(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A Markdown table with right-aligned columns, except for the first.
pub(crate) fn markdown(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
