//! Reading the log while it is written.
//!
//! What is on disk is read, up to the newest record that was acknowledged when the reading began.
//! Records are read one at a time: memory is bounded however large the log is. Lines that are no
//! records are left out here, with a warning; [`verify`](crate::verify) names them.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;

use crate::chain::Hash;
use crate::files::{self, Lines, segment_name};
use crate::head::Head;
use crate::{AuditError, AuditLog, Outcome, Record};

/// Records that [`AuditLog::tail`] gives at most: 8 MiB with the longest.
pub const TAIL_RECORDS_MAX: usize = 1000;

/// Which records to read. By default all, which is for the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this tenant only. Their numbers show how many there are of others.
    pub tenant: Option<String>,
    /// Of this key only.
    pub key_id: Option<String>,
    /// Of this action only.
    pub action: Option<String>,
    /// With this outcome only.
    pub outcome: Option<Outcome>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Before the record of this number: for the next page.
    pub before: Option<u64>,
}

impl Filter {
    /// The records that a tenant's administrator may see.
    pub fn of_tenant(tenant: impl Into<String>) -> Self {
        Self {
            tenant: Some(tenant.into()),
            ..Self::default()
        }
    }

    /// Does it let this record pass?
    pub fn admits(&self, record: &Record) -> bool {
        let key_id = match &record.actor {
            crate::Actor::Key { key_id, .. } => Some(key_id),
            crate::Actor::Anonymous | crate::Actor::Host => None,
        };
        (self.tenant.is_none() || self.tenant == record.tenant)
            && (self.key_id.is_none() || self.key_id.as_ref() == key_id)
            && self.action.as_ref().is_none_or(|action| *action == record.action)
            && self.outcome.is_none_or(|outcome| outcome == record.outcome)
            && self.from.is_none_or(|from| record.time >= from)
            && self.to.is_none_or(|to| record.time < to)
            && self.before.is_none_or(|before| record.seq < before)
    }
}

impl AuditLog {
    /// The newest `n` records that the filter lets pass (at most [`TAIL_RECORDS_MAX`]), oldest
    /// first. Reads segments from the newest one backwards until there are enough.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn tail(&self, n: usize, filter: &Filter) -> Result<Vec<Record>, AuditError> {
        let n = n.min(TAIL_RECORDS_MAX);
        let end = self.head();
        let mut newest = VecDeque::new();
        for segment in self.segments(&end)?.into_iter().rev() {
            let room = n - newest.len();
            if room == 0 {
                break;
            }
            let mut found = VecDeque::with_capacity(room);
            self.each_line(segment, &end, |line| {
                if let Some(record) = admitted(line, filter) {
                    if found.len() == room {
                        found.pop_front();
                    }
                    found.push_back(record);
                }
                Ok(())
            })?;
            found.append(&mut newest);
            newest = found;
        }
        Ok(newest.into())
    }

    /// Write the records that the filter lets pass as they are in the log, a line each; how many.
    ///
    /// # Errors
    ///
    /// [`AuditError::Output`], and those of the operating system.
    pub fn export(&self, filter: &Filter, mut output: impl Write) -> Result<u64, AuditError> {
        let failed = |e| AuditError::Output(Arc::new(e));
        let end = self.head();
        let mut count = 0;
        for segment in self.segments(&end)? {
            self.each_line(segment, &end, |line| {
                if admitted(line, filter).is_some() {
                    output
                        .write_all(line)
                        .and_then(|()| output.write_all(b"\n"))
                        .map_err(failed)?;
                    count += 1;
                }
                Ok(())
            })?;
        }
        output.flush().map_err(failed)?;
        Ok(count)
    }

    fn segments(&self, end: &Head) -> Result<Vec<u64>, AuditError> {
        let mut segments = files::segments(self.dir())?;
        segments.retain(|segment| *segment <= end.segment);
        Ok(segments)
    }

    /// Call `each` with every line of a segment up to the log's end.
    fn each_line(
        &self,
        segment: u64,
        end: &Head,
        mut each: impl FnMut(&[u8]) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let bytes = if segment == end.segment {
            end.bytes
        } else {
            u64::MAX
        };
        let mut lines = match Lines::open(self.dir(), segment, bytes) {
            Ok(lines) => lines,
            // It grew too old meanwhile.
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(e),
        };
        while let Some(line) = lines.next()? {
            if line.fault.is_none() {
                each(line.text)?;
            } else {
                tracing::warn!(
                    segment = segment_name(segment),
                    line = line.number,
                    "the audit log is damaged"
                );
            }
        }
        Ok(())
    }
}

fn admitted(line: &[u8], filter: &Filter) -> Option<Record> {
    match Record::parse(line) {
        Ok(record) => filter.admits(&record).then_some(record),
        Err(fault) => {
            tracing::warn!(sha256 = %Hash::of(line), "the audit log is damaged: a line {fault}");
            None
        }
    }
}
