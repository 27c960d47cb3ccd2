//! What goes wrong, typed by whose fault it is.
//!
//! - [`SandboxError`]: the host can't start a sandbox.
//! - [`UploadError`]: a component is refused; each message says what to do.
//! - [`StageError`]: a stage failed, with its [`StageLabel`] and a [`Cause`]. Text that came from a
//!   guest is cut at [`GUEST_TEXT_BYTES_MAX`] and free of control characters.
//!
//! `code()` is stable and machine-readable on all three.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::manifest::World;

/// Bytes of a guest's message in an error: it ends in an HTTP answer and in the log.
pub const GUEST_TEXT_BYTES_MAX: usize = 2048;

/// Why a sandbox can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A number in the configuration can't be.
    #[error("sandbox configuration: {0}")]
    Config(String),
    /// wasmtime refused its configuration, or the pool can't be reserved.
    #[error(
        "the WebAssembly engine can't start: {0}. If address space ran out (`ulimit -v`, a container's limit), \
         lower the number of instances: each reserves 4 GiB of addresses"
    )]
    Engine(String),
    /// The folder of compiled code can't be used.
    #[error("cache folder {path}: {source}")]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The threads for calls that burn can't start.
    #[error("the low-priority threads can't start: {0}")]
    Threads(std::io::Error),
    /// The ticker thread can't start.
    #[error("the thread that measures guest time can't start: {0}")]
    Ticker(std::io::Error),
}

/// An import that the host doesn't offer, or not without a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedImport {
    /// As the component names it, such as `wasi:http/outgoing-handler@0.2.0`.
    pub name: String,
    /// What would give it, or why nothing does.
    pub reason: String,
}

impl fmt::Display for RefusedImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name, self.reason)
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Why a component is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// More bytes than allowed.
    #[error("the component has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not WebAssembly at all.
    #[error("this is not a WebAssembly component: {found}")]
    NotWasm {
        /// What it looks like.
        found: &'static str,
    },
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component: build it with `caisson plugin build`, \
         or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It ends too early.
    #[error("the component is cut off: {0}")]
    Truncated(String),
    /// It is no valid component.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// More of something than allowed.
    #[error("the component has {found} {what}; at most {limit} are allowed")]
    TooComplex {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Its instances would not fit into the host's pool.
    #[error("an instance of the component needs more than one may have: {0}")]
    DoesNotFit(String),
    /// Its exports make no plugin.
    #[error(
        "the component implements no plugin world (transform, validator, drift-check or predictor): {missing}; \
         it exports {exports}"
    )]
    NoWorld {
        /// What the nearest world needs and isn't there.
        missing: String,
        /// What there is.
        exports: String,
    },
    /// It imports what it can't have.
    #[error("the component imports what the host does not offer: {}", list(.0))]
    Imports(Vec<RefusedImport>),
    /// Built for another major line of the contract.
    #[error(
        "the component was built for caisson:plugin@{found}; this host offers caisson:plugin@{offered}. \
         Rebuild it with the `caisson-plugin` crate of the host's version"
    )]
    WitVersion {
        /// Its version.
        found: String,
        /// The host's.
        offered: &'static str,
    },
    /// An export or import of the right name and the wrong type.
    #[error("the component does not keep the contract caisson:plugin@{version}: {0}", version = crate::manifest::WIT_VERSION)]
    Contract(String),
    /// It is of another world than the one wanted.
    #[error("the component is a {found}, where a {wanted} is needed")]
    World {
        /// Its world.
        found: World,
        /// The one wanted.
        wanted: World,
    },
    /// Compiling took more than allowed.
    #[error("compiling the component took more than {limit}; the compiler was stopped")]
    CompileLimit {
        /// Which limit, with its value.
        limit: String,
    },
    /// The compiler failed on it.
    #[error("the component can't be compiled: {0}")]
    Compile(String),
    /// `describe` failed.
    #[error("`describe` failed: {0}")]
    Describe(Box<Cause>),
    /// What `describe` returned breaks a rule.
    #[error("manifest: {0}")]
    Manifest(String),
    /// No compiler came free in time.
    #[error("no compiler came free within {waited:?}; try again later")]
    Busy {
        /// How long the upload waited.
        waited: Duration,
    },
    /// The host's own fault; the same upload may succeed later.
    #[error("the host failed while checking the component: {0}")]
    Host(String),
}

