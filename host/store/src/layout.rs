//! Names of what lies in a data folder, its lock, and its format.
//!
//! ```text
//! caisson-store.json   {"format":2,"id":"…","blobs":"local"}, checked before anything else is opened
//! lock                 held while a process has the folder open; the process id inside
//! metadata/sled/       the records
//! metadata/acked       the newest acknowledged commit
//! blobs/sha256/ab/cd/  blobs by digest
//! blobs/tmp/           blobs that are being written; emptied at open
//! objects/             named objects, where blobs are local
//! blob-cache/          copies of blobs, in the place of blobs/, where those are in an object store
//! ```
//!
//! Formats:
//!
//! 1. `{"format":1}`: blobs are always local.
//! 2. The folder has an id, by which an object store knows whose blobs it holds, and says where its
//!    blobs are. A folder of format 1 is given both when it is opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::blobs::BlobBackend;

/// The data folder's format; a change that older releases would misread makes a new number.
pub(crate) const FORMAT: u64 = 2;
/// Says that a folder is a data folder, and its format.
pub(crate) const FORMAT_FILE: &str = "caisson-store.json";
/// Locked by the process that has the folder open.
const LOCK_FILE: &str = "lock";
/// Bytes read of the format and lock files. Both are a line.
const SMALL_FILE_BYTES_MAX: u64 = 4096;
/// Bytes of a data folder's id.
const ID_BYTES: usize = 16;

/// What the format file says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u64,
    /// Which data folder this is, wherever it is moved.
    pub(crate) id: String,
    /// Where its blobs are, as in [`BlobBackend::place`].
    blobs: String,
}

impl Identity {
    /// Of a new data folder.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub(crate) fn new(dir: &Path, blobs: &BlobBackend) -> Result<Self, StoreError> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).map_err(|e| StoreError::io("make an id for", dir, e.into()))?;
        Ok(Self {
            format: FORMAT,
            id: hex::encode(id),
            blobs: blobs.place(),
        })
    }

    /// Make a folder a data folder, or say anew what it is.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(self)
            .map_err(|_| StoreError::BadRequest("a place of blobs that JSON can't hold"))?;
        text.push(b'\n');
        write_durably(&dir.join(FORMAT_FILE), &text)
    }
}

/// Take the folder's lock; the lock goes when the file is dropped or the process ends, however it
/// ends.
///
/// # Errors
///
/// [`StoreError::Locked`] where another process (or another store of this one) has it.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| StoreError::io("open the lock file", &path, e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Locked {
                path: dir.to_path_buf(),
                holder: read_small(&path)
                    .ok()
                    .map(|text| text.trim().to_owned())
                    .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())),
            });
        }
        Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path, e)),
    }
    // For the other process's message only, so it needn't outlive a crash.
    file.set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
        .map_err(|e| StoreError::io("write", &path, e))?;
    Ok(file)
}

/// Check the format file; write it where the folder is new or of an earlier format. `dir` is locked.
///
/// # Errors
///
/// [`StoreError::NewerFormat`], [`StoreError::NotAStore`], [`StoreError::BlobsMoved`].
pub(crate) fn check_or_create_format(dir: &Path, blobs: &BlobBackend) -> Result<Identity, StoreError> {
    if let Some(identity) = read_format(dir)? {
        if identity.blobs != blobs.place() {
            return Err(StoreError::BlobsMoved {
                path: dir.to_path_buf(),
                recorded: identity.blobs,
                configured: blobs.place(),
            });
        }
        return Ok(identity);
    }
    let entries = fs::read_dir(dir).map_err(|e| StoreError::io("list", dir, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", dir, e))?;
        let name = entry.file_name();
        if name != LOCK_FILE && !name.to_string_lossy().starts_with(FORMAT_FILE) {
            return Err(StoreError::NotAStore {
                path: dir.to_path_buf(),
            });
        }
    }
    let identity = Identity::new(dir, blobs)?;
    identity.write(dir)?;
    Ok(identity)
}

/// What the format file says, in today's format; none where there is no such file.
fn read_format(dir: &Path) -> Result<Option<Identity>, StoreError> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u64,
    }
    let path = dir.join(FORMAT_FILE);
    let text = match read_small(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io("read", &path, e)),
    };
    let damaged = |e: serde_json::Error| StoreError::Damaged {
        path: path.clone(),
        detail: format!("{FORMAT_FILE}: {e}"),
    };
    let FormatOnly { format: found } = serde_json::from_str(&text).map_err(damaged)?;
    match found {
        0 => Err(damaged(serde::de::Error::custom("there is no format 0"))),
        1 => {
            let identity = Identity::new(dir, &BlobBackend::Local)?;
            identity.write(dir)?;
            tracing::info!(dir = %dir.display(), "the data folder of format 1 is of format {FORMAT} now");
            Ok(Some(identity))
        }
        FORMAT => serde_json::from_str(&text).map(Some).map_err(damaged),
        _ => Err(StoreError::NewerFormat {
            path,
            found,
            supported: FORMAT,
        }),
    }
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(SMALL_FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Write a small file so that after a crash it is there whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    File::create(temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(temporary, path))
        .map_err(|e| StoreError::io("write", path, e))?;
    sync_parent(path)
}

/// Make a folder, and its parents where they are missing, so that they survive a crash. They are this user's
/// alone: all of a data folder is tenants' data, and receivers' secrets among it. A folder that is there stays as
/// it is.
pub(crate) fn create_dir_durably(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir_durably(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync_parent(dir),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(StoreError::io("make the folder", dir, e)),
    }
}

/// Make a rename or a new name survive a crash: fsync of the folder that holds it.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::io("flush the folder", parent, e))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_folder_is_its_users_alone() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("a/b");
        create_dir_durably(&dir).unwrap();
        for made in [dir.as_path(), dir.parent().unwrap()] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
