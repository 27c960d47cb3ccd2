//! `rfm`: recency, frequency and monetary value of a customer, from a list of transactions in each
//! row.
//!
//! Let d₁ ≤ … ≤ dₙ be the days of a row's transactions that are not after the reference day r, with
//! amounts a₁ … aₙ; let p be the number of different days among them and s₁ … sₚ the sum of each such
//! day; let m be `freq_multiplier` (1 for days, 7 for weeks).
//!
//! | output | `definition: lifetimes` | `definition: marketing` |
//! | --- | --- | --- |
//! | `recency` | (dₙ − d₁) / m, the age at the last purchase | (r − dₙ) / m, the time since it |
//! | `frequency` | p − 1, the days with a repeat purchase | n |
//! | `T` | (r − d₁) / m, the age | (r − d₁) / m |
//! | `monetary_value` | (s₂ + … + sₚ) / (p − 1), and 0 where p = 1 | a₁ + … + aₙ |
//! | `average_order_value` | (a₁ + … + aₙ) / n | (a₁ + … + aₙ) / n |
//!
//! The left column is `summary_data_from_transaction_data` of the Python package lifetimes with
//! `freq="D"`; with `include_first_transaction` its frequency is p and its monetary value
//! (s₁ + … + sₚ) / p. Sums are taken in the order of days and amounts, so the order of a row's
//! transactions makes no difference.
//!
//! # Transactions
//!
//! - `transactions` names a text column of JSON, `[["1997-01-01", 11.77], …]`: an ISO 8601 date or
//!   RFC 3339 time (the day is UTC's, or the text's own where it has no offset) and a finite amount.
//! - `arrays` names two columns of one shape `[k]`: `dates` (`int32` or `int64`, in `unit` since
//!   1970-01-01, cut to days) and `amounts` (any number type). With a `count` column (any integer
//!   type) the first `count` places of a row are its transactions; each must be one. Without it, a
//!   place is empty where its date is `padding` (the least value of its type unless given, which is
//!   what pandas writes for NaT) or its amount NaN.
//!
//! The inputs are dropped unless `keep`; the outputs come last, under `prefix` and their name.
//!
//! # Rows without transactions
//!
//! A row without any transaction up to r has no recency and no age: all outputs are missing, or with
//! `empty: error` the request is refused. Outputs of a row whose transactions or reference day are
//! missing are missing.

mod measures;
mod source;

use caisson_plugin::dates::Date;
use caisson_plugin::elementwise::FloatType;
use caisson_plugin::prelude::*;

use crate::measures::{Measure, Rules, Summary};
use crate::source::{Arrays, Days, Source};

