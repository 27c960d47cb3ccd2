//! The thread that waits for the disk, so that the one that gathers rows doesn't.
//!
//! It writes windows and states down in the order in which it is told, reads them at a start, and removes
//! them. A state is an object of the store, in the place of the one before, and in no backup; the windows
//! are records, and are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use caisson_store::{Store, StoreError};

use crate::deployment::{Deployment, lock};
use crate::history::{self, Told};
use crate::worker::Message;

/// Bytes of a state that is read.
pub(crate) const STATE_BYTES_MAX: u64 = caisson_quality::accumulator::STATE_BYTES_MAX as u64;
/// Bytes of states that wait for the disk, from which deployments keep the one that they have saved.
pub(crate) const BACKLOG_BYTES_MAX: usize = 128 << 20;

/// What it is told to do.
pub(crate) enum Keep {
    /// Write windows down.
    Windows(Arc<Deployment>, Vec<Told>),
    /// Write a state down.
    State(Arc<Deployment>, Vec<u8>),
    /// Read what there is of a deployment, and tell the worker.
    Load(Arc<Deployment>),
    /// Remove what there is of a tenant, or of one deployment of it, and say so.
    Forget(String, Option<String>, SyncSender<Result<(), StoreError>>),
    /// Say so once everything before is done.
    Flush(SyncSender<()>),
    /// End.
    Close,
}

/// What was kept of a deployment.
pub(crate) struct Loaded {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) windows: Vec<Told>,
}

/// May a tenant have this many bytes?
type Admit = Box<dyn Fn(&str, u64) -> bool + Send>;

pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) worker: Sender<Message>,
    /// Bytes of states on their way here.
    pub(crate) backlog: Arc<AtomicUsize>,
    /// May a tenant have this many bytes of windows?
    pub(crate) admit: Admit,
}

/// Where a deployment's state is.
fn path(tenant: &str, deployment: &str) -> String {
    format!("monitoring/tenant={tenant}/deployment={deployment}/state")
}

impl Keeper {
    /// Until it is told to end, or nobody is left to tell it.
    pub(crate) fn run(self, receiver: &Receiver<Keep>) {
        while let Ok(keep) = receiver.recv() {
            match keep {
                Keep::Windows(deployment, windows) => self.windows(&deployment, windows),
                Keep::State(deployment, bytes) => self.state(&deployment, bytes),
                Keep::Load(deployment) => {
                    let loaded = self.load(deployment);
                    if self.worker.send(Message::Loaded(loaded)).is_err() {
                        return;
                    }
                }
                Keep::Forget(tenant, deployment, done) => {
                    // Who asked may have gone.
                    let _ = done.send(self.forget(&tenant, deployment.as_deref()));
                }
                Keep::Flush(done) => {
                    let _ = done.send(());
                }
                Keep::Close => return,
            }
        }
    }

    fn windows(&self, deployment: &Deployment, windows: Vec<Told>) {
        let (tenant, name) = (&deployment.tenant, &deployment.name);
        deployment.written(windows.len());
        let mut kept = lock(&deployment.kept).clone();
        if let Err(error) = history::append(&self.store, (tenant, name), &mut kept, windows) {
            tracing::error!(tenant, deployment = name, %error, "windows that closed can't be kept");
        }
        *lock(&deployment.kept) = kept;
    }

    fn state(&self, deployment: &Deployment, bytes: Vec<u8>) {
        let size = bytes.len();
        self.backlog.fetch_sub(size, Ordering::Relaxed);
        let (tenant, name) = (&deployment.tenant, &deployment.name);
        if !(self.admit)(tenant, size as u64) {
            tracing::warn!(
                tenant,
                deployment = name,
                "windows in progress aren't saved: the tenant's quota of stored bytes is used up"
            );
            return;
        }
        match self.store.objects().put(&path(tenant, name), bytes) {
            Ok(()) => deployment.state_bytes.store(size as u64, Ordering::Relaxed),
            Err(error) => {
                tracing::error!(tenant, deployment = name, %error, "windows in progress can't be saved; a restart would lose them");
            }
        }
    }

    fn load(&self, deployment: Arc<Deployment>) -> Loaded {
        let (tenant, name) = (&deployment.tenant, &deployment.name);
        let windows = history::all(&self.store, tenant, name).unwrap_or_else(|error| {
            tracing::error!(tenant, deployment = name, %error, "the history of windows can't be read");
            Vec::new()
        });
        let state = self.store.objects().get(&path(tenant, name), STATE_BYTES_MAX).unwrap_or_else(|error| {
            tracing::error!(tenant, deployment = name, %error, "windows in progress can't be read, and start anew");
            None
        });
        let bytes = state.as_ref().map_or(0, |state| state.len() as u64);
        deployment.state_bytes.store(bytes, Ordering::Relaxed);
        let (kept, windows): (VecDeque<_>, Vec<_>) = windows.into_iter().unzip();
        *lock(&deployment.kept) = kept;
        Loaded {
            deployment,
            state,
            windows,
        }
    }

    fn forget(&self, tenant: &str, deployment: Option<&str>) -> Result<(), StoreError> {
        history::forget(&self.store, tenant, deployment)?;
        let objects = self.store.objects();
        if let Some(deployment) = deployment {
            return objects.remove(&path(tenant, deployment));
        }
        let mut paths = Vec::new();
        objects.visit(&format!("monitoring/tenant={tenant}"), |object| {
            paths.push(object.path);
            Ok(())
        })?;
        paths.iter().try_for_each(|path| objects.remove(path))
    }
}

/// Counts bytes that are on their way to the disk.
pub(crate) fn send_state(
    keeper: &Sender<Keep>,
    backlog: &AtomicUsize,
    deployment: &Arc<Deployment>,
    bytes: Vec<u8>,
) -> bool {
    backlog.fetch_add(bytes.len(), Ordering::Relaxed);
    keeper.send(Keep::State(Arc::clone(deployment), bytes)).is_ok()
}
