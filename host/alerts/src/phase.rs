//! The states of an alert: `inactive → pending → firing → resolved`, as functions of values in the order
//! of their times. No clock, no store.
//!
//! Both lengths of a rule are measured between values: a condition held for `for` when two values at
//! least that far apart hold, and none between doesn't; an alert resolves when two values
//! `keep_firing_for` apart don't hold, and none between does. So a rule never fires on what nobody saw.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::period::Period;
use crate::rules::NoData;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Phase {
    /// The condition doesn't hold.
    Inactive,
    /// It holds, not yet for as long as the rule asks.
    Pending {
        /// Since when it holds.
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// It held for as long as the rule asks.
    Firing {
        /// Since when it fires.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Since when the condition doesn't hold, where `keep_firing_for` still keeps the alert.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        clear_since: Option<Timestamp>,
    },
    /// It fired and doesn't any more.
    Resolved {
        /// Since when it fired.
        #[schemars(with = "String")]
        since: Timestamp,
        /// When it resolved.
        #[schemars(with = "String")]
        at: Timestamp,
    },
}

impl Phase {
    /// After a value at `at` for which the condition holds, or doesn't.
    #[must_use]
    pub fn observe(self, holds: bool, at: Timestamp, held: Period, keep_firing_for: Period) -> Self {
        match (self, holds) {
            (Self::Inactive | Self::Resolved { .. }, true) => Self::begin(at, at, held),
            (Self::Pending { since }, true) => Self::begin(since, at, held),
            (Self::Firing { since, .. }, true) => Self::Firing {
                since,
                clear_since: None,
            },
            (Self::Inactive | Self::Pending { .. }, false) => Self::Inactive,
            (Self::Firing { since, clear_since }, false) => {
                let clear = clear_since.unwrap_or(at);
                if lasted(clear, at, keep_firing_for) {
                    Self::Resolved { since, at }
                } else {
                    Self::Firing {
                        since,
                        clear_since: Some(clear),
                    }
                }
            }
            (Self::Resolved { .. }, false) => self,
        }
    }

    fn begin(since: Timestamp, at: Timestamp, held: Period) -> Self {
        if lasted(since, at, held) {
            Self::Firing {
                since: at,
                clear_since: None,
            }
        } else {
            Self::Pending { since }
        }
    }

    /// When no value came for as long as the rule allows.
    #[must_use]
    pub fn no_data(self, policy: NoData, now: Timestamp) -> Self {
        match (self, policy) {
            (Self::Firing { .. }, NoData::Keep | NoData::Fire) => self,
            (Self::Firing { .. }, NoData::Resolve) => self.end(now),
            (_, NoData::Fire) => Self::Firing {
                since: now,
                clear_since: None,
            },
            (Self::Pending { .. }, _) => Self::Inactive,
            (Self::Inactive | Self::Resolved { .. }, _) => self,
        }
    }

    /// When nothing watches it any more.
    #[must_use]
    pub fn end(self, now: Timestamp) -> Self {
        match self {
            Self::Firing { since, .. } => Self::Resolved {
                since,
                // Times of values may be ahead of the clock a little.
                at: now.max(since),
            },
            Self::Pending { .. } | Self::Inactive => Self::Inactive,
            Self::Resolved { .. } => self,
        }
    }

    /// Does it fire?
    pub fn is_firing(&self) -> bool {
        matches!(self, Self::Firing { .. })
    }
}

fn lasted(since: Timestamp, at: Timestamp, period: Period) -> bool {
    at.duration_since(since) >= period.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values a minute apart: `x` for which the condition holds, `.` for which it doesn't, ` ` none.
    /// States: `-` inactive, `p` pending, `F` firing, `f` firing though it doesn't hold, `r` resolved.
    #[test]
    fn timelines() {
        for (name, held, keep, values, states) in [
            ("at once", 0, 0, "..x.x..", "--FrFrr"),
            ("after a while", 2, 0, ".xxxxx.", "-ppFFFr"),
            ("too short", 2, 0, "xx.xx.", "pp-pp-"),
            ("a gap is no break", 2, 0, "x  x.", "pppFr"),
            ("hysteresis", 0, 2, "x...x", "FffrF"),
            ("flapping doesn't resolve", 0, 2, "x.x..x...", "FfFffFffr"),
            ("flapping doesn't fire", 2, 2, "x.x.x.x.", "p-p-p-p-"),
            ("both", 1, 1, "xx.x..xx..", "pFfFfrpFfr"),
            ("again from pending", 1, 0, "xx.x.xx", "pFrp-pF"),
            ("nothing", 5, 5, ".....", "-----"),
        ] {
            let mut phase = Phase::Inactive;
            let mut found = String::new();
            for (minute, value) in values.chars().enumerate() {
                let at = Timestamp::from_second(1_800_000_000 + 60 * minute as i64).unwrap();
                if value != ' ' {
                    phase = phase.observe(value == 'x', at, Period::secs(60 * held), Period::secs(60 * keep));
                }
                found.push(match phase {
                    Phase::Inactive => '-',
                    Phase::Pending { .. } => 'p',
                    Phase::Firing {
                        clear_since: None, ..
                    } => 'F',
                    Phase::Firing { .. } => 'f',
                    Phase::Resolved { .. } => 'r',
                });
            }
            assert_eq!(found, states, "{name}: {values}");
        }
    }

    #[test]
    fn no_data() {
        let [t0, t1] = [0, 60].map(|s| Timestamp::from_second(s).unwrap());
        let firing = Phase::Firing {
            since: t0,
            clear_since: None,
        };
        let fired = Phase::Firing {
            since: t1,
            clear_since: None,
        };
        let resolved = Phase::Resolved { since: t0, at: t1 };
        let pending = Phase::Pending { since: t0 };
        for (policy, before, after) in [
            (NoData::Keep, firing, firing),
            (NoData::Keep, pending, Phase::Inactive),
            (NoData::Keep, Phase::Inactive, Phase::Inactive),
            (NoData::Resolve, firing, resolved),
            (NoData::Resolve, pending, Phase::Inactive),
            (NoData::Resolve, resolved, resolved),
            (NoData::Fire, firing, firing),
            (NoData::Fire, pending, fired),
            (NoData::Fire, Phase::Inactive, fired),
            (NoData::Fire, resolved, fired),
        ] {
            assert_eq!(before.no_data(policy, t1), after, "{policy:?} {before:?}");
        }
    }
}
