//! Tests of ground truth and performance through the crate's public API; one file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod joined;
mod kept;
mod specs;
mod stated;
mod support;
mod windows;
