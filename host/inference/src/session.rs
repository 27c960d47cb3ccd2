//! How a model's sessions are made.

use ort::ep;
use ort::logging::LogLevel;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{InferenceError, ModelRejected, tidy};
use crate::runtime::Runtime;

/// Model bytes that the sessions of one model may hold together when their number isn't set: each
/// session has its own copy of the weights. (ONNX Runtime's container for prepacked weights shares
/// only weights that were added from outside: four sessions of a 96 MiB model took the same memory
/// with it as without.) A model of 64 MiB gets four sessions, one of 1 GiB gets one.
const SESSION_BYTES_DEFAULT: u64 = 256 << 20;

/// Where models run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Provider {
    /// ONNX Runtime's own kernels.
    #[default]
    Cpu,
    /// NVIDIA CUDA; needs the library of the `onnxruntime-gpu` package.
    Cuda {
        /// Which GPU, from 0.
        device_id: i32,
        /// Run on the CPU where CUDA can't be had, and say so in [`Placement::fallback`] and the log.
        /// Otherwise that is an error.
        fallback_to_cpu: bool,
    },
}

/// Where a model really runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Placement {
    /// `cpu` or `cuda`.
    pub provider: &'static str,
    /// Why it isn't the provider that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// What becomes of the memory that a CPU session's runs work in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arena {
    /// The session keeps what its largest run took: no run waits for the system's allocator.
    #[default]
    Keep,
    /// Kept during a run, and what the session grew by given back after it. For models whose runs differ
    /// much in size.
    Shrink,
    /// From the process's allocator, tensor by tensor.
    Off,
}

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where it runs. Default: the CPU.
    pub provider: Provider,
    /// Threads within one operator. Default: 1. More makes single runs of large models faster and
    /// everything else slower, and results then differ in the last bits (tree ensembles at two
    /// threads: by up to 2.4e-7).
    pub intra_op_threads: usize,
    /// Do a session's idle threads spin? Default: no. With several threads for an operator that saves
    /// some microseconds a run, and burns a core for each thread meanwhile.
    pub spinning: bool,
    /// Memory of runs on the CPU. Default: kept.
    pub arena: Arena,
    /// Runs at the same time. Default (`None`): one for each core, as far as 256 MiB of
    /// weights in all allow; at least one.
    pub sessions: Option<usize>,
    /// Runs that wait for a session, past which a run is refused. Default: 256, which at 100 µs a run
    /// is 25 ms of work.
    pub waiting_max: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            provider: Provider::Cpu,
            intra_op_threads: 1,
            spinning: false,
            arena: Arena::Keep,
            sessions: None,
            waiting_max: 256,
        }
    }
}

impl SessionOptions {
    /// Sessions of one model at most: beyond the cores of the largest machines they only take memory.
    pub const SESSIONS_MAX: usize = 256;
    /// Threads within one run at most.
    pub const INTRA_OP_THREADS_MAX: usize = 256;

    /// How many sessions a model of this size gets.
    pub(crate) fn sessions_for(&self, model_bytes: u64) -> Result<usize, InferenceError> {
        if !(1..=Self::INTRA_OP_THREADS_MAX).contains(&self.intra_op_threads) {
            return Err(InferenceError::Options(format!(
                "intra_op_threads is {}; it is 1 to {}",
                self.intra_op_threads,
                Self::INTRA_OP_THREADS_MAX
            )));
        }
        match self.sessions {
            Some(n) if (1..=Self::SESSIONS_MAX).contains(&n) => Ok(n),
            Some(n) => Err(InferenceError::Options(format!(
                "sessions is {n}; it is 1 to {}",
                Self::SESSIONS_MAX
            ))),
            None => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let fit = SESSION_BYTES_DEFAULT / model_bytes.max(1);
                Ok(cores
                    .min(usize::try_from(fit).unwrap_or(usize::MAX))
                    .clamp(1, Self::SESSIONS_MAX))
            }
        }
    }
}

