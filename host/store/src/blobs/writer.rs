//! A blob that is being written.

use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::backend::Backend;
use super::folder::Temporary;
use crate::{BlobInfo, Digest, StoreError, read_lock};

/// Bytes between two looks at the free space of the disk.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// A blob that is being written. As [`io::Write`] it gives the store's errors as
/// [`io::Error::other`]; [`BlobWriter::append`] gives them as they are.
#[derive(Debug)]
pub struct BlobWriter {
    backend: Arc<dyn Backend>,
    temporary: Temporary,
    hasher: Sha256,
    size: u64,
    max_bytes: u64,
}

impl BlobWriter {
    pub(super) fn start(backend: Arc<dyn Backend>, max_bytes: u64) -> Result<Self, StoreError> {
        Ok(Self {
            temporary: backend.folder().temporary()?,
            backend,
            hasher: Sha256::new(),
            size: 0,
            max_bytes,
        })
    }

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
        let folder = self.backend.folder();
        if size / SPACE_CHECK_BYTES != self.size / SPACE_CHECK_BYTES {
            folder.require_room(0)?;
        }
        self.temporary
            .file
            .write_all(bytes)
            .map_err(|e| StoreError::io("write", folder.dir(), e))?;
        self.hasher.update(bytes);
        self.size = size;
        Ok(())
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Keep the blob under its name. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and those of the operating system and the object store; the blob is then
    /// not there.
    pub fn finish(self) -> Result<BlobInfo, StoreError> {
        let blob = BlobInfo {
            digest: Digest::from_hasher(self.hasher),
            size: self.size,
        };
        let _no_removal = read_lock(&self.backend.folder().keeping);
        self.backend.keep(self.temporary, &blob)?;
        Ok(blob)
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
