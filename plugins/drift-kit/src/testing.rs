//! For the tests of drift checks: reference values, and batches of one column.

#![allow(clippy::expect_used, reason = "these are assertions; they run in tests only")]

use std::sync::Arc;

use caisson_plugin::serde_json::{self, Value};
use caisson_plugin::{Batch, BatchBuilder, DataType, DriftReport, FeatureDrift, Field, Schema};

/// A section of `reference/stats.json`.
///
/// # Panics
///
/// Where it isn't JSON.
pub fn reference(section: &str) -> Vec<Value> {
    let mut document: Value =
        serde_json::from_str(include_str!("../reference/stats.json")).expect("stats.json is JSON");
    let section = document.get_mut(section).map(Value::take);
    section
        .and_then(|s| s.as_array().cloned())
        .expect("the section is a list")
}

/// A number of a case.
///
/// # Panics
///
/// Where it is none.
pub fn number(case: &Value, key: &str) -> f64 {
    case.get(key)
        .and_then(Value::as_f64)
        .expect("the case has this number")
}

/// A list of numbers of a case.
///
/// # Panics
///
/// Where it is none.
pub fn numbers(case: &Value, key: &str) -> Vec<f64> {
    let list = case
        .get(key)
        .and_then(Value::as_array)
        .expect("the case has this list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// The schema of [`numeric`].
pub fn numeric_schema() -> Arc<Schema> {
    one_column(DataType::Fp64)
}

/// The schema of [`categorical`].
pub fn categorical_schema() -> Arc<Schema> {
    one_column(DataType::Text)
}

fn one_column(data_type: DataType) -> Arc<Schema> {
    let field = Field::new("x", data_type).nullable();
    Arc::new(Schema::new(vec![field]).expect("one field is a schema"))
}

/// Rows of one nullable fp64 column `x`.
///
/// # Panics
///
/// Never, for fewer rows than fit in memory.
pub fn numeric(values: &[f64]) -> Batch {
    numeric_with_missing(values, 0)
}

/// The same and so many rows without a value.
///
/// # Panics
///
/// Never, for fewer rows than fit in memory.
pub fn numeric_with_missing(values: &[f64], missing: usize) -> Batch {
    let rows = values.len() + missing;
    let mut builder = BatchBuilder::new(numeric_schema(), rows).expect("few rows");
    let column = builder.fp64s_mut(0).expect("an fp64 column");
    column
        .iter_mut()
        .zip(values)
        .for_each(|(slot, value)| *slot = *value);
    (values.len()..rows).for_each(|row| builder.set_missing(0, row));
    builder.finish().expect("a batch of its schema")
}

/// Rows of one nullable text column `x`: so many of each category, `c0`, `c1`, ….
///
/// # Panics
///
/// Never, for fewer rows than fit in memory.
pub fn categorical(counts: &[f64]) -> Batch {
    let rows: f64 = counts.iter().sum();
    let mut builder = BatchBuilder::new(categorical_schema(), rows as usize).expect("few rows");
    let texts = builder.varlen_mut(0).expect("a text column");
    for (category, &count) in counts.iter().enumerate() {
        for _ in 0..count as usize {
            texts
                .push(format!("c{category}").as_bytes())
                .expect("little text");
        }
    }
    builder.finish().expect("a batch of its schema")
}

/// The configs that `plugins/DRIFT.md` shows under a heading.
///
/// # Panics
///
/// Where there is none, or one isn't JSON.
pub fn documented(heading: &str) -> Vec<Value> {
    let text = include_str!("../../DRIFT.md");
    let section = text
        .split("\n## ")
        .find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'))
        .expect("there is such a heading");
    let blocks = section.split("```json\n").skip(1);
    let configs: Vec<Value> = blocks
        .filter_map(|block| block.split("```").next())
        .map(|json| serde_json::from_str(json).expect("the block is JSON"))
        .collect();
    assert!(!configs.is_empty(), "no config is shown under {heading}");
    configs
}

/// The columns that those configs name.
///
/// # Panics
///
/// Never.
pub fn documented_schema() -> Arc<Schema> {
    let fields = [
        ("recency", DataType::Fp32),
        ("frequency", DataType::Int32),
        ("monetary_value", DataType::Fp32),
        ("age", DataType::Fp32),
        ("shop", DataType::Int64),
        ("plan", DataType::Text),
        ("country", DataType::Text),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type));
    Arc::new(Schema::new(fields.into()).expect("a schema"))
}

/// The only feature of a report.
///
/// # Panics
///
/// Where there is not exactly one.
pub fn only(report: DriftReport) -> FeatureDrift {
    assert_eq!(report.features.len(), 1, "{report:?}");
    report.features.into_iter().next().expect("one feature")
}

/// Assert that a number is the expected one, within a part of it.
///
/// # Panics
///
/// Where it isn't.
#[track_caller]
pub fn assert_relative(found: Option<f64>, expected: f64, tolerance: f64, context: &Value) {
    let found = found.expect("there is a number");
    assert!(
        (found - expected).abs() <= tolerance * expected.abs() + 1e-300,
        "{found:e} instead of {expected:e} in {}",
        context.get("name").unwrap_or(context)
    );
}
