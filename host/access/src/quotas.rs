//! Quotas: what a tenant may use, in numbers that an operator sets.
//!
//! Each is optional. A tenant's own number goes before the host's default, and where there is
//! neither, nothing limits. Rates have a burst: what may be used at once after a pause.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AccessError;

/// Requests a second. Below one in 1,000 s a quota is a suspension; above a million it is none.
const REQUESTS_PER_SECOND: RangeInclusive<f64> = 0.001..=1e6;
/// Requests at once, and in a burst. 0 would be a suspension by another name.
const REQUESTS: RangeInclusive<u64> = 1..=1_000_000;
/// CPU seconds a second: cores. No machine has more.
const CPU_SECONDS_PER_SECOND: RangeInclusive<f64> = 0.001..=4096.0;
/// CPU seconds of a burst: up to an hour of one core.
const CPU_BURST_SECONDS: RangeInclusive<f64> = 0.001..=3600.0;
/// Changes a day. Fewer than one is a suspension; a billion would be ten thousand a second.
const CHANGES_PER_DAY: RangeInclusive<u64> = 1..=1_000_000_000;
/// Bytes and counts. JSON numbers are exact up to here.
const COUNT: RangeInclusive<u64> = 0..=(1 << 53);

/// How much of each thing. `None` says nothing, see the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Requests a second, in the long run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *REQUESTS_PER_SECOND.start(), max = *REQUESTS_PER_SECOND.end()))]
    pub requests_per_second: Option<f64>,
    /// Requests at once after a pause; one second's worth unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *REQUESTS.start(), max = *REQUESTS.end()))]
    pub requests_burst: Option<u64>,
    /// Requests in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *REQUESTS.start(), max = *REQUESTS.end()))]
    pub concurrent_requests: Option<u64>,
    /// CPU seconds of plugins and models a second, in the long run: cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *CPU_SECONDS_PER_SECOND.start(), max = *CPU_SECONDS_PER_SECOND.end()))]
    pub cpu_seconds_per_second: Option<f64>,
    /// CPU seconds at once after a pause; one second's worth unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *CPU_BURST_SECONDS.start(), max = *CPU_BURST_SECONDS.end()))]
    pub cpu_burst_seconds: Option<f64>,
    /// Changes of anything in a day, each of which is a record of the audit log: a day's worth at once,
    /// and then as many as have come back since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_per_day: Option<u64>,
    /// Memory of running sandboxed instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub memory_bytes: Option<u64>,
    /// Bytes of plugins, models and baselines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub stored_bytes: Option<u64>,
    /// Plugin versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub plugins: Option<u64>,
    /// Model versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub models: Option<u64>,
    /// Deployments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub deployments: Option<u64>,
    /// Bytes of one upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = *COUNT.start(), max = *COUNT.end()))]
    pub upload_bytes: Option<u64>,
}

