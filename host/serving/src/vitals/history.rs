//! The last minutes as differences between samples: a window is the sum of those in it. The last minute
//! is kept second by second; what is older is put together, so that a deployment whose times vary keeps some
//! hundred kilobytes and not megabytes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use caisson_metrics::{Sparse, Tally};

use super::Vitals;
use super::stage::{StageReading, StageSample};

/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(15 * 60);
/// For so long samples are kept as they were taken, one a second.
const FINE_FOR: Duration = Duration::from_secs(60);
/// Older ones are put together up to this: what a longer window may be off by.
const COARSE: Duration = Duration::from_secs(10);
/// Samples of one deployment: a minute's, and a quarter of an hour's that were put together; twice as many, as
/// clocks aren't even. Each has the buckets that something fell into, some kilobytes at most.
const SAMPLES_MAX: usize = 300;

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

impl Sample {
    /// Take in the sample that follows.
    fn append(&mut self, next: Self) {
        let Self {
            from: _,
            to,
            failures,
            rows,
            rejected,
            refusals,
            latency,
            waits,
            batch_rows,
            stages,
        } = next;
        self.to = to;
        self.failures += failures;
        self.rows += rows;
        self.rejected += rejected;
        self.refusals += refusals;
        self.latency.add(&latency);
        self.waits.add(&waits);
        self.batch_rows.add(&batch_rows);
        StageSample::join(&mut self.stages, stages);
    }
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
        self.put_together(now);
        let old = |sample: &Sample| now.duration_since(sample.to) >= WINDOW_MAX;
        while self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(old) {
            self.samples.pop_front();
        }
    }

    /// Append each sample that isn't of the last minute to the one before, as far as they are short.
    fn put_together(&mut self, now: Instant) {
        let mut fine = self
            .samples
            .partition_point(|sample| now.duration_since(sample.to) >= FINE_FOR);
        // From the newest back: the older ones were looked at when they were the newest.
        while let Some(before) = fine.checked_sub(2) {
            let is_short = |first: &Sample, next: &Sample| next.to.duration_since(first.from) <= COARSE;
            let joins = match (self.samples.get(before), self.samples.get(before + 1)) {
                (Some(first), Some(next)) => is_short(first, next),
                _ => false,
            };
            let next = joins.then(|| self.samples.remove(before + 1)).flatten();
            let (Some(next), Some(first)) = (next, self.samples.get_mut(before)) else {
                return;
            };
            first.append(next);
            fine -= 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn old_samples_are_put_together_and_nothing_is_lost() {
        let start = Instant::now();
        let vitals = Vitals::new("acme", "churn", start);
        let mut history = History::new(start);
        for second in 1..=1200u32 {
            vitals.answered(second as usize, Duration::from_millis(second.into()), None);
            history.sample(&vitals, start + SECOND * second);
            assert!(history.samples.len() <= 60 + 90, "{}", history.samples.len());
        }
        let now = start + SECOND * 1200;
        let minute = history.over(60 * SECOND, now).unwrap();
        assert_eq!((minute.requests(), minute.starts_ago), (60, 60 * SECOND));
        // A longer one has whole samples: at most ten seconds more than was asked for, and says so.
        let five = history.over(300 * SECOND, now).unwrap();
        assert!((300..=310).contains(&five.requests()), "{}", five.requests());
        assert_eq!(five.starts_ago, SECOND * u32::try_from(five.requests()).unwrap());
        let rows: u64 = (1201 - five.requests()..=1200).sum();
        assert_eq!(five.rows, rows);
        let mut end = history.samples.front().unwrap().from;
        for sample in &history.samples {
            assert_eq!(sample.from, end, "no gap, no overlap");
            assert!(sample.to - sample.from <= COARSE);
            end = sample.to;
        }
        assert_eq!(end, now);
    }
}
