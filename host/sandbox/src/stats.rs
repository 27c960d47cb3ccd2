//! Counters of one stage.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Cause;

/// What a stage did since it was prepared. All counters only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageStats {
    /// Calls that were answered, with a result or an error.
    pub calls: u64,
    /// Instances made.
    pub instances: u64,
    /// Calls that a warm instance took which had taken one before.
    pub reuses: u64,
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

impl StageStats {
    /// Take in what another stage did, such as the same one of an earlier revision.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.instances += other.instances;
        self.reuses += other.reuses;
        for (cause, count) in &other.failures {
            *self.failures.entry(cause).or_default() += count;
        }
        self.wall += other.wall;
        self.busy += other.busy;
        self.memory_peak_bytes = self.memory_peak_bytes.max(other.memory_peak_bytes);
        self.log_lines += other.log_lines;
        self.log_lines_dropped += other.log_lines_dropped;
    }

    /// What was done since `before`. The peak of memory stays what it is.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let failures = self.failures.iter().filter_map(|(cause, count)| {
            let more = count.saturating_sub(before.failures.get(cause).copied().unwrap_or_default());
            (more > 0).then_some((*cause, more))
        });
        Self {
            calls: self.calls.saturating_sub(before.calls),
            instances: self.instances.saturating_sub(before.instances),
            reuses: self.reuses.saturating_sub(before.reuses),
            failures: failures.collect(),
            wall: self.wall.saturating_sub(before.wall),
            busy: self.busy.saturating_sub(before.busy),
            memory_peak_bytes: self.memory_peak_bytes,
            log_lines: self.log_lines.saturating_sub(before.log_lines),
            log_lines_dropped: self.log_lines_dropped.saturating_sub(before.log_lines_dropped),
        }
    }
}

/// Reads what a stage does, without the stage: it may outlive it.
#[derive(Debug, Clone)]
pub struct StageProbe(pub(crate) Arc<Counters>);

impl StageProbe {
    /// What the stage did so far.
    pub fn read(&self) -> StageStats {
        self.0.read()
    }

    /// Is the stage gone, and every other probe of it? Then nothing is counted any more.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    instances: AtomicU64,
    reuses: AtomicU64,
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

    pub(crate) fn reuse(&self) {
        self.reuses.fetch_add(1, Ordering::Relaxed);
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
            reuses: get(&self.reuses),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_did_is_the_sum_and_what_came_since_the_difference() {
        let counters = Arc::new(Counters::default());
        let probe = StageProbe(Arc::clone(&counters));
        counters.call(Duration::from_millis(3), Duration::from_millis(2), 100);
        counters.failure(&Cause::Unreachable);
        let before = probe.read();
        counters.call(Duration::from_millis(5), Duration::from_millis(1), 50);
        counters.failure(&Cause::StackOverflow);
        counters.failure(&Cause::Unreachable);
        counters.reuse();
        let since = probe.read().since(&before);
        assert_eq!((since.calls, since.reuses, since.memory_peak_bytes), (1, 1, 100));
        assert_eq!(
            (since.wall, since.busy),
            (Duration::from_millis(5), Duration::from_millis(1))
        );
        assert_eq!(
            since.failures,
            BTreeMap::from([("stack-overflow", 1), ("unreachable", 1)])
        );
        let mut sum = before.clone();
        sum.add(&since);
        assert_eq!(sum, probe.read());
        assert!(!probe.is_last());
        drop(counters);
        assert!(probe.is_last());
    }
}
