//! From a spec to prepared stages: resolve, prepare, check.
//!
//! Everything that can be wrong with a deployment is found here, and the message names both sides:
//! the stage that doesn't fit, and what it was given. Nothing is stored, nothing that serves is touched,
//! and nothing is measured before [`crate::series`] says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caisson_data::{Batch, DecodeLimits, Field, Schema, csv};
use caisson_inference::{Binding, MissingPolicy, OutputSpec};
use caisson_monitoring::quality::Quality;
use caisson_registry::{BaselineRecord, ModelPin, ModelRecord, Pins, PluginRecord, PluginRef, TenantId};
use caisson_sandbox::{CALL_TIME_MAX, Grants, Graphs, Isolation, Limits, StageLabel, StageRequest, World};

use crate::error::{Kind, ServingError};
use crate::models::GrantedModels;
use crate::monitor::{self, Check, Fitted, Monitor};
use crate::pipeline::{Core, ModelStage, Pipeline};
use crate::plan::Plan;
use crate::serving::Parts;
use crate::spec::{
    DeploymentSpec, GrantSpec, IsolationSpec, MissingSpec, ModelRef, ModelSpec, MonitorSpec, StageSpec,
    VersionSpec,
};
use crate::stage::{PluginStage, configure_error};
use crate::vitals::{Role, StageVitals};
use crate::windows;

/// A call of `fit` or `check` sees a whole window, not a request: seconds and hundreds of megabytes
/// are right for it where they'd be wrong on the request path.
const MONITOR_DEADLINE_MS: u64 = 60_000;
const MONITOR_MEMORY_MIB: u64 = 512;
/// The longest that a model may run for one part of a request, where the deployment says nothing. A
/// caller has given up by then.
pub(crate) const MODEL_DEADLINE: Duration = Duration::from_secs(10);
/// Rows of a baseline. Sketches converge long before; more would only lengthen every deploy.
pub(crate) const BASELINE_ROWS_MAX: usize = 1_000_000;
/// Errors of one config that are reported together.
const CONFIG_ERRORS_MAX: usize = 10;

/// What a build may take over from an earlier one.
#[derive(Default)]
pub(crate) struct Earlier {
    /// Plugins that are what they were, yanked since or not.
    pub(crate) pins: Pins,
    /// Is this a revision from before pins were kept, whose plugins may have been yanked since?
    pub(crate) unpinned: bool,
    /// What monitors computed.
    pub(crate) fitted: Fitted,
}

/// A deployment that fits together.
pub(crate) struct Built {
    /// The spec with every reference pinned.
    pub(crate) spec: DeploymentSpec,
    /// What the references are pinned to.
    pub(crate) pins: Pins,
    pub(crate) pipeline: Pipeline,
    pub(crate) monitors: Vec<Monitor>,
    /// The model version whose baseline the deployment has.
    pub(crate) measured: Option<ModelRecord>,
    pub(crate) plan: Plan,
}

