//! What a stage may use, and what an upload may cost: every number, with its reason.

use std::time::Duration;

/// Linear memory of one instance, all its memories together. Rust plugins use 1 to 4 MiB, a
/// Python interpreter about 60.
pub const MEMORY_BYTES_DEFAULT: usize = 128 << 20;
/// No stage may be given more linear memory than this: the pool's slots are made for it.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Table elements of one instance, all its tables together; CPython's function table has 11,000.
pub const TABLE_ELEMENTS_DEFAULT: usize = 65_536;
/// The longest that a call may take by any limit: no caller waits longer, and what does is batch work.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// Wall-clock time of a call, waiting for models included. Online requests seldom live longer.
pub const WALL_DEFAULT: Duration = Duration::from_secs(5);
/// Time of a call inside the guest.
pub const CPU_DEFAULT: Duration = Duration::from_secs(1);
/// Wall-clock time of `describe` and `configure`, which run once, at upload and deploy time.
pub const SETUP_WALL_DEFAULT: Duration = Duration::from_secs(30);
/// Guest time of `describe` and `configure`.
pub const SETUP_CPU_DEFAULT: Duration = Duration::from_secs(10);
/// Rows that a call may return.
pub const OUTPUT_ROWS_DEFAULT: usize = 1 << 20;
/// Bytes that a call may return. The host allocates no more than this for a guest's answer.
pub const OUTPUT_BYTES_DEFAULT: usize = 64 << 20;
/// Log lines of a stage in a second; a burst of twice as many passes.
pub const LOG_LINES_PER_SECOND_DEFAULT: u32 = 20;
/// Calls of one stage at the same time: a quarter of the pool, so that one deployment cannot take
/// it all.
pub const CONCURRENT_CALLS_DEFAULT: usize = 64;

/// What one stage may use. Every limit is enforced by the sandbox, whatever the guest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory of one instance, all memories together.
    pub memory_bytes: usize,
    /// Elements of all tables of one instance together.
    pub table_elements: usize,
    /// Wall-clock time of one call, waiting in host calls included.
    pub wall: Duration,
    /// Time of one call inside the guest, in steps of the epoch tick. Waiting in the host isn't
    /// charged.
    pub cpu: Duration,
    /// Wall-clock time of `describe` and `configure`.
    pub setup_wall: Duration,
    /// Guest time of `describe` and `configure`.
    pub setup_cpu: Duration,
    /// Rows of one answer.
    pub output_rows: usize,
    /// Bytes of one answer.
    pub output_bytes: usize,
    /// Log lines in a second.
    pub log_lines_per_second: u32,
    /// Calls at the same time; more wait, for a bounded time.
    pub concurrent_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES_DEFAULT,
            table_elements: TABLE_ELEMENTS_DEFAULT,
            wall: WALL_DEFAULT,
            cpu: CPU_DEFAULT,
            setup_wall: SETUP_WALL_DEFAULT,
            setup_cpu: SETUP_CPU_DEFAULT,
            output_rows: OUTPUT_ROWS_DEFAULT,
            output_bytes: OUTPUT_BYTES_DEFAULT,
            log_lines_per_second: LOG_LINES_PER_SECOND_DEFAULT,
            concurrent_calls: CONCURRENT_CALLS_DEFAULT,
        }
    }
}

impl Limits {
    /// Could a call ever succeed within these?
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.memory_bytes > MEMORY_BYTES_MAX {
            return Err(format!(
                "a memory limit of {} bytes is more than the {MEMORY_BYTES_MAX} that the pool has",
                self.memory_bytes
            ));
        }
        if self.concurrent_calls == 0 {
            return Err("a limit of 0 concurrent calls lets no call through".to_owned());
        }
        let zero = [
            ("wall", self.wall),
            ("cpu", self.cpu),
            ("setup_wall", self.setup_wall),
            ("setup_cpu", self.setup_cpu),
        ];
        if let Some((name, time)) = zero.iter().find(|(_, time)| *time > CALL_TIME_MAX) {
            return Err(format!(
                "a limit of {time:?} for `{name}` is more than {CALL_TIME_MAX:?}"
            ));
        }
        match zero.iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(format!("a limit of 0 for `{name}` lets no call through")),
            None => Ok(()),
        }
    }
}

/// What an upload may be, and what compiling it may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadLimits {
    /// Bytes of a component. A Python plugin with NumPy has about 40 MiB.
    pub component_bytes: usize,
    /// Functions, all core modules together. CPython has 12,000.
    pub functions: usize,
    /// Bytes of function bodies, all core modules together.
    pub code_bytes: usize,
    /// Type definitions, of core modules and components together.
    pub types: usize,
    /// Core modules in a component. componentize-py links about 20 for a plugin with NumPy.
    pub core_modules: usize,
    /// How deep components may nest in components.
    pub nesting: usize,
    /// Linear memories of an instance.
    pub memories: u32,
    /// Tables of an instance.
    pub tables: u32,
    /// Address space of the compiling child process. A 40 MiB component takes about 2 GiB.
    pub compile_address_space_bytes: u64,
    /// Processor time of the compiling child.
    pub compile_cpu: Duration,
    /// Wall-clock time of the compiling child.
    pub compile_wall: Duration,
    /// Bytes of compiled code that the host accepts from the child.
    pub artifact_bytes: usize,
    /// Compiling children at the same time; more wait.
    pub compilers: usize,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            component_bytes: 64 << 20,
            functions: 100_000,
            code_bytes: 48 << 20,
            types: 100_000,
            core_modules: 64,
            nesting: 8,
            memories: 2,
            tables: 4,
            compile_address_space_bytes: 4 << 30,
            compile_cpu: Duration::from_secs(120),
            compile_wall: Duration::from_secs(180),
            artifact_bytes: 512 << 20,
            compilers: 2,
        }
    }
}
