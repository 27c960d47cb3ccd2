//! A stage: one plugin, configured, ready to be called from many requests at once.
//!
//! [`Sandbox::prepare`](crate::Sandbox::prepare) calls `configure` once, on one instance, and turns
//! that instance into a component of its own. Every call then gets a new instance that is already
//! configured and knows nothing of other calls. Where that can't be done (the guest holds host
//! resources, or has a form that the rewriter doesn't know), or where the tenant asks for it, calls
//! go to warm instances instead: see [`Isolation`].
//!
//! What ends an instance's life: the end of its call (`Fresh`); any trap, any passed limit, a
//! dropped call, its number of uses, its memory (`Warm`).

use std::sync::Arc;

use caisson_data::{Batch, Schema};
use tokio::sync::Semaphore;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::code::blocking;
use crate::contract::{BatchParam, Configured, ConfiguredSchema, SchemaParam, WireBatch, WireError};
use crate::error::{Cause, GUEST_TEXT_BYTES_MAX, RefusedImport, StageError, StageLabel, UploadError};
use crate::guest::{Phase, Terms};
use crate::instance::{Failure, Live, Template};
use crate::limits::Limits;
use crate::log::StageLog;
use crate::manifest::World;
use crate::nn::Graphs;
use crate::report::{DriftReport, Violation, WireViolation, violations};
use crate::sandbox::Inner;
use crate::snapshot;
use crate::stats::{Counters, StageStats};
use crate::text::tame;
use crate::upload::Needs;
use crate::warm::WarmPool;
use crate::wasi::Grants;

/// Bytes of a config: it is copied into the guest and kept with the revision.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Calls that one warm instance serves, unless the stage says otherwise.
pub const WARM_USES_DEFAULT: u32 = 1000;
/// Warm instances of one stage, unless the stage says otherwise.
pub const WARM_INSTANCES_PER_STAGE_DEFAULT: usize = 4;

/// Whether calls share instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Every call its own instance.
    #[default]
    Fresh,
    /// Calls take turns on instances that keep their memory from one to the next: faster, and for
    /// plugins that their tenant trusts not to carry data over.
    Warm {
        /// Instances at most.
        instances: usize,
        /// Calls that one instance serves before it is replaced.
        uses: u32,
        /// Linear memory above which an instance is replaced.
        memory_bytes: usize,
    },
}

impl Isolation {
    /// Warm, with the default numbers and half the memory limit.
    pub fn warm(limits: &Limits) -> Self {
        Self::Warm {
            instances: WARM_INSTANCES_PER_STAGE_DEFAULT,
            uses: WARM_USES_DEFAULT,
            memory_bytes: limits.memory_bytes / 2,
        }
    }

