//! What a deployment file says of the response cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Megabytes of one deployment's answers at most.
const MIB_MAX: u32 = 4096;
/// A day: what is older is better asked again.
const TTL_MAX_SECONDS: u32 = 86_400;
const TTL_DEFAULT_SECONDS: u32 = 60;

/// Keep answers, and give them again for equal inputs. Absent: none are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// Mebibytes that answers may take.
    pub max_mib: u32,
    /// Seconds that an answer is good for (default 60).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

impl CacheSpec {
    /// Bounds. Gives the message.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=MIB_MAX).contains(&self.max_mib) {
            return Err(format!("cache.max_mib is {}; it is 1 to {MIB_MAX}", self.max_mib));
        }
        match self.ttl_seconds {
            Some(n) if !(1..=TTL_MAX_SECONDS).contains(&n) => {
                Err(format!("cache.ttl_seconds is {n}; it is 1 to {TTL_MAX_SECONDS}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        u64::from(self.max_mib) << 20
    }

    pub(crate) fn ttl(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.ttl_seconds.unwrap_or(TTL_DEFAULT_SECONDS).into())
    }
}
