//! A column of a window in numbers.

use caisson_quality::summary::{Column, Summary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The quantiles that are shown.
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Values of a category that are shown, the most frequent ones.
const TOP: usize = 10;

/// A value that a share of all is at or below.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantileValue {
    /// The share.
    pub p: f64,
    /// The value; `null` for an infinite one.
    pub value: Option<f64>,
}

/// A value of a category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CategoryShare {
    /// The value.
    pub value: String,
    /// Rows that have it, at least.
    pub rows: u64,
    /// That, of all rows with a value.
    pub share: f64,
}

/// A column in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnStatistics {
    /// The column, or an element of one with a shape: `probabilities[1]`.
    pub column: String,
    /// Rows.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// That, of all rows.
    pub missing_rate: f64,
    /// About how many different values there are (2.3 % standard error).
    pub distinct: u64,
    /// Of a column of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberStatistics>,
    /// Of a column of categories: the most frequent ones. Shares of classes, where the column is a
    /// predicted class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<Vec<CategoryShare>>,
}

/// A column of numbers, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NumberStatistics {
    /// Of the finite values.
    pub mean: Option<f64>,
    /// Standard deviation of the sample.
    pub std: Option<f64>,
    /// The smallest finite value.
    pub min: Option<f64>,
    /// The largest finite value.
    pub max: Option<f64>,
    /// Rows with NaN.
    pub nan: u64,
    /// Rows with an infinity.
    pub infinite: u64,
    /// Values with a share of all at or below them.
    pub quantiles: Vec<QuantileValue>,
    /// How far a quantile's share can be from what it says, with 99 % confidence.
    pub rank_error: f64,
}

impl ColumnStatistics {
    /// Of a column.
    pub fn of(name: &str, column: &Column) -> Self {
        let (rows, missing) = column.missing();
        // Casts from floats saturate.
        let distinct = column.distinct().estimate().round() as u64;
        let (number, top) = match column {
            Column::Numbers(numbers) => {
                let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
                let moments = &numbers.moments;
                let quantile = |p| {
                    let value = numbers.quantiles.quantile(p)?;
                    Some(QuantileValue {
                        p,
                        value: finite(Some(value)),
                    })
                };
                let number = NumberStatistics {
                    mean: finite(moments.mean()),
                    std: finite(moments.deviation()),
                    min: finite(moments.min()),
                    max: finite(moments.max()),
                    nan: numbers.nan,
                    infinite: numbers.infinite,
                    quantiles: QUANTILES.into_iter().filter_map(quantile).collect(),
                    rank_error: numbers.quantiles.rank_error(),
                };
                (Some(number), None)
            }
            Column::Categories(categories) => {
                let all = categories.frequent.total().max(1) as f64;
                let top = categories.frequent.list().into_iter().take(TOP);
                let share = |row: caisson_quality::frequent::Frequency| CategoryShare {
                    share: row.at_least as f64 / all,
                    rows: row.at_least,
                    value: row.value,
                };
                (None, Some(top.map(share).collect()))
            }
        };
        Self {
            column: name.to_owned(),
            rows,
            missing,
            missing_rate: missing as f64 / rows.max(1) as f64,
            distinct,
            number,
            top,
        }
    }

    /// Of every column.
    pub fn all(names: &[String], summary: &Summary) -> Vec<Self> {
        let columns = names.iter().zip(summary.columns());
        columns.map(|(name, column)| Self::of(name, column)).collect()
    }
}
