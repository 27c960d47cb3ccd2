//! The host's side of compiling: start a child, feed it, watch it.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{Artifact, HEADER_BYTES_MAX, Request, Response};
use crate::config::CompilerCommand;
use crate::error::UploadError;
use crate::limits::UploadLimits;
use crate::text::tame;

/// Bytes of the child's standard error that end in an error message.
const STDERR_BYTES_MAX: usize = 2 << 10;
/// The signal of RLIMIT_CPU, the same number on every Linux that Rust's tier 1 knows.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

/// Starts compilers, a bounded number at a time.
pub(crate) struct Compiler {
    command: CompilerCommand,
    limits: UploadLimits,
    turns: Semaphore,
}

impl Compiler {
    pub(crate) fn new(command: CompilerCommand, limits: UploadLimits) -> Self {
        Self {
            command,
            turns: Semaphore::new(limits.compilers),
            limits,
        }
    }

    /// Compile a component. Cancelling kills the child.
    pub(crate) async fn compile(&self, wasm: &[u8], instrument: bool) -> Result<Artifact, UploadError> {
        let host = |e: &dyn std::fmt::Display| UploadError::Host(format!("compiler: {e}"));
        let waited = self.limits.compile_wall;
        let _turn = tokio::time::timeout(waited, self.turns.acquire())
            .await
            .map_err(|_| UploadError::Busy { waited })?
            .map_err(|e| host(&e))?;
        let request = Request {
            instrument,
            address_space_bytes: self.limits.compile_address_space_bytes,
            cpu_seconds: self.limits.compile_cpu.as_secs().max(1),
            // A snapshot is larger than its upload, by the memory that `configure` filled.
            component_bytes_max: wasm.len(),
        };
        let mut header = serde_json::to_vec(&request).map_err(|e| host(&e))?;
        header.push(b'\n');

        let mut child = Command::new(&self.command.program)
            .args(&self.command.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| host(&format_args!("{}: {e}", self.command.program.display())))?;
        let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(host(&"no pipes"));
        };

        let feed = async move {
            // An error here means that the child died; its exit status says more.
            if stdin.write_all(&header).await.is_ok() {
                let _ = stdin.write_all(wasm).await;
            }
        };
        let listen = async {
            let mut out = Vec::new();
            let most = self.limits.artifact_bytes + HEADER_BYTES_MAX;
            let read = (&mut stdout).take(most as u64 + 1).read_to_end(&mut out).await;
            // Closing early makes a child with more to say fail rather than wait for ever.
            drop(stdout);
            (out, read)
        };
        let complaints = async {
            let mut text = Vec::new();
            let read = (&mut stderr)
                .take(STDERR_BYTES_MAX as u64)
                .read_to_end(&mut text)
                .await;
            drop(stderr);
            (text, read)
        };
        let all = async { tokio::join!(feed, listen, complaints, child.wait()) };
        let Ok(((), (out, read), (text, _), status)) =
            tokio::time::timeout(self.limits.compile_wall, all).await
        else {
            return Err(UploadError::CompileLimit {
                limit: format!("{:?} of wall-clock time", self.limits.compile_wall),
            });
        };
        let status = status.map_err(|e| host(&e))?;
        read.map_err(|e| host(&e))?;
        if out.len() > self.limits.artifact_bytes + HEADER_BYTES_MAX {
            return Err(UploadError::CompileLimit {
                limit: format!("{} bytes of compiled code", self.limits.artifact_bytes),
            });
        }
        if !status.success() {
            return Err(self.death(status, &String::from_utf8_lossy(&text)));
        }
        parse(out)
    }

    /// Why a child died.
    fn death(&self, status: ExitStatus, stderr: &str) -> UploadError {
        let said = tame(stderr.trim(), STDERR_BYTES_MAX);
        let memory = said.contains("memory allocation") || said.contains("Cannot allocate memory");
        match status.signal() {
            Some(SIGXCPU) => UploadError::CompileLimit {
                limit: format!("{:?} of processor time", self.limits.compile_cpu),
            },
            Some(SIGKILL) => UploadError::CompileLimit {
                limit: "the memory that the system has".to_owned(),
            },
            Some(SIGABRT) if memory => UploadError::CompileLimit {
                limit: format!(
                    "{} bytes of address space",
                    self.limits.compile_address_space_bytes
                ),
            },
            Some(signal) => UploadError::Compile(format!("the compiler died of signal {signal}: {said}")),
            None => UploadError::Host(format!("the compiler ended with {status}: {said}")),
        }
    }
}

fn parse(mut out: Vec<u8>) -> Result<Artifact, UploadError> {
    let host = |what: &str| UploadError::Host(format!("compiler: {what}"));
    let end = out
        .iter()
        .take(HEADER_BYTES_MAX)
        .position(|&b| b == b'\n')
        .ok_or_else(|| host("no header in the answer"))?;
    let code = out.split_off(end + 1);
    match serde_json::from_slice(&out) {
        Ok(Response::Compiled { plain }) => Ok(Artifact { code, plain }),
        Ok(Response::Invalid(message)) => Err(UploadError::Invalid(message)),
        Ok(Response::Failed(message)) => Err(UploadError::Compile(message)),
        Ok(Response::Broken(message)) => Err(host(&message)),
        Err(e) => Err(host(&e.to_string())),
    }
}
