//! Helpers for a plugin's tests, which run natively under `cargo test`.
//!
//! [`configure`] does to a plugin what the host does: it reads the config's JSON, configures, and
//! from then on checks at each call what the host checks, so a test that passes here doesn't fail
//! there for breaking the contract.
//!
//! ```
//! use caisson_plugin::prelude::*;
//! use caisson_plugin::testing::{assert_column, batch, configure, json};
//!
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Config { factor: f32 }
//! struct Scale(f32);
//! # impl Transform for Scale {
//! #     type Config = Config;
//! #     const ABOUT: About = About { name: "scale", version: "0.1.0", help: "Multiplies." };
//! #     fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
//! #         Ok((Self(config.factor), (**input).clone()))
//! #     }
//! #     fn apply(&self, input: Batch) -> Result<Batch, Error> {
//! #         let schema = input.schema().clone();
//! #         let mut edit = BatchEditor::new(input, &schema)?;
//! #         edit.slice_mut::<f32>(0)?.iter_mut().for_each(|x| *x *= self.0);
//! #         Ok(edit.finish())
//! #     }
//! # }
//! // impl Transform for Scale { … }
//! caisson_plugin::export!(transform: Scale);
//!
//! # fn main() -> Result<(), Error> {
//! let input = batch!["price": fp32 = [1.5, None, 3.0]];
//! let scale = configure::<Scale>(json!({"factor": 2}), input.schema())?;
//! let output = scale.apply(input)?;
//! assert_column(&output, "price", &[Some(3.0), None, Some(6.0)], 1e-6);
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "these are assertions; they run in tests only"
)]

mod dsl;
mod fake;

use std::sync::Arc;

pub use serde_json::json;

#[doc(hidden)]
pub use self::dsl::{Cells, make_batch, make_schema};
pub use self::fake::models;
use crate::column::ColumnExt;
use crate::plugin::{self, Plugin};
use crate::{
    Batch, DataType, DriftCheck, DriftReport, DriftStatus, Error, Models, Predictor, Schema, Transform,
    Validator, Violation,
};
pub use crate::{batch, schema};

/// A plugin that was configured as the host does it.
#[derive(Debug, Clone)]
pub struct Configured<P> {
    plugin: P,
    input: Arc<Schema>,
    output: Arc<Schema>,
}

/// Configure an exported plugin with a config's JSON and an input schema.
///
/// # Errors
///
/// What the plugin's `configure` gives, and [`Error::InvalidConfig`] for JSON that isn't its
/// config.
///
/// # Panics
///
/// When the plugin's name, version, help or config schema breaks the contract.
#[track_caller]
pub fn configure<P: Plugin>(config: serde_json::Value, input: &Arc<Schema>) -> Result<Configured<P>, Error> {
    check_manifest::<P>();
    let (plugin, output) = plugin::configure::<P>(&config.to_string(), input)?;
    Ok(Configured {
        plugin,
        input: input.clone(),
        output: output.map_or_else(|| input.clone(), Arc::new),
    })
}

/// The JSON Schema of the config, as the manifest gives it.
pub fn config_schema<P: Plugin>() -> serde_json::Value {
    serde_json::from_str(&crate::config::json_schema::<P::Config>()).unwrap_or_default()
}

/// Bytes in a manifest's name, help and config schema (`wit/types.wit`).
const NAME_BYTES_MAX: usize = 64;
const HELP_BYTES_MAX: usize = 16 * 1024;
const CONFIG_SCHEMA_BYTES_MAX: usize = 64 * 1024;

#[track_caller]
fn check_manifest<P: Plugin>() {
    let about = P::ABOUT;
    let name = about.name;
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(inner)
            && !name.ends_with('-')
            && name.len() <= NAME_BYTES_MAX,
        "the name `{name}` must be 1 to {NAME_BYTES_MAX} lower-case letters, digits and inner hyphens, a letter first"
    );
    let numbers: Vec<_> = about
        .version
        .split(['-', '+'])
        .next()
        .unwrap_or_default()
        .split('.')
        .collect();
    assert!(
        numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u64>().is_ok()),
        "the version `{}` is no semantic version such as 1.2.3",
        about.version
    );
    assert!(!about.help.trim().is_empty(), "the help is empty");
    assert!(
        about.help.len() <= HELP_BYTES_MAX,
        "the help has {} bytes; at most {HELP_BYTES_MAX} are allowed",
        about.help.len()
    );
    let bytes = crate::config::json_schema::<P::Config>().len();
    assert!(
        bytes <= CONFIG_SCHEMA_BYTES_MAX,
        "the config's JSON Schema has {bytes} bytes; at most {CONFIG_SCHEMA_BYTES_MAX} are allowed"
    );
}

