//! How the store notices that its files lost something.
//!
//! sled checks each page it reads, but a damaged tail of its log looks like the torn end of an
//! interrupted write, and is cut off without a word: the store opens, older than what it
//! acknowledged. Two small things make that visible at open:
//!
//! - [`Summary`], one more record in the batch of every commit: the commit's number, how many
//!   records there are, and the XOR of the SHA-256 of each. A batch that came back in part, or a
//!   lost page, doesn't add up.
//! - [`AckedFile`], a file outside of sled with the newest acknowledged commit's number, written
//!   after that commit is flushed. A store that is behind it went back in time. The file itself
//!   is not flushed: after a loss of power it may be old, which makes the check weaker for the
//!   last moments and never wrong.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

const DIGEST_BYTES: usize = 32;
/// Bytes of a summary: number, count and checksum.
const SUMMARY_BYTES: usize = 8 + 8 + DIGEST_BYTES;

/// What the records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    /// Number of the commit that wrote this; 0 for a new store.
    pub(super) commit: u64,
    /// Records in the store.
    pub(super) records: u64,
    /// XOR over all records: keys are unique, so no two terms cancel.
    checksum: [u8; DIGEST_BYTES],
}

impl Summary {
    /// Account for a record that came.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.toggle(key, value);
    }

    /// Account for a record that went.
    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.toggle(key, value);
    }

    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let digest = Sha256::new()
            .chain_update((key.len() as u64).to_le_bytes())
            .chain_update(key)
            .chain_update(value)
            .finalize();
        for (mine, theirs) in self.checksum.iter_mut().zip(digest) {
            *mine ^= theirs;
        }
    }

    /// The same records, whichever commit said so?
    pub(super) fn same_records(&self, other: &Self) -> bool {
        self.records == other.records && self.checksum == other.checksum
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SUMMARY_BYTES);
        bytes.extend_from_slice(&self.commit.to_le_bytes());
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.checksum);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (commit, rest) = bytes.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        Some(Self {
            commit: u64::from_le_bytes(*commit),
            records: u64::from_le_bytes(*records),
            checksum: rest.try_into().ok()?,
        })
    }
}

/// The file with the newest acknowledged commit's number.
#[derive(Debug)]
pub(super) struct AckedFile {
    file: File,
}

impl AckedFile {
    /// Open or make the file; with it the number in it, 0 where there is none or it is torn.
    pub(super) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut text = Vec::new();
        (&mut file).take(64).read_to_end(&mut text)?;
        let commit = parse(&text).unwrap_or(0);
        Ok((Self { file }, commit))
    }

    /// Say that this commit is acknowledged. One small write in place: a killed process leaves the
    /// old line or the new one.
    pub(super) fn write(&mut self, commit: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(line(commit).as_bytes())
    }
}

/// `<number> <its checksum>`, always of one length.
fn line(commit: u64) -> String {
    let number = format!("{commit:020}");
    let digest = Sha256::digest(number.as_bytes());
    let check: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{number} {check}\n")
}

fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let commit = text.split(' ').next()?.parse().ok()?;
    (text == line(commit)).then_some(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_every_change_apart() {
        let mut a = Summary::default();
        a.add(b"k1", b"v1");
        a.add(b"k2", b"v2");
        let mut b = Summary::default();
        b.add(b"k2", b"v2");
        assert!(!a.same_records(&b));
        b.add(b"k1", b"v0");
        assert!(!a.same_records(&b));
        b.remove(b"k1", b"v0");
        b.add(b"k1", b"v1");
        assert!(a.same_records(&b));
        // The border between key and value counts.
        let (mut c, mut d) = (Summary::default(), Summary::default());
        c.add(b"ab", b"c");
        d.add(b"a", b"bc");
        assert!(!c.same_records(&d));
        assert_eq!(Summary::from_bytes(&a.to_bytes()), Some(a));
        assert_eq!(Summary::from_bytes(&a.to_bytes()[1..]), None);
        assert_eq!(Summary::from_bytes(b""), None);
    }

    #[test]
    fn a_torn_line_counts_as_none() {
        assert_eq!(parse(line(42).as_bytes()), Some(42));
        assert_eq!(parse(line(u64::MAX).as_bytes()), Some(u64::MAX));
        for length in 0..line(42).len() {
            assert_eq!(parse(&line(42).as_bytes()[..length]), None);
        }
        let mixed = format!("{}{}", &line(41)[..20], &line(42)[20..]);
        assert_eq!(parse(mixed.as_bytes()), None);
    }
}