impl UploadError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "component-too-large",
            Self::NotWasm { .. } => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Truncated(_) => "component-truncated",
            Self::Invalid(_) => "component-invalid",
            Self::TooComplex { .. } | Self::DoesNotFit(_) => "component-too-complex",
            Self::NoWorld { .. } => "no-plugin-world",
            Self::Imports(_) => "import-refused",
            Self::WitVersion { .. } => "wit-version",
            Self::Contract(_) => "contract",
            Self::World { .. } => "wrong-world",
            Self::CompileLimit { .. } => "compile-limit",
            Self::Compile(_) => "compile-failed",
            Self::Describe(_) => "describe-failed",
            Self::Manifest(_) => "manifest-invalid",
            Self::Busy { .. } => "busy",
            Self::Host(_) => "host",
        }
    }

    /// Is the host at fault rather than the component?
    pub fn is_host_fault(&self) -> bool {
        match self {
            Self::Host(_) | Self::Busy { .. } => true,
            Self::Describe(cause) => cause.is_host_fault(),
            _ => false,
        }
    }
}

/// Whose stage it is; in every error and log line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StageLabel {
    /// The owner.
    pub tenant: Arc<str>,
    /// The deployment.
    pub deployment: Arc<str>,
    /// The stage's name in it.
    pub stage: Arc<str>,
}

impl StageLabel {
    /// A label of these three.
    pub fn new(
        tenant: impl Into<Arc<str>>,
        deployment: impl Into<Arc<str>>,
        stage: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            deployment: deployment.into(),
            stage: stage.into(),
        }
    }
}

impl fmt::Display for StageLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.deployment, self.stage)
    }
}

/// A stage failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {label}: {cause}")]
pub struct StageError {
    /// Whose stage.
    pub label: StageLabel,
    /// What happened.
    pub cause: Cause,
    /// The last line that the guest logged at level `error` in this call, such as a panic message.
    pub guest_message: Option<Box<str>>,
}

/// Why a stage failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The component is refused.
    #[error(transparent)]
    Component(UploadError),
    /// The stage's limits can't be.
    #[error("limits: {0}")]
    Limits(String),
    /// The stage lacks a grant for an import.
    #[error("the stage lacks a grant: {}", list(.0))]
    Grants(Vec<RefusedImport>),

    /// The plugin: this config makes no sense.
    #[error("invalid config: {0}")]
    InvalidConfig(String),
    /// The plugin: it can't take this input schema.
    #[error("schema mismatch: {0}")]
    SchemaMismatch(String),
    /// The plugin: it can't process these values.
    #[error("{}", bad_input(*.row, .column.as_deref(), .message))]
    BadInput {
        /// Row, from 0.
        row: Option<u32>,
        /// Column.
        column: Option<String>,
        /// The plugin's words.
        message: String,
    },
    /// The plugin reports a fault of its own.
    #[error("the plugin failed: {0}")]
    Internal(String),

    /// More guest time than allowed.
    #[error("the plugin used more than its {0:?} of processor time and was stopped")]
    CpuTime(Duration),
    /// More wall-clock time than allowed.
    #[error("the call took more than its {0:?} and was stopped")]
    WallTime(Duration),
    /// More memory than allowed.
    #[error("the plugin asked for more than its {limit_bytes} bytes of memory and was stopped")]
    Memory {
        /// The limit.
        limit_bytes: usize,
    },
    /// All instances of the tenant together have the memory that they may have.
    #[error(
        "the tenant's plugins have the {limit_bytes} bytes of memory that they may have at the same time; \
         send fewer requests at once"
    )]
    TenantMemory {
        /// The bound.
        limit_bytes: usize,
    },
    /// The tenant was suspended or deleted meanwhile.
    #[error("the tenant was suspended; its plugins are stopped")]
    TenantStopped,
    /// More table elements than allowed.
    #[error("the plugin asked for more than its {limit} table elements and was stopped")]
    Table {
        /// The limit.
        limit: usize,
    },
    /// More handles of host resources than allowed.
    #[error("the plugin holds more host resources than allowed: {0}")]
    Handles(String),
    /// Endless or very deep recursion.
    #[error("the plugin's call stack overflowed")]
    StackOverflow,
    /// `unreachable`: a panic or an abort, most often.
    #[error("the plugin aborted (wasm `unreachable`)")]
    Unreachable,
    /// Access beyond memory or table.
    #[error("the plugin accessed memory out of bounds")]
    OutOfBounds,
    /// Any other trap.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// Models were used outside `predict`.
    #[error("the plugin used wasi:nn in `{0}`; models may only be used in `predict`")]
    ModelsOutsidePredict(&'static str),

    /// More rows or bytes than allowed.
    #[error("the plugin returned too much: more than {limit} {unit}")]
    OutputTooLarge {
        /// What is allowed.
        limit: usize,
        /// Rows or bytes.
        unit: &'static str,
    },
    /// An answer that breaks the contract.
    #[error("the plugin returned {0}")]
    BadOutput(String),

    /// The caller gave a batch of another schema.
    #[error("the stage takes {expected}, and was given {found}")]
    InputSchema {
        /// The stage's input schema.
        expected: String,
        /// The batch's.
        found: String,
    },
    /// The stage's world has no such function.
    #[error("a {world} has no `{function}`")]
    NoSuchFunction {
        /// The stage's world.
        world: World,
        /// The function wanted.
        function: &'static str,
    },
    /// No turn came up in time.
    #[error("no free instance within {waited:?} ({queue})")]
    Busy {
        /// How long it waited.
        waited: Duration,
        /// Whose queue it was.
        queue: &'static str,
    },
    /// The host's own fault.
    #[error("the sandbox failed: {0}")]
    Host(String),
}

