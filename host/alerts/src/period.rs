//! Lengths of time as people write them: `10m`, `1h30m`, `7d`.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest that may be written: what takes longer than a month is a report, not an alert.
pub const PERIOD_MAX: Period = Period::secs(31 * 24 * 3600);

/// A length of time, from nothing to [`PERIOD_MAX`]; written `90s`, `10m`, `1h30m`, `7d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Period(SignedDuration);

impl Period {
    /// So many seconds.
    pub const fn secs(secs: u32) -> Self {
        Self(SignedDuration::from_secs(secs as i64))
    }

    /// As jiff has it.
    pub fn get(self) -> SignedDuration {
        self.0
    }

    /// Nothing?
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "`{}` is no length of time: {why}; write `90s`, `10m`, `1h30m` or `7d`",
                crate::name::shown(text)
            )
        };
        let duration = text
            .parse::<Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| bad("it can't be read"))?;
        if duration.is_negative() {
            return Err(bad("it is negative"));
        }
        if duration > PERIOD_MAX.0 {
            return Err(bad("it is more than 31 days"));
        }
        Ok(Self(duration))
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, secs, shown) in [
            ("0s", 0, "0s"),
            ("90s", 90, "1m 30s"),
            ("10m", 600, "10m"),
            ("1h30m", 5400, "1h 30m"),
            ("7d", 604_800, "168h"),
            ("2 hours", 7200, "2h"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period, Period::secs(secs), "{text}");
            assert_eq!(period.to_string(), shown);
            assert_eq!(shown.parse::<Period>().unwrap(), period);
        }
        for text in ["", "10", "m", "-5m", "32d", "1 month", "1h banana"] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.contains("10m"), "{error}");
        }
    }
}
