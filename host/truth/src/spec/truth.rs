//! `ground_truth`: what labels look like, which prediction each is of, and how long they are waited for.

use caisson_data::{DataType, Field, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::within;

/// A hundred years: nobody waits longer.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;
/// Thirty days: labels of credit come later, those of clicks sooner, and each says so.
const LATENESS_SECONDS: u64 = 30 * 86_400;
/// Ten years.
const KEEP_DAYS_MAX: u32 = 3650;
const KEEP_DAYS: u32 = 90;
/// A pebibyte.
const KEEP_MIB_MAX: u64 = 1 << 30;
const KEEP_MIB: u64 = 1 << 10;
/// Columns that make a key: entity, place, product; more is a row, not a key.
const KEY_COLUMNS_MAX: usize = 8;

/// What came true of predictions. Absent: nothing is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroundTruthSpec {
    /// The label: the name of its column in what is sent (and in the baseline), and its type.
    pub label: Field,
    /// Which prediction a label is of.
    #[serde(default, skip_serializing_if = "JoinSpec::is_default")]
    pub join: JoinSpec,
    /// Seconds after a prediction for which its label is waited for (default 2592000, thirty days). A
    /// label that comes later is kept and counted, and changes no window.
    #[schemars(range(min = 1, max = SECONDS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness_seconds: Option<u64>,
    /// Days after which labels are removed (default 90).
    #[schemars(range(min = 1, max = KEEP_DAYS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Mebibytes of labels beyond which the oldest are removed (default 1024).
    #[schemars(range(min = 1, max = KEEP_MIB_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_mib: Option<u64>,
}

/// Which prediction a label is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinSpec {
    /// The one of its `request_id` and, for requests of several rows, `row`.
    #[default]
    RequestId,
    /// Those of the same thing.
    Key(KeySpec),
}

impl JoinSpec {
    fn is_default(&self) -> bool {
        *self == Self::RequestId
    }
}

/// Predictions of the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// The input columns that say what it is, `[customer_id]`.
    #[schemars(length(min = 1, max = KEY_COLUMNS_MAX))]
    pub columns: Vec<String>,
    /// A label with the time `event_time` is of the predictions whose own event time is this many seconds
    /// before it at most, and not after it (default 0: at the same time).
    #[schemars(range(max = SECONDS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_seconds: Option<u64>,
}

impl GroundTruthSpec {
    /// The bounds of its numbers. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self) -> Result<(), String> {
        within(
            "ground_truth.lateness_seconds",
            self.lateness_seconds,
            1,
            SECONDS_MAX,
        )?;
        within(
            "ground_truth.keep_days",
            self.keep_days.map(u64::from),
            1,
            KEEP_DAYS_MAX.into(),
        )?;
        within("ground_truth.keep_mib", self.keep_mib, 1, KEEP_MIB_MAX)?;
        if !self.label.is_scalar() {
            return Err(format!(
                "ground_truth.label: `{}` has a shape; a label is one value",
                self.label
            ));
        }
        if matches!(
            self.label.data_type,
            DataType::Bytes | DataType::Fp16 | DataType::Bf16
        ) {
            return Err(format!(
                "ground_truth.label: `{}` is of a type that labels can't have; text, bool, integers, fp32 and fp64 are",
                self.label
            ));
        }
        if self.label.nullable {
            return Err(
                "ground_truth.label: a label isn't nullable: leave out the rows that have none".to_owned(),
            );
        }
        if let JoinSpec::Key(key) = &self.join {
            within(
                "ground_truth.join.key.within_seconds",
                key.within_seconds,
                0,
                SECONDS_MAX,
            )?;
            if !(1..=KEY_COLUMNS_MAX).contains(&key.columns.len()) {
                return Err(format!(
                    "ground_truth.join.key.columns: {} columns; it is 1 to {KEY_COLUMNS_MAX}",
                    key.columns.len()
                ));
            }
        }
        Ok(())
    }

    /// The columns of what is sent: what joins it, the label, and when it was observed.
    ///
    /// # Errors
    ///
    /// Columns of one name, and key columns that the input hasn't, as a message.
    pub fn feedback_schema(&self, input: &Schema) -> Result<Schema, String> {
        let mut fields = match &self.join {
            JoinSpec::RequestId => vec![
                Field::new(REQUEST_ID, DataType::Text),
                Field::new(ROW, DataType::Int64).nullable(),
            ],
            JoinSpec::Key(key) => {
                let mut fields = Vec::with_capacity(key.columns.len() + 1);
                for name in &key.columns {
                    let field = input.get(name).ok_or_else(|| {
                        format!(
                            "ground_truth.join.key.columns: the input has no column `{}`",
                            super::shown(name)
                        )
                    })?;
                    fields.push(Field::new(name.clone(), field.data_type));
                }
                fields.push(Field::new(EVENT_TIME, DataType::Text));
                fields
            }
        };
        fields.push(self.label.clone());
        fields.push(Field::new(OBSERVED_AT, DataType::Text).nullable());
        Schema::new(fields).map_err(|e| format!("ground_truth: the columns of feedback: {e}"))
    }

    /// Microseconds for which a label is waited for.
    pub(crate) fn lateness_micros(&self) -> i64 {
        micros(self.lateness_seconds.unwrap_or(LATENESS_SECONDS))
    }

    /// Microseconds that a label may be later than its prediction; `None` where requests are joined.
    pub(crate) fn within_micros(&self) -> i64 {
        match &self.join {
            JoinSpec::RequestId => 0,
            JoinSpec::Key(key) => micros(key.within_seconds.unwrap_or(0)),
        }
    }

    /// Hours for which labels are kept.
    pub fn keep_hours(&self) -> i64 {
        i64::from(self.keep_days.unwrap_or(KEEP_DAYS)) * 24
    }

    /// Bytes of labels that are kept.
    pub fn keep_bytes(&self) -> u64 {
        self.keep_mib.unwrap_or(KEEP_MIB) << 20
    }
}

pub(crate) const REQUEST_ID: &str = "request_id";
pub(crate) const ROW: &str = "row";
pub(crate) const EVENT_TIME: &str = "event_time";
pub(crate) const OBSERVED_AT: &str = "observed_at";

/// Seconds within the bounds above, so that it fits.
pub(crate) fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}
