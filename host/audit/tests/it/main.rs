//! Tests of the audit log through its public API; one file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod crash;
mod full;
mod read;
mod refusals;
mod retention;
mod support;
mod tamper;
mod write;
