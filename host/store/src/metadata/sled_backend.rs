//! [`Metadata`] on sled 0.34.
//!
//! What sled gives is fast and survived the kill tests of this crate. What it doesn't give, this
//! module adds:
//!
//! - On Linux sled's `flush` is `sync_file_range`, which keeps neither the file's new length nor a
//!   disk's write cache. A commit is acknowledged after an `fdatasync` of sled's log on top.
//! - Pages beyond a quarter of a segment go to side files that sled never flushes. The segment
//!   size and [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX) are such that no page gets there.
//! - A process killed while sled writes a snapshot leaves `snap.*.generating`, which sled then
//!   takes for the newest snapshot and, where it is torn, refuses to open. The old snapshot and
//!   the log are still whole at that moment, so the file is removed before open.
//! - A damaged log may be cut off silently; see [`integrity`](super::integrity).
//! - sled panics where it should answer. Every call goes through [`SledMetadata::call`], and a
//!   panic is an error like any other.
//! - What sled does on a full disk is not to be relied upon: commits are refused while there is
//!   still some room.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::integrity::{AckedFile, Summary};
use super::{Commit, Expect, Metadata, Op, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, Visitor, Write};
use crate::{StoreError, layout, lock, space};

/// A leaf holds up to 17 records before it splits; a quarter of this is more than 17 of the
/// largest records and their keys.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
const _: () = assert!(17 * (super::VALUE_BYTES_MAX + super::KEY_BYTES_MAX + 64) < SEGMENT_BYTES / 4);

/// First byte of the keys of records.
const RECORD: u8 = b'k';
/// First byte after those.
const RECORD_END: u8 = RECORD + 1;
/// The key of the summary.
const SUMMARY_KEY: &[u8] = b"i/summary";

/// Records in sled.
pub(crate) struct SledMetadata {
    /// Taken out by `drop` alone.
    db: Option<sled::Db>,
    dir: PathBuf,
    /// A second handle on sled's log, to flush it.
    log: File,
    /// Held from the check of the conditions until the change is made.
    applied: Mutex<Summary>,
    /// Held during a flush: those who wait here find their commit flushed with the others.
    durable: Mutex<Durable>,
    failed: OnceLock<String>,
    reserve_bytes: u64,
}

struct Durable {
    commit: u64,
    acked: AckedFile,
}

impl SledMetadata {
    /// Open the records in `dir`, or make them; check that they add up to what was acknowledged.
    pub(crate) fn open(dir: &Path, cache_bytes: u64, reserve_bytes: u64) -> Result<Self, StoreError> {
        let sled_dir = dir.join("sled");
        layout::create_dir_durably(&sled_dir)?;
        remove_unfinished_snapshots(&sled_dir)?;
        // Recovery writes to the log; a disk without room would fail half-way through it.
        space::require(dir, reserve_bytes)?;

        let damaged = |detail: String| StoreError::Damaged {
            path: dir.to_path_buf(),
            detail,
        };
        let config = sled::Config::new()
            .path(&sled_dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache_bytes);
        let (db, stored, counted) = catch_unwind(AssertUnwindSafe(|| -> sled::Result<_> {
            let db = config.open()?;
            let stored = db.get(SUMMARY_KEY)?;
            let mut counted = Summary::default();
            for entry in db.range([RECORD]..[RECORD_END]) {
                let (key, value) = entry?;
                counted.add(key.get(1..).unwrap_or_default(), &value);
            }
            Ok((db, stored, counted))
        }))
        .map_err(|panic| damaged(panic_text(&*panic)))?
        .map_err(|e| sled_error(dir, e))?;

        let summary = match stored {
            Some(bytes) => {
                Summary::from_bytes(&bytes).ok_or_else(|| damaged("the summary is malformed".to_owned()))?
            }
            None => Summary::default(),
        };
        if !summary.same_records(&counted) {
            return Err(damaged(format!(
                "commit {} left {} records, and there are {} or their contents differ",
                summary.commit, summary.records, counted.records
            )));
        }
        let acked_path = dir.join("acked");
        let (acked, acknowledged) =
            AckedFile::open(&acked_path).map_err(|e| StoreError::io("open", &acked_path, e))?;
        if summary.commit < acknowledged {
            return Err(damaged(format!(
                "commit {acknowledged} was acknowledged, and the newest found is {}; \
                 if you put an older copy here on purpose, remove {}",
                summary.commit,
                acked_path.display()
            )));
        }
        let log_path = sled_dir.join("db");
        let log = File::open(&log_path).map_err(|e| StoreError::io("open", &log_path, e))?;
        layout::sync_parent(&log_path)?;
        layout::sync_parent(&acked_path)?;
        Ok(Self {
            db: Some(db),
            dir: dir.to_path_buf(),
            log,
            applied: Mutex::new(summary),
            // What was found is not known to be on disk; the first commit flushes it.
            durable: Mutex::new(Durable { commit: 0, acked }),
            failed: OnceLock::new(),
            reserve_bytes,
        })
    }

