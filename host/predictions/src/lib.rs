//! The prediction log: what sampled requests sent and got, as Parquet files that other programs read.
//!
//! - [`LogSpec`] is what a deployment's file says of it.
//! - [`Predictions`] is the log of a server: a bounded queue, and one thread that encodes and writes.
//! - [`Log`] is one revision's place in it; [`Log::offer`] never waits.
//!
//! Files are named objects of the store, partitioned as Hive does it:
//!
//! ```text
//! predictions/tenant=acme/deployment=churn/date=2026-11-26/hour=15/part-….parquet
//! ```
//!
//! What is kept is bounded by each deployment's retention, what waits in memory by
//! [`Limits::buffer_bytes`]. Rows that find no room, and rows that can't be written, are dropped and
//! counted by the reason ([`Unlogged`]). A crash loses what was not written yet: the rows of the last
//! `flush_seconds` at most. [`Predictions::close`] writes what waits.
//!
//! [`LogReader`] reads the files back, a column at a time where that is enough. [`Area`] and [`Kept`] are how
//! files are named and kept by hour, for what is kept beside the log in the same way.
//!
//! This crate knows nothing of plugins, models or HTTP.

mod counts;
mod entry;
mod file;
mod keep;
mod place;
mod read;
mod redact;
mod rows;
mod shared;
mod spec;
mod writer;

pub use counts::{Counts, Dropped, Unlogged};
pub use entry::{Answer, RowNumbers};
pub use keep::{Kept, remove_below};
pub use place::{Area, Hour};
pub use read::{FileRows, LogFile, LogReader, files, read_file, writer_properties};
pub use rows::{Selected, Selection};
pub use shared::{Limits, Log, LogStatus, Predictions, Space};
pub use spec::{EventTimeSpec, LogSpec, Redaction, TimeUnit};

/// The log can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] caisson_store::StoreError),
    /// Rows that Parquet can't hold.
    #[error("the rows can't be written as Parquet: {0}")]
    Encode(String),
    /// A file that isn't what the writer wrote.
    #[error("`{path}` can't be read as Parquet: {why}")]
    Decode {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The writer's thread can't be started, or has ended.
    #[error("the prediction log's thread {0}")]
    Thread(String),
}
