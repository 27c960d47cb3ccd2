//! Tests of the store through its public API; one file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod backup;
mod blobs;
mod damage;
mod formats;
mod full;
mod kill;
mod metadata;
mod objects;
mod open;
mod s3;
mod workload;
