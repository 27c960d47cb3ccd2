//! Compiling in a child process, under its limits.
//!
//! Compilers are large, and a module can be made that costs one minutes and gigabytes. So the host
//! starts a child for each component, gives it the bytes on standard input and takes compiled code
//! from its standard output. The child limits its own address space and processor time first, and lowers its priority; the
//! host limits wall-clock time, the size of the answer and the number of children. Whatever happens
//! to the child, the host sees an error that names the limit.

mod child;
mod worker;

pub(crate) use child::Compiler;
pub use worker::compile_worker_main;

use serde::{Deserialize, Serialize};

/// Bytes of the line of JSON that precedes the payload in both directions. Messages of the compiler
/// are cut to fit.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// What the host asks of the child: one line of JSON, then the component.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    /// Add the accessors that a snapshot needs, if that can be done.
    instrument: bool,
    address_space_bytes: u64,
    cpu_seconds: u64,
    component_bytes_max: usize,
}

/// What the child answers: one line of JSON, then the compiled code where it succeeded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Response {
    /// Compiled. `plain` says why the component wasn't instrumented, if it was to be.
    Compiled { plain: Option<String> },
    /// Not valid WebAssembly.
    Invalid(String),
    /// Valid, and not compilable.
    Failed(String),
    /// The child's own fault.
    Broken(String),
}

/// Compiled code, and why it has no snapshot accessors if it was to have them.
pub(crate) struct Artifact {
    pub(crate) code: Vec<u8>,
    pub(crate) plain: Option<String>,
}