    /// Call sled. An error or a panic closes the store.
    fn call<T>(&self, f: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        if let Some(detail) = self.failed.get() {
            return Err(StoreError::Failed {
                detail: detail.clone(),
            });
        }
        let Some(db) = &self.db else {
            return Err(StoreError::BadRequest("the store is closed"));
        };
        let error = match catch_unwind(AssertUnwindSafe(|| f(db))) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => sled_error(&self.dir, e),
            Err(panic) => StoreError::Failed {
                detail: panic_text(&*panic),
            },
        };
        Err(self.fail(error))
    }

    /// Nothing is certain any more: close the store, and pass the error on.
    fn fail(&self, error: StoreError) -> StoreError {
        let _ = self.failed.set(error.to_string());
        error
    }

    /// Return when everything up to this commit is on disk.
    fn make_durable(&self, commit: u64) -> Result<(), StoreError> {
        let mut durable = lock(&self.durable);
        if durable.commit >= commit && durable.commit > 0 {
            return Ok(());
        }
        let newest = lock(&self.applied).commit;
        self.call(|db| db.flush())?;
        self.log
            .sync_data()
            .map_err(|e| self.fail(StoreError::io("flush", &self.dir, e)))?;
        durable
            .acked
            .write(newest)
            .map_err(|e| self.fail(StoreError::io("write the acknowledged commit in", &self.dir, e)))?;
        durable.commit = newest;
        Ok(())
    }

    /// Check and change, not yet flushed. The number of the newest commit, and how it ended.
    fn apply(&self, ops: &[Op]) -> Result<(u64, Commit), StoreError> {
        let mut applied = lock(&self.applied);
        let mut next = *applied;
        let mut batch = sled::Batch::default();
        let mut changes = false;
        for op in ops {
            let key = record_key(&op.key);
            let found = self.call(|db| db.get(&key))?;
            let holds = match (&op.expect, &found) {
                (Expect::Any, _) | (Expect::Absent, None) => true,
                (Expect::Value(expected), Some(found)) => expected.as_slice() == found.as_ref(),
                (Expect::Absent, Some(_)) | (Expect::Value(_), None) => false,
            };
            if !holds {
                let conflict = Commit::Conflict {
                    key: op.key.clone(),
                    found: found.map(|value| value.to_vec()),
                };
                return Ok((applied.commit, conflict));
            }
            match &op.write {
                Write::Keep => continue,
                Write::Put(value) => {
                    next.add(&op.key, value);
                    batch.insert(key, value.as_slice());
                }
                Write::Delete => batch.remove(key),
            }
            if let Some(old) = &found {
                next.remove(&op.key, old);
            }
            changes = true;
        }
        if changes {
            // Before anything is changed, so that it is an error like any other.
            space::require(&self.dir, self.reserve_bytes)?;
            next.commit = applied.commit.wrapping_add(1);
            batch.insert(SUMMARY_KEY, next.to_bytes());
            self.call(|db| db.apply_batch(batch))?;
            *applied = next;
        }
        Ok((applied.commit, Commit::Done))
    }
}

