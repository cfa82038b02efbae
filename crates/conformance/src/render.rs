//! A report as text, as JSON, and as JUnit's XML.

use core::fmt::Write as _;

use crate::{Failure, FileSummary, Report, Total};

/// Failures shown in the text; all are in the JSON.
const SHOWN: usize = 50;

/// The report as a text table: totals by folder and fork, skips with their
/// reasons, failures.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    totals(&mut text, report);
    let mut line = |args: core::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = text.write_fmt(args);
        text.push('\n');
    };
    for skipped in &report.skipped {
        line(format_args!("skipped {}: {}", skipped.tests, skipped.reason));
    }
    if report.ignored > 0 {
        line(format_args!("ignored {} JSON files without tests", report.ignored));
    }
    for unreadable in report.unreadable() {
        line(format_args!("unreadable: {unreadable}"));
    }
    for failure in report.failures.iter().take(SHOWN) {
        line(format_args!("failed: {failure}"));
    }
    if let Some(more @ 1..) = report.failures.len().checked_sub(SHOWN) {
        line(format_args!("and {more} more failures"));
    }
    let millis = report.milliseconds;
    line(format_args!(
        "{} files, {}.{:01} s",
        report.files.len(),
        millis / 1_000,
        millis % 1_000 / 100
    ));
    text
}

fn totals(text: &mut String, report: &Report) {
    let sum = Total { folder: "total".into(), ..report.total() };
    let header = ["folder", "fork", "passed", "failed", "skipped"].map(String::from);
    let rows: Vec<[String; 5]> = core::iter::once(header)
        .chain(report.totals.iter().chain([&sum]).map(|total| {
            [
                total.folder.clone(),
                total.fork.clone(),
                total.passed.to_string(),
                total.failed.to_string(),
                total.skipped.to_string(),
            ]
        }))
        .collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        for (column, (width, cell)) in widths.into_iter().zip(row).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                1 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
}

/// The report as JSON.
///
/// # Errors
/// None that is known of: the report has no map and no number that JSON cannot
/// hold.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report)
}

/// The report as JUnit's XML: a suite per folder would hide where a test is, a
/// case per test would be hundreds of megabytes, so a suite is a file, and its
/// cases are the file's failures and one for all that passed.
pub fn junit(report: &Report) -> String {
    let total = report.total();
    let unreadable = report.unreadable().count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"polity conformance\" tests=\"{}\" failures=\"{}\" errors=\"{unreadable}\">",
        total.passed + total.failed + total.skipped + unreadable,
        total.failed,
    );
    let mut failures = report.failures.iter().peekable();
    for file in &report.files {
        suite(&mut xml, file);
        while let Some(failure) = failures.next_if(|failure| failure.file == file.file) {
            failed(&mut xml, failure);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, file: &FileSummary) {
    let FileSummary { file: name, passed, failed, skipped, unreadable } = file;
    let name = escape(name);
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" errors=\"{}\" \
         skipped=\"{skipped}\">",
        passed + failed + skipped + unreadable.len(),
        unreadable.len(),
    );
    if *passed > 0 {
        let _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"{passed} passed\"/>");
    }
    if *skipped > 0 {
        let _ = writeln!(
            xml,
            "    <testcase classname=\"{name}\" name=\"{skipped} skipped\"><skipped/></testcase>"
        );
    }
    for message in unreadable {
        let _ = writeln!(
            xml,
            "    <testcase classname=\"{name}\" name=\"unreadable\">\
             <error message=\"{}\"/></testcase>",
            escape(message)
        );
    }
}

fn failed(xml: &mut String, failure: &Failure) {
    let index = failure.index.as_ref().map_or_else(String::new, |index| format!(", {index}"));
    let _ = writeln!(
        xml,
        "    <testcase classname=\"{}\" name=\"{} [{}{index}]\"><failure message=\"{}\"/>\
         </testcase>",
        escape(&failure.file),
        escape(&failure.test),
        escape(&failure.fork),
        escape(&failure.difference.to_string()),
    );
}

/// Text inside an attribute. What XML 1.0 cannot hold at all is replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Difference, TestKind,
        report::{Case, FileResult, Outcome},
    };

    fn report() -> Report {
        let case = |outcome| Case {
            test: "a<b>\"&'".into(),
            kind: TestKind::State,
            fork: "Cancun".into(),
            index: Some("data 0, gas 1, value 2".into()),
            outcome,
        };
        let result = FileResult {
            folder: "f".into(),
            file: "f/a.json".into(),
            cases: vec![
                case(Outcome::Passed),
                case(Outcome::Skipped("because")),
                case(Outcome::Failed(Difference::new("hash", 1, "2\u{1}"))),
            ],
            unreadable: vec!["f/a.json: u: at env".into()],
        };
        let empty = FileResult { file: "f/index.json".into(), ..FileResult::default() };
        Report::new([result, empty], 2, 1_234)
    }

    #[test]
    fn the_table_has_everything() {
        let text = table(&report());
        let expected = "\
folder  fork    passed  failed  skipped
f       Cancun       1       1        1
total                1       1        1
skipped 1: because
ignored 3 JSON files without tests
unreadable: f/a.json: u: at env
failed: f/a.json
  a<b>\"&' [Cancun, data 0, gas 1, value 2]
  hash: expected 1, found 2\u{1}
1 files, 1.2 s
";
        assert_eq!(text, expected);
        assert!(!report().is_success());
    }

    #[test]
    fn the_xml_is_escaped() {
        let xml = junit(&report());
        assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("name=\"a&lt;b&gt;&quot;&amp;&apos; [Cancun, data 0"), "{xml}");
        assert!(xml.contains("found 2\u{fffd}\""), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 4);
    }

    #[test]
    fn the_json_is_that_of_the_fields() {
        let value: serde_json::Value = serde_json::from_str(&json(&report()).unwrap()).unwrap();
        assert_eq!(value["failures"][0]["difference"]["what"], "hash");
        assert_eq!(value["totals"][0]["passed"], 1);
        assert_eq!(value["ignored"], 3);
    }

    #[test]
    fn no_tests_are_no_success() {
        assert!(!Report::default().is_success());
    }
}
