//! Making a data folder out of a backup.
//!
//! A backup may come from anywhere. An entry is taken only if it is a plain file whose name is the
//! one that comes next; links, devices, paths of any other form and entries of any other order are
//! refused by that. Nothing is read beyond what the manifest says, and nothing is believed before
//! its digest was checked.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{
    BLOBS, BackupReport, Contents, END_ENTRY, End, FORMAT, LEFT_OUT, LINE_BYTES_MAX, Line, MANIFEST_ENTRY,
    Manifest, RECORDS_ENTRY, SMALL_ENTRY_BYTES_MAX,
};
use crate::layout::{self, Identity};
use crate::metadata::SledMetadata;
use crate::{Blobs, COMMIT_OPS_MAX, Commit, Digest, Expect, Metadata, Op, Options, StoreError};

/// Make a data folder out of a backup that a stream gives. Where `options` put the blobs into an
/// object store, it takes the place over from the data folder that had it.
///
/// # Errors
///
/// [`StoreError::BadBackup`] where the backup is incomplete, was changed, or is none;
/// [`StoreError::NotEmpty`] where there is something in the folder; [`StoreError::NewerFormat`];
/// [`StoreError::Full`]; those of the operating system and the object store. What a failed restore
/// leaves is no data folder: it is refused at open.
pub fn restore_from(
    input: impl Read,
    dir: impl AsRef<Path>,
    options: &Options,
) -> Result<BackupReport, StoreError> {
    let dir = dir.as_ref();
    let mut archive = tar::Archive::new(input);
    let mut entries = Entries {
        entries: archive.entries().map_err(|e| unreadable(&e))?.raw(true),
        contents: Contents::default(),
    };
    let manifest = read_manifest(&mut entries)?;
    layout::create_dir_durably(dir)?;
    let mut existing = fs::read_dir(dir).map_err(|e| StoreError::io("list", dir, e))?;
    if existing.next().is_some() {
        return Err(StoreError::NotEmpty {
            path: dir.to_path_buf(),
        });
    }
    let _lock = layout::lock(dir)?;
    let identity = Identity::new(dir, &options.blobs)?;
    let mut report = BackupReport::default();
    {
        let blobs = Blobs::open(dir, &options.blobs, options.blob_reserve_bytes, None)?;
        blobs.require_room(manifest.blob_bytes.saturating_add(manifest.records_bytes))?;
        let metadata = SledMetadata::open(
            &dir.join("metadata"),
            options.cache_bytes,
            options.metadata_reserve_bytes,
        )?;
        check_records(&mut entries, &manifest, &mut report, &mut |data| {
            restore_records(data, &metadata)
        })?;
        read_blobs(&mut entries, &manifest, &mut report, |entry| {
            restore_blob(entry, &blobs)
        })?;
        // A bad backup has cost nobody anything.
        blobs.take_over(&identity.id)?;
    }
    // Only now is it a data folder.
    identity.write(dir)?;
    Ok(report)
}

/// Read a whole backup as a restore would, and write nothing: what is in it, and what was left out.
///
/// # Errors
///
/// As [`restore_from`], those of writing aside.
pub fn check_backup(input: impl Read) -> Result<BackupReport, StoreError> {
    let mut archive = tar::Archive::new(input);
    let mut entries = Entries {
        entries: archive.entries().map_err(|e| unreadable(&e))?.raw(true),
        contents: Contents::default(),
    };
    let manifest = read_manifest(&mut entries)?;
    let mut report = BackupReport::default();
    let mut records = |data: &mut dyn Read| {
        let mut lines = BufReader::new(data);
        let mut hasher = Sha256::new();
        let mut line = Vec::new();
        let mut count = 0;
        while read_line(&mut lines, &mut line)? {
            hasher.update(&line);
            count += 1;
        }
        Ok((Digest::from_hasher(hasher), count))
    };
    check_records(&mut entries, &manifest, &mut report, &mut records)?;
    read_blobs(&mut entries, &manifest, &mut report, |entry| {
        let mut hasher = Sha256::new();
        let bytes = entry.read_chunks(|chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        match bytes == entry.size {
            true => Ok(Digest::from_hasher(hasher)),
            false => Err(cut_off()),
        }
    })?;
    Ok(report)
}

fn read_manifest<R: Read>(entries: &mut Entries<'_, R>) -> Result<Manifest, StoreError> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u64,
    }
    let mut entry = entries
        .next()?
        .ok_or_else(|| bad("there is nothing in it".to_owned()))?;
    if entry.name != MANIFEST_ENTRY {
        return Err(bad(format!("it begins with `{}`", entry.name)));
    }
    let text = entry.read_small()?;
    let FormatOnly { format } = parse(MANIFEST_ENTRY, &text)?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat {
            path: MANIFEST_ENTRY.into(),
            found: format,
            supported: FORMAT,
        });
    }
    let manifest = parse(MANIFEST_ENTRY, &text)?;
    entries
        .contents
        .add(MANIFEST_ENTRY, text.len() as u64, &Digest::of(&text));
    Ok(manifest)
}

