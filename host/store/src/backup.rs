//! A portable copy of a data folder, and the way back.
//!
//! ```text
//! caisson-backup.json   {"format":1,"records":…,"records_digest":"sha256:…","blobs":…}, written last
//! records.jsonl         {"key":"<base64>","value":"<base64>"} a line, in key order
//! blobs/sha256/ab/cd/   as in a data folder
//! ```
//!
//! It holds no file of the storage engine's, so it can be restored into another engine or a later
//! release. A backup is made while the store is in use; its records are those of one moment.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::metadata::SledMetadata;
use crate::{
    Blobs, COMMIT_OPS_MAX, Commit, Digest, Expect, KEY_BYTES_MAX, Metadata, Op, Options, Store, StoreError,
    VALUE_BYTES_MAX, layout,
};

/// The backup's format.
const FORMAT: u64 = 1;
const MANIFEST_FILE: &str = "caisson-backup.json";
const RECORDS_FILE: &str = "records.jsonl";
/// A line of records: key and value in base64, and the JSON around them.
const LINE_BYTES_MAX: u64 = ((KEY_BYTES_MAX + VALUE_BYTES_MAX) * 4 / 3 + 128) as u64;

/// What a backup or a restore copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Metadata records.
    pub records: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u64,
    records: u64,
    records_digest: Digest,
    blobs: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    value: String,
}

impl Store {
    /// Copy everything into a new folder. Commits wait while the records are written, which takes
    /// milliseconds for thousands; blobs are copied after that, and each is checked on the way.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadBackup`] where `target` is not empty; [`StoreError::BlobDamaged`];
    /// [`StoreError::Full`]; those of the operating system. The folder then has no manifest, and
    /// can't be restored from.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackupReport, StoreError> {
        let target = target.as_ref();
        layout::create_dir_durably(target)?;
        require_empty(target, "the folder for a backup must be new or empty")?;
        let mut report = BackupReport::default();
        let records_digest = self.write_records(&target.join(RECORDS_FILE), &mut report)?;

        let copies = Blobs::open(&target.join("blobs"), 0)?;
        self.blobs().for_each(|digest, path, metadata| {
            copy_blob(digest, path, metadata.len(), &copies, &mut report)
        })?;

        let manifest = serde_json::to_vec(&Manifest {
            format: FORMAT,
            records: report.records,
            records_digest,
            blobs: report.blobs,
        })
        .map_err(|_| StoreError::BadRequest("a manifest that JSON can't hold"))?;
        layout::write_durably(&target.join(MANIFEST_FILE), &manifest)?;
        Ok(report)
    }

    fn write_records(&self, path: &Path, report: &mut BackupReport) -> Result<Digest, StoreError> {
        let failed = |e: io::Error| StoreError::io("write", path, e);
        let mut file = BufWriter::new(File::create_new(path).map_err(failed)?);
        let mut hasher = Sha256::new();
        self.metadata().visit(&mut |key, value| {
            let line = Line {
                key: BASE64.encode(key),
                value: BASE64.encode(value),
            };
            let mut line = serde_json::to_vec(&line)
                .map_err(|_| StoreError::BadRequest("a record that JSON can't hold"))?;
            line.push(b'\n');
            hasher.update(&line);
            report.records += 1;
            file.write_all(&line).map_err(failed)
        })?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(Digest::from_hasher(hasher))
    }
}

