//! Statistics, sketches and the decision rule shared by the first-party drift checks.

pub mod rng;
pub mod stats;
