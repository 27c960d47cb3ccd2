//! Drift checks of a deployment: a plugin, or the host's own check of data quality, fitted on the model
//! version's baseline. One that compares windows with those before them has no baseline, and is checked
//! there only.
//!
//! Fitting runs the whole baseline through the pipeline and may take a minute. What comes of it is
//! therefore kept, under a digest of everything that it was computed from: a start, or a revision that
//! changes something else, takes it over, and a monitor whose digest is another is fitted anew.

use std::collections::HashMap;
use std::sync::Arc;

use caisson_data::Batch;
use caisson_monitoring::quality::Quality;
use caisson_monitoring::report::{FeatureVerdict, Status};
use caisson_registry::{BaselineRecord, DeploymentStore, Digest, FittedState, TenantId};
use caisson_sandbox::{DriftReport, DriftStatus, FeatureDrift};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::error::{Kind, ServingError};
use crate::pipeline::{Core, Pipeline};
use crate::spec::{DeploymentSpec, MonitorSpec, MonitorTarget};
use crate::stage::PluginStage;

/// Raised when what is fitted, or how, changes in a way that the rest of the digest doesn't show.
const KEY_FORMAT: u32 = 1;

/// A fitted drift check.
#[derive(Debug)]
pub struct Monitor {
    name: String,
    target: MonitorTarget,
    check: Check,
    /// None of one that is compared with the windows before.
    fitted: Option<Arc<FittedState>>,
    /// Was it computed for this revision, rather than taken over?
    new: bool,
}

/// How a monitor checks.
#[derive(Debug)]
pub(crate) enum Check {
    /// By a plugin: `ks@0.1.0`, and its stage.
    Plugin(String, Box<PluginStage>),
    /// By the host: its place, and the check.
    Quality(Arc<str>, Box<Quality>),
}

/// Fitted states by their digests.
pub(crate) type Fitted = HashMap<Digest, Arc<FittedState>>;

/// What a drift check says of a batch.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MonitorReport {
    /// The monitor's name.
    pub name: String,
    /// Its plugin, `ks@0.1.0`, or `data-quality`.
    pub plugin: String,
    /// What it looked at.
    pub on: MonitorTarget,
    /// The plugin's report.
    #[serde(flatten)]
    pub report: DriftReport,
}

impl Monitor {
    /// A check with what it computed from its baseline.
    pub(crate) fn new(spec: &MonitorSpec, check: Check, fitted: Option<Arc<FittedState>>, new: bool) -> Self {
        Self {
            name: spec.name.clone(),
            target: spec.on,
            check,
            fitted,
            new,
        }
    }

    /// Was its state computed for this revision, rather than taken over?
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// What it computed from its baseline; none of one without.
    pub(crate) fn fitted(&self) -> Option<&Arc<FittedState>> {
        self.fitted.as_ref()
    }

    /// How it checks.
    pub(crate) fn check(&self) -> &Check {
        &self.check
    }

    /// Its plugin; none of a check of the host's own.
    pub(crate) fn stage_mut(&mut self) -> Option<&mut PluginStage> {
        match &mut self.check {
            Check::Plugin(_, stage) => Some(stage),
            Check::Quality(..) => None,
        }
    }

    /// The monitor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it looks at.
    pub fn target(&self) -> MonitorTarget {
        self.target
    }

    /// Place and plugin.
    pub fn stage_name(&self) -> &str {
        match &self.check {
            Check::Plugin(_, stage) => &stage.name,
            Check::Quality(name, _) => name,
        }
    }

    /// Rows of the baseline that it was fitted on; 0 of one without.
    pub fn reference_rows(&self) -> u64 {
        self.fitted.as_ref().map_or(0, |fitted| fitted.reference_rows)
    }

    async fn report(&self, fitted: &FittedState, current: &Batch) -> Result<MonitorReport, ServingError> {
        let (plugin, report) = match &self.check {
            Check::Plugin(plugin, stage) => (plugin.clone(), stage.check(&fitted.bytes, current).await?),
            Check::Quality(name, quality) => {
                let baseline = quality.fitted(&fitted.bytes).map_err(|e| damaged(name, &e))?;
                let verdicts = quality.compare(&baseline, &baseline, &quality.summarize(current));
                ("data-quality".to_owned(), report_of(verdicts))
            }
        };
        Ok(MonitorReport {
            name: self.name.clone(),
            plugin,
            on: self.target,
            report,
        })
    }
}