    fn check(self, instances_max: usize) -> Result<(), String> {
        match self {
            Self::Warm { instances, .. } if !(1..=instances_max).contains(&instances) => Err(format!(
                "a stage has 1 to {instances_max} warm instances, not {instances}"
            )),
            Self::Warm { uses: 0, .. } => Err("a warm instance serves 1 call or more, not 0".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What a stage is made from.
pub struct StageRequest<'a> {
    /// Whose stage it will be.
    pub label: StageLabel,
    /// The component, as uploaded.
    pub component: &'a [u8],
    /// The world that it must be of.
    pub world: World,
    /// The config, JSON, already valid under the manifest's schema.
    pub config: &'a str,
    /// The schema of its input.
    pub input: Arc<Schema>,
    /// What it may use.
    pub limits: Limits,
    /// Whether calls share instances.
    pub isolation: Isolation,
    /// What it may have of the outside world.
    pub grants: Grants,
    /// The models that it may use; `None` for no models.
    pub graphs: Option<Arc<dyn Graphs>>,
}

/// How calls of a stage get their instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageKind {
    /// A new instance each, configured before.
    Preinitialised,
    /// Turns on instances that live on.
    Warm {
        /// Why: asked for, or what kept the plugin from being snapshotted.
        reason: String,
    },
}

/// A configured plugin. Calls run concurrently up to the stage's limit.
pub struct Stage {
    inner: Arc<Inner>,
    label: StageLabel,
    world: World,
    input: Arc<Schema>,
    output: Arc<Schema>,
    kind: StageKind,
    template: Template,
    warm: Option<WarmPool>,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("label", &self.label)
            .field("world", &self.world)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// How to configure an instance: all that [`Stage::prepare`] and the warm pool need for it.
pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) config: String,
    pub(crate) input: Arc<Schema>,
}

impl Setup {
    /// Call `configure`; gives the output schema.
    pub(crate) async fn configure(
        &self,
        template: &Template,
        live: &mut Live,
    ) -> Result<Arc<Schema>, Failure> {
        let params = (self.config.as_str(), SchemaParam::from(&*self.input));
        let phase = Phase::Configure;
        match self.world {
            World::Transform | World::Predictor => {
                let (result,): ConfiguredSchema = template.call(live, phase, "configure", params).await?;
                Ok(Arc::new(result.map_err(Cause::from)?.into_schema()?))
            }
            World::Validator | World::DriftCheck => {
                let (result,): Configured = template.call(live, phase, "configure", params).await?;
                result.map_err(Cause::from)?;
                Ok(Arc::clone(&self.input))
            }
        }
    }
}

impl Stage {
    pub(crate) async fn prepare(inner: Arc<Inner>, request: StageRequest<'_>) -> Result<Self, StageError> {
        let label = request.label.clone();
        Self::try_prepare(inner, request)
            .await
            .map_err(|Failure { cause, guest_message }| StageError {
                label,
                cause,
                guest_message,
            })
    }

    async fn try_prepare(inner: Arc<Inner>, request: StageRequest<'_>) -> Result<Self, Failure> {
        let StageRequest {
            label,
            component,
            world,
            config,
            input,
            limits,
            isolation,
            grants,
            graphs,
        } = request;
        limits.check().map_err(Cause::Limits)?;
        isolation
            .check(inner.config.warm_instances)
            .map_err(Cause::Limits)?;
        if config.len() > CONFIG_BYTES_MAX {
            let bytes = config.len();
            let message = format!("it has {bytes} bytes; at most {CONFIG_BYTES_MAX} are allowed");
            return Err(Cause::InvalidConfig(message).into());
        }
        let outline = inner.outline(component).await?;
        if outline.world != world {
            return Err(UploadError::World {
                found: outline.world,
                wanted: world,
            }
            .into());
        }
        check_grants(outline.needs, &outline.imports, graphs.is_some())?;
        inner.check_ticker()?;

        let counters = Arc::new(Counters::default());
        let log = StageLog::new(label.clone(), Arc::clone(&counters), limits.log_lines_per_second);
        let turns = Arc::new(Semaphore::new(limits.concurrent_calls));
        let terms = Terms {
            tick: inner.config.tick,
            grants,
            graphs,
            log: Arc::new(log),
            limits,
        };
        let code = inner.codes.get(component, true).await?;
        let pre = inner.link(&code, outline.needs)?;
        let template = Template::new(code, pre, world, terms, counters)?;
        let setup = Setup {
            world,
            config: config.to_owned(),
            input: Arc::clone(&input),
        };

        let turn = inner.turn(&inner.fresh, "sandbox").await?;
        let mut live = template.instantiate(Phase::Configure).await?;
        let output = setup.configure(&template, &mut live).await?;
        let snapshot = snapshot(component, &template, live).await?;
        drop(turn);

        let (template, setup, unable) = match snapshot {
            Ok(wasm) => {
                let code = inner.codes.get(&wasm, false).await?;
                let pre = inner.link(&code, outline.needs)?;
                (template.with_code(code, pre, world)?, None, None)
            }
            Err(reason) => (template, Some(setup), Some(reason)),
        };
        let warm = match (isolation, &unable) {
            (Isolation::Fresh, None) => None,
            (Isolation::Fresh, Some(_)) => Some(Isolation::warm(&template.terms.limits)),
            (warm @ Isolation::Warm { .. }, _) => Some(warm),
        };
        let kind = match (&warm, unable) {
            (None, _) => StageKind::Preinitialised,
            (Some(_), None) => StageKind::Warm {
                reason: "the stage asks for it".to_owned(),
            },
            (Some(_), Some(reason)) => StageKind::Warm {
                reason: format!("a configured instance can't be snapshotted: {reason}"),
            },
        };
        let stage = Self {
            warm: warm.and_then(|isolation| WarmPool::new(isolation, setup)),
            inner,
            label,
            world,
            input,
            output,
            kind,
            template,
            turns,
        };
        stage.rehearse().await?;
        Ok(stage)
    }

