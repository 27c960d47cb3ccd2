//! Making a backup.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    BLOBS, BackupReport, Contents, END_ENTRY, FORMAT, LEFT_OUT, Line, MANIFEST_ENTRY, Manifest, RECORDS_ENTRY,
};
use crate::blobs::Temporary;
use crate::{Digest, Store, StoreError, digests_in, references_in};

/// Bytes of the reason why a blob was left out.
const REASON_BYTES_MAX: usize = 1024;

impl Store {
    /// Write everything to a stream, as of one moment. Commits wait while the records are copied to
    /// a temporary file, which takes milliseconds for thousands; the stream may be as slow as it
    /// likes after that. Each blob is checked on the way; one that can't be read is left out, with a
    /// reason in the report, so that one bad blob doesn't cost the rest their backup. No blob is
    /// swept meanwhile.
    ///
    /// Memory grows with the number of blobs, by some 100 bytes each.
    ///
    /// # Errors
    ///
    /// [`StoreError::BackupOutput`] where the stream can't be written; [`StoreError::Full`]; those of
    /// the operating system and the object store. The stream is then no backup.
    pub fn backup_to(&self, output: impl Write) -> Result<BackupReport, StoreError> {
        let _no_sweep = crate::read_lock(&self.0.sweeping);
        let mut report = BackupReport::default();
        let mut snapshot = self.snapshot(&mut report)?;
        let mut tar = Entries {
            tar: tar::Builder::new(output),
            contents: Contents::default(),
        };
        tar.json(
            MANIFEST_ENTRY,
            &Manifest {
                format: FORMAT,
                records: report.records,
                records_bytes: snapshot.bytes,
                records_digest: snapshot.digest,
                blobs: snapshot.blobs.len() as u64,
                blob_bytes: snapshot.blobs.values().sum(),
            },
        )?;
        tar.entry(
            RECORDS_ENTRY,
            snapshot.bytes,
            snapshot.digest,
            &mut snapshot.records.file,
        )?;
        for (digest, size) in snapshot.blobs {
            match self.blob_to_copy(&digest, size) {
                Ok(mut file) => {
                    tar.entry(&format!("{BLOBS}{}", digest.hex()), size, digest, &mut file)?;
                    report.blobs += 1;
                    report.blob_bytes += size;
                }
                Err(error @ (StoreError::BlobMissing { .. } | StoreError::BlobDamaged { .. })) => {
                    let mut reason = error.to_string();
                    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
                    tracing::error!(%error, "left out of the backup");
                    tar.bytes(&format!("{LEFT_OUT}{}", digest.hex()), reason.as_bytes())?;
                    report.leave_out(digest, reason);
                }
                Err(error) => return Err(error),
            }
        }
        let end = std::mem::take(&mut tar.contents).end(&report);
        tar.json(END_ENTRY, &end)?;
        tar.tar
            .into_inner()
            .and_then(|mut output| output.flush())
            .map_err(output_error)?;
        Ok(report)
    }

    /// The records of this moment, and the blobs that they name.
    fn snapshot(&self, report: &mut BackupReport) -> Result<Snapshot, StoreError> {
        let mut records = self.blobs().temporary()?;
        let failed = |e: io::Error| StoreError::io("write a copy of the records into", self.dir(), e);
        let mut file = BufWriter::new(&mut records.file);
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let mut named: BTreeMap<Digest, Named> = BTreeMap::new();
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
            bytes += line.len() as u64;
            for digest in digests_in(value) {
                named.entry(digest).or_default();
            }
            for digest in references_in(value) {
                named.entry(digest).or_default().needed = true;
            }
            file.write_all(&line).map_err(failed)
        })?;
        file.flush().map_err(failed)?;
        drop(file);
        records.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.blobs().visit(|blob| {
            if let Some(named) = named.get_mut(&blob.digest) {
                named.size = Some(blob.size);
            }
            Ok(())
        })?;
        // What is needed and wasn't found is named as left out.
        let blobs = named
            .into_iter()
            .filter(|(_, named)| named.needed || named.size.is_some())
            .map(|(digest, named)| (digest, named.size.unwrap_or_default()))
            .collect();
        Ok(Snapshot {
            records,
            bytes,
            digest: Digest::from_hasher(hasher),
            blobs,
        })
    }

    /// A blob, checked, if it has the size that it had.
    fn blob_to_copy(&self, digest: &Digest, size: u64) -> Result<File, StoreError> {
        let file = self.blobs().open_blob(digest)?;
        let found = file
            .metadata()
            .map_err(|e| StoreError::io("read the size of", self.dir(), e))?
            .len();
        if found != size {
            return Err(StoreError::BadRequest(
                "a blob that changes while it is backed up",
            ));
        }
        Ok(file)
    }
}

/// A blob whose digest a record has.
#[derive(Default)]
struct Named {
    /// None where there is no such blob.
    size: Option<u64>,
    /// A record refers to it, and doesn't only mention it.
    needed: bool,
}

struct Snapshot {
    records: Temporary,
    bytes: u64,
    digest: Digest,
    /// With their sizes.
    blobs: BTreeMap<Digest, u64>,
}

/// The tar file that is being written.
struct Entries<W: Write> {
    tar: tar::Builder<W>,
    contents: Contents,
}

impl<W: Write> Entries<W> {
    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|_| StoreError::BadRequest("a manifest that JSON can't hold"))?;
        self.bytes(name, &bytes)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.entry(name, bytes.len() as u64, Digest::of(bytes), &mut &bytes[..])
    }

    /// An entry of exactly `size` bytes, which must be those of `digest`.
    fn entry(
        &mut self,
        name: &str,
        size: u64,
        digest: Digest,
        source: &mut impl Read,
    ) -> Result<(), StoreError> {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        let mut source = Hashed {
            source: source.take(size),
            hasher: Sha256::new(),
            bytes: 0,
            failed: None,
        };
        let written = self.tar.append_data(&mut header, name, &mut source);
        if let Some(e) = source.failed {
            return Err(StoreError::BadBackup {
                detail: format!("{name} can't be read: {e}"),
            });
        }
        written.map_err(output_error)?;
        if source.bytes != size || Digest::from_hasher(source.hasher) != digest {
            return Err(StoreError::BadBackup {
                detail: format!("{name} changed while it was read"),
            });
        }
        self.contents.add(name, size, &digest);
        Ok(())
    }
}

fn output_error(source: io::Error) -> StoreError {
    StoreError::BackupOutput { source }
}

/// Remembers what is read of a source, and whether it failed.
struct Hashed<R> {
    source: R,
    hasher: Sha256,
    bytes: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(count) => {
                self.hasher.update(buffer.get(..count).unwrap_or_default());
                self.bytes += count as u64;
                Ok(count)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
        }
    }
}