impl Check {
    /// What the monitor computes from its baseline.
    pub(crate) async fn fit(&self, reference: &Batch) -> Result<Vec<u8>, ServingError> {
        match self {
            Self::Plugin(_, stage) => stage.fit(reference).await,
            Self::Quality(name, quality) => quality.fit(reference).map_err(|e| damaged(name, &e)),
        }
    }

    /// SHA-256 of what computes it, or the name and the number of its layout.
    fn digest(&self) -> &str {
        match self {
            Self::Plugin(_, stage) => &stage.digest,
            Self::Quality(..) => "data-quality/1",
        }
    }
}

pub(crate) fn damaged(name: &str, error: &dyn std::fmt::Display) -> ServingError {
    ServingError::new(
        Kind::Internal,
        "internal",
        format!("the sketch of the baseline: {error}"),
    )
    .in_stage(name)
}

/// The host's own verdicts in the form of a plugin's.
fn report_of(verdicts: Vec<FeatureVerdict>) -> DriftReport {
    let status = |status| match status {
        Status::Stable => DriftStatus::Stable,
        Status::Warn => DriftStatus::Warn,
        Status::Drifted => DriftStatus::Drifted,
        Status::InsufficientData => DriftStatus::InsufficientData,
    };
    let worst = match verdicts.is_empty() {
        true => Status::InsufficientData,
        false => Status::worst(verdicts.iter().map(|verdict| verdict.status)),
    };
    let feature = |verdict: FeatureVerdict| FeatureDrift {
        feature: verdict.feature,
        method: verdict.method,
        statistic: verdict.statistic,
        threshold: verdict.threshold.unwrap_or(f64::INFINITY),
        p_value: verdict.p_value,
        effect_size: verdict.effect_size,
        reference_count: verdict.reference_count,
        current_count: verdict.current_count,
        reference_missing_rate: verdict.reference_missing_rate,
        current_missing_rate: verdict.current_missing_rate,
        status: status(verdict.status),
        detail: verdict.detail,
    };
    DriftReport {
        status: status(worst),
        features: verdicts.into_iter().map(feature).collect(),
    }
}

/// A plugin's verdicts in the form in which windows keep them.
pub(crate) fn verdicts_of(report: DriftReport) -> Vec<FeatureVerdict> {
    let status = |status| match status {
        DriftStatus::Stable => Status::Stable,
        DriftStatus::Warn => Status::Warn,
        DriftStatus::Drifted => Status::Drifted,
        DriftStatus::InsufficientData => Status::InsufficientData,
    };
    // JSON has no infinity; of a distance without a bound the sign says enough.
    let finite = |number: f64| number.clamp(f64::MIN, f64::MAX);
    let verdict = |feature: FeatureDrift| FeatureVerdict {
        feature: feature.feature,
        method: feature.method,
        statistic: feature.statistic.map(finite),
        threshold: Some(feature.threshold).filter(|threshold| threshold.is_finite()),
        p_value: feature.p_value.map(finite),
        effect_size: feature.effect_size.map(finite),
        reference_count: feature.reference_count,
        current_count: feature.current_count,
        reference_missing_rate: finite(feature.reference_missing_rate),
        current_missing_rate: finite(feature.current_missing_rate),
        status: status(feature.status),
        detail: feature.detail,
    };
    report.features.into_iter().map(verdict).collect()
}

/// Digest of everything that a monitor's state is computed from: its plugin and config, the baseline,
/// and every stage that the baseline goes through, as the pinned spec and the components say.
pub(crate) fn key(
    spec: &DeploymentSpec,
    monitor: &MonitorSpec,
    check: &Check,
    pipeline: &Pipeline,
    baseline: &BaselineRecord,
) -> Digest {
    let stages =
        |stages: &[PluginStage]| -> Vec<String> { stages.iter().map(|stage| stage.digest.clone()).collect() };
    let upstream = match monitor.on {
        MonitorTarget::Input => json!(null),
        MonitorTarget::Features => json!([spec.transforms, stages(&pipeline.transforms)]),
        MonitorTarget::Predictions => {
            let core = match &pipeline.core {
                Core::Features => None,
                Core::Model(model) => Some(&model.digest),
                Core::Predictor(predictor) => Some(&predictor.digest),
            };
            json!([
                spec.transforms,
                stages(&pipeline.transforms),
                spec.model,
                spec.predictor,
                core,
                spec.post,
                stages(&pipeline.post),
            ])
        }
    };
    let config = match check {
        Check::Plugin(..) => monitor.config.clone(),
        Check::Quality(..) => json!([
            monitor.config,
            spec.monitoring.categorical,
            crate::windows::private(spec)
        ]),
    };
    let all = json!([
        KEY_FORMAT,
        check.digest(),
        config,
        monitor.on,
        baseline,
        spec.input,
        upstream
    ]);
    Digest::of(all.to_string().as_bytes())
}

