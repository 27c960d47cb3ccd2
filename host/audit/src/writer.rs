//! The one thread that writes.
//!
//! It takes what waits in the queue, writes all of it with one write, flushes the segment, then the
//! head file, and only then answers. A write that fails leaves nothing: the segment is cut back to
//! where it was and the head file says so, before anything else is written.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::chain::Link;
use crate::files::{self, segment_name};
use crate::head::{Head, HeadFile};
use crate::log::{Options, Shared, lock};
use crate::record::{Event, Record};
use crate::recover::Recovered;
use crate::refusals::Gathered;
use crate::{AuditError, retention};

/// Commands that may wait: more callers than this wait for room. Each is a thread that waits for its
/// answer, and a server has some hundreds of them.
pub(crate) const QUEUE_MAX: usize = 1024;
/// Appends written with one flush; at most 8 MiB with the longest records.
const BATCH_MAX: usize = 1024;
/// After this a segment is closed even if it is small, so that the limit on age has an effect.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the thread is asked to do.
pub(crate) enum Command {
    /// Write an event, within the limits on its texts, and answer.
    Append(Box<Event>, SyncSender<Result<Record, AuditError>>),
    /// Write the refusals gathered so far, and answer.
    Flush(SyncSender<Result<(), AuditError>>),
    /// Refusals are being gathered.
    Wake,
}

/// The state of the thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    head_file: HeadFile,
    /// The end of the log: the next record's place.
    head: Head,
    /// The newest segment, once something is to be written to it.
    segment: Option<File>,
    /// When its first record was written.
    segment_began: Option<Timestamp>,
    /// A write failed, and what it left is still there.
    torn: bool,
}

impl Writer {
    /// Go on where the log ends; what was found there is on the record when this returns.
    pub(crate) fn start(
        shared: Arc<Shared>,
        options: Options,
        head_file: HeadFile,
        recovered: Recovered,
    ) -> Result<Self, AuditError> {
        let mut writer = Self {
            shared,
            options,
            head_file,
            head: recovered.head,
            segment: None,
            segment_began: recovered.segment_began,
            torn: false,
        };
        if recovered.notes.is_empty() {
            writer.head_file.write(&writer.head)?;
            files::sync_dir(&writer.shared.dir)?;
        }
        // Else the head file is written with the notes: what they tell of must not be forgotten.
        let now = Timestamp::now();
        let notes = recovered.notes.into_iter().map(|event| Gathered {
            event: event.tamed(),
            time: now,
            count: 1,
        });
        writer.write(notes.collect())?;
        writer.drop_old_segments()?;
        Ok(writer)
    }

    /// Work until every handle is gone.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let due_in = lock(&self.shared.refusals).due_in(Instant::now());
            let first = match due_in {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => commands.recv_timeout(wait),
            };
            let mut batch = Vec::new();
            match first {
                Ok(command) => batch.push(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while batch.len() < BATCH_MAX
                && let Ok(command) = commands.try_recv()
            {
                batch.push(command);
            }
            self.turn(batch);
        }
        if let Err(error) = self.write_refusals(true) {
            tracing::error!(%error, "the last refused requests are not in the audit log");
        }
    }

