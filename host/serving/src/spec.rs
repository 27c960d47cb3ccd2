//! The deployment file: what a tenant writes, before anything in it has been resolved.
//!
//! ```yaml
//! name: churn
//! input:
//!   - {name: recency, type: fp32}
//!   - {name: gap, type: fp32, nullable: true}
//! validators:
//!   - {plugin: range@0.1.0, config: {columns: {recency: {min: 0}}}}
//! transforms:
//!   - {plugin: impute@0.1.0, config: {...}, limits: {deadline_ms: 20}}
//! model:
//!   name: churn
//!   version: champion
//!   columns: {X: [recency, gap]}
//!   outputs: [probabilities]
//!   keep: [customer_id]
//! post:
//!   - {plugin: customer-value@1.0.0}
//! monitors:
//!   - {name: recency-ks, plugin: ks@0.1.0, on: input, config: {...}, window: {size: 1d}}
//! monitoring:
//!   segments: [country]
//! batching:
//!   max_batch_size: 64
//! log:
//!   sample: 0.1
//! ground_truth:
//!   label: {name: bought, type: int64}
//! performance:
//!   task: binary
//!   scores: [probability]
//!   positive: 1
//!   window: {seconds: 86400}
//! ```
//!
//! Unknown keys are errors everywhere: a misspelt limit must not be a limit that isn't there.

mod explain;
mod monitor;

use std::collections::{BTreeMap, BTreeSet};

use caisson_data::{Field, Schema};
use caisson_monitoring::spec::MonitoringSpec;
use caisson_predictions::LogSpec;
use caisson_registry::NAME_PATTERN;
use caisson_truth::{GroundTruthSpec, PerformanceSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answers::CacheSpec;
use crate::batching::BatchingSpec;
pub use monitor::{CheckSpec, MonitorSpec, MonitorTarget};

/// Stages in one list of a deployment. Each costs its own instance on every request, so a longer
/// chain is a design to rethink rather than to run.
pub(crate) const STAGES_MAX: usize = 32;
/// Monitors of a deployment: each keeps a fitted sketch and a prepared stage in memory.
pub(crate) const MONITORS_MAX: usize = 64;
/// Characters in a deployment's or monitor's name; names are path segments and metric labels.
pub const NAME_MAX: usize = 63;

/// No deployment's name: a path of the Open Inference Protocol stands where its own would.
const TAKEN: &str = "stats";

/// One deployment, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentSpec {
    /// Name within the tenant: lower-case letters, digits and inner hyphens, a letter first.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = NAME_MAX))]
    pub name: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The columns that a caller sends.
    #[schemars(length(min = 1))]
    pub input: Vec<Field>,
    /// Run first, on the input; any `reject` violation answers the request.
    #[schemars(length(max = STAGES_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<StageSpec>,
    /// Run in order, from the input columns to the model's.
    #[schemars(length(max = STAGES_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<StageSpec>,
    /// The model; excludes `predictor`. A deployment with neither is a feature service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
    /// A predictor plugin around models; excludes `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictor: Option<PredictorSpec>,
    /// Run in order on what the model or predictor gave.
    #[schemars(length(max = STAGES_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post: Vec<StageSpec>,
    /// Drift checks, fitted on the model version's baseline.
    #[schemars(length(max = MONITORS_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<MonitorSpec>,
    /// What is gathered of answers: the share of requests, windows and segments of the statistics.
    #[serde(default, skip_serializing_if = "MonitoringSpec::is_default")]
    pub monitoring: MonitoringSpec,
    /// How requests share runs.
    #[serde(default, skip_serializing_if = "BatchingSpec::is_default")]
    pub batching: BatchingSpec,
    /// Answers that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// What is logged of requests and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpec>,
    /// What came true of predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground_truth: Option<GroundTruthSpec>,
    /// How well the deployment does, by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformanceSpec>,
}

/// One plugin in the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// `name@version`, `name@^1.2` or `name`, first-party plugins with `std/` in front; resolved to a
    /// digest when deployed.
    pub plugin: String,
    /// What the plugin's `configure` gets; checked against its JSON Schema first.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// Where the defaults don't suit.
    #[serde(default, skip_serializing_if = "StageLimits::is_default")]
    pub limits: StageLimits,
    /// Fresh instance for every call, or a warm pool.
    #[serde(default, skip_serializing_if = "is_fresh")]
    pub isolation: IsolationSpec,
    /// What the plugin may have of the outside world. Models are granted by `predictor.models`.
    #[schemars(with = "Vec<GrantSpec>")]
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub grants: BTreeSet<GrantSpec>,
}

/// Something of the outside world that a plugin doesn't have unless the deployment says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantSpec {
    /// `wasi:clocks`: the time of day and a running clock.
    Clocks,
    /// `wasi:random`: unpredictable numbers.
    Random,
}

/// Limits of one stage; absent ones take the host's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageLimits {
    /// CPU and wall-clock time of one call, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Linear memory of an instance, mebibytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Bytes of one call's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Log lines a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_per_second: Option<u32>,
}

