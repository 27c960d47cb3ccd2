//! `datetime-parts`: calendar features of dates and times.
//!
//! The input is a scalar column of text (an ISO 8601 date, `2024-02-29`, or an RFC 3339 time,
//! `2024-02-29T23:59:59+02:00`; the offset may be absent) or of `int32` or `int64` counted since
//! 1970-01-01T00:00:00Z in the given `unit`. The parts are those of the clock `utc_offset` east of
//! UTC; a text without offset, and a count of days, is on that clock already.
//!
//! | part | values |
//! | --- | --- |
//! | `year`, `quarter`, `month`, `day` | 1 to 9999, 1 to 4, 1 to 12, 1 to 31 |
//! | `week` | 1 to 53, of ISO 8601 |
//! | `day_of_week` | Monday 0 to Sunday 6 |
//! | `day_of_year`, `days_in_month` | 1 to 366, 28 to 31 |
//! | `hour`, `minute`, `second` | from 0 |
//! | `season` | meteorological: 0 winter, 1 spring, 2 summer, 3 autumn; whole months, December to February being winter in the north and summer in the south |
//! | `is_weekend`, `is_holiday`, `is_month_start`, `is_month_end`, `is_leap_year` | Saturday or Sunday; in the `holidays` of the config |
//!
//! They have pandas' names, and except for `season` and `is_holiday` its values. `cyclic` adds, for
//! a part of period P that starts at 0,
//!
//! ```text
//! <part>_sin = sin(2π · part / P)     <part>_cos = cos(2π · part / P)
//! ```
//!
//! with P = 12 for `month`, 7 for `day_of_week`, 24 for `hour`, 60 for `minute` and `second`, and the
//! length of the month or year at hand for `day` and `day_of_year`.
//!
//! Outputs are named `<column>_<part>`: `int32`, or `boolean` for the flags, and `fp32` for sines and
//! cosines, unless `type` makes all of them floats. They stand where the input stood; `keep: true`
//! keeps the input and adds them at the end. A missing input gives missing parts. Text that is no
//! date, or a year outside 1 to 9999, refuses the request and names row and column, or with
//! `invalid: missing` gives missing parts.
//!
//! The calendar is the proleptic Gregorian one, by `caisson_plugin::dates`.

mod parts;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use caisson_plugin::BuilderExt;
use caisson_plugin::dates::{Date, parse_offset};
use caisson_plugin::elementwise::FloatType;
use caisson_plugin::prelude::*;

use crate::parts::{Cycle, Moment, Part};
use crate::source::{Source, Unit};

/// Holidays in a config: three centuries of a country with a dozen a year.
const HOLIDAYS_MAX: usize = 4096;

/// What to read, and which parts to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Parts by column.
    columns: BTreeMap<String, Parts>,
    /// The clock: `Z`, `+02:00`, `-05:30`.
    #[serde(default = "utc")]
    utc_offset: String,
    /// The dates on which `is_holiday` is true, such as `2026-12-25`.
    #[serde(default)]
    holidays: Vec<String>,
    /// For `season`.
    #[serde(default)]
    hemisphere: Hemisphere,
    /// What an input does that is no date.
    #[serde(default)]
    invalid: Invalid,
    /// Keep the inputs.
    #[serde(default)]
    keep: bool,
    /// Type of all outputs; absent: `int32`, `boolean` and `fp32`.
    r#type: Option<FloatType>,
}

