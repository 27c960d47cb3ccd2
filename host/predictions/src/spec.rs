//! What a deployment's file says of its log.

use std::collections::BTreeMap;
use std::time::Duration;

use caisson_data::{Batch, DataType, Field, Schema};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds for which a row may wait: what a crash loses. An hour is a partition.
const FLUSH_SECONDS_MAX: u32 = 3600;
const FLUSH_SECONDS: u32 = 60;
/// Mebibytes of rows in memory that become one file. While a file is encoded it is in memory three times.
const FLUSH_MIB_MAX: u32 = 64;
const FLUSH_MIB: u32 = 16;
/// Days: ten years.
const KEEP_DAYS_MAX: u32 = 3650;
const KEEP_DAYS: u32 = 30;
/// Mebibytes: a pebibyte.
const KEEP_MIB_MAX: u64 = 1 << 30;
const KEEP_MIB: u64 = 10 << 10;

/// Log what sampled requests send and get. Absent: nothing is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSpec {
    /// The share of requests, above 0 and up to 1.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub sample: f64,
    /// Log what the transforms gave, too. They run again for it, after the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub features: bool,
    /// Columns that don't leave the server as they are, by name, wherever they stand: in the input, the
    /// features and the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redact: BTreeMap<String, Redaction>,
    /// The input column that says when what is predicted about happened; when the request came, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTimeSpec>,
    /// Seconds for which rows may wait in memory (default 60, at most 3600).
    #[schemars(range(min = 1, max = FLUSH_SECONDS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_seconds: Option<u32>,
    /// Mebibytes in memory with which a file is written sooner (default 16, at most 64).
    #[schemars(range(min = 1, max = FLUSH_MIB_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_mib: Option<u32>,
    /// Days after which files are removed (default 30).
    #[schemars(range(min = 1, max = KEEP_DAYS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Mebibytes of files beyond which the oldest are removed (default 10240).
    #[schemars(range(min = 1, max = KEEP_MIB_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_mib: Option<u64>,
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redaction {
    /// It is left out.
    Drop,
    /// Text in its place: 32 hexadecimal digits of an HMAC-SHA256 under the tenant's key. Equal values
    /// have equal ones, in every column and deployment of the tenant, so rows can still be joined.
    Hash,
}

/// Where the time of an event stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTimeSpec {
    /// An input column: text in RFC 3339, or an integer since 1970 with its `unit`.
    pub column: String,
    /// What an integer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeUnit>,
}

/// What an integer counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

impl TimeUnit {
    fn micros(self, value: i64) -> Option<i64> {
        value.checked_mul(match self {
            Self::Seconds => 1_000_000,
            Self::Milliseconds => 1000,
            Self::Microseconds => 1,
        })
    }
}

impl EventTimeSpec {
    /// Is there such a column, and can it be read as a time? `at` says where this stands in the file.
    ///
    /// # Errors
    ///
    /// What is wrong, as a message.
    pub fn check_column(&self, at: &str, input: &Schema) -> Result<(), String> {
        let Some(field) = input.get(&self.column) else {
            return Err(format!(
                "{at}.column: the input has no column `{}`",
                self.column.chars().take(80).collect::<String>().escape_debug()
            ));
        };
        match (field.data_type, self.unit) {
            _ if !field.is_scalar() => Err(format!("{at}.column: `{field}` has a shape")),
            (DataType::Text, None) => Ok(()),
            (DataType::Text, Some(_)) => Err(format!(
                "{at}.unit: the column is text, in RFC 3339; leave the unit out"
            )),
            (DataType::Int64, Some(_)) => Ok(()),
            (DataType::Int64, None) => Err(format!(
                "{at}.unit: say what the integers count: seconds, milliseconds or microseconds"
            )),
            _ => Err(format!("{at}.column: `{field}` is neither text nor int64")),
        }
    }

    /// When each row's event was, in microseconds since 1970; none where the column has none that can be
    /// read.
    pub fn times(&self, input: &Batch) -> Vec<Option<i64>> {
        let Some(column) = input.column_named(&self.column) else {
            return vec![None; input.rows()];
        };
        let time = |row: usize| {
            if !column.validity().is_present(row) {
                return None;
            }
            match self.unit {
                None => Some(column.text(row)?.parse::<Timestamp>().ok()?.as_microsecond()),
                Some(unit) => unit.micros(*column.int64s()?.get(row)?),
            }
        };
        (0..input.rows()).map(time).collect()
    }
}

