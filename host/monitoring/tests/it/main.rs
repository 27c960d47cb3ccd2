//! Windows over live answers: gathered, judged, kept, and taken up again. A file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod fairness;
mod quality;
mod restart;
mod segments;
mod specs;
mod support;
mod verdicts;
