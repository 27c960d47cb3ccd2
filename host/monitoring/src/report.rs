//! What is said of a window that closed: by a monitor, and in numbers. This is what is kept, answered and
//! compared with alert rules.

use std::cmp::Ordering;

use caisson_quality::hysteresis::{AlarmSpec, Change, Hysteresis, Outcome};
use caisson_quality::window::{Clock, Segment};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::statistics::ColumnStatistics;

/// A verdict, in the words of the drift checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No drift.
    Stable,
    /// Past the warning threshold, or drifted in only one of the two senses.
    Warn,
    /// Drift.
    Drifted,
    /// Too few rows for a verdict, or the check failed.
    InsufficientData,
}

impl Status {
    /// What it means to an alarm: only drift counts against a window.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Stable | Self::Warn => Outcome::Good,
            Self::Drifted => Outcome::Bad,
            Self::InsufficientData => Outcome::Unknown,
        }
    }

    /// From good to bad, as the drift checks order them.
    pub fn rank(self) -> u8 {
        match self {
            Self::Stable => 0,
            Self::InsufficientData => 1,
            Self::Warn => 2,
            Self::Drifted => 3,
        }
    }

    /// The worst of some; stable where there is none.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter()
            .max_by_key(|status| status.rank())
            .unwrap_or(Self::Stable)
    }
}

/// The verdict on one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureVerdict {
    /// The column's name, or `*` for all together.
    pub feature: String,
    /// Name of the statistic, such as `ks` or `missing-rate`.
    pub method: String,
    /// The statistic.
    pub statistic: Option<f64>,
    /// What it is compared with.
    pub threshold: Option<f64>,
    /// Where the method has a test; 0 to 1.
    pub p_value: Option<f64>,
    /// How large the change is, in the method's measure.
    pub effect_size: Option<f64>,
    /// Rows with a value in the reference.
    pub reference_count: u64,
    /// Rows with a value in the window, or in its sample.
    pub current_count: u64,
    /// Share of reference rows without a value, 0 to 1.
    pub reference_missing_rate: f64,
    /// Share of the window's rows without a value, 0 to 1.
    pub current_missing_rate: f64,
    /// The verdict.
    pub status: Status,
    /// One sentence for a person.
    pub detail: String,
}

impl FeatureVerdict {
    /// The worse one first: by status, what is of all columns together before what is of one, then by how
    /// many times over its threshold the statistic is.
    pub fn worse_first(&self, other: &Self) -> Ordering {
        let excess = |verdict: &Self| match (verdict.statistic, verdict.threshold) {
            (Some(statistic), Some(threshold)) if threshold > 0.0 => statistic.abs() / threshold,
            (Some(statistic), _) => statistic.abs(),
            (None, _) => 0.0,
        };
        (other.status.rank().cmp(&self.status.rank()))
            .then_with(|| (other.feature == "*").cmp(&(self.feature == "*")))
            .then_with(|| excess(other).total_cmp(&excess(self)))
    }
}

/// A part of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SegmentName {
    /// The input column that segments are made by.
    pub column: String,
    /// Its value; `null` for rows without one.
    pub value: Option<String>,
    /// All values that aren't kept apart, together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
}

impl SegmentName {
    pub(crate) fn of(column: &str, segment: &Segment) -> Self {
        Self {
            column: column.to_owned(),
            value: match segment {
                Segment::Named(value) => Some(value.clone()),
                Segment::Missing | Segment::Other => None,
            },
            other: *segment == Segment::Other,
        }
    }

    /// As people and labels have it: the value, `(missing)` or `(other)`.
    pub fn shown(&self) -> &str {
        match (&self.value, self.other) {
            (Some(value), _) => value,
            (None, true) => "(other)",
            (None, false) => "(missing)",
        }
    }
}

/// Where a window begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// The first moment, or the number of the first row.
    pub start: String,
    /// The moment after the last, or the number of the row after the last.
    pub end: String,
    /// What that counts.
    pub clock: crate::spec::ClockSpec,
}

impl Bounds {
    pub(crate) fn of(clock: Clock, start: i64, end: i64) -> Self {
        match clock {
            Clock::Rows => Self {
                start: start.to_string(),
                end: end.to_string(),
                clock: crate::spec::ClockSpec::Rows,
            },
            Clock::EventTimeMs => Self {
                start: moment(start),
                end: moment(end),
                clock: crate::spec::ClockSpec::EventTime,
            },
        }
    }