impl LogSpec {
    /// The bounds of its numbers. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self) -> Result<(), String> {
        // NaN is in no range.
        if !(self.sample > 0.0 && self.sample <= 1.0) {
            return Err(format!(
                "log.sample is {}; it is above 0 and at most 1 (leave `log` out to log nothing)",
                self.sample
            ));
        }
        let numbers = [
            (
                "flush_seconds",
                self.flush_seconds.map(u64::from),
                FLUSH_SECONDS_MAX.into(),
            ),
            ("flush_mib", self.flush_mib.map(u64::from), FLUSH_MIB_MAX.into()),
            ("keep_days", self.keep_days.map(u64::from), KEEP_DAYS_MAX.into()),
            ("keep_mib", self.keep_mib, KEEP_MIB_MAX),
        ];
        for (name, given, max) in numbers {
            if let Some(n) = given.filter(|n| !(1..=max).contains(n)) {
                return Err(format!("log.{name} is {n}; it is 1 to {max}"));
            }
        }
        Ok(())
    }

    /// Do the columns that it names exist, and can they be what it says?
    ///
    /// # Errors
    ///
    /// The first that doesn't or can't, as a message.
    pub fn check_columns(&self, input: &Schema, features: &Schema, output: &Schema) -> Result<(), String> {
        for (name, redaction) in &self.redact {
            let shown = name.chars().take(80).collect::<String>();
            let shown = shown.escape_debug();
            let mut found = false;
            for (place, schema) in [("input", input), ("features", features), ("output", output)] {
                let Some(field) = schema.index_of(name).and_then(|index| schema.field(index)) else {
                    continue;
                };
                found = true;
                if *redaction == Redaction::Hash && !can_be_hashed(field) {
                    return Err(format!(
                        "log.redact.{shown}: the column of the {place} is `{field}`; only text, bytes, booleans \
                         and integers can be hashed: drop it"
                    ));
                }
            }
            if !found {
                return Err(format!(
                    "log.redact.{shown}: there is no column of this name in the input, the features or the output"
                ));
            }
        }
        match &self.event_time {
            Some(time) => time.check_column("log.event_time", input),
            None => Ok(()),
        }
    }

    /// How long a row may wait in memory.
    pub fn flush_every(&self) -> Duration {
        Duration::from_secs(self.flush_seconds.unwrap_or(FLUSH_SECONDS).into())
    }

    pub(crate) fn flush_bytes(&self) -> usize {
        (self.flush_mib.unwrap_or(FLUSH_MIB) as usize) << 20
    }

    pub(crate) fn keep_hours(&self) -> i64 {
        i64::from(self.keep_days.unwrap_or(KEEP_DAYS)) * 24
    }

    pub(crate) fn keep_bytes(&self) -> u64 {
        self.keep_mib.unwrap_or(KEEP_MIB) << 20
    }
}

/// Floats of one value may have several texts, and tensors aren't keys.
fn can_be_hashed(field: &Field) -> bool {
    field.is_scalar() && !field.data_type.is_float()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> LogSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_have_bounds() {
        for (text, ok) in [
            (r#"{"sample": 0.1}"#, true),
            (r#"{"sample": 1}"#, true),
            (r#"{"sample": 0}"#, false),
            (r#"{"sample": 1.01}"#, false),
            (r#"{"sample": 1, "flush_seconds": 0}"#, false),
            (r#"{"sample": 1, "flush_mib": 65}"#, false),
            (r#"{"sample": 1, "keep_days": 3650}"#, true),
            (r#"{"sample": 1, "keep_mib": 0}"#, false),
        ] {
            assert_eq!(spec(text).check().is_ok(), ok, "{text}");
        }
        assert!(serde_json::from_str::<LogSpec>(r#"{"sample": 1, "redcat": {}}"#).is_err());
    }

    #[test]
    fn columns_must_exist_and_fit() {
        let schema = |fields: &[(&str, DataType)]| {
            Schema::new(fields.iter().map(|(n, t)| Field::new(*n, *t)).collect()).unwrap()
        };
        let input = schema(&[
            ("id", DataType::Int64),
            ("at", DataType::Text),
            ("x", DataType::Fp32),
        ]);
        let features = schema(&[("x", DataType::Fp32)]);
        let output = schema(&[("score", DataType::Fp32)]);
        for (rest, wrong) in [
            (r#""redact": {"id": "hash", "x": "drop", "score": "drop"}"#, None),
            (r#""redact": {"nome": "drop"}"#, Some("nome")),
            (r#""redact": {"x": "hash"}"#, Some("hashed")),
            (r#""event_time": {"column": "at"}"#, None),
            (r#""event_time": {"column": "id", "unit": "seconds"}"#, None),
            (r#""event_time": {"column": "id"}"#, Some("unit")),
            (
                r#""event_time": {"column": "at", "unit": "seconds"}"#,
                Some("unit"),
            ),
            (r#""event_time": {"column": "x"}"#, Some("neither")),
            (r#""event_time": {"column": "score"}"#, Some("no column")),
        ] {
            let found = spec(&format!("{{\"sample\": 1, {rest}}}")).check_columns(&input, &features, &output);
            match wrong {
                None => assert_eq!(found, Ok(()), "{rest}"),
                Some(word) => assert!(found.unwrap_err().contains(word), "{rest}"),
            }
        }
    }
}
