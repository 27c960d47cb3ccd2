//! What can go wrong with the log, and what the operator does about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the log could not do what it was asked. Cheap to clone: those who share a flush share its
/// error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Another process, or another [`AuditLog`](crate::AuditLog) of this one, has the log open.
    #[error("the audit log {} is open in another process; stop that process, or choose another folder", path.display())]
    Locked {
        /// The log's folder.
        path: PathBuf,
    },
    /// The log was written by a later release.
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
    /// No room on the disk. The record was not written; nothing else of the log is touched.
    #[error(
        "no room on the disk for the audit log {}, so the action is not on the record; \
         free some space and try again",
        path.display()
    )]
    Full {
        /// The file or folder.
        path: PathBuf,
    },
    /// The log's thread has ended.
    #[error("the audit log is closed; restart the process")]
    Closed,
    /// Whoever reads an export is gone.
    #[error("the records can't be sent: {0}")]
    Output(Arc<io::Error>),
    /// The operating system said no.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Its answer.
        source: Arc<io::Error>,
    },
}

impl AuditError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "audit-locked",
            Self::NewerFormat { .. } => "audit-newer-format",
            Self::Full { .. } => "audit-full",
            Self::Closed => "audit-closed",
            Self::Output(_) => "audit-output",
            Self::Io { .. } => "audit-io",
        }
    }

    /// The operating system's error at `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let path = path.to_path_buf();
        // A process's limit on the size of files is full as a disk is.
        if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            return Self::Full { path };
        }
        Self::Io {
            action,
            path,
            source: Arc::new(source),
        }
    }

    /// Is it that a file isn't there?
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
