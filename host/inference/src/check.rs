//! Look at an uploaded model in a child process, before this one loads it.
//!
//! A model file is input to ONNX Runtime's C++, so the first load happens where a crash, a loop or a
//! memory bomb hurts nobody: a worker with limits on address space, CPU time and files, an empty
//! environment, and a wall-clock deadline after which it is killed. The worker is any program that
//! calls [`check_worker_main`]; request and answer are one JSON document each, on its standard input
//! and output.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rlimit::Resource;
use serde::{Deserialize, Serialize};

use crate::error::{InferenceError, ModelRejected, tidy};
use crate::onnx_file;
use crate::runtime::{NO_TELEMETRY, Runtime};
use crate::session::{self, SessionOptions};
use crate::signature::Signature;

/// Bytes of a worker's answer: 2 × 1024 tensors with names of 256 bytes, and the bounded metadata.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Bytes of its standard error that are kept; the last line of a crash is what helps.
const STDERR_BYTES_MAX: u64 = 16 << 10;
/// How often a running worker is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Files that the worker may have open: its standard ones, the library, the model, a few of the
/// system's.
const OPEN_FILES_MAX: u64 = 64;
/// The worker's niceness: about a tenth of the weight of a thread that answers requests.
const NICE: i32 = 10;

/// The program that checks one model and ends; it must call [`check_worker_main`] when started so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This very executable, started with `args`.
    ///
    /// # Errors
    ///
    /// The system can't name the running executable.
    pub fn current_exe<I, A>(args: I) -> io::Result<Self>
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        Ok(Self {
            program: std::env::current_exe()?,
            args: args.into_iter().map(Into::into).collect(),
        })
    }
}

/// What looking at a model may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckLimits {
    /// Size of the file. Default: 512 MiB, a large model for tables and a mid-sized one for text.
    pub file_bytes_max: u64,
    /// Address space of the worker. Default: 4 GiB; loading takes up to three times the file, and the
    /// library and allocators a few hundred MiB.
    pub memory_bytes_max: u64,
    /// CPU time of the worker, seconds. Default: 60; a 96 MiB model takes less than one.
    pub cpu_seconds_max: u64,
    /// Wall-clock time. Default: 2 minutes, for a busy machine.
    pub wall_max: Duration,
}

impl Default for CheckLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 512 << 20,
            memory_bytes_max: 4 << 30,
            cpu_seconds_max: 60,
            wall_max: Duration::from_secs(120),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    library: PathBuf,
    file: PathBuf,
    file_bytes_max: u64,
    memory_bytes_max: u64,
    cpu_seconds_max: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Accepted(Signature),
    Rejected(ModelRejected),
}

/// Load the model in a worker and give its signature. Blocks for as long as the limits allow.
///
/// # Errors
///
/// Why the model is refused; or, with [`ModelRejected::is_host_fault`], why it couldn't be checked.
pub fn check(
    command: &WorkerCommand,
    runtime: &Runtime,
    file: &Path,
    limits: &CheckLimits,
) -> Result<Signature, ModelRejected> {
    let request = Request {
        library: runtime.library().to_owned(),
        file: fs::canonicalize(file).map_err(|e| ModelRejected::failed("finding the model's file", e))?,
        file_bytes_max: limits.file_bytes_max,
        memory_bytes_max: limits.memory_bytes_max,
        cpu_seconds_max: limits.cpu_seconds_max,
    };
    let request =
        serde_json::to_vec(&request).map_err(|e| ModelRejected::failed("describing the check", e))?;
    let mut command_line = Command::new(&command.program);
    command_line
        .args(&command.args)
        .env_clear()
        .env(NO_TELEMETRY.0, NO_TELEMETRY.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        // Where the system's C++ library may lie.
        command_line.env("LD_LIBRARY_PATH", path);
    }
    let child = command_line
        .spawn()
        .map_err(|e| ModelRejected::failed("starting the checking process", e))?;
    let mut worker = Worker(child);
    let answer = drain(worker.0.stdout.take(), ANSWER_BYTES_MAX);
    let errors = drain(worker.0.stderr.take(), STDERR_BYTES_MAX);
    if let Some(mut stdin) = worker.0.stdin.take() {
        // A worker that died before reading shows in its status.
        let _ = stdin.write_all(&request);
    }
    let Some(status) = worker.wait(limits.wall_max)? else {
        return Err(ModelRejected::Crashed {
            message: format!("it took longer than {} s", limits.wall_max.as_secs_f32()),
        });
    };
    let answer = answer.join().unwrap_or_default();
    match serde_json::from_slice(&answer) {
        Ok(Answer::Accepted(signature)) if status.success() => Ok(signature),
        Ok(Answer::Rejected(rejected)) if status.success() => Err(rejected),
        _ => {
            let errors = errors.join().unwrap_or_default();
            Err(ModelRejected::Crashed {
                message: why(status, &String::from_utf8_lossy(&errors), limits),
            })
        }
    }
}

