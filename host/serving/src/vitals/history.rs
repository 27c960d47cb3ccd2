//! The last minutes as differences between samples: a window is the sum of those in it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use caisson_metrics::{Sparse, Tally};

use super::Vitals;
use super::stage::{StageReading, StageSample};

/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(15 * 60);
/// Samples of one deployment: one a second for as long as the longest window. Each has the buckets that
/// something fell into, a few hundred bytes.
const SAMPLES_MAX: usize = 900;

/// What happened between two samples.
#[derive(Debug)]
struct Sample {
    from: Instant,
    to: Instant,
    failures: u64,
    rows: u64,
    rejected: u64,
    refusals: u64,
    latency: Sparse,
    waits: Sparse,
    batch_rows: Sparse,
    /// Those to which something happened.
    stages: Vec<StageSample>,
}

/// The samples, and where the counts stood at the last.
#[derive(Debug)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    at: Instant,
    failures: u64,
    rows: u64,
    rejected: u64,
    refusals: u64,
    latency: Tally,
    waits: Tally,
    batch_rows: Tally,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            samples: VecDeque::new(),
            at: now,
            failures: 0,
            rows: 0,
            rejected: 0,
            refusals: 0,
            latency: Tally::default(),
            waits: Tally::default(),
            batch_rows: Tally::default(),
        }
    }

    pub(super) fn sample(&mut self, vitals: &Vitals, now: Instant) {
        let since = |before: &mut u64, now: u64| now - std::mem::replace(before, now);
        // Before the requests: a failure whose request isn't counted yet would be one too many.
        let failures = since(&mut self.failures, vitals.failures.load(Ordering::Relaxed));
        let rejected = since(&mut self.rejected, vitals.rejected.load(Ordering::Relaxed));
        let rows = since(&mut self.rows, vitals.rows.load(Ordering::Relaxed));
        let refusals = since(&mut self.refusals, vitals.queue_refusals.load(Ordering::Relaxed));
        let stages = vitals.stages();
        self.samples.push_back(Sample {
            from: self.at,
            to: now,
            failures,
            rows,
            rejected,
            refusals,
            latency: vitals.latency.since(&mut self.latency),
            waits: vitals.waits.since(&mut self.waits),
            batch_rows: vitals.batch_rows.since(&mut self.batch_rows),
            stages: stages.iter().filter_map(|stage| stage.sample()).collect(),
        });
        self.at = now;
        let old = |sample: &Sample| now.duration_since(sample.to) >= WINDOW_MAX;
        while self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(old) {
            self.samples.pop_front();
        }
    }

    pub(super) fn over(&self, window: Duration, now: Instant) -> Option<Reading> {
        let last = self.samples.back()?;
        let within = |sample: &&Sample| last.to.duration_since(sample.to) < window;
        Some(Self::sum(
            self.samples.iter().rev().take_while(within),
            last.to,
            now,
        ))
    }

    pub(super) fn between(&self, until: Duration, since: Duration, now: Instant) -> Option<Reading> {
        let age = |sample: &Sample| now.duration_since(sample.to);
        let mut within = self
            .samples
            .iter()
            .rev()
            .filter(|sample| (until..since).contains(&age(sample)))
            .peekable();
        let end = within.peek()?.to;
        Some(Self::sum(within, end, now))
    }

    /// Samples together, the newest first.
    fn sum<'a>(samples: impl Iterator<Item = &'a Sample>, end: Instant, now: Instant) -> Reading {
        let mut reading = Reading {
            starts_ago: Duration::ZERO,
            ends_ago: now.duration_since(end),
            failures: 0,
            rows: 0,
            rejected: 0,
            queue_refusals: 0,
            stages: Vec::new(),
            latency: Tally::default(),
            waits: Tally::default(),
            batch_rows: Tally::default(),
        };
        for sample in samples {
            reading.starts_ago = now.duration_since(sample.from);
            reading.failures += sample.failures;
            reading.rows += sample.rows;
            reading.rejected += sample.rejected;
            reading.queue_refusals += sample.refusals;
            reading.latency.merge(&sample.latency);
            reading.waits.merge(&sample.waits);
            reading.batch_rows.merge(&sample.batch_rows);
            for stage in &sample.stages {
                StageReading::merge(&mut reading.stages, stage);
            }
        }
        reading
    }
}

/// How a deployment fared in a window. What can't be said of no request, or no row, is `None`.
#[derive(Debug, Clone)]
pub struct Reading {
    /// How long ago the window began.
    pub starts_ago: Duration,
    /// How long ago it ended.
    pub ends_ago: Duration,
    /// Requests that a stage, a model or the host failed.
    pub failures: u64,
    /// Rows that came.
    pub rows: u64,
    /// Rows that validators refused.
    pub rejected: u64,
    /// Requests that were refused because the queue was full or their time in it was over.
    pub queue_refusals: u64,
    /// Each stage that ran, in the order in which requests come to them; monitors last. A stage that
    /// another revision has in another version stands here by itself.
    pub stages: Vec<StageReading>,
    latency: Tally,
    waits: Tally,
    batch_rows: Tally,
}

impl Reading {
    /// Requests that were answered, whatever the answer.
    pub fn requests(&self) -> u64 {
        self.latency.count()
    }

    /// Failed requests of all.
    pub fn error_rate(&self) -> Option<f64> {
        share(self.failures, self.requests())
    }

    /// Refused rows of all.
    pub fn rejected_rate(&self) -> Option<f64> {
        share(self.rejected, self.rows)
    }

    /// Requests in each second.
    pub fn requests_per_second(&self) -> Option<f64> {
        let seconds = self.starts_ago.saturating_sub(self.ends_ago).as_secs_f64();
        (seconds > 0.0).then(|| self.requests() as f64 / seconds)
    }

    /// A quantile of the requests' times, within 3 %.
    pub fn latency_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile_ms(q)
    }

    /// The time of all requests together.
    pub fn total(&self) -> Duration {
        self.latency.total()
    }

    /// Requests that waited to be batched.
    pub fn queued(&self) -> u64 {
        self.waits.count()
    }

    /// The time for which requests waited to be batched, together.
    pub fn queue_total(&self) -> Duration {
        self.waits.total()
    }

    /// Shared runs.
    pub fn batches(&self) -> u64 {
        self.batch_rows.count()
    }

    /// A quantile of the rows of shared runs, within 3 %.
    pub fn batch_rows(&self, q: f64) -> Option<f64> {
        self.batch_rows.quantile_size(q)
    }

    /// A quantile of the times for which requests waited to be batched, within 3 %.
    pub fn queue_wait_ms(&self, q: f64) -> Option<f64> {
        self.waits.quantile_ms(q)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    // Counts are read one after the other, so a part may be ahead of its whole by what came between.
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}