/// Make a data folder out of a backup.
///
/// # Errors
///
/// [`StoreError::BadBackup`] where the backup is incomplete or was changed, or the data folder is
/// not empty; [`StoreError::NewerFormat`]; [`StoreError::BlobDamaged`]; [`StoreError::Full`]; those
/// of the operating system. What a failed restore leaves is no data folder: it is refused at open.
pub fn restore(backup: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<BackupReport, StoreError> {
    let (backup, dir) = (backup.as_ref(), dir.as_ref());
    let bad = |detail: String| StoreError::BadBackup {
        path: backup.to_path_buf(),
        detail,
    };
    let manifest = read_manifest(backup)?;
    layout::create_dir_durably(dir)?;
    require_empty(dir, "the data folder to restore into must be new or empty")?;
    let _lock = layout::lock(dir)?;
    let options = Options::default();
    let mut report = BackupReport::default();
    {
        let blobs = Blobs::open(&dir.join("blobs"), options.blob_reserve_bytes)?;
        let copies = Blobs::open(&backup.join("blobs"), 0)?;
        copies.for_each(|digest, path, metadata| {
            copy_blob(digest, path, metadata.len(), &blobs, &mut report)
        })?;
        let metadata = SledMetadata::open(
            &dir.join("metadata"),
            options.cache_bytes,
            options.metadata_reserve_bytes,
        )?;
        let digest = read_records(&backup.join(RECORDS_FILE), &metadata, &mut report)?;
        if digest != manifest.records_digest || report.records != manifest.records {
            return Err(bad(format!("{RECORDS_FILE} is not what the manifest says")));
        }
        if report.blobs != manifest.blobs {
            return Err(bad(format!(
                "there are {} blobs, and the manifest says {}",
                report.blobs, manifest.blobs
            )));
        }
    }
    // Only now is it a data folder.
    layout::write_format(dir)?;
    Ok(report)
}

fn read_manifest(backup: &Path) -> Result<Manifest, StoreError> {
    let path = backup.join(MANIFEST_FILE);
    let bad = |detail: String| StoreError::BadBackup {
        path: backup.to_path_buf(),
        detail,
    };
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(4096).read_to_end(&mut text))
        .map_err(|e| {
            bad(format!(
                "{MANIFEST_FILE}: {e} (it is written when a backup is complete)"
            ))
        })?;
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u64,
    }
    let FormatOnly { format } =
        serde_json::from_slice(&text).map_err(|e| bad(format!("{MANIFEST_FILE}: {e}")))?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat {
            path,
            found: format,
            supported: FORMAT,
        });
    }
    serde_json::from_slice(&text).map_err(|e| bad(format!("{MANIFEST_FILE}: {e}")))
}

/// Commit the records of a file; the digest of its bytes.
fn read_records(
    path: &Path,
    metadata: &SledMetadata,
    report: &mut BackupReport,
) -> Result<Digest, StoreError> {
    let failed = |e: io::Error| StoreError::io("read", path, e);
    let bad = |line: u64| StoreError::BadBackup {
        path: path.to_path_buf(),
        detail: format!("line {line} is no record"),
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut hasher = Sha256::new();
    let mut ops = Vec::with_capacity(COMMIT_OPS_MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut file)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        if ops.len() == COMMIT_OPS_MAX || line.is_empty() {
            commit_all(metadata, &std::mem::take(&mut ops))?;
        }
        if line.is_empty() {
            return Ok(Digest::from_hasher(hasher));
        }
        hasher.update(&line);
        report.records += 1;
        let decode = |text: &str| BASE64.decode(text).map_err(|_| bad(report.records));
        let record: Line = serde_json::from_slice(&line).map_err(|_| bad(report.records))?;
        ops.push(Op::put(
            decode(&record.key)?,
            Expect::Absent,
            decode(&record.value)?,
        ));
    }
}

fn commit_all(metadata: &SledMetadata, ops: &[Op]) -> Result<(), StoreError> {
    if ops.is_empty() {
        return Ok(());
    }
    match metadata.commit(ops)? {
        Commit::Done => Ok(()),
        Commit::Conflict { .. } => Err(StoreError::BadRequest("a backup names each key once")),
    }
}

fn copy_blob(
    digest: Digest,
    from: &Path,
    size: u64,
    to: &Blobs,
    report: &mut BackupReport,
) -> Result<(), StoreError> {
    let file = File::open(from).map_err(|e| StoreError::io("open", from, e))?;
    let copied = to.put_from(file, size)?;
    if copied.digest != digest {
        return Err(StoreError::BlobDamaged {
            digest,
            found: copied.digest,
            path: from.to_path_buf(),
        });
    }
    report.blobs += 1;
    report.blob_bytes += copied.size;
    Ok(())
}

fn require_empty(dir: &Path, rule: &str) -> Result<(), StoreError> {
    let mut entries = fs::read_dir(dir).map_err(|e| StoreError::io("list", dir, e))?;
    if entries.next().is_some() {
        return Err(StoreError::BadBackup {
            path: dir.to_path_buf(),
            detail: rule.to_owned(),
        });
    }
    Ok(())
}
