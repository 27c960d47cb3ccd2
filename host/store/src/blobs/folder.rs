//! A local folder of blobs: `sha256/ab/cd/<digest>`, and `tmp/` for those that are being written.
//!
//! A blob is written under a temporary name on the same filesystem, flushed, renamed, and its
//! folder flushed; so it is there whole or not at all, after a crash too. (`object_store`'s local
//! backend has the same layout of a write, and flushes neither the file nor its folder; that is why
//! local blobs are this module's.)

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::backend::{Backend, Listed};
use crate::{BlobInfo, Digest, StoreError, layout, space};

/// The folder.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    reserve_bytes: u64,
    /// Read while a blob is given its name, written while one is removed.
    pub(crate) keeping: RwLock<()>,
}

impl Folder {
    /// Open the blobs in `dir`, or make the folder; what a killed process was writing is removed.
    /// The caller holds the lock of the data folder.
    pub(crate) fn open(dir: &Path, reserve_bytes: u64) -> Result<Self, StoreError> {
        let folder = Self {
            dir: dir.to_path_buf(),
            reserve_bytes,
            keeping: RwLock::default(),
        };
        layout::create_dir_durably(&folder.root())?;
        let temporary = folder.temporary_dir();
        layout::create_dir_durably(&temporary)?;
        for path in list(&temporary)? {
            tracing::info!(path = %path.display(), "removing a file that was never finished");
            fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
        Ok(folder)
    }

    fn root(&self) -> PathBuf {
        self.dir.join("sha256")
    }

    fn temporary_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a blob lies, whether it is there or not.
    pub(crate) fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let [first, second, ..] = digest.as_bytes();
        self.root()
            .join(format!("{first:02x}"))
            .join(format!("{second:02x}"))
            .join(hex)
    }

    /// Refuse where there is no room for this many bytes besides the reserve.
    pub(crate) fn require_room(&self, bytes: u64) -> Result<(), StoreError> {
        space::require(&self.dir, self.reserve_bytes.saturating_add(bytes))
    }

    /// A new file under a temporary name, to be read and written.
    pub(crate) fn temporary(&self) -> Result<Temporary, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.require_room(0)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self
            .temporary_dir()
            .join(format!("{}-{number}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| StoreError::io("create", &path, e))?;
        Ok(Temporary {
            file,
            path: Some(path),
        })
    }

    /// Give a temporary file its name, without flushing anything.
    pub(crate) fn place(&self, temporary: Temporary, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.path_of(digest);
        temporary.rename_to(&path)?;
        Ok(path)
    }

    /// Visit every blob. Files whose names are no digests were not put there by this code, and are
    /// left alone.
    pub(crate) fn visit_files(
        &self,
        mut each: impl FnMut(Digest, &Path, &fs::Metadata) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for first in list(&self.root())? {
            for second in list(&first)? {
                for path in list(&second)? {
                    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                    let Some(digest) = Digest::from_hex(name) else {
                        continue;
                    };
                    let metadata = fs::metadata(&path).map_err(|e| StoreError::io("read", &path, e))?;
                    each(digest, &path, &metadata)?;
                }
            }
        }
        Ok(())
    }

    /// The blob's file and its size; none where there is no such file.
    pub(crate) fn file(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path_of(digest);
        let opened = File::open(&path).and_then(|file| {
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("open", &path, e)),
        }
    }

    /// Remove the blob's file, if it is there.
    pub(crate) fn remove_file(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path_of(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, e)),
            _ => Ok(()),
        }
    }
}

impl Backend for Folder {
    fn folder(&self) -> &Folder {
        self
    }

    fn take_over(&self, _id: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn keep(&self, temporary: Temporary, blob: &BlobInfo) -> Result<(), StoreError> {
        temporary
            .file
            .sync_all()
            .map_err(|e| StoreError::io("flush", &self.dir, e))?;
        let path = self.place(temporary, &blob.digest)?;
        layout::sync_parent(&path)
    }

    fn look(&self, digest: &Digest) -> Result<Option<Listed>, StoreError> {
        let path = self.path_of(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(listed(*digest, &path, &metadata)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &path, e)),
        }
    }

    fn open(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        self.file(digest)?.ok_or_else(|| StoreError::BlobMissing {
            digest: *digest,
            path: self.path_of(digest),
        })
    }

    fn discard_copy(&self, _digest: &Digest) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn visit(&self, each: &mut dyn FnMut(Listed) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.visit_files(|digest, path, metadata| each(listed(digest, path, metadata)?))
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.remove_file(digest)
    }
}

fn listed(digest: Digest, path: &Path, metadata: &fs::Metadata) -> Result<Listed, StoreError> {
    Ok(Listed {
        digest,
        size: metadata.len(),
        written: metadata
            .modified()
            .map_err(|e| StoreError::io("read the age of", path, e))?,
    })
}

/// A file that is being written. Dropped before it has its name, it is removed.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) file: File,
    /// Present until the file is renamed.
    path: Option<PathBuf>,
}

impl Temporary {
    /// Give the file this name on the same filesystem, without flushing anything.
    pub(crate) fn rename_to(mut self, path: &Path) -> Result<(), StoreError> {
        if let Some(parent) = path.parent() {
            layout::create_dir_durably(parent)?;
        }
        if let Some(from) = &self.path {
            fs::rename(from, path).map_err(|e| StoreError::io("write", path, e))?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "can't remove an unfinished file");
        }
    }
}

/// The paths in a folder; none where it is no folder.
fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| StoreError::io("list", dir, e))
}
