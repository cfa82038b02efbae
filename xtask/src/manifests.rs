//! Rules about manifests: the dependency law, names, and one place for versions and lints.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{Tree, Violation, rooms};

/// The dev-dependency that every crate may use, whatever its row.
const TESTKIT: &str = "testkit";

/// A package of the workspace.
struct Package {
    /// The path from the repository root.
    folder: String,
    name: String,
    /// The room's folder under `crates/` and its row; `None` for tools beside the house.
    room: Option<(String, usize)>,
    manifest: Table,
}

/// One dependency as a manifest declares it.
struct Dependency<'a> {
    section: String,
    dev: bool,
    key: &'a str,
    value: &'a Value,
}

/// Checks every rule of this module.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let root = tree.get("Cargo.toml").and_then(|text| parse("Cargo.toml", text, &mut found));
    let packages = packages(tree, &mut found);
    let aliases = aliases(root.as_ref());
    for package in &packages {
        found.extend(dependency_law(package, &packages, &aliases));
        found.extend(inheritance(package));
    }
    found
}

/// Reads all packages and reports those that are no room or carry a wrong name.
fn packages(tree: &Tree, found: &mut Vec<Violation>) -> Vec<Package> {
    let mut packages = Vec::new();
    for (path, text) in tree.iter() {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let Some(manifest) = parse(path, text, found) else {
            continue;
        };
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let room = match folder.strip_prefix("crates/") {
            Some(room) => {
                let expected = rooms::package_name(room);
                if name != expected {
                    found.push(Violation::new(
                        path,
                        format!("the package is named `{name}`"),
                        format!("name it `{expected}`, after its folder"),
                    ));
                }
                let row = rooms::row(room);
                if row.is_none() {
                    found.push(Violation::new(
                        path,
                        format!("`crates/{room}` is not a room of the house"),
                        "give it a row in ROWS of xtask/src/rooms.rs, or move it",
                    ));
                }
                row.map(|row| (room.to_owned(), row))
            }
            None => None,
        };
        packages.push(Package { folder: folder.to_owned(), name, room, manifest });
    }
    packages
}

/// A crate imports only crates of rows above its own.
fn dependency_law(
    package: &Package,
    packages: &[Package],
    aliases: &BTreeMap<&str, &str>,
) -> Vec<Violation> {
    let Some((folder, row)) = &package.room else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for dependency in dependencies(&package.manifest) {
        let renamed = dependency.value.get("package").and_then(Value::as_str);
        let name =
            renamed.or_else(|| aliases.get(dependency.key).copied()).unwrap_or(dependency.key);
        let Some(target) = packages.iter().find(|package| package.name == name) else {
            continue;
        };
        let place = format!("{}/Cargo.toml", package.folder);
        let Dependency { section, dev, .. } = &dependency;
        match &target.room {
            Some((_, above)) if above < row => {}
            Some((other, _))
                if folder.starts_with("machines/") && other.starts_with("machines/") =>
            {
                found.push(Violation::new(
                    place,
                    format!("[{section}] `{name}`: machines never depend on each other"),
                    "go through the kernel's host, or move what both need above the machines",
                ));
            }
            Some((other, _)) => found.push(Violation::new(
                place,
                format!("[{section}] `{name}`: `{other}` is not in a row above `{folder}`"),
                "move the shared part up, or the code that needs it down",
            )),
            None if *dev && target.folder == TESTKIT => {}
            None => found.push(Violation::new(
                place,
                format!("[{section}] `{name}`: `{}` is no room of the house", target.folder),
                "move what is needed into a room (only dev-dependencies may use testkit)",
            )),
        }
    }
    found
}

/// Versions and lints are declared once, in the workspace.
fn inheritance(package: &Package) -> Vec<Violation> {
    let manifest = &package.manifest;
    // A workspace of its own (a fuzz target, a zkVM guest) has nothing to inherit from.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let place = format!("{}/Cargo.toml", package.folder);
    let mut found = Vec::new();
    for Dependency { section, key, value, .. } in dependencies(manifest) {
        if !inherits(Some(value)) {
            found.push(Violation::new(
                &place,
                format!("[{section}] `{key}` is not taken from the workspace"),
                format!(
                    "declare it in [workspace.dependencies] and write `{key}.workspace = true`"
                ),
            ));
        }
    }
    if !inherits(manifest.get("lints")) {
        found.push(Violation::new(
            &place,
            "does not use the workspace lints",
            "add `[lints] workspace = true`",
        ));
    }
    found
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// All dependencies of a manifest, those for one target only included.
fn dependencies(manifest: &Table) -> Vec<Dependency<'_>> {
    const SECTIONS: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets
        .filter_map(|(target, table)| Some((format!("target.{target}."), table.as_table()?)))
        .chain([(String::new(), manifest)]);
    let mut found = Vec::new();
    for (prefix, table) in tables {
        for section in SECTIONS {
            let entries = table.get(*section).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(key, value)| Dependency {
                section: format!("{prefix}{section}"),
                dev: *section == "dev-dependencies",
                key,
                value,
            }));
        }
    }
    found
}

