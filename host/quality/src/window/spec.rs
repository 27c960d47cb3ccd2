//! How long windows are, and how they follow each other.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Panes that may be open: a day in steps of ten seconds. More is memory for a resolution that nobody
/// reads.
pub const PANES_MAX: u64 = 10_000;
/// Segments that are kept apart: a screen full. The rest is "other".
pub const SEGMENTS_MAX: usize = 100;
/// A segment's name that is longer is "other".
pub const SEGMENT_BYTES_MAX: usize = 256;
/// Nobody means more than a hundred years of milliseconds; below, sums of times can't overflow.
const LENGTH_MAX: u64 = 100 * 366 * 86_400_000;

/// What windows are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Rows, in the order in which they come.
    Rows,
    /// Milliseconds of the event's own time.
    EventTimeMs,
}

/// Windows `[k step, k step + size)`, for all whole numbers `k` (from 0 on where rows are counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// The unit of all that follows.
    pub clock: Clock,
    /// How long a window is.
    pub size: u64,
    /// How far the next one starts after it: `size` for tumbling windows, less for sliding ones.
    pub step: u64,
    /// How long after a window's end its rows may still come; 0 where rows are counted.
    #[serde(default)]
    pub lateness: u64,
    /// How far ahead of the clock an event's time may be; a row beyond that is left out and counted,
    /// since one wrong year would close all windows.
    #[serde(default = "WindowSpec::default_ahead")]
    pub ahead: u64,
    /// Segments that are kept apart, at most [`SEGMENTS_MAX`].
    #[serde(default = "WindowSpec::default_segments")]
    pub segments: usize,
}

/// Why windows can't be made like that.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// A length of 0, or of more than a hundred years.
    #[error("a window's {what} is {value}: it must be from 1 to {LENGTH_MAX}")]
    Length {
        /// Which.
        what: &'static str,
        /// How long.
        value: u64,
    },
    /// Rows between windows would be in none.
    #[error("windows of {size} every {step} leave gaps: `step` must be at most `size`")]
    Gaps {
        /// The size.
        size: u64,
        /// The step.
        step: u64,
    },
    /// Counted rows come in order.
    #[error("`lateness` is {0}: windows that count rows have none")]
    Lateness(u64),
    /// More than a hundred years.
    #[error("`ahead` is {0}: it must be at most {LENGTH_MAX}")]
    Ahead(u64),
    /// Too fine.
    #[error(
        "{panes} panes of {pane}, more than {PANES_MAX}: make `size` and `step` multiples of a larger \
         unit, or `lateness` smaller"
    )]
    Panes {
        /// How many.
        panes: u64,
        /// How long each is.
        pane: u64,
    },
    /// Too many segments.
    #[error("{0} segments, more than {SEGMENTS_MAX}")]
    Segments(usize),
}

impl WindowSpec {
    /// A minute: clocks of one data centre agree better than that.
    fn default_ahead() -> u64 {
        60_000
    }

    fn default_segments() -> usize {
        20
    }

    /// Windows that count rows.
    pub fn rows(size: u64, step: u64) -> Self {
        Self {
            clock: Clock::Rows,
            size,
            step,
            lateness: 0,
            ahead: 0,
            segments: Self::default_segments(),
        }
    }

    /// Windows of event time.
    pub fn event_time_ms(size: u64, step: u64, lateness: u64) -> Self {
        Self {
            clock: Clock::EventTimeMs,
            lateness,
            ahead: Self::default_ahead(),
            ..Self::rows(size, step)
        }
    }

    /// How long a pane is.
    pub fn pane(&self) -> u64 {
        gcd(self.size, self.step)
    }

    /// Panes that can be open at once.
    pub fn panes(&self) -> u64 {
        (self.size.saturating_add(self.lateness) / self.pane().max(1)).saturating_add(2)
    }

    /// # Errors
    ///
    /// What is wrong, as [`SpecError`] lists.
    pub fn check(&self) -> Result<(), SpecError> {
        for (what, value) in [("size", self.size), ("step", self.step)] {
            if !(1..=LENGTH_MAX).contains(&value) {
                return Err(SpecError::Length { what, value });
            }
        }
        if self.ahead > LENGTH_MAX {
            return Err(SpecError::Ahead(self.ahead));
        }
        if self.step > self.size {
            return Err(SpecError::Gaps {
                size: self.size,
                step: self.step,
            });
        }
        if self.clock == Clock::Rows && self.lateness > 0 {
            return Err(SpecError::Lateness(self.lateness));
        }
        if self.panes() > PANES_MAX {
            return Err(SpecError::Panes {
                panes: self.panes(),
                pane: self.pane(),
            });
        }
        if self.segments > SEGMENTS_MAX {
            return Err(SpecError::Segments(self.segments));
        }
        Ok(())
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
