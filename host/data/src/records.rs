//! Cut a text that comes in chunks into records: lines, or rows of CSV.
//!
//! Where the chunks are cut makes no difference. What is held is bounded: the records that are whole and
//! not taken yet, which is a chunk at most if they are taken after each, and the start of one more.

use std::collections::VecDeque;
use std::ops::Range;

use crate::codec::{DecodeError, code, refuse};

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// LF.
    Line,
    /// LF, CRLF or CR outside quotes, as [CSV](crate::csv) has it.
    CsvRow,
}

/// Cuts a text into records.
#[derive(Debug)]
pub struct Splitter {
    ends: Ends,
    record_bytes_max: usize,
    /// What has come and wasn't taken.
    text: Vec<u8>,
    /// How much of it was looked at.
    scanned: usize,
    /// Where each whole record ends, its line end included.
    whole: VecDeque<usize>,
    in_quotes: bool,
    ended: bool,
}

/// Whole records, one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    text: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Records {
    /// The records without their line ends.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges
            .iter()
            .map(|range| self.text.get(range.clone()).unwrap_or_default())
    }

    /// The records that are more than white space.
    pub fn filled(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(|record| !record.trim_ascii().is_empty())
    }
}

impl Splitter {
    /// A splitter of records of at most so many bytes.
    pub fn new(ends: Ends, record_bytes_max: usize) -> Self {
        Self {
            ends,
            record_bytes_max,
            text: Vec::new(),
            scanned: 0,
            whole: VecDeque::new(),
            in_quotes: false,
            ended: false,
        }
    }

    /// Take a chunk.
    ///
    /// # Errors
    ///
    /// A record that is too long.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        self.text.extend_from_slice(chunk);
        self.scan();
        self.check()
    }

    /// There are no more chunks: what is left is the last record.
    ///
    /// # Errors
    ///
    /// A quote that isn't closed.
    pub fn end(&mut self) -> Result<(), DecodeError> {
        self.ended = true;
        self.scan();
        if self.in_quotes {
            return refuse(code::BAD_CSV, "the table ends inside a quoted cell");
        }
        if self.start_of_rest() < self.text.len() {
            self.whole.push_back(self.text.len());
        }
        self.check()
    }

    /// Records that can be taken.
    pub fn len(&self) -> usize {
        self.whole.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Bytes of those.
    pub fn bytes(&self) -> usize {
        self.start_of_rest()
    }

    /// Take the first records: at most `records` of them, and of those as many as have `bytes` together;
    /// one at least, if there is one.
    pub fn take(&mut self, records: usize, bytes: usize) -> Records {
        let fit = self
            .whole
            .iter()
            .take(records)
            .take_while(|&&end| end <= bytes)
            .count();
        let count = fit.max(usize::from(records > 0)).min(self.whole.len());
        let mut start = 0;
        let mut ranges = Vec::with_capacity(count);
        for end in self.whole.drain(..count) {
            let record = self.text.get(start..end).unwrap_or_default();
            ranges.push(start..end - line_end(record, self.ends));
            start = end;
        }
        let rest = self.text.split_off(start);
        self.scanned -= start;
        self.whole.iter_mut().for_each(|end| *end -= start);
        Records {
            text: std::mem::replace(&mut self.text, rest),
            ranges,
        }
    }

    fn start_of_rest(&self) -> usize {
        self.whole.back().copied().unwrap_or(0)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let mut start = 0;
        let rest = self.text.len();
        for end in self.whole.iter().copied().chain([rest]) {
            if end - start > self.record_bytes_max {
                return refuse(
                    code::TOO_LARGE,
                    format!(
                        "a {} has more than the {} bytes that it may have",
                        match self.ends {
                            Ends::Line => "line",
                            Ends::CsvRow => "row",
                        },
                        self.record_bytes_max
                    ),
                );
            }
            start = end;
        }
        Ok(())
    }

    fn scan(&mut self) {
        while let Some(rest) = self.text.get(self.scanned..).filter(|rest| !rest.is_empty()) {
            let found = match self.ends {
                Ends::Line => rest.iter().position(|&b| b == b'\n'),
                Ends::CsvRow if self.in_quotes => rest.iter().position(|&b| b == b'"'),
                Ends::CsvRow => rest.iter().position(|&b| matches!(b, b'"' | b'\n' | b'\r')),
            };
            let Some(at) = found else {
                self.scanned = self.text.len();
                return;
            };
            let next = rest.get(at + 1).copied();
            match rest.get(at) {
                Some(b'"') => self.in_quotes = !self.in_quotes,
                Some(b'\r') => match next {
                    // The line feed ends the record.
                    Some(b'\n') => {}
                    // Whether one comes isn't known yet.
                    None if !self.ended => {
                        self.scanned += at;
                        return;
                    }
                    _ => self.whole.push_back(self.scanned + at + 1),
                },
                _ => self.whole.push_back(self.scanned + at + 1),
            }
            self.scanned += at + 1;
        }
    }
}

/// Bytes of a record's line end.
fn line_end(record: &[u8], ends: Ends) -> usize {
    match record {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        [.., b'\r'] if ends == Ends::CsvRow => 1,
        _ => 0,
    }
}
