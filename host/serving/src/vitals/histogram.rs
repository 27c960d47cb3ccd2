//! A histogram of durations that any thread may add to: one atomic addition each, and no lock.
//!
//! Buckets are sixteen to each doubling, from microseconds to minutes, so a quantile is within 3 % of the
//! exact one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of each doubling, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Doublings beyond the first sixteen microseconds: up to 134 s, past any deadline. What takes longer
/// counts as that.
const DOUBLINGS: usize = 23;
const BUCKETS: usize = (DOUBLINGS + 1) * STEPS;

/// Durations since the start.
pub(super) struct Histogram(Box<[AtomicU64; BUCKETS]>);

/// Durations of some time: buckets that aren't empty, by number.
pub(super) type Sparse = Vec<(u16, u64)>;

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Histogram")
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; BUCKETS]))
    }
}

impl Histogram {
    pub(super) fn add(&self, duration: Duration) {
        if let Some(bucket) = self.0.get(bucket_of(duration)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What came since `before`, which is brought up to date.
    pub(super) fn since(&self, before: &mut Tally) -> Sparse {
        let mut new = Sparse::new();
        for ((number, bucket), before) in (0u16..).zip(self.0.iter()).zip(before.0.iter_mut()) {
            let now = bucket.load(Ordering::Relaxed);
            let more = now.saturating_sub(*before);
            if more > 0 {
                new.push((number, more));
                *before = now;
            }
        }
        new
    }
}

/// Durations, gathered from several times.
#[derive(Debug, Clone)]
pub(super) struct Tally(Box<[u64; BUCKETS]>);

impl Default for Tally {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Sparse) {
        for (number, count) in other {
            if let Some(bucket) = self.0.get_mut(usize::from(*number)) {
                *bucket += count;
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The nearest-rank quantile in milliseconds; nothing of nothing.
    pub(super) fn quantile_ms(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (number, bucket) in self.0.iter().enumerate() {
            seen += bucket;
            if seen >= rank {
                return Some(middle_us(number) / 1e3);
            }
        }
        None
    }
}

fn bucket_of(duration: Duration) -> usize {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    // Below sixteen microseconds each has its own.
    let doubling = us.max(1).ilog2().saturating_sub(STEP_BITS - 1);
    if doubling == 0 {
        return us as usize;
    }
    let step = (us >> (doubling - 1)) as usize & (STEPS - 1);
    (doubling as usize * STEPS + step).min(BUCKETS - 1)
}

fn middle_us(bucket: usize) -> f64 {
    let (doubling, step) = (bucket / STEPS, bucket % STEPS);
    if doubling == 0 {
        return step as f64;
    }
    let width = (1u64 << (doubling - 1)) as f64;
    ((STEPS + step) as f64 + 0.5) * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_within_three_per_cent_of_its_bucket() {
        let mut last = 0;
        for us in (0..200).chain((200..120_000_000).step_by(9973)) {
            let bucket = bucket_of(Duration::from_micros(us));
            assert!(bucket >= last && bucket < BUCKETS, "{us}");
            last = bucket;
            let off = (middle_us(bucket) - us as f64).abs();
            assert!(off <= 1.0f64.max(us as f64 * 0.032), "{us}: {off}");
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let histogram = Histogram::default();
        let mut before = Tally::default();
        (0..50).for_each(|_| histogram.add(Duration::from_secs(10)));
        assert_eq!(histogram.since(&mut before).len(), 1);
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let mut tally = Tally::default();
        assert_eq!(tally.quantile_ms(0.5), None);
        tally.merge(&histogram.since(&mut before));
        assert_eq!(tally.count(), 1000);
        for (q, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = tally.quantile_ms(q).unwrap();
            assert!((found - exact).abs() < exact * 0.032, "{q}: {found}");
        }
        assert!(histogram.since(&mut before).is_empty());
    }
}
