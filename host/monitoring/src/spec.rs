//! What a deployment's file says of windows.
//!
//! Times are texts ([`Length`]), numbers of rows are numbers, so the two can't be taken for each other.

use caisson_data::Schema;
use caisson_predictions::EventTimeSpec;
use caisson_quality::window::{Clock, WindowSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::length::Length;

/// Columns that segments are made by. Each gathers all rows once more.
pub const SEGMENT_COLUMNS_MAX: usize = 3;
/// Segments of a column that are kept apart; all others are one, "other".
pub const SEGMENTS_KEPT: usize = 20;
/// Steps in a window: an hour by the minute. Each is kept apart until the window closes.
pub const STEPS_MAX: u64 = 60;
/// Rows of the shortest step that counts rows. Shorter ones say nothing, and each costs a check.
pub const STEP_ROWS_MIN: u64 = 100;
/// Milliseconds of the shortest step of time.
const STEP_MS_MIN: u64 = 1000;
/// Milliseconds of the longest window: a year.
const SIZE_MS_MAX: u64 = 366 * 86_400_000;
/// Rows of the longest window.
const SIZE_ROWS_MAX: u64 = 1_000_000_000;
/// Rows of a sample for a plugin's check: tests are sharp enough long before.
const SAMPLE_ROWS_MAX: u32 = 20_000;
const SAMPLE_ROWS: u32 = 2000;
/// Windows without a verdict below: what the drift checks want of a sample, and a hundred.
const ROWS_MIN: u64 = 100;
/// Windows that a trailing reference has at most: a year of weeks.
const TRAILING_MAX: u8 = 52;
/// An hour: a day has 24, so that a curve over a day is in the history.
const STATISTICS_MS: u64 = 3_600_000;
/// A minute: what comes later came through a queue, and is counted.
const LATENESS_MS: u64 = 60_000;

/// How long a window or a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Extent {
    /// So many rows.
    Rows(u64),
    /// So much time.
    Time(Length),
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows} rows"),
            Self::Time(length) => length.fmt(f),
        }
    }
}

/// What a window is measured in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockSpec {
    /// The time of the event: the deployment's `monitoring.event_time` or `log.event_time`, else when the
    /// request was answered.
    #[default]
    EventTime,
    /// Rows, in the order in which they come.
    Rows,
}

/// The windows of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsSpec {
    /// How long a window is: a time (`1h`), or with `clock: rows` a number of rows.
    pub size: Extent,
    /// How far the next one starts after it: `size` if absent (tumbling), less for sliding windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Extent>,
    /// What that is measured in.
    #[serde(default)]
    pub clock: ClockSpec,
    /// How long after a window's end its rows may still come (default 1m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Length>,
    /// Rows of a window that a plugin's check sees: a uniform sample of all (default 2000).
    #[schemars(range(min = 100, max = SAMPLE_ROWS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rows: Option<u32>,
    /// Rows below which a window has no verdict (default 100).
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_min: Option<u64>,
}

/// What a window is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgainstSpec {
    /// The baseline of the model version.
    #[default]
    Baseline,
    /// The windows with rows before it, this many of them together.
    Trailing(#[schemars(range(min = 1, max = TRAILING_MAX))] u8),
}

/// What is gathered of a deployment's answers, whether it has monitors or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitoringSpec {
    /// The share of requests that statistics and monitors see, from 0 (nothing is gathered) to 1.
    #[schemars(range(min = 0, max = 1))]
    pub sample: f64,
    /// The windows of the statistics (default: an hour of event time).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowsSpec>,
    /// Input columns: statistics of each of their values beside those of all rows.
    #[schemars(length(max = SEGMENT_COLUMNS_MAX))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// Integer columns whose values are names, in the input, the features or the answer: they are counted, not
    /// averaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categorical: Vec<String>,
    /// Columns of which no values are shown or kept in sketches, beside those that `log` redacts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<String>,
    /// The input column that says when what is predicted about happened; that of `log`, or else when the
    /// request was answered, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTimeSpec>,
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        Self {
            sample: 1.0,
            window: None,
            segments: Vec::new(),
            categorical: Vec::new(),
            private: Vec::new(),
            event_time: None,
        }
    }
}

