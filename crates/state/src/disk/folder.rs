use super::error::{DiskError, damaged, io as failed};
use crate::StateError;
use polity_types::B256;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The version of the layout that this program reads and writes.
pub const VERSION: u32 = 2;

const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";
const CREATING: &str = "CREATING";
const VALUES: &str = "values";
const TRIE: &str = "trie";

/// The first line of a [`FORMAT`] file.
const TITLE: &str = "polity state";

/// A state folder that this process holds.
///
/// ```text
/// FORMAT    what the folder is: version, chain, checksum
/// LOCK      held while a process has the folder open
/// CREATING  there only until the folder is complete
/// values/   the flat store (fjall)
/// trie/     the trie (nomt)
/// ```
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    chain: B256,
    _lock: File,
}

impl Folder {
    /// Takes a new folder: one that does not exist or is empty. It becomes a state folder with
    /// [`Folder::complete`]; until then, another attempt may start over.
    pub(super) fn create(path: &Path, chain: B256) -> Result<Self, DiskError> {
        fs::create_dir_all(path).map_err(|error| failed("create", path, &error))?;
        let lock = lock(path)?;
        if exists(&path.join(FORMAT))? {
            return Err(DiskError::Exists(path.to_owned()));
        }
        let unfinished = path.join(CREATING);
        if exists(&unfinished)? {
            for part in [VALUES, TRIE] {
                remove_all(&path.join(part))?;
            }
        } else if entries(path)?.iter().any(|name| name != LOCK) {
            return Err(DiskError::NotEmpty(path.to_owned()));
        }
        write_durably(&unfinished, b"")?;
        Ok(Self { path: path.to_owned(), chain, _lock: lock })
    }

    /// Makes the new folder a state folder, once its parts are there.
    pub(super) fn complete(&self) -> Result<(), StateError> {
        write_durably(&self.path.join(FORMAT), encode(self.chain).as_bytes())?;
        let unfinished = self.path.join(CREATING);
        fs::remove_file(&unfinished).map_err(|error| failed("remove", &unfinished, &error))?;
        sync_folder(&self.path)
    }

    /// Takes a folder that exists, of any chain or of the given one.
    pub(super) fn open(path: &Path, chain: Option<B256>) -> Result<Self, DiskError> {
        let format = path.join(FORMAT);
        if !exists(&format)? {
            return Err(DiskError::NoState(path.to_owned()));
        }
        let lock = lock(path)?;
        let text = fs::read(&format).map_err(|error| failed("read", &format, &error))?;
        let found = decode(&text, &format)?;
        if let Some(expected) = chain.filter(|expected| *expected != found) {
            return Err(DiskError::OtherChain { path: path.to_owned(), found, expected });
        }
        // A crash between the two last steps of a creation.
        remove_all(&path.join(CREATING))?;
        Ok(Self { path: path.to_owned(), chain: found, _lock: lock })
    }

    /// What the chain is known by.
    pub(super) const fn chain(&self) -> B256 {
        self.chain
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the flat store lies.
    pub(super) fn values(&self) -> PathBuf {
        self.path.join(VALUES)
    }

    /// Where the trie lies.
    pub(super) fn trie(&self) -> PathBuf {
        self.path.join(TRIE)
    }

    /// Removes the trie.
    pub(super) fn remove_trie(&self) -> Result<(), StateError> {
        remove_all(&self.trie())
    }

    /// Bytes that a part of it takes on the disk; holes take none.
    pub(super) fn size(path: &Path) -> Result<u64, StateError> {
        let meta = fs::symlink_metadata(path).map_err(|error| failed("look at", path, &error))?;
        if !meta.is_dir() {
            return Ok(meta.blocks().saturating_mul(512));
        }
        entries(path)?
            .iter()
            .try_fold(0_u64, |sum, name| Ok(sum.saturating_add(Self::size(&path.join(name))?)))
    }

    /// Bytes that may still be written to the file system of the folder.
    pub(super) fn free_space(&self) -> Result<u64, StateError> {
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|error| failed("ask the free space of", &self.path, &error))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Holds the folder for this process as long as the file stays open. The system lets go of it when
/// the process ends, however it ends.
fn lock(path: &Path) -> Result<File, DiskError> {
    let name = path.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| failed("open", &name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &name, &error).into()),
    }
}

