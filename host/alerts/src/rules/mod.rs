//! The rules file: YAML or JSON.
//!
//! ```yaml
//! rules:
//!   - name: accuracy-low
//!     metric: accuracy
//!     operator: "<"
//!     threshold: 0.85
//!     severity: critical
//!     for: 10m
//! ```
//!
//! Unknown keys are errors with their line: a misspelt `for` must not be a rule that fires at once.

mod catalogue;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

pub use catalogue::{Catalogue, Kind, Metric, Selector, Unit};

use crate::AlertsError;
use crate::name::{self, LABEL_VALUE_BYTES_MAX, Labels, TEXT_BYTES_MAX, segment_label};
use crate::pattern::Pattern;
use crate::period::Period;

/// Bytes of a rules file: a hundred rules with generous descriptions, and it fits one record.
pub const FILE_BYTES_MAX: usize = 64 * 1024;
/// Rules of a tenant: each is looked at for every value that is observed.
pub const RULES_MAX: usize = 100;
/// Bytes of the rules as they are stored. A file can be short and repeat itself by aliases.
const STORED_BYTES_MAX: usize = 100 * 1024;
/// Labels that every alert has by itself.
const OWN_LABELS: [&str; 5] = ["alertname", "severity", "tenant", "deployment", "metric"];

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// Less or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
}

impl Operator {
    /// Does it hold?
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }

    /// `below`, `at or above`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Less => "below",
            Self::LessOrEqual => "at or below",
            Self::Greater => "above",
            Self::GreaterOrEqual => "at or above",
            Self::Equal => "at",
            Self::NotEqual => "off",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be read some time.
    Info,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// What becomes of an alert when no value comes for `no_data_after`. Whatever it is, what was pending
/// isn't any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    /// What fires goes on firing: that nothing is measured isn't a recovery.
    #[default]
    Keep,
    /// What fires resolves.
    Resolve,
    /// What was seen once and is no longer fires.
    Fire,
}

/// One rule, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name within the tenant: lower-case letters, digits and inner hyphens, a letter first.
    pub name: String,
    /// One sentence for people; it stands in notifications.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What is watched: `accuracy`, `missing_rate{column=age}`.
    pub metric: Selector,
    /// How a value is compared with the threshold.
    pub operator: Operator,
    /// What a value is compared with.
    pub threshold: f64,
    /// How bad it is.
    pub severity: Severity,
    /// For how long it has to hold, from the first value for which it does to one at least so much
    /// later, with none between for which it doesn't. Nothing: the first value fires.
    #[serde(default, rename = "for", skip_serializing_if = "Period::is_zero")]
    pub held: Period,
    /// For how long it has not to hold before a firing alert resolves: what keeps an alert from
    /// flapping.
    #[serde(default, skip_serializing_if = "Period::is_zero")]
    pub keep_firing_for: Period,
    /// Labels of its alerts, for receivers and silences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// The deployment, or a pattern with `*`; each deployment is an alert of its own.
    #[serde(default = "Pattern::any")]
    pub deployment: Pattern,
    /// The part of the traffic, as columns and values or patterns. Nothing: all traffic together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segment: BTreeMap<String, Pattern>,
    /// What becomes of an alert when no value comes.
    #[serde(default)]
    pub no_data: NoData,
    /// After how long without a value that is.
    #[serde(default = "no_data_after_default")]
    pub no_data_after: Period,
}

/// Long enough for monitors that run once an hour and miss one run.
fn no_data_after_default() -> Period {
    Period::secs(3 * 3600)
}

impl Rule {
    /// What serde can't say; a message for the file.
    fn check(&self, catalogue: &Catalogue) -> Result<(), AlertsError> {
        name::check("name", &self.name)?;
        if !self.description.is_empty() {
            name::check_line("description", &self.description, TEXT_BYTES_MAX)?;
        }
        catalogue.resolve(&self.metric)?;
        if !self.threshold.is_finite() {
            return Err(AlertsError::Invalid(
                "threshold: it is no finite number".to_owned(),
            ));
        }
        name::check_entries(
            "labels",
            self.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())),
        )?;
        for label in self.labels.keys() {
            name::check_label_name("labels", label)?;
            if OWN_LABELS.contains(&label.as_str()) || label.starts_with("segment_") {
                return Err(AlertsError::Invalid(format!(
                    "labels: every alert has its own `{label}`; choose another name"
                )));
            }
        }
        name::check_line("deployment", self.deployment.as_str(), LABEL_VALUE_BYTES_MAX)?;
        name::check_entries(
            "segment",
            self.segment.iter().map(|(k, v)| (k.as_str(), v.as_str())),
        )?;
        let mut labels = BTreeSet::new();
        for column in self.segment.keys() {
            if !labels.insert(segment_label(column)) {
                return Err(AlertsError::Invalid(format!(
                    "segment: two columns have the label `{}`",
                    segment_label(column)
                )));
            }
        }
        if self.no_data_after.is_zero() {
            return Err(AlertsError::Invalid(
                "no_data_after: it is nothing; write how long to wait for a value".to_owned(),
            ));
        }
        Ok(())
    }
}

/// A rules file, for its JSON Schema and for the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesFile {
    /// The rules; a file replaces all rules of its tenant.
    pub rules: Vec<Rule>,
}

/// The same, with the line on which each rule begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    rules: Vec<Spanned<Rule>>,
}

impl RulesFile {
    /// The JSON Schema of a rules file.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Read YAML (of which JSON is a subset) and check it.
    ///
    /// # Errors
    ///
    /// [`AlertsError::Rules`]: syntax, unknown or missing keys, wrong types, with line and column;
    /// then names, bounds and metrics that aren't in the catalogue, with the rule and its line.
    pub fn parse(text: &str, catalogue: &Catalogue) -> Result<Self, AlertsError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(AlertsError::Rules(format!(
                "the rules file has {} bytes; at most {FILE_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        let lines: Lines = serde_saphyr::from_str(text).map_err(|e| AlertsError::Rules(e.to_string()))?;
        if lines.rules.len() > RULES_MAX {
            return Err(AlertsError::Rules(format!(
                "rules: {} rules; at most {RULES_MAX} are allowed",
                lines.rules.len()
            )));
        }
        let mut seen = BTreeMap::new();
        let mut rules = Vec::with_capacity(lines.rules.len());
        for (
            i,
            Spanned {
                value, referenced, ..
            },
        ) in lines.rules.into_iter().enumerate()
        {
            let line = referenced.line();
            let at = |e: String| AlertsError::Rules(format!("rules[{i}] (line {line}): {e}"));
            value.check(catalogue).map_err(|e| at(e.to_string()))?;
            if let Some(before) = seen.insert(value.name.clone(), line) {
                return Err(at(format!(
                    "name: the rule on line {before} is `{}`, too",
                    value.name
                )));
            }
            rules.push(value);
        }
        let file = Self { rules };
        let stored = serde_json::to_vec(&file).map_or(usize::MAX, |bytes| bytes.len());
        if stored > STORED_BYTES_MAX {
            return Err(AlertsError::Rules(format!(
                "the rules have more than {STORED_BYTES_MAX} bytes; write fewer, or shorter descriptions"
            )));
        }
        Ok(file)
    }
}