impl Quotas {
    /// These, and the defaults where they say nothing. A burst belongs to its rate: a tenant with
    /// its own rate doesn't take the default's burst.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(defaults.requests_per_second),
            requests_burst: match self.requests_per_second {
                Some(_) => self.requests_burst,
                None => self.requests_burst.or(defaults.requests_burst),
            },
            concurrent_requests: self.concurrent_requests.or(defaults.concurrent_requests),
            cpu_seconds_per_second: self.cpu_seconds_per_second.or(defaults.cpu_seconds_per_second),
            cpu_burst_seconds: match self.cpu_seconds_per_second {
                Some(_) => self.cpu_burst_seconds,
                None => self.cpu_burst_seconds.or(defaults.cpu_burst_seconds),
            },
            changes_per_day: self.changes_per_day.or(defaults.changes_per_day),
            memory_bytes: self.memory_bytes.or(defaults.memory_bytes),
            stored_bytes: self.stored_bytes.or(defaults.stored_bytes),
            plugins: self.plugins.or(defaults.plugins),
            models: self.models.or(defaults.models),
            deployments: self.deployments.or(defaults.deployments),
            upload_bytes: self.upload_bytes.or(defaults.upload_bytes),
        }
    }

    /// Refuse numbers that can't be meant, on what [`Quotas::or`] gives.
    ///
    /// # Errors
    ///
    /// [`AccessError::Invalid`] with the first quota's name.
    pub(crate) fn check(&self) -> Result<(), AccessError> {
        match self.faults().into_iter().next() {
            None => Ok(()),
            Some(QuotaFault { quota, reason }) => {
                Err(AccessError::invalid(format!("the quota `{quota}`"), reason))
            }
        }
    }

    /// All numbers that can't be meant, on what [`Quotas::or`] gives.
    pub fn faults(&self) -> Vec<QuotaFault> {
        let mut faults = Vec::new();
        let mut check = |quota: &'static str, outside: Option<String>| {
            faults.extend(outside.map(|reason| QuotaFault { quota, reason }));
        };
        check(
            "requests_per_second",
            outside(self.requests_per_second, &REQUESTS_PER_SECOND),
        );
        check("requests_burst", outside(self.requests_burst, &REQUESTS));
        check(
            "concurrent_requests",
            outside(self.concurrent_requests, &REQUESTS),
        );
        check(
            "cpu_seconds_per_second",
            outside(self.cpu_seconds_per_second, &CPU_SECONDS_PER_SECOND),
        );
        check(
            "cpu_burst_seconds",
            outside(self.cpu_burst_seconds, &CPU_BURST_SECONDS),
        );
        check("changes_per_day", outside(self.changes_per_day, &CHANGES_PER_DAY));
        for (name, count) in [
            ("memory_bytes", self.memory_bytes),
            ("stored_bytes", self.stored_bytes),
            ("plugins", self.plugins),
            ("models", self.models),
            ("deployments", self.deployments),
            ("upload_bytes", self.upload_bytes),
        ] {
            check(name, outside(count, &COUNT));
        }
        let alone = |burst: bool, rated: bool, rate: &str| {
            (burst && !rated).then(|| format!("it limits nothing without `{rate}`; give that too"))
        };
        check(
            "requests_burst",
            alone(
                self.requests_burst.is_some(),
                self.requests_per_second.is_some(),
                "requests_per_second",
            ),
        );
        check(
            "cpu_burst_seconds",
            alone(
                self.cpu_burst_seconds.is_some(),
                self.cpu_seconds_per_second.is_some(),
                "cpu_seconds_per_second",
            ),
        );
        faults
    }

    /// Is `amount` of this within its quota? For what is counted: of a rate the answer says nothing.
    ///
    /// # Errors
    ///
    /// [`OverQuota`].
    pub(crate) fn check_amount(&self, quota: Quota, amount: u64) -> Result<(), OverQuota> {
        match self.amount(quota) {
            Some(limit) if amount > limit => Err(OverQuota {
                quota,
                limit: limit as f64,
                retry_after: None,
            }),
            _ => Ok(()),
        }
    }

    fn amount(&self, quota: Quota) -> Option<u64> {
        match quota {
            Quota::RequestsPerSecond | Quota::CpuSecondsPerSecond | Quota::ChangesPerDay => None,
            Quota::ConcurrentRequests => self.concurrent_requests,
            Quota::MemoryBytes => self.memory_bytes,
            Quota::StoredBytes => self.stored_bytes,
            Quota::Plugins => self.plugins,
            Quota::Models => self.models,
            Quota::Deployments => self.deployments,
            Quota::UploadBytes => self.upload_bytes,
        }
    }
}

/// A quota that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaFault {
    /// Its name.
    pub quota: &'static str,
    /// Why not, and what would do.
    pub reason: String,
}

/// Why a number isn't one of these; none where it is, or isn't given.
fn outside<N: PartialOrd + fmt::Display>(value: Option<N>, range: &RangeInclusive<N>) -> Option<String> {
    // NaN is in no range.
    let value = value.filter(|value| !range.contains(value))?;
    Some(format!(
        "{value} is not from {} to {}; leave it out for no limit, or suspend the tenant for none of it",
        range.start(),
        range.end()
    ))
}

/// Which quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// [`Quotas::requests_per_second`].
    RequestsPerSecond,
    /// [`Quotas::concurrent_requests`].
    ConcurrentRequests,
    /// [`Quotas::cpu_seconds_per_second`].
    CpuSecondsPerSecond,
    /// [`Quotas::changes_per_day`].
    ChangesPerDay,
    /// [`Quotas::memory_bytes`].
    MemoryBytes,
    /// [`Quotas::stored_bytes`].
    StoredBytes,
    /// [`Quotas::plugins`].
    Plugins,
    /// [`Quotas::models`].
    Models,
    /// [`Quotas::deployments`].
    Deployments,
    /// [`Quotas::upload_bytes`].
    UploadBytes,
}

impl Quota {
    /// Its name in [`Quotas`], which is also its metrics label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests_per_second",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::CpuSecondsPerSecond => "cpu_seconds_per_second",
            Self::ChangesPerDay => "changes_per_day",
            Self::MemoryBytes => "memory_bytes",
            Self::StoredBytes => "stored_bytes",
            Self::Plugins => "plugins",
            Self::Models => "models",
            Self::Deployments => "deployments",
            Self::UploadBytes => "upload_bytes",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// More than a tenant may use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("over the tenant's quota `{quota}` of {limit}; {}", self.advice())]
pub struct OverQuota {
    /// Which quota.
    pub quota: Quota,
    /// Its number.
    pub limit: f64,
    /// When it is worth while to try again; `None` where time alone changes nothing.
    pub retry_after: Option<Duration>,
}

impl OverQuota {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        "over-quota"
    }

    fn advice(&self) -> String {
        match self.retry_after {
            Some(wait) => format!("try again in {:.3} s", wait.as_secs_f64()),
            None if self.quota == Quota::UploadBytes => {
                "send less, or ask who runs this server for more".to_owned()
            }
            None => "delete what is no longer needed, or ask who runs this server for more".to_owned(),
        }
    }
}
