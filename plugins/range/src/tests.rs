use caisson_plugin::serde_json::Value;
use caisson_plugin::testing::{batch, configure, json, schema};
use caisson_plugin::violations::VIOLATIONS_MAX;

use super::*;

fn check(input: &Batch, config: Value) -> Vec<String> {
    let plugin = configure::<Range>(json!({"columns": config}), input.schema()).expect("fits");
    let violations = plugin.validate(input).expect("validates");
    let place = |v: &Violation| {
        format!(
            "{}/{} {}",
            v.row.unwrap_or(99),
            v.column.as_deref().unwrap_or("-"),
            v.code
        )
    };
    violations
        .iter()
        .map(|v| format!("{}: {}", place(v), v.message))
        .collect()
}

#[test]
fn violations_say_where_what_and_why_in_row_order() {
    let input = batch![
        "age": fp32 = [-1.5, 40.0, None, f32::NAN, f32::INFINITY],
        "n": int64 = [9_007_199_254_740_993i64, 9_007_199_254_740_992i64, 0, 0, 0],
        "t": int8[2, 2] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let found = check(
        &input,
        json!({
            "age": {"min": 0, "max": 120, "strict_max": true},
            "n": {"max": 9_007_199_254_740_992i64},
            "t": {"min": 0, "max": 4},
        }),
    );
    assert_eq!(
        found,
        [
            "0/age out-of-range: -1.5 lies outside [0, 120)",
            "0/n out-of-range: 9007199254740993 lies outside (-∞, 9007199254740992]",
            "2/t out-of-range: 5 at [1, 0] lies outside [0, 4]",
            "3/age not-a-number: NaN lies in no range",
            "4/age out-of-range: inf lies outside [0, 120)",
        ]
    );
}

#[test]
fn bounds_belong_to_the_range_unless_strict() {
    let input = batch!["x": fp64 = [0.0, 1.0, -0.0]];
    assert!(check(&input, json!({"x": {"min": 0, "max": 1}})).is_empty());
    assert_eq!(
        check(&input, json!({"x": {"min": 0, "strict_min": true}})).len(),
        2
    );
    assert_eq!(
        check(&input, json!({"x": {"max": 1, "strict_max": true}})).len(),
        1
    );
    let nan = batch!["x": fp32 = [f32::NAN]];
    assert!(check(&nan, json!({"x": {"min": 0, "nan": "allow"}})).is_empty());
    // 0.1 is rounded to fp32 as the column's own 0.1 was.
    assert!(check(&batch!["x": fp32 = [0.1]], json!({"x": {"min": 0.1, "max": 0.1}})).is_empty());
}

#[test]
fn severity_comes_from_the_column_then_from_the_config() {
    let input = batch!["a": int8 = [9], "b": int8 = [9]];
    let config =
        json!({"columns": {"a": {"max": 1}, "b": {"max": 1, "severity": "reject"}}, "severity": "warn"});
    let plugin = configure::<Range>(config, input.schema()).expect("fits");
    let severities: Vec<_> = plugin
        .validate(&input)
        .expect("validates")
        .iter()
        .map(|v| v.severity)
        .collect();
    assert_eq!(severities, [Severity::Warn, Severity::Reject]);
}

#[test]
fn the_number_of_violations_is_bounded_and_the_first_rows_are_kept() {
    let schema = schema!["a": fp32, "b": fp32];
    let rows = 3 * VIOLATIONS_MAX;
    let mut builder = BatchBuilder::new(schema.clone(), rows).expect("small");
    builder.fp32s_mut(0).expect("a").fill(5.0);
    builder.fp32s_mut(1).expect("b").fill(5.0);
    let input = builder.finish().expect("a batch");
    let config = json!({"columns": {"a": {"max": 1}, "b": {"max": 1}}});
    let violations = configure::<Range>(config, &schema)
        .expect("fits")
        .validate(&input)
        .expect("validates");
    assert_eq!(violations.len(), VIOLATIONS_MAX);
    let places = violations.iter().map(|v| (v.row, v.column.as_deref()));
    assert!(
        places
            .eq((0..VIOLATIONS_MAX as u32).map(|i| (Some(i / 2), Some(if i % 2 == 0 { "a" } else { "b" }))))
    );
}

#[test]
fn empty_batches_and_batches_of_gaps_pass() {
    let gaps = batch!["x": fp32 = [None, None]];
    assert!(check(&gaps, json!({"x": {"min": 1}})).is_empty());
    assert!(check(&Batch::empty(gaps.schema().clone()), json!({"x": {"min": 1}})).is_empty());
}

#[test]
fn what_does_not_fit_is_refused_at_configure() {
    let schema = schema!["x": fp32, "n": uint8, "s": text];
    let refused = |columns| {
        configure::<Range>(json!({"columns": columns}), &schema)
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(json!({})).contains("nothing to check"));
    assert!(refused(json!({"y": {"min": 0}})).contains("there is no column `y`"));
    assert!(refused(json!({"s": {"min": 0}})).contains("`s: text` is not an integer type"));
    assert!(refused(json!({"x": {}})).contains("neither `min` nor `max`"));
    assert!(refused(json!({"x": {"min": 2, "max": 1}})).contains("no number lies in [2, 1]"));
    assert!(
        refused(json!({"x": {"min": 1, "max": 1, "strict_min": true}})).contains("no number lies in (1, 1]")
    );
    assert!(refused(json!({"n": {"max": 300}})).contains("max: 300 is no value of type uint8"));
    assert!(refused(json!({"n": {"min": "0"}})).contains("min: \"0\" is no value of type uint8"));
}

#[test]
fn the_readme_example_works() {
    reference_cases::readme_example::<Range>();
}
