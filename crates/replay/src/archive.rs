//! The archive of test data: unpacked once into a cache folder.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
};

use alloy_primitives::{Keccak256, hex};
use ruzstd::decoding::StreamingDecoder;
use tar::EntryType;

use crate::{
    error::FolderError,
    write::{Temporary, WriteMode},
};

/// The file name of the archive.
pub const ARCHIVE_NAME: &str = "evm-dev.tar.zst";

/// The environment variable that names the folder of test data.
pub const DATA_VARIABLE: &str = "POLITY_DATA";

/// The environment variable that names the cache folder.
const CACHE_VARIABLE: &str = "POLITY_CACHE";

/// Most bytes that an archive may unpack to.
const UNPACKED_LIMIT: u64 = 8 << 30;

/// The folder of test data that the environment variable `POLITY_DATA` names, or `None` where it
/// is unset or empty. Where that folder holds the archive, the archive is unpacked once into the
/// cache and the unpacked folder is given.
///
/// # Errors
///
/// The variable does not name a folder, or the archive cannot be unpacked.
pub fn data_root() -> Result<Option<PathBuf>, FolderError> {
    let Some(value) = variable(DATA_VARIABLE) else { return Ok(None) };
    let folder = PathBuf::from(&value);
    if !folder.is_dir() {
        return Err(FolderError::Variable {
            variable: DATA_VARIABLE,
            value: value.to_string_lossy().into_owned(),
            reason: "no such folder; name the folder with the data archive or the unpacked data",
        });
    }
    unpacked(&folder).map(Some)
}

/// The folder itself, or where it holds the archive, the archive's content, unpacked once into
/// the cache.
///
/// # Errors
///
/// The archive cannot be unpacked.
pub fn unpacked(folder: &Path) -> Result<PathBuf, FolderError> {
    if folder.join(ARCHIVE_NAME).is_file() {
        return open_archive(folder, &cache_folder()?);
    }
    Ok(folder.into())
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// `$POLITY_CACHE`, or `polity` in the user's cache folder.
fn cache_folder() -> Result<PathBuf, FolderError> {
    if let Some(folder) = variable(CACHE_VARIABLE) {
        return Ok(folder.into());
    }
    let base = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    base.map(|base| base.join("polity")).ok_or(FolderError::Variable {
        variable: CACHE_VARIABLE,
        value: String::new(),
        reason: "unset, and so are XDG_CACHE_HOME and HOME; name a folder for unpacked data",
    })
}

/// Unpacks the archive in `folder` into `cache`, once: the name of the unpacked folder has the
/// archive's keccak256 in it. Returns the unpacked folder.
///
/// # Errors
///
/// The archive is absent or damaged, or has an entry that would leave the folder or is no plain
/// file or folder. Nothing is left behind then.
pub fn open_archive(folder: &Path, cache: &Path) -> Result<PathBuf, FolderError> {
    let archive = folder.join(ARCHIVE_NAME);
    let target = cache.join(format!("evm-dev-{}", fingerprint(&archive)?));
    if target.is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(cache)
        .map_err(|source| FolderError::io(cache, "create the cache folder", source))?;
    let temporary = Temporary::new(&target)?;
    unpack(&archive, &temporary.path)?;
    match temporary.rename_to(&target, WriteMode::New) {
        // Another process was faster, with the same content.
        Err(_) if target.is_dir() => Ok(target),
        Err(error) => Err(error),
        Ok(()) => Ok(target),
    }
}

fn open(archive: &Path) -> Result<File, FolderError> {
    File::open(archive).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FolderError::MissingFile {
            path: archive.into(),
            help: "the archive of test data is expected there",
        },
        _ => FolderError::io(archive, "read the archive", source),
    })
}

/// The first 8 bytes of the keccak256 of a file, in hex.
fn fingerprint(path: &Path) -> Result<String, FolderError> {
    let mut file = open(path)?;
    let mut hasher = Keccak256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(|source| FolderError::io(path, "read the archive", source))?;
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(bytes) => hasher.update(bytes),
        }
    }
    let hash = hasher.finalize();
    Ok(hex::encode(hash.get(..8).unwrap_or_default()))
}

fn unpack(archive: &Path, target: &Path) -> Result<(), FolderError> {
    let unreadable = |source: io::Error| FolderError::io(archive, "unpack the archive", source);
    let decoder = StreamingDecoder::new(BufReader::new(open(archive)?))
        .map_err(|error| unreadable(io::Error::other(error.to_string())))?;
    let mut tar = tar::Archive::new(decoder.take(UNPACKED_LIMIT));
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let refused = |reason: &str| FolderError::Archive {
            path: archive.into(),
            entry: path.display().to_string(),
            reason: reason.into(),
        };
        let safe = path
            .components()
            .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
        if !safe {
            return Err(refused("its path leaves the folder"));
        }
        let place = target.join(&path);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&place)
                .map_err(|source| FolderError::io(&place, "create the folder", source))?,
            EntryType::Regular => {
                if let Some(parent) = place.parent() {
                    fs::create_dir_all(parent)
                        .map_err(|source| FolderError::io(parent, "create the folder", source))?;
                }
                let mut file = File::create_new(&place)
                    .map_err(|source| FolderError::io(&place, "create the file", source))?;
                let expected = entry.size();
                let copied = io::copy(&mut entry, &mut file).map_err(unreadable)?;
                if copied != expected {
                    return Err(refused("is cut off, or the archive unpacks to more than 8 GiB"));
                }
            }
            EntryType::XGlobalHeader => {}
            _ => return Err(refused("is neither a plain file nor a folder")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryType, &[u8])]) -> tempfile::TempDir {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // Written past `set_path`, which refuses what an attacker would not.
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let packed = ruzstd::encoding::compress_to_vec(
            builder.into_inner().unwrap().as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        fs::write(folder.path().join(ARCHIVE_NAME), packed).unwrap();
        folder
    }

    #[test]
    fn an_archive_is_unpacked_once() {
        let folder = archive(&[
            ("set", EntryType::Directory, b""),
            ("set/file.json", EntryType::Regular, b"{}"),
        ]);
        let cache = tempfile::tempdir().unwrap();
        let root = open_archive(folder.path(), cache.path()).unwrap();
        assert_eq!(fs::read(root.join("set/file.json")).unwrap(), b"{}");
        fs::write(root.join("mark"), b"").unwrap();
        assert_eq!(open_archive(folder.path(), cache.path()).unwrap(), root);
        assert!(root.join("mark").exists(), "unpacked a second time");
    }

    #[test]
    fn entries_that_leave_the_folder_are_refused_and_nothing_is_left() {
        for (path, kind) in [
            ("../outside", EntryType::Regular),
            ("/outside", EntryType::Regular),
            ("in/../../outside", EntryType::Regular),
            ("link", EntryType::Symlink),
            ("hard", EntryType::Link),
            ("device", EntryType::Char),
        ] {
            let folder = archive(&[("first", EntryType::Regular, b"1"), (path, kind, b"")]);
            let cache = tempfile::tempdir().unwrap();
            let error = open_archive(folder.path(), cache.path()).unwrap_err();
            assert!(matches!(error, FolderError::Archive { .. }), "{path}: {error}");
            assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "{path}");
        }
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let folder = archive(&[("file", EntryType::Regular, &[7; 5000])]);
        let path = folder.path().join(ARCHIVE_NAME);
        let whole = fs::read(&path).unwrap();
        let cache = tempfile::tempdir().unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(open_archive(folder.path(), cache.path()).is_err(), "cut at {length}");
        }
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}
