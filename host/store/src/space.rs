//! How much room is left on a disk.

use std::io;
use std::path::Path;

use crate::StoreError;

/// Bytes that an unprivileged process may still write to the disk of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuse a write that would leave less than the reserve.
///
/// # Errors
///
/// [`StoreError::Full`], or [`StoreError::Io`] where the disk can't be asked.
pub(crate) fn require(path: &Path, needed_bytes: u64) -> Result<(), StoreError> {
    let free_bytes = free_bytes(path).map_err(|e| StoreError::io("ask for the free space of", path, e))?;
    if free_bytes < needed_bytes {
        return Err(StoreError::Full {
            path: path.to_path_buf(),
            free_bytes,
            needed_bytes,
        });
    }
    Ok(())
}
