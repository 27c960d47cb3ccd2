//! Reference values: where they are, and how near they must be.

use caisson_quality::{Answer, Measure};
use serde_json::Value;

/// A section of `metrics.json`.
pub(crate) fn metrics(section: &str) -> Value {
    let mut document: Value = serde_json::from_str(include_str!("../data/metrics.json")).unwrap();
    document[section].take()
}

/// A section of `stats.json`.
pub(crate) fn stats(section: &str) -> Value {
    let mut document: Value = serde_json::from_str(include_str!("../data/stats.json")).unwrap();
    document[section].take()
}

pub(crate) fn cases(section: &Value) -> &[Value] {
    let cases = section.as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

pub(crate) fn labels(value: &Value) -> Vec<bool> {
    numbers(value).into_iter().map(|v| v == 1.0).collect()
}

pub(crate) fn words(value: &Value) -> Vec<String> {
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    value.as_array().unwrap().iter().map(word).collect()
}

#[track_caller]
pub(crate) fn assert_near(found: f64, expected: &Value, what: &str) {
    let expected = expected
        .as_f64()
        .unwrap_or_else(|| panic!("{what}: no reference value"));
    let allowed = 1e-9 * expected.abs().max(1e-3);
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: {found:e} instead of {expected:e}"
    );
}

/// The value is that of the reference; where the reference has none, the metric has none.
#[track_caller]
pub(crate) fn assert_value(found: Answer, expected: &Value, what: &str) {
    if expected.is_null() {
        assert!(found.is_err(), "{what}: {found:?}");
    } else {
        assert_near(found.unwrap().value, expected, what);
    }
}

/// The interval is that of the reference, where it has one.
#[track_caller]
pub(crate) fn assert_interval(found: Answer, expected: &Value, what: &str) {
    if let Some([low, high]) = expected.as_array().map(Vec::as_slice) {
        let Measure { interval, value, .. } = found.unwrap();
        let interval = interval.unwrap();
        assert_near(interval.low, low, what);
        assert_near(interval.high, high, what);
        assert!(interval.contains(value), "{what}: {interval:?} without {value}");
    }
}