fn bad_input(row: Option<u32>, column: Option<&str>, message: &str) -> String {
    match (row, column) {
        (Some(row), Some(column)) => format!("row {row}, column `{column}`: {message}"),
        (Some(row), None) => format!("row {row}: {message}"),
        (None, Some(column)) => format!("column `{column}`: {message}"),
        (None, None) => message.to_owned(),
    }
}

impl Cause {
    /// An answer that breaks the contract; the words may hold names that the guest chose.
    pub(crate) fn bad_output(what: &str) -> Self {
        Self::BadOutput(crate::text::tame(what, GUEST_TEXT_BYTES_MAX))
    }

    /// Stable and machine-readable; the label of the failure metric.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Component(error) => error.code(),
            Self::Limits(_) => "invalid-limits",
            Self::Grants(_) => "missing-grant",
            Self::InvalidConfig(_) => "invalid-config",
            Self::SchemaMismatch(_) => "schema-mismatch",
            Self::BadInput { .. } => "bad-input",
            Self::Internal(_) => "plugin-internal",
            Self::CpuTime(_) => "cpu-time",
            Self::WallTime(_) => "wall-time",
            Self::Memory { .. } => "memory-limit",
            Self::TenantMemory { .. } => "tenant-memory",
            Self::TenantStopped => "tenant-suspended",
            Self::Table { .. } => "table-limit",
            Self::Handles(_) => "handle-limit",
            Self::StackOverflow => "stack-overflow",
            Self::Unreachable => "unreachable",
            Self::OutOfBounds => "out-of-bounds",
            Self::Trap(_) => "trap",
            Self::ModelsOutsidePredict(_) => "models-outside-predict",
            Self::OutputTooLarge { .. } => "output-too-large",
            Self::BadOutput(_) => "bad-output",
            Self::InputSchema { .. } => "input-schema",
            Self::NoSuchFunction { .. } => "no-such-function",
            Self::Busy { .. } => "busy",
            Self::Host(_) => "host",
        }
    }

    /// Is the host at fault rather than plugin or caller?
    pub fn is_host_fault(&self) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Component(error) => error.is_host_fault(),
            _ => false,
        }
    }

    /// Did the plugin answer at all, with one of the contract's errors?
    pub fn is_plugins_answer(&self) -> bool {
        matches!(
            self,
            Self::InvalidConfig(_) | Self::SchemaMismatch(_) | Self::BadInput { .. } | Self::Internal(_)
        )
    }
}
