//! The composition: opens the store, starts the sandbox and ONNX Runtime, and hands out what the
//! HTTP edge needs. What can be wrong with a machine or a data folder is found here, before the
//! port is bound.

use std::num::NonZero;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use caisson_access::{Access, AccessError, FirstAdmin, Principal, Quota};
use caisson_alerts::Alerts;
use caisson_audit::AuditLog;
use caisson_inference::{Runtime, WorkerCommand};
use caisson_monitoring::Monitoring;
use caisson_predictions::Predictions;
use caisson_registry::{DeploymentStore, Models, Plugins, RegistryError, TenantId, Usage};
use caisson_sandbox::{CompilerCommand, Sandbox, SandboxConfig};
use caisson_serving::{LoadState, Meters, ModelCache, Parts, Serving, Turns};
use caisson_store::Store;
use caisson_truth::Truth;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::alerting;
use crate::config::Settings;
use crate::config::file::{LogFormat, ReadyPolicy};
use crate::http::STREAMS_MAX;
use crate::observe::Traces;
use crate::performance::Evaluator;

/// The variable with the first operator's key, for who doesn't want to read it from the first start's
/// output.
const OPERATOR_KEY: &str = "CAISSON_OPERATOR_KEY";

/// Blobs that no record names are removed once they are this old: long after any upload that is still
/// under way has written its record.
const ORPHAN_GRACE: Duration = Duration::from_secs(3600);
/// How often they are looked for. What is deleted is gone within this time and the grace; looking reads
/// every record and lists every blob.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The audit log's folder in the data folder.
pub(crate) const AUDIT_DIR: &str = "audit";

/// The running system.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) access: Access,
    pub(crate) audit: AuditLog,
    /// Who everyone is with `--dev`.
    pub(crate) developer: Option<Arc<Principal>>,
    pub(crate) deployments: DeploymentStore,
    pub(crate) sandbox: Sandbox,
    pub(crate) meters: Arc<Meters>,
    pub(crate) plugins: Plugins,
    pub(crate) models: Models,
    pub(crate) serving: Serving,
    pub(crate) alerts: Alerts,
    pub(crate) predictions: Predictions,
    pub(crate) truth: Truth,
    /// Tells how deployments do, by that.
    pub(crate) evaluator: Evaluator,
    pub(crate) monitoring: Monitoring,
    pub(crate) traces: Traces,
    /// Loads uploads for the first time, in a process of its own.
    pub(crate) model_worker: WorkerCommand,
    /// Reads Parquet files, in a process of its own.
    pub(crate) parquet_worker: WorkerCommand,
    pub(crate) runtime: Runtime,
    /// Where uploads are written before they are known to be good.
    pub(crate) uploads: PathBuf,
    /// When a server whose deployments can't all be loaded is ready.
    pub(crate) ready: ReadyPolicy,
    /// Turns of streamed answers.
    pub(crate) streams: Arc<Semaphore>,
    /// Bytes of blobs, as of the last sweep.
    pub(crate) blob_bytes: AtomicU64,
    draining: AtomicBool,
    turns: Turns<TenantId>,
}

