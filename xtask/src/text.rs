//! Rules about any text: it means the same on every computer.

use crate::{Tree, Violation};

/// Hosts of package registries. Each is put together from parts, so that this file holds none.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("yarnpkg", ".com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("rubygems", ".org"),
    concat!("maven", ".org"),
    concat!("arti", "factory"),
];

/// Folders that exist on somebody's computer only.
const MACHINE_FOLDERS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Checks every line of every text file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.iter() {
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(**host)) {
                found.push(Violation::new(
                    format!("{path}:{number}"),
                    format!("names the package registry {host}"),
                    "name the package; which registry serves it is the user's configuration",
                ));
            }
            if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| has_root(line, folder)) {
                found.push(Violation::new(
                    format!("{path}:{number}"),
                    format!("holds an absolute path under {folder}"),
                    "make it relative to the repository, or read it from the environment",
                ));
            }
        }
    }
    found
}

/// Whether `folder` occurs where a path starts, rather than in the middle of a longer one.
fn has_root(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str) -> Vec<Violation> {
        check(&Tree::from_iter([("docs/page.md", format!("first line\n{line}\n"))]))
    }

    #[test]
    fn registry_hosts_fail() {
        for host in REGISTRY_HOSTS {
            let found = check_line(&format!("see https://{host}/a"));
            assert_eq!(found.len(), 1, "{host}");
            assert!(found.iter().all(|violation| violation.place == "docs/page.md:2"), "{host}");
        }
        assert_eq!(check_line("cargo install a-tool"), []);
    }

    #[test]
    fn absolute_paths_fail() {
        for folder in MACHINE_FOLDERS {
            for line in [format!("{folder}a"), format!("\"{folder}\""), format!("file://{folder}")]
            {
                assert_eq!(check_line(&line).len(), 1, "{line}");
            }
            for line in [format!("state{folder}a"), format!("~{folder}"), format!("..{folder}")] {
                assert_eq!(check_line(&line), [], "{line}");
            }
        }
    }
}