/// Where the transactions are and what to say of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A text column of JSON; this or `arrays`.
    transactions: Option<String>,
    /// Columns of dates and amounts; this or `transactions`.
    arrays: Option<Arrays>,
    /// The day from which is looked back: a date, or a column of them.
    reference_date: Reference,
    /// Whose formulas.
    definition: Definition,
    /// The outputs, in order; all five where absent.
    outputs: Option<Vec<Measure>>,
    /// Goes before the outputs' names.
    #[serde(default)]
    prefix: String,
    /// Days in a unit of time, above 0.
    #[serde(default = "one")]
    freq_multiplier: f64,
    /// Count the first purchase too; only with `definition: lifetimes`.
    #[serde(default)]
    include_first_transaction: bool,
    /// What a row without a transaction up to the reference day does.
    #[serde(default)]
    empty: Empty,
    /// Keep the inputs.
    #[serde(default)]
    keep: bool,
    /// Type of the outputs; `fp32` where absent.
    r#type: Option<FloatType>,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Reference {
    /// Such as `1997-12-31`.
    Date(String),
    /// A column.
    Column {
        /// A text column of dates, or `int32` or `int64` days since 1970-01-01.
        column: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Definition {
    /// Of the Python package lifetimes: repeat purchases.
    Lifetimes,
    /// Of marketing: all purchases.
    Marketing,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Empty {
    /// Its outputs are missing.
    #[default]
    Missing,
    /// The request is refused.
    Error,
}

#[derive(Debug)]
enum Until {
    Day(i64),
    Column(Days),
}

/// The configured plugin.
#[derive(Debug)]
pub struct Rfm {
    source: Source,
    until: Until,
    rules: Rules,
    empty: Empty,
    outputs: Vec<(Measure, usize)>,
    output: Output,
}

impl Transform for Rfm {
    type Config = Config;

    const ABOUT: About = About {
        name: "rfm",
        version: env!("CARGO_PKG_VERSION"),
        help: "recency, frequency, T, monetary_value and average_order_value of each row's list of transactions \
               up to a reference day: as the Python package lifetimes defines them (repeat purchases; recency is \
               the age at the last one) or as marketing does (all purchases; recency is the time since the last). \
               Transactions come as JSON text [[date, amount], ...] or as two columns of one shape.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if !(config.freq_multiplier > 0.0 && config.freq_multiplier.is_finite()) {
            return Err(Error::invalid_config("`freq_multiplier` must be above 0"));
        }
        if config.include_first_transaction && config.definition == Definition::Marketing {
            return Err(Error::invalid_config(
                "`include_first_transaction` is for `definition: lifetimes`: marketing counts all purchases",
            ));
        }
        let source = match (&config.transactions, &config.arrays) {
            (Some(name), None) => Source::json(input, name)?,
            (None, Some(arrays)) => Source::arrays(input, arrays)?,
            _ => {
                return Err(Error::invalid_config(
                    "give `transactions` or `arrays`, one of the two",
                ));
            }
        };
        let until = match &config.reference_date {
            Reference::Date(text) => Until::Day(Date::parse(text).map(Date::days).ok_or_else(|| {
                Error::invalid_config(format!("`reference_date` {text:?} is no date such as 1997-12-31"))
            })?),
            Reference::Column { column } => Until::Column(Days::find(input, column)?),
        };

        let mut inputs = source.columns();
        if let Until::Column(days) = &until {
            inputs.push(days.index());
        }
        inputs.sort_unstable();
        inputs.dedup();
        let inputs: Vec<&Field> = inputs.iter().filter_map(|&index| input.field(index)).collect();
        let nullable = config.empty == Empty::Missing || inputs.iter().any(|field| field.nullable);
        let mut plan = OutputPlan::of(input);
        if !config.keep {
            for field in inputs {
                plan.remove(&field.name)?;
            }
        }
        let measures = config.outputs.unwrap_or_else(|| Measure::ALL.to_vec());
        if measures.is_empty() {
            return Err(Error::invalid_config(
                "`outputs` is empty: there is nothing to compute",
            ));
        }
        let name_of = |measure: &Measure| format!("{}{}", config.prefix, measure.name());
        for measure in &measures {
            let field = Field::new(
                name_of(measure),
                config.r#type.unwrap_or(FloatType::Fp32).data_type(),
            );
            plan.append(if nullable { field.nullable() } else { field });
        }
        let output = plan.finish()?;
        let outputs = measures
            .into_iter()
            .map(|measure| Ok((measure, output.index_of(&name_of(&measure))?)));
        let outputs = outputs.collect::<Result<_, Error>>()?;
        let rules = Rules {
            marketing: config.definition == Definition::Marketing,
            freq_multiplier: config.freq_multiplier,
            include_first_transaction: config.include_first_transaction,
        };
        let schema = output.to_schema();
        Ok((
            Self {
                source,
                until,
                rules,
                empty: config.empty,
                outputs,
                output,
            },
            schema,
        ))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let summaries = self.summaries(&input)?;
        let mut builder = self.output.begin(&input)?;
        for (measure, place) in &self.outputs {
            let values = summaries
                .iter()
                .map(|summary| summary.as_ref().map(|s| s.get(*measure)));
            builder.fill_numbers(*place, values)?;
        }
        Ok(builder.finish()?)
    }
}

impl Rfm {
    /// The measures of each row, `None` where they are missing.
    fn summaries(&self, input: &Batch) -> Result<Vec<Option<Summary>>, Error> {
        let rows = self.source.open(input)?;
        let mut transactions = Vec::new();
        let mut summaries = Vec::with_capacity(input.rows());
        for row in 0..input.rows() {
            let until = match &self.until {
                Until::Day(day) => Some(*day),
                Until::Column(days) => days.get(input, row)?,
            };
            let present = rows.read(row, &mut transactions)?;
            let Some(until) = until.filter(|_| present) else {
                summaries.push(None);
                continue;
            };
            let summary = Summary::of(&mut transactions, until, &self.rules);
            if summary.is_none() && self.empty == Empty::Error {
                return Err(Error::bad_input(
                    row,
                    rows.name(),
                    "there is no transaction up to the reference day",
                ));
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }
}

caisson_plugin::export!(transform: Rfm);

#[cfg(test)]
mod tests;
