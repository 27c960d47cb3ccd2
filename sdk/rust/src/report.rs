//! What validators and drift checks answer.

/// What a violation does to its request.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The request is answered 422 with every violation of this severity.
    Reject,
    /// Counted, and the request goes on.
    Warn,
}

/// One broken rule of a validator.
///
/// ```
/// # use caisson_plugin::prelude::*;
/// let violation = Violation::new("out-of-range", "-3 is below the minimum 0").at(7, "age");
/// assert_eq!(violation.severity, Severity::Reject);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Counted from 0; `None` where the whole column is meant.
    pub row: Option<u32>,
    /// Name of the field; `None` where the whole row is meant.
    pub column: Option<String>,
    /// Stable and machine-readable, such as `out-of-range`.
    pub code: String,
    /// For a person: the value found and the rule.
    pub message: String,
    /// Reject unless changed.
    pub severity: Severity,
}

impl Violation {
    /// A rejecting violation of the whole batch; say where with the methods below.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            row: None,
            column: None,
            code: code.into(),
            message: message.into(),
            severity: Severity::Reject,
        }
    }

    /// The same at one value. `row` counts from 0.
    #[must_use]
    pub fn at(self, row: usize, column: impl Into<String>) -> Self {
        self.in_row(row).in_column(column)
    }

    /// The same in a row, counted from 0.
    #[must_use]
    pub fn in_row(mut self, row: usize) -> Self {
        self.row = u32::try_from(row).ok();
        self
    }

    /// The same in a column.
    #[must_use]
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// The same with this severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// The verdict on one feature. The order is that of severity:
/// `Stable < InsufficientData < Warn < Drifted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftStatus {
    /// No change worth a word.
    Stable,
    /// Too few rows for a verdict.
    InsufficientData,
    /// Past the warning threshold, or drifted in only one of the two senses (significance and
    /// effect).
    Warn,
    /// Changed.
    Drifted,
}

/// How one feature of the current data stands to the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureDrift {
    /// The field's name, `name[1, 2]` for one element of a field with a shape, or `*` for a verdict
    /// on all features together.
    pub feature: String,
    /// Name of the statistic, such as `ks`, `psi`, `wasserstein`.
    pub method: String,
    /// Never NaN. `None` where there are too few rows to compute it.
    pub statistic: Option<f64>,
    /// What `statistic` (or the effect size, as the method documents) is compared with.
    pub threshold: f64,
    /// Where the method has a test. Corrected for multiple testing if the config asks.
    pub p_value: Option<f64>,
    /// The method's measure of how large the change is, in the unit that its help names.
    pub effect_size: Option<f64>,
    /// Rows with a value in the reference.
    pub reference_count: u64,
    /// Rows with a value in the current data.
    pub current_count: u64,
    /// Share of the reference's rows without a value, 0 to 1.
    pub reference_missing_rate: f64,
    /// Share of the current rows without a value, 0 to 1.
    pub current_missing_rate: f64,
    /// The verdict.
    pub status: DriftStatus,
    /// One sentence for a person: what moved and which way.
    pub detail: String,
}

/// The result of a drift check.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftReport {
    /// The worst status of any feature.
    pub status: DriftStatus,
    /// One entry a feature.
    pub features: Vec<FeatureDrift>,
}

impl DriftReport {
    /// A report whose status is the worst of its features'; stable where there are none.
    pub fn new(features: Vec<FeatureDrift>) -> Self {
        Self {
            status: features
                .iter()
                .map(|f| f.status)
                .max()
                .unwrap_or(DriftStatus::Stable),
            features,
        }
    }
}