    fn turn(&mut self, batch: Vec<Command>) {
        let (mut events, mut replies, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        let time = Timestamp::now();
        for command in batch {
            match command {
                Command::Append(event, reply) => {
                    events.push(Gathered {
                        event: *event,
                        time,
                        count: 1,
                    });
                    replies.push(reply);
                }
                Command::Flush(reply) => flushes.push(reply),
                Command::Wake => {}
            }
        }
        let segment = self.head.segment;
        // An answer that nobody waits for any more is no error: the record is written all the same.
        match self.write(events) {
            Ok(records) => {
                for (reply, record) in replies.into_iter().zip(records) {
                    let _ = reply.send(Ok(record));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the audit log can't be written");
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
        let due = lock(&self.shared.refusals)
            .due_in(Instant::now())
            .is_some_and(|wait| wait.is_zero());
        if due || !flushes.is_empty() {
            let outcome = self.write_refusals(!flushes.is_empty());
            if let Err(error) = &outcome {
                tracing::error!(%error, "refused requests can't be written to the audit log; they are counted");
            }
            for reply in flushes {
                let _ = reply.send(outcome.clone());
            }
        }
        if self.head.segment != segment
            && let Err(error) = self.drop_old_segments()
        {
            tracing::error!(%error, "the audit log's old segments can't be removed");
        }
    }

    fn write_refusals(&mut self, all: bool) -> Result<(), AuditError> {
        let taken = lock(&self.shared.refusals).take(Timestamp::now(), Instant::now(), all);
        match self.write(taken.clone()) {
            Ok(_) => Ok(()),
            Err(error) => {
                lock(&self.shared.refusals).put_back(taken, Instant::now());
                Err(error)
            }
        }
    }

    fn drop_old_segments(&mut self) -> Result<(), AuditError> {
        let now = Timestamp::now();
        let drops = retention::due(&self.shared.dir, &self.options, now)?;
        let events = drops.iter().map(|drop| Gathered {
            event: drop.event.clone(),
            time: now,
            count: 1,
        });
        self.write(events.collect())?;
        retention::remove(&self.shared.dir, &drops)
    }

    /// Write records; all are on disk when this returns, or none.
    fn write(&mut self, events: Vec<Gathered>) -> Result<Vec<Record>, AuditError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if self.torn {
            self.restore()?;
        }
        self.begin_segment_if_due(events.first().map(|event| event.time));
        let mut link = self.head.link();
        let mut records = Vec::with_capacity(events.len());
        let mut bytes = Vec::new();
        for Gathered { event, time, count } in events {
            let seq = link.seq.saturating_add(1);
            let (record, line) = Record::seal(seq, time, event, count, link.hash)
                .map_err(|e| AuditError::io("encode a record of", &self.shared.dir, e.into()))?;
            link = Link::of(seq, &line);
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
            records.push(record);
        }
        let end = self.head.bytes.saturating_add(bytes.len() as u64);
        let head = Head::new(link, self.head.segment, end);
        if let Err(error) = self.write_bytes(&bytes, &head) {
            self.torn = true;
            // Now, so that a reader of the files sees nothing of it; else before the next write.
            if let Err(error) = self.restore() {
                tracing::error!(%error, "what a failed write left in the audit log can't be removed yet");
            }
            return Err(error);
        }
        self.head = head;
        self.segment_began = self.segment_began.or(records.first().map(|record| record.time));
        *lock(&self.shared.sealed) = head;
        Ok(records)
    }

    fn write_bytes(&mut self, bytes: &[u8], head: &Head) -> Result<(), AuditError> {
        let (offset, path) = (self.head.bytes, self.segment_path());
        let segment = self.segment()?;
        segment
            .write_all_at(bytes, offset)
            .and_then(|()| segment.sync_data())
            .map_err(|e| AuditError::io("write", &path, e))?;
        self.head_file.write(head)
    }

    /// Remove what a failed write left.
    fn restore(&mut self) -> Result<(), AuditError> {
        let (bytes, path) = (self.head.bytes, self.segment_path());
        let segment = self.segment()?;
        segment
            .set_len(bytes)
            .and_then(|()| segment.sync_data())
            .map_err(|e| AuditError::io("cut the end off", &path, e))?;
        self.head_file.write(&self.head)?;
        self.torn = false;
        Ok(())
    }

    fn begin_segment_if_due(&mut self, now: Option<Timestamp>) {
        let old = match (self.segment_began, now) {
            (Some(began), Some(now)) => {
                now > began && now.duration_since(began).unsigned_abs() > SEGMENT_AGE_MAX
            }
            _ => false,
        };
        if self.head.bytes > 0 && (old || self.head.bytes >= self.options.segment_bytes) {
            self.head = Head::new(self.head.link(), self.head.seq.saturating_add(1), 0);
            self.segment = None;
            self.segment_began = None;
        }
    }

    fn segment_path(&self) -> PathBuf {
        self.shared.dir.join(segment_name(self.head.segment))
    }

    /// The newest segment; made where it isn't there yet.
    fn segment(&mut self) -> Result<&File, AuditError> {
        if self.segment.is_none() {
            let path = self.segment_path();
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| AuditError::io("open", &path, e))?;
            files::sync_dir(&self.shared.dir)?;
            self.segment = Some(file);
        }
        self.segment.as_ref().ok_or(AuditError::Closed)
    }
}
