//! Where Caisson keeps things: small metadata records, and blobs by digest.
//!
//! A [`Store`] is one data folder, open in one process at a time. It knows nothing of plugins,
//! models or HTTP.
//!
//! - [`Metadata`]: records by key, with atomic multi-key compare-and-swap. A commit is on disk when
//!   it returns. [`record`] gives the records types and format numbers.
//! - [`Blobs`]: immutable bytes by SHA-256, checked whenever they are read; in the data folder, or
//!   in an object store ([`BlobBackend`]).
//! - [`Objects`]: files by name in the same place as blobs, for other programs to read. No backup has
//!   them.
//! - [`Store::backup_to`] and [`restore_from`]: a portable copy in one stream, and the way back from a
//!   damaged folder.
//!
//! What fails, fails loudly and early: a folder that is in use, newer, damaged, or someone else's is
//! an error of [`Store::open`], and so is an object store that can't be reached; a full disk is
//! [`StoreError::Full`] before anything is changed.
//!
//! Calls are synchronous. Reads of metadata are memory accesses but for the first touch; commits
//! and blobs wait for the disk or the object store, so asynchronous callers put them into
//! `tokio::task::spawn_blocking`. A `Store` is a handle: clone it into the closure.

mod backup;
mod blobs;
mod digest;
mod error;
mod layout;
mod metadata;
mod objects;
pub mod record;
mod space;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub use backup::{BackupReport, LeftOut, check_backup, restore_from};
pub use blobs::{BlobBackend, BlobInfo, BlobWriter, Blobs, Credentials, SweepReport, UrlOptions};
pub use digest::{DIGEST_BYTES, Digest, InvalidDigest};
pub use error::StoreError;
pub use metadata::{
    COMMIT_OPS_MAX, Commit, Expect, KEY_BYTES_MAX, Metadata, Op, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page,
    VALUE_BYTES_MAX, Visitor, Write,
};

pub use objects::{OBJECT_PATH_BYTES_MAX, ObjectInfo, Objects};

use metadata::SledMetadata;

/// How a data folder is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory for metadata pages, in bytes. All metadata of a busy installation is tens of
    /// megabytes; what doesn't fit is read from disk.
    pub cache_bytes: u64,
    /// Room on the disk, in bytes, below which metadata is not written any more: enough for the
    /// storage engine to finish what it has begun (a segment is 8 MiB).
    pub metadata_reserve_bytes: u64,
    /// Room on the disk, in bytes, below which blobs are not written any more. More than the
    /// reserve for metadata, so that uploads can't keep an operator from changing a deployment.
    pub blob_reserve_bytes: u64,
    /// Where blobs are.
    pub blobs: BlobBackend,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 8 * 1024 * 1024,
            metadata_reserve_bytes: 32 * 1024 * 1024,
            blob_reserve_bytes: 128 * 1024 * 1024,
            blobs: BlobBackend::Local,
        }
    }
}

/// One data folder. Clones are handles on the same.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// Dropped in this order: the lock last.
struct Inner {
    metadata: SledMetadata,
    blobs: Blobs,
    dir: PathBuf,
    /// Read while a backup copies blobs, written while they are swept.
    sweeping: RwLock<()>,
    _lock: File,
}

