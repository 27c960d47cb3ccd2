//! An alarm that doesn't flap: n bad windows of the last m raise it, n good ones in a row end it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest memory: verdicts are bits of one word.
pub const WINDOWS_MAX: u8 = 64;

/// What a window's verdict was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing wrong.
    Good,
    /// Drifted, or worse than the baseline.
    Bad,
    /// Too few rows to say. It moves nothing: neither raises an alarm nor ends one.
    Unknown,
}

/// What a verdict did to the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was raised by this window.
    Raised,
    /// It was ended by this window.
    Ended,
    /// It is as before.
    None,
}

/// When an alarm is raised: `n` bad windows of the last `m` that have a verdict. `n` good ones in a row end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmSpec {
    /// Bad windows.
    #[schemars(range(min = 1, max = WINDOWS_MAX))]
    pub n: u8,
    /// Of the last so many.
    #[schemars(range(min = 1, max = WINDOWS_MAX))]
    pub m: u8,
}

impl Default for AlarmSpec {
    /// One window may be chance.
    fn default() -> Self {
        Self { n: 2, m: 3 }
    }
}

impl AlarmSpec {
    /// Is it what it is where nothing is said?
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The alarm, not raised.
    ///
    /// # Errors
    ///
    /// [`HysteresisError`] unless `1 <= n <= m <= 64`.
    pub fn hysteresis(self) -> Result<Hysteresis, HysteresisError> {
        Hysteresis::new(self.n, self.m)
    }
}

/// When an alarm is raised and ended.
///
/// It is raised once `n` of the last `m` known outcomes are bad. It ends once the last `n` are good and
/// fewer than `n` of the last `m` are bad. `n = m = 1` is no hysteresis at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "State")]
pub struct Hysteresis {
    n: u8,
    m: u8,
    seen: u8,
    /// The latest outcome is the lowest bit; 1 is bad.
    bad: u64,
    raised: bool,
}

/// What is read: a config has `n` and `m` alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    n: u8,
    m: u8,
    #[serde(default)]
    seen: u8,
    #[serde(default)]
    bad: u64,
    #[serde(default)]
    raised: bool,
}

impl TryFrom<State> for Hysteresis {
    type Error = HysteresisError;

    fn try_from(state: State) -> Result<Self, HysteresisError> {
        let Self { n, m, .. } = Self::new(state.n, state.m)?;
        Ok(Self {
            n,
            m,
            seen: state.seen.min(m),
            bad: state.bad & mask(m),
            raised: state.raised,
        })
    }
}

/// An `n` and `m` that can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{n} of {m} windows: n must be from 1 to m, and m at most {WINDOWS_MAX}")]
pub struct HysteresisError {
    n: u8,
    m: u8,
}

impl Hysteresis {
    /// `n` of `m`, without an alarm.
    ///
    /// # Errors
    ///
    /// [`HysteresisError`] unless `1 <= n <= m <= 64`.
    pub fn new(n: u8, m: u8) -> Result<Self, HysteresisError> {
        if n == 0 || n > m || m > WINDOWS_MAX {
            return Err(HysteresisError { n, m });
        }
        Ok(Self {
            n,
            m,
            seen: 0,
            bad: 0,
            raised: false,
        })
    }

    /// Take in a window's outcome.
    pub fn observe(&mut self, outcome: Outcome) -> Change {
        let bit = match outcome {
            Outcome::Good => 0,
            Outcome::Bad => 1,
            Outcome::Unknown => return Change::None,
        };
        self.seen = (self.seen + 1).min(self.m);
        self.bad = ((self.bad << 1) | bit) & mask(self.m);
        let has_reached = self.bad.count_ones() >= u32::from(self.n);
        let is_over = self.seen >= self.n && self.bad & mask(self.n) == 0 && !has_reached;
        match (self.raised, has_reached, is_over) {
            (false, true, _) => {
                self.raised = true;
                Change::Raised
            }
            (true, _, true) => {
                self.raised = false;
                Change::Ended
            }
            _ => Change::None,
        }
    }

    /// Is there an alarm?
    pub fn is_raised(&self) -> bool {
        self.raised
    }

    /// Bad ones among the last outcomes, and how many those are (at most `m`).
    pub fn recent(&self) -> (u32, u8) {
        (self.bad.count_ones(), self.seen)
    }
}

fn mask(bits: u8) -> u64 {
    u64::MAX >> (64 - u32::from(bits.clamp(1, 64)))
}
