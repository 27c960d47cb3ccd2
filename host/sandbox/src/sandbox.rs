//! The sandbox of a process: engine, ticker, compilers, code, turns.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::cache::Cache;
use crate::code::{Code, Codes, blocking, digest};
use crate::compile::Compiler;
use crate::config::SandboxConfig;
use crate::contract::WireManifest;
use crate::engine;
use crate::error::{Cause, SandboxError, StageError, StageLabel, UploadError};
use crate::fair::Background;
use crate::guest::{Guest, Phase, Terms};
use crate::instance::Template;
use crate::log::StageLog;
use crate::manifest::Manifest;
use crate::meter::Meter;
use crate::request::StageRequest;
use crate::stage::Stage;
use crate::stats::Counters;
use crate::ticker::Ticker;
use crate::upload::{Needs, Outline, outline};
use crate::wasi::Grants;

/// What `inspect` learned of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// What the plugin says of itself, checked.
    pub manifest: Manifest,
    /// SHA-256 of the component, in lower-case hexadecimal.
    pub digest: String,
    /// Imports, as the component names them.
    pub imports: Vec<String>,
    /// The version of `caisson:plugin` that it was built for; absent if it names none.
    pub wit_version: Option<String>,
    /// Does it use models (`wasi:nn`)? A stage of it needs them granted.
    pub needs_models: bool,
    /// Does it use WASI 0.2, of which it gets an inert form?
    pub needs_wasi: bool,
    /// Bytes of the component.
    pub component_bytes: usize,
    /// Bytes of function bodies in it.
    pub code_bytes: u64,
    /// Functions in it.
    pub functions: u64,
    /// Why a configured instance can't be snapshotted, so that its stages run warm; absent if it
    /// can, as far as can be told before `configure`.
    pub not_snapshottable: Option<String>,
}

/// Runs plugins. Cheap to clone; all clones are one sandbox.
///
/// A process makes one: it holds wasmtime's engine, of which a process should have one, and
/// reserves the address space of every instance that may ever live at once.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sandbox")
    }
}

pub(crate) struct Inner {
    pub(crate) config: SandboxConfig,
    pub(crate) codes: Codes,
    ticker: Ticker,
    linkers: Linkers,
    background: Background,
    /// Instances that may live besides warm ones.
    pub(crate) fresh: Arc<Semaphore>,
    /// Warm instances.
    pub(crate) warm: Arc<Semaphore>,
}

/// One linker for each combination of what the imports may need, so that nothing is linked that
/// wasn't asked for and found granted.
struct Linkers([Linker<Guest>; 4]);

impl Linkers {
    fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let make = |needs: Needs| {
            let mut linker = Linker::new(engine);
            linker.instance(concat_version!("caisson:plugin/types"))?;
            crate::log::link(&mut linker)?;
            if needs.models {
                crate::nn::link(&mut linker)?;
            }
            if needs.wasi {
                crate::wasi::link(&mut linker)?;
            }
            Ok::<_, wasmtime::Error>(linker)
        };
        let needs = |models, wasi| Needs { models, wasi };
        Ok(Self([
            make(needs(false, false))?,
            make(needs(false, true))?,
            make(needs(true, false))?,
            make(needs(true, true))?,
        ]))
    }

    fn get(&self, needs: Needs) -> &Linker<Guest> {
        let [none, wasi, models, both] = &self.0;
        match (needs.models, needs.wasi) {
            (false, false) => none,
            (false, true) => wasi,
            (true, false) => models,
            (true, true) => both,
        }
    }
}

