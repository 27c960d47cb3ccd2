//! Settings that all drift checks have in common, and the rule that they amount to for one feature.
//!
//! A plugin flattens [`Rules`] into its own config, so a deployment file has one flat object, and
//! resolves them against the plugin's [`Defaults`].

use std::collections::BTreeMap;

use caisson_plugin::{Columns, Error};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::features::Feature;

/// Chance of a false alarm that is accepted, for the features of a report together where the
/// p-values are corrected, else for each.
const ALPHA: f64 = 0.05;
/// Change of a missing rate that matters, in share of the rows.
const MISSING_THRESHOLD: f64 = 0.05;

/// What every drift check can be told.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rules {
    /// The columns to check; absent, all that suit.
    pub columns: Columns,
    /// From this effect size on a significant change is drift. The plugin's help names the effect
    /// size, its unit and the default.
    pub threshold: Option<f64>,
    /// From this effect size on a significant change is a warning. Half-way to `threshold` unless set.
    pub warn_threshold: Option<f64>,
    /// A change is significant where its p-value is at most this. 0.05 unless set.
    pub alpha: Option<f64>,
    /// A change of at least `threshold` with a p-value above `alpha` and at most this is a warning.
    /// Twice `alpha` unless set.
    pub warn_alpha: Option<f64>,
    /// Rows with a value that both samples need for a verdict. The plugin's help names the default.
    pub min_count: Option<u64>,
    /// Correction of the p-values of a report's features for their number.
    pub correction: Correction,
    /// What a change in the share of missing (or unusable) values is worth.
    pub missing_rate: MissingRate,
    /// Other thresholds for some of the columns.
    pub per_column: BTreeMap<String, ColumnRules>,
}

/// Settings of a check that has none of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesAlone {
    /// Columns and thresholds.
    #[serde(flatten)]
    pub rules: Rules,
}

/// Overrides for one column.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnRules {
    /// In place of the report's `threshold`.
    pub threshold: Option<f64>,
    /// In place of the report's `warn_threshold`.
    pub warn_threshold: Option<f64>,
    /// In place of the report's `min_count`.
    pub min_count: Option<u64>,
}

/// Correction for multiple testing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Control the share of false alarms among the alarms (Benjamini and Hochberg, 1995).
    #[default]
    BenjaminiHochberg,
    /// Leave every p-value as it is.
    None,
}

/// What a change in the rate of missing values is worth.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MissingRate {
    /// The worst status that it can give.
    pub policy: MissingPolicy,
    /// From this difference of the two shares on a significant change is drift, and from half of
    /// it on a warning. 0.05 unless set.
    pub threshold: Option<f64>,
}

/// The worst status that a change in the rate of missing values can give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingPolicy {
    /// Drift.
    #[default]
    Drift,
    /// A warning.
    Warn,
    /// Nothing: the rates are reported and don't count.
    Ignore,
}

/// What a plugin takes where its config says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Effect size from which on a significant change is drift.
    pub threshold: f64,
    /// Effect size from which on it is a warning.
    pub warn_threshold: f64,
    /// The effect size of no change at all.
    pub effect_none: f64,
    /// The largest effect size that there can be, `f64::MAX` where there is no end: thresholds above
    /// it would never be met.
    pub effect_max: f64,
    /// Rows with a value that both samples need.
    pub min_count: u64,
}

/// What effect sizes and counts of one feature are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Effect size from which on a significant change is drift.
    pub threshold: f64,
    /// Effect size from which on it is a warning.
    pub warn_threshold: f64,
    /// Rows with a value that both samples need.
    pub min_count: u64,
}

/// What p-values and missing rates of a report are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Significant up to here.
    pub alpha: f64,
    /// Nearly significant up to here.
    pub warn_alpha: f64,
    /// How p-values are corrected.
    pub correction: Correction,
    /// The worst status that a missing rate can give.
    pub missing: MissingPolicy,
    /// Change of a missing rate that is drift; half of it is a warning.
    pub missing_threshold: f64,
}

