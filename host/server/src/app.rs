//! The composition: opens the store, starts the sandbox and ONNX Runtime, and hands out what the
//! HTTP edge needs. What can be wrong with a machine or a data folder is found here, before the
//! port is bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use caisson_inference::{Provider, Runtime, SessionOptions, WorkerCommand};
use caisson_registry::{DeploymentStore, Models, Plugins, TenantId};
use caisson_sandbox::{CompilerCommand, Sandbox, SandboxConfig};
use caisson_serving::{Meters, ModelCache, Parts, Serving};
use caisson_store::Store;

use crate::config::{self, Settings, file::ReadyPolicy};

/// The tenant that owns everything until there are keys that say otherwise.
const TENANT: &str = "default";

/// Blobs that no record names are removed at start once they are this old: long after any upload
/// that was still under way could have written its record.
const ORPHAN_GRACE: Duration = Duration::from_secs(3600);

/// The running system.
pub(crate) struct App {
    pub(crate) tenant: TenantId,
    pub(crate) sandbox: Sandbox,
    pub(crate) meters: Arc<Meters>,
    pub(crate) plugins: Plugins,
    pub(crate) models: Models,
    pub(crate) serving: Serving,
    /// Loads uploads for the first time, in a process of its own.
    pub(crate) model_worker: WorkerCommand,
    pub(crate) runtime: Runtime,
    /// Where uploads are written before they are known to be good.
    pub(crate) uploads: PathBuf,
    /// When a server whose deployments can't all be loaded is ready.
    pub(crate) ready: ReadyPolicy,
    draining: AtomicBool,
}

impl App {
    /// Open and start everything.
    ///
    /// # Errors
    ///
    /// A data folder that can't be used or is in use, a damaged store, no ONNX Runtime, an engine
    /// that can't reserve its instances: each says what to do.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let library = find_onnxruntime(settings.onnxruntime.as_deref())?;
        let runtime = Runtime::load(&library)?;
        tracing::info!(library = %library.display(), version = runtime.version(), "ONNX Runtime");
        let data_dir = settings.data_dir.clone();
        let store = tokio::task::spawn_blocking({
            let data_dir = data_dir.clone();
            move || {
                let store = Store::open(&data_dir)?;
                store.sweep_orphans(ORPHAN_GRACE)?;
                Ok::<_, caisson_store::StoreError>(store)
            }
        })
        .await??;
        let uploads = data_dir.join("uploads");
        prepare_uploads(&uploads)?;
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: Some(data_dir.join("cache")),
            ..SandboxConfig::new(
                CompilerCommand::current_exe(["compile-worker"])
                    .context("finding this program's own file")?,
            )
        })?;
        let tenant: TenantId = TENANT.parse()?;
        let (plugins, models, deployments) = (
            Plugins::new(store.clone()),
            Models::new(store.clone()),
            DeploymentStore::new(store.clone()),
        );
        let cache = ModelCache::new(
            runtime.clone(),
            SessionOptions {
                provider: match settings.provider {
                    config::file::Provider::Cpu => Provider::Cpu,
                    config::file::Provider::Cuda => Provider::Cuda {
                        device_id: 0,
                        fallback_to_cpu: settings.fallback_to_cpu,
                    },
                },
                ..SessionOptions::default()
            },
        );
        let meters = Arc::new(Meters::default());
        let serving = Serving::new(Parts {
            sandbox: sandbox.clone(),
            meters: Arc::clone(&meters),
            cache: Arc::new(cache),
            plugins: plugins.clone(),
            models: models.clone(),
            deployments,
        });
        // Named before the port is bound, so that the first answer about readiness is true.
        serving.announce(&tenant).await?;
        Ok(Self {
            tenant,
            sandbox,
            meters,
            plugins,
            models,
            serving,
            model_worker: WorkerCommand::current_exe(["model-worker"])
                .context("finding this program's own file")?,
            runtime,
            uploads,
            ready: settings.ready,
            draining: AtomicBool::new(false),
        })
    }

    /// From now on the server is unready, and about to stop.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Is the server about to stop?
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Prepare every stored deployment, one after the other.
    pub(crate) async fn load_all(&self) {
        match self.serving.announce(&self.tenant).await {
            Ok(records) => {
                for record in records {
                    self.serving.load(&self.tenant, record).await;
                }
            }
            Err(error) => tracing::error!(%error, "the stored deployments can't be read"),
        }
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
