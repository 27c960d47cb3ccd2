//! Statistics, sketches and the decision rule shared by the first-party drift checks.
//!
//! | module | what |
//! | --- | --- |
//! | [`stats`] | the statistics on slices, with their formulas and sources |
//! | [`features`], [`sample`] | which columns are checked, and their values |
//! | [`numbers`], [`categories`] | bins, sketches and words for either kind of value |
//! | [`binned`] | checks that compare shares in bins and categories: all of them but the formula |
//! | [`config`] | settings that all checks share |
//! | [`verdict`] | when a change is drift |
//! | [`state`] | the frame around a sketched reference |
//! | [`check`] | all of it put together, for methods that look at one feature at a time |
//!
//! For users: `plugins/DRIFT.md`.

pub use caisson_stats::rng;

pub mod binned;
pub mod categories;
pub mod check;
pub mod config;
pub mod features;
pub mod numbers;
pub mod rates;
pub mod sample;
pub mod state;
pub mod stats;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod verdict;
pub mod words;
