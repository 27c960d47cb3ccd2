//! What a revision has done since it began to serve, as the statistics extension of the Open Inference
//! Protocol counts it. Counters only: a reading is no snapshot of one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

/// How often something happened, and how long it took in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spent {
    /// How often.
    pub count: u64,
    /// Nanoseconds, together.
    pub ns: u64,
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Counter {
    fn add(&self, duration: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.ns.fetch_add(ns(duration), Ordering::Relaxed);
    }

    fn read(&self) -> Spent {
        Spent {
            count: self.count.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The counters of one revision.
#[derive(Debug, Default)]
pub struct Statistics {
    success: Counter,
    fail: Counter,
    queue: Counter,
    /// Requests that were answered by computing.
    computed: AtomicU64,
    input_ns: AtomicU64,
    infer_ns: AtomicU64,
    output_ns: AtomicU64,
    runs: AtomicU64,
    hit: Counter,
    miss: Counter,
    rows: AtomicU64,
    last_ms: AtomicU64,
}

/// What they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsReading {
    /// Requests that were answered, from their rows to the prediction.
    pub success: Spent,
    /// Requests that failed.
    pub fail: Spent,
    /// Requests that waited for their turn.
    pub queue: Spent,
    /// Reading tensors, for requests that were answered by computing. They are the `count` of the three steps,
    /// always the same: perf_analyzer ends where these counts differ. Of other requests than tensors only the
    /// run takes time here.
    pub input: Spent,
    /// The run of the stages, which counts whole for each request that shares it.
    pub infer: Spent,
    /// Writing tensors.
    pub output: Spent,
    /// Runs of the stages; several requests may share one.
    pub runs: u64,
    /// Requests that were answered from kept answers.
    pub hit: Spent,
    /// Requests whose answer was not kept, where answers are.
    pub miss: Spent,
    /// Rows that were answered.
    pub rows: u64,
    /// When the last request ended, in milliseconds since 1970; 0 before the first.
    pub last_ms: u64,
}

impl Statistics {
    /// A request of so many rows was answered, computed or kept, or failed, after so long.
    pub(crate) fn ended(&self, rows: usize, took: Duration, answered: bool, computed: bool) {
        if answered {
            self.success.add(took);
            self.computed.fetch_add(u64::from(computed), Ordering::Relaxed);
            self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        } else {
            self.fail.add(took);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// A request waited so long for its turn.
    pub(crate) fn waited(&self, waited: Duration) {
        self.queue.add(waited);
    }

    /// The stages ran once, for one request or the first of several.
    pub(crate) fn ran(&self, took: Duration) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.infer_ns.fetch_add(ns(took), Ordering::Relaxed);
    }

    /// So many others shared the run.
    pub(crate) fn shared(&self, others: usize, took: Duration) {
        let together = ns(took).saturating_mul(others as u64);
        self.infer_ns.fetch_add(together, Ordering::Relaxed);
    }

    /// Kept answers had this one, or not.
    pub(crate) fn looked_up(&self, kept: bool, took: Duration) {
        let counter = if kept { &self.hit } else { &self.miss };
        counter.add(took);
    }

    /// A protocol edge read the tensors of a request.
    pub fn decoded(&self, took: Duration) {
        self.input_ns.fetch_add(ns(took), Ordering::Relaxed);
    }

    /// A protocol edge wrote the tensors of an answer.
    pub fn encoded(&self, took: Duration) {
        self.output_ns.fetch_add(ns(took), Ordering::Relaxed);
    }

    /// What has been counted.
    pub fn read(&self) -> StatisticsReading {
        let count = self.computed.load(Ordering::Relaxed);
        let of_computed = |ns: &AtomicU64| Spent {
            count,
            ns: ns.load(Ordering::Relaxed),
        };
        StatisticsReading {
            success: self.success.read(),
            fail: self.fail.read(),
            queue: self.queue.read(),
            input: of_computed(&self.input_ns),
            infer: of_computed(&self.infer_ns),
            output: of_computed(&self.output_ns),
            runs: self.runs.load(Ordering::Relaxed),
            hit: self.hit.read(),
            miss: self.miss.read(),
            rows: self.rows.load(Ordering::Relaxed),
            last_ms: self.last_ms.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read() {
        let statistics = Statistics::default();
        assert_eq!(statistics.read().last_ms, 0);
        statistics.ended(3, Duration::from_nanos(5), true, true);
        statistics.ended(2, Duration::from_nanos(7), false, true);
        // Two requests shared a run; one of them gave up, and one was answered from what was kept.
        statistics.ended(1, Duration::from_nanos(1), true, false);
        statistics.ran(Duration::from_nanos(4));
        statistics.shared(1, Duration::from_nanos(4));
        let read = statistics.read();
        assert_eq!((read.success, read.fail.ns), (Spent { count: 2, ns: 6 }, 7));
        assert_eq!((read.rows, read.runs), (4, 1));
        assert_eq!(read.infer, Spent { count: 1, ns: 8 });
        assert_eq!((read.input.count, read.output.count), (1, 1));
        assert!(read.last_ms > 0);
    }
}
