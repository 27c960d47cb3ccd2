//! Content-addressed bytes: plugins, models, baselines, sketches.
//!
//! A blob is named by its SHA-256 and never changes. It is there whole or not at all, and writing
//! the same bytes twice is harmless (and repairs a damaged one). Whoever needs it writes a metadata
//! record that names the digest *after* that; a crash between the two leaves an orphan, which
//! [`Store::sweep_orphans`](crate::Store::sweep_orphans) removes.
//!
//! Every way to read checks the digest first: a damaged blob is [`StoreError::BlobDamaged`], with
//! its name, and never a plugin that runs or a model that answers.
//!
//! Blobs are in the data folder, or in an object store with copies in the data folder
//! ([`BlobBackend`]). A damaged copy is fetched again.
//!
//! All calls are synchronous; asynchronous callers use `tokio::task::spawn_blocking`.

mod backend;
mod bucket;
mod folder;
mod named;
mod remote;
mod writer;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

pub use backend::{BlobBackend, Credentials, UrlOptions};
pub use writer::BlobWriter;

pub(crate) use backend::{Backend, Listed};
pub(crate) use bucket::Bucket;
pub(crate) use folder::Temporary;

use crate::{Digest, StoreError};
use folder::Folder;
use remote::Remote;

/// Bytes read or hashed at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// A blob that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its digest: its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Blobs that stay, because a record names them or they are younger than the grace period.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blobs that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

impl SweepReport {
    fn keep(&mut self, blob: &Listed) {
        self.kept += 1;
        self.kept_bytes += blob.size;
    }
}

/// The blobs of a data folder.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<dyn Backend>);

impl Blobs {
    /// Open the blobs of the data folder `dir`, whose lock the caller holds. Without an id it is no data
    /// folder yet, and comes to have its blobs with [`Blobs::take_over`].
    pub(crate) fn open(
        dir: &Path,
        backend: &BlobBackend,
        reserve_bytes: u64,
        id: Option<&str>,
    ) -> Result<Self, StoreError> {
        Ok(Self(match backend {
            BlobBackend::Local => Arc::new(Folder::open(&dir.join("blobs"), reserve_bytes)?),
            BlobBackend::Url { url, options } => {
                let copies = Folder::open(&dir.join("blob-cache"), reserve_bytes)?;
                Arc::new(Remote::open(copies, url, options, id)?)
            }
        }))
    }

    /// They are the blobs of the data folder of this id from now on.
    pub(crate) fn take_over(&self, id: &str) -> Result<(), StoreError> {
        self.0.take_over(id)
    }

