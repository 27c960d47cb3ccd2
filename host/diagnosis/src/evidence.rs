//! What is known of a deployment, as plain numbers. Whoever gathers it fills in what there is; what is
//! `None` or empty is unknown, never zero.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::finding::{Absent, Event};

/// Everything that a diagnosis looks at.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The deployment's name.
    pub deployment: String,
    /// Its live revision.
    pub revision: u64,
    /// When the evidence was gathered.
    pub now: Timestamp,
    /// Requests of the last minutes first, then of longer and longer ago.
    pub periods: Vec<Period>,
    /// Where requests' time goes.
    pub stages: Vec<Stage>,
    /// The queue in front of the stages, where requests share runs.
    pub queue: Option<Queue>,
    /// Every watched feature and prediction, stable or not.
    pub features: Vec<Feature>,
    /// Every metric that is measured against labels.
    pub performance: Vec<Performance>,
    /// The model version that answers.
    pub model: Option<Model>,
    /// What was changed and what was raised.
    pub events: Vec<Event>,
    /// What isn't known.
    pub absent: Vec<Absent>,
}

/// Requests of some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Period {
    /// How long ago it began, seconds.
    pub starts_ago_seconds: f64,
    /// How long ago it ended, seconds.
    pub ends_ago_seconds: f64,
    /// Requests that were answered, whatever the answer.
    pub requests: u64,
    /// Requests that a stage, a model or the host failed.
    pub failures: u64,
    /// Rows that came.
    pub rows: u64,
    /// Rows that validators refused.
    pub rejected: u64,
    /// Of the requests' times.
    pub p50_ms: Option<f64>,
    /// See `p50_ms`.
    pub p95_ms: Option<f64>,
    /// See `p50_ms`.
    pub p99_ms: Option<f64>,
}

/// What a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// A plugin of the pipeline.
    Plugin,
    /// The model, run natively.
    Model,
    /// A plugin that runs models itself.
    Predictor,
    /// Of the server: reading, decoding, encoding, writing.
    Server,
}

/// One part of a request's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// As errors name it: `transforms[0] impute@0.1.0`.
    pub name: String,
    /// What it is.
    pub kind: StageKind,
    /// Calls of the recent time.
    pub calls: u64,
    /// Their time together, milliseconds.
    pub total_ms: f64,
    /// Of single calls.
    pub p95_ms: Option<f64>,
    /// Failed calls by cause, as errors' codes name it.
    pub failures: BTreeMap<String, u64>,
    /// Instances that had to be made for calls, where that isn't a copy of a prepared one.
    pub cold: Option<Cold>,
}

/// Instances that were started for a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cold {
    /// How many.
    pub starts: u64,
    /// Their time together, milliseconds; unknown if `None`.
    pub total_ms: Option<f64>,
}

/// The queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queue {
    /// Requests that waited.
    pub requests: u64,
    /// Their waits together, milliseconds.
    pub waited_ms: f64,
    /// Of single requests.
    pub p95_ms: Option<f64>,
    /// Requests that a full queue refused.
    pub refused: u64,
}

/// What a feature's values are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// What callers send.
    Input,
    /// What the model gets.
    Features,
    /// What is answered.
    Predictions,
}

/// A verdict on drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// Too few rows.
    Unknown,
    /// No drift.
    Stable,
    /// Nearly.
    Warn,
    /// Drift.
    Drifted,
}

/// One watched feature, by one monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What it is of.
    pub target: Target,
    /// Who says so.
    pub monitor: String,
    /// The verdict.
    pub status: Drift,
    /// Name of the statistic.
    pub method: String,
    /// The statistic.
    pub statistic: Option<f64>,
    /// What it is compared with.
    pub threshold: Option<f64>,
    /// Where the method has a test.
    pub p_value: Option<f64>,
    /// The check's own words.
    pub detail: String,
    /// Share of the reference's rows without a value.
    pub missing_before: f64,
    /// Share of the current rows without a value.
    pub missing_now: f64,
    /// Share of what all columns matter to the prediction, 0 to 1.
    pub importance: Option<f64>,
    /// When the window that says so began.
    pub since: Option<Timestamp>,
}

/// One metric against labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    /// Its name.
    pub metric: String,
    /// Of which rows; all if `None`.
    pub segment: Option<String>,
    /// Its value.
    pub value: Option<f64>,
    /// Bounds of its interval.
    pub interval: Option<(f64, f64)>,
    /// The baseline's value.
    pub baseline: Option<f64>,
    /// Is it worse than the baseline? Unknown if `None`.
    pub is_worse: Option<bool>,
    /// Of the test for that.
    pub p_value: Option<f64>,
    /// Rows with a label.
    pub rows: u64,
    /// Estimated before labels arrive?
    pub estimated: bool,
    /// When the window began.
    pub since: Option<Timestamp>,
}

/// The model version that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// When it was registered.
    pub registered: Timestamp,
    /// The newest version that is approved, or newest of all where none is.
    pub newest: u64,
}

impl Evidence {
    /// The requests of the last minutes.
    pub fn recent(&self) -> Option<&Period> {
        self.periods.first()
    }

    /// The path of one of the deployment's resources.
    pub(crate) fn link(&self, what: &str) -> String {
        format!("/v1/deployments/{}/{what}", self.deployment)
    }
}
