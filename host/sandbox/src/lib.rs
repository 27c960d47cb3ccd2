//! Runs tenants' WebAssembly components under limits.
//!
//! A [`Sandbox`] takes components as bytes: [`Sandbox::inspect`] checks an upload and reads its
//! manifest, [`Sandbox::prepare`] makes a [`Stage`] of it, configured for one place in one
//! deployment, and the stage's functions are called with batches.
//!
//! What holds, whatever the component does:
//!
//! - It never harms the host or a neighbour: memory, time, tables, stack, handles, output, log and
//!   the cost of compiling it are bounded ([`Limits`], [`UploadLimits`]); compiling happens in a
//!   child process.
//! - It reaches nothing that wasn't granted: no file, no network, no clock, no model.
//! - A call sees nothing of another call, unless its stage asks for warm instances or can't have
//!   others, which its [`StageKind`] says.
//! - An answer that the contract (`wit/`) does not allow never becomes a batch.
//! - A failure is a [`StageError`] that names tenant, deployment, stage and cause.
//!
//! This crate knows nothing of HTTP, of the registry or of ONNX; models reach it as [`Graphs`].

/// The contract's version, once.
macro_rules! wit_version {
    () => {
        "0.1.0"
    };
}

/// The name of one of the contract's interfaces, with its version.
macro_rules! concat_version {
    ($name:literal) => {
        concat!($name, "@", wit_version!())
    };
}

mod cache;
mod code;
mod compile;
mod config;
mod contract;
mod engine;
mod error;
mod fair;
mod graph;
mod guest;
mod instance;
mod limiter;
mod limits;
mod log;
mod manifest;
mod meter;
mod nn;
mod prepare;
mod prepared;
mod raw;
mod reclaim;
mod report;
mod request;
mod sandbox;
mod snapshot;
mod stage;
mod stats;
mod text;
mod ticker;
mod upload;
mod warm;
mod wasi;

pub use compile::compile_worker_main;
pub use config::{
    CACHE_BYTES_DEFAULT, CompilerCommand, INSTANCES_DEFAULT, MEMORY_KEEP_RESIDENT_BLIND_MAX,
    MEMORY_KEEP_RESIDENT_DEFAULT, QUEUE_WAIT_DEFAULT, SandboxConfig, TICK_DEFAULT, WARM_INSTANCES_DEFAULT,
};
pub use error::{
    Cause, GUEST_TEXT_BYTES_MAX, RefusedImport, SandboxError, StageError, StageLabel, UploadError,
};
pub use fair::{NICE, answer_first};
pub use graph::{Graph, GraphError, GraphErrorCode, GraphTensor, Graphs, TensorType};
pub use limits::{
    CALL_TIME_MAX, CONCURRENT_CALLS_DEFAULT, CPU_DEFAULT, LOG_LINES_PER_SECOND_DEFAULT, Limits,
    MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, OUTPUT_BYTES_DEFAULT, OUTPUT_ROWS_DEFAULT, SETUP_CPU_DEFAULT,
    SETUP_WALL_DEFAULT, TABLE_ELEMENTS_DEFAULT, UploadLimits, WALL_DEFAULT,
};
pub use manifest::{
    CONFIG_SCHEMA_BYTES_MAX, HELP_BYTES_MAX, Manifest, NAME_CHARS_MAX, VERSION_BYTES_MAX, WIT_VERSION, World,
    is_plugin_name,
};
pub use meter::Meter;
pub use nn::TENSORS_PER_COMPUTE_MAX;
pub use report::{
    CODE_BYTES_MAX, DriftReport, DriftStatus, FEATURES_MAX, FeatureDrift, Severity, VIOLATIONS_MAX, Violation,
};
pub use request::{
    CONFIG_BYTES_MAX, Isolation, StageKind, StageRequest, WARM_INSTANCES_PER_STAGE_DEFAULT, WARM_USES_DEFAULT,
};
pub use sandbox::{Inspection, Sandbox};
pub use stage::Stage;
pub use stats::{StageProbe, StageStats};
pub use wasi::Grants;