impl App {
    /// Open and start everything.
    ///
    /// # Errors
    ///
    /// A data folder that can't be used or is in use, a damaged store, no ONNX Runtime, an engine
    /// that can't reserve its instances: each says what to do.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let library = find_onnxruntime(settings.models.onnxruntime.as_deref())?;
        let runtime = Runtime::load(&library)?;
        tracing::info!(library = %library.display(), version = runtime.version(), "ONNX Runtime");
        let data_dir = settings.data_dir.clone();
        let (store, blob_bytes) = tokio::task::spawn_blocking({
            let (data_dir, options) = (data_dir.clone(), settings.store());
            move || {
                let store = Store::open_with(&data_dir, &options)?;
                let swept = store.sweep_orphans(ORPHAN_GRACE)?;
                Ok::<_, caisson_store::StoreError>((store, swept.kept_bytes))
            }
        })
        .await??;
        warn_of_readers(&data_dir);
        let uploads = data_dir.join("uploads");
        prepare_uploads(&uploads)?;
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: Some(data_dir.join("cache")),
            ..SandboxConfig::new(
                CompilerCommand::current_exe(["compile-worker"])
                    .context("finding this program's own file")?,
            )
        })?;
        let (access, audit) = tokio::task::spawn_blocking({
            let (store, audit_dir) = (store.clone(), data_dir.join(AUDIT_DIR));
            let (defaults, kept) = (settings.quotas.clone(), settings.audit());
            move || {
                let access = Access::open(store, defaults)?;
                Ok::<_, anyhow::Error>((access, AuditLog::open_with(audit_dir, kept)?))
            }
        })
        .await??;
        let developer = first_key(&access, settings.dev).await?;
        let (plugins, models, deployments) = (
            Plugins::new(store.clone()),
            Models::new(store.clone()),
            DeploymentStore::new(store.clone()),
        );
        let cache = ModelCache::new(runtime.clone(), settings.models.options());
        let meters = Arc::new(Meters::new({
            let access = access.clone();
            move |tenant| {
                let state = access.tenant_state(tenant);
                state
                    .map(|state| Arc::clone(state.cpu_meter()))
                    .unwrap_or_default()
            }
        }));
        let predictions = Predictions::open(store.clone(), settings.predictions(), {
            let (access, store) = (access.clone(), store.clone());
            move |tenant, bytes| may_store(&access, &store, tenant, bytes)
        })?;
        let monitoring = Monitoring::open(store.clone(), caisson_monitoring::Limits::default(), {
            let (access, store) = (access.clone(), store.clone());
            move |tenant, bytes| may_store(&access, &store, tenant, bytes)
        })?;
        let serving = Serving::new(Parts {
            sandbox: sandbox.clone(),
            meters: Arc::clone(&meters),
            cache: Arc::new(cache),
            plugins: plugins.clone(),
            models: models.clone(),
            deployments: deployments.clone(),
            vitals: Arc::default(),
            predictions: predictions.clone(),
            monitoring: monitoring.clone(),
        });
        let truth = Truth::open(store.clone(), {
            let deployments = deployments.clone();
            move |tenant, deployment| is_there(&deployments, tenant, deployment)
        })?;
        let alerts = tokio::task::spawn_blocking({
            let (store, options) = (store.clone(), settings.alerts.options(alerting::catalogue())?);
            move || Alerts::open(store, options)
        })
        .await??;
        let app = Self {
            store,
            access,
            audit,
            developer,
            deployments,
            sandbox,
            meters,
            plugins,
            models,
            serving,
            alerts,
            predictions,
            truth,
            evaluator: Evaluator::default(),
            monitoring,
            traces: Traces::start(&settings.tracing, settings.log_format == LogFormat::Json)?,
            model_worker: WorkerCommand::current_exe(["model-worker"])
                .context("finding this program's own file")?,
            parquet_worker: WorkerCommand::current_exe(["parquet-worker"])
                .context("finding this program's own file")?,
            runtime,
            uploads,
            ready: settings.ready,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            blob_bytes: AtomicU64::new(blob_bytes),
            draining: AtomicBool::new(false),
            turns: Turns::default(),
        };
        // Named before the port is bound, so that the first answer about readiness is true.
        for tenant in app.tenants().await? {
            app.apply_to_sandbox(&tenant)?;
            app.serving.announce(&tenant).await?;
        }
        Ok(app)
    }

    /// All tenants there are.
    async fn tenants(&self) -> anyhow::Result<Vec<TenantId>> {
        let access = self.access.clone();
        let records = tokio::task::spawn_blocking(move || access.tenants()).await??;
        Ok(records.into_iter().map(|record| record.id).collect())
    }

    /// Put what the sandbox has to know of a tenant where it reads it: the bound on memory, and whether
    /// its guests may run.
    pub(crate) fn apply_to_sandbox(&self, tenant: &TenantId) -> Result<(), AccessError> {
        let state = self.access.tenant_state(tenant)?;
        self.meters.of(tenant).set_stopped(!state.is_active());
        let bytes = state
            .quotas()
            .memory_bytes
            .map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.meters.of(tenant).set_memory_bytes_max(bytes);
        Ok(())
    }

    /// How much a tenant has, its logs of predictions, its labels and the windows of its answers included.
    pub(crate) async fn usage(&self, tenant: &TenantId) -> Result<Usage, RegistryError> {
        let (store, owner) = (self.store.clone(), tenant.clone());
        match tokio::task::spawn_blocking(move || caisson_registry::usage(&store, &owner)).await {
            Ok(usage) => usage.map(|mut usage| {
                usage.stored_bytes += self.predictions.stored_bytes(tenant.as_str());
                usage.stored_bytes += self.truth.stored_bytes(tenant.as_str());
                usage.stored_bytes += self.monitoring.stored_bytes(tenant.as_str());
                usage
            }),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// One upload of a tenant at a time, from looking at its quota to using it up.
    pub(crate) async fn tenant_turn(&self, tenant: &TenantId) -> OwnedMutexGuard<()> {
        self.turns.of(tenant.clone()).await
    }

    /// Remove, again and again, the blobs of what was deleted.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut turns = tokio::time::interval(SWEEP_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, and opening the store has swept.
        turns.tick().await;
        loop {
            turns.tick().await;
            let store = self.store.clone();
            match tokio::task::spawn_blocking(move || store.sweep_orphans(ORPHAN_GRACE)).await {
                Ok(Ok(swept)) => self.blob_bytes.store(swept.kept_bytes, Ordering::Relaxed),
                Ok(Err(error)) => tracing::error!(%error, "blobs that no record names can't be removed"),
                Err(error) => tracing::error!(%error, "looking for blobs that no record names ended early"),
            }
        }
    }

    /// From now on the server is unready, and about to stop.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Is the server about to stop?
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Does the server want requests? Every live deployment is loaded, unloaded by its tenant, or, unless
    /// the configuration says otherwise, known to have failed; and the server is not about to stop.
    pub(crate) fn is_ready(&self) -> bool {
        let waits = |state: &LoadState| match state {
            LoadState::Loading => true,
            LoadState::Failed(_) => self.ready == ReadyPolicy::All,
            LoadState::Ready | LoadState::Unloaded(_) | LoadState::Reloading => false,
        };
        !self.is_draining() && !self.serving.load_states().values().any(waits)
    }

    /// Prepare every stored deployment, as many at a time as there are cores. Tenants take turns, so
    /// that one with many deployments doesn't keep the others waiting.
    pub(crate) async fn load_all(self: &Arc<Self>) {
        let tenants = match self.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::error!(%error, "the tenants can't be read");
                return;
            }
        };
        let mut all = Vec::new();
        for tenant in tenants {
            match self.serving.announce(&tenant).await {
                Ok(records) => all.extend(
                    (0usize..)
                        .zip(records)
                        .map(|(turn, record)| (turn, tenant.clone(), record)),
                ),
                Err(error) => tracing::error!(%tenant, %error, "the stored deployments can't be read"),
            }
        }
        all.sort_by_key(|(turn, ..)| *turn);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let free = Arc::new(Semaphore::new(cores));
        let mut loading = JoinSet::new();
        for (_, tenant, record) in all {
            let Ok(core) = Arc::clone(&free).acquire_owned().await else {
                break;
            };
            let app = Arc::clone(self);
            loading.spawn(async move {
                app.serving.load(&tenant, record).await;
                drop(core);
            });
        }
        while let Some(ended) = loading.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "loading a deployment ended early");
            }
        }
    }
}

