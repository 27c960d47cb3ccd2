//! The monitor that needs no plugin: missing values, new categories, and how many different values there
//! are, from the sketches that a window keeps anyway.
//!
//! A change is drift where it is both significant and large. The p-values of one report are corrected for
//! their number (Benjamini–Hochberg), those of each method for themselves.

use caisson_data::{Batch, Schema};
use caisson_quality::accumulator::{StateError, load, save};
use caisson_quality::degradation::Rule;
use caisson_quality::drift::{self, Shift};
use caisson_quality::hysteresis::Outcome;
use caisson_quality::summary::{Column, Summary};
use caisson_stats::correction::benjamini_hochberg;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::Columns;
use crate::report::{FeatureVerdict, Status};

/// The settings of a data-quality monitor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// The columns that it looks at; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The share of rows without a value, up or down (default: 0.05).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_rate: Option<Limit>,
    /// The share of rows in categories that the reference doesn't have (default: 0.01).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_categories: Option<Limit>,
    /// The number of different values, as the logarithm of the ratio (default: 0.25, a quarter more or
    /// fewer). Samples must have about as many rows, so it is for trailing windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cardinality: Option<Limit>,
}

/// When a change is drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The smallest change that is; 0 watches for anything significant.
    pub threshold: f64,
    /// The largest p-value of a change that isn't chance (default 0.01).
    #[serde(default = "Limit::alpha")]
    pub alpha: f64,
}

impl Limit {
    fn alpha() -> f64 {
        0.01
    }

    fn of(given: Option<Self>, threshold: f64) -> Self {
        given.unwrap_or(Self {
            threshold,
            alpha: Self::alpha(),
        })
    }
}

/// Rows that both sides need: as many as the drift checks want.
const ROWS_MIN: u64 = 30;
const STATE: &str = "data-quality";

/// One of the three: its name, and its words for a person.
#[derive(Clone, Copy)]
struct Method {
    name: &'static str,
    limit: Limit,
    say: fn(&Shift) -> String,
}

/// A data-quality monitor.
#[derive(Debug)]
pub struct Quality {
    config: QualityConfig,
    columns: Columns,
    /// Which of them it looks at.
    chosen: Vec<bool>,
}

impl Quality {
    /// Of a monitor's `config`, held against the columns that the monitor sees. `categorical` names integers
    /// whose values are names, `private` columns that are left out.
    ///
    /// # Errors
    ///
    /// What doesn't fit, as a message.
    pub fn new(
        config: &serde_json::Value,
        schema: &Schema,
        categorical: &[String],
        private: &[String],
    ) -> Result<Self, String> {
        // serde takes a list for a struct, field by field; nobody means that.
        if !config.is_object() {
            return Err("config: an object is needed".to_owned());
        }
        let config: QualityConfig =
            serde_json::from_value(config.clone()).map_err(|e| format!("config: {e}"))?;
        let limits = [
            ("missing_rate", config.missing_rate),
            ("new_categories", config.new_categories),
            ("cardinality", config.cardinality),
        ];
        for (name, limit) in limits {
            let Some(limit) = limit else { continue };
            // NaN is in no range.
            if !(limit.threshold >= 0.0 && limit.threshold.is_finite()) {
                return Err(format!(
                    "config.{name}.threshold is {}; it is at least 0",
                    limit.threshold
                ));
            }
            if !(limit.alpha > 0.0 && limit.alpha < 1.0) {
                return Err(format!(
                    "config.{name}.alpha is {}; it is above 0 and below 1",
                    limit.alpha
                ));
            }
        }
        for name in config.columns.iter().flatten() {
            if schema.get(name).is_none() {
                let shown: String = name.chars().take(80).collect();
                return Err(format!(
                    "config.columns: there is no column `{}`; there are {schema}",
                    shown.escape_debug()
                ));
            }
        }
        let columns = Columns::of(schema, categorical, private);
        let is_chosen = |column: &String| {
            let field = column.split_once('[').map_or(column.as_str(), |(field, _)| field);
            let mut names = config.columns.iter().flatten();
            config.columns.is_none() || names.any(|name| name == column || name == field)
        };
        let chosen: Vec<bool> = columns.names().iter().map(is_chosen).collect();
        if !chosen.contains(&true) {
            return Err(format!("config.columns: nothing is left to look at of {schema}"));
        }
        Ok(Self {
            config,
            columns,
            chosen,
        })
    }

    /// Sketches of a batch.
    pub fn summarize(&self, batch: &Batch) -> Summary {
        self.columns.summarize(batch)
    }

    /// Sketches of the baseline, as they are kept.
    ///
    /// # Errors
    ///
    /// They are too large.
    pub fn fit(&self, baseline: &Batch) -> Result<Vec<u8>, StateError> {
        save(STATE, &self.summarize(baseline))
    }

    /// What [`Self::fit`] kept.
    ///
    /// # Errors
    ///
    /// Bytes of something else, or damaged.
    pub fn fitted(&self, bytes: &[u8]) -> Result<Summary, StateError> {
        load(STATE, bytes)
    }

