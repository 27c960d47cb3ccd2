//! A portable copy of a data folder in one stream, and the way back.
//!
//! It is a tar file with these entries, in this order:
//!
//! ```text
//! caisson-backup.json       {"format":2,"records":…,"records_bytes":…,"records_digest":"sha256:…",
//!                            "blobs":…,"blob_bytes":…}
//! records.jsonl             {"key":"<base64>","value":"<base64>"} a line, in key order
//! blobs/sha256/<digest>     each blob that a record mentions, in order of the digests; or
//! left-out/sha256/<digest>  why one that a record refers to could not be read
//! caisson-backup-end.json   {"blobs":…,"blob_bytes":…,"left_out":…,"digest":"sha256:…"}: the digest is
//!                           of a line `<entry's name> <size> <digest>` for each entry before
//! ```
//!
//! It holds no file of the storage engine's, and doesn't say where blobs were, so it can be restored
//! into another engine, a later release, or another object store. It is made while the store is in
//! use; it is the store of one moment. A stream that ended early has no last entry, and nothing is
//! restored from it. (Format 1 was a folder.)

mod restore;
mod write;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Digest, KEY_BYTES_MAX, VALUE_BYTES_MAX};

pub use restore::{check_backup, restore_from};

/// The backup's format.
const FORMAT: u64 = 2;
const MANIFEST_ENTRY: &str = "caisson-backup.json";
const RECORDS_ENTRY: &str = "records.jsonl";
const BLOBS: &str = "blobs/sha256/";
const LEFT_OUT: &str = "left-out/sha256/";
const END_ENTRY: &str = "caisson-backup-end.json";
/// Bytes of the first and the last entry. Both are a line.
const SMALL_ENTRY_BYTES_MAX: u64 = 4096;
/// A line of records: key and value in base64, and the JSON around them.
const LINE_BYTES_MAX: u64 = ((KEY_BYTES_MAX + VALUE_BYTES_MAX) * 4 / 3 + 128) as u64;
/// Blobs left out that a report names; those beyond are counted.
const LEFT_OUT_MAX: usize = 100;

/// What a backup or a restore copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Metadata records.
    pub records: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
    /// Blobs that are named and not in the backup, because they were damaged or missing when it was
    /// made; the first 100.
    pub left_out: Vec<LeftOut>,
    /// How many those are.
    pub left_out_total: u64,
}

/// A blob that is not in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub digest: Digest,
    /// Why.
    pub reason: String,
}

impl BackupReport {
    fn leave_out(&mut self, digest: Digest, reason: String) {
        self.left_out_total += 1;
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(LeftOut { digest, reason });
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u64,
    records: u64,
    records_bytes: u64,
    records_digest: Digest,
    /// Those left out included.
    blobs: u64,
    /// At most: what they had when the backup began.
    blob_bytes: u64,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
struct End {
    blobs: u64,
    blob_bytes: u64,
    left_out: u64,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    value: String,
}

/// The digest over all entries.
#[derive(Default)]
struct Contents(Sha256);

impl Contents {
    fn add(&mut self, entry: &str, size: u64, digest: &Digest) {
        self.0.update(format!("{entry} {size} {digest}\n"));
    }

    fn end(self, report: &BackupReport) -> End {
        End {
            blobs: report.blobs,
            blob_bytes: report.blob_bytes,
            left_out: report.left_out_total,
            digest: Digest::from_hasher(self.0),
        }
    }
}
