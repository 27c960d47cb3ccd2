//! Where to go on after the last process, however it ended.
//!
//! What the head file speaks of was acknowledged, and must be there to the byte. What comes after
//! was not: whole records that fit stay, and a torn rest is cut off and noted. Where what was
//! acknowledged is not as it should be, nothing is touched: the log goes on in a new segment, and
//! its first record says why.
//!
//! Only the newest segment is read here; [`verify`](crate::verify) reads them all.

use std::fs::OpenOptions;
use std::path::Path;

use jiff::Timestamp;

use crate::AuditError;
use crate::chain::Link;
use crate::files::{self, Line, Lines, segment_name};
use crate::head::{Found, Head};
use crate::record::{Event, Outcome, Record};

/// Where to go on.
pub(crate) struct Recovered {
    /// The log's end.
    pub(crate) head: Head,
    /// When the newest segment's first record was written; none where it has none.
    pub(crate) segment_began: Option<Timestamp>,
    /// What the log says of it.
    pub(crate) notes: Vec<Event>,
}

/// Find the end of the log.
pub(crate) fn recover(dir: &Path, found: Found) -> Result<Recovered, AuditError> {
    let segments = files::segments(dir)?;
    let fault = match found {
        Found::Missing if segments.is_empty() => {
            return Ok(Recovered {
                head: Head::of_nothing(),
                segment_began: None,
                notes: Vec::new(),
            });
        }
        Found::Missing => "the head file is gone".to_owned(),
        Found::Damaged => "the head file is damaged".to_owned(),
        Found::Head(head) => match follow(dir, head, &segments)? {
            Ok(recovered) => return Ok(recovered),
            Err(fault) => fault,
        },
    };
    go_on_elsewhere(dir, found, segments.last().copied(), fault)
}

/// Read from the head's segment to the end of the log. The inner error is damage, in words.
fn follow(dir: &Path, head: Head, segments: &[u64]) -> Result<Result<Recovered, String>, AuditError> {
    let mut tail = Tail {
        head: Head::new(head.link(), head.segment, 0),
        began: None,
    };
    if head.bytes == 0 && head.seq > 0 {
        // The head's segment was begun and has no record yet: the newest is the last of the one before.
        let before = segments.iter().rfind(|first| **first < head.segment);
        let Some(before) = before else {
            return Ok(Err(format!(
                "the segment before {} is gone",
                segment_name(head.segment)
            )));
        };
        let mut end = Tail {
            head: Head::new(Link::default(), *before, 0),
            began: None,
        };
        if let Err(fault) = end.read_all(dir, u64::MAX)? {
            return Ok(Err(format!("{}: {fault}", segment_name(*before))));
        }
        if end.head.link() != head.link() {
            return Ok(Err(format!(
                "{} doesn't end with record {}",
                segment_name(*before),
                head.seq
            )));
        }
    }
    if head.bytes > 0 {
        // What its first record follows is in a segment that isn't read here.
        tail.head = Head::new(Link::default(), head.segment, 0);
        if !segments.contains(&head.segment) {
            return Ok(Err(format!("{} is gone", segment_name(head.segment))));
        }
        if let Err(fault) = tail.read_sealed(dir, head)? {
            return Ok(Err(format!("{}: {fault}", segment_name(head.segment))));
        }
    }
    let mut cut = 0;
    // A segment may have been begun after the head was written.
    let newer: Vec<u64> = segments
        .iter()
        .copied()
        .filter(|first| *first >= head.segment)
        .collect();
    for segment in &newer {
        if cut > 0 || (*segment != head.segment && *segment != tail.head.seq.wrapping_add(1)) {
            return Ok(Err(format!(
                "{} is not where the log ends",
                segment_name(*segment)
            )));
        }
        if *segment != head.segment {
            tail.head = Head::new(tail.head.link(), *segment, 0);
            tail.began = None;
        }
        cut = tail.read_unsealed(dir)?;
    }
    let mut notes = Vec::new();
    if cut > 0 {
        cut_off(dir, &tail.head)?;
        let detail = format!(
            "{cut} bytes at the end were cut off: a write that never finished, and was never acknowledged"
        );
        tracing::warn!(segment = segment_name(tail.head.segment), "audit log: {detail}");
        notes.push(Event::of_host(
            "audit.tail-cut",
            segment_name(tail.head.segment),
            Outcome::Done,
            detail,
        ));
    }
    Ok(Ok(Recovered {
        head: tail.head,
        segment_began: tail.began,
        notes,
    }))
}