    /// Write a blob that is in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system and the object store.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobInfo, StoreError> {
        let mut writer = self.writer(bytes.len() as u64)?;
        writer.append(bytes)?;
        writer.finish()
    }

    /// Write a blob from a stream of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`], as soon as the stream is longer; [`StoreError::Full`]; those of
    /// the operating system, the object store and the stream.
    pub fn put_from(&self, mut source: impl Read, max_bytes: u64) -> Result<BlobInfo, StoreError> {
        let mut writer = self.writer(max_bytes)?;
        for_each_chunk(&mut source, self.0.folder().dir(), |chunk| writer.append(chunk))?;
        writer.finish()
    }

    /// Start a blob of at most `max_bytes`. Nothing of it is visible before
    /// [`BlobWriter::finish`]; dropped before that, it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system.
    pub fn writer(&self, max_bytes: u64) -> Result<BlobWriter, StoreError> {
        BlobWriter::start(Arc::clone(&self.0), max_bytes)
    }

    /// Is there a blob of this digest? Its bytes are not checked.
    ///
    /// # Errors
    ///
    /// Those of the operating system and the object store.
    pub fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.0.look(digest)?.is_some())
    }

    /// How many bytes a blob has. They are not checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`]; those of the operating system and the object store.
    pub fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        match self.0.look(digest)? {
            Some(listed) => Ok(listed.size),
            None => Err(StoreError::BlobMissing {
                digest: *digest,
                path: self.0.folder().path_of(digest),
            }),
        }
    }

    /// A blob's bytes, checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`], [`StoreError::BlobDamaged`], [`StoreError::TooLarge`] for more
    /// than `max_bytes`; those of the operating system and the object store.
    pub fn read(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.checked(digest, |file, size, path| {
            if size > max_bytes {
                return Err(StoreError::TooLarge {
                    what: "the blob",
                    size,
                    max: max_bytes,
                });
            }
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            // No further than the limit, even where the file grew in the meantime.
            file.take(max_bytes)
                .read_to_end(&mut bytes)
                .map_err(|e| StoreError::io("read", path, e))?;
            check_digest(digest, Digest::of(&bytes), path)?;
            Ok(bytes)
        })
    }

    /// A blob to stream from, checked: the whole file is read once before this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`], [`StoreError::BlobDamaged`]; those of the operating system and
    /// the object store.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        self.checked(digest, |mut file, _, path| {
            let mut hasher = Sha256::new();
            for_each_chunk(&mut file, path, |chunk| {
                hasher.update(chunk);
                Ok(())
            })?;
            check_digest(digest, Digest::from_hasher(hasher), path)?;
            file.seek(SeekFrom::Start(0))
                .map_err(|e| StoreError::io("read", path, e))?;
            Ok(file)
        })
    }

    /// A blob's file, checked as in [`Blobs::open_blob`], for libraries that load by path. The
    /// file must not be changed, and is to be opened soon: where blobs are in an object store, it is
    /// a copy that may be gone after ten minutes.
    ///
    /// # Errors
    ///
    /// As [`Blobs::open_blob`].
    pub fn path(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        self.open_blob(digest)?;
        Ok(self.0.folder().path_of(digest))
    }

    /// Call `read` with the blob's file; once more where that found a damaged copy.
    fn checked<T>(
        &self,
        digest: &Digest,
        read: impl Fn(File, u64, &Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.0.folder().path_of(digest);
        let (file, size) = self.0.open(digest)?;
        match read(file, size, &path) {
            Err(StoreError::BlobDamaged { .. }) if self.0.discard_copy(digest)? => {
                tracing::warn!(path = %path.display(), "the copy of a blob is damaged; fetching it again");
                let (file, size) = self.0.open(digest)?;
                read(file, size, &path)
            }
            other => other,
        }
    }

    /// Remove the blobs that are not in `named` and that were written longer ago than `grace`. Blobs may
    /// be written meanwhile: one that is written again at this moment stays.
    pub(crate) fn sweep(&self, named: &HashSet<Digest>, grace: Duration) -> Result<SweepReport, StoreError> {
        let mut report = SweepReport::default();
        let now = SystemTime::now();
        // A clock that went backwards, or is behind the object store's, makes a blob young.
        let young = |blob: &Listed| now.duration_since(blob.written).unwrap_or_default() < grace;
        self.0.visit(&mut |blob: Listed| {
            if named.contains(&blob.digest) || young(&blob) {
                report.keep(&blob);
                return Ok(());
            }
            // Who keeps a blob at this moment may keep this one. The next sweep comes by again.
            let Ok(_alone) = self.0.folder().keeping.try_write() else {
                report.keep(&blob);
                return Ok(());
            };
            match self.0.look(&blob.digest)? {
                Some(still) if !young(&still) => {
                    self.0.remove(&blob.digest)?;
                    report.removed += 1;
                    report.removed_bytes += blob.size;
                }
                _ => report.keep(&blob),
            }
            Ok(())
        })?;
        Ok(report)
    }

    /// Visit every blob.
    pub(crate) fn visit(
        &self,
        mut each: impl FnMut(Listed) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.0.visit(&mut each)
    }

    /// A new file that goes with its handle, for what is too large for memory.
    pub(crate) fn temporary(&self) -> Result<Temporary, StoreError> {
        self.0.folder().temporary()
    }

    /// The local folder in which they are written.
    pub(crate) fn folder(&self) -> &Folder {
        self.0.folder()
    }

    /// The object store; none where blobs are in the data folder.
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        self.0.bucket()
    }

    /// Refuse where there is no room for blobs of this many bytes.
    pub(crate) fn require_room(&self, bytes: u64) -> Result<(), StoreError> {
        self.0.folder().require_room(bytes)
    }
}

fn check_digest(expected: &Digest, found: Digest, path: &Path) -> Result<(), StoreError> {
    if *expected == found {
        return Ok(());
    }
    Err(StoreError::BlobDamaged {
        digest: *expected,
        found,
        path: path.to_path_buf(),
    })
}

/// Call `each` with the bytes of a source, piece by piece; `path` is for the error's message.
pub(crate) fn for_each_chunk(
    source: &mut impl Read,
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(buffer.get(..count).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(StoreError::io("read the bytes for", path, e)),
        }
    }
}
