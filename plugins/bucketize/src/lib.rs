//! `bucketize`: sorts numbers into buckets between fixed edges, as `numpy.digitize`,
//! scikit-learn's `KBinsDiscretizer` after fitting, and `pandas.cut`.
//!
//! With edges e₀ < e₁ < … < eₙ the bucket of x is found by
//!
//! ```text
//! eᵢ₋₁ ≤ x < eᵢ     or with `right: true`    eᵢ₋₁ < x ≤ eᵢ
//! ```
//!
//! and `outside` says what lies beyond the outer edges:
//!
//! | `outside` | buckets | x below e₀, x above eₙ | counterpart |
//! | --- | --- | --- | --- |
//! | `open` (default) | n + 2, numbered i | 0, n + 1 | `np.digitize(x, edges, right)` |
//! | `clip` | n, numbered i − 1 | 0, n − 1 | `KBinsDiscretizer` with `bin_edges_` |
//! | `missing` | n, numbered i − 1 | missing | `pd.cut(x, edges, right)`, codes |
//! | `error` | n, numbered i − 1 | refused | |
//!
//! The result is an index of type `type` (`int64` unless changed), or text where `labels` names the
//! buckets. NaN belongs to no bucket and is refused unless `nan` says otherwise; `last` is NumPy's
//! answer. Missing stays missing. Values are compared as `fp64`, so integers past 2⁵³ are rounded
//! first. `into` keeps the input and adds the result under that name.

mod edges;

use std::collections::BTreeMap;

use caisson_plugin::elementwise::NUMBERS;
use caisson_plugin::prelude::*;
use caisson_plugin::show::{place_in_row, show};

use crate::edges::{Bucket, Edges};

/// The buckets of each column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Buckets by column.
    columns: BTreeMap<String, Buckets>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Buckets {
    /// Strictly increasing; at least one, or two unless `outside` is `open`.
    edges: Vec<f64>,
    /// Does a bucket hold its right edge, rather than its left?
    #[serde(default)]
    right: bool,
    /// What lies beyond the outer edges.
    #[serde(default)]
    outside: Outside,
    /// What becomes of NaN.
    #[serde(default)]
    nan: Nan,
    /// A name for each bucket: the result is text.
    labels: Option<Vec<String>>,
    /// Type of the index, where there are no labels.
    #[serde(default)]
    r#type: IndexType,
    /// Keep the input, and add the result under this name at the end.
    into: Option<String>,
}

/// See the table above.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outside {
    /// Two more buckets, open to the outside.
    #[default]
    Open,
    /// The outer buckets take it.
    Clip,
    /// The result is missing.
    Missing,
    /// The request is refused; row and column are named.
    Error,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Nan {
    /// The request is refused; row and column are named.
    #[default]
    Error,
    /// The result is missing.
    Missing,
    /// The last bucket, as `np.digitize` gives.
    Last,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IndexType {
    #[default]
    Int64,
    Int32,
    Fp32,
    Fp64,
}

impl IndexType {
    const fn data_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Int32 => DataType::Int32,
            Self::Fp32 => DataType::Fp32,
            Self::Fp64 => DataType::Fp64,
        }
    }
}

/// The configured plugin.
#[derive(Debug)]
pub struct Bucketize {
    steps: Vec<Step>,
    output: Output,
}

#[derive(Debug)]
struct Step {
    from: usize,
    to: usize,
    edges: Edges,
    /// Empty where the result is an index.
    labels: Vec<String>,
}

impl Transform for Bucketize {
    type Config = Config;

    const ABOUT: About = About {
        name: "bucketize",
        version: env!("CARGO_PKG_VERSION"),
        help: "The bucket of a number between fixed edges, as an index or a label. `right` decides to which \
               bucket an edge belongs; `outside` what lies beyond the outer edges: open buckets \
               (numpy.digitize), the outer buckets (scikit-learn's KBinsDiscretizer), a missing value \
               (pandas.cut) or an error. NaN is refused unless `nan` says otherwise.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to sort",
            ));
        }
        let mut plan = OutputPlan::of(input);
        let mut found = Vec::with_capacity(config.columns.len());
        for (name, buckets) in config.columns {
            let from = NUMBERS.find(input, &name)?;
            let Some(mut field) = input.field(from).cloned() else {
                continue;
            };
            let invalid = |message: String| Error::invalid_config(format!("column `{name}`: {message}"));
            let is_float = field.data_type.is_float();
            let edges =
                Edges::new(buckets.edges, buckets.right, buckets.outside, buckets.nan).map_err(invalid)?;
            let labels = buckets.labels.unwrap_or_default();
            if !labels.is_empty() && labels.len() != edges.buckets() {
                return Err(invalid(format!(
                    "there are {} labels for {} buckets",
                    labels.len(),
                    edges.buckets()
                )));
            }
            if edges.may_be_missing(is_float) {
                if !field.is_scalar() {
                    return Err(invalid(
                        "a column with a shape is missing a row at a time: `missing` needs a scalar".into(),
                    ));
                }
                field.nullable = true;
            }
            field.data_type = if labels.is_empty() {
                buckets.r#type.data_type()
            } else {
                DataType::Text
            };
            match buckets.into {
                Some(into) => {
                    field.name = into;
                    plan.append(field.clone());
                }
                None => plan.replace(&name, field.clone())?,
            }
            found.push((from, field.name, edges, labels));
        }
        let output = plan.finish()?;
        let steps = found.into_iter().map(|(from, name, edges, labels)| {
            let to = output.index_of(&name)?;
            Ok(Step {
                from,
                to,
                edges,
                labels,
            })
        });
        let steps = steps.collect::<Result<_, Error>>()?;
        let schema = output.to_schema();
        Ok((Self { steps, output }, schema))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let mut builder = self.output.begin(&input)?;
        for step in &self.steps {
            step.apply(&input.at(step.from)?, &mut builder)?;
        }
        Ok(builder.finish()?)
    }
}

impl Step {
    fn apply(&self, column: &Column<'_>, builder: &mut BatchBuilder) -> Result<(), Error> {
        // `None` where missing.
        let mut buckets: Vec<Option<u32>> = Vec::with_capacity(column.elements());
        let mut refused = None;
        column.numbers()?.for_each(|x| {
            let bucket = match x.map(|x| self.edges.find(x)) {
                None | Some(Bucket::Missing) => None,
                Some(Bucket::Index(index)) => Some(index),
                Some(Bucket::Refused(why)) => {
                    refused.get_or_insert((buckets.len(), why));
                    None
                }
            };
            buckets.push(bucket);
        });
        if let Some((element, why)) = refused {
            let field = column.field();
            let row = element / field.row_elements().max(1);
            let value = show(column, element);
            let message = format!("{value}{} {why}", place_in_row(field, element));
            return Err(Error::bad_input(row, &field.name, message));
        }
        let buckets = buckets.iter();
        if !self.labels.is_empty() {
            return builder.fill_text(
                self.to,
                buckets.map(|b| b.and_then(|b| self.labels.get(b as usize))),
            );
        }
        match builder.schema().field(self.to).map(|field| field.data_type) {
            Some(DataType::Int64) => builder.fill(self.to, buckets.map(|b| b.map(i64::from))),
            Some(DataType::Int32) => builder.fill(self.to, buckets.map(|b| b.map(|b| b as i32))),
            _ => builder.fill_numbers(self.to, buckets.map(|b| b.map(f64::from))),
        }
    }
}

caisson_plugin::export!(transform: Bucketize);

#[cfg(test)]
mod tests;