impl Rules {
    /// The report-wide part.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for numbers that are out of range.
    pub fn policy(&self) -> Result<Policy, Error> {
        let alpha = self.alpha.unwrap_or(ALPHA);
        let policy = Policy {
            alpha,
            warn_alpha: self.warn_alpha.unwrap_or((2.0 * alpha).min(1.0)),
            correction: self.correction,
            missing: self.missing_rate.policy,
            missing_threshold: self.missing_rate.threshold.unwrap_or(MISSING_THRESHOLD),
        };
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err(invalid("alpha", alpha, "above 0 and below 1"));
        }
        if !(policy.warn_alpha >= alpha && policy.warn_alpha <= 1.0) {
            return Err(invalid(
                "warn_alpha",
                policy.warn_alpha,
                "at least alpha and at most 1",
            ));
        }
        if !(policy.missing_threshold > 0.0 && policy.missing_threshold <= 1.0) {
            let threshold = policy.missing_threshold;
            return Err(invalid(
                "missing_rate.threshold",
                threshold,
                "above 0 and at most 1",
            ));
        }
        Ok(policy)
    }

    /// Insist that `per_column` names columns that are checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for another name.
    pub fn check_columns(&self, features: &[Feature]) -> Result<(), Error> {
        let is_checked = |name: &str| features.iter().any(|feature| feature.column == name);
        match self.per_column.keys().find(|name| !is_checked(name)) {
            None => Ok(()),
            Some(name) => Err(Error::invalid_config(format!(
                "`per_column` has `{name}`, which is no column that is checked"
            ))),
        }
    }

    /// The part that counts for the entry on all features together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for numbers that are out of range.
    pub fn limits(&self, defaults: Defaults) -> Result<Limits, Error> {
        self.resolve(None, ColumnRules::default(), defaults)
    }

    /// The part that counts for a column.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for numbers that are out of range.
    pub fn limits_of(&self, column: &str, defaults: Defaults) -> Result<Limits, Error> {
        let own = self.per_column.get(column).copied().unwrap_or_default();
        self.resolve(Some(column), own, defaults)
    }

    fn resolve(&self, column: Option<&str>, own: ColumnRules, defaults: Defaults) -> Result<Limits, Error> {
        let threshold = own.threshold.or(self.threshold).unwrap_or(defaults.threshold);
        // A threshold that was set moves the warning threshold along, in proportion.
        let none = defaults.effect_none;
        let share = (defaults.warn_threshold - none) / (defaults.threshold - none);
        let inherited = if own.threshold.is_some() {
            None
        } else {
            self.warn_threshold
        };
        let limits = Limits {
            threshold,
            warn_threshold: own
                .warn_threshold
                .or(inherited)
                .unwrap_or(none + (threshold - none) * share),
            min_count: own.min_count.or(self.min_count).unwrap_or(defaults.min_count),
        };
        let key = |name: &str| match column {
            Some(column) if self.per_column.contains_key(column) => format!("{name} of column `{column}`"),
            _ => name.to_owned(),
        };
        if !(threshold > none && threshold <= defaults.effect_max) {
            let needed = match defaults.effect_max {
                f64::MAX => format!("above {none}"),
                most => format!("above {none} and at most {most}"),
            };
            return Err(invalid(&key("threshold"), threshold, &needed));
        }
        if !(limits.warn_threshold >= none && limits.warn_threshold <= threshold) {
            let needed = format!("between {none} and the threshold, {threshold}");
            return Err(invalid(&key("warn_threshold"), limits.warn_threshold, &needed));
        }
        if limits.min_count == 0 {
            return Err(invalid(&key("min_count"), 0.0, "at least 1"));
        }
        Ok(limits)
    }
}

/// A number that makes no sense under this key.
pub fn invalid(key: &str, found: f64, needed: &str) -> Error {
    Error::invalid_config(format!("{key} is {found}; it must be {needed}"))
}
