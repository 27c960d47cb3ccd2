//! Counters of one stage.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Cause;

/// What a stage did since it was prepared. All counters only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageStats {
    /// Calls that were answered, with a result or an error.
    pub calls: u64,
    /// Instances made.
    pub instances: u64,
    /// Failed calls, by [`Cause::code`].
    pub failures: BTreeMap<&'static str, u64>,
    /// Time that calls took from end to end, waiting for a turn not included.
    pub wall: Duration,
    /// Time in which calls had a thread: the guest's, and that of copying in and out.
    pub busy: Duration,
    /// The most linear memory that an instance had.
    pub memory_peak_bytes: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines dropped by the rate limit.
    pub log_lines_dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    instances: AtomicU64,
    wall_ns: AtomicU64,
    busy_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
    /// Locked on failures alone; as many keys as [`Cause`] has codes.
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(crate) fn call(&self, wall: Duration, busy: Duration, memory_bytes: usize) {
        let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.wall_ns.fetch_add(ns(wall), Ordering::Relaxed);
        self.busy_ns.fetch_add(ns(busy), Ordering::Relaxed);
        self.memory_peak_bytes
            .fetch_max(memory_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn instance(&self) {
        self.instances.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self, cause: &Cause) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(cause.code()).or_default() += 1;
    }

    pub(crate) fn log_line(&self, dropped: bool) {
        let counter = if dropped {
            &self.log_lines_dropped
        } else {
            &self.log_lines
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> StageStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StageStats {
            calls: get(&self.calls),
            instances: get(&self.instances),
            failures: self
                .failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            wall: Duration::from_nanos(get(&self.wall_ns)),
            busy: Duration::from_nanos(get(&self.busy_ns)),
            memory_peak_bytes: get(&self.memory_peak_bytes),
            log_lines: get(&self.log_lines),
            log_lines_dropped: get(&self.log_lines_dropped),
        }
    }
}
