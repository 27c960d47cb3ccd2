//! Files by name, in the same place as the blobs, for other programs to read as they are: `objects/` in
//! the data folder, or `PREFIX/objects/` in the object store.
//!
//! An object is there whole or not at all, and durable when [`Objects::put`] returns. Unlike blobs objects
//! have names that say what they are, may be replaced, are counted by nobody here, and are in no backup.
//!
//! All calls are synchronous, as those of [`Blobs`](crate::Blobs) are.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Blobs, StoreError, layout, read_lock, write_lock};

/// Bytes of a path: S3 takes 1,024 with the bucket's prefix.
pub const OBJECT_PATH_BYTES_MAX: usize = 512;

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its path.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written.
    pub written: SystemTime,
}

/// The objects of a data folder.
#[derive(Debug, Clone)]
pub struct Objects {
    root: PathBuf,
    blobs: Blobs,
}

impl Objects {
    pub(crate) fn new(dir: &Path, blobs: Blobs) -> Self {
        Self {
            root: dir.join("objects"),
            blobs,
        }
    }

    /// Where they are: a folder, or an address in an object store.
    pub fn place(&self) -> PathBuf {
        match self.blobs.bucket() {
            Some(bucket) => bucket.named_place(),
            None => self.root.clone(),
        }
    }

    /// Write an object, in the place of one of the same path if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRequest`] for a path that isn't one, [`StoreError::Full`]; those of the operating
    /// system and the object store.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        check(path)?;
        if let Some(bucket) = self.blobs.bucket() {
            return bucket.put_named(path, bytes);
        }
        let folder = self.blobs.folder();
        folder.require_room(bytes.len() as u64)?;
        let mut temporary = folder.temporary()?;
        let to = self.root.join(path);
        let written = temporary.file.write_all(&bytes);
        written
            .and_then(|()| temporary.file.sync_all())
            .map_err(|e| StoreError::io("write", &to, e))?;
        let _keeping = read_lock(&folder.keeping);
        temporary.rename_to(&to)?;
        layout::sync_parent(&to)
    }

    /// An object of at most `max_bytes`; none where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRequest`], [`StoreError::TooLarge`]; those of the operating system and the object
    /// store.
    pub fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        check(path)?;
        if let Some(bucket) = self.blobs.bucket() {
            return bucket.get_named(path, max_bytes);
        }
        let from = self.root.join(path);
        let read = File::open(&from).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) if bytes.len() as u64 > max_bytes => Err(StoreError::TooLarge {
                what: "the object",
                size: bytes.len() as u64,
                max: max_bytes,
            }),
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &from, e)),
        }
    }

    /// Remove an object, if it is there.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRequest`]; those of the operating system and the object store.
    pub fn remove(&self, path: &str) -> Result<(), StoreError> {
        check(path)?;
        if let Some(bucket) = self.blobs.bucket() {
            return bucket.remove_named(path);
        }
        let gone = self.root.join(path);
        // Nobody gives a file its name in a folder that goes.
        let _alone = write_lock(&self.blobs.folder().keeping);
        match fs::remove_file(&gone) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::io("remove", &gone, e)),
            _ => {}
        }
        // Folders that are empty now; one that isn't can't be removed, and ends it.
        let above = gone
            .ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with(&self.root));
        for dir in above {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Visit the objects below a folder, in no order.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRequest`]; those of `each`, the operating system and the object store.
    pub fn visit(
        &self,
        folder: &str,
        mut each: impl FnMut(ObjectInfo) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        check(folder)?;
        if let Some(bucket) = self.blobs.bucket() {
            return bucket.visit_named(folder, &mut each);
        }
        let mut folders = vec![self.root.join(folder)];
        while let Some(dir) = folders.pop() {
            let failed = |e| StoreError::io("list", &dir, e);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(e)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    // Removed meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(failed(e)),
                };
                if metadata.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let path = entry.path();
                let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                // What isn't named as an object was put there by others.
                if let Some(below) = below.filter(|below| check(below).is_ok()) {
                    each(ObjectInfo {
                        path: below.to_owned(),
                        size: metadata.len(),
                        written: metadata.modified().map_err(failed)?,
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Paths are those that mean the same to filesystems, to S3 and to readers of Hive partitions.
fn check(path: &str) -> Result<(), StoreError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'.');
    let good = path.len() <= OBJECT_PATH_BYTES_MAX
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits));
    match good {
        true => Ok(()),
        false => Err(StoreError::BadRequest("a path that no object can have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        for good in ["a", "predictions/tenant=t/date=2026-11-26/hour=05/part-1.parquet"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(OBJECT_PATH_BYTES_MAX + 1);
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "a b", "ä", &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
