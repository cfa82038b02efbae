//! Which files there are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a path could not be searched.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", .path.display())]
pub struct DiscoverError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// A file to look into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Under which its results are summed up: the searched path and the first
    /// folder below it.
    pub(crate) folder: String,
}

/// Every JSON file under the paths, sorted, each once. Files and folders whose
/// name begins with a dot, and the fillers' `index.json`, are passed over and
/// counted.
pub(crate) fn discover(paths: &[PathBuf]) -> Result<(Vec<Found>, usize), DiscoverError> {
    let mut found = Vec::new();
    let mut passed_over = 0;
    for root in paths {
        let error = |source| DiscoverError { path: root.clone(), source };
        if fs::metadata(root).map_err(error)?.is_dir() {
            walk(root, &mut |path| {
                if path.file_name().is_some_and(|name| name == "index.json") {
                    passed_over += 1;
                } else {
                    found.push(Found { folder: folder(root, &path), path });
                }
            })?;
        } else {
            let folder = root.parent().map_or_else(String::new, |path| path.display().to_string());
            found.push(Found { path: root.clone(), folder });
        }
    }
    found.sort_unstable();
    found.dedup_by(|a, b| a.path == b.path);
    Ok((found, passed_over))
}

fn walk(folder: &Path, take: &mut impl FnMut(PathBuf)) -> Result<(), DiscoverError> {
    let error = |source| DiscoverError { path: folder.into(), source };
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Links to folders are not followed: they may lead round in a circle.
        if entry.file_type().map_err(error)?.is_dir() {
            walk(&path, take)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            take(path);
        }
    }
    Ok(())
}

fn folder(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).ok().and_then(|path| {
        let mut components = path.components();
        let first = components.next();
        components.next().and(first)
    });
    below.map_or_else(|| root.to_path_buf(), |first| root.join(first)).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_files_are_found_once_and_sorted() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["b/c", ".meta"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["z.json", "b/c/a.json", "b/index.json", "b/x.txt", ".meta/m.json"] {
            fs::write(at(file), "{}").unwrap();
        }
        let roots = [root.path().to_path_buf(), at("b/c/a.json")];
        let (found, passed_over) = discover(&roots).unwrap();
        let paths: Vec<_> = found.iter().map(|found| found.path.clone()).collect();
        assert_eq!(paths, [at("b/c/a.json"), at("z.json")]);
        assert!(found[0].folder.ends_with('b') || found[0].folder.ends_with('c'));
        assert_eq!(found[1].folder, root.path().display().to_string());
        assert_eq!(passed_over, 1);
        assert!(discover(&[at("nowhere")]).is_err());
    }
}
