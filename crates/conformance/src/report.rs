//! What a run found.

use core::fmt;
use std::collections::BTreeMap;

use serde::Serialize;

/// The format of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestKind {
    /// One transaction on a state.
    State,
    /// Blocks on a genesis.
    Blockchain,
}

impl fmt::Display for TestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::State => "state",
            Self::Blockchain => "blockchain",
        })
    }
}

/// What differs from the expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The thing that differs.
    pub what: String,
    /// What the test says.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Difference {
    pub(crate) fn new(what: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        Self { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its file.
    pub file: String,
    /// Its name in the file.
    pub test: String,
    /// Its format.
    pub kind: TestKind,
    /// The fork or network.
    pub fork: String,
    /// Which variant of a state test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// What differs.
    pub difference: Difference,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {} [{}", self.file, self.test, self.fork)?;
        if let Some(index) = &self.index {
            write!(f, ", {index}")?;
        }
        write!(f, "]\n  {}", self.difference)
    }
}

/// How many tests of a folder ran for a fork. A variant of a state test at one
/// fork counts as a test, and so does a blockchain test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The folder.
    pub folder: String,
    /// The fork or network.
    pub fork: String,
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
}

/// How many tests were not run for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The reason.
    pub reason: &'static str,
    /// How many tests.
    pub tests: usize,
}

/// The counts of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// The file.
    pub file: String,
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
    /// Why the file, or tests in it, could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// What a run found. But for `milliseconds` it depends on the files and the
/// options alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By folder and fork, sorted.
    pub totals: Vec<Total>,
    /// Every failure, in the order of the files.
    pub failures: Vec<Failure>,
    /// By reason, sorted.
    pub skipped: Vec<Skipped>,
    /// Every file with tests, sorted.
    pub files: Vec<FileSummary>,
    /// JSON files without tests.
    pub ignored: usize,
    /// How long it took.
    pub milliseconds: u64,
}

impl Report {
    /// The sum over all folders and forks; its names are empty.
    pub fn total(&self) -> Total {
        self.totals.iter().fold(Total::default(), |mut sum, total| {
            sum.passed += total.passed;
            sum.failed += total.failed;
            sum.skipped += total.skipped;
            sum
        })
    }

    /// Why files, or tests in them, could not be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| &file.unreadable).map(String::as_str)
    }

    /// Whether every test that ran passed, at least one did, and everything
    /// could be read.
    pub fn is_success(&self) -> bool {
        let total = self.total();
        total.passed > 0 && total.failed == 0 && self.unreadable().next().is_none()
    }
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(Difference),
    Skipped(&'static str),
}

/// One test that ran, or did not.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) test: String,
    pub(crate) kind: TestKind,
    pub(crate) fork: String,
    pub(crate) index: Option<String>,
    pub(crate) outcome: Outcome,
}

/// What became of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileResult {
    pub(crate) folder: String,
    pub(crate) file: String,
    pub(crate) cases: Vec<Case>,
    pub(crate) unreadable: Vec<String>,
}

impl Report {
    /// Sums up files, given in their order.
    pub(crate) fn new(
        results: impl IntoIterator<Item = FileResult>,
        mut ignored: usize,
        milliseconds: u64,
    ) -> Self {
        let mut totals = BTreeMap::new();
        let mut skipped = BTreeMap::new();
        let mut failures = Vec::new();
        let mut files = Vec::new();
        for FileResult { folder, file, cases, unreadable } in results {
            if cases.is_empty() && unreadable.is_empty() {
                ignored += 1;
                continue;
            }
            let mut summary = FileSummary { file, unreadable, ..FileSummary::default() };
            for Case { test, kind, fork, index, outcome } in cases {
                let key = (folder.clone(), fork);
                let total = totals.entry(key.clone()).or_insert_with(|| Total {
                    folder: key.0,
                    fork: key.1.clone(),
                    ..Total::default()
                });
                match outcome {
                    Outcome::Passed => {
                        total.passed += 1;
                        summary.passed += 1;
                    }
                    Outcome::Skipped(reason) => {
                        total.skipped += 1;
                        summary.skipped += 1;
                        *skipped.entry(reason).or_insert(0) += 1;
                    }
                    Outcome::Failed(difference) => {
                        total.failed += 1;
                        summary.failed += 1;
                        failures.push(Failure {
                            file: summary.file.clone(),
                            test,
                            kind,
                            fork: total.fork.clone(),
                            index,
                            difference,
                        });
                    }
                }
            }
            files.push(summary);
        }
        Self {
            totals: totals.into_values().collect(),
            failures,
            skipped: skipped.into_iter().map(|(reason, tests)| Skipped { reason, tests }).collect(),
            files,
            ignored,
            milliseconds,
        }
    }
}
