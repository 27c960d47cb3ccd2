//! Is the log what was written?
//!
//! Every record has its own hash and follows the one before, every segment follows the one before,
//! the log begins with its first record or where a record says that older segments were removed,
//! and it ends where the head file says. Anything else is a [`Break`].

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::chain::Link;
use crate::files::{self, Line, Lines, segment_name};
use crate::head::{self, Found, HEAD_FILE, Head};
use crate::{AuditError, AuditLog, Record, retention};

/// Breaks that are named; those beyond are counted. Who has this many needs the backup, not a list.
pub const BREAKS_MAX: usize = 100;
/// Times that the reading begins anew because old segments were removed meanwhile.
const TRIES_MAX: usize = 5;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// The first.
    pub first: Option<Position>,
    /// The last.
    pub last: Option<Position>,
    /// What is wrong, the first [`BREAKS_MAX`].
    pub breaks: Vec<Break>,
    /// How much is wrong.
    pub breaks_total: u64,
}

impl Report {
    /// Is nothing wrong?
    pub fn is_whole(&self) -> bool {
        self.breaks_total == 0
    }
}

/// Which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "AuditPosition")]
pub struct Position {
    /// Its number.
    pub seq: u64,
    /// Its time.
    #[serde(with = "crate::record::time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
}

/// Where the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "AuditBreak")]
pub struct Break {
    /// The file.
    pub file: PathBuf,
    /// The line in it; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// Check a log that nobody has open. What a killed process left beyond the end that it acknowledged
/// is a break too, until the log is opened again.
///
/// # Errors
///
/// [`AuditError::NewerFormat`], and those of the operating system. Damage is no error: it is in the
/// report.
pub fn verify(dir: impl AsRef<Path>) -> Result<Report, AuditError> {
    check(dir.as_ref(), None, None)
}

/// As [`verify`], and the log must also have the record that `known` names: a head that was kept
/// somewhere else.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_against(dir: impl AsRef<Path>, known: &Head) -> Result<Report, AuditError> {
    check(dir.as_ref(), None, Some(known))
}

impl AuditLog {
    /// As [`verify`], up to the newest record of now, while the log is in use.
    ///
    /// # Errors
    ///
    /// As [`verify`].
    pub fn verify(&self) -> Result<Report, AuditError> {
        check(self.dir(), Some(self.head()), None)
    }
}

fn check(dir: &Path, end: Option<Head>, known: Option<&Head>) -> Result<Report, AuditError> {
    for _ in 1..TRIES_MAX {
        match Check::run(dir, end, known) {
            Err(e) if e.is_not_found() && dir.is_dir() => {}
            other => return other,
        }
    }
    Check::run(dir, end, known)
}

/// A check under way.
struct Check<'a> {
    dir: &'a Path,
    report: Report,
    /// What the next record must follow; none after a line that is no record, and before the first.
    link: Option<Link>,
    /// Where older segments may have been removed.
    start: Option<Start>,
    /// Where the log should end, until its record was found there.
    end: Option<Head>,
    /// A record that the log should have, until it was found.
    known: Option<Head>,
}

/// The first record, where it isn't the log's first.
struct Start {
    record: Record,
    segment: u64,
}

impl<'a> Check<'a> {
    /// `end` is where a log in use ends; what comes after is not looked at.
    fn run(dir: &'a Path, end: Option<Head>, known: Option<&Head>) -> Result<Report, AuditError> {
        let mut check = Check {
            dir,
            report: Report {
                records: 0,
                first: None,
                last: None,
                breaks: Vec::new(),
                breaks_total: 0,
            },
            link: Some(Link::default()),
            start: None,
            end,
            known: known.copied(),
        };
        let head = match end {
            Some(head) => Found::Head(head),
            None => head::read(dir)?,
        };
        let mut segments = files::segments(dir)?;
        match (end, head) {
            (Some(end), _) => segments.retain(|segment| *segment <= end.segment),
            (None, Found::Head(head)) => check.end = Some(head),
            (None, Found::Damaged) => check.fault(HEAD_FILE, 0, "is damaged".to_owned()),
            (None, Found::Missing) if segments.is_empty() => {}
            (None, Found::Missing) => check.fault(HEAD_FILE, 0, "is gone".to_owned()),
        }
        let limit = end.map(|end| (end.segment, end.bytes));
        for segment in segments {
            let bytes = limit
                .filter(|(last, _)| *last == segment)
                .map_or(u64::MAX, |(_, bytes)| bytes);
            check.segment(segment, bytes)?;
        }
        Ok(check.finish())
    }

