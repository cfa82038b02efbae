//! A sample of the real tests, where there is some test data.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers as well")]

use std::path::{Path, PathBuf};

use polity_conformance::{Options, Report, json, run, table};
use polity_testkit::data;

/// One folder or file for each kind of rule and each fork there is.
const SAMPLE: [&str; 16] = [
    "blockchain/dev/bcBlockGasLimitTest",
    "blockchain/dev/bcEIP1153-transientStorage",
    "blockchain/dev/bcEIP1559",
    "blockchain/dev/bcEIP4844-blobtransactions",
    "blockchain/dev/bcExample",
    "blockchain/dev/bcValidBlockTest",
    "state/dev/eest/cancun/eip1153_tstore",
    "state/dev/eest/cancun/eip4844_blobs",
    "state/dev/eest/prague/eip7702_set_code_tx",
    "state/dev/eest/shanghai",
    "state/dev/eest-osaka",
    "state/dev/ethereum-tests/stCreate2",
    "state/dev/ethereum-tests/stEIP2930",
    "state/dev/ethereum-tests/stEIP3607",
    "state/dev/ethereum-tests/stExample",
    "state/dev/ethereum-tests/stTransactionTest",
];

fn sample(root: &Path, options: &Options<'_>) -> Report {
    let paths: Vec<PathBuf> = SAMPLE.iter().map(|path| root.join(path)).collect();
    run(&paths, options).unwrap()
}

#[test]
fn a_sample_of_the_real_tests_passes() {
    let Some(root) = data::root() else { return };
    let report = sample(&root, &Options::default());
    println!("{}", table(&report));
    assert!(report.is_success());
    assert!(report.total().passed > 2_000);

    let one = Options { threads: Some(core::num::NonZeroUsize::MIN), ..Options::default() };
    let again = Report { milliseconds: report.milliseconds, ..sample(&root, &one) };
    assert_eq!(again, report, "the number of threads shows in the report");
    assert!(json(&report).is_ok());
}