impl<P> Configured<P> {
    /// The plugin itself.
    pub fn plugin(&self) -> &P {
        &self.plugin
    }

    /// The schema that `configure` declared; of a validator or drift check, the input's.
    pub fn output(&self) -> &Arc<Schema> {
        &self.output
    }

    #[track_caller]
    fn check_input(&self, batch: &Batch) {
        assert_eq!(
            **batch.schema(),
            *self.input,
            "the batch has another schema than the plugin was configured with"
        );
    }

    #[track_caller]
    fn check_output(&self, rows: usize, batch: &Batch) {
        assert_eq!(
            **batch.schema(),
            *self.output,
            "the plugin gave a batch of another schema than it declared"
        );
        assert_eq!(batch.rows(), rows, "the plugin changed the number of rows");
        if let Err(error) = Batch::new(self.output.clone(), rows, batch.blocks().to_vec()) {
            panic!("the plugin gave a batch that breaks the contract: {error}");
        }
    }
}

impl<P: Transform> Configured<P> {
    /// Apply the transform, and check that its batch is of the declared schema with the same rows.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the contract.
    #[track_caller]
    pub fn apply(&self, input: Batch) -> Result<Batch, Error> {
        self.check_input(&input);
        let rows = input.rows();
        let output = self.plugin.apply(input)?;
        self.check_output(rows, &output);
        Ok(output)
    }
}

impl<P: Validator> Configured<P> {
    /// Validate, and check that each violation is at a place of the batch.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the contract.
    #[track_caller]
    pub fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        self.check_input(input);
        let violations = self.plugin.validate(input)?;
        for violation in &violations {
            let row_exists = violation.row.is_none_or(|row| (row as usize) < input.rows());
            let column_exists = violation
                .column
                .as_ref()
                .is_none_or(|c| self.input.get(c).is_some());
            assert!(
                row_exists && column_exists,
                "a violation is at a place that isn't in the batch: {violation:?}"
            );
            assert!(
                !violation.code.is_empty(),
                "a violation has no code: {violation:?}"
            );
        }
        Ok(violations)
    }
}

impl<P: DriftCheck> Configured<P> {
    /// Sketch a reference.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the batch is of another schema.
    #[track_caller]
    pub fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.check_input(reference);
        self.plugin.fit(reference)
    }

    /// Compare with a sketch, and check that the report is sound: no NaN, p-values and rates
    /// between 0 and 1, the overall status the worst of the features'.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the contract.
    #[track_caller]
    pub fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.check_input(current);
        let report = self.plugin.check(state, current)?;
        for feature in &report.features {
            let numbers = [feature.statistic, feature.p_value, feature.effect_size];
            assert!(
                numbers.iter().flatten().all(|x| !x.is_nan()) && !feature.threshold.is_nan(),
                "NaN in {feature:?}"
            );
            let shares = [
                feature.p_value,
                Some(feature.reference_missing_rate),
                Some(feature.current_missing_rate),
            ];
            assert!(
                shares.iter().flatten().all(|x| (0.0..=1.0).contains(x)),
                "a p-value or missing rate outside 0 to 1 in {feature:?}"
            );
        }
        let worst = report.features.iter().map(|f| f.status).max();
        assert_eq!(
            report.status,
            worst.unwrap_or(DriftStatus::Stable),
            "the report's status isn't the worst of its features'"
        );
        Ok(report)
    }

    /// [`fit`](Self::fit) and [`check`](Self::check) in one.
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the contract.
    #[track_caller]
    pub fn compare(&self, reference: &Batch, current: &Batch) -> Result<DriftReport, Error> {
        let state = self.fit(reference)?;
        self.check(&state, current)
    }
}

