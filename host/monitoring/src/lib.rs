//! Windows over live answers: drift monitors, and statistics of inputs and predictions.
//!
//! - [`spec`] is what a deployment's file says of windows, [`Plan`] what a revision wants gathered.
//! - [`Tap`] is a revision's place on the request path: it copies what sampled requests send and get into a
//!   lane, and never waits. What finds no room is dropped and counted.
//! - One thread gathers lanes into panes of sketches and samples ([`Gathered`]), of all rows and by segment.
//! - When a window closes, its statistics are told at once; monitors are judged by whoever can call plugins
//!   ([`Checks`]), behind the requests, and [`report::DriftWindow`] is what they say, with the alarm after it.
//! - Another thread keeps windows as records, and the state of those in progress as an object.
//!
//! Memory is bounded whatever the traffic: lanes by [`Limits`], windows by the sketches of the panes that a
//! plan may have, which [`Plan::check`] holds against a bound.
//!
//! A stop loses nothing. A process that is killed loses the rows of the last minute, or since a window closed
//! if that is less; what was told of a window is there, and is told once.
//!
//! This crate knows nothing of plugins, models or HTTP.

mod checks;
mod columns;
mod deployment;
mod gathered;
mod history;
mod keeper;
mod length;
mod monitoring;
mod plan;
pub mod quality;
pub mod report;
mod sample;
pub mod spec;
mod statistics;
mod stream;
mod tap;
mod track;
mod worker;

/// Sketches of columns.
pub use caisson_quality::summary::Summary as Sketches;
pub use checks::{Checks, Done, Found, Item, Reference};
pub use columns::{COLUMNS_MAX, Columns};
pub use deployment::{BaselineStatistics, Limits, Newest};
pub use gathered::Gathered;
pub use history::{RECORD_BYTES_MAX, RECORDS_MAX, SERIES_MAX};
pub use monitoring::{Filter, Monitoring, StatisticsReport};
pub use plan::{MonitorPlan, Needs, Plan};
pub use statistics::{CategoryShare, ColumnStatistics, NumberStatistics, QuantileValue};
pub use tap::Tap;

/// Windows can't be gathered, kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitoringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] caisson_store::StoreError),
    /// A thread can't be started, or has ended.
    #[error("the thread that gathers windows {0}")]
    Thread(String),
}
