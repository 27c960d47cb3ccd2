//! The handle: the windows of a server.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use caisson_store::Store;
use schemars::JsonSchema;
use serde::Serialize;

use crate::MonitoringError;
use crate::checks::Checks;
use crate::deployment::{BaselineStatistics, Deployment, Kept, Limits, Newest, lock};
use crate::history::{self, Told};
use crate::keeper::{Keep, Keeper};
use crate::plan::Plan;
use crate::report::{DriftWindow, DroppedRows, RowCounts, SegmentName, StatisticsWindow};
use crate::tap::Tap;
use crate::track::Links;
use crate::worker::{Message, Worker};

/// The windows of a server. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Monitoring(Arc<Shared>);

struct Shared {
    store: Store,
    limits: Limits,
    worker: Sender<Message>,
    keeper: Sender<Keep>,
    /// Bytes in all lanes.
    all: Arc<AtomicUsize>,
    table: Mutex<Table>,
    /// The worker's, and the keeper's.
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
}

#[derive(Default)]
struct Table {
    deployments: BTreeMap<(String, String), Arc<Deployment>>,
    /// Bytes in the lanes of each tenant.
    held: BTreeMap<String, Arc<AtomicUsize>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Monitoring")
    }
}

/// Which windows are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this monitor; all if absent.
    pub monitor: Option<String>,
    /// Of this segment (`DE`, `(missing)`, `(other)`, or `*` for every segment); of all rows if absent.
    pub segment: Option<String>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// A deployment in numbers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StatisticsReport {
    /// Windows that are open, as far as they have come.
    pub open: Vec<StatisticsWindow>,
    /// Windows that closed, the newest first.
    pub windows: Vec<StatisticsWindow>,
    /// The model version's baseline beside them; absent where there is none, or it isn't computed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineStatistics>,
    /// Rows that came.
    pub rows: RowCounts,
    /// Rows that were dropped before.
    pub dropped: DroppedRows,
}

impl Filter {
    fn takes(&self, monitor: Option<&str>, segment: Option<&SegmentName>) -> bool {
        let of_monitor = self
            .monitor
            .as_deref()
            .is_none_or(|wanted| Some(wanted) == monitor);
        let of_segment = match (self.segment.as_deref(), segment) {
            (None, segment) => segment.is_none(),
            (Some("*"), segment) => segment.is_some(),
            (Some(wanted), segment) => segment.is_some_and(|segment| segment.shown() == wanted),
        };
        of_monitor && of_segment
    }
}