impl StageLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How instances are reused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IsolationSpec {
    /// Every call its own instance.
    #[default]
    Fresh,
    /// A bounded pool of reused instances.
    Warm,
}

fn is_fresh(isolation: &IsolationSpec) -> bool {
    *isolation == IsolationSpec::Fresh
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// A model version by number (`3`), alias (`champion`) or `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VersionSpec {
    /// That version.
    Number(u64),
    /// What the alias points at when deployed, or `latest`.
    Name(String),
}

impl std::fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a model does with a missing value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingSpec {
    /// Answer the request with an error that names row and column.
    #[default]
    Reject,
    /// Give the model NaN: for models that were trained so (gradient boosting, mostly).
    Nan,
}

/// The model stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The model's name.
    pub name: String,
    /// Which version; resolved when deployed.
    pub version: VersionSpec,
    /// For a model input `[-1, F]`: the F scalar columns packed into it, in order. An input that is
    /// not named here takes the column of its own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Vec<String>>,
    /// The outputs to compute; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<String>>,
    /// Per-row shapes of outputs whose sizes the model doesn't say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Vec<u32>>,
    /// Columns before the model that are passed along, in front of its outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What happens to missing values.
    #[serde(default)]
    pub missing: MissingSpec,
    /// The longest that one run may take, milliseconds; the host's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// The predictor stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictorSpec {
    /// As in a stage.
    pub plugin: String,
    /// As in a stage.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "StageLimits::is_default")]
    pub limits: StageLimits,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "is_fresh")]
    pub isolation: IsolationSpec,
    /// As in a stage.
    #[schemars(with = "Vec<GrantSpec>")]
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub grants: BTreeSet<GrantSpec>,
    /// Models that it may load: the name that it asks for, and the model behind it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelRef>,
}

// `PredictorSpec` and `MonitorSpec` repeat the fields of a stage, because serde can't refuse unknown
// keys through a flattened struct.
impl PredictorSpec {
    /// The plugin, as a stage.
    pub fn stage(&self) -> StageSpec {
        StageSpec {
            plugin: self.plugin.clone(),
            config: self.config.clone(),
            limits: self.limits,
            isolation: self.isolation,
            grants: self.grants.clone(),
        }
    }
}

/// A model for a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// The model's name.
    pub name: String,
    /// Which version; resolved when deployed.
    pub version: VersionSpec,
}

/// Why a spec can't be one, before anything is resolved. The message says where in the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl DeploymentSpec {
    /// The JSON Schema of a deployment file.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Read YAML (of which JSON is a subset) and check it.
    ///
    /// # Errors
    ///
    /// Syntax, unknown or missing keys, wrong types, with line and column; then [`Self::check`].
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        // YAML 1.2's scalars: `no` is text, and `false` is no text unless it is quoted.
        let options = serde_saphyr::options! { strict_booleans: true, no_schema: true, with_snippet: false };
        let spec: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|e| SpecError(explain::explained(&e.to_string())))?;
        spec.check()?;
        Ok(spec)
    }

    /// What serde can't say: names, bounds, and exclusions.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        let fail = |message: String| Err(SpecError(message));
        check_name("name", &self.name)?;
        if self.name == TAKEN {
            return fail(format!(
                "name: `/v2/models/{TAKEN}` gives the statistics of all deployments; choose another name"
            ));
        }
        for (what, list) in [
            ("validators", &self.validators),
            ("transforms", &self.transforms),
            ("post", &self.post),
        ] {
            if list.len() > STAGES_MAX {
                return fail(format!(
                    "{what}: {} stages; at most {STAGES_MAX} are allowed",
                    list.len()
                ));
            }
        }
        if self.model.is_some() && self.predictor.is_some() {
            return fail(
                "model and predictor exclude each other: a predictor loads its models itself".into(),
            );
        }
        if self.input.is_empty() {
            return fail("input: a deployment needs at least one input column".into());
        }
        if let Some(cache) = &self.cache {
            cache.check().map_err(SpecError)?;
            if let Some(place) = self.undetermined() {
                return fail(format!(
                    "cache: {place} is granted clocks or random numbers, so its answers to equal rows may differ"
                ));
            }
        }
        self.log
            .as_ref()
            .map_or(Ok(()), LogSpec::check)
            .map_err(SpecError)?;
        let truth = self.ground_truth.as_ref().map_or(Ok(()), GroundTruthSpec::check);
        truth.map_err(SpecError)?;
        let performance = self.performance.as_ref().map_or(Ok(()), PerformanceSpec::check);
        performance.map_err(SpecError)?;
        self.batching.check(self.predictor.is_some()).map_err(SpecError)?;
        if self.monitors.len() > MONITORS_MAX {
            return fail(format!(
                "monitors: {} monitors; at most {MONITORS_MAX} are allowed",
                self.monitors.len()
            ));
        }
        self.monitoring.check().map_err(SpecError)?;
        for (i, monitor) in self.monitors.iter().enumerate() {
            check_name(&format!("monitors[{i}].name"), &monitor.name)?;
            monitor.check(&format!("monitors[{i}]")).map_err(SpecError)?;
            if monitor.window.is_some() && self.monitoring.sample == 0.0 {
                return fail(format!(
                    "monitors[{i}].window: `monitoring.sample` is 0, so there are no answers to judge"
                ));
            }
            if self.monitors.iter().take(i).any(|m| m.name == monitor.name) {
                return fail(format!(
                    "monitors[{i}].name: two monitors are named `{}`",
                    monitor.name
                ));
            }
        }
        Ok(())
    }

    /// A stage whose answer doesn't depend on its rows alone.
    fn undetermined(&self) -> Option<String> {
        let lists = [
            ("validators", &self.validators),
            ("transforms", &self.transforms),
            ("post", &self.post),
        ];
        let stage = lists.into_iter().find_map(|(list, stages)| {
            let at = stages.iter().position(|stage| !stage.grants.is_empty())?;
            Some(format!("{list}[{at}]"))
        });
        let predictor = self.predictor.as_ref().filter(|p| !p.grants.is_empty());
        stage.or(predictor.map(|_| "predictor".to_owned()))
    }

    /// The schema of the input columns.
    ///
    /// # Errors
    ///
    /// Names or shapes that make no schema.
    pub fn input_schema(&self) -> Result<Schema, SpecError> {
        Schema::new(self.input.clone()).map_err(|e| SpecError(format!("input: {e}")))
    }
}

