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
