//! What an evaluation says: the performance of each window, as it is stored and shown.

use std::collections::BTreeMap;

use caisson_quality::degradation::Comparison;
use caisson_quality::hysteresis::Outcome;
use caisson_quality::{Answer, window};
use caisson_store::record::Record;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was said of one window. Labels that come later, and other values for labels that came, make another
/// statement; the earlier ones are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowStatement {
    /// Which window.
    pub window: WindowSpan,
    /// Which statement of it, from 1.
    pub statement: u32,
    /// When it was made.
    #[schemars(with = "String")]
    pub evaluated_at: Timestamp,
    /// Is no label waited for any more?
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The revisions that answered.
    pub revisions: Vec<u64>,
    /// What it was compared with, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// All rows first, then each segment.
    pub parts: Vec<Part>,
}

/// The extent of a window: its first moment and the moment after its last; the number of its first row and
/// the one after its last where rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowSpan {
    /// From this time on. Of windows of rows, that of the first event.
    #[schemars(with = "String")]
    pub start: Timestamp,
    /// Up to this time. Of windows of rows, that of the last event.
    #[schemars(with = "String")]
    pub end: Timestamp,
    /// The first row's number in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_row: Option<u64>,
    /// The number after the last one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_row: Option<u64>,
}

/// Rows of a window: all, or those of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Which segment; absent for all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// Predictions in the window.
    pub predictions: u64,
    /// Those with a label.
    pub labelled: u64,
    /// Those with a label that can't be used, as a missing or infinite score.
    pub unusable: u64,
    /// Labels that another value replaced.
    pub restated: u64,
    /// The metrics, by name.
    pub metrics: BTreeMap<String, MetricValue>,
    /// Estimates of metrics before labels come, of all predictions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub estimates: BTreeMap<String, MetricValue>,
    /// Rows by actual and predicted label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionTable>,
    /// Precision, recall and F1 of each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassRow>,
    /// Is it worse? By metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verdicts: BTreeMap<String, Verdict>,
    /// Worse by any metric that is compared, not worse, or too few rows to say.
    pub outcome: Standing,
}

/// Rows with one value in a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SegmentName {
    /// The column.
    pub column: String,
    /// The value; null for rows without one.
    pub value: Option<String>,
    /// Rows with any value that isn't looked at apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
}

impl SegmentName {
    pub(crate) fn new(column: &str, segment: &window::Segment) -> Self {
        let value = match segment {
            window::Segment::Named(name) => Some(name.clone()),
            window::Segment::Missing | window::Segment::Other => None,
        };
        Self {
            column: column.to_owned(),
            value,
            other: *segment == window::Segment::Other,
        }
    }

    /// As alert rules and queries have it: the value, or `(missing)` and `(other)`.
    pub fn text(&self) -> &str {
        match (&self.value, self.other) {
            (Some(value), _) => value,
            (None, false) => "(missing)",
            (None, true) => "(other)",
        }
    }
}

/// A metric's value with its interval, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricValue {
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The lower end of its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The interval's confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// What the interval was computed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Rows that the value is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How far it may be from the exact value: areas of many rows come from bins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    /// It is an estimate, without labels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What an estimate's calibration was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_on: Option<String>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

impl MetricValue {
    pub(crate) fn of(answer: Answer, within: Option<f64>) -> Self {
        let nothing = Self {
            value: None,
            low: None,
            high: None,
            level: None,
            method: None,
            rows: None,
            within: None,
            estimated: false,
            calibrated_on: None,
            undefined: None,
        };
        match answer {
            Ok(measure) => Self {
                value: Some(measure.value),
                low: measure.interval.map(|i| i.low),
                high: measure.interval.map(|i| i.high),
                level: measure.interval.map(|i| i.level),
                method: measure.interval.and_then(|i| name_of(&i.method)),
                rows: Some(measure.rows),
                within,
                ..nothing
            },
            Err(why) => Self {
                undefined: Some(why.to_string()),
                ..nothing
            },
        }
    }
}

