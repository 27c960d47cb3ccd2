//! Rates as a time: when the bucket would be full again.
//!
//! That one number says all of a token bucket (it is the theoretical arrival time of GCRA, the
//! "virtual scheduling" of ITU-T I.371): what is used moves it into the future, and how far it may
//! be there is the burst. Times are nanoseconds since the tenant was loaded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

const SECOND_NANOS: f64 = 1e9;

/// A rate with its burst, in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Nanoseconds that one unit takes at the rate; rounded up, so that the rate is never exceeded.
    nanos_per_unit: f64,
    /// How long the rate takes for a whole burst.
    burst_nanos: u64,
}

impl Pace {
    /// So many units a second, and so many at once.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        let nanos_per_unit = (SECOND_NANOS / per_second).ceil();
        Self {
            nanos_per_unit,
            burst_nanos: (nanos_per_unit * burst) as u64,
        }
    }

    /// How long the rate takes for so many units.
    fn nanos(&self, units: f64) -> u64 {
        (self.nanos_per_unit * units).ceil() as u64
    }

    /// A time that is so far in the future, as far as the same use goes at another pace.
    fn translate(&self, full_at: u64, now: u64, from: &Self) -> u64 {
        let units = full_at.saturating_sub(now) as f64 / from.nanos_per_unit;
        now.saturating_add(self.nanos(units))
    }
}

/// Requests a second: GCRA. Admits no more than `rate · t + burst` in any time `t`.
#[derive(Debug, Default)]
pub(crate) struct RequestRate {
    full_at: AtomicU64,
}

impl RequestRate {
    /// Take one, or learn how long to wait for it.
    pub(crate) fn take(&self, now: u64, pace: &Pace) -> Result<(), Duration> {
        let one = pace.nanos(1.0);
        let latest = now.saturating_add(pace.burst_nanos);
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                Some(full_at.max(now).saturating_add(one)).filter(|&after| after <= latest)
            })
            .map(drop)
            .map_err(|full_at| Duration::from_nanos(full_at.saturating_add(one).saturating_sub(latest)))
    }

    /// The pace has changed: what is used stays used.
    pub(crate) fn change(&self, now: u64, old: Option<&Pace>, new: Option<&Pace>) {
        let full_at = match (old, new) {
            (Some(old), Some(new)) => {
                let same_use = new.translate(self.full_at.load(Ordering::Relaxed), now, old);
                same_use.min(now.saturating_add(new.burst_nanos))
            }
            _ => now,
        };
        self.full_at.store(full_at, Ordering::Relaxed);
    }
}

/// CPU seconds a second. How long code will run isn't known before it has, so use is debited
/// afterwards, from a counter that only grows, and whoever is in debt waits until it is worked off.
///
/// Between two settlements use counts as spread evenly over the time between them, in which the
/// rate is at work too. So one long request at the rate leaves no debt, and over any time the use
/// that was let in is at most `rate · t + burst`, plus what ran on from what had been let in.
#[derive(Debug, Default)]
pub(crate) struct CpuRate {
    /// Nanoseconds of CPU time, ever. The sandbox adds to it.
    meter: Arc<AtomicU64>,
    full_at: AtomicU64,
    settled: Mutex<Settled>,
}

#[derive(Debug, Default)]
struct Settled {
    /// Of the meter, how much is debited.
    nanos: u64,
    /// When.
    at: u64,
}

impl CpuRate {
    pub(crate) fn meter(&self) -> &Arc<AtomicU64> {
        &self.meter
    }

    /// Is there no debt? If there is, how long it takes to work off.
    pub(crate) fn check(&self, now: u64, pace: &Pace) -> Result<(), Duration> {
        self.settle(now, pace);
        let latest = now.saturating_add(pace.burst_nanos);
        match self.full_at.load(Ordering::Relaxed).saturating_sub(latest) {
            0 => Ok(()),
            wait => Err(Duration::from_nanos(wait)),
        }
    }

