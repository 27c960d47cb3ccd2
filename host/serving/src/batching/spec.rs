//! What a deployment file says of batching.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::queue::Rules;

/// Rows of one run, unless the file says otherwise. A stage's call costs 11 to 20 µs whatever it is
/// called with and a row of a tree ensemble about one: at 64 rows the call is a fifth of the run, and a
/// larger run would only make everyone wait for it.
const ROWS_DEFAULT: u32 = 64;
/// What goes through the stages at once; see `pipeline`.
const ROWS_MAX: u32 = 8192;
/// Requests that may wait: at 30 µs a request, 30 ms of work.
const REQUESTS_DEFAULT: u32 = 1024;
/// A request that waits costs its rows' memory.
const REQUESTS_MAX: u32 = 65_536;
/// A client has long given up then.
const TIMEOUT_DEFAULT_MS: u64 = 1000;
const TIMEOUT_MAX_MS: u64 = 60_000;
/// A delay is added to every answer.
const DELAY_MAX_US: u64 = 1_000_000;
const LEVELS_MAX: u32 = 16;
const PREFERRED_MAX: usize = 16;

/// How requests share runs. Requests that are there at the same time go through the stages together;
/// on an idle server none waits for another unless `max_queue_delay_us` says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchingSpec {
    /// `false`: every request runs by itself. Default: `true`, except with a predictor, which may look
    /// at all rows of a call together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Rows of one run at most (default 64, up to 8,192). A request with more runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<u32>,
    /// Sizes in rows that run as soon as there are rows for one, without the delay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_batch_sizes: Vec<u32>,
    /// Microseconds that a request may wait for others to share its run (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue_delay_us: Option<u64>,
    /// Who may wait, and for how long.
    #[serde(default, skip_serializing_if = "QueueSpec::is_default")]
    pub queue: QueueSpec,
}

/// The queue before the runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    /// Requests that may wait (default 1,024); another is refused with 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// Milliseconds that a request may wait for its turn (default 1,000); then it is refused with 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Priorities that requests may choose from, 1 the most urgent (default 1). The more urgent always
    /// go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_levels: Option<u32>,
    /// The priority of a request that names none of them (default: the middle one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_priority: Option<u32>,
}

impl QueueSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl BatchingSpec {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What serde can't say: bounds, and what depends on each other. Gives the message.
    pub(crate) fn check(&self, predictor: bool) -> Result<(), String> {
        if predictor && self.enabled == Some(true) {
            return Err("batching.enabled: a predictor may look at all rows of a call together, so calls can't share one".into());
        }
        let queue = &self.queue;
        let rows = self.max_batch_size.map(u64::from);
        within("max_batch_size", rows, 1, u64::from(ROWS_MAX))?;
        within("max_queue_delay_us", self.max_queue_delay_us, 0, DELAY_MAX_US)?;
        let requests = queue.max_requests.map(u64::from);
        within("queue.max_requests", requests, 1, u64::from(REQUESTS_MAX))?;
        within("queue.timeout_ms", queue.timeout_ms, 1, TIMEOUT_MAX_MS)?;
        let levels = queue.priority_levels.map(u64::from);
        within("queue.priority_levels", levels, 1, u64::from(LEVELS_MAX))?;
        let default = queue.default_priority.map(u64::from);
        within("queue.default_priority", default, 1, levels.unwrap_or(1))?;
        if self.preferred_batch_sizes.len() > PREFERRED_MAX {
            return Err(format!(
                "batching.preferred_batch_sizes: {} sizes; at most {PREFERRED_MAX} are allowed",
                self.preferred_batch_sizes.len()
            ));
        }
        let rows_max = rows.unwrap_or(u64::from(ROWS_DEFAULT));
        for &size in &self.preferred_batch_sizes {
            within("preferred_batch_sizes", Some(u64::from(size)), 1, rows_max)?;
        }
        Ok(())
    }

    /// The rules of the queue; `None` where every request runs by itself.
    pub(crate) fn rules(&self, predictor: bool) -> Option<Rules> {
        if predictor || self.enabled == Some(false) {
            return None;
        }
        let mut preferred: Vec<usize> = self.preferred_batch_sizes.iter().map(|&s| s as usize).collect();
        preferred.sort_unstable();
        let levels = self.queue.priority_levels.unwrap_or(1);
        Some(Rules {
            rows_max: self.max_batch_size.unwrap_or(ROWS_DEFAULT) as usize,
            preferred,
            delay: Duration::from_micros(self.max_queue_delay_us.unwrap_or(0)),
            requests_max: self.queue.max_requests.unwrap_or(REQUESTS_DEFAULT) as usize,
            timeout: Duration::from_millis(self.queue.timeout_ms.unwrap_or(TIMEOUT_DEFAULT_MS)),
            levels,
            default_level: self.queue.default_priority.unwrap_or(levels.div_ceil(2)),
        })
    }
}

fn within(what: &str, value: Option<u64>, min: u64, max: u64) -> Result<(), String> {
    match value {
        Some(n) if !(min..=max).contains(&n) => Err(format!("batching.{what} is {n}; it is {min} to {max}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Result<(), String> {
        let spec: BatchingSpec = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        spec.check(false)
    }

    #[test]
    fn defaults_are_within_their_own_bounds() {
        assert_eq!(check("{}"), Ok(()));
        let rules = BatchingSpec::default().rules(false).unwrap();
        assert_eq!((rules.rows_max, rules.levels, rules.default_level), (64, 1, 1));
        assert_eq!(BatchingSpec::default().rules(true), None);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (yaml, named) in [
            ("max_batch_size: 0", "max_batch_size is 0"),
            ("max_batch_size: 9000", "8192"),
            ("preferred_batch_sizes: [100]", "it is 1 to 64"),
            (
                "queue: {default_priority: 2}",
                "queue.default_priority is 2; it is 1 to 1",
            ),
            ("queue: {timeout_ms: 0}", "timeout_ms"),
            ("queue: {timeout: 3}", "timeout"),
            ("max_queue_delay_us: 2000000", "max_queue_delay_us"),
        ] {
            let message = check(yaml).unwrap_err();
            assert!(message.contains(named), "{yaml}: {message}");
        }
    }

    #[test]
    fn a_predictor_is_not_batched() {
        let on = BatchingSpec {
            enabled: Some(true),
            ..Default::default()
        };
        assert!(on.check(true).unwrap_err().contains("predictor"));
        assert_eq!(on.check(false), Ok(()));
    }
}