    /// Instantiate once: the first instantiation of new code costs more than others, and an error
    /// here is a deploy-time error rather than a request's.
    async fn rehearse(&self) -> Result<(), Failure> {
        let _turn = self.inner.turn(&self.inner.fresh, "sandbox").await?;
        self.template.instantiate(Phase::Configure).await.map(drop)
    }

    /// Whose stage it is.
    pub fn label(&self) -> &StageLabel {
        &self.label
    }

    /// The world of its plugin.
    pub fn world(&self) -> World {
        self.world
    }

    /// The schema of what it takes.
    pub fn input_schema(&self) -> &Arc<Schema> {
        &self.input
    }

    /// The schema of what it gives; of a validator or drift check, that of what it takes.
    pub fn output_schema(&self) -> &Arc<Schema> {
        &self.output
    }

    /// How calls get their instances.
    pub fn kind(&self) -> &StageKind {
        &self.kind
    }

    /// What it did so far.
    pub fn stats(&self) -> StageStats {
        self.template.counters.read()
    }

    /// Transform a batch; the same rows in the same order.
    ///
    /// # Errors
    ///
    /// The batch is of another schema, the plugin refuses it, passes a limit or breaks the
    /// contract; the stage is no transform.
    pub async fn apply(&self, input: &Batch) -> Result<Batch, StageError> {
        self.in_world(World::Transform, "apply")?;
        self.batch("apply", input).await
    }

    /// Predict for a batch; the same rows in the same order.
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no predictor.
    pub async fn predict(&self, input: &Batch) -> Result<Batch, StageError> {
        self.in_world(World::Predictor, "predict")?;
        self.batch("predict", input).await
    }

    /// The rules that rows of a batch break, the first [`VIOLATIONS_MAX`](crate::VIOLATIONS_MAX).
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no validator.
    pub async fn validate(&self, input: &Batch) -> Result<Vec<Violation>, StageError> {
        self.in_world(World::Validator, "validate")?;
        self.input_is(input)?;
        let params = (BatchParam::from(input),);
        let (result,): (Result<Vec<WireViolation>, WireError>,) = self.invoke("validate", params).await?;
        self.answer(result.map(violations).map_err(Cause::from))
    }

    /// A drift check's sketch of reference data: opaque bytes for [`Stage::check`].
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no drift check.
    pub async fn fit(&self, reference: &Batch) -> Result<Vec<u8>, StageError> {
        self.in_world(World::DriftCheck, "fit")?;
        self.input_is(reference)?;
        let params = (BatchParam::from(reference),);
        let (result,): (Result<Vec<u8>, WireError>,) = self.invoke("fit", params).await?;
        self.answer(result.map_err(Cause::from))
    }

    /// Compare current data with a sketch that `fit` of the same plugin, config and schema gave.
    ///
    /// # Errors
    ///
    /// As of [`Stage::apply`]; the stage is no drift check; the sketch isn't its own.
    pub async fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, StageError> {
        self.in_world(World::DriftCheck, "check")?;
        self.input_is(current)?;
        let params = (state, BatchParam::from(current));
        let (result,): (Result<DriftReport, WireError>,) = self.invoke("check", params).await?;
        self.answer(result.map_err(Cause::from).and_then(DriftReport::check))
    }

    async fn batch(&self, function: &'static str, input: &Batch) -> Result<Batch, StageError> {
        self.input_is(input)?;
        let params = (BatchParam::from(input),);
        let (result,): (Result<WireBatch, WireError>,) = self.invoke(function, params).await?;
        self.answer(
            result
                .map_err(Cause::from)
                .and_then(|wire| self.output_batch(wire, input.rows())),
        )
    }