impl MonitoringSpec {
    /// Does it say nothing?
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The windows of the statistics.
    pub fn windows(&self) -> WindowsSpec {
        self.window.unwrap_or(WindowsSpec {
            size: Extent::Time(Length::ms(STATISTICS_MS)),
            step: None,
            clock: ClockSpec::EventTime,
            lateness: None,
            sample_rows: None,
            rows_min: None,
        })
    }

    /// The bounds of its numbers. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self) -> Result<(), String> {
        // NaN is in no range.
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(format!("monitoring.sample is {}; it is from 0 to 1", self.sample));
        }
        self.windows().check("monitoring.window")?;
        if let Some(window) = &self.window
            && (window.sample_rows.is_some() || window.rows_min.is_some())
        {
            return Err(
                "monitoring.window: `sample_rows` and `rows_min` are settings of monitors".to_owned(),
            );
        }
        check_segments("monitoring.segments", &self.segments)
    }

    /// Do the columns that it names exist, and can they be what it says?
    ///
    /// # Errors
    ///
    /// The first that doesn't or can't, as a message.
    pub fn check_columns(&self, input: &Schema, features: &Schema, output: &Schema) -> Result<(), String> {
        check_segment_columns("monitoring.segments", &self.segments, input)?;
        for (i, name) in self.categorical.iter().enumerate() {
            let field = [input, features, output]
                .into_iter()
                .find_map(|schema| schema.get(name));
            let at = format!("monitoring.categorical[{i}]");
            let Some(field) = field else {
                return Err(format!(
                    "{at}: there is no column `{}` in the input ({input}), the features ({features}) or the answer \
                     ({output})",
                    shown(name)
                ));
            };
            if field.data_type.is_float() || !field.is_scalar() {
                return Err(format!(
                    "{at}: `{field}` is no integer, and only integers need this"
                ));
            }
        }
        for (i, name) in self.private.iter().enumerate() {
            if [input, features, output]
                .into_iter()
                .all(|schema| schema.get(name).is_none())
            {
                return Err(format!(
                    "monitoring.private[{i}]: there is no column `{}` in the input, the features or the answer",
                    shown(name)
                ));
            }
        }
        match &self.event_time {
            Some(time) => time.check_column("monitoring.event_time", input),
            None => Ok(()),
        }
    }
}

