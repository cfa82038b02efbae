//! The rooms of the house, and what each promises.

/// The dependency law: folders under `crates/`, top row first. A crate may import only crates of
/// rows above its own, so two crates of one row (two machines, say) never import each other.
/// `machines/*` stands for every folder under `machines/`.
pub const ROWS: &[&[&str]] = &[
    &["types"],
    &["verify"],
    &["charter"],
    &["kernel"],
    &["machines/*"],
    &["engine"],
    &["state"],
    &["shard"],
    &["proof"],
    &["analysis"],
    &["remote"],
    &["node"],
    &["replay", "conformance"],
    &["cli"],
];

/// Rooms that also run inside a zkVM, where there is no operating system.
pub const NO_STD: &[&str] =
    &["types", "verify", "charter", "kernel", "machines/evm", "engine", "state"];

/// Rooms whose `lib.rs` forbids `unsafe`.
pub const FORBID_UNSAFE: &[&str] = &["types", "verify", "charter", "kernel", "engine", "state"];

/// Rooms in which the word `unsafe` does not occur at all, not even in macros that another crate
/// would expand.
pub const NEVER_UNSAFE: &[&str] = &["verify", "charter", "kernel"];

/// Rooms that know no machine by name.
pub const NAMELESS: &[&str] = &["types", "kernel"];

/// The names that [`NAMELESS`] rooms do not know.
pub const MACHINE_NAMES: &[&str] =
    &["evm", "ethereum", "solana", "svm", "aptos", "movevm", "starknet", "cairo", "cosmwasm"];

/// The row of a folder under `crates/`, or `None` for a folder that is no room of the house.
pub fn row(folder: &str) -> Option<usize> {
    ROWS.iter().position(|row| {
        row.iter().any(|room| match room.strip_suffix('*') {
            Some(prefix) => folder
                .strip_prefix(prefix)
                .is_some_and(|name| !name.is_empty() && !name.contains('/')),
            None => *room == folder,
        })
    })
}

/// The name of the package in a room: the binary is `polity`, all others are `polity-<folder>`.
pub fn package_name(folder: &str) -> String {
    match folder.rsplit('/').next().unwrap_or(folder) {
        "cli" => "polity".to_owned(),
        name => format!("polity-{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_and_machines_share_one() {
        assert!(row("types") < row("kernel"));
        assert!(row("kernel") < row("machines/evm"));
        assert_eq!(row("machines/evm"), row("machines/next"));
        assert!(row("machines/evm") < row("engine"));
        assert_eq!(row("replay"), row("conformance"));
        assert!(row("conformance") < row("cli"));
        for no_room in ["attic", "machines", "machines/", "machines/evm/inner"] {
            assert_eq!(row(no_room), None, "{no_room}");
        }
    }

    #[test]
    fn promises_are_made_by_rooms_that_exist() {
        for room in [NO_STD, FORBID_UNSAFE, NEVER_UNSAFE, NAMELESS].concat() {
            assert!(row(room).is_some(), "{room}");
        }
    }

    #[test]
    fn packages_are_named_after_their_folder() {
        assert_eq!(package_name("types"), "polity-types");
        assert_eq!(package_name("machines/evm"), "polity-evm");
        assert_eq!(package_name("cli"), "polity");
    }
}