/// Run the baseline as far as the monitor's target, and fit the check on what comes of it.
pub(crate) async fn fit(
    spec: &MonitorSpec,
    key: Digest,
    check: &Check,
    pipeline: &Pipeline,
    baseline: &Batch,
) -> Result<FittedState, ServingError> {
    let reference = pipeline.run_to(spec.on, baseline.clone(), None).await?;
    Ok(FittedState {
        key,
        reference_rows: reference.rows() as u64,
        bytes: check.fit(&reference).await?,
    })
}

/// What the monitors of a stored revision computed before. What is missing or damaged is computed
/// again.
pub(crate) fn kept(store: &DeploymentStore, tenant: &TenantId, spec: &DeploymentSpec, number: u64) -> Fitted {
    let mut fitted = Fitted::new();
    for monitor in &spec.monitors {
        match store.monitor_state(tenant, &spec.name, number, &monitor.name) {
            Ok(None) => {}
            Ok(Some(state)) => _ = fitted.insert(state.key, Arc::new(state)),
            Err(error) => {
                let (deployment, monitor) = (&spec.name, &monitor.name);
                tracing::warn!(%tenant, deployment, monitor, %error, "a monitor is fitted anew: its stored state can't be read");
            }
        }
    }
    fitted
}

/// Keep what the monitors of the live revision computed. A failure costs the next start the time to
/// compute it again, and nothing else.
pub(crate) fn keep(
    store: &DeploymentStore,
    tenant: &TenantId,
    name: &str,
    number: u64,
    states: &[(String, Arc<FittedState>)],
) {
    for (monitor, state) in states {
        if let Err(error) = store.put_monitor_state(tenant, name, number, monitor, state) {
            tracing::warn!(%tenant, deployment = name, monitor, %error, "a monitor's state can't be kept; the next start fits it anew");
        }
    }
}

/// Forget what the monitors of a revision computed that isn't live any more. A failure costs the room
/// that they take.
pub(crate) fn forget(store: &DeploymentStore, tenant: &TenantId, name: &str, number: u64) {
    if let Err(error) = store.drop_monitor_states(tenant, name, number) {
        tracing::warn!(%tenant, deployment = name, revision = number, %error, "monitors' states can't be removed");
    }
}

/// Run every monitor that has a baseline on a batch of the pipeline's input columns. Each target is computed
/// once.
pub(crate) async fn check_all(
    pipeline: &Pipeline,
    monitors: &[Monitor],
    current: Batch,
) -> Result<Vec<MonitorReport>, ServingError> {
    let mut reports: Vec<(usize, MonitorReport)> = Vec::with_capacity(monitors.len());
    for target in [
        MonitorTarget::Input,
        MonitorTarget::Features,
        MonitorTarget::Predictions,
    ] {
        let of = |monitor: &&Monitor| monitor.target == target && monitor.fitted.is_some();
        if !monitors.iter().any(|monitor| of(&monitor)) {
            continue;
        }
        let batch = pipeline.run_to(target, current.clone(), None).await?;
        for (index, monitor) in monitors.iter().enumerate().filter(|(_, monitor)| of(monitor)) {
            if let Some(fitted) = &monitor.fitted {
                reports.push((index, monitor.report(fitted, &batch).await?));
            }
        }
    }
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

/// The worst status of all reports; stable when there is none.
pub fn worst(reports: &[MonitorReport]) -> DriftStatus {
    let rank = |status: &DriftStatus| match status {
        DriftStatus::Stable => 0,
        DriftStatus::InsufficientData => 1,
        DriftStatus::Warn => 2,
        DriftStatus::Drifted => 3,
    };
    reports
        .iter()
        .map(|r| r.report.status)
        .max_by_key(rank)
        .unwrap_or(DriftStatus::Stable)
}