/// Has a tenant a deployment of this name? Labels of one that is being deleted come to nothing.
fn is_there(deployments: &DeploymentStore, tenant: &str, name: &str) -> bool {
    let tenant = tenant.parse::<TenantId>();
    let live = tenant.map(|tenant| deployments.live_number(&tenant, name));
    matches!(live, Ok(Ok(Some(_))))
}

/// May a tenant have this many bytes of logs beside what the registry has of it?
fn may_store(access: &Access, store: &Store, tenant: &str, bytes: u64) -> bool {
    let Ok(tenant) = tenant.parse::<TenantId>() else {
        return false;
    };
    let (state, usage) = (
        access.tenant_state(&tenant),
        caisson_registry::usage(store, &tenant),
    );
    match (state, usage) {
        (Ok(state), Ok(usage)) => {
            let total = usage.stored_bytes.saturating_add(bytes);
            state.check_amount(Quota::StoredBytes, total).is_ok()
        }
        // Of a tenant that is gone, or can't be read.
        _ => false,
    }
}

/// Whose the server is: the developer's at this machine, or whoever has the first operator's key.
async fn first_key(access: &Access, dev: bool) -> anyhow::Result<Option<Arc<Principal>>> {
    let access = access.clone();
    tokio::task::spawn_blocking(move || {
        if dev {
            tracing::warn!(
                "--dev: no keys; everyone who reaches this port is an admin of the tenant `default`"
            );
            return Ok(Some(access.ensure_dev()?));
        }
        let given = std::env::var(OPERATOR_KEY).ok();
        match access.ensure_admin(given.as_deref())? {
            FirstAdmin::Exists => {}
            FirstAdmin::Stored => tracing::info!("the operator's key is the one in {OPERATOR_KEY}"),
            FirstAdmin::Created(key) => {
                // On standard error, and never through the log, which is kept and sent around.
                eprintln!(
                    "\nThis is the operator's key. It is shown once:\n\n    {}\n\n\
                     With it in CAISSON_KEY, `caisson tenant create` makes the first tenant.\n",
                    key.expose()
                );
            }
        }
        Ok(None)
    })
    .await?
}

/// A new data folder is its user's alone. One that is there stays as somebody made it, and may have reasons.
fn warn_of_readers(data_dir: &Path) {
    let mode = std::fs::metadata(data_dir).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        tracing::warn!(
            "{} can be read or changed by every user of this machine (mode {:03o}); `chmod 700 {0}` ends that",
            data_dir.display(),
            mode & 0o777,
        );
    }
}

/// An empty folder for uploads: what a crash left in it belongs to no one.
fn prepare_uploads(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

/// The library: as given, or where set-up puts it, looked for upwards from this program and from
/// the working folder.
fn find_onnxruntime(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    const NAME: &str = ".caisson/onnxruntime/libonnxruntime.so";
    if let Some(path) = given {
        if !path.is_file() {
            bail!("--onnxruntime: there is no file {}", path.display());
        }
        return Ok(path.to_owned());
    }
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(NAME))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "ONNX Runtime's library was not found ({NAME} in no folder above this program or the working folder). \
                 Run `cargo xtask setup`, or give --onnxruntime FILE; the library is inside the Python package `onnxruntime`"
            )
        })
}
