//! The handle on an open log.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::head::{Head, HeadFile};
use crate::refusals::Refusals;
use crate::writer::{Command, QUEUE_MAX, Writer};
use crate::{AuditError, Event, Record, files, recover};

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes from which a segment is closed and the next one begun; it may be larger by what one
    /// flush writes. Also what is read when the log is opened.
    pub segment_bytes: u64,
    /// Bytes of the whole log, beyond which the oldest segments are removed; none keeps them all.
    pub max_bytes: Option<u64>,
    /// Age from which segments are removed; none keeps them all. A segment takes at most a day's
    /// records, so that is how exact it is.
    pub max_age: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            max_bytes: Some(1024 * 1024 * 1024),
            max_age: None,
        }
    }
}

/// The log. Clones are handles on the same; the last one to go writes what is still gathered.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

struct Inner {
    /// Taken by `drop` alone: it ends the thread.
    queue: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the handles and the writing thread share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    /// Where the log on disk ends.
    pub(crate) sealed: Mutex<Head>,
    pub(crate) refusals: Mutex<Refusals>,
}

impl Shared {
    pub(crate) fn sealed(&self) -> Head {
        *lock(&self.sealed)
    }
}

impl AuditLog {
    /// Open the log in a folder with default options; make it where there is none.
    ///
    /// # Errors
    ///
    /// [`AuditError::Locked`], [`AuditError::NewerFormat`], [`AuditError::Full`],
    /// [`AuditError::Io`]. Damage is no error: the log goes on in a new segment, and says so in it.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, AuditError> {
        Self::open_with(dir, Options::default())
    }

    /// Open the log in a folder; make it where there is none.
    ///
    /// # Errors
    ///
    /// As [`AuditLog::open`].
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Self, AuditError> {
        let dir = dir.as_ref();
        files::create_dir(dir)?;
        let (head_file, found) = HeadFile::open(dir)?;
        let recovered = recover::recover(dir, found)?;
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            sealed: Mutex::new(recovered.head),
            refusals: Mutex::new(Refusals::default()),
        });
        let writer = Writer::start(Arc::clone(&shared), options, head_file, recovered)?;
        let (queue, commands) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("caisson-audit".to_owned())
            .spawn(move || writer.run(&commands))
            .map_err(|e| AuditError::io("start the thread of", dir, e))?;
        Ok(Self(Arc::new(Inner {
            queue: Some(queue),
            thread: Some(thread),
            shared,
        })))
    }

    /// Put an event on the record. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`AuditError::Full`] and [`AuditError::Io`]: the event is not on the record, and the next
    /// one may be again. [`AuditError::Closed`].
    pub fn append(&self, event: Event) -> Result<Record, AuditError> {
        self.ask(|reply| Command::Append(Box::new(event.tamed()), reply))?
    }

    /// Put a refusal on the record within about a second, alone or counted with others like it (the
    /// same tenant, actor, action, resource and code). Waits for nothing, and can't fail: what can't
    /// be written now is counted, and the count is written later. A crash loses the last second's.
    pub fn append_batched(&self, refusal: Event) {
        let opens = lock(&self.0.shared.refusals).add(refusal.tamed(), Timestamp::now(), Instant::now());
        if opens && let Some(queue) = &self.0.queue {
            // A thread that has its hands full looks by itself; one that has ended takes nothing.
            match queue.try_send(Command::Wake) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Write the refusals gathered so far.
    ///
    /// # Errors
    ///
    /// As [`AuditLog::append`].
    pub fn flush(&self) -> Result<(), AuditError> {
        self.ask(Command::Flush)?
    }

    /// Where the log on disk ends. Kept somewhere else, it shows whether the log was written anew.
    pub fn head(&self) -> Head {
        self.0.shared.sealed()
    }

    /// The log's folder.
    pub fn dir(&self) -> &Path {
        &self.0.shared.dir
    }

    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, AuditError> {
        let (reply, answer): (_, Receiver<T>) = sync_channel(1);
        let queue = self.0.queue.as_ref().ok_or(AuditError::Closed)?;
        // Waits while the queue is full: the disk is the limit.
        queue.send(command(reply)).map_err(|_| AuditError::Closed)?;
        answer.recv().map_err(|_| AuditError::Closed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(dir = %self.shared.dir.display(), "the audit log's thread ended by a panic");
        }
    }
}

/// A lock whose holder panicked is still good: every holder leaves whole values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
