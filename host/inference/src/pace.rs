//! How long a model's runs take, by the size of their input, so that only runs that are known to be
//! short happen on the threads that serve requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest run that may hold a request thread: a few times the cost of handing it to another thread
/// and back (20 to 30 µs), and within what Tokio asks of a task between two awaits (10 to 100 µs).
pub(crate) const INLINE_MAX: Duration = Duration::from_micros(100);
/// A new measurement's weight in the average: 1 / 4, so a model that was slow once (its first run
/// allocates) is inline again after a few runs.
const WEIGHT_SHIFT: u32 = 2;
/// Size classes: 0 elements, 1, 2 to 3, 4 to 7, ….
const CLASSES: usize = usize::BITS as usize + 1;

/// Moving averages of run times, one a size class; 0 where nothing was measured yet.
#[derive(Debug)]
pub(crate) struct Pace([AtomicU64; CLASSES]);

impl Default for Pace {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CLASSES])
    }
}

impl Pace {
    fn class(&self, elements: usize) -> Option<&AtomicU64> {
        self.0.get((usize::BITS - elements.leading_zeros()) as usize)
    }

    /// Are runs with so many input elements known to be short?
    pub(crate) fn is_short(&self, elements: usize) -> bool {
        let nanoseconds = self
            .class(elements)
            .map_or(0, |average| average.load(Ordering::Relaxed));
        nanoseconds != 0 && u128::from(nanoseconds) <= INLINE_MAX.as_nanos()
    }

    /// Note how long such a run took. Two notes at the same moment may lose one of them, which only
    /// delays the average.
    pub(crate) fn note(&self, elements: usize, took: Duration) {
        let Some(average) = self.class(elements) else {
            return;
        };
        let sample = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = average.load(Ordering::Relaxed);
        let new = if old == 0 {
            sample
        } else {
            old - (old >> WEIGHT_SHIFT) + (sample >> WEIGHT_SHIFT)
        };
        average.store(new.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_sizes_are_not_short() {
        let pace = Pace::default();
        assert!(!pace.is_short(0) && !pace.is_short(64));
        pace.note(64, Duration::from_micros(7));
        assert!(pace.is_short(64) && pace.is_short(127));
        assert!(!pace.is_short(63) && !pace.is_short(128));
    }

    #[test]
    fn a_slow_first_run_is_forgotten_and_a_slow_trend_is_not() {
        let pace = Pace::default();
        pace.note(10, Duration::from_millis(1));
        assert!(!pace.is_short(10));
        for _ in 0..20 {
            pace.note(10, Duration::from_micros(7));
        }
        assert!(pace.is_short(10));
        for _ in 0..2 {
            pace.note(10, Duration::from_millis(1));
        }
        assert!(!pace.is_short(10));
    }

    #[test]
    fn extreme_times_stay_numbers() {
        let pace = Pace::default();
        for took in [Duration::ZERO, Duration::MAX, Duration::MAX, Duration::ZERO] {
            pace.note(usize::MAX, took);
        }
        assert!(!pace.is_short(usize::MAX));
    }
}
