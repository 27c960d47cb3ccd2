//! The crate against the real ONNX Runtime. The library is the one that `cargo xtask setup` puts in
//! place, or that `CAISSON_ONNXRUNTIME` names.

mod binding;
mod check;
mod fixtures;
mod results;
mod runs;
