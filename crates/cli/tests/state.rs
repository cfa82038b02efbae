//! `polity state` from outside.

#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// An account of the sample chain that has sent transactions.
const SENDER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `polity state …` on the data folder with this name.
    fn run(&self, data: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polity"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLITY_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).arg("state").args(arguments);
        command.env("POLITY_DATA_DIR", data).output().unwrap()
    }

    /// The same, which has to succeed, as JSON.
    fn json(&self, data: &str, arguments: &[&str]) -> Value {
        let output = self.run(data, &[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The same, which has to be refused with these words.
    fn refused(&self, data: &str, arguments: &[&str], words: &[&str]) {
        let output = self.run(data, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}: a result in spite of an error");
        for word in words {
            assert!(stderr(&output).contains(word), "{arguments:?}: {}", stderr(&output));
        }
    }

    /// The sample chain, in the data folder `data`.
    fn with_sample_chain() -> Self {
        let place = Self::new();
        place.json("data", &["init", "--from", sample_chain().to_str().unwrap()]);
        place
    }
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn sample_chain() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chain")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).unwrap().as_str().unwrap()
}

#[test]
fn the_sample_chain_is_committed_and_read() {
    let place = Place::with_sample_chain();
    let root = place.json("data", &["root"]);
    assert_eq!(root.get("height").unwrap(), 10);
    let plain = place.run("data", &["root"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap().trim(), text(&root, "root"));
    let genesis = place.json("data", &["root", "--height", "0"]);
    assert_ne!(genesis.get("root"), root.get("root"));

    let now = place.json("data", &["get", SENDER]);
    let then = place.json("data", &["get", SENDER, "--height", "0"]);
    assert_eq!(now.get("exists").unwrap(), true);
    assert_eq!(then.get("sequence").unwrap(), 0);
    assert!(now.get("sequence").unwrap().as_u64().unwrap() > 0);
    let nobody = place.json("data", &["get", "0x00000000000000000000000000000000000000aa"]);
    assert_eq!(nobody.get("exists").unwrap(), false);

    let stats = place.json("data", &["stats"]);
    let number = |name: &str| stats.get(name).unwrap().as_u64().unwrap();
    assert!(number("accounts") > 10 && number("slots") > 10, "{stats}");
    assert!(number("valueBytes") > 0 && number("trieBytes") > 0, "{stats}");
    let verified = place.json("data", &["verify"]);
    assert_eq!(verified.get("valid").unwrap(), true);
    assert_eq!(
        verified.get("cells").unwrap().as_u64().unwrap(),
        number("accounts") + number("slots")
    );
}

#[test]
fn a_proof_holds_for_its_root_only() {
    let place = Place::with_sample_chain();
    let proven = place.json("data", &["prove", SENDER, "0x1", "--out", "proof"]);
    let root = text(&proven, "root").to_owned();
    let verified = place.json("nowhere", &["verify", "proof", "--root", &root]);
    assert_eq!(verified.get("valid").unwrap(), true);
    assert_eq!(verified.get("claims"), proven.get("claims"));

    let hex = place.json("data", &["prove", SENDER]);
    place.json("nowhere", &["verify", text(&hex, "proof"), "--root", &root]);

    let genesis = place.json("data", &["root", "--height", "0"]);
    let other = place.run("nowhere", &["verify", "proof", "--root", text(&genesis, "root")]);
    assert_eq!(other.status.code(), Some(1));
    let mut changed = fs::read(place.path("proof")).unwrap();
    let middle = changed.len() / 2;
    *changed.get_mut(middle).unwrap() ^= 1;
    fs::write(place.path("changed"), changed).unwrap();
    let changed = place.run("nowhere", &["verify", "changed", "--root", &root]);
    assert_eq!(changed.status.code(), Some(1), "{}", stderr(&changed));
    place.refused("nowhere", &["verify", "absent", "--root", &root], &["absent"]);
}

#[test]
fn a_snapshot_makes_the_same_state_elsewhere() {
    let place = Place::with_sample_chain();
    let exported = place.json("data", &["export", "snapshot"]);
    let root = text(&exported, "root").to_owned();
    place.refused("data", &["export", "snapshot"], &["snapshot"]);

    let imported = place.json("copy", &["import", "snapshot", "--root", &root]);
    assert_eq!(imported, exported);
    place.json("copy", &["verify", "--root", &root]);
    place.refused("copy", &["import", "snapshot"], &["holds a state already"]);
    place.json("copy", &["export", "again"]);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert_eq!(read("snapshot"), read("again"));

    let wrong = root.replace('1', "2");
    place.refused("other", &["import", "snapshot", "--root", &wrong], &["root"]);
    place.refused("other", &["import", "snapshot", "--chain-id", "1"], &["chain"]);
    let cut = read("snapshot");
    fs::write(place.path("cut"), cut.get(..cut.len() - 40).unwrap()).unwrap();
    place.refused("other", &["import", "cut"], &["damaged"]);
    place.refused("other", &["root"], &["holds no state"]);
    place.json("other", &["import", "snapshot"]);
}

#[test]
fn what_is_wrong_with_a_folder_is_told() {
    let place = Place::new();
    for arguments in [vec!["root"], vec!["stats"], vec!["verify"], vec!["get", SENDER]] {
        place.refused("nowhere", &arguments, &["nowhere/state", "holds no state"]);
    }
    let place = Place::with_sample_chain();
    place.refused("data", &["get", "0x12"], &["20 bytes"]);
    place.refused("data", &["root", "--height", "11"], &["11"]);
    place.refused("data", &["init", "--from", "absent"], &["absent"]);
    let chain = sample_chain();
    let chain = chain.to_str().unwrap();
    place.refused("data", &["init", "--from", chain], &["holds a state already"]);
    let format = place.path("data/state/FORMAT");
    let newer = fs::read_to_string(&format).unwrap().replace("format 2", "format 9");
    fs::write(&format, newer).unwrap();
    place.refused("data", &["root"], &["format 9", "newer"]);
    fs::write(&format, "something else").unwrap();
    place.refused("data", &["root"], &["FORMAT"]);
}

#[test]
fn a_trie_that_is_gone_is_rebuilt() {
    let place = Place::with_sample_chain();
    let root = place.json("data", &["root"]);
    fs::write(place.path("data/state/trie/ht"), "").unwrap();
    place.refused("data", &["root"], &["trie"]);
    assert_eq!(place.json("data", &["rebuild"]), root);
    assert_eq!(place.json("data", &["root"]), root);
    place.json("data", &["verify"]);
}

#[test]
fn one_block_folder_is_enough_for_a_state() {
    let place = Place::new();
    let chain = sample_chain();
    place.refused("all", &["init", "--from", chain.join("contracts").to_str().unwrap()], &[]);
    let block = chain.join("4");
    let root = place.json("block", &["init", "--from", block.to_str().unwrap()]);
    assert_eq!(root.get("height").unwrap(), 4);
    place.json("block", &["verify"]);
    let genesis = chain.join("genesis.json");
    let root = place.json("genesis", &["init", "--from", genesis.to_str().unwrap()]);
    assert_eq!(root.get("height").unwrap(), 0);
}
