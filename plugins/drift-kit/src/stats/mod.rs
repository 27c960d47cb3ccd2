//! The statistics, on slices alone: no batch, no config, no verdict.
//!
//! Every function gives a finite number for every input that its own documentation allows, and
//! says what it gives for empty and constant samples. Samples of numbers are sorted and hold no
//! NaN; [`crate::sample`] sees to that. Reference values: `reference/` in this crate. What isn't about drift
//! alone is `caisson-stats`, which the host uses too.

pub use caisson_stats::{auc, contingency, correction, tail};

pub mod divergence;
pub mod kolmogorov;
pub mod ks;
pub mod wasserstein;