    /// Debit what the meter has gained. Whoever finds another thread at it goes on: that one's
    /// result is as new.
    fn settle(&self, now: u64, pace: &Pace) {
        match self.settled.try_lock() {
            Ok(mut settled) => self.debit(&mut settled, now, pace),
            Err(TryLockError::Poisoned(poisoned)) => self.debit(&mut poisoned.into_inner(), now, pace),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn debit(&self, settled: &mut Settled, now: u64, pace: &Pace) {
        let nanos = self.meter.load(Ordering::Relaxed);
        let used = nanos.saturating_sub(settled.nanos) as f64 / SECOND_NANOS;
        let since = self.full_at.load(Ordering::Relaxed).max(settled.at);
        self.full_at
            .store(since.saturating_add(pace.nanos(used)), Ordering::Relaxed);
        *settled = Settled {
            nanos,
            at: settled.at.max(now),
        };
    }

    /// The pace has changed: debts stay debts. What was used without a quota is none.
    pub(crate) fn change(&self, now: u64, old: Option<&Pace>, new: Option<&Pace>) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = match (old, new) {
            (Some(old), Some(new)) => {
                self.debit(&mut settled, now, old);
                new.translate(self.full_at.load(Ordering::Relaxed), now, old)
            }
            _ => now,
        };
        self.full_at.store(full_at, Ordering::Relaxed);
        *settled = Settled {
            nanos: self.meter.load(Ordering::Relaxed),
            at: settled.at.max(now),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn seconds(nanos: u64) -> f64 {
        nanos as f64 / SECOND_NANOS
    }

    proptest! {
        /// Between any two admissions there is room for all those between them.
        #[test]
        fn never_more_than_rate_times_time_plus_burst(
            rate in 0.1_f64..10_000.0,
            burst in 1_u64..50,
            gaps in proptest::collection::vec(0_u64..SECOND / 2, 1..200),
        ) {
            let (pace, bucket) = (Pace::new(rate, burst as f64), RequestRate::default());
            let mut now = 0;
            let mut admitted = Vec::new();
            for gap in gaps {
                now += gap;
                match bucket.take(now, &pace) {
                    Ok(()) => admitted.push(now),
                    Err(wait) => {
                        // Told to wait so long and no longer.
                        let wait = wait.as_nanos() as u64;
                        prop_assert!(wait > 0);
                        prop_assert!(bucket.take(now + wait - 1, &pace).is_err());
                    }
                }
            }
            for (i, &first) in admitted.iter().enumerate() {
                for (j, &last) in admitted.iter().enumerate().skip(i) {
                    let room = rate * seconds(last - first) + burst as f64;
                    prop_assert!((j - i + 1) as f64 <= room + 1e-6, "{} in {} s", j - i + 1, seconds(last - first));
                }
            }
        }

        /// Who asks no more often than the rate is never refused, and a pause gives the burst back.
        #[test]
        fn nobody_within_the_rate_is_refused(rate in 1_u64..10_000, burst in 1_u64..50, pause in 0_u64..100) {
            let (pace, bucket) = (Pace::new(rate as f64, burst as f64), RequestRate::default());
            let each = SECOND.div_ceil(rate);
            let mut now = 0;
            for _ in 0..100 {
                now += each;
                prop_assert!(bucket.take(now, &pace).is_ok());
            }
            now += each * (burst + pause);
            for _ in 0..burst {
                prop_assert!(bucket.take(now, &pace).is_ok());
            }
            prop_assert!(bucket.take(now, &pace).is_err());
        }

        /// What was let in is paid for: use is at most the rate's, the burst, and the last run.
        #[test]
        fn cpu_time_is_paid_for(
            rate in 0.05_f64..8.0,
            burst in 0.1_f64..5.0,
            runs in proptest::collection::vec((0_u64..SECOND, 0_u64..SECOND), 1..200),
        ) {
            let (pace, cpu) = (Pace::new(rate, burst), CpuRate::default());
            let (mut now, mut used, mut largest) = (0, 0, 0);
            for (gap, run) in runs {
                now += gap;
                match cpu.check(now, &pace) {
                    Ok(()) => {
                        // What ran before this was let in was within its means.
                        let room = rate * seconds(now) + burst;
                        prop_assert!(seconds(used) <= room + 1e-6);
                        cpu.meter().fetch_add(run, Ordering::Relaxed);
                        used += run;
                        largest = largest.max(run);
                    }
                    Err(wait) => {
                        let wait = wait.as_nanos() as u64;
                        prop_assert!(cpu.check(now + wait - 1, &pace).is_err() || wait == 1);
                        now += wait;
                        prop_assert!(cpu.check(now, &pace).is_ok());
                    }
                }
            }
            prop_assert!(seconds(used) <= rate * seconds(now) + burst + seconds(largest) + 1e-6);
        }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (pace, bucket) = (Pace::new(10.0, 5.0), RequestRate::default());
        let admitted = |now| (0..100).filter(|_| bucket.take(now, &pace).is_ok()).count();
        assert_eq!(admitted(0), 5);
        assert_eq!(admitted(SECOND / 10), 1);
        assert_eq!(admitted(SECOND), 5);
        assert_eq!(bucket.take(SECOND, &pace), Err(Duration::from_millis(100)));
    }

    #[test]
    fn a_debt_of_cpu_time_is_worked_off() {
        let (pace, cpu) = (Pace::new(0.5, 1.0), CpuRate::default());
        let used = |seconds: u64| cpu.meter().fetch_add(seconds * SECOND, Ordering::Relaxed);
        assert!(cpu.check(0, &pace).is_ok());
        used(4);
        // A second of burst is there, and the other three take six.
        assert_eq!(cpu.check(0, &pace), Err(Duration::from_secs(6)));
        assert_eq!(cpu.check(4 * SECOND, &pace), Err(Duration::from_secs(2)));
        assert!(cpu.check(6 * SECOND, &pace).is_ok());
        // One long run at the rate owes nothing.
        assert!(cpu.check(100 * SECOND, &pace).is_ok());
        used(50);
        assert!(cpu.check(200 * SECOND, &pace).is_ok());
        used(2);
        assert_eq!(cpu.check(200 * SECOND, &pace), Err(Duration::from_secs(2)));
    }

    #[test]
    fn another_pace_keeps_what_is_used() {
        let (slow, fast) = (Pace::new(1.0, 10.0), Pace::new(100.0, 10.0));
        let bucket = RequestRate::default();
        for _ in 0..10 {
            bucket.take(0, &slow).unwrap();
        }
        bucket.change(0, Some(&slow), Some(&fast));
        assert_eq!(bucket.take(0, &fast), Err(Duration::from_millis(10)));
        bucket.change(0, Some(&fast), Some(&slow));
        assert_eq!(bucket.take(0, &slow), Err(Duration::from_secs(1)));
        // A smaller burst is used up, not overdrawn.
        let narrow = Pace::new(1.0, 2.0);
        bucket.change(0, Some(&slow), Some(&narrow));
        assert_eq!(bucket.take(0, &narrow), Err(Duration::from_secs(1)));
        bucket.change(0, Some(&narrow), None);
        bucket.change(0, None, Some(&narrow));
        bucket.take(0, &narrow).unwrap();

        let (half, double) = (Pace::new(0.5, 0.5), Pace::new(2.0, 2.0));
        let cpu = CpuRate::default();
        cpu.meter().fetch_add(100 * SECOND, Ordering::Relaxed);
        cpu.change(0, None, Some(&half));
        assert!(cpu.check(0, &half).is_ok(), "what was free stays free");
        cpu.meter().fetch_add(10 * SECOND, Ordering::Relaxed);
        cpu.change(0, Some(&half), Some(&double));
        assert_eq!(cpu.check(0, &double), Err(Duration::from_secs(4)));
    }

    #[test]
    fn threads_share_one_bucket() {
        let (pace, bucket, cpu) = (
            Pace::new(1000.0, 100.0),
            RequestRate::default(),
            CpuRate::default(),
        );
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (bucket, cpu) = (&bucket, &cpu);
                    scope.spawn(move || {
                        (0..10_000_u64)
                            .filter(|&i| {
                                cpu.meter().fetch_add(1000, Ordering::Relaxed);
                                let _either = cpu.check(i * 10_000 + thread, &pace);
                                bucket.take(i * 10_000 + thread, &pace).is_ok()
                            })
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // A tenth of a second at 1,000 a second, and the burst of 100.
        assert!((150..=200).contains(&total), "{total}");
        // Each nanosecond is debited once: 40 ms at 1,000 s a second.
        cpu.settle(0, &pace);
        assert_eq!(cpu.settled.lock().unwrap().nanos, 40_000_000);
    }
}