fn encode(chain: B256) -> String {
    let body = format!("{TITLE}\nformat {VERSION}\nchain {chain}\n");
    let check = polity_verify::hash_value(body.as_bytes());
    format!("{body}check {check}\n")
}

/// The chain of a format file's text.
fn decode(text: &[u8], path: &Path) -> Result<B256, DiskError> {
    let wrong = || damaged(path, "is not the description of a state folder");
    let text = str::from_utf8(text).map_err(|_| wrong())?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(wrong().into());
    }
    // The version comes first and alone: what follows it is for that version to say.
    let version = lines.next().and_then(|line| line.strip_prefix("format "));
    let version: u32 = version.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    if version != VERSION {
        return Err(DiskError::Format { path: path.to_owned(), found: version, expected: VERSION });
    }
    let chain = lines.next().and_then(|line| line.strip_prefix("chain "));
    let chain: B256 = chain.and_then(|hash| hash.parse().ok()).ok_or_else(wrong)?;
    if text != encode(chain) {
        return Err(wrong().into());
    }
    Ok(chain)
}

/// Writes a file under its name as a whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| failed("write", path, &error))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes durable which names are in a folder.
fn sync_folder(path: &Path) -> Result<(), StateError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed("sync", path, &error))
}

fn exists(path: &Path) -> Result<bool, StateError> {
    path.try_exists().map_err(|error| failed("look for", path, &error))
}

fn entries(path: &Path) -> Result<Vec<std::ffi::OsString>, StateError> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .map_err(|error| failed("list", path, &error))
}

/// Removes a file or a folder with all that is in it, if it is there.
fn remove_all(path: &Path) -> Result<(), StateError> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    result.map_err(|error| failed("remove", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: B256 = B256::repeat_byte(7);

    fn format_of(folder: &Path) -> PathBuf {
        folder.join(FORMAT)
    }

    #[test]
    fn a_complete_folder_opens_as_its_chain_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        assert!(matches!(Folder::open(&path, None), Err(DiskError::NoState(_))));
        let folder = Folder::create(&path, CHAIN).unwrap();
        folder.complete().unwrap();
        assert!(matches!(Folder::open(&path, None), Err(DiskError::Locked(_))));
        drop(folder);
        assert!(matches!(Folder::create(&path, CHAIN), Err(DiskError::Exists(_))));
        assert_eq!(Folder::open(&path, None).unwrap().chain(), CHAIN);
        assert_eq!(Folder::open(&path, Some(CHAIN)).unwrap().chain(), CHAIN);
        let other = Some(B256::repeat_byte(8));
        assert!(matches!(Folder::open(&path, other), Err(DiskError::OtherChain { .. })));
    }

    #[test]
    fn an_interrupted_creation_starts_over_and_foreign_files_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        let interrupted = Folder::create(&path, CHAIN).unwrap();
        fs::create_dir(interrupted.trie()).unwrap();
        drop(interrupted);
        let again = Folder::create(&path, CHAIN).unwrap();
        assert!(!again.trie().exists());
        drop(again);

        let foreign = parent.path().join("foreign");
        fs::create_dir_all(foreign.join("values")).unwrap();
        assert!(matches!(Folder::create(&foreign, CHAIN), Err(DiskError::NotEmpty(_))));
        assert!(foreign.join("values").exists());
    }

    #[test]
    fn other_versions_and_damage_are_told_apart() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        Folder::create(&path, CHAIN).unwrap().complete().unwrap();
        let good = fs::read_to_string(format_of(&path)).unwrap();
        for (version, text) in [
            (3, good.replace("format 2", "format 3")),
            (1, good.replace("format 2", "format 1")),
            (7, format!("{TITLE}\nformat 7\nwhatever comes then")),
        ] {
            fs::write(format_of(&path), text).unwrap();
            match Folder::open(&path, None) {
                Err(DiskError::Format { found, expected, .. }) => {
                    assert_eq!((found, expected), (version, VERSION));
                }
                other => panic!("{other:?}"),
            }
        }
        for at in 0..good.len() {
            let mut damaged = good.clone().into_bytes();
            damaged[at] ^= 1;
            fs::write(format_of(&path), &damaged).unwrap();
            Folder::open(&path, None).unwrap_err();
            fs::write(format_of(&path), &good.as_bytes()[..at]).unwrap();
            Folder::open(&path, None).unwrap_err();
        }
        fs::write(format_of(&path), good).unwrap();
        Folder::open(&path, None).unwrap();
    }
}