impl<P: Predictor> Configured<P> {
    /// Predict, and check that the batch is of the declared schema with the same rows. Make the
    /// models with [`models`].
    ///
    /// # Errors
    ///
    /// What the plugin gives.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the contract.
    #[track_caller]
    pub fn predict(&self, models: &mut Models, input: &Batch) -> Result<Batch, Error> {
        self.check_input(input);
        let output = self.plugin.predict(models, input)?;
        self.check_output(input.rows(), &output);
        Ok(output)
    }
}

/// Are the two numbers the same within `tolerance`, relative to the larger of 1 and `expected`?
/// NaN is close to NaN, and an infinity to itself.
pub fn is_close(found: f64, expected: f64, tolerance: f64) -> bool {
    found == expected
        || (found.is_nan() && expected.is_nan())
        || (found - expected).abs() <= tolerance * expected.abs().max(1.0) && expected.is_finite()
}

/// Assert that two numbers are close; see [`is_close`].
///
/// # Panics
///
/// When they aren't.
#[track_caller]
pub fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        is_close(found, expected, tolerance),
        "found {found}, expected {expected} within {tolerance}"
    );
}

/// Assert that a numeric column holds these numbers (`None` for missing), each close as
/// [`is_close`] says.
///
/// # Panics
///
/// When it doesn't, or there is no such column.
#[track_caller]
pub fn assert_column(batch: &Batch, name: &str, expected: &[Option<f64>], tolerance: f64) {
    let found = numbers(batch, name);
    let close = |pair: (&Option<f64>, &Option<f64>)| match pair {
        (Some(found), Some(expected)) => is_close(*found, *expected, tolerance),
        (found, expected) => found == expected,
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "column `{name}`: found {found:?}, expected {expected:?} within {tolerance}"
    );
}

/// The elements of a numeric column, `None` where missing.
///
/// # Panics
///
/// When there is no such column, or it isn't numeric.
#[track_caller]
pub fn numbers(batch: &Batch, name: &str) -> Vec<Option<f64>> {
    let column = named(batch, name);
    match column.numbers() {
        Ok(numbers) => numbers.collect(),
        Err(error) => panic!("{error}"),
    }
}

/// The elements of a text column, `None` where missing.
///
/// # Panics
///
/// When there is no such column, or it isn't text.
#[track_caller]
pub fn texts<'a>(batch: &'a Batch, name: &str) -> Vec<Option<&'a str>> {
    let column = named(batch, name);
    match column.texts() {
        Ok(texts) => texts.collect(),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn named<'a>(batch: &'a Batch, name: &str) -> crate::Column<'a> {
    batch
        .column_named(name)
        .unwrap_or_else(|| panic!("there is no column `{name}` in {}", batch.schema()))
}

/// Assert that two batches say the same: schema, rows, what is missing, text; numbers close as
/// [`is_close`] says, floats and integers alike.
///
/// # Panics
///
/// When they differ; the message names the column.
#[track_caller]
pub fn assert_batches_close(found: &Batch, expected: &Batch, tolerance: f64) {
    assert_eq!(found.schema(), expected.schema(), "the schemas differ");
    assert_eq!(found.rows(), expected.rows(), "the numbers of rows differ");
    for field in expected.schema().fields() {
        match field.data_type {
            DataType::Text | DataType::Bytes => {
                let (found, expected) = (named(found, &field.name), named(expected, &field.name));
                for i in 0..expected.elements() {
                    let row = i / field.row_elements().max(1);
                    let (a, b) = (found.is_missing(row), expected.is_missing(row));
                    assert!(
                        a == b && (a || found.bytes(i) == expected.bytes(i)),
                        "column `{}`, row {row}: found {:?}, expected {:?}",
                        field.name,
                        found.bytes(i).filter(|_| !a).map(String::from_utf8_lossy),
                        expected.bytes(i).filter(|_| !b).map(String::from_utf8_lossy),
                    );
                }
            }
            _ => assert_column(found, &field.name, &numbers(expected, &field.name), tolerance),
        }
    }
}
