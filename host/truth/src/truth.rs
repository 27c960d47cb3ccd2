//! The labels of a server: what requests and the writer's thread share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::thread::JoinHandle;

use caisson_predictions::{Area, Kept, LogReader};
use caisson_store::Store;

use crate::TruthError;
use crate::evaluate::States;
use crate::label::Label;
use crate::result::LabelCounts;
use crate::spec::GroundTruthSpec;
use crate::writer::Writer;

/// Labels.
pub(crate) const LABELS: Area = Area::new("labels", "labels");
/// What was said of windows.
pub(crate) const PERFORMANCE: Area = Area::new("performance", "performance");

/// Uploads' parts that wait to be written. Each has a thousand labels at most, of 200 bytes or so.
const QUEUE: usize = 256;

/// Is there still such a deployment?
pub(crate) type Admit = Box<dyn Fn(&str, &str) -> bool + Send>;

/// Called once labels are durable, or can't be.
pub type Done = Box<dyn FnOnce(Result<Recorded, TruthError>) + Send>;

/// Labels that are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// How many.
    pub labels: u64,
}

/// What is on its way to the writer.
pub(crate) enum Message {
    Record(Box<Waiting>),
    /// Remove everything of a tenant, or of one deployment, and say so.
    Forget(String, Option<String>, SyncSender<Result<(), TruthError>>),
    /// Write everything, and end.
    Close,
}

/// Labels that wait to be written.
pub(crate) struct Waiting {
    pub(crate) tenant: String,
    pub(crate) deployment: String,
    pub(crate) kept: Kept,
    pub(crate) labels: Vec<Label>,
    pub(crate) done: Done,
}

/// What is known of a deployment.
#[derive(Debug, Default)]
pub(crate) struct Deployment {
    /// Bytes of its labels.
    labels: AtomicU64,
    /// Bytes of what was said of its windows.
    results: AtomicU64,
    /// Times that labels were written.
    version: AtomicU64,
    /// Read while labels are read, written while files of them are put together.
    reading: RwLock<()>,
    /// None until they were evaluated.
    counts: Mutex<Option<LabelCounts>>,
}

impl Deployment {
    pub(crate) fn add(&self, bytes: u64) -> u64 {
        self.labels.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.labels.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn replace(&self, before: u64, after: u64) {
        let change = |bytes: u64| Some(bytes.saturating_sub(before).saturating_add(after));
        // Always some.
        let _ = self
            .labels
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    pub(crate) fn set_results(&self, bytes: u64) {
        self.results.store(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.labels.load(Ordering::Relaxed) + self.results.load(Ordering::Relaxed)
    }

    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, ()> {
        self.reading.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_write(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.reading.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn set_counts(&self, counts: LabelCounts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = Some(counts);
    }
}

/// All deployments that have labels, or had some.
#[derive(Debug, Default)]
pub(crate) struct Deployments(Mutex<BTreeMap<(String, String), Arc<Deployment>>>);

impl Deployments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<Deployment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, tenant: &str, name: &str) -> Arc<Deployment> {
        let key = (tenant.to_owned(), name.to_owned());
        Arc::clone(self.lock().entry(key).or_default())
    }

    fn stored(&self, tenant: &str) -> u64 {
        let all = self.lock();
        let own = all.iter().filter(|((owner, _), _)| owner == tenant);
        own.map(|(_, deployment)| deployment.bytes()).sum()
    }

    pub(crate) fn forget(&self, is_meant: impl Fn(&str, &str) -> bool) {
        self.lock().retain(|(owner, name), _| !is_meant(owner, name));
    }
}

/// The ground truth of a server. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Truth(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) log: LogReader,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) states: States,
    /// Is the server about to stop?
    ending: AtomicBool,
    sender: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Truth").finish_non_exhaustive()
    }
}

impl Truth {
    /// Start the thread that writes labels. `admit` says whether a tenant has a deployment of a name.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn open(
        store: Store,
        admit: impl Fn(&str, &str) -> bool + Send + 'static,
    ) -> Result<Self, TruthError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let deployments = Arc::<Deployments>::default();
        let writer = Writer::new(store.clone(), Arc::clone(&deployments), Box::new(admit))?;
        let thread = std::thread::Builder::new()
            .name("caisson-truth".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| TruthError::Thread(format!("can't be started: {e}")))?;
        Ok(Self(Arc::new(Shared {
            log: LogReader::new(&store),
            store,
            deployments,
            states: States::default(),
            ending: AtomicBool::new(false),
            sender,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Hand labels over; `done` is called once they are durable. It never waits.
    ///
    /// # Errors
    ///
    /// [`TruthError::Busy`] where too many wait; the thread has ended. `done` isn't called then.
    pub fn record(
        &self,
        tenant: &str,
        deployment: &str,
        spec: &GroundTruthSpec,
        labels: Vec<Label>,
        done: Done,
    ) -> Result<(), TruthError> {
        let waiting = Waiting {
            tenant: tenant.to_owned(),
            deployment: deployment.to_owned(),
            kept: Kept {
                tenant: tenant.to_owned(),
                deployment: deployment.to_owned(),
                hours: spec.keep_hours(),
                bytes: spec.keep_bytes(),
            },
            labels,
            done,
        };
        match self.0.sender.try_send(Message::Record(Box::new(waiting))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(TruthError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ended()),
        }
    }

    /// Bytes of a tenant's labels, and of what was said by them.
    pub fn stored_bytes(&self, tenant: &str) -> u64 {
        self.0.deployments.stored(tenant)
    }

    /// Bytes of a deployment's labels and windows, and its labels by what became of them, as of the last
    /// evaluation since the start; none before the first.
    pub fn status(&self, tenant: &str, deployment: &str) -> (u64, Option<LabelCounts>) {
        let of = self.0.deployments.of(tenant, deployment);
        let counts = of.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (of.bytes(), counts)
    }

    /// Remove everything of a tenant that is deleted.
    ///
    /// # Errors
    ///
    /// The store; the thread has ended.
    pub fn forget(&self, tenant: &str) -> Result<(), TruthError> {
        self.ask_to_forget(tenant, None)
    }

    /// Remove everything of a deployment that is deleted.
    ///
    /// # Errors
    ///
    /// The store; the thread has ended.
    pub fn forget_deployment(&self, tenant: &str, deployment: &str) -> Result<(), TruthError> {
        self.ask_to_forget(tenant, Some(deployment))
    }

    fn ask_to_forget(&self, tenant: &str, deployment: Option<&str>) -> Result<(), TruthError> {
        self.0
            .states
            .forget(|owner, name| owner == tenant && deployment.is_none_or(|d| d == name));
        let (answer, answered) = sync_channel(1);
        let message = Message::Forget(tenant.to_owned(), deployment.map(str::to_owned), answer);
        self.0.sender.send(message).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }

    /// Evaluations that are under way end early from now on, and say nothing more.
    pub fn stop_evaluating(&self) {
        self.0.ending.store(true, Ordering::Relaxed);
    }

    /// # Errors
    ///
    /// [`TruthError::Ending`].
    pub(crate) fn go_on(&self) -> Result<(), TruthError> {
        match self.0.ending.load(Ordering::Relaxed) {
            true => Err(TruthError::Ending),
            false => Ok(()),
        }
    }

    /// Write everything that waits, and end. What comes afterwards is refused.
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
            tracing::error!("the thread that writes labels ended early");
        }
    }
}

fn ended() -> TruthError {
    TruthError::Thread("has ended".to_owned())
}