/// Resolve, prepare and check a spec.
///
/// # Errors
///
/// The first thing that doesn't exist, doesn't fit, or fails to be prepared.
pub(crate) async fn build(
    parts: &Parts,
    tenant: &TenantId,
    mut spec: DeploymentSpec,
    earlier: Earlier,
) -> Result<Built, ServingError> {
    let input = spec
        .input_schema()
        .map_err(|e| ServingError::new(Kind::Invalid, "deployment-file", e.to_string()))?;
    let mut builder = Builder {
        parts,
        tenant,
        deployment: spec.name.clone(),
        earlier,
        pins: Pins::default(),
    };
    let input = Arc::new(input);

    let mut validators = Vec::with_capacity(spec.validators.len());
    for (i, stage) in spec.validators.iter_mut().enumerate() {
        validators.push(
            builder
                .plugin(&format!("validators[{i}]"), Role::Validator, stage, &input, None)
                .await?,
        );
    }
    let transforms = builder
        .transforms(("transforms", Role::Transform), &mut spec.transforms, &input)
        .await?;
    let features = Arc::clone(transforms.last().map_or(&input, PluginStage::output));
    let mut measured: Option<ModelRecord> = None;
    let core = if let Some(model) = &mut spec.model {
        let record = builder
            .resolve_model("model", &model.name, &mut model.version)
            .await?;
        let stage = builder.model(model, &record, &features).await?;
        measured = Some(record);
        Core::Model(Box::new(stage))
    } else if let Some(predictor) = &mut spec.predictor {
        let (granted, records) = builder.grant(&mut predictor.models).await?;
        measured = records.into_iter().find(|r| r.baseline.is_some());
        let mut stage = predictor.stage();
        let built = builder
            .plugin("predictor", Role::Predictor, &mut stage, &features, Some(granted))
            .await?;
        predictor.plugin = stage.plugin;
        Core::Predictor(Box::new(built))
    } else {
        Core::Features
    };
    let before_post = match &core {
        Core::Features => &features,
        Core::Model(stage) => &stage.output,
        Core::Predictor(stage) => stage.output(),
    };
    let post = builder
        .transforms(("post", Role::Post), &mut spec.post, &Arc::clone(before_post))
        .await?;
    let pipeline = Pipeline {
        input,
        validators,
        transforms,
        core,
        post,
        vitals: None,
    };
    if let Some(log) = &spec.log {
        let checked = log.check_columns(pipeline.input(), pipeline.features(), pipeline.output());
        checked.map_err(|message| ServingError::new(Kind::Unprocessable, "log-columns", message))?;
    }
    check_truth(&spec, &pipeline)
        .map_err(|message| ServingError::new(Kind::Unprocessable, "ground-truth-columns", message))?;
    windows::check(&spec, &pipeline)?;
    let monitors = builder.monitors(&mut spec, &pipeline, measured.as_ref()).await?;
    let plan = Plan::of(&pipeline, &monitors);
    Ok(Built {
        spec,
        pins: builder.pins,
        pipeline,
        monitors,
        measured,
        plan,
    })
}

/// Can labels be joined with what is logged, and performance be told by it?
fn check_truth(spec: &DeploymentSpec, pipeline: &Pipeline) -> Result<(), String> {
    let (truth, log) = (spec.ground_truth.as_ref(), spec.log.as_ref());
    if let Some(truth) = truth {
        truth.check_columns(log, pipeline.input())?;
    }
    match &spec.performance {
        None => Ok(()),
        Some(performance) => performance.check_columns(truth, log, pipeline.input(), pipeline.output()),
    }
}

struct Builder<'a> {
    parts: &'a Parts,
    tenant: &'a TenantId,
    deployment: String,
    earlier: Earlier,
    /// What was resolved so far.
    pins: Pins,
}