impl WindowsSpec {
    /// The bounds of its numbers; `at` says where it stands. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self, at: &str) -> Result<(), String> {
        let spec = self.resolve(at, false)?;
        let (step_min, size_max, unit) = match spec.clock {
            Clock::Rows => (STEP_ROWS_MIN, SIZE_ROWS_MAX, "rows"),
            Clock::EventTimeMs => (STEP_MS_MIN, SIZE_MS_MAX, "milliseconds"),
        };
        if spec.step < step_min || spec.size > size_max {
            return Err(format!(
                "{at}: windows of {} every {}: a step has at least {step_min} {unit}, a window at most {size_max}",
                self.size,
                self.step()
            ));
        }
        let steps = spec.size / spec.pane();
        if steps > STEPS_MAX || spec.lateness / spec.pane() > STEPS_MAX {
            let pane = spec.pane();
            return Err(format!(
                "{at}: {steps} pieces of {pane} {unit} in a window and {} in its lateness; at most {STEPS_MAX} are \
                 kept apart: make `size` and `step` multiples of a larger unit, or `lateness` smaller",
                spec.lateness / pane
            ));
        }
        spec.check().map_err(|e| format!("{at}: {e}"))?;
        if let Some(rows) = self
            .sample_rows
            .filter(|rows| !(100..=SAMPLE_ROWS_MAX).contains(rows))
        {
            return Err(format!(
                "{at}.sample_rows is {rows}; it is 100 to {SAMPLE_ROWS_MAX}"
            ));
        }
        if self.rows_min == Some(0) {
            return Err(format!("{at}.rows_min is 0; it is at least 1"));
        }
        Ok(())
    }

    /// The windows in the engine's form.
    ///
    /// # Errors
    ///
    /// A length that isn't of the clock, as a message.
    pub fn resolve(&self, at: &str, segmented: bool) -> Result<WindowSpec, String> {
        let step = self.step();
        let of = |name: &str, extent: Extent| match (self.clock, extent) {
            (ClockSpec::Rows, Extent::Rows(rows)) => Ok(rows),
            (ClockSpec::EventTime, Extent::Time(length)) => Ok(length.as_ms()),
            (ClockSpec::Rows, Extent::Time(length)) => Err(format!(
                "{at}.{name} is a time ({length}), and `clock: rows` counts rows"
            )),
            (ClockSpec::EventTime, Extent::Rows(rows)) => Err(format!(
                "{at}.{name} is {rows}, and the clock is event time: write a time (1h), or `clock: rows`"
            )),
        };
        let (size, step) = (of("size", self.size)?, of("step", step)?);
        let mut spec = match self.clock {
            ClockSpec::Rows => WindowSpec::rows(size, step),
            ClockSpec::EventTime => {
                let lateness = self.lateness.map_or(LATENESS_MS, Length::as_ms);
                WindowSpec::event_time_ms(size, step, lateness)
            }
        };
        if let (ClockSpec::Rows, Some(lateness)) = (self.clock, self.lateness) {
            return Err(format!(
                "{at}.lateness is {lateness}: windows that count rows have none"
            ));
        }
        spec.segments = if segmented { SEGMENTS_KEPT } else { 0 };
        Ok(spec)
    }

    fn step(&self) -> Extent {
        self.step.unwrap_or(self.size)
    }

    /// Rows of a sample.
    pub fn sample_rows(&self) -> usize {
        self.sample_rows.unwrap_or(SAMPLE_ROWS) as usize
    }

    /// Rows below which there is no verdict.
    pub fn rows_min(&self) -> u64 {
        self.rows_min.unwrap_or(ROWS_MIN)
    }
}

impl AgainstSpec {
    /// Is it the baseline?
    pub fn is_baseline(&self) -> bool {
        *self == Self::Baseline
    }

    /// Its number. Gives the message.
    ///
    /// # Errors
    ///
    /// None, or too many windows.
    pub fn check(self, at: &str) -> Result<(), String> {
        match self {
            Self::Trailing(windows) if !(1..=TRAILING_MAX).contains(&windows) => Err(format!(
                "{at}.trailing is {windows}; it is 1 to {TRAILING_MAX} windows"
            )),
            _ => Ok(()),
        }
    }
}

/// The number of columns that segments are made by. Gives the message.
///
/// # Errors
///
/// Too many, or one twice.
pub fn check_segments(at: &str, columns: &[String]) -> Result<(), String> {
    if columns.len() > SEGMENT_COLUMNS_MAX {
        return Err(format!(
            "{at}: {} columns; at most {SEGMENT_COLUMNS_MAX} are allowed: each gathers all rows once more",
            columns.len()
        ));
    }
    let twice = columns
        .iter()
        .enumerate()
        .find(|(i, name)| columns.iter().take(*i).any(|n| n == *name));
    match twice {
        Some((i, name)) => Err(format!("{at}[{i}]: `{}` is there twice", shown(name))),
        None => Ok(()),
    }
}

/// Are there such input columns, and have their values names?
///
/// # Errors
///
/// The first that isn't there or has a shape or fractions, as a message.
pub fn check_segment_columns(at: &str, columns: &[String], input: &Schema) -> Result<(), String> {
    for (i, name) in columns.iter().enumerate() {
        let Some(field) = input.get(name) else {
            return Err(format!(
                "{at}[{i}]: the input has no column `{}`; it has {input}",
                shown(name)
            ));
        };
        if !field.is_scalar()
            || field.data_type.is_float()
            || field.data_type == caisson_data::DataType::Bytes
        {
            return Err(format!(
                "{at}[{i}]: `{field}` makes no segments; text, booleans and integers do"
            ));
        }
    }
    Ok(())
}

fn shown(name: &str) -> String {
    let start: String = name.chars().take(80).collect();
    start.escape_debug().to_string()
}
