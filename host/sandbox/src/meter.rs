//! What one tenant's guests use together: processor time, to which its models add theirs, and memory.
//!
//! The host makes a [`Meter`] for each tenant and gives it to every stage of theirs. The sandbox adds
//! up; whoever sets quotas reads the time, and sets the bound on memory. Counters are plain atomics,
//! so that calls on all cores add to them without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a tenant counts as busy after one of its calls burnt a whole tick.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// The use of one tenant.
#[derive(Debug)]
pub struct Meter {
    made: Instant,
    cpu_ns: Arc<AtomicU64>,
    memory_bytes: AtomicUsize,
    memory_bytes_max: AtomicUsize,
    /// Guests of the tenant are stopped at their next tick.
    stopped: AtomicBool,
    /// Nanoseconds from `made` until which the tenant counts as busy.
    busy_until_ns: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self::adding_to(Arc::default())
    }
}

impl Meter {
    /// A meter that adds processor time, in nanoseconds, to this counter.
    pub fn adding_to(cpu_ns: Arc<AtomicU64>) -> Self {
        Self {
            made: Instant::now(),
            cpu_ns,
            memory_bytes: AtomicUsize::new(0),
            memory_bytes_max: AtomicUsize::new(usize::MAX),
            stopped: AtomicBool::new(false),
            busy_until_ns: AtomicU64::new(0),
        }
    }

    /// Processor time of all calls so far, in nanoseconds. Only grows.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Where processor time is added up, for who adds to it from elsewhere.
    pub fn cpu_counter(&self) -> &Arc<AtomicU64> {
        &self.cpu_ns
    }

    /// Linear memory of all instances that live now, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Bound the linear memory of all instances together. What is in use stays; growth past the
    /// bound is refused.
    pub fn set_memory_bytes_max(&self, bytes: usize) {
        self.memory_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// The bound on memory.
    pub fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max.load(Ordering::Relaxed)
    }

    /// Stop the tenant's guests at their next tick, as when it is suspended; or let them run again.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Put processor time on the tenant's account.
    pub fn add_cpu(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Take memory; false, and nothing taken, where the bound forbids it.
    pub(crate) fn take_memory(&self, bytes: usize) -> bool {
        let before = self.memory_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.memory_bytes_max() {
            return true;
        }
        self.give_memory(bytes);
        false
    }

    pub(crate) fn give_memory(&self, bytes: usize) {
        self.memory_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// One of the tenant's calls burnt a whole tick.
    pub(crate) fn note_busy(&self) {
        let until = self.made.elapsed() + BUSY_FOR;
        self.busy_until_ns.store(
            u64::try_from(until.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn is_busy(&self) -> bool {
        let until = self.busy_until_ns.load(Ordering::Relaxed);
        until > 0 && self.made.elapsed().as_nanos() < u128::from(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_past_the_bound_is_not_taken() {
        let meter = Meter::default();
        meter.set_memory_bytes_max(100);
        assert!(meter.take_memory(60));
        assert!(!meter.take_memory(41));
        assert!(meter.take_memory(40));
        meter.give_memory(60);
        assert_eq!(meter.memory_bytes(), 40);
    }

    #[test]
    fn a_tenant_is_busy_for_a_while_after_it_burnt() {
        let meter = Meter::default();
        assert!(!meter.is_busy());
        meter.note_busy();
        assert!(meter.is_busy());
    }
}
