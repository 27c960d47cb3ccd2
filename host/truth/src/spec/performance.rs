//! `performance`: what is measured of a deployment, over which windows, and when it counts as worse.

use std::collections::BTreeMap;

use caisson_quality::degradation::Rule;
use caisson_quality::hysteresis::AlarmSpec;
use caisson_quality::multiclass::SCORED_CLASSES_MAX;
use caisson_quality::regression::ZeroActuals;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::PerformanceWindowSpec;
use super::{shown, within};
use crate::metric::{Metric, Task};

/// Input columns whose values are looked at apart.
const SEGMENT_COLUMNS_MAX: usize = 4;
/// Columns of scores.
const SCORES_MAX: usize = SCORED_CLASSES_MAX;
/// Steps of a season: a year of hours.
const SEASON_MAX: u32 = 8784;
/// Windows without an overlap that a trailing comparison looks back on.
const TRAILING_MAX: u8 = 10;
const TRAILING: u8 = 3;

/// How well the deployment does, by its ground truth. Absent: nothing is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerformanceSpec {
    /// What is predicted.
    pub task: Task,
    /// The column of the answer that is the prediction: a label, or a number. Not needed where scores say
    /// the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// Columns of the answer with probabilities: of two classes that of the positive one, of several one
    /// for each of `classes`, or one column with as many elements.
    #[schemars(length(max = SCORES_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreSpec>,
    /// The labels of several classes, in the order of their scores.
    #[schemars(length(max = SCORES_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<serde_json::Value>,
    /// The positive one of two labels; all others are negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<serde_json::Value>,
    /// The score from which on the positive label is predicted, where no column says it (default 0.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Windows of time or of rows.
    pub window: PerformanceWindowSpec,
    /// Input columns whose values are looked at apart; `revision` is the deployment's own.
    #[schemars(length(max = SEGMENT_COLUMNS_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// The metrics; all of the task if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// What becomes of actual values of 0 in the percentage error.
    #[serde(default, skip_serializing_if = "ZeroPolicy::is_default")]
    pub mape_zeros: ZeroPolicy,
    /// Mean absolute error of the naive forecast on the training series, which MASE is scaled by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naive_error: Option<f64>,
    /// The steps of a season, 1 for "as before": the naive forecast's error is that on the labels of the
    /// baseline, in its order.
    #[schemars(range(min = 1, max = SEASON_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
    /// Values of metrics that it is compared with where the baseline has no labels: `{accuracy: 0.9}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reference: BTreeMap<Metric, f64>,
    /// Windows before the current one that it is compared with where there is neither (default 3).
    #[schemars(range(min = 1, max = TRAILING_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailing: Option<u8>,
    /// When a change is worse.
    #[serde(default, skip_serializing_if = "DegradationSpec::is_default")]
    pub degradation: DegradationSpec,
    /// When worse windows are an alarm.
    #[serde(default, skip_serializing_if = "AlarmSpec::is_default")]
    pub alarm: AlarmSpec,
    /// Estimate performance before labels come, from calibrated scores: of two classes accuracy, precision,
    /// recall, F1 and the area under the ROC curve; of several accuracy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimate: bool,
}

/// One column of scores: its name, or one element of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScoreSpec {
    /// All of the column.
    Column(String),
    /// One element of a column with a shape.
    Element {
        /// The column.
        column: String,
        /// Which element, from 0.
        element: u32,
    },
}

impl ScoreSpec {
    /// The column's name.
    pub fn column(&self) -> &str {
        match self {
            Self::Column(column) | Self::Element { column, .. } => column,
        }
    }
}

/// What becomes of actual values of 0 in the percentage error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZeroPolicy {
    /// They are left out; the metric's rows say how many are in.
    #[default]
    LeaveOut,
    /// The metric has no value.
    Refuse,
    /// They are divided by 2.2e-16, as scikit-learn does.
    Epsilon,
}

impl ZeroPolicy {
    fn is_default(&self) -> bool {
        *self == Self::LeaveOut
    }
}

impl From<ZeroPolicy> for ZeroActuals {
    fn from(policy: ZeroPolicy) -> Self {
        match policy {
            ZeroPolicy::LeaveOut => Self::LeaveOut,
            ZeroPolicy::Refuse => Self::Refuse,
            ZeroPolicy::Epsilon => Self::Epsilon,
        }
    }
}

/// When a change is worse: both significant and large enough to matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DegradationSpec {
    /// The metrics that are compared (default `accuracy` of labels, `mae` of numbers).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// The largest one-sided p-value of a change that isn't chance (default 0.01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The smallest change that matters, in the metric's unit (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_min: Option<f64>,
    /// The smallest effect size that matters (default 0.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_min: Option<f64>,
    /// Labelled rows that a verdict needs (default 30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_min: Option<u64>,
}

impl DegradationSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn rule(&self) -> Rule {
        let default = Rule::default();
        Rule {
            alpha: self.alpha.unwrap_or(default.alpha),
            change_min: self.change_min.unwrap_or(default.change_min),
            effect_min: self.effect_min.unwrap_or(default.effect_min),
            rows_min: self.rows_min.unwrap_or(default.rows_min),
        }
    }
}