impl Store {
    /// Open a data folder with default options; make it where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`], [`StoreError::NotAStore`], [`StoreError::NewerFormat`],
    /// [`StoreError::Damaged`], [`StoreError::BlobsMoved`], [`StoreError::Full`], [`StoreError::Io`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(dir, &Options::default())
    }

    /// Open a data folder; make it where there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and those of the object store.
    pub fn open_with(dir: impl AsRef<Path>, options: &Options) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        layout::create_dir_durably(dir)?;
        let lock = layout::lock(dir)?;
        let identity = layout::check_or_create_format(dir, &options.blobs)?;
        Ok(Self(Arc::new(Inner {
            metadata: SledMetadata::open(
                &dir.join("metadata"),
                options.cache_bytes,
                options.metadata_reserve_bytes,
            )?,
            blobs: Blobs::open(
                dir,
                &options.blobs,
                options.blob_reserve_bytes,
                Some(&identity.id),
            )?,
            dir: dir.to_path_buf(),
            sweeping: RwLock::default(),
            _lock: lock,
        })))
    }

    /// The records.
    pub fn metadata(&self) -> &dyn Metadata {
        &self.0.metadata
    }

    /// The blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// The named objects.
    pub fn objects(&self) -> Objects {
        Objects::new(self.dir(), self.blobs().clone())
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Bytes of the records' files.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn metadata_bytes(&self) -> Result<u64, StoreError> {
        let dir = self.dir().join("metadata/sled");
        let measure = || -> std::io::Result<u64> {
            let mut bytes = 0;
            for entry in std::fs::read_dir(&dir)? {
                // A file may be gone by now, as a snapshot that a newer one replaces.
                bytes += entry?.metadata().map_or(0, |file| file.len());
            }
            Ok(bytes)
        };
        measure().map_err(|e| StoreError::io("measure", &dir, e))
    }

    /// Bytes that the disk of the data folder still takes.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let dir = self.dir();
        space::free_bytes(dir).map_err(|e| StoreError::io("ask for the free space of", dir, e))
    }

    /// Remove the blobs that no record names and that are older than `grace`: longer than any upload
    /// takes from its blob to its record, because the store may be in use meanwhile.
    ///
    /// A record names a blob by having its digest's text form (`sha256:…`) anywhere in its bytes,
    /// so no kind of record needs to be known here, and none can be forgotten. Waits for a backup that
    /// is being made.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub fn sweep_orphans(&self, grace: Duration) -> Result<SweepReport, StoreError> {
        let _no_backup = write_lock(&self.0.sweeping);
        let mut named = HashSet::new();
        self.metadata().visit(&mut |_, value| {
            named.extend(digests_in(value));
            Ok(())
        })?;
        let report = self.blobs().sweep(&named, grace)?;
        if report.removed > 0 {
            tracing::info!(
                removed = report.removed,
                bytes = report.removed_bytes,
                "removed blobs that no record names"
            );
        }
        Ok(report)
    }
}

/// A lock whose holder panicked is still good: every holder leaves whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], together with other readers.
fn read_lock<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], with no reader.
fn write_lock<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The digests whose text form is in these bytes.
fn digests_in(bytes: &[u8]) -> impl Iterator<Item = Digest> {
    const PREFIX: &[u8] = digest::TEXT_PREFIX.as_bytes();
    bytes
        .windows(PREFIX.len() + 2 * DIGEST_BYTES)
        .filter(|window| window.starts_with(PREFIX))
        .filter_map(|window| Digest::from_hex(window.get(PREFIX.len()..)?))
}

/// Fields of records that hold what people wrote. A digest there names nothing of the store's.
const TEXT_FIELDS: [&str; 6] = ["tags", "labels", "description", "message", "why", "reason"];

/// The digests by which a record refers to blobs: whole values, not what stands in somebody's text. (A
/// sweep keeps whatever is mentioned anywhere: one blob too many costs less than one too few.)
fn references_in(value: &[u8]) -> Vec<Digest> {
    fn walk(value: &serde_json::Value, found: &mut Vec<Digest>) {
        match value {
            serde_json::Value::String(text) => found.extend(text.parse::<Digest>()),
            serde_json::Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    found.extend(name.parse::<Digest>());
                    if !TEXT_FIELDS.contains(&name.as_str()) {
                        walk(value, found);
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    match serde_json::from_slice(value) {
        Ok(value) => walk(&value, &mut found),
        Err(_) => found.extend(digests_in(value)),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_refers_to_no_blob() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!(
            "{{\"blob\":\"{a}\",\"tags\":{{\"data\":\"{b}\"}},\"note\":\"trained on {b}\",\"message\":\"{b}\"}}"
        );
        assert_eq!(references_in(text.as_bytes()), [a]);
        assert_eq!(references_in(format!("[{{\"{b}\":1}}]").as_bytes()), [b]);
        assert_eq!(references_in(b.to_string().as_bytes()), [b]);
    }

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!("{{\"x\":\"{a}\",\"y\":[\"sha256:short\",\"{b}\"]}}");
        assert_eq!(digests_in(text.as_bytes()).collect::<Vec<_>>(), [a, b]);
        assert_eq!(digests_in(a.to_string().as_bytes()).collect::<Vec<_>>(), [a]);
        assert_eq!(digests_in(a.hex().as_bytes()).count(), 0);
        assert_eq!(digests_in(b"").count(), 0);
    }
}
