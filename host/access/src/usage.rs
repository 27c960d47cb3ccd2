//! What a tenant uses at this moment, held against its quotas.
//!
//! [`Usage::admit`] is on the path of every request: loads and compare-and-swaps of the tenant's own
//! counters, no lock that anything waits for. New quotas apply to the next call; permits that are
//! out stay out and count.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::bucket::{CpuRate, Pace, RequestRate};
use crate::gauge::{Gauge, Permit};
use crate::quotas::{OverQuota, Quota, Quotas};

/// When to come back for what another request holds. Requests take milliseconds; a whole second is
/// the least that HTTP's `Retry-After` can say.
const HELD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Seconds of a day.
const DAY_SECONDS: f64 = 86_400.0;

pub(crate) struct Usage {
    epoch: Instant,
    limits: ArcSwap<Limits>,
    requests: RequestRate,
    changes: RequestRate,
    concurrent: Arc<Gauge>,
    cpu: CpuRate,
}

/// Quotas, and what is worked out from them once.
struct Limits {
    quotas: Quotas,
    requests: Option<Pace>,
    changes: Option<Pace>,
    cpu: Option<Pace>,
}

impl Limits {
    fn new(quotas: Quotas) -> Self {
        let requests = quotas.requests_per_second.map(|rate| {
            let burst = quotas
                .requests_burst
                .map_or_else(|| rate.max(1.0).floor(), |n| n as f64);
            Pace::new(rate, burst)
        });
        let cpu = quotas
            .cpu_seconds_per_second
            .map(|rate| Pace::new(rate, quotas.cpu_burst_seconds.unwrap_or(rate)));
        let changes = quotas
            .changes_per_day
            .map(|most| Pace::new(most as f64 / DAY_SECONDS, most as f64));
        Self {
            quotas,
            requests,
            changes,
            cpu,
        }
    }
}

/// One request let in. It counts as in progress until this is dropped.
#[derive(Debug)]
#[must_use = "a request counts as over when its admission is dropped"]
pub struct Admission {
    _in_progress: Permit,
}