/// A name as it is written down.
fn name_of(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

/// Rows by actual and predicted label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfusionTable {
    /// The labels; null for all that aren't counted by name.
    pub labels: Vec<Option<String>>,
    /// `counts[actual][predicted]`.
    pub counts: Vec<Vec<u64>>,
}

/// What is known of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassRow {
    /// The label; null for all that aren't counted by name.
    pub label: Option<String>,
    /// Rows of it.
    pub rows: u64,
    /// Of the rows predicted as it, the share that is.
    pub precision: MetricValue,
    /// Of its rows, the share that is predicted so.
    pub recall: MetricValue,
    /// Harmonic mean of the two.
    pub f1: MetricValue,
}

/// Worse or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Not worse.
    Good,
    /// Worse, by test.
    Bad,
    /// Nothing to compare with, or too few rows to say.
    Unknown,
}

impl From<Outcome> for Standing {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::Good,
            Outcome::Bad => Self::Bad,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<Standing> for Outcome {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Good => Self::Good,
            Standing::Bad => Self::Bad,
            Standing::Unknown => Self::Unknown,
        }
    }
}

/// What a test of one metric found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Worse, not worse, or too few rows to say.
    pub outcome: Standing,
    /// What was found; absent where there was nothing to test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// Why there was nothing to test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// A change and its test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// The value that it is compared with.
    pub baseline: f64,
    /// The window's.
    pub current: f64,
    /// How much worse, in the metric's unit; negative where it is better.
    pub worse_by: f64,
    /// The same without a unit.
    pub effect: f64,
    /// Chance of a change at least this bad where nothing got worse.
    pub p_value: f64,
    /// How it was tested.
    pub test: Option<String>,
    /// Rows of the smaller of the two.
    pub rows: u64,
}

impl From<Comparison> for Found {
    fn from(found: Comparison) -> Self {
        Self {
            baseline: found.baseline,
            current: found.current,
            worse_by: found.worse_by,
            effect: found.effect,
            p_value: found.p_value,
            test: name_of(&found.test),
            rows: found.rows,
        }
    }
}

/// All statements of one window, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredWindow {
    /// Its place: microseconds, or rows.
    pub(crate) at: i64,
    pub(crate) statements: Vec<WindowStatement>,
}

impl Record for StoredWindow {
    const KIND: &'static str = "performance of a window";
    const FORMAT: u32 = 1;
}

/// An alarm of all rows or of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Which segment; absent for all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// Is there one?
    pub raised: bool,
    /// Worse windows among the last ones with a verdict.
    pub bad: u32,
    /// How many those are.
    pub of: u8,
}

/// Labels by what became of them, as of the last evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelCounts {
    /// Labels that are kept, each statement once.
    pub labels: u64,
    /// Those that are of a prediction in the log.
    pub matched: u64,
    /// Those that wait for their prediction to be written, or are of none.
    pub unmatched: u64,
    /// Times that a label came again with the same value.
    pub duplicates: u64,
    /// Labels that were replaced by one with another value. They are kept.
    pub restated: u64,
    /// Labels that came later than `lateness_seconds` allows.
    pub late: u64,
}

/// How a deployment's predictions fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// When it was evaluated last; absent before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub evaluated_at: Option<Timestamp>,
    /// Alarms: of all rows, then of segments with verdicts.
    pub alarms: Vec<Alarm>,
    /// The windows, the newest first: the newest statement of each, or all.
    pub windows: Vec<WindowStatement>,
    /// Are there earlier ones?
    pub truncated: bool,
}

/// Which part of the history.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Windows that end after this time.
    pub from: Option<Timestamp>,
    /// Windows that start before this time.
    pub to: Option<Timestamp>,
    /// Only this segment: its column and the value's text.
    pub segment: Option<(String, String)>,
    /// Only these metrics.
    pub metrics: Vec<String>,
    /// Every statement of each window, not the newest alone.
    pub statements: bool,
    /// How many windows at most.
    pub limit: usize,
}