impl Sandbox {
    /// Start the engine and its ticker.
    ///
    /// # Errors
    ///
    /// A configuration that can't be, a pool that can't be reserved, a cache folder that can't be
    /// used.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        if config.warm_instances >= config.instances {
            return Err(SandboxError::Config(format!(
                "{} warm instances leave none of {} for fresh calls",
                config.warm_instances, config.instances
            )));
        }
        config.limits.check().map_err(SandboxError::Config)?;
        let failed = |e: wasmtime::Error| SandboxError::Engine(format!("{e:#}"));
        let cache = match &config.cache_dir {
            None => None,
            Some(dir) => Some(Cache::open(dir, config.cache_bytes, engine::compatibility()?)?),
        };
        let engine = engine::serving(&config)?;
        let ticker = Ticker::start(&engine, config.tick).map_err(SandboxError::Ticker)?;
        let compiler = Compiler::new(config.compiler.clone(), config.upload.clone());
        let codes = Codes::new(engine.clone(), compiler, cache, config.upload.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                codes,
                ticker,
                background: Background::start()?,
                linkers: Linkers::new(&engine).map_err(failed)?,
                fresh: Arc::new(Semaphore::new(config.instances - config.warm_instances)),
                warm: Arc::new(Semaphore::new(config.warm_instances)),
                config,
            }),
        })
    }

    /// Run a future that calls guests of the meter's tenant so that it gives way, once they burn, to
    /// those that don't: the rest of it then runs on low-priority threads.
    pub fn fair<T: Send + 'static>(
        &self,
        meter: &Arc<Meter>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        // Boxed here and now: it is some kilobytes, and each layer would copy them.
        self.inner.background.run(meter, Box::pin(future))
    }

    /// Run work of the host that a tenant makes long on a thread of low priority, and count its processor
    /// time on the meter.
    pub async fn aside<T: Send + 'static>(
        &self,
        meter: &Arc<Meter>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.inner.background.aside(meter, work).await
    }

    /// Check an upload and read its manifest. Compiles it, so that `prepare` needn't.
    ///
    /// # Errors
    ///
    /// Every reason for which a component can be refused; see [`UploadError`].
    /// `meter` is that of whoever uploads it.
    pub async fn inspect(&self, component: &[u8], meter: &Arc<Meter>) -> Result<Inspection, UploadError> {
        let inner = &self.inner;
        let outline = inner.outline(component).await?;
        let digest = digest(component);
        let code = inner.codes.get(component, true).await?;
        let counters = Arc::new(Counters::default());
        let short: String = digest.chars().take(12).collect();
        let label = StageLabel::new("-", "upload", short);
        let limits = inner.config.limits.clone();
        let log = StageLog::new(label, Arc::clone(&counters), limits.log_lines_per_second);
        let terms = Terms {
            tick: inner.config.tick,
            meter: Arc::clone(meter),
            grants: Grants::default(),
            graphs: None,
            log: Arc::new(log),
            limits,
        };
        let not_snapshottable = code.plain.clone();
        let pre = inner.link(&code, outline.needs)?;
        let template = Template::new(code, pre, outline.world, terms, counters)?;
        let describe = async {
            inner.check_ticker()?;
            let _turn = inner.turn(&inner.fresh, "sandbox").await?;
            template
                .call_fresh::<(), (WireManifest,)>(Phase::Describe, "describe", ())
                .await
        };
        let (wire,) = describe.await.map_err(|failure| match failure.cause {
            Cause::Component(error) => error,
            cause => UploadError::Describe(Box::new(cause)),
        })?;
        Ok(Inspection {
            manifest: Manifest::check(wire, outline.world)?,
            digest,
            imports: outline.imports,
            wit_version: outline.wit_version,
            needs_models: outline.needs.models,
            needs_wasi: outline.needs.wasi,
            component_bytes: component.len(),
            code_bytes: outline.code_bytes,
            functions: outline.functions,
            not_snapshottable,
        })
    }

    /// Make a stage of a component: configure it once, snapshot it, compile the snapshot.
    ///
    /// # Errors
    ///
    /// The component is refused or of another world; a grant is missing; the plugin refuses config
    /// or schema; a limit was passed.
    pub async fn prepare(&self, request: StageRequest<'_>) -> Result<Stage, StageError> {
        Stage::prepare(Arc::clone(&self.inner), request).await
    }

    /// Does everything that limits guests work? For health checks.
    pub fn is_healthy(&self) -> bool {
        self.inner.ticker.is_punctual()
    }

    /// Instances that live now: fresh calls under way, and warm ones.
    pub fn instances(&self) -> (usize, usize) {
        let config = &self.inner.config;
        let fresh = config.instances - config.warm_instances;
        (
            fresh.saturating_sub(self.inner.fresh.available_permits()),
            config
                .warm_instances
                .saturating_sub(self.inner.warm.available_permits()),
        )
    }
}

impl Inner {
    pub(crate) async fn outline(&self, component: &[u8]) -> Result<Outline, UploadError> {
        let limits = self.config.upload.clone();
        if component.len() < INLINE_BYTES_MAX {
            return outline(component, &limits);
        }
        let component = component.to_vec();
        blocking(move || outline(&component, &limits)).await?
    }

    pub(crate) fn link(&self, code: &Code, needs: Needs) -> Result<InstancePre<Guest>, UploadError> {
        self.linkers
            .get(needs)
            .instantiate_pre(&code.component)
            .map_err(|e| {
                UploadError::Contract(crate::text::tame(
                    &format!("{e:#}"),
                    crate::error::GUEST_TEXT_BYTES_MAX,
                ))
            })
    }

    /// No deadline holds without the ticker, so no guest runs without it.
    pub(crate) fn check_ticker(&self) -> Result<(), Cause> {
        if self.ticker.is_alive() {
            return Ok(());
        }
        Err(Cause::Host(
            "the thread that measures guest time has ended".to_owned(),
        ))
    }

    /// Wait, for a bounded time, for a turn.
    pub(crate) async fn turn(
        &self,
        turns: &Arc<Semaphore>,
        queue: &'static str,
    ) -> Result<OwnedSemaphorePermit, Cause> {
        if let Ok(turn) = Arc::clone(turns).try_acquire_owned() {
            return Ok(turn);
        }
        let waited = self.config.queue_wait;
        match tokio::time::timeout(waited, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(closed)) => Err(Cause::Host(closed.to_string())),
            Err(_) => Err(Cause::Busy { waited, queue }),
        }
    }
}

/// Components below this size are looked at where the caller stands: it takes less than the way to
/// another thread and back.
const INLINE_BYTES_MAX: usize = 256 << 10;
