//! Runs plugins on reference values that other libraries gave.
//!
//! Each `<plugin>.json` in `plugins/reference/` holds cases: a config, the columns that go in, and what the
//! plugin's counterpart in NumPy, pandas, scikit-learn or lifetimes made of them. `transforms.py` there
//! wrote the files and says which versions it needs; the files repeat the versions. This crate is
//! for tests alone, so whatever goes wrong is a panic that names the case.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "these are assertions; they run in tests only"
)]

use std::sync::Arc;

use caisson_plugin::testing::{Configured, assert_batches_close, config_schema, configure, schema};
use caisson_plugin::{
    Batch, BatchBuilder, BuilderExt, DataType, Element, Field, Plugin, Schema, Transform, Validator,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File<C> {
    cases: Vec<C>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransformCase {
    name: String,
    config: Value,
    input: Vec<ColumnOf>,
    output: Vec<ColumnOf>,
    /// Relative to the larger of 1 and the expected number; 0 asks for the very same number.
    tolerance: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorCase {
    name: String,
    config: Value,
    input: Vec<ColumnOf>,
    /// The rows that break a rule.
    rows: Vec<u32>,
}

#[derive(Deserialize)]
struct ColumnOf {
    #[serde(flatten)]
    field: Field,
    /// Row by row; `null` is missing, text stands for a float that JSON can't write.
    values: Vec<Value>,
}

/// Apply a transform to every case of a file and compare schema and values.
///
/// # Panics
///
/// When a case fails, or the file holds none.
pub fn check_transform<P: Plugin + Transform>(json: &str) {
    let file: File<TransformCase> = serde_json::from_str(json).expect("a file of cases");
    assert!(!file.cases.is_empty(), "there is no case");
    for case in file.cases {
        println!("{}", case.name);
        let input = batch(case.input);
        let plugin = configured::<P>(case.config, input.schema());
        let output = plugin.apply(input).expect("the case has a result");
        assert_batches_close(&output, &batch(case.output), case.tolerance);
    }
}

/// Validate every case of a file and compare the rows of the violations.
///
/// # Panics
///
/// When a case fails, or the file holds none.
pub fn check_validator<P: Plugin + Validator>(json: &str) {
    let file: File<ValidatorCase> = serde_json::from_str(json).expect("a file of cases");
    assert!(!file.cases.is_empty(), "there is no case");
    for case in file.cases {
        let input = batch(case.input);
        let plugin = configured::<P>(case.config, input.schema());
        let violations = plugin.validate(&input).expect("the case has a result");
        let rows: Vec<u32> = violations.iter().filter_map(|v| v.row).collect();
        assert_eq!(rows, case.rows, "{}", case.name);
    }
}

/// Configure a plugin with the example that `plugins/README.md` gives of its config, for the customer
/// table that all of them are for. Gives the declared output (of a validator, the input).
///
/// # Panics
///
/// When there is no example, or it doesn't work.
pub fn readme_example<P: Plugin>() -> Arc<Schema> {
    let readme = include_str!("../../README.md");
    let name = P::ABOUT.name;
    let example = readme
        .split_once(&format!("\n### `{name}`\n"))
        .and_then(|(_, section)| section.split_once("```json\n"))
        .and_then(|(_, example)| example.split_once("\n```"));
    let (example, _) = example.expect("the README has an example of the plugin");
    let config = serde_json::from_str(example).expect("the example is JSON");
    let customers = schema![
        "age": fp32?, "city": text?, "embedding": fp32[2]?, "income": fp64, "signup": text, "last_seen": int64,
        "spent": fp32, "visits": int32, "purchases": text,
    ];
    let plugin = configured::<P>(config, &customers);
    plugin.output().clone()
}

/// Configure as the host does: it checks a config against the plugin's JSON Schema first.
fn configured<P: Plugin>(config: Value, input: &Arc<Schema>) -> Configured<P> {
    let schema = jsonschema::validator_for(&config_schema::<P>()).expect("a JSON Schema");
    if let Err(error) = schema.validate(&config) {
        panic!("{config} breaks the config's JSON Schema: {error}");
    }
    configure::<P>(config, input).expect("the config fits")
}

fn batch(columns: Vec<ColumnOf>) -> Batch {
    let first = columns.first().expect("a case has columns");
    let rows = first.values.len() / first.field.row_elements().max(1);
    let fields = columns.iter().map(|c| c.field.clone()).collect();
    let schema = Arc::new(Schema::new(fields).expect("the columns make a schema"));
    let mut builder = BatchBuilder::new(schema, rows).expect("the case is small");
    for (index, column) in columns.iter().enumerate() {
        fill(&mut builder, index, column);
    }
    builder.finish().expect("the columns make a batch")
}

fn fill(builder: &mut BatchBuilder, index: usize, column: &ColumnOf) {
    fn float(value: &Value) -> f64 {
        value
            .as_f64()
            .or_else(|| value.as_str()?.parse().ok())
            .expect("a number")
    }
    fn numbers<T: Element>(
        builder: &mut BatchBuilder,
        index: usize,
        values: &[Value],
        read: impl Fn(&Value) -> T,
    ) {
        let items = values.iter().map(|v| (!v.is_null()).then(|| read(v)));
        builder.fill(index, items).expect("a column of numbers");
    }
    fn integer<T: TryFrom<i128>>(value: &Value) -> T {
        let wide = value
            .as_i64()
            .map(i128::from)
            .or_else(|| value.as_u64().map(i128::from));
        T::try_from(wide.expect("an integer"))
            .ok()
            .expect("in the range of its type")
    }
    let values = &column.values;
    match column.field.data_type {
        DataType::Boolean => {
            let own = builder.booleans_mut(index).expect("a boolean column");
            for (own, value) in own.iter_mut().zip(values) {
                *own = u8::from(value.as_bool().expect("a boolean"));
            }
        }
        DataType::Text => {
            let items = values
                .iter()
                .map(|v| (!v.is_null()).then(|| v.as_str().expect("text")));
            builder.fill_text(index, items).expect("a text column");
        }
        DataType::Fp32 => numbers(builder, index, values, |v| float(v) as f32),
        DataType::Fp64 => numbers(builder, index, values, float),
        DataType::Int8 => numbers::<i8>(builder, index, values, integer),
        DataType::Int32 => numbers::<i32>(builder, index, values, integer),
        DataType::Int64 => numbers::<i64>(builder, index, values, integer),
        DataType::Uint8 => numbers::<u8>(builder, index, values, integer),
        DataType::Uint64 => numbers::<u64>(builder, index, values, integer),
        other => panic!("no case has a column of {other} yet"),
    }
}
