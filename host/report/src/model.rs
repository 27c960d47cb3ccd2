//! What a report says, as plain data.

use caisson_diagnosis::{Absent, Diagnosis};
use jiff::Timestamp;

/// Everything on the page.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose it is.
    pub tenant: String,
    /// The deployment's name.
    pub deployment: String,
    /// Its own sentence.
    pub description: String,
    /// The live revision.
    pub revision: u64,
    /// The model version that answers, `churn@3`.
    pub model: Option<String>,
    /// When the report was made.
    pub made_at: Timestamp,
    /// The first thing that is read.
    pub verdicts: Vec<Verdict>,
    /// Reference against current, feature by feature.
    pub distributions: Part<Distributions>,
    /// Statistics of drift, window by window.
    pub drift: Part<Vec<Series>>,
    /// Metrics against labels, window by window.
    pub performance: Part<Vec<Series>>,
    /// Where time goes.
    pub latency: Part<Latency>,
    /// Findings, events, and what isn't known.
    pub diagnosis: Diagnosis,
}

/// A part of the page that may be missing.
#[derive(Debug, Clone)]
pub enum Part<T> {
    /// It is there.
    Known(T),
    /// It isn't; why, and how to get it.
    Unknown(Absent),
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Good,
    /// Nobody knows.
    Unknown,
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Bad,
}

/// One line of the summary.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What it is about.
    pub label: String,
    /// How that is.
    pub status: Status,
    /// In few words.
    pub text: String,
}

/// Two samples, column by column.
#[derive(Debug, Clone)]
pub struct Distributions {
    /// What the reference is: `baseline of churn@3, 1,800 rows`.
    pub reference: String,
    /// What is compared with it.
    pub current: String,
    /// The columns, in the order in which they are to be shown.
    pub columns: Vec<Distribution>,
}

/// What a column is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What callers send, or the model gets.
    Feature,
    /// What is answered.
    Prediction,
}

/// One column of two samples.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Its name.
    pub name: String,
    /// What it is of.
    pub group: Group,
    /// The worst that a monitor says of it.
    pub status: Status,
    /// In words.
    pub detail: String,
    /// Share of what all columns matter to the prediction.
    pub importance: Option<f64>,
    /// Shares of rows without a value: reference, current.
    pub missing: Option<(f64, f64)>,
    /// The two samples.
    pub shape: Shape,
}

/// What two samples look like.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Numbers in bins, ascending and without gaps.
    Numbers(Vec<Bin>),
    /// Categories, the most frequent first.
    Categories(Vec<Category>),
    /// Nothing can be drawn, and why.
    Nothing(String),
}

/// One bin; both shares are of the rows with a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Where it begins.
    pub from: f64,
    /// Where it ends, above where it begins.
    pub to: f64,
    /// Share of the reference.
    pub reference: f64,
    /// Share of the current rows.
    pub current: f64,
}

/// One category.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Share of the reference.
    pub reference: f64,
    /// Share of the current rows.
    pub current: f64,
}

/// One line over time.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it shows.
    pub title: String,
    /// More about it, in few words.
    pub note: String,
    /// The unit of its values; empty for none.
    pub unit: String,
    /// Its points, in the order of time.
    pub points: Vec<Point>,
    /// What values are compared with.
    pub limit: Option<Limit>,
}

/// A line across.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Where.
    pub value: f64,
    /// What it is: `threshold`, `baseline`.
    pub label: String,
}

/// One value over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When its window ended.
    pub at: Timestamp,
    /// The value; `None` breaks the line.
    pub value: Option<f64>,
    /// Bounds of its interval.
    pub interval: Option<(f64, f64)>,
    /// What was said of it.
    pub status: Status,
}

/// Where time goes.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Of which time the stages' numbers are.
    pub of: String,
    /// Stage by stage, in the order of the pipeline.
    pub stages: Vec<StageTime>,
    /// Over time.
    pub series: Vec<Series>,
}

/// One stage's time.
#[derive(Debug, Clone)]
pub struct StageTime {
    /// As errors name it.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Mean of a call.
    pub mean_ms: f64,
    /// 95th percentile of a call.
    pub p95_ms: Option<f64>,
    /// Of all stages' time.
    pub share: f64,
}