    /// Hold an answer against the contract. No element is copied.
    fn output_batch(&self, wire: WireBatch, rows_in: usize) -> Result<Batch, Cause> {
        let limits = &self.template.terms.limits;
        let too_large = |limit, unit| Err(Cause::OutputTooLarge { limit, unit });
        let rows = wire.rows as usize;
        if rows != rows_in {
            return Err(Cause::BadOutput(format!("{rows} rows for {rows_in}")));
        }
        if rows > limits.output_rows {
            return too_large(limits.output_rows, "rows");
        }
        let batch = Batch::new(Arc::clone(&self.output), rows, wire.into_blocks())
            .map_err(|e| Cause::bad_output(&format!("what its output schema does not allow: {e}")))?;
        if batch.byte_len() > limits.output_bytes {
            return too_large(limits.output_bytes, "bytes");
        }
        Ok(batch)
    }

    fn in_world(&self, world: World, function: &'static str) -> Result<(), StageError> {
        if self.world == world {
            return Ok(());
        }
        let world = self.world;
        self.answer(Err(Cause::NoSuchFunction { world, function }))
    }

    fn input_is(&self, batch: &Batch) -> Result<(), StageError> {
        if Arc::ptr_eq(batch.schema(), &self.input) || **batch.schema() == *self.input {
            return Ok(());
        }
        self.answer(Err(Cause::InputSchema {
            expected: tame(&self.input.to_string(), GUEST_TEXT_BYTES_MAX),
            found: tame(&batch.schema().to_string(), GUEST_TEXT_BYTES_MAX),
        }))
    }

    fn answer<T>(&self, result: Result<T, Cause>) -> Result<T, StageError> {
        result.map_err(|cause| self.failed(cause.into()))
    }

    fn failed(&self, failure: Failure) -> StageError {
        self.template.counters.failure(&failure.cause);
        StageError {
            label: self.label.clone(),
            cause: failure.cause,
            guest_message: failure.guest_message,
        }
    }

    /// One call, on an instance of its own or a warm one.
    async fn invoke<P, R>(&self, function: &'static str, params: P) -> Result<R, StageError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.try_invoke(function, params)
            .await
            .map_err(|f| self.failed(f))
    }

    async fn try_invoke<P, R>(&self, function: &'static str, params: P) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.inner.check_ticker()?;
        let _turn = self.inner.turn(&self.turns, "stage").await?;
        match &self.warm {
            None => {
                let _turn = self.inner.turn(&self.inner.fresh, "sandbox").await?;
                self.template.call_fresh(Phase::Call, function, params).await
            }
            Some(pool) => pool.call(&self.inner, &self.template, function, params).await,
        }
    }
}

/// Turn a configured instance into a component, or say why not.
async fn snapshot(
    component: &[u8],
    template: &Template,
    live: Live,
) -> Result<Result<Vec<u8>, String>, Failure> {
    let Live { mut store, instance } = live;
    if let Some(reason) = &template.code().plain {
        return Ok(Err(reason.clone()));
    }
    if !store.data().table.is_empty() {
        return Ok(Err("it holds host resources, such as an open stream".to_owned()));
    }
    let state = match snapshot::state(&mut store, &instance, &template.code().component).await {
        Ok(state) => state,
        Err(error) => return Ok(Err(format!("its state can't be read: {error:#}"))),
    };
    drop(store);
    let component = component.to_vec();
    Ok(blocking(move || snapshot::component(&component, state)).await?)
}

/// Every import that a grant gives has its grant.
fn check_grants(needs: Needs, imports: &[String], has_models: bool) -> Result<(), Cause> {
    if !needs.models || has_models {
        return Ok(());
    }
    let refused = imports
        .iter()
        .filter(|name| name.starts_with("wasi:nn/"))
        .map(|name| RefusedImport {
            name: name.clone(),
            reason: "grant the stage the models that it may load, by name".to_owned(),
        })
        .collect();
    Err(Cause::Grants(refused))
}
