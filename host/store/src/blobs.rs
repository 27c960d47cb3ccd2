//! Content-addressed bytes: plugins, models, baselines, sketches.
//!
//! A blob is named by its SHA-256 and never changes. It is written under a temporary name on the
//! same filesystem, flushed, renamed, and its folder flushed; so a blob is there whole or not at
//! all, and writing the same bytes twice is harmless (and repairs a damaged file). Whoever needs
//! it writes a metadata record that names the digest *after* that; a crash between the two leaves
//! an orphan, which [`Store::sweep_orphans`](crate::Store::sweep_orphans) removes.
//!
//! Every way to read checks the digest first: a damaged file is [`StoreError::BlobDamaged`], with
//! the file's name, and never a plugin that runs or a model that answers.
//!
//! All calls are synchronous; asynchronous callers use `tokio::task::spawn_blocking`.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::{Digest, StoreError, layout, space};

/// Bytes read or hashed at a time.
const CHUNK_BYTES: usize = 128 * 1024;
/// Bytes between two looks at the free space of the disk while a blob is written.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

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
    /// Blobs that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// Blobs in a local folder.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    reserve_bytes: u64,
}

impl Blobs {
    /// Open the blobs in `dir`, or make the folder; what a killed process was writing is removed.
    /// The caller holds the lock of the data folder.
    pub(crate) fn open(dir: &Path, reserve_bytes: u64) -> Result<Self, StoreError> {
        let blobs = Self {
            dir: dir.to_path_buf(),
            reserve_bytes,
        };
        layout::create_dir_durably(&blobs.root())?;
        let temporary = blobs.temporary_dir();
        layout::create_dir_durably(&temporary)?;
        for path in list(&temporary)? {
            tracing::info!(path = %path.display(), "removing a blob that was never finished");
            fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
        Ok(blobs)
    }

    fn root(&self) -> PathBuf {
        self.dir.join("sha256")
    }

    fn temporary_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Where a blob lies, whether it is there or not.
    fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let [first, second, ..] = digest.as_bytes();
        self.root()
            .join(format!("{first:02x}"))
            .join(format!("{second:02x}"))
            .join(hex)
    }

    /// Write a blob that is in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system.
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
    /// the operating system and of the stream.
    pub fn put_from(&self, mut source: impl Read, max_bytes: u64) -> Result<BlobInfo, StoreError> {
        let mut writer = self.writer(max_bytes)?;
        for_each_chunk(&mut source, &self.dir, |chunk| writer.append(chunk))?;
        writer.finish()
    }

    /// Start a blob of at most `max_bytes`. Nothing of it is visible before
    /// [`BlobWriter::finish`]; dropped before that, it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system.
    pub fn writer(&self, max_bytes: u64) -> Result<BlobWriter, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        space::require(&self.dir, self.reserve_bytes)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self
            .temporary_dir()
            .join(format!("{}-{number}", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| StoreError::io("create", &path, e))?;
        Ok(BlobWriter {
            blobs: Self {
                dir: self.dir.clone(),
                reserve_bytes: self.reserve_bytes,
            },
            temporary: Some(path),
            file,
            hasher: Sha256::new(),
            size: 0,
            max_bytes,
        })
    }