impl Builder<'_> {
    async fn transforms(
        &mut self,
        (list, role): (&str, Role),
        specs: &mut [StageSpec],
        input: &Arc<Schema>,
    ) -> Result<Vec<PluginStage>, ServingError> {
        let mut stages: Vec<PluginStage> = Vec::with_capacity(specs.len());
        for (i, spec) in specs.iter_mut().enumerate() {
            let given = Arc::clone(stages.last().map_or(input, PluginStage::output));
            stages.push(
                self.plugin(&format!("{list}[{i}]"), role, spec, &given, None)
                    .await?,
            );
        }
        Ok(stages)
    }

    /// Resolve a stage's plugin, pin it in the spec, check its config, and prepare it.
    async fn plugin(
        &mut self,
        place: &str,
        role: Role,
        spec: &mut StageSpec,
        input: &Arc<Schema>,
        graphs: Option<Arc<dyn Graphs>>,
    ) -> Result<PluginStage, ServingError> {
        let world = world_of(role);
        let (pinned, record, component) = self.resolve_plugin(place, &spec.plugin).await?;
        let name: Arc<str> = format!("{place} {pinned}").into();
        spec.plugin = pinned;
        if record.world != world.name() {
            return Err(ServingError::new(
                Kind::Unprocessable,
                "wrong-world",
                format!(
                    "`{}` is a {}, and {place} takes a {}",
                    spec.plugin,
                    record.world,
                    world.name()
                ),
            )
            .in_stage(name.as_ref()));
        }
        check_config(&record, &spec.config).map_err(|message| {
            ServingError::new(Kind::Unprocessable, "config-schema", message).in_stage(name.as_ref())
        })?;
        let limits = limits(world, spec);
        let request = StageRequest {
            label: StageLabel::new(self.tenant.as_str(), self.deployment.as_str(), Arc::clone(&name)),
            component: &component,
            world,
            config: &spec.config.to_string(),
            input: Arc::clone(input),
            isolation: match spec.isolation {
                IsolationSpec::Fresh => Isolation::Fresh,
                IsolationSpec::Warm => Isolation::warm(&limits),
            },
            limits,
            meter: self.parts.meters.of(self.tenant),
            grants: Grants {
                clocks: spec.grants.contains(&GrantSpec::Clocks),
                random: spec.grants.contains(&GrantSpec::Random),
            },
            graphs,
        };
        let stage = self
            .parts
            .sandbox
            .prepare(request)
            .await
            .map_err(|e| configure_error(&name, e))?;
        Ok(PluginStage::new(name, record.digest.to_string(), stage, role))
    }

    async fn resolve_plugin(
        &mut self,
        place: &str,
        reference: &str,
    ) -> Result<(String, PluginRecord, Vec<u8>), ServingError> {
        let wanted: PluginRef = reference
            .parse()
            .map_err(|e| ServingError::from(e).in_reference(place))?;
        // Only an exact reference is a pin.
        let digest = self.earlier.pins.plugins.get(&wanted.to_string()).copied();
        let (plugins, tenant, unpinned) = (
            self.parts.plugins.clone(),
            self.tenant.clone(),
            self.earlier.unpinned,
        );
        let (pinned, record, component) = self
            .parts
            .blocking(move || {
                let record = match digest {
                    Some(digest) => plugins.pinned(&tenant, &wanted, &digest)?,
                    None if unpinned => plugins.resolve(&tenant, &wanted.to_string())?,
                    None => plugins.resolve_new(&tenant, &wanted)?,
                };
                let component = plugins.bytes(&record)?;
                Ok((wanted.at(record.version.clone()).to_string(), record, component))
            })
            .await
            .map_err(|e| e.in_reference(place))?;
        self.pins.plugins.insert(pinned.clone(), record.digest);
        Ok((pinned, record, component))
    }

    async fn resolve_model(
        &mut self,
        place: &str,
        name: &str,
        version: &mut VersionSpec,
    ) -> Result<ModelRecord, ServingError> {
        let (models, tenant, name) = (self.parts.models.clone(), self.tenant.clone(), name.to_owned());
        let wanted = version.to_string();
        let record = self
            .parts
            .blocking(move || models.resolve(&tenant, &name, &wanted.parse()?))
            .await
            .map_err(|e| e.in_reference(place))?;
        *version = VersionSpec::Number(record.version);
        self.pins.models.insert(ModelPin {
            name: record.name.clone(),
            version: record.version,
        });
        Ok(record)
    }

    async fn model(
        &self,
        spec: &ModelSpec,
        record: &ModelRecord,
        features: &Arc<Schema>,
    ) -> Result<ModelStage, ServingError> {
        let name: Arc<str> = format!("model {}@{}", record.name, record.version).into();
        let refuse = |message: String| {
            ServingError::new(Kind::Unprocessable, "schema-mismatch", message).in_stage(name.as_ref())
        };
        let deadline = spec.deadline_ms.map_or(MODEL_DEADLINE, Duration::from_millis);
        if deadline > CALL_TIME_MAX {
            return Err(refuse(format!(
                "a deadline of {deadline:?} is more than {CALL_TIME_MAX:?}"
            )));
        }
        let model = self.parts.load_model(self.tenant, record).await?;
        let missing = match spec.missing {
            MissingSpec::Reject => MissingPolicy::Reject,
            MissingSpec::Nan => MissingPolicy::Nan,
        };
        let outputs = OutputSpec {
            names: spec.outputs.clone(),
            shapes: spec.shapes.clone(),
        };
        let binding = Binding::plan(model.signature(), features, &spec.columns, missing, &outputs)
            .map_err(|e| refuse(e.to_string()))?;
        let mut keep = Vec::with_capacity(spec.keep.len());
        for column in &spec.keep {
            keep.push(features.index_of(column).ok_or_else(|| {
                refuse(format!(
                    "keep: the model gets no column `{column}`; it gets {features}"
                ))
            })?);
        }
        let fields: Vec<Field> = keep
            .iter()
            .filter_map(|&i| features.field(i))
            .chain(binding.output_schema().fields())
            .cloned()
            .collect();
        let output = Schema::new(fields).map_err(|e| refuse(format!("kept columns and outputs: {e}")))?;
        Ok(ModelStage {
            vitals: Arc::new(StageVitals::new(Arc::clone(&name), Role::Model)),
            name,
            digest: record.digest.to_string(),
            model,
            binding,
            keep,
            output: Arc::new(output),
            deadline,
        })
    }

    /// Load every model that a predictor is granted.
    async fn grant(
        &mut self,
        models: &mut BTreeMap<String, ModelRef>,
    ) -> Result<(Arc<dyn Graphs>, Vec<ModelRecord>), ServingError> {
        let mut granted = BTreeMap::new();
        let mut records = Vec::with_capacity(models.len());
        for (alias, reference) in models.iter_mut() {
            let place = format!("predictor.models.{alias}");
            let record = self
                .resolve_model(&place, &reference.name, &mut reference.version)
                .await?;
            granted.insert(alias.clone(), self.parts.load_model(self.tenant, &record).await?);
            records.push(record);
        }
        Ok((Arc::new(GrantedModels(granted)), records))
    }

    async fn monitors(
        &mut self,
        spec: &mut DeploymentSpec,
        pipeline: &Pipeline,
        record: Option<&ModelRecord>,
    ) -> Result<Vec<Monitor>, ServingError> {
        if spec.monitors.is_empty() {
            return Ok(Vec::new());
        }
        // Read when the first monitor needs it.
        let mut baseline: Option<Batch> = None;
        let mut monitors = Vec::with_capacity(spec.monitors.len());
        for i in 0..spec.monitors.len() {
            let Some(mut monitor) = spec.monitors.get(i).cloned() else {
                break;
            };
            let check = self.check(i, &mut monitor, spec, pipeline).await?;
            let (fitted, new) = match monitor.against.is_baseline() {
                false => (None, false),
                true => {
                    let (record, kept) = baseline_of(record)?;
                    let key = monitor::key(spec, &monitor, &check, pipeline, kept);
                    match self.earlier.fitted.get(&key) {
                        Some(fitted) => (Some(Arc::clone(fitted)), false),
                        None => {
                            let rows = match &baseline {
                                Some(rows) => rows,
                                None => baseline.insert(read_baseline(self.parts, pipeline, record).await?),
                            };
                            let fitted = monitor::fit(&monitor, key, &check, pipeline, rows).await?;
                            (Some(Arc::new(fitted)), true)
                        }
                    }
                }
            };
            monitors.push(Monitor::new(&monitor, check, fitted, new));
            if let Some(place) = spec.monitors.get_mut(i) {
                *place = monitor;
            }
        }
        Ok(monitors)
    }

    /// What a monitor checks by; its plugin is pinned in its spec.
    async fn check(
        &mut self,
        i: usize,
        monitor: &mut MonitorSpec,
        spec: &DeploymentSpec,
        pipeline: &Pipeline,
    ) -> Result<Check, ServingError> {
        let (place, schema) = (
            format!("monitors[{i}]"),
            Arc::clone(pipeline.schema_of(monitor.on)),
        );
        let Some(mut stage) = monitor.stage() else {
            let name: Arc<str> = format!("{place} {}", monitor.check_name()).into();
            let private = windows::private(spec);
            let quality = Quality::new(&monitor.config, &schema, &spec.monitoring.categorical, &private);
            let quality = quality.map_err(|message| {
                ServingError::new(Kind::Unprocessable, "config-schema", message).in_stage(name.as_ref())
            })?;
            return Ok(Check::Quality(name, Box::new(quality)));
        };
        let prepared = self
            .plugin(&place, Role::Monitor, &mut stage, &schema, None)
            .await?;
        monitor.plugin = Some(stage.plugin.clone());
        Ok(Check::Plugin(stage.plugin, Box::new(prepared)))
    }
}