impl Monitoring {
    /// Start the threads. `admit` says whether a tenant may store so many bytes more.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn open(
        store: Store,
        limits: Limits,
        admit: impl Fn(&str, u64) -> bool + Send + 'static,
    ) -> Result<Self, MonitoringError> {
        let (worker, to_worker) = channel();
        let (keeper, to_keeper) = channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let keeping = Keeper {
            store: store.clone(),
            worker: worker.clone(),
            backlog: Arc::clone(&backlog),
            admit: Box::new(admit),
        };
        let links = Links {
            worker: worker.clone(),
            keeper: keeper.clone(),
        };
        // Every `RandomState` has keys of its own.
        let working = Worker::new(links, backlog, RandomState::new().hash_one(()));
        let threads = [
            start("caisson-windows", move || working.run(&to_worker))?,
            start("caisson-windows-store", move || keeping.run(&to_keeper))?,
        ];
        Ok(Self(Arc::new(Shared {
            store,
            limits,
            worker,
            keeper,
            all: Arc::default(),
            table: Mutex::default(),
            threads: Mutex::new(Some(threads)),
        })))
    }

    /// A revision goes live: the windows of the deployment go on as its plan says. The checks are asked for
    /// as long as whoever holds them does.
    pub fn tap(
        &self,
        tenant: &str,
        deployment: &str,
        plan: Plan,
        checks: Weak<dyn Checks>,
        account: Arc<AtomicU64>,
    ) -> Tap {
        let (deployment, plan) = (self.of(tenant, deployment), Arc::new(plan));
        deployment.set_baseline(None);
        // A worker that has ended gathers nothing; the lane fills, and rows are dropped and counted.
        let _ = self.0.worker.send(Message::Start {
            deployment: Arc::clone(&deployment),
            plan: Arc::clone(&plan),
            checks,
            account,
        });
        Tap::new(deployment, plan)
    }

    fn of(&self, tenant: &str, name: &str) -> Arc<Deployment> {
        let mut table = lock(&self.0.table);
        let key = (tenant.to_owned(), name.to_owned());
        if let Some(deployment) = table.deployments.get(&key) {
            return Arc::clone(deployment);
        }
        let held = Arc::clone(table.held.entry(tenant.to_owned()).or_default());
        let all = Arc::clone(&self.0.all);
        let deployment = Arc::new(Deployment::new(tenant, name, self.0.limits, all, held));
        table.deployments.insert(key, Arc::clone(&deployment));
        deployment
    }

    fn find(&self, tenant: &str, name: &str) -> Option<Arc<Deployment>> {
        let key = (tenant.to_owned(), name.to_owned());
        lock(&self.0.table).deployments.get(&key).cloned()
    }

    /// The newest windows of a deployment; none of one that has none.
    pub fn newest(&self, tenant: &str, deployment: &str) -> Option<Arc<Newest>> {
        Some(self.find(tenant, deployment)?.newest())
    }

    /// Rows that came to a deployment's windows, and that were dropped before.
    pub fn counts(&self, tenant: &str, deployment: &str) -> (RowCounts, DroppedRows) {
        let found = self.find(tenant, deployment);
        found.map_or_else(Default::default, |deployment| {
            (deployment.counts(), deployment.dropped())
        })
    }

    /// Windows that closed and were dropped, since the disk couldn't keep up.
    pub fn dropped_windows(&self, tenant: &str, deployment: &str) -> u64 {
        let found = self.find(tenant, deployment);
        found.map_or(0, |deployment| deployment.unkept())
    }

    /// What monitors said of windows, the newest first. Reads the store.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn drift_windows(
        &self,
        tenant: &str,
        deployment: &str,
        filter: &Filter,
    ) -> Result<Vec<DriftWindow>, MonitoringError> {
        let told = self.told(
            tenant,
            deployment,
            |kept| kept.monitor.is_some() && filter.takes(kept.monitor.as_deref(), kept.segment.as_ref()),
            filter.limit,
        )?;
        let drift = told.into_iter().filter_map(|told| match told {
            Told::Drift { window, .. } => Some(*window),
            Told::Statistics(_) => None,
        });
        Ok(drift.collect())
    }

    /// A deployment in numbers. Reads the store, and waits for the worker.
    ///
    /// # Errors
    ///
    /// The store; the worker has ended.
    pub fn statistics(
        &self,
        tenant: &str,
        name: &str,
        filter: &Filter,
    ) -> Result<StatisticsReport, MonitoringError> {
        let deployment = self.of(tenant, name);
        let open = self.ask(|answer| Message::Open(Arc::clone(&deployment), answer))?;
        let told = self.told(
            tenant,
            name,
            |kept| kept.monitor.is_none() && filter.takes(None, kept.segment.as_ref()),
            filter.limit,
        )?;
        let windows = told.into_iter().filter_map(|told| match told {
            Told::Statistics(window) => Some(*window),
            Told::Drift { .. } => None,
        });
        let mut open: Vec<StatisticsWindow> = open
            .into_iter()
            .filter(|window| filter.takes(None, window.segment.as_ref()))
            .collect();
        open.reverse();
        Ok(StatisticsReport {
            open,
            windows: windows.collect(),
            baseline: deployment.baseline().map(|baseline| (*baseline).clone()),
            rows: deployment.counts(),
            dropped: deployment.dropped(),
        })
    }

    fn told(
        &self,
        tenant: &str,
        name: &str,
        takes: impl Fn(&Kept) -> bool,
        limit: usize,
    ) -> Result<Vec<Told>, MonitoringError> {
        let Some(deployment) = self.find(tenant, name) else {
            return Ok(Vec::new());
        };
        let numbers: Vec<u64> = {
            let kept = lock(&deployment.kept);
            kept.iter()
                .rev()
                .filter(|kept| takes(kept))
                .map(|kept| kept.number)
                .take(limit)
                .collect()
        };
        let mut told = Vec::with_capacity(numbers.len());
        for number in numbers {
            told.extend(history::one(&self.0.store, tenant, name, number)?);
        }
        Ok(told)
    }

    /// Bytes that are stored of a tenant's windows.
    pub fn stored_bytes(&self, tenant: &str) -> u64 {
        let table = lock(&self.0.table);
        let own = table
            .deployments
            .values()
            .filter(|deployment| deployment.tenant == tenant);
        own.map(|deployment| deployment.stored_bytes()).sum()
    }

    /// Remove everything of a deployment that is deleted.
    ///
    /// # Errors
    ///
    /// The store; the threads have ended.
    pub fn forget(&self, tenant: &str, deployment: &str) -> Result<(), MonitoringError> {
        let key = (tenant.to_owned(), deployment.to_owned());
        lock(&self.0.table).deployments.remove(&key);
        let name = deployment.to_owned();
        Ok(self.ask(|answer| Message::Forget(tenant.to_owned(), Some(name), answer))??)
    }

    /// Remove everything of a tenant that is deleted.
    ///
    /// # Errors
    ///
    /// The store; the threads have ended.
    pub fn forget_tenant(&self, tenant: &str) -> Result<(), MonitoringError> {
        {
            let mut table = lock(&self.0.table);
            table.deployments.retain(|(owner, _), _| owner != tenant);
            table.held.remove(tenant);
        }
        Ok(self.ask(|answer| Message::Forget(tenant.to_owned(), None, answer))??)
    }

    /// Gather what waits, let checks that are under way end, and save everything.
    ///
    /// # Errors
    ///
    /// The threads have ended.
    pub fn flush(&self) -> Result<(), MonitoringError> {
        self.ask(Message::Flush)
    }

    /// The same, and end. What is answered afterwards is dropped.
    pub fn close(&self) {
        let Some([worker, keeper]) = lock(&self.0.threads).take() else {
            return;
        };
        let end = |told: bool, thread: JoinHandle<()>| {
            if !told || thread.join().is_err() {
                tracing::error!("a thread that gathers windows ended early");
            }
        };
        end(self.0.worker.send(Message::Close).is_ok(), worker);
        // Only now: what the worker saves last is to be kept.
        end(self.0.keeper.send(Keep::Close).is_ok(), keeper);
    }

    fn ask<T>(&self, message: impl FnOnce(SyncSender<T>) -> Message) -> Result<T, MonitoringError> {
        let ended = || MonitoringError::Thread("has ended".to_owned());
        let (answer, answered) = sync_channel(1);
        self.0.worker.send(message(answer)).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MonitoringError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(run)
        .map_err(|e| MonitoringError::Thread(format!("can't be started: {e}")))
}
