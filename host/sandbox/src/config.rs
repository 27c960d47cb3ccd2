//! How a [`Sandbox`](crate::Sandbox) is set up.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{Limits, UploadLimits};

/// Instances alive at the same time, `Fresh` calls under way and warm ones together. Each takes
/// 4 GiB of address space (not memory): 1 TiB of the 128 that x86-64 offers.
pub const INSTANCES_DEFAULT: usize = 256;
/// The share of them that warm pools may hold, so that they can never starve fresh calls.
pub const WARM_INSTANCES_DEFAULT: usize = 64;
/// Linear memory that a slot of the pool keeps between two calls instead of giving it back to the
/// system. Clearing what a call wrote is cheaper than faulting it in again: 11 µs instead of 28 for
/// one row, 110 instead of 276 for 65,536 values (`benches/calls.rs`).
pub const MEMORY_KEEP_RESIDENT_DEFAULT: usize = 1 << 20;
/// The most of that on a Linux before 6.7, which can't say what a call wrote: there all of it is
/// cleared each time.
pub const MEMORY_KEEP_RESIDENT_BLIND_MAX: usize = 64 << 10;
/// Granularity of guest time, and how long a spinning guest may hold a worker thread before others
/// have their turn.
pub const TICK_DEFAULT: Duration = Duration::from_millis(2);
/// How long a call may wait for its turn before it is answered `Busy`.
pub const QUEUE_WAIT_DEFAULT: Duration = Duration::from_secs(1);
/// Compiled artifacts on disk; the least recently used go first.
pub const CACHE_BYTES_DEFAULT: u64 = 4 << 30;

/// The program that compiles one component and ends; it must call
/// [`compile_worker_main`](crate::compile_worker_main) when started so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl CompilerCommand {
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

/// Set-up of a sandbox. Start from [`SandboxConfig::new`], whose numbers are the constants above.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Who compiles.
    pub compiler: CompilerCommand,
    /// Where compiled code is kept between runs; `None` compiles anew each time.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of compiled code kept there.
    pub cache_bytes: u64,
    /// Instances alive at the same time.
    pub instances: usize,
    /// The share of them that warm pools may hold.
    pub warm_instances: usize,
    /// Bytes of linear memory that a slot of the pool keeps between calls.
    pub memory_keep_resident_bytes: usize,
    /// Granularity of guest time.
    pub tick: Duration,
    /// How long a call waits for its turn.
    pub queue_wait: Duration,
    /// What an upload may cost.
    pub upload: UploadLimits,
    /// Limits of `describe` at upload.
    pub limits: Limits,
}

impl SandboxConfig {
    /// The defaults, with this compiler.
    pub fn new(compiler: CompilerCommand) -> Self {
        Self {
            compiler,
            cache_dir: None,
            cache_bytes: CACHE_BYTES_DEFAULT,
            instances: INSTANCES_DEFAULT,
            warm_instances: WARM_INSTANCES_DEFAULT,
            memory_keep_resident_bytes: MEMORY_KEEP_RESIDENT_DEFAULT,
            tick: TICK_DEFAULT,
            queue_wait: QUEUE_WAIT_DEFAULT,
            upload: UploadLimits::default(),
            limits: Limits::default(),
        }
    }
}
