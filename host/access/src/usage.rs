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

pub(crate) struct Usage {
    epoch: Instant,
    limits: ArcSwap<Limits>,
    requests: RequestRate,
    concurrent: Arc<Gauge>,
    cpu: CpuRate,
    memory: Arc<Gauge>,
}

/// Quotas, and what is worked out from them once.
struct Limits {
    quotas: Quotas,
    requests: Option<Pace>,
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
        Self {
            quotas,
            requests,
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
            concurrent: Arc::default(),
            cpu: CpuRate::default(),
            memory: Arc::default(),
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
        if old.cpu != new.cpu {
            self.cpu.change(now, old.cpu.as_ref(), new.cpu.as_ref());
        }
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.limits.load().quotas.clone()
    }

    pub(crate) fn admit(&self, now: Instant) -> Result<Admission, OverQuota> {
        let limits = self.limits.load();
        let now = self.nanos(now);
        let over = |quota, limit, wait| OverQuota {
            quota,
            limit,
            retry_after: Some(wait),
        };
        let most = limits.quotas.concurrent_requests;
        let in_progress = self.concurrent.take(1, most).ok_or_else(|| {
            let limit = most.unwrap_or(u64::MAX) as f64;
            over(Quota::ConcurrentRequests, limit, HELD_RETRY_AFTER)
        })?;
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
        Ok(Admission {
            _in_progress: in_progress,
        })
    }

    pub(crate) fn reserve_memory(&self, bytes: u64) -> Result<Permit, OverQuota> {
        let limit = self.limits.load().quotas.memory_bytes;
        self.memory.take(bytes, limit).ok_or_else(|| OverQuota {
            quota: Quota::MemoryBytes,
            limit: limit.unwrap_or(u64::MAX) as f64,
            retry_after: Some(HELD_RETRY_AFTER),
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

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.in_use()
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
