//! What can go wrong with stored data, and what the operator or caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// Why the store could not do what it was asked.
///
/// [`StoreError::code`] is stable and machine-readable; the message is for a person and says what
/// to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the data folder open.
    #[error(
        "the data folder {} is in use{}; stop that process, or choose another folder",
        path.display(), holder.as_ref().map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// Process id that the holder wrote down, where it could be read.
        holder: Option<String>,
    },
    /// The folder has files in it and none of them says that this is a data folder.
    #[error(
        "{} is not empty and holds no Caisson data (no {}); choose an empty or a new folder",
        path.display(), crate::layout::FORMAT_FILE
    )]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder, or a backup, was written by a later release.
    #[error(
        "{} has format {found}, and this release reads formats up to {supported}; \
         use the release that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format that this release knows.
        supported: u64,
    },
    /// One record was written by a later release.
    #[error(
        "the {kind} record `{key}` has format {found}, and this release reads formats up to {supported}; \
         use the release that wrote it, or a later one"
    )]
    NewerRecord {
        /// What kind of record.
        kind: &'static str,
        /// Its key.
        key: String,
        /// The format found.
        found: u32,
        /// The newest format that this release knows.
        supported: u32,
    },
    /// The metadata files don't hold what was acknowledged. Nothing was changed.
    #[error(
        "the metadata in {} is damaged ({detail}); nothing was changed. \
         Move the data folder aside and restore the latest backup into a new one",
        path.display()
    )]
    Damaged {
        /// The metadata folder.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A record isn't what its kind says.
    #[error(
        "the {kind} record `{key}` can't be read ({detail}); restore the latest backup into a new data folder"
    )]
    BadRecord {
        /// What kind of record.
        kind: &'static str,
        /// Its key.
        key: String,
        /// What was found.
        detail: String,
    },
    /// An earlier write failed half-way, so the process can't tell what is on disk any more.
    #[error(
        "metadata is closed since a write failed ({detail}); \
         correct the cause and restart: acknowledged writes are safe"
    )]
    Failed {
        /// The first failure.
        detail: String,
    },
    /// No room on the disk.
    #[error(
        "no room on the disk of {}: {free_bytes} bytes are free and {needed_bytes} are needed, \
         of which some are kept back so that metadata can always be written; free some space and try again",
        path.display()
    )]
    Full {
        /// A folder on that disk.
        path: PathBuf,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes needed, the reserve included.
        needed_bytes: u64,
    },
    /// More than a limit allows.
    #[error("{what} takes {size} bytes or more, and the limit is {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size; for a stream, as far as it was read.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A request that no store could carry out: a mistake in the calling code.
    #[error("malformed store request: {0}")]
    BadRequest(&'static str),
    /// There is no blob of this digest.
    #[error("blob {digest} is missing; restore {} from the latest backup, or upload it again", path.display())]
    BlobMissing {
        /// Its digest.
        digest: Digest,
        /// Where it belongs.
        path: PathBuf,
    },
    /// A blob's bytes don't have its digest.
    #[error(
        "blob {digest} is damaged: {} holds bytes of digest {found}; \
         restore the file from the latest backup, or upload the same bytes again",
        path.display()
    )]
    BlobDamaged {
        /// The digest that it should have.
        digest: Digest,
        /// The digest of what is there.
        found: Digest,
        /// The file.
        path: PathBuf,
    },
    /// The data folder's blobs are somewhere else than the options say.
    #[error(
        "the blobs of the data folder {} are in {recorded}, and the configuration says {configured}: \
         configure {recorded}, or restore a backup into a new data folder with {configured}",
        path.display()
    )]
    BlobsMoved {
        /// The data folder.
        path: PathBuf,
        /// Where they are.
        recorded: String,
        /// What the options say.
        configured: String,
    },
    /// An object store holds another data folder's blobs.
    #[error(
        "{url} holds the blobs of another data folder; give each its own bucket or prefix \
         (restoring a backup with this one takes it over)"
    )]
    BlobsTaken {
        /// The object store's URL.
        url: String,
    },
    /// No place for blobs.
    #[error("`{url}` can't hold blobs: {detail}; it is s3://BUCKET or s3://BUCKET/PREFIX")]
    BlobsUrl {
        /// As given.
        url: String,
        /// What is wrong with it or with its options.
        detail: String,
    },
    /// The object store doesn't answer.
    #[error(
        "the object store of {url} can't be reached ({detail}); \
         check its endpoint, the network and the server, and try again"
    )]
    BlobsUnreachable {
        /// The object store's URL.
        url: String,
        /// What was tried.
        detail: String,
    },
    /// The object store refused the credentials.
    #[error(
        "the object store refuses access to {url} ({detail}); check AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, and that they may read, write, list and delete there"
    )]
    BlobsDenied {
        /// The object store's URL.
        url: String,
        /// Its answer.
        detail: String,
    },
    /// There is no such bucket.
    #[error("there is no bucket for {url}; make it, or correct the URL or the endpoint")]
    BucketMissing {
        /// The object store's URL.
        url: String,
    },
    /// The object store failed otherwise.
    #[error("can't {action} {url}: {detail}; see the object store's own logs, and try again")]
    BlobsFailed {
        /// The object store's URL.
        url: String,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        detail: String,
    },
    /// A backup that is incomplete or was changed.
    #[error("the backup is not usable: {detail}; use another backup")]
    BadBackup {
        /// What is wrong with it.
        detail: String,
    },
    /// Whoever takes the backup doesn't take it any more.
    #[error("the backup can't be written: {source}; what was written is no backup, make another one")]
    BackupOutput {
        /// The stream's answer.
        source: io::Error,
    },
    /// There is something where a data folder should be restored.
    #[error("{} is not empty; restore into a new or an empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl StoreError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "store-locked",
            Self::NotAStore { .. } => "store-not-a-store",
            Self::NewerFormat { .. } | Self::NewerRecord { .. } => "store-newer-format",
            Self::Damaged { .. } | Self::BadRecord { .. } => "store-damaged",
            Self::Failed { .. } => "store-failed",
            Self::Full { .. } => "store-full",
            Self::TooLarge { .. } => "too-large",
            Self::BadRequest(_) => "store-bad-request",
            Self::BlobMissing { .. } => "blob-missing",
            Self::BlobDamaged { .. } => "blob-damaged",
            Self::BlobsMoved { .. } => "blobs-moved",
            Self::BlobsTaken { .. } => "blobs-taken",
            Self::BlobsUrl { .. } => "blobs-url",
            Self::BlobsUnreachable { .. } => "blobs-unreachable",
            Self::BlobsDenied { .. } => "blobs-denied",
            Self::BucketMissing { .. } => "bucket-missing",
            Self::BlobsFailed { .. } => "blobs-failed",
            Self::BadBackup { .. } => "backup-unusable",
            Self::BackupOutput { .. } => "backup-output",
            Self::NotEmpty { .. } => "restore-not-empty",
            Self::Io { .. } => "store-io",
        }
    }

    /// Does it concern one record or one blob, so that everything else can be used?
    pub fn is_of_one_thing(&self) -> bool {
        matches!(
            self,
            Self::BadRecord { .. }
                | Self::NewerRecord { .. }
                | Self::BlobMissing { .. }
                | Self::BlobDamaged { .. }
        )
    }

    /// The operating system's error at `path`; a full disk becomes [`StoreError::Full`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            return Self::Full {
                path: path.to_path_buf(),
                free_bytes: crate::space::free_bytes(path).unwrap_or(0),
                needed_bytes: 1,
            };
        }
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_disk_has_its_own_error() {
        // /dev/full answers every write as a full disk does.
        let path = Path::new("/dev/full");
        let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let error = StoreError::io("write", path, file.write_all(b"x").unwrap_err());
        assert_eq!(error.code(), "store-full", "{error}");
    }
}
