//! Lengths of time in a deployment's file: `90s`, `10m`, `1h30m`, `1d`, `1w`. A day has 24 hours.

use std::borrow::Cow;

use jiff::{Span, SpanRelativeTo, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(u64);

impl Length {
    /// So many milliseconds.
    pub const fn ms(ms: u64) -> Self {
        Self(ms)
    }

    /// In milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(40).collect();
            format!(
                "`{}` is no length of time: write 90s, 10m, 1h30m, 1d or 1w",
                shown.escape_debug()
            )
        };
        let span: Span = text.parse().map_err(|_| wrong())?;
        let relative = SpanRelativeTo::days_are_24_hours();
        let ms = span.total((Unit::Millisecond, relative)).map_err(|_| wrong())?;
        // Casts from floats saturate; the bounds come later.
        (ms >= 0.0 && ms.fract() == 0.0)
            .then_some(Self(ms as u64))
            .ok_or_else(wrong)
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [
            (604_800_000, "w"),
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1000, "s"),
        ];
        let unit = units
            .into_iter()
            .find(|(ms, _)| self.0 > 0 && self.0.is_multiple_of(*ms));
        match unit {
            Some((ms, unit)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: `90s`, `10m`, `1h30m`, `1d`, `1w`.",
        })
    }
}
