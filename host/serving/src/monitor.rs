//! Drift checks of a deployment: a plugin, fitted on the model version's baseline.

use std::sync::Arc;

use caisson_data::Batch;
use caisson_sandbox::{DriftReport, DriftStatus};
use serde::Serialize;

use crate::error::ServingError;
use crate::pipeline::Pipeline;
use crate::spec::{MonitorSpec, MonitorTarget};
use crate::stage::PluginStage;

/// A fitted drift check.
#[derive(Debug)]
pub struct Monitor {
    name: String,
    plugin: String,
    target: MonitorTarget,
    stage: PluginStage,
    state: Arc<[u8]>,
    reference_rows: usize,
}

/// What a drift check says of a batch.
#[derive(Debug, Clone, Serialize)]
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
    /// Fit the check on the baseline, as far as the monitor's target.
    pub(crate) async fn fit(
        spec: &MonitorSpec,
        plugin: String,
        stage: PluginStage,
        pipeline: &Pipeline,
        baseline: &Batch,
    ) -> Result<Self, ServingError> {
        let reference = pipeline.run_to(spec.on, baseline.clone()).await?;
        let state = stage.fit(&reference).await?;
        Ok(Self {
            name: spec.name.clone(),
            plugin,
            target: spec.on,
            stage,
            state: state.into(),
            reference_rows: reference.rows(),
        })
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
    pub fn reference_rows(&self) -> usize {
        self.reference_rows
    }

    async fn check(&self, current: &Batch) -> Result<MonitorReport, ServingError> {
        let report = self.stage.check(&self.state, current).await?;
        Ok(MonitorReport {
            name: self.name.clone(),
            plugin: self.plugin.clone(),
            on: self.target,
            report,
        })
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
        let batch = pipeline.run_to(target, current.clone()).await?;
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