/// The end of the log as far as it was read.
struct Tail {
    head: Head,
    began: Option<Timestamp>,
}

impl Tail {
    /// The link and time of a line that comes next. The first of a segment whose forerunner wasn't
    /// read is taken by its segment's name.
    fn check(&self, line: &Line<'_>) -> Result<(Link, Timestamp), String> {
        if let Some(fault) = line.fault {
            return Err(format!("line {} {fault}", line.number));
        }
        let on_line = |fault: String| format!("line {} {fault}", line.number);
        let record = Record::parse(line.text).map_err(on_line)?;
        if self.head.bytes == 0 && self.head.seq == 0 {
            if record.seq != self.head.segment {
                return Err(on_line(format!("is record {}", record.seq)));
            }
        } else {
            self.head.link().check_next(&record).map_err(on_line)?;
        }
        Ok((Link::of(record.seq, line.text), record.time))
    }

    fn take(&mut self, link: Link, time: Timestamp, end: u64) {
        self.head = Head::new(link, self.head.segment, end);
        self.began.get_or_insert(time);
    }

    /// Read the head's segment up to the head. The inner error is damage.
    fn read_sealed(&mut self, dir: &Path, head: Head) -> Result<Result<(), String>, AuditError> {
        if let Err(fault) = self.read_all(dir, head.bytes)? {
            return Ok(Err(fault));
        }
        Ok(if self.head == head {
            Ok(())
        } else {
            Err(format!(
                "record {} is not where the head file says that it is",
                head.seq
            ))
        })
    }

    /// Read this segment's first bytes, which must all be records. The inner error is damage.
    fn read_all(&mut self, dir: &Path, bytes: u64) -> Result<Result<(), String>, AuditError> {
        let mut lines = Lines::open(dir, self.head.segment, bytes)?;
        while let Some(line) = lines.next()? {
            match self.check(&line) {
                Ok((link, time)) => self.take(link, time, line.end),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(()))
    }

    /// Read on in this segment. The bytes at its end that are no records.
    fn read_unsealed(&mut self, dir: &Path) -> Result<u64, AuditError> {
        let mut lines = Lines::open(dir, self.head.segment, u64::MAX)?;
        let sealed = self.head.bytes;
        let mut end = sealed;
        let mut good = true;
        while let Some(line) = lines.next()? {
            end = line.end;
            if line.end <= sealed {
                continue;
            }
            match self.check(&line) {
                Ok((link, time)) if good => self.take(link, time, line.end),
                _ => good = false,
            }
        }
        Ok(end - self.head.bytes)
    }
}

fn cut_off(dir: &Path, head: &Head) -> Result<(), AuditError> {
    let path = dir.join(segment_name(head.segment));
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| {
            file.set_len(head.bytes)?;
            file.sync_data()
        })
        .map_err(|e| AuditError::io("cut the end off", &path, e))
}

/// Leave everything as it is, and go on with a number that no segment and no record has.
fn go_on_elsewhere(
    dir: &Path,
    found: Found,
    newest: Option<u64>,
    fault: String,
) -> Result<Recovered, AuditError> {
    let mut link = match found {
        Found::Head(head) => head.link(),
        Found::Missing | Found::Damaged => Link::default(),
    };
    let mut seq = link.seq;
    if let Some(newest) = newest {
        seq = seq.max(newest);
        let mut lines = Lines::open(dir, newest, u64::MAX)?;
        while let Some(line) = lines.next()? {
            if let Ok(record) = Record::parse(line.text) {
                seq = seq.max(record.seq);
                if !matches!(found, Found::Head(_)) {
                    link = Link::of(record.seq, line.text);
                }
            }
        }
    }
    let head = Head::new(Link { seq, ..link }, seq.wrapping_add(1), 0);
    tracing::error!(dir = %dir.display(), "the audit log is damaged: {fault}; it goes on in a new segment");
    let detail = format!("the log is damaged: {fault}. Nothing was changed; the log goes on here");
    Ok(Recovered {
        head,
        segment_began: None,
        notes: vec![Event::of_host(
            "audit.damaged",
            segment_name(newest.unwrap_or(1)),
            Outcome::Failed,
            detail,
        )],
    })
}
