//! What a request runs through.
//!
//! `validators → transforms → model or predictor → transforms`, each stage taking the batch that
//! the one before gave. The wiring was checked when the pipeline was built; here nothing is looked
//! up by name, locked, compiled or loaded. A stage that fails ends its own request and nothing
//! else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caisson_data::{Batch, BatchBuilder, Schema};
use caisson_inference::{Binding, InferenceError, Model};
use caisson_sandbox::{Severity, Violation};

use crate::error::{Kind, ServingError};
use crate::monitor::Monitor;
use crate::spec::MonitorTarget;
use crate::stage::PluginStage;
use crate::trail::Trail;
use crate::vitals::{StageVitals, Vitals};

/// Rows that go through the row-wise stages at once. Transforms and models are pure by row, so a
/// larger batch is taken in parts: a guest's memory and deadline then bound a stage, not the size of
/// a caller's request. 8,192 rows of thirty floats are one megabyte.
const PART_ROWS: usize = 8192;

/// An answer.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The rows, in the order of the request.
    pub batch: Batch,
    /// Violations that only warn.
    pub warnings: Vec<Violation>,
}

/// The prepared stages of one revision.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) input: Arc<Schema>,
    pub(crate) validators: Vec<PluginStage>,
    pub(crate) transforms: Vec<PluginStage>,
    pub(crate) core: Core,
    pub(crate) post: Vec<PluginStage>,
    /// Where violations are counted; nowhere before the revision is live.
    pub(crate) vitals: Option<Arc<Vitals>>,
}

/// What stands in the middle.
#[derive(Debug)]
pub(crate) enum Core {
    /// Nothing: the deployment computes features.
    Features,
    /// A model, run natively.
    Model(Box<ModelStage>),
    /// A plugin that runs models itself.
    Predictor(Box<PluginStage>),
}

/// A model with its place in the pipeline.
#[derive(Debug)]
pub(crate) struct ModelStage {
    /// `model churn@3`.
    pub(crate) name: Arc<str>,
    pub(crate) digest: String,
    pub(crate) model: Arc<Model>,
    pub(crate) binding: Binding,
    /// Columns before the model that are passed along.
    pub(crate) keep: Vec<usize>,
    /// The kept columns, then the model's outputs.
    pub(crate) output: Arc<Schema>,
    /// The longest that one run may take.
    pub(crate) deadline: Duration,
    pub(crate) vitals: Arc<StageVitals>,
}

impl Pipeline {
    /// The columns that a caller sends.
    pub fn input(&self) -> &Arc<Schema> {
        &self.input
    }

    /// The columns that the model or predictor gets.
    pub fn features(&self) -> &Arc<Schema> {
        self.transforms.last().map_or(&self.input, PluginStage::output)
    }

    /// The columns of an answer.
    pub fn output(&self) -> &Arc<Schema> {
        let core = match &self.core {
            Core::Features => self.features(),
            Core::Model(stage) => &stage.output,
            Core::Predictor(stage) => stage.output(),
        };
        self.post.last().map_or(core, PluginStage::output)
    }

    /// The columns that a monitor of this target sees.
    pub fn schema_of(&self, target: MonitorTarget) -> &Arc<Schema> {
        match target {
            MonitorTarget::Input => self.input(),
            MonitorTarget::Features => self.features(),
            MonitorTarget::Predictions => self.output(),
        }
    }

    /// Run a batch of the input schema through every stage; each leaves its step on the trail, if there is one.
    ///
    /// # Errors
    ///
    /// Every `reject` violation of the validators, together; or the first stage that failed.
    pub async fn predict(&self, batch: Batch, trail: Option<&Trail>) -> Result<Prediction, ServingError> {
        let warnings = self.validate(&batch, trail).await?;
        let batch = self.run_to(MonitorTarget::Predictions, batch, trail).await?;
        Ok(Prediction { batch, warnings })
    }

    /// Run a batch as far as a monitor's target, without the validators: what is being looked at
    /// includes rows that they would refuse.
    pub(crate) async fn run_to(
        &self,
        target: MonitorTarget,
        batch: Batch,
        trail: Option<&Trail>,
    ) -> Result<Batch, ServingError> {
        if target == MonitorTarget::Input {
            return Ok(batch);
        }
        // A predictor may look at all rows together, to rank them for instance.
        let whole = target == MonitorTarget::Predictions && matches!(self.core, Core::Predictor(_));
        if batch.rows() <= PART_ROWS || whole {
            return self.run_part(target, batch, trail).await;
        }
        let mut parts = Vec::with_capacity(batch.rows().div_ceil(PART_ROWS));
        for start in (0..batch.rows()).step_by(PART_ROWS) {
            let end = (start + PART_ROWS).min(batch.rows());
            let part = batch.slice_rows(start..end).map_err(split_error)?;
            parts.push(
                self.run_part(target, part, trail)
                    .await
                    .map_err(|e| e.rows_from(start as u64))?,
            );
        }
        Batch::concat(&parts).map_err(split_error)
    }

    async fn run_part(
        &self,
        target: MonitorTarget,
        mut batch: Batch,
        trail: Option<&Trail>,
    ) -> Result<Batch, ServingError> {
        for stage in &self.transforms {
            batch = stage.apply(batch, trail).await?;
        }
        if target == MonitorTarget::Features {
            return Ok(batch);
        }
        self.run_from_features(batch, trail).await
    }