    fn fault(&mut self, file: &str, line: u64, what: String) {
        self.report.breaks_total += 1;
        if self.report.breaks.len() < BREAKS_MAX {
            self.report.breaks.push(Break {
                file: self.dir.join(file),
                line,
                what,
            });
        }
    }

    fn segment(&mut self, segment: u64, bytes_max: u64) -> Result<(), AuditError> {
        let mut lines = Lines::open(self.dir, segment, bytes_max)?;
        let name = segment_name(segment);
        while let Some(line) = lines.next()? {
            let number = line.number;
            for fault in self.line(segment, &line) {
                self.fault(&name, number, fault);
            }
        }
        Ok(())
    }

    /// What is wrong with a line.
    fn line(&mut self, segment: u64, line: &Line<'_>) -> Vec<String> {
        let mut faults: Vec<String> = line.fault.iter().map(|fault| (*fault).to_owned()).collect();
        let record = match Record::parse(line.text) {
            Ok(record) => record,
            Err(fault) => {
                self.link = None;
                faults.push(fault);
                return faults;
            }
        };
        if line.number == 1 && record.seq != segment {
            faults.push(format!(
                "is record {}, and the file's name says {segment}",
                record.seq
            ));
        }
        if self.report.first.is_none() && record.seq > 1 {
            self.start = Some(Start {
                record: record.clone(),
                segment,
            });
        } else if let Some(Err(fault)) = self.link.map(|link| link.check_next(&record)) {
            faults.push(fault);
        }
        if self
            .start
            .as_ref()
            .is_some_and(|start| retention::allows(&record, &start.record))
        {
            self.start = None;
        }
        let link = Link::of(record.seq, line.text);
        self.check_end(segment, line, link, &mut faults);
        if self.known.is_some_and(|known| known.link() == link) {
            self.known = None;
        }
        let position = Position {
            seq: record.seq,
            time: record.time,
        };
        self.report.records += 1;
        self.report.first.get_or_insert(position);
        self.report.last = Some(position);
        self.link = Some(link);
        faults
    }

    fn check_end(&mut self, segment: u64, line: &Line<'_>, link: Link, faults: &mut Vec<String>) {
        let Some(end) = self.end else { return };
        if link.seq == end.seq {
            // Of a segment that was begun and has no record yet, the head has no place of one.
            let placed = end.bytes == 0 || (segment, line.end) == (end.segment, end.bytes);
            if link != end.link() || !placed {
                faults.push("is not the last record that the head file names".to_owned());
            }
        } else if link.seq > end.seq {
            faults.push(
                "comes after the end that the head file names: a killed process left it, or somebody added it"
                    .to_owned(),
            );
        }
    }

    fn finish(mut self) -> Report {
        if let Some(Start { record, segment }) = self.start.take() {
            let what = format!(
                "is record {}, and no record says that those before were removed",
                record.seq
            );
            self.fault(&segment_name(segment), 1, what);
        }
        let last = self.report.last.map_or(0, |last| last.seq);
        if let Some(end) = self.end.filter(|end| last < end.seq) {
            self.fault(
                HEAD_FILE,
                0,
                format!(
                    "names record {} as the last, and the log ends with record {last}",
                    end.seq
                ),
            );
        }
        if let Some(known) = self.known.filter(|known| known.seq > 0) {
            let first = self.report.first.map_or(0, |first| first.seq);
            if known.seq >= first {
                self.fault(
                    HEAD_FILE,
                    0,
                    format!("record {} is not the one that was known before", known.seq),
                );
            }
        }
        self.report
    }
}