impl PerformanceSpec {
    /// What can be told without the columns. Gives the message.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), String> {
        self.window.check()?;
        self.check_task()?;
        if self.segments.len() > SEGMENT_COLUMNS_MAX {
            return Err(format!(
                "performance.segments: {} columns; at most {SEGMENT_COLUMNS_MAX} are allowed",
                self.segments.len()
            ));
        }
        for (place, metrics) in [
            ("performance.metrics", &self.metrics),
            ("performance.degradation.metrics", &self.degradation.metrics),
            ("performance.reference", &self.reference.keys().copied().collect()),
        ] {
            if let Some(metric) = metrics.iter().find(|m| !self.available().any(|a| a == **m)) {
                let all: Vec<&str> = self.available().map(Metric::as_str).collect();
                return Err(format!(
                    "{place}: `{metric}` is no metric of {} predictions{}; there are {}",
                    self.task.as_str(),
                    if self.scores.is_empty() {
                        " without scores"
                    } else {
                        ""
                    },
                    all.join(", ")
                ));
            }
        }
        within(
            "performance.trailing",
            self.trailing.map(u64::from),
            1,
            TRAILING_MAX.into(),
        )?;
        if self.reference.values().any(|value| !value.is_finite()) {
            return Err("performance.reference: a value isn't finite".to_owned());
        }
        within(
            "performance.season",
            self.season.map(u64::from),
            1,
            SEASON_MAX.into(),
        )?;
        if self.season.is_some() && self.naive_error.is_some() {
            return Err(
                "performance.season: it gives the naive error, and `naive_error` does too".to_owned(),
            );
        }
        if self
            .naive_error
            .is_some_and(|error| !(error.is_finite() && error > 0.0))
        {
            return Err("performance.naive_error: it is above 0".to_owned());
        }
        let share = |place: &str, given: Option<f64>| match given {
            Some(value) if !(value > 0.0 && value < 1.0) => Err(format!(
                "performance.{place} is {value}; it is above 0 and below 1"
            )),
            _ => Ok(()),
        };
        share("threshold", self.threshold)?;
        share("degradation.alpha", self.degradation.alpha)?;
        for (place, given) in [
            ("change_min", self.degradation.change_min),
            ("effect_min", self.degradation.effect_min),
        ] {
            if given.is_some_and(|value| !(value.is_finite() && value >= 0.0)) {
                return Err(format!("performance.degradation.{place}: it is 0 or more"));
            }
        }
        self.alarm
            .hysteresis()
            .map_err(|e| format!("performance.alarm: {e}"))?;
        Ok(())
    }

    fn check_task(&self) -> Result<(), String> {
        let task = self.task.as_str();
        let names = [
            (!self.scores.is_empty(), "scores"),
            (!self.classes.is_empty(), "classes"),
            (self.positive.is_some(), "positive"),
            (self.threshold.is_some(), "threshold"),
            (self.estimate, "estimate"),
            (self.naive_error.is_some(), "naive_error"),
            (self.season.is_some(), "season"),
            (!self.mape_zeros.is_default(), "mape_zeros"),
        ];
        let allowed: &[&str] = match self.task {
            Task::Binary => &["scores", "positive", "threshold", "estimate"],
            Task::Multiclass => &["scores", "classes", "estimate"],
            Task::Regression | Task::Forecast => &["naive_error", "season", "mape_zeros"],
        };
        if let Some((_, name)) = names
            .iter()
            .find(|(given, name)| *given && !allowed.contains(name))
        {
            return Err(format!("performance.{name}: {task} predictions have none"));
        }
        if self.prediction.is_none() && self.scores.is_empty() {
            return Err(format!(
                "performance.prediction: say which column of the answer is the {task} prediction{}",
                if self.task.is_classification() {
                    ", or give `scores`"
                } else {
                    ""
                }
            ));
        }
        match self.task {
            Task::Binary if self.positive.is_none() => {
                Err("performance.positive: say which label is the positive one".to_owned())
            }
            Task::Binary if self.scores.len() > 1 => {
                Err("performance.scores: two classes have one column of scores, that of the positive one".to_owned())
            }
            Task::Binary | Task::Multiclass if self.estimate && self.scores.is_empty() => {
                Err("performance.estimate: estimates are made of scores; give `scores`".to_owned())
            }
            Task::Multiclass if self.scores.is_empty() != self.classes.is_empty() => Err(
                "performance.classes: scores and classes go together: one label for each score, in their order"
                    .to_owned(),
            ),
            Task::Multiclass if self.classes.len() == 1 || self.classes.len() > SCORES_MAX => Err(format!(
                "performance.classes: {} classes; there are 2 to {SCORES_MAX}",
                self.classes.len()
            )),
            Task::Multiclass if self.scores.len() > 1 && self.scores.len() != self.classes.len() => Err(format!(
                "performance.scores: {} columns for {} classes",
                self.scores.len(),
                self.classes.len()
            )),
            _ => Ok(()),
        }?;
        let labels = self.classes.iter().chain(&self.positive);
        for label in labels {
            if label_text(label).is_none() {
                return Err(format!(
                    "performance: `{}` is no label; text, whole numbers and truth values are",
                    shown(&label.to_string())
                ));
            }
        }
        Ok(())
    }

    /// The metrics that there can be.
    pub(crate) fn available(&self) -> impl Iterator<Item = Metric> + use<> {
        Metric::of(self.task, !self.scores.is_empty())
    }

    /// The metrics that are measured.
    pub fn measured(&self) -> Vec<Metric> {
        match self.metrics.is_empty() {
            true => self.available().collect(),
            false => self.metrics.clone(),
        }
    }

    /// The metrics that are compared.
    pub fn compared(&self) -> Vec<Metric> {
        match (self.degradation.metrics.is_empty(), self.task.is_classification()) {
            (false, _) => self.degradation.metrics.clone(),
            (true, true) => vec![Metric::Accuracy],
            (true, false) => vec![Metric::Mae],
        }
    }

    pub(crate) fn trailing(&self) -> usize {
        self.trailing.unwrap_or(TRAILING).into()
    }
}

/// A label from a file, as labels are compared.
pub(crate) fn label_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        serde_json::Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}