/// What takes the records: their digest and number.
type Records<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<(Digest, u64), StoreError>;

fn check_records<R: Read>(
    entries: &mut Entries<'_, R>,
    manifest: &Manifest,
    report: &mut BackupReport,
    records: Records<'_>,
) -> Result<(), StoreError> {
    let mut entry = entries.next()?.ok_or_else(cut_off)?;
    if entry.name != RECORDS_ENTRY {
        return Err(out_of_order(&entry.name, RECORDS_ENTRY));
    }
    if entry.size != manifest.records_bytes {
        return Err(bad(format!(
            "{RECORDS_ENTRY} has {} bytes, and the manifest says {}",
            entry.size, manifest.records_bytes
        )));
    }
    let (digest, count) = records(&mut entry.data)?;
    report.records = count;
    if digest != manifest.records_digest || report.records != manifest.records {
        return Err(bad(format!("{RECORDS_ENTRY} is not what the manifest says")));
    }
    entries
        .contents
        .add(RECORDS_ENTRY, manifest.records_bytes, &digest);
    Ok(())
}

/// Commit the records of an entry; the digest of its bytes.
fn restore_records(input: impl Read, metadata: &SledMetadata) -> Result<(Digest, u64), StoreError> {
    let no_record = |line: u64| bad(format!("line {line} of {RECORDS_ENTRY} is no record"));
    let mut input = BufReader::new(input);
    let mut hasher = Sha256::new();
    let mut ops = Vec::with_capacity(COMMIT_OPS_MAX);
    let mut line = Vec::new();
    let mut count = 0;
    while read_line(&mut input, &mut line)? {
        hasher.update(&line);
        count += 1;
        let decode = |text: &str| BASE64.decode(text).map_err(|_| no_record(count));
        let record: Line = serde_json::from_slice(&line).map_err(|_| no_record(count))?;
        ops.push(Op::put(
            decode(&record.key)?,
            Expect::Absent,
            decode(&record.value)?,
        ));
        if ops.len() == COMMIT_OPS_MAX {
            commit_all(metadata, &std::mem::take(&mut ops))?;
        }
    }
    commit_all(metadata, &ops)?;
    Ok((Digest::from_hasher(hasher), count))
}

/// The next line, or as much of it as a record may have; false at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, StoreError> {
    line.clear();
    input
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', line)
        .map_err(|e| unreadable(&e))?;
    Ok(!line.is_empty())
}

fn commit_all(metadata: &SledMetadata, ops: &[Op]) -> Result<(), StoreError> {
    if ops.is_empty() {
        return Ok(());
    }
    match metadata.commit(ops) {
        Ok(Commit::Done) => Ok(()),
        Ok(Commit::Conflict { .. }) | Err(StoreError::BadRequest(_)) => Err(bad(format!(
            "{RECORDS_ENTRY} has a key that is there twice, or none"
        ))),
        Err(StoreError::TooLarge { .. }) => {
            Err(bad(format!("{RECORDS_ENTRY} has a record that is too large")))
        }
        Err(error) => Err(error),
    }
}

