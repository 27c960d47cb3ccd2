//! What requests and the writer's thread share: the queue, the room in memory, and the counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use caisson_store::Store;
use schemars::JsonSchema;
use serde::Serialize;

use crate::counts::{Counts, Tally, Unlogged};
use crate::entry::Answer;
use crate::spec::LogSpec;
use crate::writer::Writer;
use crate::{LogError, keep};

/// What an answer takes beside its values: its blocks, its id, its place in lists.
const ANSWER_BYTES: usize = 512;
/// Of the memory, the part that one deployment may have.
const SHARE: usize = 4;

/// How much may wait in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all answers that wait to be written; one deployment has a quarter of it at most. Encoding
    /// takes up to three times the bytes of one file beside them.
    pub buffer_bytes: usize,
    /// Answers that the writer's thread hasn't taken yet.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Four deployments at the default size of a file.
            buffer_bytes: 256 << 20,
            // At 20,000 requests a second, what a flush to a slow disk takes.
            queue: 16_384,
        }
    }
}

/// May a tenant have this many bytes of logs?
pub(crate) type Admit = Box<dyn Fn(&str, u64) -> bool + Send>;

/// What is on its way to the writer.
pub(crate) enum Message {
    Answer(Box<Entry>),
    /// Write everything, and say so.
    Flush(SyncSender<()>),
    /// Remove everything of a tenant, and say so.
    Forget(String, SyncSender<Result<(), LogError>>),
    /// Write everything, and end.
    Close,
}

/// An answer with its place and its room.
pub(crate) struct Entry {
    pub(crate) log: Arc<Log>,
    pub(crate) answer: Answer,
    pub(crate) space: Space,
}

/// What the revisions of a deployment share.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) tally: Tally,
    /// Bytes that wait.
    held: AtomicUsize,
    /// Bytes of its files.
    pub(crate) stored: AtomicU64,
}

/// All deployments that have a log, or had one.
#[derive(Debug, Default)]
pub(crate) struct Deployments(Mutex<BTreeMap<(String, String), Arc<Deployment>>>);

impl Deployments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<Deployment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, tenant: &str, name: &str) -> Arc<Deployment> {
        let key = (tenant.to_owned(), name.to_owned());
        let mut all = self.lock();
        let deployment = all.entry(key).or_insert_with(|| {
            Arc::new(Deployment {
                tenant: tenant.to_owned(),
                name: name.to_owned(),
                tally: Tally::default(),
                held: AtomicUsize::new(0),
                stored: AtomicU64::new(0),
            })
        });
        Arc::clone(deployment)
    }

    pub(crate) fn stored(&self, tenant: &str) -> u64 {
        let all = self.lock();
        let own = all.values().filter(|deployment| deployment.tenant == tenant);
        own.map(|deployment| deployment.stored.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn forget(&self, tenant: &str) {
        self.lock().retain(|(owner, _), _| owner != tenant);
    }
}

/// The prediction log of a server. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Predictions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    sender: SyncSender<Message>,
    held: Arc<AtomicUsize>,
    deployments: Arc<Deployments>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a deployment's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogStatus {
    /// Rows since the server started.
    pub rows: Counts,
    /// Bytes of its files.
    pub stored_bytes: u64,
}

