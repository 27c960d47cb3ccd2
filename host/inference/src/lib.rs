//! Runs ONNX models in ONNX Runtime.
//!
//! - [`Runtime`] loads the shared library, once a process.
//! - [`check`] loads an uploaded file in a child process under limits and gives its [`Signature`], or
//!   says in a [`ModelRejected`] why it is refused.
//! - [`Model`] is a checked file, loaded: a pool of sessions that all requests share, inline for runs
//!   that are known to be short and on the inference threads for all others, cancelled at a deadline.
//!   [`Model::run`] takes tensors, [`Model::run_bytes`] what `wasi:nn` guests hand over; both end in
//!   the same sessions.
//! - [`Binding`] is the plan, made when a deployment is created, of which columns of a batch become
//!   which inputs and what columns the outputs give.
//!
//! At the default of one intra-op thread, results are bit-equal to those of Python's onnxruntime of
//! the same version on the same file and machine, wherever in memory the inputs lie; `tests/` shows it.
//!
//! What this crate can't do: stop a run in the middle of one operator (a run ends between two
//! operators), or cap the memory that an operator takes. This crate knows nothing of HTTP, tenants,
//! WebAssembly or the registry.

// The unit tests share the integration tests' fixtures, which name the crate from outside.
#[cfg(test)]
extern crate self as caisson_inference;
#[cfg(test)]
#[path = "../tests/suite/fixtures.rs"]
#[allow(dead_code, reason = "the integration tests need more of it")]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests fail like the tests"
)]
mod fixtures;

mod batch;
mod bytes;
mod check;
mod deadline;
mod error;
mod model;
mod onnx_file;
mod pace;
mod runtime;
mod session;
mod signature;
mod slot;
mod tensor;
mod threads;
mod value;

pub use batch::{BindError, Binding, MissingPolicy, OutputSpec};
pub use bytes::{ByteInput, ByteTensor, WasiTensorType};
pub use check::{CheckLimits, WorkerCommand, check, check_worker_main};
pub use error::{InferenceError, ModelRejected};
pub use model::{Model, Selection};
pub use runtime::{NO_TELEMETRY, Runtime};
pub use session::{Arena, Placement, Provider, SessionOptions};
pub use signature::{OnnxMetadata, Signature, TensorSpec};
pub use tensor::{Input, InputValues, Tensor, TextRef, ValuesRef};