    /// Where it begins and ends in time; none of windows that count rows.
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.start.parse().ok()?, self.end.parse().ok()?))
    }
}

/// A time in milliseconds as RFC 3339; one that no calendar has as its number.
pub(crate) fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Where an alarm stands after a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlarmState {
    /// Is it raised?
    pub raised: bool,
    /// What this window did to it.
    #[schemars(with = "String")]
    pub change: Change,
    /// Drifted windows that raise it.
    pub n: u8,
    /// Of so many.
    pub m: u8,
    /// Drifted ones among the last `m` that have a verdict.
    pub bad: u32,
    /// How many of those there are so far.
    pub seen: u8,
}

impl AlarmState {
    pub(crate) fn of(spec: AlarmSpec, alarm: &Hysteresis, change: Change) -> Self {
        let (bad, seen) = alarm.recent();
        Self {
            raised: alarm.is_raised(),
            change,
            n: spec.n,
            m: spec.m,
            bad,
            seen,
        }
    }
}

/// What a monitor said of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftWindow {
    /// The monitor's name.
    pub monitor: String,
    /// Which rows; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// The revision whose monitor it was.
    pub revision: u64,
    /// The window.
    pub window: Bounds,
    /// When it closed, RFC 3339.
    pub closed_at: String,
    /// Rows in it.
    pub rows: u64,
    /// Rows that the check saw.
    pub checked_rows: u64,
    /// Windows that it was compared with; absent where it was the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trailing: Option<u8>,
    /// The worst status of its features.
    pub status: Status,
    /// The largest statistic of its features; absent where none could be computed.
    pub score: Option<f64>,
    /// Feature by feature, the worst first.
    pub features: Vec<FeatureVerdict>,
    /// Features of the window that aren't kept, the best ones.
    #[serde(default)]
    pub features_left_out: u64,
    /// The alarm after it.
    pub alarm: AlarmState,
    /// Why there is no verdict, where the check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A window in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatisticsWindow {
    /// Which rows; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// The revision at its end.
    pub revision: u64,
    /// The window.
    pub window: Bounds,
    /// When it closed, RFC 3339; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// What callers sent.
    pub input: Vec<ColumnStatistics>,
    /// What was answered.
    pub predictions: Vec<ColumnStatistics>,
    /// Columns of the window that aren't kept.
    #[serde(default)]
    pub columns_left_out: u64,
}

/// Rows that came to the windows, or didn't.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    /// In windows, since the windows began.
    pub taken: u64,
    /// Left out, since their windows were all closed.
    pub late: u64,
    /// Left out, since their time was in the future.
    pub ahead: u64,
}

/// Rows that were dropped before they came to any window, since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DroppedRows {
    /// What waits to be gathered was full: the deployment's part, or all of it.
    pub memory: u64,
    /// The answer had another number of rows than the request.
    pub rows: u64,
    /// They were of a revision that gathered something else.
    pub revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(feature: &str, status: Status, statistic: f64, threshold: f64) -> FeatureVerdict {
        FeatureVerdict {
            feature: feature.to_owned(),
            method: String::new(),
            statistic: Some(statistic),
            threshold: Some(threshold),
            p_value: None,
            effect_size: None,
            reference_count: 0,
            current_count: 0,
            reference_missing_rate: 0.0,
            current_missing_rate: 0.0,
            status,
            detail: String::new(),
        }
    }

    #[test]
    fn the_worst_feature_is_first_whatever_the_scale_of_its_method() {
        let mut all = [
            verdict("calm", Status::Stable, 0.9, 0.1),
            verdict("twice", Status::Drifted, 0.5, 0.25),
            verdict("tenfold", Status::Drifted, 0.1, 0.01),
            verdict("*", Status::Drifted, 0.6, 0.55),
            verdict("warm", Status::Warn, 0.07, 0.1),
        ];
        all.sort_by(FeatureVerdict::worse_first);
        let order: Vec<&str> = all.iter().map(|one| one.feature.as_str()).collect();
        assert_eq!(order, ["*", "tenfold", "twice", "warm", "calm"]);
    }
}