/// The workspace dependencies that are used under another name than their package's.
fn aliases(root: Option<&Table>) -> BTreeMap<&str, &str> {
    root.and_then(|root| root.get("workspace"))
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.get("package")?.as_str()?)))
        .collect()
}

fn parse(path: &str, text: &str, found: &mut Vec<Violation>) -> Option<Table> {
    match text.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            let reason = format!("is not TOML: {error}");
            found.push(Violation::new(path, reason.trim(), "correct it"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a workspace of these packages, each a folder and what follows the name and lints.
    fn check_packages(packages: &[(&str, &str)]) -> Vec<String> {
        let root = "[workspace.dependencies]\nother = { package = \"polity-svm\", path = \"a\" }";
        let files = packages.iter().map(|(folder, rest)| {
            let name = match folder.strip_prefix("crates/") {
                Some(room) => rooms::package_name(room),
                None => (*folder).to_owned(),
            };
            let text = format!("lints.workspace = true\npackage.name = \"{name}\"\n{rest}");
            (format!("{folder}/Cargo.toml"), text)
        });
        let tree = files.chain([("Cargo.toml".to_owned(), root.to_owned())]).collect();
        check(&tree).iter().map(ToString::to_string).collect()
    }

    fn uses(section: &str, name: &str) -> String {
        format!("[{section}]\n{name}.workspace = true\n")
    }

    #[track_caller]
    fn fails(packages: &[(&str, &str)], expected: &str) {
        let found = check_packages(packages);
        assert!(found.len() == 1 && found.iter().all(|v| v.contains(expected)), "{found:?}");
    }

    #[test]
    fn imports_from_above_pass() {
        let found = check_packages(&[
            ("crates/types", "[dependencies]\nserde.workspace = true"),
            ("crates/kernel", "[dependencies]\npolity-types = { workspace = true }"),
            ("crates/machines/evm", &uses("dependencies", "polity-kernel")),
            ("crates/cli", &uses("build-dependencies", "polity-evm")),
            ("xtask", &uses("dependencies", "polity-evm")),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn imports_from_below_fail_in_every_section() {
        for section in [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let types = uses(section, "polity-kernel");
            let packages = [("crates/types", types.as_str()), ("crates/kernel", "")];
            fails(&packages, "`kernel` is not in a row above `types`");
        }
        fails(
            &[
                ("crates/replay", &uses("dependencies", "polity-conformance")),
                ("crates/conformance", ""),
            ],
            "`conformance` is not in a row above `replay`",
        );
    }

    #[test]
    fn machines_that_know_each_other_fail_under_any_name() {
        for import in [
            uses("dependencies", "polity-svm"),
            uses("dependencies", "other"),
            "[dependencies]\nx = { workspace = true, package = \"polity-svm\" }".to_owned(),
        ] {
            let packages = [("crates/machines/evm", import.as_str()), ("crates/machines/svm", "")];
            fails(&packages, "machines never depend on each other");
        }
    }

    #[test]
    fn testkit_is_for_tests() {
        let testkit = ("testkit", "");
        let tests = uses("dev-dependencies", "testkit");
        assert!(check_packages(&[("crates/types", &tests), testkit]).is_empty());
        fails(&[("crates/types", &uses("dependencies", "testkit")), testkit], "only dev-dep");
        fails(&[("crates/types", &uses("dev-dependencies", "xtask")), ("xtask", "")], "no room");
    }

    #[test]
    fn crates_without_a_room_fail() {
        fails(&[("crates/attic", "")], "`crates/attic` is not a room");
    }

    #[test]
    fn wrong_names_fail() {
        let manifest = "lints.workspace = true\npackage.name = \"kernel\"";
        let tree = Tree::from_iter([("crates/kernel/Cargo.toml", manifest)]);
        let found = check(&tree);
        assert!(found.iter().any(|v| v.todo.contains("`polity-kernel`")), "{found:?}");
    }

    #[test]
    fn versions_outside_the_workspace_fail() {
        for value in
            ["\"1\"", "{ version = \"1\" }", "{ path = \"../a\" }", "{ workspace = false }"]
        {
            let manifest = format!("[dependencies]\nserde = {value}");
            fails(&[("crates/types", &manifest)], "`serde` is not taken from the workspace");
            fails(&[("testkit", &manifest)], "`serde` is not taken from the workspace");
        }
        let own = "[workspace]\n[dependencies]\nserde = \"1\"";
        assert!(check_packages(&[("fuzz", own)]).is_empty());
    }

    #[test]
    fn missing_lints_fail() {
        let tree = Tree::from_iter([("xtask/Cargo.toml", "package.name = \"xtask\"")]);
        let found = check(&tree);
        assert!(found.len() == 1 && found.iter().all(|v| v.what.contains("lints")), "{found:?}");
    }

    #[test]
    fn broken_manifests_fail() {
        let tree = Tree::from_iter([("crates/types/Cargo.toml", "[package")]);
        assert!(check(&tree).iter().any(|v| v.what.starts_with("is not TOML")));
    }
}
