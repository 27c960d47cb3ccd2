//! Drift checks of a deployment: a plugin, fitted on the model version's baseline.
//!
//! Fitting runs the whole baseline through the pipeline and may take a minute. What comes of it is
//! therefore kept, under a digest of everything that it was computed from: a start, or a revision that
//! changes something else, takes it over, and a monitor whose digest is another is fitted anew.

use std::collections::HashMap;
use std::sync::Arc;

use caisson_data::Batch;
use caisson_registry::{BaselineRecord, DeploymentStore, Digest, FittedState, TenantId};
use caisson_sandbox::{DriftReport, DriftStatus};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::error::ServingError;
use crate::pipeline::{Core, Pipeline};
use crate::spec::{DeploymentSpec, MonitorSpec, MonitorTarget};
use crate::stage::PluginStage;

/// Raised when what is fitted, or how, changes in a way that the rest of the digest doesn't show.
const KEY_FORMAT: u32 = 1;

/// A fitted drift check.
#[derive(Debug)]
pub struct Monitor {
    name: String,
    plugin: String,
    target: MonitorTarget,
    stage: PluginStage,
    fitted: Arc<FittedState>,
    /// Was it computed for this revision, rather than taken over?
    new: bool,
}

/// Fitted states by their digests.
pub(crate) type Fitted = HashMap<Digest, Arc<FittedState>>;

/// What a drift check says of a batch.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MonitorReport {
    /// The monitor's name.
    pub name: String,
    /// Its plugin, `ks@0.1.0`.
    pub plugin: String,
    /// What it looked at.
    pub on: MonitorTarget,
    /// The plugin's report.
    #[serde(flatten)]
    pub report: DriftReport,
}

impl Monitor {
    /// A check with what it computed from its baseline.
    pub(crate) fn new(spec: &MonitorSpec, stage: PluginStage, fitted: Arc<FittedState>, new: bool) -> Self {
        Self {
            name: spec.name.clone(),
            plugin: spec.plugin.clone(),
            target: spec.on,
            stage,
            fitted,
            new,
        }
    }

    /// Was its state computed for this revision, rather than taken over?
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// What it computed from its baseline.
    pub(crate) fn fitted(&self) -> &Arc<FittedState> {
        &self.fitted
    }

    /// Its plugin.
    pub(crate) fn stage_mut(&mut self) -> &mut PluginStage {
        &mut self.stage
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
        &self.stage.name
    }

    /// Rows of the baseline that it was fitted on.
    pub fn reference_rows(&self) -> u64 {
        self.fitted.reference_rows
    }

    async fn check(&self, current: &Batch) -> Result<MonitorReport, ServingError> {
        let report = self.stage.check(&self.fitted.bytes, current).await?;
        Ok(MonitorReport {
            name: self.name.clone(),
            plugin: self.plugin.clone(),
            on: self.target,
            report,
        })
    }
}

/// Digest of everything that a monitor's state is computed from: its plugin and config, the baseline,
/// and every stage that the baseline goes through, as the pinned spec and the components say.
pub(crate) fn key(
    spec: &DeploymentSpec,
    monitor: &MonitorSpec,
    stage: &PluginStage,
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
    let all = json!([
        KEY_FORMAT,
        stage.digest,
        monitor.config,
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
    stage: &PluginStage,
    pipeline: &Pipeline,
    baseline: &Batch,
) -> Result<FittedState, ServingError> {
    let reference = pipeline.run_to(spec.on, baseline.clone(), None).await?;
    Ok(FittedState {
        key,
        reference_rows: reference.rows() as u64,
        bytes: stage.fit(&reference).await?,
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

/// Run every monitor on a batch of the pipeline's input columns. Each target is computed once.
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
        if !monitors.iter().any(|m| m.target == target) {
            continue;
        }
        let batch = pipeline.run_to(target, current.clone(), None).await?;
        for (index, monitor) in monitors.iter().enumerate() {
            if monitor.target == target {
                reports.push((index, monitor.check(&batch).await?));
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
