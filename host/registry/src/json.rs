//! JSON that callers attach: bounded, and with one form for each value.

use serde_json::Value;

use crate::RegistryError;
use crate::error::check_size;

/// Levels of nesting in an attached value: what JSON parsers, ours included, take at least.
const DEPTH_MAX: usize = 100;

/// The value with the members of every object sorted by name, as text; its length checked.
///
/// # Errors
///
/// [`RegistryError::TooLarge`], [`RegistryError::Invalid`] for deep nesting.
pub(crate) fn canonical(what: &'static str, value: &Value, bytes_max: u64) -> Result<String, RegistryError> {
    let mut text = String::new();
    write(value, DEPTH_MAX, &mut text).ok_or_else(|| RegistryError::Invalid {
        what,
        detail: format!("it is nested more than {DEPTH_MAX} deep"),
    })?;
    check_size(what, text.len(), bytes_max)?;
    Ok(text)
}

/// `None` for too deep a value. Object order in a `serde_json::Value` depends on a feature that any
/// crate of the build may set, so it is not relied on.
fn write(value: &Value, depth: usize, text: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write(item, depth, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (n, (name, member)) in members.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write(member, depth, text)?;
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_each_value() {
        let a: Value = serde_json::from_str(r#"{"b":[1,2.5,null],"a":{"y":"\"","x":true}}"#).unwrap();
        let text = canonical("metadata", &a, 1000).unwrap();
        assert_eq!(text, r#"{"a":{"x":true,"y":"\""},"b":[1,2.5,null]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), a);
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let long = Value::String("x".repeat(99));
        assert_eq!(canonical("metadata", &long, 100).unwrap_err().code(), "too-large");
        let nested = |levels: usize| (1..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(canonical("metadata", &nested(100), 1000).is_ok());
        let error = canonical("metadata", &nested(101), 1000).unwrap_err();
        assert_eq!(error.code(), "invalid-upload");
    }
}