/// The baseline of a model version, in a deployment's input columns.
pub(crate) async fn read_baseline(
    parts: &Parts,
    pipeline: &Pipeline,
    record: &ModelRecord,
) -> Result<Batch, ServingError> {
    let (models, wanted) = (parts.models.clone(), record.clone());
    let bytes = parts.blocking(move || models.baseline(&wanted)).await?;
    let bytes = bytes.ok_or_else(|| no_baseline(record))?;
    let limits = DecodeLimits {
        rows_max: BASELINE_ROWS_MAX,
        ..DecodeLimits::default()
    };
    csv::decode_known(pipeline.input(), &bytes, &limits).map_err(|e| {
        ServingError::new(
            Kind::Unprocessable,
            "baseline-mismatch",
            format!(
                "the baseline of {}@{} is not in the deployment's input columns: {e}",
                record.name, record.version
            ),
        )
        .at(e.row.map(|r| r as u64), e.column)
    })
}

/// The model version whose baseline monitors measure against, and where that is.
fn baseline_of(record: Option<&ModelRecord>) -> Result<(&ModelRecord, &BaselineRecord), ServingError> {
    let Some(record) = record else {
        return Err(ServingError::new(
            Kind::Unprocessable,
            "no-baseline",
            "monitors need a model with a baseline to measure against",
        ));
    };
    match &record.baseline {
        Some(baseline) => Ok((record, baseline)),
        None => Err(no_baseline(record)),
    }
}

