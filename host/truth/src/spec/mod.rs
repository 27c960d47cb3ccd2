//! What a deployment's file says of its ground truth and of its performance.

mod columns;
mod performance;
mod truth;
mod window;

pub use performance::{DegradationSpec, PerformanceSpec, ScoreSpec, ZeroPolicy};
pub use truth::{GroundTruthSpec, JoinSpec, KeySpec};
pub use window::PerformanceWindowSpec;

pub(crate) use columns::REVISION;
pub(crate) use performance::label_text;
pub(crate) use truth::{EVENT_TIME, OBSERVED_AT, REQUEST_ID, ROW};
pub(crate) use window::Span;

/// A name from a file, for a message.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .take(80)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

/// Is a number within its bounds?
fn within(place: &str, given: Option<u64>, min: u64, max: u64) -> Result<(), String> {
    match given.filter(|n| !(min..=max).contains(n)) {
        Some(n) => Err(format!("{place} is {n}; it is {min} to {max}")),
        None => Ok(()),
    }
}