    /// Run a batch of the model's columns through the rest of the stages, all rows at once.
    pub(crate) async fn run_from_features(
        &self,
        mut batch: Batch,
        trail: Option<&Trail>,
    ) -> Result<Batch, ServingError> {
        batch = match &self.core {
            Core::Features => batch,
            Core::Model(stage) => stage.run(batch, trail).await?,
            Core::Predictor(stage) => stage.predict(&batch, trail).await?,
        };
        for stage in &self.post {
            batch = stage.apply(batch, trail).await?;
        }
        Ok(batch)
    }

    /// From now on what stages and monitors do counts as their deployment's.
    pub(crate) fn measure(&mut self, monitors: &mut [Monitor], vitals: &Arc<Vitals>) {
        self.vitals = Some(Arc::clone(vitals));
        let predictor = match &mut self.core {
            Core::Features => None,
            Core::Model(stage) => {
                stage.vitals = vitals.stage(&stage.name, stage.vitals.role());
                None
            }
            Core::Predictor(stage) => Some(stage.as_mut()),
        };
        let plugins = self
            .validators
            .iter_mut()
            .chain(&mut self.transforms)
            .chain(predictor)
            .chain(&mut self.post)
            .chain(monitors.iter_mut().filter_map(Monitor::stage_mut));
        plugins.for_each(|stage| stage.measure(vitals));
    }

    /// Every validator on a request's rows: what only warns.
    ///
    /// # Errors
    ///
    /// Every `reject` violation together; or the first validator that failed.
    pub(crate) async fn validate(
        &self,
        batch: &Batch,
        trail: Option<&Trail>,
    ) -> Result<Vec<Violation>, ServingError> {
        let mut warnings = Vec::new();
        let mut rejects = Vec::new();
        let mut refused_by: Option<Arc<str>> = None;
        for stage in &self.validators {
            for violation in stage.validate(batch, trail).await? {
                match violation.severity {
                    Severity::Warn => warnings.push(violation),
                    Severity::Reject => {
                        refused_by.get_or_insert_with(|| Arc::clone(&stage.name));
                        rejects.push(violation);
                    }
                }
            }
        }
        if let Some(vitals) = self
            .vitals
            .as_ref()
            .filter(|_| rejects.len() + warnings.len() > 0)
        {
            vitals.violated(rejects.len(), warnings.len());
        }
        let Some(first) = rejects.first() else {
            return Ok(warnings);
        };
        let message = match rejects.len() {
            1 => first.message.clone(),
            n => format!("{} (the first of {n} violations)", first.message),
        };
        let (row, column) = (first.row.map(u64::from), first.column.clone());
        let mut error = ServingError::new(Kind::Unprocessable, "validation-failed", message).at(row, column);
        if let Some(stage) = refused_by {
            error = error.in_stage(stage.as_ref());
        }
        Err(error.with_violations(rejects))
    }
}

fn split_error(error: caisson_data::BatchError) -> ServingError {
    ServingError::new(
        Kind::Internal,
        "internal",
        format!("splitting a large batch: {error}"),
    )
}

impl ModelStage {
    async fn run(&self, batch: Batch, trail: Option<&Trail>) -> Result<Batch, ServingError> {
        let start = Instant::now();
        let result = self.run_inner(&batch, start + self.deadline).await;
        self.vitals
            .note(trail, start, result.as_ref().err().map(|e| e.code));
        result
    }

    async fn run_inner(&self, batch: &Batch, deadline: Instant) -> Result<Batch, ServingError> {
        let run = self.binding.run(&self.model, batch, deadline).await;
        let outputs = run.map_err(|e| model_error(&self.name, &e))?;
        if self.keep.is_empty() {
            return Ok(outputs);
        }
        let broken = |e: caisson_data::BatchError| {
            ServingError::new(Kind::Internal, "internal", format!("joining kept columns: {e}"))
        };
        let mut builder = BatchBuilder::new(Arc::clone(&self.output), batch.rows()).map_err(broken)?;
        let kept = self.keep.iter().filter_map(|&index| batch.column(index));
        let given = (0..outputs.schema().len()).filter_map(|index| outputs.column(index));
        for (index, column) in kept.chain(given).enumerate() {
            builder.copy_column(index, column).map_err(broken)?;
        }
        builder.finish().map_err(broken)
    }
}

/// A model's failure as an answer to its request.
pub(crate) fn model_error(name: &str, error: &InferenceError) -> ServingError {
    let (kind, code) = match error {
        InferenceError::Missing { .. } => (Kind::Unprocessable, "missing-value"),
        InferenceError::Element { .. } => (Kind::Unprocessable, "bad-input"),
        InferenceError::Deadline => (Kind::Deadline, "model-deadline"),
        InferenceError::Overloaded { .. } => (Kind::Busy, "busy"),
        InferenceError::Provider { .. } => (Kind::Internal, "provider"),
        _ => (Kind::Stage, "model-failed"),
    };
    let serving = ServingError::new(kind, code, error.to_string()).in_stage(name);
    match error {
        InferenceError::Missing { row, column, .. } => serving.at(Some(*row as u64), Some(column.clone())),
        _ => serving,
    }
}