/// The child, killed and reaped when dropped.
struct Worker(Child);

impl Worker {
    /// `None` when the time is over.
    fn wait(&mut self, wall_max: Duration) -> Result<Option<ExitStatus>, ModelRejected> {
        let started = Instant::now();
        while started.elapsed() < wall_max {
            let status = self.0.try_wait();
            if let Some(status) =
                status.map_err(|e| ModelRejected::failed("waiting for the checking process", e))?
            {
                return Ok(Some(status));
            }
            thread::sleep(POLL);
        }
        Ok(None)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only for a child that is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Read a pipe on a thread of its own, up to a bound; what follows is thrown away, so that the writer
/// doesn't block.
fn drain(pipe: Option<impl Read + Send + 'static>, bytes_max: u64) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe leaves what came before it.
            let _ = pipe.by_ref().take(bytes_max).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        kept
    })
}

fn why(status: ExitStatus, errors: &str, limits: &CheckLimits) -> String {
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    let memory = || {
        format!(
            "it took more than {} MiB of memory",
            limits.memory_bytes_max >> 20
        )
    };
    let last = errors
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or_default();
    match status.signal() {
        Some(SIGXCPU) => format!("it took more than {} s of CPU time", limits.cpu_seconds_max),
        _ if errors.contains("bad_alloc") || errors.contains("memory allocation of") => memory(),
        Some(SIGKILL) => format!("it was killed; the machine may lack memory. {}", tidy(last)),
        Some(signal) => format!("it crashed with signal {signal}. {}", tidy(last)),
        None => format!("it ended with {status}. {}", tidy(last)),
    }
}

/// The worker's whole life: read a request, set the limits, load the model, answer. Call it from the
/// `main` of the program that a [`WorkerCommand`] names, before anything else takes memory or starts
/// threads.
pub fn check_worker_main() -> ExitCode {
    let mut request = Vec::new();
    let read = io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut request);
    let request = read
        .map_err(|e| e.to_string())
        .and_then(|_| serde_json::from_slice::<Request>(&request).map_err(|e| e.to_string()));
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            eprintln!("this process checks a model for Caisson and is started by it: {error}");
            return ExitCode::FAILURE;
        }
    };
    let answer = match confine(&request).and_then(|()| load(&request)) {
        Ok(signature) => Answer::Accepted(signature),
        Err(rejected) => Answer::Rejected(rejected),
    };
    let written = serde_json::to_writer(io::stdout().lock(), &answer);
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the answer can't be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn confine(request: &Request) -> Result<(), ModelRejected> {
    // Checking gives way to answering requests. Not to be allowed to is no reason not to check.
    let _ = rustix::process::setpriority_process(None, NICE);
    for (resource, limit) in [
        (Resource::AS, request.memory_bytes_max),
        (Resource::CPU, request.cpu_seconds_max),
        (Resource::CORE, 0),
        // Pipes aren't files: the answer can be written, and nothing else.
        (Resource::FSIZE, 0),
        (Resource::NOFILE, OPEN_FILES_MAX),
    ] {
        rlimit::setrlimit(resource, limit, limit)
            .map_err(|e| ModelRejected::failed("limiting the checking process", e))?;
    }
    Ok(())
}

fn load(request: &Request) -> Result<Signature, ModelRejected> {
    let unreadable = |e: io::Error| ModelRejected::failed("reading the model's file", e);
    let file = fs::File::open(&request.file).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > request.file_bytes_max {
        return Err(ModelRejected::TooLarge {
            bytes,
            bytes_max: request.file_bytes_max,
        });
    }
    let mut content = Vec::new();
    file.take(request.file_bytes_max)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    let metadata = onnx_file::inspect(&content)?;
    let host = |e: InferenceError| match e {
        InferenceError::Rejected(rejected) => rejected,
        other => ModelRejected::failed("loading ONNX Runtime", other),
    };
    let runtime = Runtime::load(&request.library).map_err(host)?;
    let options = SessionOptions {
        sessions: Some(1),
        ..SessionOptions::default()
    };
    let (sessions, _) = session::open(&runtime, &options, &content).map_err(host)?;
    let Some(session) = sessions.first() else {
        return Err(ModelRejected::failed(
            "loading ONNX Runtime",
            "no session was made",
        ));
    };
    Signature::of(session, metadata)
}
