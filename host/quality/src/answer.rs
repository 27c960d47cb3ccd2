//! What a metric answers: a value with its interval, or why there is none.

use caisson_stats::interval::Interval;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The value; finite.
    pub value: f64,
    /// Where the value of all rows of this kind is likely to be. Absent where the rows can't tell.
    pub interval: Option<Interval>,
    /// The rows that the value is of. Fewer than were taken in where some can't be used.
    pub rows: u64,
}

/// A metric's answer.
pub type Answer = Result<Measure, Undefined>;

/// Why a metric has no value on these rows.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Undefined {
    /// There are too few rows that can be used.
    #[error("{rows} usable rows where the metric needs {needed}")]
    TooFew {
        /// The usable rows.
        rows: u64,
        /// The rows that it takes.
        needed: u64,
    },
    /// The metric compares labels, and one of them doesn't occur.
    #[error("no row has the label `{label}`")]
    NoLabel {
        /// Which.
        label: String,
    },
    /// Precision of a class that was never predicted.
    #[error("no row was predicted as `{label}`")]
    NeverPredicted {
        /// Which.
        label: String,
    },
    /// A class that neither occurs nor is predicted, or that fell into "other".
    #[error("the class `{label}` isn't among those counted")]
    UnknownClass {
        /// Which.
        label: String,
    },
    /// The metric measures against the spread of the actual values (or labels), and there is none.
    #[error("the actual values, or the predicted ones, are all the same")]
    Constant,
    /// The metric divides by the actual value, and all of them are 0 (or one is, where zeros are
    /// refused).
    #[error("{rows} rows have an actual value of 0, which the metric divides by")]
    ZeroActual {
        /// The rows whose actual value is 0.
        rows: u64,
    },
    /// The metric needs probabilities, and some scores aren't between 0 and 1.
    #[error("{rows} scores aren't between 0 and 1; this metric needs probabilities")]
    NotProbabilities {
        /// The rows with such scores.
        rows: u64,
    },
    /// The metric needs the error of the naive forecast, which nobody gave.
    #[error("give the naive forecast's mean absolute error on the training series")]
    NoNaiveError,
    /// A test needs the spread of both samples, and one shows none (all of its rows are alike).
    #[error("the rows show no spread, so there is nothing to test the change by")]
    NoSpread,
    /// Sums left the range of numbers.
    #[error("the values are too large: their sums aren't finite")]
    Overflow,
}

impl Undefined {
    pub(crate) fn too_few(rows: u64, needed: u64) -> Self {
        Self::TooFew { rows, needed }
    }
}

/// Make an answer of a value that may have overflowed.
pub(crate) fn measure(value: f64, interval: Option<Interval>, rows: u64) -> Answer {
    if value.is_finite() {
        let is_finite = |i: &Interval| i.low.is_finite() && i.high.is_finite();
        Ok(Measure {
            value,
            interval: interval.filter(is_finite),
            rows,
        })
    } else {
        Err(Undefined::Overflow)
    }
}

/// Which way a metric gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Accuracy, areas.
    Higher,
    /// Errors, losses.
    Lower,
    /// Bias: the nearer to 0 the better.
    Zero,
}
