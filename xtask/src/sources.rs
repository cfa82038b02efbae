//! Rules about Rust sources.

use crate::{
    Tree, Violation,
    code::{self, Strings},
    rooms,
};

/// The most lines a source file may have.
pub const MAX_LINES: usize = 800;
/// The most lines a file under a `tests` or `benches` folder may have.
pub const MAX_TEST_LINES: usize = 1_200;

/// Checks every rule of this module.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = file_sizes(tree);
    found.extend(crate_attributes(tree));
    found.extend(no_unsafe(tree));
    found.extend(no_machine_names(tree));
    found
}

/// A file that nobody can hold in their head is several files.
fn file_sizes(tree: &Tree) -> Vec<Violation> {
    rust_files(tree.iter())
        .filter_map(|(path, text)| {
            let in_tests = path.split('/').any(|folder| matches!(folder, "tests" | "benches"));
            let limit = if in_tests { MAX_TEST_LINES } else { MAX_LINES };
            let lines = text.lines().count();
            (lines > limit).then(|| {
                Violation::new(
                    path,
                    format!("has {lines} lines, the limit is {limit}"),
                    "split it by subject",
                )
            })
        })
        .collect()
}

/// `lib.rs` carries the attributes that its room promises.
fn crate_attributes(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let rooms = rooms::NO_STD.iter().chain(rooms::FORBID_UNSAFE);
    let mut rooms: Vec<&str> = rooms.copied().collect();
    rooms.sort_unstable();
    rooms.dedup();
    for room in rooms {
        if tree.get(&format!("crates/{room}/Cargo.toml")).is_none() {
            continue;
        }
        let path = format!("crates/{room}/src/lib.rs");
        let Some(text) = tree.get(&path) else {
            found.push(Violation::new(path, "is missing", "make the crate a library"));
            continue;
        };
        let mut dense = code::strip(text, Strings::Keep);
        dense.retain(|c| !c.is_whitespace());
        let no_std = ["#![no_std]", "#![cfg_attr(not(feature=\"std\"),no_std)]"];
        if rooms::NO_STD.contains(&room) && !no_std.iter().any(|wanted| dense.contains(wanted)) {
            found.push(Violation::new(
                &path,
                "is not no_std, but runs inside a zkVM",
                "add `#![no_std]`, or `#![cfg_attr(not(feature = \"std\"), no_std)]`",
            ));
        }
        if rooms::FORBID_UNSAFE.contains(&room) && !dense.contains("#![forbid(unsafe_code)]") {
            found.push(Violation::new(
                &path,
                "does not forbid unsafe code",
                "add `#![forbid(unsafe_code)]`",
            ));
        }
    }
    found
}

/// The keyword `unsafe` does not occur where everything else rests on the code.
fn no_unsafe(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for room in rooms::NEVER_UNSAFE {
        for (path, text) in rust_files(tree.under(&format!("crates/{room}"))) {
            for (line, code) in numbered(&code::strip(text, Strings::Blank)) {
                if code::identifiers(code).any(|word| word == "unsafe") {
                    found.push(Violation::new(
                        format!("{path}:{line}"),
                        format!("`unsafe` in crates/{room}"),
                        "write it safely, or move it to a room below",
                    ));
                }
            }
        }
    }
    found
}

/// Machines are strangers to the kernel: no identifier, path or string names one.
fn no_machine_names(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for room in rooms::NAMELESS {
        for (path, text) in rust_files(tree.under(&format!("crates/{room}/src"))) {
            for (line, code) in numbered(&code::strip(text, Strings::Keep)) {
                for identifier in code::identifiers(code) {
                    let words = code::words(identifier);
                    if rooms::MACHINE_NAMES.iter().any(|name| words.iter().any(|w| w == name)) {
                        found.push(Violation::new(
                            format!("{path}:{line}"),
                            format!("`{identifier}` names a machine"),
                            "move it to that machine's crate, or say what it means for any machine",
                        ));
                    }
                }
            }
        }
    }
    found
}

fn rust_files<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    files.filter(|(path, _)| path.ends_with(".rs"))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "#![no_std]\n#![forbid(unsafe_code)]\n";

    fn kernel(lib: &str) -> Tree {
        Tree::from_iter([("crates/kernel/Cargo.toml", ""), ("crates/kernel/src/lib.rs", lib)])
    }

    fn only(violations: Vec<Violation>) -> String {
        assert_eq!(violations.len(), 1, "{violations:?}");
        violations.first().unwrap().to_string()
    }

    #[test]
    fn a_good_kernel_passes() {
        assert_eq!(check(&kernel(KERNEL)), []);
        let std_feature = KERNEL
            .replace("#![no_std]", "#![cfg_attr(\n    not(feature = \"std\"),\n    no_std,\n)]")
            .replace("no_std,\n", "no_std\n");
        assert_eq!(check(&kernel(&std_feature)), []);
    }

    #[test]
    fn long_files_fail() {
        let text = |lines| "\n".repeat(lines);
        let check = |path: &str, lines| file_sizes(&Tree::from_iter([(path, text(lines))]));
        assert_eq!(check("crates/x/src/lib.rs", MAX_LINES), []);
        assert!(only(check("crates/x/src/lib.rs", MAX_LINES + 1)).contains("801 lines"));
        assert_eq!(check("crates/x/tests/all.rs", MAX_TEST_LINES), []);
        assert_eq!(check("crates/x/benches/all.rs", MAX_TEST_LINES), []);
        assert!(only(check("crates/x/tests/all.rs", MAX_TEST_LINES + 1)).contains("1201 lines"));
        assert_eq!(check("docs/table.md", 5_000), []);
    }

    #[test]
    fn missing_attributes_fail() {
        assert!(only(check(&kernel("#![forbid(unsafe_code)]"))).contains("no_std"));
        assert!(only(check(&kernel("#![no_std]"))).contains("forbid"));
        assert_eq!(check(&kernel("// #![no_std]\n// #![forbid(unsafe_code)]")).len(), 2);
    }

    #[test]
    fn a_promising_crate_without_a_library_fails() {
        let tree = Tree::from_iter([("crates/kernel/Cargo.toml", "")]);
        assert!(only(check(&tree)).contains("lib.rs: is missing"));
    }

    #[test]
    fn unsafe_fails() {
        let lib = format!("{KERNEL}// unsafe here is prose\nconst S: &str = \"unsafe\";\n");
        assert_eq!(check(&kernel(&lib)), []);
        let lib = format!("{KERNEL}\nmacro_rules! m {{ () => {{ unsafe {{}} }} }}\n");
        assert!(only(check(&kernel(&lib))).starts_with("crates/kernel/src/lib.rs:4: `unsafe`"));
    }

    #[test]
    fn machine_names_fail() {
        for code in [
            "use polity_evm::Evm as _;",
            "struct SvmSession;",
            "const NAME: &str = \"starknet\";",
            "mod MoveVM {}",
            "fn for_ethereum() {}",
        ] {
            assert!(!check(&kernel(&format!("{KERNEL}{code}"))).is_empty(), "{code}");
        }
        for code in ["/// As Ethereum does it.", "/* the evm */", "enum Event { Moved, Wasm }"] {
            assert_eq!(check(&kernel(&format!("{KERNEL}{code}"))), [], "{code}");
        }
        let elsewhere = Tree::from_iter([("crates/engine/src/a.rs", "struct EvmThing;")]);
        assert_eq!(check(&elsewhere), []);
    }
}
