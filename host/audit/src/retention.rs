//! Old segments go, and the log says where it begins since then.
//!
//! Before a segment is removed, a record is written that names the last record in it and that
//! record's hash: what the first record left must follow. Segments go oldest first and each has its
//! own record, so a crash at any moment leaves a log that verifies.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::AuditError;
use crate::files::{self, Lines, segment_name};
use crate::log::Options;
use crate::record::{Event, Outcome, Record};

/// Segments removed at a time; more go with the next.
const DROPS_MAX: usize = 64;
/// The action of the record that is written before.
const ACTION: &str = "audit.segment-dropped";

/// A segment to be removed.
pub(crate) struct Drop {
    segment: u64,
    /// What is written before.
    pub(crate) event: Event,
}

/// The segments that are to go, oldest first. The newest never does.
pub(crate) fn due(dir: &Path, options: &Options, now: Timestamp) -> Result<Vec<Drop>, AuditError> {
    let segments = files::segments(dir)?;
    let mut sizes = Vec::with_capacity(segments.len());
    for segment in &segments {
        let path = dir.join(segment_name(*segment));
        let size = fs::metadata(&path)
            .map_err(|e| AuditError::io("read", &path, e))?
            .len();
        sizes.push(size);
    }
    let mut total: u64 = sizes.iter().sum();
    let mut drops = Vec::new();
    let nexts = segments.iter().zip(&sizes).skip(1);
    for ((segment, size), (next, next_size)) in segments.iter().zip(&sizes).zip(nexts) {
        // A segment that was begun and has no record yet follows the one before; nothing else says what.
        if *next_size == 0 {
            break;
        }
        let next = first_record(dir, *next)?;
        let too_large = options.max_bytes.is_some_and(|max| total > max);
        // Everything in a segment is older than the first record of the next.
        let too_old = match (options.max_age, &next) {
            (Some(max), Some(next)) => now.duration_since(next.time).unsigned_abs() > max && now > next.time,
            _ => false,
        };
        if !(too_large || too_old) || drops.len() == DROPS_MAX {
            break;
        }
        total -= size;
        drops.push(Drop {
            segment: *segment,
            event: Event::of_host(
                ACTION,
                segment_name(*segment),
                Outcome::Done,
                next.map_or_else(
                    || "the next segment's first record is damaged".to_owned(),
                    |next| anchor(&next),
                ),
            ),
        });
    }
    Ok(drops)
}

/// Remove segments whose records are written.
pub(crate) fn remove(dir: &Path, drops: &[Drop]) -> Result<(), AuditError> {
    for Drop { segment, .. } in drops {
        let path = dir.join(segment_name(*segment));
        fs::remove_file(&path).map_err(|e| AuditError::io("remove", &path, e))?;
        tracing::info!(path = %path.display(), "audit log: an old segment was removed");
    }
    files::sync_dir(dir)
}

/// Does `record` say that the log may begin with `first`?
pub(crate) fn allows(record: &Record, first: &Record) -> bool {
    record.action == ACTION
        && record.actor == crate::Actor::Host
        && record.tenant.is_none()
        && record.detail == anchor(first)
}

/// What is said of the record before `first`.
fn anchor(first: &Record) -> String {
    format!(
        "up to record {}, SHA-256 {}",
        first.seq.saturating_sub(1),
        first.prev
    )
}

fn first_record(dir: &Path, segment: u64) -> Result<Option<Record>, AuditError> {
    let mut lines = Lines::open(dir, segment, u64::MAX)?;
    Ok(lines.next()?.and_then(|line| Record::parse(line.text).ok()))
}
