//! Reading a row's time: from text, or from a number of some unit.

use caisson_plugin::dates::{DAY_SECONDS, NEEDED, Timestamp};
use caisson_plugin::prelude::*;
use caisson_plugin::show::show;

/// What a number counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Days, on the clock of the config.
    Days,
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// How a column says its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Text,
    Number(Unit),
}

impl Source {
    /// Find a column and how it is read.
    pub(crate) fn find(input: &Schema, name: &str, unit: Option<Unit>) -> Result<(usize, Self), Error> {
        let index = NEEDED.find(input, name)?;
        let is_text = input.field(index).is_some_and(|f| f.data_type == DataType::Text);
        match (is_text, unit) {
            (true, None) => Ok((index, Self::Text)),
            (false, Some(unit)) => Ok((index, Self::Number(unit))),
            (true, Some(_)) => Err(Error::invalid_config(format!(
                "column `{name}` is text, which has no `unit`"
            ))),
            (false, None) => Err(Error::invalid_config(format!(
                "column `{name}` holds numbers: give their `unit`"
            ))),
        }
    }

    /// Seconds since 1970-01-01T00:00:00 on a clock at this offset; `None` for what is no time.
    pub(crate) fn seconds(self, column: &Column<'_>, row: usize, offset_seconds: i32) -> Option<i64> {
        let unit = match self {
            Self::Text => return Some(Timestamp::parse(column.text(row)?)?.seconds_at(offset_seconds)),
            Self::Number(unit) => unit,
        };
        let count = match column.int64s() {
            Some(list) => *list.get(row)?,
            None => i64::from(*column.int32s()?.get(row)?),
        };
        let per_second = match unit {
            Unit::Days => return count.checked_mul(DAY_SECONDS),
            Unit::S => 1,
            Unit::Ms => 1_000,
            Unit::Us => 1_000_000,
            Unit::Ns => 1_000_000_000,
        };
        count
            .div_euclid(per_second)
            .checked_add(i64::from(offset_seconds))
    }

    /// The error that names a value which is no time.
    pub(crate) fn refusal(self, column: &Column<'_>, row: usize) -> Error {
        let value = show(column, row);
        let message = match self {
            Self::Text => {
                format!("{value} is no date or time such as 2024-02-29 or 2024-02-29T23:59:59+02:00")
            }
            Self::Number(_) => format!("{value} lies outside the years 1 to 9999"),
        };
        Error::bad_input(row, &column.field().name, message)
    }
}
