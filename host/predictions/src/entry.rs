//! What is logged of a request.

use std::sync::Arc;
use std::time::Duration;

use caisson_data::Batch;
use jiff::Timestamp;

/// Which rows of its request a batch has, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNumbers {
    /// Consecutive ones, from this.
    From(u64),
    /// These.
    At(Vec<u64>),
}

impl RowNumbers {
    /// The number of the row at a position of the batch.
    pub(crate) fn of(&self, position: usize) -> u64 {
        match self {
            Self::From(first) => first.saturating_add(position as u64),
            Self::At(numbers) => numbers.get(position).copied().unwrap_or(position as u64),
        }
    }
}

/// An answered request, or a part of a streamed one.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the request is called.
    pub request_id: Arc<str>,
    /// Which rows these are.
    pub rows: RowNumbers,
    /// When it came.
    pub received: Timestamp,
    /// From its batch to the answer's.
    pub latency: Duration,
    /// Of this, the time of each stage, by its place (`transforms_0`, `model`), and of the `queue`. Stages that
    /// didn't run, as where the answer was kept, aren't there.
    pub stages: Vec<(Arc<str>, Duration)>,
    /// What was sent, which the validators let pass.
    pub input: Batch,
    /// What the transforms gave, where it is to be logged.
    pub features: Option<Batch>,
    /// What was answered.
    pub output: Batch,
}
