//! `[models]`, complete: how ONNX Runtime is loaded and sessions are made.

use std::path::PathBuf;

use caisson_inference::SessionOptions;
use serde::Serialize;

use super::file::{self, Arena, Provider};

/// Runs that may wait for a session: at the shortest run, 10 µs, these are a second.
const WAITING_MAX: usize = 100_000;

/// The flags of `[models]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ModelFlags {
    /// ONNX Runtime's shared library; `cargo xtask setup` puts one in place.
    #[arg(long, env = "CAISSON_ONNXRUNTIME", value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Where models run. [default: cpu]
    #[arg(long, env = "CAISSON_PROVIDER", value_enum)]
    provider: Option<Provider>,
    /// With `--provider cuda`: run on the CPU, and say so, where CUDA can't be had.
    #[arg(long, env = "CAISSON_FALLBACK_TO_CPU", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    fallback_to_cpu: Option<bool>,
    /// Threads within one operator of a model. More makes single runs of large models faster. [default: 1]
    #[arg(long, env = "CAISSON_MODEL_INTRA_OP_THREADS", value_name = "N")]
    model_intra_op_threads: Option<usize>,
    /// With several such threads: let them spin while they wait. [default: false]
    #[arg(long, env = "CAISSON_MODEL_SPINNING", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    model_spinning: Option<bool>,
    /// What becomes of the memory that a model's runs work in. [default: keep]
    #[arg(long, env = "CAISSON_MODEL_ARENA", value_enum)]
    model_arena: Option<Arena>,
    /// Runs of one model at the same time. [default: one a core, as far as 256 MiB of weights allow]
    #[arg(long, env = "CAISSON_MODEL_SESSIONS", value_name = "N")]
    model_sessions: Option<usize>,
    /// Runs of one model that wait for a session, past which one is refused. [default: 256]
    #[arg(long, env = "CAISSON_MODEL_WAITING_MAX", value_name = "N")]
    model_waiting_max: Option<usize>,
}

/// How models are run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Models {
    pub(crate) onnxruntime: Option<PathBuf>,
    provider: Provider,
    fallback_to_cpu: bool,
    intra_op_threads: usize,
    spinning: bool,
    arena: Arena,
    /// As many as the model's size allows if absent.
    sessions: Option<usize>,
    waiting_max: usize,
}

impl Models {
    pub(super) fn of(flags: ModelFlags, file: file::Models) -> Self {
        let default = SessionOptions::default();
        Self {
            onnxruntime: flags.onnxruntime.or(file.onnxruntime),
            provider: flags.provider.or(file.provider).unwrap_or_default(),
            fallback_to_cpu: flags.fallback_to_cpu.or(file.fallback_to_cpu).unwrap_or_default(),
            intra_op_threads: flags
                .model_intra_op_threads
                .or(file.intra_op_threads)
                .unwrap_or(default.intra_op_threads),
            spinning: flags.model_spinning.or(file.spinning).unwrap_or(default.spinning),
            arena: flags.model_arena.or(file.arena).unwrap_or_default(),
            sessions: flags.model_sessions.or(file.sessions),
            waiting_max: flags
                .model_waiting_max
                .or(file.waiting_max)
                .unwrap_or(default.waiting_max),
        }
    }

    /// What can be told to be wrong, by key.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Some(library) = self.onnxruntime.as_ref().filter(|path| !path.is_file()) {
            faults.push(("onnxruntime", format!("there is no file {}", library.display())));
        }
        let mut within = |key, value: usize, max: usize| {
            if !(1..=max).contains(&value) {
                faults.push((key, format!("{value} is not from 1 to {max}")));
            }
        };
        within(
            "intra_op_threads",
            self.intra_op_threads,
            SessionOptions::INTRA_OP_THREADS_MAX,
        );
        within(
            "sessions",
            self.sessions.unwrap_or(1),
            SessionOptions::SESSIONS_MAX,
        );
        within("waiting_max", self.waiting_max, WAITING_MAX);
        faults
    }

    /// What sessions are made with.
    pub(crate) fn options(&self) -> SessionOptions {
        SessionOptions {
            provider: match self.provider {
                Provider::Cpu => caisson_inference::Provider::Cpu,
                Provider::Cuda => caisson_inference::Provider::Cuda {
                    device_id: 0,
                    fallback_to_cpu: self.fallback_to_cpu,
                },
            },
            intra_op_threads: self.intra_op_threads,
            spinning: self.spinning,
            arena: match self.arena {
                Arena::Keep => caisson_inference::Arena::Keep,
                Arena::Shrink => caisson_inference::Arena::Shrink,
                Arena::Off => caisson_inference::Arena::Off,
            },
            sessions: self.sessions,
            waiting_max: self.waiting_max,
        }
    }
}