/// Make the sessions of a model whose file [`crate::onnx_file::inspect`] has seen.
///
/// # Errors
///
/// Options out of range, no such provider, or [`ModelRejected::Unsupported`].
pub(crate) fn open(
    runtime: &Runtime,
    options: &SessionOptions,
    bytes: &[u8],
) -> Result<(Vec<Session>, Placement), InferenceError> {
    let count = options.sessions_for(bytes.len() as u64)?;
    let on = |provider, fallback| Placement { provider, fallback };
    let Provider::Cuda {
        device_id,
        fallback_to_cpu,
    } = options.provider
    else {
        return Ok((on_cpu(runtime, options, bytes, count)?, on("cpu", None)));
    };
    let cuda = ep::CUDA::default()
        .with_device_id(device_id)
        // TensorFloat-32 rounds every product to ten bits of mantissa (on an H200 the answers of a
        // three-layer perceptron moved by 1.6e-3): fp32 means fp32 on every provider.
        .with_tf32(false)
        .build()
        .error_on_failure();
    let opened = common(runtime, options)?
        .with_execution_providers([cuda])
        .map_err(|e| tidy(e.message()))
        .and_then(|mut builder| commit(&mut builder, runtime, bytes, count).map_err(|e| e.to_string()));
    match opened {
        Ok(sessions) => Ok((sessions, on("cuda", None))),
        Err(message) if fallback_to_cpu => {
            let sessions = on_cpu(runtime, options, bytes, count)?;
            tracing::warn!(
                reason = message,
                "CUDA is not available; the model runs on the CPU"
            );
            Ok((sessions, on("cpu", Some(message))))
        }
        Err(message) => Err(InferenceError::Provider {
            provider: "cuda",
            message,
        }),
    }
}

fn on_cpu(
    runtime: &Runtime,
    options: &SessionOptions,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<Session>, InferenceError> {
    let cpu = ep::CPU::default().with_arena_allocator(options.arena != Arena::Off);
    let mut builder = common(runtime, options)?
        .with_execution_providers([cpu.build().error_on_failure()])
        .map_err(|e| InferenceError::Options(tidy(e.message())))?;
    Ok(commit(&mut builder, runtime, bytes, count)?)
}

/// The options of one session's runs.
///
/// # Errors
///
/// What ONNX Runtime says.
pub(crate) fn run_options(arena: Arena, provider: &str) -> Result<RunOptions, String> {
    let made = RunOptions::new().and_then(|mut options| {
        if arena == Arena::Shrink && provider == "cpu" {
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
        }
        Ok(options)
    });
    made.map_err(|e| tidy(e.message()))
}

/// ort panics on type descriptions that it doesn't know; such a model is unsupported too.
fn commit(
    builder: &mut SessionBuilder,
    runtime: &Runtime,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<Session>, ModelRejected> {
    let unsupported = |message: &str| ModelRejected::Unsupported {
        version: runtime.version().to_owned(),
        message: tidy(message),
    };
    let committed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (0..count)
            .map(|_| builder.commit_from_memory(bytes))
            .collect::<Result<Vec<_>, _>>()
    }));
    match committed {
        Ok(sessions) => sessions.map_err(|e| unsupported(e.message())),
        Err(_) => Err(unsupported(
            "its inputs or outputs are of a type that is not known here",
        )),
    }
}

/// What every session has; beside the options, the memory pattern of the last shape is kept.
fn common(runtime: &Runtime, options: &SessionOptions) -> Result<SessionBuilder, InferenceError> {
    let build = || -> Result<SessionBuilder, ort::Error> {
        Ok(Session::builder(runtime.environment())?
            .with_intra_threads(options.intra_op_threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(options.spinning)?
            .with_inter_op_spinning(false)?
            .with_memory_pattern(true)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_auto_device(AutoDevicePolicy::PreferCPU)?
            .with_log_level(LogLevel::Warning)?
            // An uploaded file is never taken for ONNX Runtime's own format, whatever its bytes say.
            .with_config_entry("session.load_model_format", "ONNX")?)
    };
    build().map_err(|e| InferenceError::Options(tidy(e.message())))
}
