//! Blobs in an object store, with copies of those in use in a local folder.
//!
//! A blob is written to the local folder, uploaded, and then known: what a record names is in the
//! object store. It is read from the local folder, where it is fetched to on first use. The folder
//! is bounded; what was not used for longest goes first, and what was handed out in the last
//! minutes stays, as somebody may be about to open it by its path.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::backend::{Backend, Listed, UrlOptions};
use super::bucket::Bucket;
use super::check_digest;
use super::folder::{Folder, Temporary};
use crate::{BlobInfo, Digest, StoreError, lock};

/// How long a copy stays after it was handed out: from the path to the opened file, with a child
/// process that checks a model before it is loaded.
const GRACE: Duration = Duration::from_secs(10 * 60);
/// Downloads of different blobs at the same time; of one blob there is one.
const DOWNLOADS_MAX: usize = 8;

/// The object store and the copies.
#[derive(Debug)]
pub(crate) struct Remote {
    copies: Folder,
    bucket: Bucket,
    cache_bytes: u64,
    /// Held while copies are chosen to be removed, and while one is marked as used.
    uses: Mutex<()>,
    /// The one for a digest is held while its blob is fetched.
    downloads: [Mutex<()>; DOWNLOADS_MAX],
}

impl Remote {
    pub(crate) fn open(
        copies: Folder,
        url: &str,
        options: &UrlOptions,
        id: Option<&str>,
    ) -> Result<Self, StoreError> {
        let bucket = Bucket::open(url, options)?;
        match id {
            Some(id) => bucket.claim(id)?,
            // Only to see that it can be reached.
            None => bucket.owner().map(|_| ())?,
        }
        let remote = Self {
            copies,
            bucket,
            cache_bytes: options.cache_bytes,
            uses: Mutex::default(),
            downloads: Default::default(),
        };
        remote.make_room(0)?;
        Ok(remote)
    }

    /// The copy, marked as used; none where there is none.
    fn copy(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
        let _uses = lock(&self.uses);
        let Some((file, size)) = self.copies.file(digest)? else {
            return Ok(None);
        };
        file.set_modified(SystemTime::now())
            .map_err(|e| StoreError::io("mark as used", &self.copies.path_of(digest), e))?;
        Ok(Some((file, size)))
    }

    fn fetch(&self, digest: &Digest) -> Result<(), StoreError> {
        let missing = || StoreError::BlobMissing {
            digest: *digest,
            path: self.bucket.place_of(digest),
        };
        let size = self.bucket.look(digest)?.ok_or_else(missing)?.size;
        self.make_room(size)?;
        self.copies.require_room(size)?;
        let mut temporary = self.copies.temporary()?;
        let mut hasher = Sha256::new();
        self.bucket.download(digest, size, |chunk| {
            hasher.update(chunk);
            temporary
                .file
                .write_all(chunk)
                .map_err(|e| StoreError::io("write", self.copies.dir(), e))
        })?;
        check_digest(digest, Digest::from_hasher(hasher), &self.bucket.place_of(digest))?;
        self.copies.place(temporary, digest)?;
        Ok(())
    }

    /// Remove the copies that were not used for longest, until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        let _uses = lock(&self.uses);
        let mut copies = Vec::new();
        let mut total = bytes;
        self.copies.visit_files(|digest, path, metadata| {
            let used = metadata
                .modified()
                .map_err(|e| StoreError::io("read the age of", path, e))?;
            total = total.saturating_add(metadata.len());
            copies.push((used, digest, metadata.len()));
            Ok(())
        })?;
        copies.sort_unstable();
        let now = SystemTime::now();
        for (used, digest, size) in copies {
            let idle = now.duration_since(used).unwrap_or_default();
            if total <= self.cache_bytes || idle < GRACE {
                break;
            }
            self.copies.remove_file(&digest)?;
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

impl Backend for Remote {
    fn folder(&self) -> &Folder {
        &self.copies
    }

    fn bucket(&self) -> Option<&Bucket> {
        Some(&self.bucket)
    }

    fn take_over(&self, id: &str) -> Result<(), StoreError> {
        self.bucket.take_over(id)
    }

    fn keep(&self, mut temporary: Temporary, blob: &BlobInfo) -> Result<(), StoreError> {
        temporary
            .file
            .seek(SeekFrom::Start(0))
            .map_err(|e| StoreError::io("read", self.copies.dir(), e))?;
        self.bucket.upload(&blob.digest, &mut temporary.file, blob.size)?;
        self.make_room(blob.size)?;
        self.copies.place(temporary, &blob.digest)?;
        Ok(())
    }

    fn look(&self, digest: &Digest) -> Result<Option<Listed>, StoreError> {
        self.bucket.look(digest)
    }

    fn open(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        if let Some(copy) = self.copy(digest)? {
            return Ok(copy);
        }
        let [first, ..] = digest.as_bytes();
        let turn = self.downloads.get(usize::from(*first) % DOWNLOADS_MAX);
        let _turn = turn.map(lock);
        // Whoever had the turn before may have fetched it.
        if let Some(copy) = self.copy(digest)? {
            return Ok(copy);
        }
        self.fetch(digest)?;
        self.copy(digest)?.ok_or_else(|| StoreError::BlobMissing {
            digest: *digest,
            path: self.copies.path_of(digest),
        })
    }

    fn discard_copy(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.copies.remove_file(digest)?;
        Ok(true)
    }

    fn visit(&self, each: &mut dyn FnMut(Listed) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.bucket.visit(each)
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.bucket.remove(digest)?;
        self.copies.remove_file(digest)
    }
}
