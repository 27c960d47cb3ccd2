//! How long windows are, and how they follow each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::truth::micros;
use super::within;

/// A year: a longer window says too late what it says.
const WINDOW_SECONDS_MAX: u64 = 366 * 86_400;
/// Ten million rows: more say nothing more.
const WINDOW_ROWS_MAX: u64 = 10_000_000;
/// Pieces of one window: a day in half hours. Each keeps its own sums while it is computed.
const PANES_MAX: u64 = 48;

/// Windows by event time (`seconds`) or by count (`rows`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerformanceWindowSpec {
    /// How long a window is.
    #[schemars(range(min = 1, max = WINDOW_SECONDS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// How far the next one starts after it: as long as it is if absent, less for windows that slide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_seconds: Option<u64>,
    /// How long after a window's end its predictions may still come (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness_seconds: Option<u64>,
    /// How many predictions a window has.
    #[schemars(range(min = 1, max = WINDOW_ROWS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// After how many the next one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_rows: Option<u64>,
}

/// What windows are measured in, and how long they are in that: microseconds, or rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) by_rows: bool,
    pub(crate) size: i64,
    pub(crate) step: i64,
    pub(crate) lateness: i64,
}

impl Span {
    /// The greatest length that every window is made of.
    pub(crate) fn pane(&self) -> i64 {
        let (mut a, mut b) = (self.size, self.step);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.max(1)
    }
}

impl PerformanceWindowSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        let place = "performance.window";
        let (size, step, max, unit) = match (self.seconds, self.rows) {
            (Some(size), None) => (size, self.step_seconds, WINDOW_SECONDS_MAX, "seconds"),
            (None, Some(size)) => (size, self.step_rows, WINDOW_ROWS_MAX, "rows"),
            _ => return Err(format!("{place}: a window has either `seconds` or `rows`")),
        };
        if self.rows.is_some() && (self.step_seconds.is_some() || self.lateness_seconds.is_some()) {
            return Err(format!(
                "{place}: a window of rows has `step_rows`, and no seconds"
            ));
        }
        if self.seconds.is_some() && self.step_rows.is_some() {
            return Err(format!(
                "{place}: a window of seconds has `step_seconds`, and no rows"
            ));
        }
        within(&format!("{place}.{unit}"), Some(size), 1, max)?;
        within(&format!("{place}.step_{unit}"), step, 1, size)?;
        within(
            &format!("{place}.lateness_seconds"),
            self.lateness_seconds,
            0,
            WINDOW_SECONDS_MAX,
        )?;
        let span = self.span();
        let panes = (span.size / span.pane()).unsigned_abs();
        if panes > PANES_MAX {
            return Err(format!(
                "{place}: windows of {size} every {} are made of {panes} pieces, more than {PANES_MAX}: make both multiples of a larger unit",
                step.unwrap_or(size)
            ));
        }
        Ok(())
    }

    pub(crate) fn span(&self) -> Span {
        let rows = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        match self.rows {
            Some(size) => Span {
                by_rows: true,
                size: rows(size).max(1),
                step: rows(self.step_rows.unwrap_or(size)).max(1),
                lateness: 0,
            },
            None => {
                let size = self.seconds.unwrap_or(1);
                Span {
                    by_rows: false,
                    size: micros(size).max(1),
                    step: micros(self.step_seconds.unwrap_or(size)).max(1),
                    lateness: micros(self.lateness_seconds.unwrap_or(0)),
                }
            }
        }
    }
}