/// Check a name of a deployment or monitor; `at` says where it stands.
fn check_name(at: &str, name: &str) -> Result<(), SpecError> {
    let shape = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-');
    if shape && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(SpecError(format!(
        "{at}: `{}` is no name: use 1 to {NAME_MAX} lower-case letters, digits and inner hyphens, a letter first",
        name.chars().take(80).collect::<String>().escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "name: churn\ninput: [{name: x, type: fp32}]\n";

    #[test]
    fn a_minimal_file_gets_the_defaults() {
        let spec = DeploymentSpec::parse(MINIMAL).unwrap();
        assert_eq!(spec.input.len(), 1);
        assert!(spec.transforms.is_empty() && spec.model.is_none());
    }

    #[test]
    fn json_is_accepted_as_yaml() {
        let spec = DeploymentSpec::parse(
            r#"{"name":"churn","input":[{"name":"x","type":"FP32"}],"model":{"name":"m","version":"champion"}}"#,
        )
        .unwrap();
        assert_eq!(spec.model.unwrap().version, VersionSpec::Name("champion".into()));
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = DeploymentSpec::parse(&format!("{MINIMAL}transfroms: []\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("transfroms"), "{error}");
    }

    #[test]
    fn text_is_not_made_of_other_things() {
        for (line, refused) in [
            ("description: false", true),
            ("description: 12", true),
            ("description: \"12\"", false),
            ("description: no", false),
            ("transforms: [{plugin: y}]", false),
        ] {
            let parsed = DeploymentSpec::parse(&format!("{MINIMAL}{line}\n"));
            assert_eq!(parsed.is_err(), refused, "{line}: {parsed:?}");
        }
    }

    #[test]
    fn unknown_keys_of_a_monitor_are_named() {
        let text = format!("{MINIMAL}monitors: [{{name: a, plugin: ks, treshold: 3}}]\n");
        let error = DeploymentSpec::parse(&text).unwrap_err().to_string();
        assert!(error.contains("treshold"), "{error}");
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for name in [
            "../x",
            "",
            "Churn",
            "a b",
            "x-",
            "stats",
            &"a".repeat(NAME_MAX + 1),
        ] {
            let text = format!(
                "name: {}\ninput: [{{name: x, type: fp32}}]\n",
                serde_json::json!(name)
            );
            assert!(DeploymentSpec::parse(&text).is_err(), "{name}");
        }
    }

    #[test]
    fn model_and_predictor_exclude_each_other() {
        let text = format!("{MINIMAL}model: {{name: m, version: 1}}\npredictor: {{plugin: p}}\n");
        assert!(
            DeploymentSpec::parse(&text)
                .unwrap_err()
                .to_string()
                .contains("exclude")
        );
    }

    #[test]
    fn what_may_differ_is_not_kept() {
        let stage = "transforms: [{plugin: p, grants: [clocks]}]\n";
        let text = format!("{MINIMAL}{stage}cache: {{max_mib: 8}}\n");
        let error = DeploymentSpec::parse(&text).unwrap_err().to_string();
        assert!(error.contains("transforms[0]"), "{error}");
        for (cache, ok) in [
            ("{max_mib: 8}", true),
            ("{max_mib: 0}", false),
            ("{max_mib: 8, ttl_seconds: 0}", false),
        ] {
            let text = format!("{MINIMAL}cache: {cache}\n");
            assert_eq!(DeploymentSpec::parse(&text).is_ok(), ok, "{cache}");
        }
    }

    #[test]
    fn a_spec_survives_its_own_json() {
        let text = format!(
            "{MINIMAL}transforms: [{{plugin: impute, config: {{a: 1}}, limits: {{deadline_ms: 5}}}}]\nmonitors: [{{name: k, plugin: ks, on: features}}]\n"
        );
        let spec = DeploymentSpec::parse(&text).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(DeploymentSpec::parse(&json).unwrap(), spec);
    }
}
