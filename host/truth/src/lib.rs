//! What came true of predictions, and how well a deployment does by it.
//!
//! - [`GroundTruthSpec`] and [`PerformanceSpec`] are what a deployment's file says.
//! - [`Truth`] keeps labels ([`labels_of`], [`Truth::record`]): a label that was acknowledged survives a
//!   kill. Labels are kept whole, those that were stated anew and those of no prediction included, until
//!   their retention ends.
//! - [`Truth::evaluate`] joins them with the prediction log and says how each closed window fares: metrics
//!   with intervals, of all rows and by segment, and whether that is worse than the baseline, by test.
//! - [`Truth::history`] gives what was said. A window that gets more labels is stated anew, and its
//!   earlier statements are kept.
//!
//! Labels are named objects of the store, partitioned as Hive does it, as the prediction log is:
//!
//! ```text
//! labels/tenant=acme/deployment=churn/date=2026-11-26/hour=15/part-….parquet
//! ```
//!
//! An evaluation has no state that it couldn't make again: all comes from the log, the labels and what was
//! said before. What it holds is bounded: predictions of [`evaluate::ROWS_AT_ONCE`] rows, the pieces of a
//! few windows, and one part of a file of labels.
//!
//! This crate knows nothing of plugins, models or HTTP.

mod card;
mod cells;
pub mod evaluate;
mod file;
mod label;
mod metric;
pub mod result;
mod spec;
mod truth;
mod writer;

pub use evaluate::{Evaluation, Job, Latest, Newest, Reference};
pub use label::{Label, LabelKey, Refused, labels_of};
pub use metric::{Metric, Task};
pub use result::{
    Alarm, ClassRow, ConfusionTable, Found, History, HistoryQuery, LabelCounts, MetricValue, Part,
    SegmentName, Standing, Verdict, WindowSpan, WindowStatement,
};
pub use spec::{
    DegradationSpec, GroundTruthSpec, JoinSpec, KeySpec, PerformanceSpec, PerformanceWindowSpec, ScoreSpec,
    ZeroPolicy,
};
pub use truth::{Done, Recorded, Truth};

/// Labels can't be kept, or performance can't be told.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// The store failed.
    #[error("{message}")]
    Store {
        /// How.
        message: String,
        /// Is it for want of room?
        full: bool,
    },
    /// The prediction log, or a file of labels, can't be read.
    #[error("{0}")]
    Read(String),
    /// Rows that Parquet can't hold.
    #[error("the labels can't be written as Parquet: {0}")]
    Encode(String),
    /// Too many labels wait to be written.
    #[error("too many labels wait to be written; send them again in a second")]
    Busy,
    /// An evaluation ended early, since the server stops.
    #[error("the server is about to stop")]
    Ending,
    /// There is no such deployment any more.
    #[error("the deployment is gone")]
    Gone,
    /// The writer's thread can't be started, or has ended.
    #[error("the thread that writes labels {0}")]
    Thread(String),
}

impl From<caisson_store::StoreError> for TruthError {
    fn from(error: caisson_store::StoreError) -> Self {
        Self::Store {
            full: matches!(error, caisson_store::StoreError::Full { .. }),
            message: error.to_string(),
        }
    }
}

impl From<caisson_predictions::LogError> for TruthError {
    fn from(error: caisson_predictions::LogError) -> Self {
        match error {
            caisson_predictions::LogError::Store(error) => error.into(),
            error => Self::Read(error.to_string()),
        }
    }
}
