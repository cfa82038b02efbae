//! The text files of a checkout, in memory.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

/// Text files by their path from the root, with `/` between folders.
///
/// Rules look only at this map, so their tests need no file system.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the checkout that cargo runs this package from.
    ///
    /// # Errors
    ///
    /// See [`Tree::read`].
    pub fn of_this_repository() -> io::Result<Self> {
        // The folder at run time comes first: clones that share a target folder may share a binary.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        Self::read(package.parent().unwrap_or(&package))
    }

    /// Reads every UTF-8 file under `root` but `.git`, folders named `target`, `Cargo.lock`, and
    /// what the `.gitignore` of `root` names by a path from the root. Links are not followed.
    ///
    /// # Errors
    ///
    /// The first folder or file that cannot be read, by its path.
    pub fn read(root: &Path) -> io::Result<Self> {
        let ignored = match fs::read_to_string(root.join(".gitignore")) {
            Ok(text) => text
                .lines()
                .filter_map(|line| line.trim().strip_prefix('/'))
                .map(|path| path.trim_end_matches('/').to_owned())
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut tree = Self::default();
        let mut folders = vec![(root.to_owned(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|error| at(&folder, &error))? {
                let entry = entry.map_err(|error| at(&folder, &error))?;
                let kind = entry.file_type().map_err(|error| at(&entry.path(), &error))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{prefix}{name}");
                if ignored.contains(&path) || matches!(&*name, ".git" | "target" | "Cargo.lock") {
                    continue;
                }
                if kind.is_dir() {
                    folders.push((entry.path(), format!("{path}/")));
                } else if kind.is_file() {
                    let bytes =
                        fs::read(entry.path()).map_err(|error| at(&entry.path(), &error))?;
                    if let Ok(text) = String::from_utf8(bytes) {
                        tree.files.insert(path, text);
                    }
                }
            }
        }
        Ok(tree)
    }

    /// The text of a file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files under a folder.
    pub fn under(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        self.iter().filter(move |(path, _)| path.starts_with(&prefix))
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl<P: Into<String>, T: Into<String>> FromIterator<(P, T)> for Tree {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (path.into(), text.into())).collect() }
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_leaves_out_what_is_not_tracked() {
        let root = env::temp_dir().join(format!("polity-tidy-{}", std::process::id()));
        let write = |path: &str, bytes: &[u8]| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write(".gitignore", b"/out\n/fuzz/corpus/\n*.log\n");
        write("src/lib.rs", b"code");
        write(".ci/run", b"script");
        write("image.png", &[0xff, 0xfe]);
        for skipped in ["out/a", "fuzz/corpus/a", "src/target/a", ".git/HEAD", "fuzz/Cargo.lock"] {
            write(skipped, b"text");
        }
        let tree = Tree::read(&root);
        fs::remove_dir_all(&root).unwrap();
        let tree = tree.unwrap();
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, [".ci/run", ".gitignore", "src/lib.rs"]);
        assert_eq!(tree.get("src/lib.rs"), Some("code"));
    }

    #[test]
    fn names_the_folder_that_cannot_be_read() {
        let error = Tree::read(Path::new("no-such-folder")).unwrap_err();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
