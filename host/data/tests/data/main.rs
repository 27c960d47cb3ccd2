//! Batches and their codecs, through the public API.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, too"
)]

mod arrow;
mod builder;
mod csv;
mod oip;
mod oip_bad;
mod oip_tensors;
mod rows;
mod streams;
mod support;
