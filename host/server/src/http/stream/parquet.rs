//! Parquet files: kept on the disk while they are read, and read by a child.
//!
//! A Parquet file is read from its end, so it has to be there as a whole. It lies in the data folder as a
//! file without a name, which is gone when nobody has it open, however the server ends. The library
//! believes what a file says of its own sizes, so it runs in a child with limits on memory and processor
//! time; the child writes an Arrow stream, which is checked here like any other.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use caisson_inference::WorkerCommand;
use rlimit::Resource;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};

use super::super::error::ApiError;
use super::chunks::next_of_body;

/// A file. Larger tables are several files wherever they come from.
pub(super) const FILE_BYTES_MAX: u64 = 2 << 30;
/// The child's address space: its own 200 MiB of program and libraries, a page of each column, and what
/// those unpack to.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// The child's processor time. A file of 2 GiB takes about a minute.
const CPU_SECONDS_MAX: u64 = 300;
/// Files that the child may have open: its standard ones, and what the runtime needs.
const OPEN_FILES_MAX: u64 = 32;
/// How long the child may write nothing while it is being read.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes read from the child at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes kept of what the child complains of.
const STDERR_BYTES_MAX: u64 = 4 << 10;
const SIGXCPU: i32 = 24;

/// Put a body into a file without a name.
///
/// # Errors
///
/// 413 past the limit, 507 for a full disk, and those of a body that doesn't arrive.
pub(super) async fn spool(mut body: Body, folder: &Path, limit: u64) -> Result<File, ApiError> {
    let disk = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk-full",
            "the server's disk has no room for the file",
        ),
        _ => ApiError::internal(format!("keeping an uploaded file: {error}")),
    };
    let file = tempfile::tempfile_in(folder).map_err(disk)?;
    let mut writer = tokio::fs::File::from_std(file.try_clone().map_err(disk)?);
    let mut length = 0u64;
    while let Some(chunk) = next_of_body(&mut body).await? {
        length += chunk.len() as u64;
        if length > limit {
            return Err(ApiError::too_large(format!(
                "the file is larger than the {limit} bytes that it may have"
            )));
        }
        writer.write_all(&chunk).await.map_err(disk)?;
    }
    writer.flush().await.map_err(disk)?;
    Ok(file)
}

/// A file that is being read. The child is killed when this is dropped.
pub(super) struct Reading {
    child: Child,
    stream: ChildStdout,
}

impl Reading {
    /// Start a child that reads a file.
    ///
    /// # Errors
    ///
    /// 500: no child can be started.
    pub(super) fn start(worker: &WorkerCommand, file: File) -> Result<Self, ApiError> {
        let mut child = Command::new(&worker.program)
            .args(&worker.args)
            .env_clear()
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| ApiError::internal(format!("starting a reader of Parquet: {e}")))?;
        match child.stdout.take() {
            Some(stream) => Ok(Self { child, stream }),
            None => Err(ApiError::internal("a reader of Parquet has no output")),
        }
    }

    /// The next bytes of its Arrow stream; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = self.stream.read_buf(&mut chunk);
        match tokio::time::timeout(SILENCE_MAX, read).await {
            Ok(Ok(0)) => self.end().await.map(|()| None),
            Ok(Ok(_)) => Ok(Some(chunk)),
            Ok(Err(error)) => Err(ApiError::internal(format!("a reader of Parquet: {error}"))),
            Err(_) => Err(refused("reading it takes too long")),
        }
    }

    /// It has no more to say: how did it end?
    async fn end(&mut self) -> Result<(), ApiError> {
        let mut complaint = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // What it says is for the message alone.
            let _ = stderr.take(STDERR_BYTES_MAX).read_to_end(&mut complaint).await;
        }
        let status = self.child.wait().await.map_err(ApiError::internal)?;
        if status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let last = complaint.lines().rfind(|line| !line.trim().is_empty());
        Err(match status.signal() {
            Some(SIGXCPU) => refused(&format!("reading it takes more than {CPU_SECONDS_MAX} s")),
            _ if complaint.contains("memory allocation of") => refused(&format!(
                "reading it takes more than {} MiB of memory: write smaller row groups and pages",
                MEMORY_BYTES_MAX >> 20
            )),
            Some(_) => refused("reading it fails"),
            None => refused(last.unwrap_or("reading it fails")),
        })
    }
}

fn refused(why: &str) -> ApiError {
    ApiError::bad_request("bad-parquet", format!("the Parquet file can't be used: {why}"))
}

/// The child's whole life: limit itself, read the file that is its standard input, write an Arrow stream
/// to its standard output.
pub(crate) fn worker_main() -> ExitCode {
    let limits = [
        (Resource::AS, MEMORY_BYTES_MAX),
        (Resource::CPU, CPU_SECONDS_MAX),
        (Resource::CORE, 0),
        (Resource::FSIZE, 0),
        (Resource::NOFILE, OPEN_FILES_MAX),
    ];
    for (resource, limit) in limits {
        if let Err(error) = resource.set(limit, limit) {
            eprintln!("limiting the reader: {error}");
            return ExitCode::FAILURE;
        }
    }
    let file = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(file) => File::from(file),
        Err(error) => {
            eprintln!("opening the file: {error}");
            return ExitCode::FAILURE;
        }
    };
    let out = io::BufWriter::with_capacity(CHUNK_BYTES, io::stdout().lock());
    match caisson_data::parquet::to_arrow_stream(file, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
