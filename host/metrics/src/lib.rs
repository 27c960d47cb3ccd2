//! What is measured, and how it is handed over.
//!
//! - [`catalogue`] is the list of all metrics. Nothing else is exposed, and what documents them, draws
//!   them or alerts on them is made from it.
//! - [`Histogram`] counts durations, or sizes, in atomics: one addition to a bucket and one to a sum.
//! - [`Exposition`] writes the text that Prometheus reads, or that of OpenMetrics.
//!
//! There is no registry of series. Whoever is asked for metrics walks what there is — live deployments,
//! known tenants — and writes what it finds, so a name that nobody knows has no series, and the series of
//! what is deleted end with it. On the request path there are atomics that their owner holds, and no names.

pub mod catalogue;
mod exposition;
mod histogram;

pub use catalogue::{Kind, Metric};
pub use exposition::{Exposition, Format};
pub use histogram::{Histogram, Sparse, Tally};
