//! What validators and drift checks answer.

use caisson_data::NAME_BYTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift};

use crate::contract::WireLocation;
use crate::error::{Cause, GUEST_TEXT_BYTES_MAX};
use crate::text::tame;

/// Violations of one call that the host keeps, as `wit/worlds.wit` says.
pub const VIOLATIONS_MAX: usize = 1000;
/// Bytes of a violation's code and of a statistic's name: they are metric labels.
pub const CODE_BYTES_MAX: usize = 64;
/// Features of a drift report: every field of a schema, and the verdict on all together.
pub const FEATURES_MAX: usize = caisson_data::FIELDS_MAX + 1;

/// What a violation does to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift)]
#[serde(rename_all = "kebab-case")]
#[component(enum)]
#[repr(u8)]
pub enum Severity {
    /// The request is answered 422.
    #[component(name = "reject")]
    Reject,
    /// Counted only.
    #[component(name = "warn")]
    Warn,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Row, from 0; `None` where the whole column is meant.
    pub row: Option<u32>,
    /// Name of a field; `None` where the whole row is meant.
    pub column: Option<String>,
    /// Stable and machine-readable, such as `out-of-range`.
    pub code: String,
    /// For a person.
    pub message: String,
    /// What it does to the request.
    pub severity: Severity,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireViolation {
    at: WireLocation,
    code: String,
    message: String,
    severity: Severity,
}

impl From<WireViolation> for Violation {
    fn from(wire: WireViolation) -> Self {
        Self {
            row: wire.at.row,
            column: wire.at.column.map(|c| tame(&c, NAME_BYTES_MAX)),
            code: tame(&wire.code, CODE_BYTES_MAX),
            message: tame(&wire.message, GUEST_TEXT_BYTES_MAX),
            severity: wire.severity,
        }
    }
}

/// The first [`VIOLATIONS_MAX`].
pub(crate) fn violations(wire: Vec<WireViolation>) -> Vec<Violation> {
    wire.into_iter()
        .take(VIOLATIONS_MAX)
        .map(Violation::from)
        .collect()
}

/// The verdict on one feature.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[component(enum)]
#[repr(u8)]
pub enum DriftStatus {
    /// No drift.
    #[component(name = "stable")]
    Stable,
    /// Past the warning threshold, or drifted in only one of the two senses.
    #[component(name = "warn")]
    Warn,
    /// Drift.
    #[component(name = "drifted")]
    Drifted,
    /// Too few rows for a verdict.
    #[component(name = "insufficient-data")]
    InsufficientData,
}

/// How one feature of the current data stands to the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ComponentType, Lift, JsonSchema)]
#[component(record)]
pub struct FeatureDrift {
    /// The field's name, or `*` for all features together.
    pub feature: String,
    /// Name of the statistic, such as `ks`.
    pub method: String,
    /// The statistic; finite or infinite, never NaN.
    pub statistic: Option<f64>,
    /// What it is compared with.
    #[schemars(with = "Option<f64>")]
    pub threshold: f64,
    /// Where the method has a test; 0 to 1.
    #[component(name = "p-value")]
    pub p_value: Option<f64>,
    /// The method's measure of how large the change is.
    #[component(name = "effect-size")]
    pub effect_size: Option<f64>,
    /// Rows with a value in the reference.
    #[component(name = "reference-count")]
    pub reference_count: u64,
    /// Rows with a value in the current data.
    #[component(name = "current-count")]
    pub current_count: u64,
    /// Share of reference rows without a value, 0 to 1.
    #[component(name = "reference-missing-rate")]
    pub reference_missing_rate: f64,
    /// Share of current rows without a value, 0 to 1.
    #[component(name = "current-missing-rate")]
    pub current_missing_rate: f64,
    /// The verdict.
    pub status: DriftStatus,
    /// One sentence for a person.
    pub detail: String,
}

/// The result of a drift check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ComponentType, Lift, JsonSchema)]
#[component(record)]
pub struct DriftReport {
    /// The worst status of any feature.
    pub status: DriftStatus,
    /// Feature by feature.
    pub features: Vec<FeatureDrift>,
}

impl DriftReport {
    /// Hold a report against the contract and tame its texts.
    pub(crate) fn check(mut self) -> Result<Self, Cause> {
        if self.features.len() > FEATURES_MAX {
            return Err(Cause::BadOutput(format!(
                "a report on {} features; at most {FEATURES_MAX} are allowed",
                self.features.len()
            )));
        }
        for f in &mut self.features {
            f.feature = tame(&f.feature, NAME_BYTES_MAX);
            f.method = tame(&f.method, CODE_BYTES_MAX);
            f.detail = tame(&f.detail, GUEST_TEXT_BYTES_MAX);
            let numbers = [
                ("statistic", f.statistic),
                ("threshold", Some(f.threshold)),
                ("p-value", f.p_value),
                ("effect-size", f.effect_size),
                ("reference-missing-rate", Some(f.reference_missing_rate)),
                ("current-missing-rate", Some(f.current_missing_rate)),
            ];
            if let Some((name, _)) = numbers.iter().find(|(_, n)| n.is_some_and(f64::is_nan)) {
                return Err(Cause::BadOutput(format!(
                    "a report in which {name} of feature `{}` is NaN",
                    f.feature
                )));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_nan_is_refused_and_its_texts_are_tamed() {
        let feature = FeatureDrift {
            feature: "a\nb".into(),
            method: "ks".into(),
            statistic: Some(0.5),
            threshold: 0.1,
            p_value: None,
            effect_size: None,
            reference_count: 1,
            current_count: 1,
            reference_missing_rate: 0.0,
            current_missing_rate: 0.0,
            status: DriftStatus::Drifted,
            detail: String::new(),
        };
        let report = DriftReport {
            status: DriftStatus::Drifted,
            features: vec![feature.clone()],
        };
        assert_eq!(report.check().unwrap().features[0].feature, "a\\nb");
        let nan = FeatureDrift {
            p_value: Some(f64::NAN),
            ..feature
        };
        let report = DriftReport {
            status: DriftStatus::Drifted,
            features: vec![nan],
        };
        assert!(report.check().unwrap_err().to_string().contains("p-value"));
    }
}
