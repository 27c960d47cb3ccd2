//! Deployments on a real store, with real guests and models: what is pinned, gone back to, and kept
//! from one start to the next.
//!
//! Needs `cargo xtask setup` and `cargo xtask guests`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod aliases;
mod monitors;
mod pins;
mod repository;
mod rollback;
mod support;
mod tenants;
