//! What lies in the log's folder.
//!
//! ```text
//! head                                 where the log ends, see `head`
//! segment-00000000000000000001.ndjson  records; the number is that of the first
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::AuditError;
use crate::record::LINE_BYTES_MAX;

const SEGMENT_START: &str = "segment-";
const SEGMENT_END: &str = ".ndjson";

/// The name of the segment whose first record has this number.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{SEGMENT_START}{first:020}{SEGMENT_END}")
}

/// The first record's number of each segment, oldest first. Other files are not the log's.
pub(crate) fn segments(dir: &Path) -> Result<Vec<u64>, AuditError> {
    let list = |e: io::Error| AuditError::io("list", dir, e);
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_prefix(SEGMENT_START)?.strip_suffix(SEGMENT_END))
            .and_then(|number| number.parse().ok());
        if let Some(first) = first.filter(|first| name == segment_name(*first).as_str()) {
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Make the log's folder so that it survives a crash; its parent is there.
pub(crate) fn create_dir(dir: &Path) -> Result<(), AuditError> {
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(dir.parent().unwrap_or(dir)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(AuditError::io("make the folder", dir, e)),
    }
}

/// Make new and removed names survive a crash.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), AuditError> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| AuditError::io("flush the folder", dir, e))
}

/// One line of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Without its end; cut where it is too long.
    pub(crate) text: &'a [u8],
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where it ends in the file, with its end.
    pub(crate) end: u64,
    /// What is wrong with it as a line.
    pub(crate) fault: Option<&'static str>,
}

/// The lines of a segment, one in memory at a time.
pub(crate) struct Lines {
    file: BufReader<io::Take<File>>,
    path: PathBuf,
    buffer: Vec<u8>,
    number: u64,
    end: u64,
}

impl Lines {
    /// The lines of the segment's first `bytes_max` bytes.
    pub(crate) fn open(dir: &Path, first: u64, bytes_max: u64) -> Result<Self, AuditError> {
        let path = dir.join(segment_name(first));
        let file = File::open(&path).map_err(|e| AuditError::io("open", &path, e))?;
        Ok(Self {
            file: BufReader::with_capacity(128 * 1024, file.take(bytes_max)),
            path,
            buffer: Vec::new(),
            number: 0,
            end: 0,
        })
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, AuditError> {
        self.buffer.clear();
        let failed = |e: io::Error| AuditError::io("read", &self.path, e);
        let room = LINE_BYTES_MAX as u64 + 1;
        let mut size = (&mut self.file)
            .take(room)
            .read_until(b'\n', &mut self.buffer)
            .map_err(failed)? as u64;
        if size == 0 {
            return Ok(None);
        }
        let mut fault = None;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if size < room {
            fault = Some("is cut off");
        } else {
            fault = Some("is longer than any record");
            size += skip_line(&mut self.file).map_err(failed)?;
        }
        self.number += 1;
        self.end += size;
        Ok(Some(Line {
            text: &self.buffer,
            number: self.number,
            end: self.end,
            fault,
        }))
    }
}

/// Skip to the end of the line; the bytes skipped.
fn skip_line(file: &mut impl io::BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let (count, done) = match buffer.iter().position(|&b| b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        file.consume(count);
        skipped += count as u64;
        if done {
            return Ok(skipped);
        }
    }
}
