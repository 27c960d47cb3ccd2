//! The crate against the real ONNX Runtime. The library is the one that `cargo xtask setup` puts in
//! place, or that `CAISSON_ONNXRUNTIME` names.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail like the tests"
)]

mod binding;
mod check;
mod fixtures;
mod results;
mod runs;
