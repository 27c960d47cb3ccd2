//! The sandbox against real components: those of `tests/guests`, and crafted ones in text form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, too"
)]

mod calls;
mod compiling;
mod craft;
mod hostile;
mod logs;
mod models;
mod support;
mod uploads;
mod wasi;