    /// Is there a blob of this digest? Its bytes are not checked.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path_of(digest).is_file()
    }

    /// How many bytes a blob has. They are not checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`].
    pub fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let (_, size) = self.open_unchecked(digest, &self.path_of(digest))?;
        Ok(size)
    }

    /// A blob's bytes, checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`], [`StoreError::BlobDamaged`], [`StoreError::TooLarge`] for more
    /// than `max_bytes`.
    pub fn read(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path_of(digest);
        let (mut file, size) = self.open_unchecked(digest, &path)?;
        if size > max_bytes {
            return Err(StoreError::TooLarge {
                what: "the blob",
                size,
                max: max_bytes,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // No further than the limit, even where the file grew in the meantime.
        (&mut file)
            .take(max_bytes)
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::io("read", &path, e))?;
        check_digest(digest, Digest::of(&bytes), path)?;
        Ok(bytes)
    }

    /// A blob to stream from, checked: the whole file is read once before this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`], [`StoreError::BlobDamaged`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path_of(digest);
        let (mut file, _) = self.open_unchecked(digest, &path)?;
        let mut hasher = Sha256::new();
        for_each_chunk(&mut file, &path, |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        check_digest(digest, Digest::from_hasher(hasher), path.clone())?;
        file.seek(SeekFrom::Start(0))
            .map_err(|e| StoreError::io("read", &path, e))?;
        Ok(file)
    }

    /// A blob's file, checked as in [`Blobs::open_blob`], for libraries that load by path. The
    /// file must not be changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`], [`StoreError::BlobDamaged`].
    pub fn path(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        self.open_blob(digest)?;
        Ok(self.path_of(digest))
    }

    fn open_unchecked(&self, digest: &Digest, path: &Path) -> Result<(File, u64), StoreError> {
        let file = File::open(path).map_err(|e| {
            if e.kind() == io::ErrorKind::NotFound {
                StoreError::BlobMissing {
                    digest: *digest,
                    path: path.to_path_buf(),
                }
            } else {
                StoreError::io("open", path, e)
            }
        })?;
        let size = file
            .metadata()
            .map_err(|e| StoreError::io("read", path, e))?
            .len();
        Ok((file, size))
    }

    /// Remove the blobs that are not in `named` and that were written longer ago than `grace`.
    pub(crate) fn sweep(&self, named: &HashSet<Digest>, grace: Duration) -> Result<SweepReport, StoreError> {
        let mut report = SweepReport::default();
        let now = SystemTime::now();
        self.for_each(|digest, path, metadata| {
            // A clock that went backwards makes a file young, and it stays.
            let age = metadata
                .modified()
                .ok()
                .and_then(|written| now.duration_since(written).ok())
                .unwrap_or_default();
            if named.contains(&digest) || age < grace {
                report.kept += 1;
                return Ok(());
            }
            fs::remove_file(path).map_err(|e| StoreError::io("remove", path, e))?;
            report.removed += 1;
            report.removed_bytes += metadata.len();
            Ok(())
        })?;
        Ok(report)
    }

    /// Visit every blob. Files whose names are no digests were not put there by this code, and are
    /// left alone.
    pub(crate) fn for_each(
        &self,
        mut visit: impl FnMut(Digest, &Path, &fs::Metadata) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for first in list(&self.root())? {
            for second in list(&first)? {
                for path in list(&second)? {
                    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                    let Some(digest) = Digest::from_hex(name) else {
                        continue;
                    };
                    let metadata = fs::metadata(&path).map_err(|e| StoreError::io("read", &path, e))?;
                    visit(digest, &path, &metadata)?;
                }
            }
        }
        Ok(())
    }
}

/// A blob that is being written. As [`io::Write`] it gives the store's errors as
/// [`io::Error::other`]; [`BlobWriter::append`] gives them as they are.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    /// Present until the file is renamed.
    temporary: Option<PathBuf>,
    file: File,
    hasher: Sha256,
    size: u64,
    max_bytes: u64,
}

impl BlobWriter {
    /// Add bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] before anything beyond the limit is written; [`StoreError::Full`];
    /// those of the operating system.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.max_bytes {
            return Err(StoreError::TooLarge {
                what: "the blob",
                size,
                max: self.max_bytes,
            });
        }
        if size / SPACE_CHECK_BYTES != self.size / SPACE_CHECK_BYTES {
            space::require(&self.blobs.dir, self.blobs.reserve_bytes)?;
        }
        self.file
            .write_all(bytes)
            .map_err(|e| StoreError::io("write", &self.blobs.dir, e))?;
        self.hasher.update(bytes);
        self.size = size;
        Ok(())
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Flush, and give the blob its name. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system; the blob is then not there.
    pub fn finish(mut self) -> Result<BlobInfo, StoreError> {
        let digest = Digest::from_hasher(std::mem::take(&mut self.hasher));
        let path = self.blobs.path_of(&digest);
        if let Some(parent) = path.parent() {
            layout::create_dir_durably(parent)?;
        }
        self.file
            .sync_all()
            .map_err(|e| StoreError::io("flush", &self.blobs.dir, e))?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &path).map_err(|e| StoreError::io("write", &path, e))?;
        }
        self.temporary = None;
        layout::sync_parent(&path)?;
        Ok(BlobInfo {
            digest,
            size: self.size,
        })
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "can't remove an unfinished blob");
        }
    }
}

fn check_digest(expected: &Digest, found: Digest, path: PathBuf) -> Result<(), StoreError> {
    if *expected == found {
        return Ok(());
    }
    Err(StoreError::BlobDamaged {
        digest: *expected,
        found,
        path,
    })
}

/// Call `each` with the bytes of a source, piece by piece; `path` is for the error's message.
fn for_each_chunk(
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

/// The paths in a folder; none where it is no folder.
fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| StoreError::io("list", dir, e))
}
