//! Tests of alerts through their public API; one file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod alertmanager;
mod crash;
mod email;
mod isolation;
mod limits;
mod outbox;
mod property;
mod python;
mod readme;
mod rules;
mod silences;
mod sink;
mod slack;
mod states;
mod support;
mod webhook;
