//! ONNX Runtime's shared library.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{InferenceError, tidy};

/// The variable, and its value, that keep ONNX Runtime 1.31 and later from keeping and sending
/// telemetry: set in the environment of a process that loads it. The API's own switch comes too late,
/// after the first records are written.
pub const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Loaded for the life of the process: ONNX Runtime allows one Environment a process, ever, even
/// after it is dropped.
static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// ONNX Runtime, ready to load models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime(&'static Loaded);

impl Runtime {
    /// Load the shared library and make the process's one Environment, with telemetry off and ONNX
    /// Runtime's log lines going to `tracing`. A second call with the same file gives the same
    /// runtime.
    ///
    /// # Errors
    ///
    /// No such file, not ONNX Runtime, older than 1.24, or another file than an earlier call's.
    pub fn load(library: &Path) -> Result<Self, InferenceError> {
        let library_error = |message: String| InferenceError::Library {
            path: library.to_owned(),
            message,
        };
        let path = fs::canonicalize(library).map_err(|e| library_error(e.to_string()))?;
        let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = LOADED.get() {
            if loaded.path == path {
                return Ok(Self(loaded));
            }
            return Err(InferenceError::SecondLibrary {
                loaded: loaded.path.clone(),
                asked: path,
            });
        }
        let version = version_of(&path).map_err(library_error)?;
        let environment = ort::init_from(&path)
            .map_err(|e| library_error(e.to_string()))?
            .with_name("caisson")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|e| library_error(tidy(e.message())))?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self(LOADED.get_or_init(|| Loaded {
            path,
            version,
            environment,
        })))
    }

    /// The library's version, `1.24.4`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Where it was loaded from.
    pub fn library(&self) -> &Path {
        &self.0.path
    }

    /// The process's one Environment, for benches that compare with sessions of their own.
    #[doc(hidden)]
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }
}

/// The version from the library's symbol versions (`VERS_1.24.4`): its C API tells it too, but not
/// through ort's safe functions.
fn version_of(path: &Path) -> Result<String, String> {
    const MARK: &[u8] = b"VERS_";
    /// A version string longer than this isn't one.
    const VERSION_BYTES_MAX: usize = 16;
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    bytes
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .find_map(|(at, _)| {
            let rest = bytes.get(at + MARK.len()..)?;
            let version: String = rest
                .iter()
                .take(VERSION_BYTES_MAX)
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .map(|&b| char::from(b))
                .collect();
            (version.split('.').count() == 3 && !version.ends_with('.')).then_some(version)
        })
        .ok_or_else(|| "the file has no symbol version VERS_x.y.z, so it is not ONNX Runtime".into())
}

fn log(level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
    let message = tidy(message);
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::error!(target: "onnxruntime", category, id, location, "{message}");
        }
        LogLevel::Warning => {
            tracing::warn!(target: "onnxruntime", category, id, location, "{message}");
        }
        LogLevel::Info | LogLevel::Verbose => {
            tracing::debug!(target: "onnxruntime", category, id, location, "{message}");
        }
    }
}
