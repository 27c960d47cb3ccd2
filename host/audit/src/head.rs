//! The file that says where the log ends.
//!
//! One line of always the same length, written in place and flushed after the records that it
//! speaks of. A process killed meanwhile leaves the old line or the new one; a line that a loss of
//! power tore doesn't have its check, and is reported like any damage. The process that has the
//! log open holds a lock on the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::AuditError;
use crate::chain::{Hash, Link};

/// The log's format; a change that older releases would misread makes a new number.
const FORMAT: u64 = 1;
/// Its name.
pub(crate) const HEAD_FILE: &str = "head";
/// Bytes of the line, with its end: the longest numbers, and less than a disk's sector.
const HEAD_BYTES: usize = 256;
/// Hexadecimal digits of the check.
const CHECK_DIGITS: usize = 16;

/// Where the log ends: its newest record that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    format: u64,
    /// The newest record's number; 0 for a log without records.
    pub seq: u64,
    /// The hash of its line.
    hash: Hash,
    /// Number of the first record of the segment that it is in.
    pub(crate) segment: u64,
    /// Where its line ends in that segment.
    pub(crate) bytes: u64,
}

impl Head {
    pub(crate) fn new(link: Link, segment: u64, bytes: u64) -> Self {
        Self {
            format: FORMAT,
            seq: link.seq,
            hash: link.hash,
            segment,
            bytes,
        }
    }

    /// Of a log without records.
    pub(crate) fn of_nothing() -> Self {
        Self::new(Link::default(), 1, 0)
    }

    /// SHA-256 of the newest record's line, in hexadecimal.
    pub fn hash(&self) -> String {
        self.hash.to_string()
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: self.hash,
        }
    }

    fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        let check = Hash::of(&line).to_string();
        line.push(b' ');
        line.extend_from_slice(check.as_bytes().get(..CHECK_DIGITS).unwrap_or_default());
        line.resize(HEAD_BYTES - 1, b' ');
        line.push(b'\n');
        Ok(line)
    }

    /// The head in a file's bytes, if they are exactly what is written for it.
    fn parse(path: &Path, bytes: &[u8]) -> Result<Option<Self>, AuditError> {
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u64,
        }
        let json = bytes.split_inclusive(|&b| b == b'}').next().unwrap_or_default();
        match serde_json::from_slice::<FormatOnly>(json) {
            Ok(found) if found.format > FORMAT => Err(AuditError::NewerFormat {
                path: path.to_path_buf(),
                found: found.format,
                supported: FORMAT,
            }),
            _ => Ok(serde_json::from_slice::<Self>(json)
                .ok()
                .filter(|head| head.line().is_ok_and(|line| line == bytes))),
        }
    }
}

/// What the head file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none, or nothing in it.
    Missing,
    /// It is not what was written.
    Damaged,
    /// Where the log ends.
    Head(Head),
}

/// Read the head file of a log that may be open elsewhere.
pub(crate) fn read(dir: &Path) -> Result<Found, AuditError> {
    let path = dir.join(HEAD_FILE);
    match File::open(&path) {
        Ok(mut file) => read_from(&path, &mut file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(e) => Err(AuditError::io("open", &path, e)),
    }
}

fn read_from(path: &Path, file: &mut File) -> Result<Found, AuditError> {
    let mut bytes = Vec::new();
    file.take(HEAD_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| AuditError::io("read", path, e))?;
    if bytes.is_empty() {
        // Made, and not yet written.
        return Ok(Found::Missing);
    }
    Ok(Head::parse(path, &bytes)?.map_or(Found::Damaged, Found::Head))
}

/// The head file of the log that this process has open, locked.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    path: PathBuf,
}

impl HeadFile {
    /// Open or make it; with it what it says.
    ///
    /// # Errors
    ///
    /// [`AuditError::Locked`], [`AuditError::NewerFormat`], [`AuditError::Io`].
    pub(crate) fn open(dir: &Path) -> Result<(Self, Found), AuditError> {
        let path = dir.join(HEAD_FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| AuditError::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(AuditError::Locked {
                    path: dir.to_path_buf(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(AuditError::io("lock", &path, e)),
        }
        let found = read_from(&path, &mut file)?;
        Ok((Self { file, path }, found))
    }

    /// Say where the log ends; on disk when this returns.
    pub(crate) fn write(&self, head: &Head) -> Result<(), AuditError> {
        head.line()
            .map_err(io::Error::other)
            .and_then(|line| self.file.write_all_at(&line, 0))
            .and_then(|()| self.file.set_len(HEAD_BYTES as u64))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| AuditError::io("write", &self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_line_counts() {
        let path = Path::new("head");
        let head = Head::new(Link::of(u64::MAX, b"x"), u64::MAX, u64::MAX);
        let line = head.line().unwrap();
        assert_eq!(line.len(), HEAD_BYTES);
        assert_eq!(Head::parse(path, &line).unwrap(), Some(head));
        for i in 0..line.len() {
            assert_eq!(Head::parse(path, &line[..i]).unwrap(), None);
            for bit in 0..8 {
                let mut changed = line.clone();
                changed[i] ^= 1 << bit;
                // A format that became another number is refused as newer.
                assert!(!matches!(Head::parse(path, &changed), Ok(Some(_))), "byte {i}");
            }
        }
    }
}
