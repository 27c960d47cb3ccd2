//! A histogram that any thread may add to: two atomic additions each, and no lock.
//!
//! Buckets are sixteen to each doubling, so a quantile is within 3 % of the exact one. A histogram is of
//! durations, counted in microseconds up to minutes ([`Histogram::add`]), or of sizes
//! ([`Histogram::add_size`]); whoever has it knows which.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of each doubling, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Doublings beyond the first sixteen microseconds: up to 134 s, past any deadline. What takes longer
/// counts as that.
const DOUBLINGS: usize = 23;
const BUCKETS: usize = (DOUBLINGS + 1) * STEPS;

/// What came since the start.
pub struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    /// Nanoseconds, or sizes.
    sum: AtomicU64,
}

/// What came in some time: buckets that aren't empty, by number, and the sum.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    buckets: Vec<(u16, u32)>,
    sum: u64,
}

impl Sparse {
    /// Nothing came.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Take in what came in some other time.
    pub fn add(&mut self, other: &Self) {
        for &(number, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&number, |(number, _)| *number) {
                Ok(at) => {
                    if let Some((_, mine)) = self.buckets.get_mut(at) {
                        *mine = mine.saturating_add(count);
                    }
                }
                Err(at) => self.buckets.insert(at, (number, count)),
            }
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Histogram")
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
            sum: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Something took so long.
    pub fn add(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.put(us, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Something was so large.
    pub fn add_size(&self, size: u64) {
        // One less, so that powers of two are the last of their buckets, as a scraper's bounds are.
        self.put(size.saturating_sub(1), size);
    }

    fn put(&self, value: u64, sum: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    /// How many came.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// All that came so far.
    pub fn read(&self) -> Tally {
        let mut tally = Tally::default();
        for (into, bucket) in tally.buckets.iter_mut().zip(self.buckets.iter()) {
            *into = bucket.load(Ordering::Relaxed);
        }
        tally.sum = self.sum.load(Ordering::Relaxed);
        tally
    }

    /// What came since `before`, which is brought up to date.
    pub fn since(&self, before: &mut Tally) -> Sparse {
        let mut new = Sparse::default();
        let pairs = self.buckets.iter().zip(before.buckets.iter_mut());
        for (number, (bucket, before)) in (0u16..).zip(pairs) {
            let now = bucket.load(Ordering::Relaxed);
            let more = now.saturating_sub(*before);
            if more > 0 {
                new.buckets
                    .push((number, u32::try_from(more).unwrap_or(u32::MAX)));
                *before = now;
            }
        }
        let sum = self.sum.load(Ordering::Relaxed);
        new.sum = sum.saturating_sub(std::mem::replace(&mut before.sum, sum));
        new
    }
}

/// What came, gathered from several times.
#[derive(Debug, Clone)]
pub struct Tally {
    buckets: Box<[u64; BUCKETS]>,
    sum: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            sum: 0,
        }
    }
}

impl Tally {
    /// Take in what came in some time.
    pub fn merge(&mut self, other: &Sparse) {
        for (number, count) in &other.buckets {
            if let Some(bucket) = self.buckets.get_mut(usize::from(*number)) {
                *bucket += u64::from(*count);
            }
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Of durations: all together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Of sizes: all together.
    pub fn total_size(&self) -> u64 {
        self.sum
    }

    /// Of durations: the nearest-rank quantile in milliseconds; nothing of nothing.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        Some(middle(self.rank(q)?) / 1e3)
    }

    /// Of sizes: the nearest-rank quantile; nothing of nothing.
    pub fn quantile_size(&self, q: f64) -> Option<f64> {
        Some(middle(self.rank(q)?) + 1.0)
    }

    /// The bucket of a quantile.
    fn rank(&self, q: f64) -> Option<usize> {
        let count = self.count();
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen >= rank
        })
    }

    /// How many are below each power of two from `2^first` to `2^last`: of durations in microseconds, of
    /// sizes those up to and with it. Exact: a power of two is where a bucket begins.
    pub(crate) fn below_powers(&self, first: u32, last: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
        let (mut at, mut seen) = (0, 0);
        (first..=last).map(move |power| {
            let end = bucket_of(1 << power);
            seen += self.buckets.get(at..end).map_or(0, |of| of.iter().sum::<u64>());
            at = end;
            (power, seen)
        })
    }
}

fn bucket_of(value: u64) -> usize {
    // Below sixteen each has its own.
    let doubling = value.max(1).ilog2().saturating_sub(STEP_BITS - 1);
    if doubling == 0 {
        return value as usize;
    }
    let step = (value >> (doubling - 1)) as usize & (STEPS - 1);
    (doubling as usize * STEPS + step).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> f64 {
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
            let bucket = bucket_of(us);
            assert!(bucket >= last && bucket < BUCKETS, "{us}");
            last = bucket;
            let off = (middle(bucket) - us as f64).abs();
            assert!(off <= 1.0f64.max(us as f64 * 0.032), "{us}: {off}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn times_together_are_what_came_in_both() {
        let histogram = Histogram::default();
        let mut before = Tally::default();
        let mut part = |times: &[u64]| {
            times
                .iter()
                .for_each(|ms| histogram.add(Duration::from_millis(*ms)));
            histogram.since(&mut before)
        };
        let (mut first, second) = (part(&[5, 900, 5]), part(&[1, 5, 40]));
        first.add(&second);
        assert!(first.buckets.is_sorted_by(|a, b| a.0 < b.0));
        let (mut of_parts, whole) = (Tally::default(), histogram.read());
        of_parts.merge(&first);
        assert_eq!(of_parts.buckets, whole.buckets);
        assert_eq!(of_parts.total(), whole.total());
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let histogram = Histogram::default();
        let mut before = Tally::default();
        (0..50).for_each(|_| histogram.add(Duration::from_secs(10)));
        assert!(!histogram.since(&mut before).is_empty());
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let mut tally = Tally::default();
        assert_eq!(tally.quantile_ms(0.5), None);
        tally.merge(&histogram.since(&mut before));
        assert_eq!(tally.count(), 1000);
        assert_eq!(tally.total(), Duration::from_millis(500_500));
        for (q, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = tally.quantile_ms(q).unwrap();
            assert!((found - exact).abs() < exact * 0.032, "{q}: {found}");
        }
        assert!(histogram.since(&mut before).is_empty());
        assert_eq!(histogram.read().count(), 1050);
    }

    #[test]
    fn sizes_up_to_a_power_of_two_are_counted_with_it() {
        let histogram = Histogram::default();
        (1..=64).for_each(|size| histogram.add_size(size));
        let tally = histogram.read();
        let below: Vec<_> = tally.below_powers(0, 7).collect();
        assert_eq!(
            below,
            [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 64), (7, 64)]
        );
        assert_eq!((tally.total_size(), tally.quantile_size(0.1)), (2080, Some(7.0)));
    }

    #[test]
    fn durations_below_a_power_of_two_are_counted_exactly() {
        let histogram = Histogram::default();
        for us in [15, 16, 31, 32, 1023, 1024, 20_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let below: Vec<u64> = histogram.read().below_powers(4, 10).map(|(_, n)| n).collect();
        assert_eq!(below, [1, 3, 4, 4, 4, 4, 5]);
    }
}
