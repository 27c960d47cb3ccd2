//! What a deployment will do, for people and for `--dry-run`: every stage with what it takes and
//! gives.

use std::sync::Arc;

use caisson_data::Schema;
use caisson_inference::Placement;
use schemars::JsonSchema;
use serde::Serialize;

use crate::monitor::Monitor;
use crate::pipeline::{Core, Pipeline};
use crate::spec::MonitorTarget;
use crate::stage::PluginStage;

/// A checked deployment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Plan {
    /// The columns that a caller sends.
    pub input: Arc<Schema>,
    /// Stages in the order in which they run.
    pub stages: Vec<StagePlan>,
    /// The columns of an answer.
    pub output: Arc<Schema>,
    /// Drift checks.
    pub monitors: Vec<MonitorPlan>,
}

/// One stage.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StagePlan {
    /// Place and plugin: `transforms[0] impute@0.1.0`, `model churn@3`.
    pub stage: String,
    /// SHA-256 of the component or model, hex.
    pub digest: String,
    /// What it gives.
    pub output: Arc<Schema>,
    /// Why each call gets a warm instance rather than a fresh one from a snapshot; absent when it
    /// gets a fresh one, and for models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_because: Option<String>,
    /// Where a model runs; absent for plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// One monitor.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MonitorPlan {
    /// Place and plugin: `monitors[0] ks@0.1.0`.
    pub stage: String,
    /// The monitor's name.
    pub name: String,
    /// What it looks at.
    pub on: MonitorTarget,
    /// Rows of the baseline that it was fitted on.
    pub reference_rows: u64,
}

impl Plan {
    pub(crate) fn of(pipeline: &Pipeline, monitors: &[Monitor]) -> Self {
        let mut stages: Vec<StagePlan> = pipeline
            .validators
            .iter()
            .chain(&pipeline.transforms)
            .map(plugin_plan)
            .collect();
        match &pipeline.core {
            Core::Features => {}
            Core::Model(model) => stages.push(StagePlan {
                stage: model.name.to_string(),
                digest: model.digest.clone(),
                output: Arc::clone(&model.output),
                warm_because: None,
                placement: Some(model.model.provider().clone()),
            }),
            Core::Predictor(stage) => stages.push(plugin_plan(stage)),
        }
        stages.extend(pipeline.post.iter().map(plugin_plan));
        Self {
            input: Arc::clone(pipeline.input()),
            stages,
            output: Arc::clone(pipeline.output()),
            monitors: monitors
                .iter()
                .map(|m| MonitorPlan {
                    stage: m.stage_name().to_owned(),
                    name: m.name().to_owned(),
                    on: m.target(),
                    reference_rows: m.reference_rows(),
                })
                .collect(),
        }
    }
}

fn plugin_plan(stage: &PluginStage) -> StagePlan {
    StagePlan {
        stage: stage.name.to_string(),
        digest: stage.digest.clone(),
        output: Arc::clone(stage.output()),
        warm_because: stage.warm_because().map(str::to_owned),
        placement: None,
    }
}