impl Usage {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self {
            epoch: Instant::now(),
            limits: ArcSwap::from_pointee(Limits::new(quotas)),
            requests: RequestRate::default(),
            changes: RequestRate::default(),
            concurrent: Arc::default(),
            cpu: CpuRate::default(),
        }
    }

    /// From now on these quotas. One caller at a time.
    pub(crate) fn set_quotas(&self, quotas: Quotas, now: Instant) {
        let new = Arc::new(Limits::new(quotas));
        let old = self.limits.swap(new.clone());
        let now = self.nanos(now);
        if old.requests != new.requests {
            self.requests
                .change(now, old.requests.as_ref(), new.requests.as_ref());
        }
        if old.changes != new.changes {
            self.changes
                .change(now, old.changes.as_ref(), new.changes.as_ref());
        }
        if old.cpu != new.cpu {
            self.cpu.change(now, old.cpu.as_ref(), new.cpu.as_ref());
        }
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.limits.load().quotas.clone()
    }

    pub(crate) fn admit(&self, now: Instant) -> Result<Admission, OverQuota> {
        let most = self.limits.load().quotas.concurrent_requests;
        let in_progress = self.concurrent.take(most).ok_or_else(|| OverQuota {
            quota: Quota::ConcurrentRequests,
            limit: most.unwrap_or(u64::MAX) as f64,
            retry_after: Some(HELD_RETRY_AFTER),
        })?;
        self.pace(now)?;
        Ok(Admission {
            _in_progress: in_progress,
        })
    }

    pub(crate) fn pace(&self, now: Instant) -> Result<(), OverQuota> {
        let limits = self.limits.load();
        let now = self.nanos(now);
        let over = |quota, limit, wait| OverQuota {
            quota,
            limit,
            retry_after: Some(wait),
        };
        if let (Some(pace), Some(limit)) = (&limits.cpu, limits.quotas.cpu_seconds_per_second) {
            self.cpu
                .check(now, pace)
                .map_err(|wait| over(Quota::CpuSecondsPerSecond, limit, wait))?;
        }
        // Last, so that a request which something else refuses uses up nothing.
        if let (Some(pace), Some(limit)) = (&limits.requests, limits.quotas.requests_per_second) {
            self.requests
                .take(now, pace)
                .map_err(|wait| over(Quota::RequestsPerSecond, limit, wait))?;
        }
        Ok(())
    }

    /// One change of something, or when there may be one.
    pub(crate) fn admit_change(&self, now: Instant) -> Result<(), OverQuota> {
        let limits = self.limits.load();
        let (Some(pace), Some(most)) = (&limits.changes, limits.quotas.changes_per_day) else {
            return Ok(());
        };
        self.changes
            .take(self.nanos(now), pace)
            .map_err(|wait| OverQuota {
                quota: Quota::ChangesPerDay,
                limit: most as f64,
                retry_after: Some(wait),
            })
    }

    pub(crate) fn check_amount(&self, quota: Quota, amount: u64) -> Result<(), OverQuota> {
        self.limits.load().quotas.check_amount(quota, amount)
    }

    pub(crate) fn cpu_meter(&self) -> &Arc<AtomicU64> {
        self.cpu.meter()
    }

    pub(crate) fn requests_in_progress(&self) -> u64 {
        self.concurrent.in_use()
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn usage(quotas: &str) -> Usage {
        Usage::new(serde_json::from_str(quotas).unwrap())
    }

    #[test]
    fn nothing_limits_unless_a_quota_says_so() {
        let usage = usage("{}");
        let now = Instant::now();
        let held: Vec<_> = (0..10_000).map(|_| usage.admit(now).unwrap()).collect();
        assert_eq!(usage.requests_in_progress(), 10_000);
        drop(held);
        assert_eq!(usage.requests_in_progress(), 0);
    }

    #[test]
    fn each_quota_refuses_by_name_and_says_when() {
        let usage = usage(
            r#"{"requests_per_second": 2, "requests_burst": 3, "concurrent_requests": 2,
                "cpu_seconds_per_second": 1}"#,
        );
        let start = usage.epoch;
        let after = |ms| start + Duration::from_millis(ms);
        let refused = |now| {
            let over = usage.admit(now).unwrap_err();
            (over.quota, over.limit, over.retry_after.unwrap())
        };
        let two = (usage.admit(start).unwrap(), usage.admit(start).unwrap());
        assert_eq!(refused(start), (Quota::ConcurrentRequests, 2.0, HELD_RETRY_AFTER));
        drop(two);
        // What was refused took nothing of the rate: one of the burst is left.
        drop(usage.admit(start).unwrap());
        let half = Duration::from_millis(500);
        assert_eq!(refused(start), (Quota::RequestsPerSecond, 2.0, half));
        assert_eq!(usage.requests_in_progress(), 0);
        usage.cpu_meter().fetch_add(3_000_000_000, Ordering::Relaxed);
        let wait = Duration::from_millis(1500);
        assert_eq!(refused(after(500)), (Quota::CpuSecondsPerSecond, 1.0, wait));
        drop(usage.admit(after(2000)).unwrap());
    }

    #[test]
    fn changes_come_back_over_a_day() {
        let usage = usage(r#"{"changes_per_day": 24}"#);
        let start = usage.epoch;
        for _ in 0..24 {
            usage.admit_change(start).unwrap();
        }
        let over = usage.admit_change(start).unwrap_err();
        assert_eq!((over.quota, over.limit), (Quota::ChangesPerDay, 24.0));
        let wait = over.retry_after.unwrap().as_secs_f64();
        assert!((3599.0..=3600.1).contains(&wait), "{wait}");
        let hour = Duration::from_secs(3601);
        usage.admit_change(start + hour).unwrap();
        assert!(usage.admit_change(start + hour).is_err());
    }

    #[test]
    fn no_more_at_once_than_the_quota_whatever_the_threads_do() {
        const MOST: u64 = 3;
        let usage = usage(r#"{"concurrent_requests": 3}"#);
        let running = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(_admitted) = usage.admit(Instant::now()) else {
                            continue;
                        };
                        assert!(running.fetch_add(1, Ordering::SeqCst) < MOST);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(usage.requests_in_progress(), 0);
    }
}