impl Metadata for SledMetadata {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        super::check_key(key)?;
        let value = self.call(|db| db.get(record_key(key)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        if limit == 0 {
            return Err(StoreError::BadRequest("a page has room for at least one entry"));
        }
        let limit = limit.min(PAGE_ENTRIES_MAX);
        let prefix = record_key(prefix);
        let start = match after.map(record_key) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix.clone()),
        };
        self.call(|db| {
            let mut page = Page::default();
            let mut bytes = 0;
            for entry in db.range((start, Bound::<Vec<u8>>::Unbounded)) {
                let (key, value) = entry?;
                if !key.starts_with(&prefix) {
                    break;
                }
                if page.entries.len() == limit || bytes >= PAGE_BYTES_MAX {
                    page.next = page.entries.last().map(|(key, _)| key.clone());
                    break;
                }
                bytes += key.len() + value.len();
                page.entries
                    .push((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()));
            }
            Ok(page)
        })
    }

    fn commit(&self, ops: &[Op]) -> Result<Commit, StoreError> {
        super::check_ops(ops)?;
        let (newest, outcome) = self.apply(ops)?;
        // Also where nothing changed: the answer rests on what was seen, so that must be on disk.
        self.make_durable(newest)?;
        Ok(outcome)
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<(), StoreError> {
        let _no_commits = lock(&self.applied);
        let mut entries = self.call(|db| Ok(db.range([RECORD]..[RECORD_END])))?;
        while let Some((key, value)) = self.call(|_| entries.next().transpose())? {
            visitor(key.get(1..).unwrap_or_default(), &value)?;
        }
        Ok(())
    }
}

impl Drop for SledMetadata {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled flushes once more here, and unwraps.
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!(path = %self.dir.display(), "the metadata store could not be closed cleanly");
        }
    }
}

fn record_key(key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(key.len() + 1);
    whole.push(RECORD);
    whole.extend_from_slice(key);
    whole
}

fn sled_error(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(e) => StoreError::io("use the metadata in", dir, e),
        other => StoreError::Damaged {
            path: dir.to_path_buf(),
            detail: other.to_string(),
        },
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("the storage engine stopped: {text}")
}

fn remove_unfinished_snapshots(sled_dir: &Path) -> Result<(), StoreError> {
    let list = |e: io::Error| StoreError::io("list", sled_dir, e);
    for entry in fs::read_dir(sled_dir).map_err(list)? {
        let path = entry.map_err(list)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "generating")
        {
            tracing::warn!(path = %path.display(), "removing a snapshot that a killed process left unfinished");
            fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Op {
        Op::put(key, Expect::Any, "value")
    }

    #[test]
    fn a_full_disk_refuses_commits_and_does_not_close_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let mut metadata = SledMetadata::open(dir.path(), 1 << 20, 0).unwrap();
        assert_eq!(metadata.commit(&[put("a")]).unwrap(), Commit::Done);
        metadata.reserve_bytes = u64::MAX;
        assert_eq!(metadata.commit(&[put("b")]).unwrap_err().code(), "store-full");
        // What needs no room still works.
        assert_eq!(metadata.get(b"a").unwrap(), Some(b"value".to_vec()));
        assert_eq!(metadata.get(b"b").unwrap(), None);
        let check = Op::check("a", Expect::Value(b"value".to_vec()));
        assert_eq!(metadata.commit(&[check]).unwrap(), Commit::Done);
        metadata.reserve_bytes = 0;
        assert_eq!(metadata.commit(&[put("b")]).unwrap(), Commit::Done);
    }

    #[test]
    fn a_panic_of_the_engine_closes_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = SledMetadata::open(dir.path(), 1 << 20, 0).unwrap();
        let error = metadata
            .call::<()>(|_| panic!("index out of bounds"))
            .unwrap_err();
        assert_eq!(error.code(), "store-failed");
        assert!(error.to_string().contains("index out of bounds"), "{error}");
        for error in [
            metadata.get(b"a").unwrap_err(),
            metadata.commit(&[put("a")]).unwrap_err(),
            metadata.scan(b"", None, 1).unwrap_err(),
        ] {
            assert_eq!(error.code(), "store-failed");
        }
    }

    #[test]
    fn no_page_goes_to_a_side_file() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = SledMetadata::open(dir.path(), 1 << 20, 0).unwrap();
        for round in 0..3 {
            for key in 0..40 {
                let value = vec![round; super::super::VALUE_BYTES_MAX];
                let key = format!("{key:0>0$}", super::super::KEY_BYTES_MAX);
                assert_eq!(
                    metadata.commit(&[Op::put(key, Expect::Any, value)]).unwrap(),
                    Commit::Done
                );
            }
        }
        let side_files = fs::read_dir(dir.path().join("sled/blobs")).unwrap().count();
        assert_eq!(side_files, 0);
    }
}
