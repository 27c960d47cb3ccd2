//! Small records by key: get, scan by prefix, and atomic multi-key compare-and-swap.
//!
//! Versions without gaps, alias moves and live pointers are all built on [`Metadata::commit`]:
//! read, decide, commit on the condition that nothing read has changed, and start over on
//! [`Commit::Conflict`].
//!
//! Every call is synchronous. Reads come from memory except for the first touch of a page; a
//! commit waits for the disk, so asynchronous callers wrap it (and whatever they do around it) in
//! `tokio::task::spawn_blocking`.

mod integrity;
mod sled_backend;

pub(crate) use sled_backend::SledMetadata;

use crate::StoreError;

/// Bytes in a key. Keys are a few names joined by `/`, of at most 64 to 128 bytes each.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes in a value. Sixteen of them and their keys must fit a quarter of a log segment (see
/// `sled_backend`); larger documents are blobs, and the record holds the digest.
pub const VALUE_BYTES_MAX: usize = 112 * 1024;
/// Operations in one commit. The largest in use touches five records.
pub const COMMIT_OPS_MAX: usize = 64;
/// Entries on a page of a scan.
pub const PAGE_ENTRIES_MAX: usize = 1000;
/// Bytes on a page of a scan, from which the page ends early: 1,000 entries of the largest size
/// would be 112 MB.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an operation of a commit needs to find under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Anything or nothing.
    Any,
    /// No record.
    Absent,
    /// A record of exactly these bytes.
    Value(Vec<u8>),
}

/// What an operation of a commit does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Nothing: the operation is a condition.
    Keep,
    /// Write these bytes.
    Put(Vec<u8>),
    /// Remove the record, if there is one.
    Delete,
}

/// One key of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The key: 1 to [`KEY_BYTES_MAX`] bytes of any value, once in a commit.
    pub key: Vec<u8>,
    /// The condition.
    pub expect: Expect,
    /// The change.
    pub write: Write,
}

impl Op {
    /// Write a record on a condition.
    pub fn put(key: impl Into<Vec<u8>>, expect: Expect, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            expect,
            write: Write::Put(value.into()),
        }
    }

    /// Remove a record on a condition.
    pub fn delete(key: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self {
            key: key.into(),
            expect,
            write: Write::Delete,
        }
    }

    /// Only a condition.
    pub fn check(key: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self {
            key: key.into(),
            expect,
            write: Write::Keep,
        }
    }
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Commit {
    /// Every condition held; every change is on disk.
    Done,
    /// A condition did not hold; nothing was changed.
    Conflict {
        /// The first key whose condition failed.
        key: Vec<u8>,
        /// What is there.
        found: Option<Vec<u8>>,
    },
}

/// One page of a scan, in the order of the keys' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where there is more: what to give as `after` for the next page.
    pub next: Option<Vec<u8>>,
}

/// Called with each key and value; an error ends the visit.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// A store of small records.
///
/// What was acknowledged survives `kill -9` and loss of power; what is found not to have survived
/// is [`StoreError::Damaged`] at open, never a store that is silently older. A read may see a
/// commit of another thread that is still on its way to the disk; a commit (one that only checks
/// included) returns after everything that it could have seen is on disk.
pub trait Metadata: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// Those of the storage; [`StoreError::BadRequest`] for a key that is empty or too long.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` entries (at most [`PAGE_ENTRIES_MAX`]) whose keys start with `prefix`, after
    /// the key `after` where that is given. An empty prefix scans everything. Not a snapshot: a
    /// commit during a scan may show in part.
    ///
    /// # Errors
    ///
    /// Those of the storage; [`StoreError::BadRequest`] for a limit of 0.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page, StoreError>;

    /// Check every condition and, where all hold, make every change, as one step that is on disk
    /// when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] before anything is changed; after any other error of the storage the
    /// outcome is unknown and the store answers [`StoreError::Failed`] until it is opened again.
    fn commit(&self, ops: &[Op]) -> Result<Commit, StoreError>;

    /// Visit every record in key order as of one moment: commits wait until the visit ends.
    ///
    /// # Errors
    ///
    /// Those of the storage, and the visitor's own.
    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<(), StoreError>;
}

/// Refuse what no backend should see.
fn check_ops(ops: &[Op]) -> Result<(), StoreError> {
    if ops.is_empty() || ops.len() > COMMIT_OPS_MAX {
        return Err(StoreError::BadRequest("a commit has 1 to 64 operations"));
    }
    let mut keys = std::collections::HashSet::with_capacity(ops.len());
    for op in ops {
        check_key(&op.key)?;
        if !keys.insert(op.key.as_slice()) {
            return Err(StoreError::BadRequest("a commit names each key once"));
        }
        if let Write::Put(value) = &op.write
            && value.len() > VALUE_BYTES_MAX
        {
            return Err(StoreError::TooLarge {
                what: "the metadata record",
                size: value.len() as u64,
                max: VALUE_BYTES_MAX as u64,
            });
        }
    }
    Ok(())
}

fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(StoreError::BadRequest("a key has 1 to 1024 bytes"));
    }
    Ok(())
}