impl Predictions {
    /// Start the log's thread. `admit` says whether a tenant may have so many bytes of logs.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn open(
        store: Store,
        limits: Limits,
        admit: impl Fn(&str, u64) -> bool + Send + 'static,
    ) -> Result<Self, LogError> {
        let (sender, receiver): (_, Receiver<Message>) = sync_channel(limits.queue);
        let (held, deployments) = (Arc::default(), Arc::default());
        let writer = Writer::new(
            store,
            limits,
            Arc::clone(&held),
            Arc::clone(&deployments),
            Box::new(admit),
        )?;
        let thread = std::thread::Builder::new()
            .name("caisson-log".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| LogError::Thread(format!("can't be started: {e}")))?;
        Ok(Self(Arc::new(Shared {
            limits,
            sender,
            held,
            deployments,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// The place of a revision in the log.
    pub fn log(&self, tenant: &str, deployment: &str, revision: u64, spec: LogSpec) -> Arc<Log> {
        Arc::new(Log {
            deployment: self.0.deployments.of(tenant, deployment),
            revision,
            spec,
            limits: self.0.limits,
            held: Arc::clone(&self.0.held),
            sender: self.0.sender.clone(),
        })
    }

    /// How the log of a deployment stands.
    pub fn status(&self, tenant: &str, deployment: &str) -> LogStatus {
        let deployment = self.0.deployments.of(tenant, deployment);
        LogStatus {
            rows: deployment.tally.counts(),
            stored_bytes: deployment.stored.load(Ordering::Relaxed),
        }
    }

    /// Bytes of a tenant's files.
    pub fn stored_bytes(&self, tenant: &str) -> u64 {
        self.0.deployments.stored(tenant)
    }

    /// Write everything that waits.
    ///
    /// # Errors
    ///
    /// The log is closed.
    pub fn flush(&self) -> Result<(), LogError> {
        self.ask(Message::Flush)
    }

    /// Remove everything of a tenant that is deleted.
    ///
    /// # Errors
    ///
    /// The store; the log is closed.
    pub fn forget(&self, tenant: &str) -> Result<(), LogError> {
        self.ask(|answer| Message::Forget(tenant.to_owned(), answer))?
    }

    /// Write everything that waits, and end. What is offered afterwards is dropped.
    pub fn close(&self) {
        let thread = self
            .0
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else {
            return;
        };
        if self.0.sender.send(Message::Close).is_ok() && thread.join().is_err() {
            tracing::error!("the prediction log's thread ended early");
        }
    }

    fn ask<T>(&self, message: impl FnOnce(SyncSender<T>) -> Message) -> Result<T, LogError> {
        let closed = || LogError::Thread("has ended".to_owned());
        let (answer, answered) = sync_channel(1);
        self.0.sender.send(message(answer)).map_err(|_| closed())?;
        answered.recv().map_err(|_| closed())
    }
}

/// One revision's place in the log.
#[derive(Debug)]
pub struct Log {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) revision: u64,
    pub(crate) spec: LogSpec,
    limits: Limits,
    held: Arc<AtomicUsize>,
    sender: SyncSender<Message>,
}

impl Log {
    /// What the deployment's file says.
    pub fn spec(&self) -> &LogSpec {
        &self.spec
    }

    /// Room for an answer of so many rows and bytes; where there is none, the rows are dropped and counted.
    pub fn reserve(&self, rows: usize, bytes: usize) -> Option<Space> {
        let (bytes, rows) = (bytes.saturating_add(ANSWER_BYTES), rows as u64);
        let (all, own) = (&self.held, &self.deployment.held);
        let now = all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let mine = own.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.deployment.tally.take_in(rows);
        let space = Space {
            rows,
            bytes,
            all: Arc::clone(all),
            own: Arc::clone(&self.deployment),
        };
        if now > self.limits.buffer_bytes || mine > self.limits.buffer_bytes / SHARE {
            self.drop_rows(Unlogged::Memory, rows);
            return None;
        }
        Some(space)
    }

    /// Hand an answer over; it never waits. What can't be taken is dropped and counted.
    pub fn offer(self: &Arc<Self>, answer: Answer, space: Space) {
        let rows = space.rows;
        let counts = [
            Some(answer.output.rows()),
            answer.features.as_ref().map(caisson_data::Batch::rows),
        ];
        if counts.into_iter().flatten().any(|n| n != answer.input.rows()) {
            return self.drop_rows(Unlogged::Rows, rows);
        }
        let entry = Entry {
            log: Arc::clone(self),
            answer,
            space,
        };
        match self.sender.try_send(Message::Answer(Box::new(entry))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.drop_rows(Unlogged::Queue, rows)
            }
        }
    }

    /// Count rows that don't come to the log.
    pub fn drop_rows(&self, reason: Unlogged, rows: u64) {
        self.deployment.tally.dropped(reason, rows);
    }
}

/// Room in memory for an answer; given back when it is dropped.
#[derive(Debug)]
pub struct Space {
    rows: u64,
    pub(crate) bytes: usize,
    all: Arc<AtomicUsize>,
    own: Arc<Deployment>,
}

impl Drop for Space {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.own.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.own.tally.let_go(self.rows);
    }
}

/// Remove everything of a tenant, where no log is open.
pub(crate) fn forget(store: &Store, deployments: &Deployments, tenant: &str) -> Result<(), LogError> {
    keep::forget(store, tenant)?;
    deployments.forget(tenant);
    Ok(())
}
