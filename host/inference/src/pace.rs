//! How long a model's runs take, by the size of their input, so that only runs that are known to be
//! short happen on the threads that serve requests. Only runs that compute every output are measured.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Longest run that may hold a request thread. Handing a run to another thread and back costs 20 to 30 µs
/// and, where every core is busy, a turn of the scheduler, which is milliseconds; half a millisecond
/// added to a neighbour's wait is less than either. A shared run of 64 rows of a hundred trees takes a tenth
/// of a millisecond.
pub(crate) const INLINE_MAX: Duration = Duration::from_micros(500);
/// A new measurement's weight in the average: 1 / 4, so a model that was slow once (its first run
/// allocates) is inline again after a few runs.
const WEIGHT_SHIFT: u32 = 2;
/// How many averages a single run may count as: the average then rises by half at most, and a 7 µs model
/// that has really become slow is known to be so after seven runs.
const RISE_MAX: u64 = 3;
/// Size classes: 0 elements, 1, 2 to 3, 4 to 7, ….
const CLASSES: usize = usize::BITS as usize + 1;

/// Of the runs that are taken for long, one in so many is to be measured again: some were long only while
/// the machine was busy.
const MEASURE_EVERY: u32 = 16;

/// Moving averages of run times, one a size class; 0 where nothing was measured yet.
#[derive(Debug)]
pub(crate) struct Pace {
    averages: [AtomicU64; CLASSES],
    long: AtomicU32,
}

/// What is known of a run before it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It will be short.
    Short,
    /// It will be long.
    Long,
    /// It is to be measured.
    No,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            averages: [const { AtomicU64::new(0) }; CLASSES],
            long: AtomicU32::new(0),
        }
    }
}

impl Pace {
    fn class(&self, elements: usize) -> Option<&AtomicU64> {
        self.averages
            .get((usize::BITS - elements.leading_zeros()) as usize)
    }

    /// What is known of runs with so many input elements?
    pub(crate) fn of(&self, elements: usize) -> Known {
        match self
            .class(elements)
            .map_or(0, |average| average.load(Ordering::Relaxed))
        {
            0 => Known::No,
            n if u128::from(n) <= INLINE_MAX.as_nanos() => Known::Short,
            _ if self.long.fetch_add(1, Ordering::Relaxed) % MEASURE_EVERY == MEASURE_EVERY - 1 => Known::No,
            _ => Known::Long,
        }
    }

    /// Note how long such a run took. A busy machine interrupts runs for milliseconds, so a longer time
    /// than [`RISE_MAX`] averages counts as that. Two notes at the same moment may lose one of them, which
    /// only delays the average.
    pub(crate) fn note(&self, elements: usize, took: Duration) {
        let Some(average) = self.class(elements) else {
            return;
        };
        let sample = nanoseconds(took);
        let old = average.load(Ordering::Relaxed);
        let new = if old == 0 {
            sample
        } else {
            let sample = sample.min(old.saturating_mul(RISE_MAX));
            old - (old >> WEIGHT_SHIFT) + (sample >> WEIGHT_SHIFT)
        };
        average.store(new.max(1), Ordering::Relaxed);
    }

    /// Note that such a run was stopped after so long: the next ones of its size are not taken for
    /// short.
    pub(crate) fn note_stopped(&self, elements: usize, took: Duration) {
        if let Some(average) = self.class(elements) {
            average.fetch_max(nanoseconds(took.max(INLINE_MAX * 2)), Ordering::Relaxed);
        }
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_short(pace: &Pace, elements: usize) -> bool {
        pace.of(elements) == Known::Short
    }

    #[test]
    fn unknown_sizes_are_to_be_measured() {
        let pace = Pace::default();
        assert_eq!((pace.of(0), pace.of(64)), (Known::No, Known::No));
        pace.note(64, Duration::from_micros(7));
        assert_eq!((pace.of(64), pace.of(127)), (Known::Short, Known::Short));
        assert_eq!((pace.of(63), pace.of(128)), (Known::No, Known::No));
    }

    #[test]
    fn a_slow_first_run_is_forgotten_and_a_slow_trend_is_not() {
        let pace = Pace::default();
        pace.note(10, Duration::from_millis(1));
        assert!(!is_short(&pace, 10));
        for _ in 0..20 {
            pace.note(10, Duration::from_micros(7));
        }
        assert!(is_short(&pace, 10));
        pace.note(10, Duration::from_millis(4));
        assert!(is_short(&pace, 10), "one interrupted run");
        for _ in 0..10 {
            pace.note(10, Duration::from_millis(4));
        }
        assert!(!is_short(&pace, 10));
    }

    #[test]
    fn long_runs_are_measured_now_and_then() {
        let pace = Pace::default();
        pace.note(10, Duration::from_millis(1));
        let known: Vec<_> = (0..MEASURE_EVERY * 3).map(|_| pace.of(10)).collect();
        assert_eq!(known.iter().filter(|k| **k == Known::No).count(), 3);
        assert_eq!(known.iter().filter(|k| **k == Known::Long).count(), 45);
    }

    #[test]
    fn a_run_that_was_stopped_counts_at_once() {
        let pace = Pace::default();
        for took in [Duration::from_secs(1), Duration::from_micros(1)] {
            pace.note(10, Duration::from_micros(7));
            pace.note_stopped(10, took);
            assert!(!is_short(&pace, 10));
        }
    }

    #[test]
    fn extreme_times_stay_numbers() {
        let pace = Pace::default();
        for took in [Duration::ZERO, Duration::MAX, Duration::MAX, Duration::ZERO] {
            pace.note(usize::MAX, took);
            pace.note_stopped(usize::MAX, took);
        }
        assert!(!is_short(&pace, usize::MAX));
    }
}
