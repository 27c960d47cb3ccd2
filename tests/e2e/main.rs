//! End-to-end tests: a real server, through its public API only. A file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod admin;
mod alerts;
mod attacks;
mod bad_input;
mod cli;
mod collector;
mod drift;
mod first_light;
mod grpc;
mod grpc_client;
mod grpc_tensors;
mod harness;
mod http_edges;
mod insight;
mod limits;
mod metrics;
mod oip;
mod oip_repository;
mod oip_wire;
mod operation;
mod performance;
mod prediction_log;
mod python;
mod restart;
mod sandbox;
mod sdk_readme;
mod streaming;
mod switch;
mod tenants;
mod tracing;
mod windows;
