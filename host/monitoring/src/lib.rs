//! Windows over live answers: drift monitors, and statistics of inputs and predictions.

pub mod report;
pub mod spec;
mod statistics;

pub use statistics::{CategoryShare, ColumnStatistics, NumberStatistics, QuantileValue};
