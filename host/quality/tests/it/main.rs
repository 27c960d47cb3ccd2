//! The metrics against values of scikit-learn, and what must hold for any rows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod alarms;
mod binary;
mod classes;
mod coverage;
mod degraded;
mod drifted;
mod estimates;
mod reference;
mod regression;
mod sketches;
mod windows;
