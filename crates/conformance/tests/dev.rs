//! A sample of the real tests, where there is some test data.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

use std::{
    env, fs,
    fs::File,
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
};

use polity_conformance::{Options, Report, json, run, table};
use ruzstd::decoding::StreamingDecoder;

const VARIABLE: &str = "POLITY_DATA";
const ARCHIVE: &str = "evm-dev.tar.zst";

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

/// The folder of unpacked test data.
fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os(VARIABLE).filter(|value| !value.is_empty())?);
    let archive = folder.join(ARCHIVE);
    Some(if archive.is_file() { unpacked(&archive) } else { folder })
}

/// Unpacks what is tested into a folder for temporary files, once per archive.
fn unpacked(archive: &Path) -> PathBuf {
    let metadata = archive.metadata().unwrap();
    let modified = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let name = format!("polity-conformance-{}-{}", metadata.len(), modified.as_secs());
    let target = env::temp_dir().join(name);
    if target.is_dir() {
        return target;
    }
    let parts = tempfile::tempdir_in(env::temp_dir()).unwrap();
    let mut reader = BufReader::new(File::open(archive).unwrap());
    let mut entries = tar::Archive::new(StreamingDecoder::new(&mut reader).unwrap());
    for entry in entries.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path).to_path_buf();
        let wanted = path.starts_with("state") || path.starts_with("blockchain");
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if wanted && inside && entry.header().entry_type().is_file() {
            let path = parts.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = BufWriter::new(File::create(path).unwrap());
            std::io::copy(&mut entry, &mut file).unwrap();
        }
    }
    // If another process was faster, its folder has the same content.
    if fs::rename(parts.keep(), &target).is_err() {
        assert!(target.is_dir());
    }
    target
}

fn sample(root: &Path, options: &Options<'_>) -> Report {
    let paths: Vec<PathBuf> = SAMPLE.iter().map(|path| root.join(path)).collect();
    run(&paths, options).unwrap()
}

#[test]
fn a_sample_of_the_real_tests_passes() {
    let Some(root) = data() else {
        println!("skipped: {VARIABLE} unset");
        return;
    };
    let report = sample(&root, &Options::default());
    println!("{}", table(&report));
    assert!(report.is_success());
    assert!(report.total().passed > 2_000);

    let one = Options { threads: Some(core::num::NonZeroUsize::MIN), ..Options::default() };
    let again = Report { milliseconds: report.milliseconds, ..sample(&root, &one) };
    assert_eq!(again, report, "the number of threads shows in the report");
    assert!(json(&report).is_ok());
}