/// All blobs and the end. `take` reads one, and gives the digest of what was there.
fn read_blobs<'a, R: Read>(
    entries: &mut Entries<'a, R>,
    manifest: &Manifest,
    report: &mut BackupReport,
    mut take: impl FnMut(&mut Entry<'a, R>) -> Result<Digest, StoreError>,
) -> Result<(), StoreError> {
    let mut last = None;
    for _ in 0..manifest.blobs {
        let mut entry = entries.next()?.ok_or_else(cut_off)?;
        let (name, size) = (std::mem::take(&mut entry.name), entry.size);
        let digest = name
            .strip_prefix(BLOBS)
            .or_else(|| name.strip_prefix(LEFT_OUT))
            .and_then(|hex| Digest::from_hex(hex.as_bytes()))
            .ok_or_else(|| out_of_order(&name, "a blob"))?;
        if last.is_some_and(|last| last >= digest) {
            return Err(out_of_order(&name, "a blob of a greater digest"));
        }
        last = Some(digest);
        let found = if name.starts_with(LEFT_OUT) {
            let reason = entry.read_small()?;
            report.leave_out(digest, String::from_utf8_lossy(&reason).into_owned());
            Digest::of(&reason)
        } else {
            report.blobs += 1;
            report.blob_bytes = report.blob_bytes.saturating_add(size);
            if report.blob_bytes > manifest.blob_bytes {
                return Err(bad(format!(
                    "with {name} there are {} bytes of blobs, and the manifest says {}",
                    report.blob_bytes, manifest.blob_bytes
                )));
            }
            let blob = take(&mut entry)?;
            if blob != digest {
                return Err(bad(format!("{name} holds bytes of digest {blob}")));
            }
            blob
        };
        entries.contents.add(&name, size, &found);
    }
    let expected = std::mem::take(&mut entries.contents).end(report);
    let mut entry = entries.next()?.ok_or_else(cut_off)?;
    if entry.name != END_ENTRY {
        return Err(out_of_order(&entry.name, END_ENTRY));
    }
    let end: End = parse(END_ENTRY, &entry.read_small()?)?;
    if end != expected {
        return Err(bad(format!("{END_ENTRY} doesn't fit what comes before it")));
    }
    match entries.next()? {
        None => Ok(()),
        Some(entry) => Err(bad(format!("`{}` comes after the end", entry.name))),
    }
}

/// Write a blob; the digest of what was there. The stream's errors are the backup's.
fn restore_blob(entry: &mut Entry<'_, impl Read>, blobs: &Blobs) -> Result<Digest, StoreError> {
    let mut writer = blobs.writer(entry.size)?;
    entry.read_chunks(|chunk| writer.append(chunk))?;
    if writer.size() != entry.size {
        return Err(cut_off());
    }
    Ok(writer.finish()?.digest)
}

/// The entries of the tar file, one after the other.
struct Entries<'a, R: Read> {
    entries: tar::Entries<'a, R>,
    contents: Contents,
}

struct Entry<'a, R: Read> {
    /// For messages too, so cut and escaped where it is no name of ours.
    name: String,
    size: u64,
    data: tar::Entry<'a, R>,
}

impl<'a, R: Read> Entries<'a, R> {
    fn next(&mut self) -> Result<Option<Entry<'a, R>>, StoreError> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        let data = entry.map_err(|e| unreadable(&e))?;
        let name = shown(&data.path_bytes());
        let kind = data.header().entry_type();
        if kind != tar::EntryType::Regular {
            return Err(bad(format!("`{name}` is no plain file ({kind:?})")));
        }
        let size = data.header().entry_size().map_err(|e| unreadable(&e))?;
        Ok(Some(Entry { name, size, data }))
    }
}

impl<R: Read> Entry<'_, R> {
    /// Hand on the bytes, piece by piece; how many there were.
    fn read_chunks(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut buffer = vec![0; 128 * 1024];
        let mut bytes = 0;
        loop {
            match self.data.read(&mut buffer) {
                Ok(0) => return Ok(bytes),
                Ok(count) => {
                    take(buffer.get(..count).unwrap_or_default())?;
                    bytes += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(&e)),
            }
        }
    }

    /// The bytes of a small entry.
    fn read_small(&mut self) -> Result<Vec<u8>, StoreError> {
        if self.size > SMALL_ENTRY_BYTES_MAX {
            return Err(bad(format!("{} is too large", self.name)));
        }
        let mut bytes = Vec::new();
        self.data.read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
        if bytes.len() as u64 != self.size {
            return Err(cut_off());
        }
        Ok(bytes)
    }
}

fn parse<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|e| bad(format!("{name}: {e}")))
}

/// A name, fit for a message: at most as long as our longest and without control characters. One
/// that was changed here is none of ours, and refused.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name.get(..100).unwrap_or(name));
    text.escape_debug().to_string()
}

fn bad(detail: String) -> StoreError {
    StoreError::BadBackup { detail }
}

fn cut_off() -> StoreError {
    bad("it is cut off".to_owned())
}

fn out_of_order(found: &str, expected: &str) -> StoreError {
    bad(format!("`{found}` stands where {expected} should be"))
}

fn unreadable(error: &io::Error) -> StoreError {
    bad(format!("it can't be read: {error}"))
}