fn no_baseline(record: &ModelRecord) -> ServingError {
    ServingError::new(
        Kind::Unprocessable,
        "no-baseline",
        format!(
            "monitors need a baseline, and {}@{} has none: push the model with --baseline",
            record.name, record.version
        ),
    )
}

/// The world of the plugins that have a role.
fn world_of(role: Role) -> World {
    match role {
        Role::Validator => World::Validator,
        Role::Predictor => World::Predictor,
        Role::Monitor => World::DriftCheck,
        // A model is no plugin.
        Role::Transform | Role::Post | Role::Model => World::Transform,
    }
}

/// Defaults of the host for the world, with what the stage sets.
fn limits(world: World, spec: &StageSpec) -> Limits {
    let mut limits = Limits::default();
    let monitor = world == World::DriftCheck;
    if let Some(ms) = spec.limits.deadline_ms.or(monitor.then_some(MONITOR_DEADLINE_MS)) {
        // One number for both: what a caller waits, and what the guest may burn.
        limits.wall = Duration::from_millis(ms);
        limits.cpu = limits.wall;
    }
    if let Some(mib) = spec.limits.memory_mib.or(monitor.then_some(MONITOR_MEMORY_MIB)) {
        limits.memory_bytes = usize::try_from(mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = spec.limits.output_bytes {
        limits.output_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(lines) = spec.limits.log_lines_per_second {
        limits.log_lines_per_second = lines;
    }
    limits
}

/// Check a config against the plugin's own schema.
fn check_config(record: &PluginRecord, config: &serde_json::Value) -> Result<(), String> {
    let schema: serde_json::Value = serde_json::from_str(&record.config_schema)
        .map_err(|e| format!("the plugin's config schema is no JSON: {e}"))?;
    let validator = jsonschema::validator_for(&schema)
        .map_err(|e| format!("the plugin's config schema is no JSON Schema: {e}"))?;
    let errors: Vec<String> = validator
        .iter_errors(config)
        .take(CONFIG_ERRORS_MAX)
        .map(|error| format!("config{}: {error}", error.instance_path()))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("; "))
    }
}