fn utc() -> String {
    "Z".to_owned()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parts {
    /// What a number counts; for `int32` and `int64` columns, which need it.
    unit: Option<Unit>,
    /// The parts, in the order of the outputs.
    #[serde(default)]
    parts: Vec<Part>,
    /// The parts to give as sine and cosine, behind the others.
    #[serde(default)]
    cyclic: Vec<Cycle>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Hemisphere {
    #[default]
    North,
    South,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Invalid {
    /// Refuses the request.
    #[default]
    Error,
    /// Gives missing parts.
    Missing,
}

/// The configured plugin.
#[derive(Debug)]
pub struct DatetimeParts {
    steps: Vec<Step>,
    offset_seconds: i32,
    /// Days since 1970-01-01.
    holidays: BTreeSet<i64>,
    southern: bool,
    invalid: Invalid,
    output: Output,
}

#[derive(Debug)]
struct Step {
    from: usize,
    source: Source,
    parts: Vec<(Part, usize)>,
    /// With the places of sine and cosine.
    cyclic: Vec<(Cycle, usize, usize)>,
}

impl Transform for DatetimeParts {
    type Config = Config;

    const ABOUT: About = About {
        name: "datetime-parts",
        version: env!("CARGO_PKG_VERSION"),
        help: "Calendar features of text (ISO 8601 dates, RFC 3339 times) or of integers since 1970: year to \
               second, ISO week, weekday (Monday 0), season, weekend, holidays from a list, and cyclic parts as \
               sin and cos of 2 pi part / period, in UTC or at a fixed offset.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to take apart",
            ));
        }
        let offset_seconds = parse_offset(&config.utc_offset).ok_or_else(|| {
            Error::invalid_config("`utc_offset` must be `Z` or an offset such as `+02:00` or `-05:30`")
        })?;
        let mut plan = OutputPlan::of(input);
        let mut found = Vec::with_capacity(config.columns.len());
        for (name, parts) in config.columns {
            let (from, source) = Source::find(input, &name, parts.unit)?;
            if parts.parts.is_empty() && parts.cyclic.is_empty() {
                return Err(Error::invalid_config(format!(
                    "column `{name}` asks for no parts"
                )));
            }
            let nullable =
                input.field(from).is_some_and(|f| f.nullable) || config.invalid == Invalid::Missing;
            let field = |suffix: &str, native: DataType| {
                let data_type = config.r#type.map_or(native, FloatType::data_type);
                let field = Field::new(format!("{name}_{suffix}"), data_type);
                if nullable { field.nullable() } else { field }
            };
            let mut fields: Vec<Field> = Vec::with_capacity(parts.parts.len() + 2 * parts.cyclic.len());
            fields.extend(
                parts
                    .parts
                    .iter()
                    .map(|part| field(part.name(), part.data_type())),
            );
            for cycle in &parts.cyclic {
                fields.push(field(&format!("{}_sin", cycle.name()), DataType::Fp32));
                fields.push(field(&format!("{}_cos", cycle.name()), DataType::Fp32));
            }
            if config.keep {
                fields.into_iter().for_each(|field| plan.append(field));
            } else {
                plan.replace_with(&name, fields)?;
            }
            found.push((name, from, source, parts.parts, parts.cyclic));
        }
        let output = plan.finish()?;
        let steps = found.into_iter().map(|(name, from, source, parts, cyclic)| {
            let place = |suffix: &str| output.index_of(&format!("{name}_{suffix}"));
            let parts = parts.into_iter().map(|part| Ok((part, place(part.name())?)));
            let cyclic = cyclic.into_iter().map(|cycle| {
                let (sin, cos) = (format!("{}_sin", cycle.name()), format!("{}_cos", cycle.name()));
                Ok((cycle, place(&sin)?, place(&cos)?))
            });
            let parts = parts.collect::<Result<_, Error>>()?;
            let cyclic = cyclic.collect::<Result<_, Error>>()?;
            Ok(Step {
                from,
                source,
                parts,
                cyclic,
            })
        });
        let steps = steps.collect::<Result<_, Error>>()?;
        let schema = output.to_schema();
        let plugin = Self {
            steps,
            offset_seconds,
            holidays: read_holidays(&config.holidays)?,
            southern: config.hemisphere == Hemisphere::South,
            invalid: config.invalid,
            output,
        };
        Ok((plugin, schema))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut builder = self.output.begin(&input)?;
        for step in &self.steps {
            let moments = self.moments(&input.at(step.from)?, step.source)?;
            let moments = moments.iter().map(Option::as_ref);
            for (part, place) in &step.parts {
                let values = moments.clone().map(|m| m.map(|m| part.of(m)));
                write(&mut builder, *place, values)?;
            }
            for (cycle, sin, cos) in &step.cyclic {
                let angles = moments.clone().map(|m| m.map(|m| cycle.angle(m)));
                builder.fill_numbers(*sin, angles.clone().map(|a| a.map(f64::sin)))?;
                builder.fill_numbers(*cos, angles.map(|a| a.map(f64::cos)))?;
            }
        }
        Ok(builder.finish()?)
    }
}

impl DatetimeParts {
    /// The moment of each row, `None` where missing.
    fn moments(&self, column: &Column<'_>, source: Source) -> Result<Vec<Option<Moment>>, Error> {
        let moment = |row: usize| {
            if column.is_missing(row) {
                return Ok(None);
            }
            let seconds = source.seconds(column, row, self.offset_seconds);
            let moment = seconds.and_then(|s| Moment::new(s, &self.holidays, self.southern));
            match (moment, self.invalid) {
                (None, Invalid::Error) => Err(source.refusal(column, row)),
                (moment, _) => Ok(moment),
            }
        };
        (0..column.rows()).map(moment).collect()
    }
}

fn read_holidays(dates: &[String]) -> Result<BTreeSet<i64>, Error> {
    if dates.len() > HOLIDAYS_MAX {
        return Err(Error::invalid_config(format!(
            "{} holidays; at most {HOLIDAYS_MAX} are allowed",
            dates.len()
        )));
    }
    let read = |text: &String| {
        let date = Date::parse(text);
        date.map(Date::days)
            .ok_or_else(|| Error::invalid_config(format!("holiday {text:?} is no date such as 2026-12-25")))
    };
    dates.iter().map(read).collect()
}

/// Write a part into its column, of whichever type that is.
fn write(
    builder: &mut BatchBuilder,
    place: usize,
    values: impl Iterator<Item = Option<i32>> + Clone,
) -> Result<(), Error> {
    match builder.schema().field(place).map(|field| field.data_type) {
        Some(DataType::Int32) => builder.fill(place, values),
        Some(DataType::Boolean) => {
            let flags = builder.booleans_mut(place).unwrap_or_default();
            flags
                .iter_mut()
                .zip(values.clone())
                .for_each(|(flag, value)| *flag = u8::from(value == Some(1)));
            for (row, value) in values.enumerate() {
                if value.is_none() {
                    builder.set_missing(place, row);
                }
            }
            Ok(())
        }
        _ => builder.fill_numbers(place, values.map(|v| v.map(f64::from))),
    }
}

caisson_plugin::export!(transform: DatetimeParts);

#[cfg(test)]
mod tests;
