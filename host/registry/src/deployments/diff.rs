//! How two specs differ: a list of places, each with what is there in one and in the other.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Changes in one diff: more than a person reads, and a bound on an answer.
const CHANGES_MAX: usize = 1000;
/// Bytes of one side of a change, as JSON. Configs may hold vocabularies of megabytes.
const VALUE_BYTES_MAX: usize = 4096;

/// How two specs differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct SpecDiff {
    /// In the order of the names.
    pub changes: Vec<SpecChange>,
    /// Changes past the longest list.
    pub left_out: usize,
}

/// One place where two specs differ.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SpecChange {
    /// A JSON pointer (RFC 6901). The elements of a list are compared by position.
    pub path: String,
    /// What is there in the first spec; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Shown>,
    /// What is there in the second spec; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Shown>,
}

/// One side of a change.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The value.
    Value(Value),
    /// It is too long to show; its length as JSON.
    Bytes(usize),
}

impl SpecDiff {
    /// From one spec to another.
    pub fn of(from: &Value, to: &Value) -> Self {
        let mut diff = Self::default();
        diff.compare("", Some(from), Some(to));
        diff
    }

    // As deep as the JSON, which the parser bounds.
    fn compare(&mut self, path: &str, from: Option<&Value>, to: Option<&Value>) {
        match (from, to) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    self.compare(&format!("{path}/{}", escaped(key)), a.get(key), b.get(key));
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                for i in 0..a.len().max(b.len()) {
                    self.compare(&format!("{path}/{i}"), a.get(i), b.get(i));
                }
            }
            (a, b) if a == b => {}
            _ if self.changes.len() >= CHANGES_MAX => self.left_out += 1,
            (a, b) => self.changes.push(SpecChange {
                path: path.to_owned(),
                from: a.map(shown),
                to: b.map(shown),
            }),
        }
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn shown(value: &Value) -> Shown {
    match value.to_string().len() {
        bytes if bytes > VALUE_BYTES_MAX => Shown::Bytes(bytes),
        _ => Shown::Value(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_and_both_sides() {
        let a = json!({"model": {"name": "churn", "version": 1}, "post": [{"plugin": "x"}], "a/b": 1, "same": [1]});
        let b = json!({"model": {"name": "churn", "version": 2}, "post": [], "a/b": null, "same": [1], "new": true});
        let diff = serde_json::to_value(SpecDiff::of(&a, &b)).unwrap();
        assert_eq!(
            diff,
            json!({"left_out": 0, "changes": [
                {"path": "/a~1b", "from": {"value": 1}, "to": {"value": null}},
                {"path": "/model/version", "from": {"value": 1}, "to": {"value": 2}},
                {"path": "/new", "to": {"value": true}},
                {"path": "/post/0", "from": {"value": {"plugin": "x"}}},
            ]})
        );
        assert!(SpecDiff::of(&a, &a).changes.is_empty());
    }

    #[test]
    fn long_values_and_lists_are_cut() {
        let diff = SpecDiff::of(&json!({"x": 1}), &json!({"x": "y".repeat(1 << 20)}));
        assert_eq!(diff.changes[0].to, Some(Shown::Bytes((1 << 20) + 2)));
        let (zeros, ones) = (vec![0; 1500], vec![1; 1500]);
        let diff = SpecDiff::of(&json!(zeros), &json!(ones));
        assert_eq!((diff.changes.len(), diff.left_out), (1000, 500));
    }
}