    /// The verdicts on a window: against a reference, and for the number of different values against the
    /// part of it that is as long (`alike`).
    pub fn compare(&self, reference: &Summary, alike: &Summary, current: &Summary) -> Vec<FeatureVerdict> {
        let missing = Method {
            name: "missing-rate",
            limit: Limit::of(self.config.missing_rate, 0.05),
            say: |s| {
                format!(
                    "{:.2} % of the rows have no value, {:.2} % before",
                    100.0 * s.current,
                    100.0 * s.baseline
                )
            },
        };
        let new = Method {
            name: "new-categories",
            limit: Limit::of(self.config.new_categories, 0.01),
            say: |s| {
                format!(
                    "{:.2} % of the rows are in categories that the reference doesn't list",
                    100.0 * s.current
                )
            },
        };
        let cardinality = Method {
            name: "cardinality",
            limit: Limit::of(self.config.cardinality, 0.25),
            say: |s| {
                format!(
                    "about {:.0} different values, {:.0} before",
                    s.current, s.baseline
                )
            },
        };
        let columns = || {
            let both = reference
                .columns()
                .iter()
                .zip(alike.columns())
                .zip(current.columns());
            let named = self.columns.names().iter().zip(&self.chosen).zip(both);
            named
                .filter(|((_, chosen), _)| **chosen)
                .map(|((name, _), ((a, like), b))| (name, a, like, b))
        };
        let mut all = missing
            .verdicts(columns().filter_map(|(name, a, _, b)| Some((name, a, b, drift::missing_rate(a, b)?))));
        all.extend(new.verdicts(columns().filter_map(|(name, a, _, b)| match (a, b) {
            (Column::Categories(before), Column::Categories(now)) => {
                Some((name, a, b, drift::new_categories(before, now)?))
            }
            _ => None,
        })));
        all.extend(
            cardinality.verdicts(columns().filter_map(|(name, _, like, b)| match b {
                // Of measured numbers almost all are different; that says how many rows there are.
                Column::Categories(_) => Some((name, like, b, drift::cardinality(like, b)?)),
                Column::Numbers(_) => None,
            })),
        );
        all
    }
}

/// Why a change that looks large is no drift; nothing where it is one, or is small.
fn why_no_drift(status: Status, shift: &Shift, threshold: f64) -> String {
    match status {
        Status::Stable if shift.change.abs() > threshold => {
            format!("; large, but chance would do as much (p = {:.2})", shift.p_value)
        }
        Status::InsufficientData => format!("; {} rows are too few to tell", shift.rows),
        _ => String::new(),
    }
}

impl Method {
    fn verdicts<'a>(
        self,
        shifts: impl Iterator<Item = (&'a String, &'a Column, &'a Column, Shift)>,
    ) -> Vec<FeatureVerdict> {
        let shifts: Vec<_> = shifts.collect();
        let p_values: Vec<f64> = shifts.iter().map(|(.., shift)| shift.p_value).collect();
        let rule = Rule {
            alpha: self.limit.alpha,
            change_min: self.limit.threshold,
            effect_min: 0.0,
            rows_min: ROWS_MIN,
        };
        let corrected = benjamini_hochberg(&p_values);
        let verdict =
            |((name, reference, current, shift), p_value): ((&String, &Column, &Column, Shift), f64)| {
                let shift = Shift { p_value, ..shift };
                let status = match shift.outcome(&rule) {
                    Outcome::Good => Status::Stable,
                    Outcome::Bad => Status::Drifted,
                    Outcome::Unknown => Status::InsufficientData,
                };
                let ((n, a), (m, b)) = (reference.missing(), current.missing());
                let rate = |missing: u64, rows: u64| missing as f64 / rows.max(1) as f64;
                FeatureVerdict {
                    feature: name.clone(),
                    method: self.name.to_owned(),
                    statistic: Some(shift.change.abs()),
                    threshold: Some(self.limit.threshold),
                    p_value: Some(p_value),
                    effect_size: Some(shift.effect),
                    reference_count: n.saturating_sub(a),
                    current_count: m.saturating_sub(b),
                    reference_missing_rate: rate(a, n),
                    current_missing_rate: rate(b, m),
                    status,
                    detail: (self.say)(&shift) + &why_no_drift(status, &shift, self.limit.threshold),
                }
            };
        shifts.into_iter().zip(corrected).map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_change_that_is_no_drift_has_its_reason() {
        let shift = Shift {
            baseline: 0.5,
            current: 0.1,
            change: -0.4,
            effect: -0.9,
            p_value: 0.31,
            rows: 12,
        };
        let said = |status, threshold| why_no_drift(status, &shift, threshold);
        assert_eq!(
            said(Status::Stable, 0.1),
            "; large, but chance would do as much (p = 0.31)"
        );
        assert_eq!(
            said(Status::InsufficientData, 0.1),
            "; 12 rows are too few to tell"
        );
        // Where it is drift, or no large change, there is nothing to explain.
        assert_eq!(said(Status::Drifted, 0.1), "");
        assert_eq!(said(Status::Stable, 0.5), "");
    }
}
