//! x
pub mod accumulator;
pub mod answer;
pub mod calibration;
pub mod calibrator;
pub mod confusion;
pub mod degradation;
pub mod distinct;
pub mod drift;
pub mod estimate;
mod fit;
pub mod frequent;
pub mod hysteresis;
pub mod multiclass;
pub mod quantiles;
pub mod regression;
pub mod scores;
pub mod summary;
pub mod window;

pub use answer::{Answer, Better, Measure, Undefined};
