//! Names and texts of tenants: narrow and bounded, because they become keys, labels and messages.

use std::collections::BTreeMap;

use crate::AlertsError;

/// Characters in the name of a tenant, rule or receiver; it is part of a key and a path segment.
pub const NAME_CHARS_MAX: usize = 64;
/// Bytes in a label's name.
pub const LABEL_NAME_BYTES_MAX: usize = 64;
/// Bytes in a label's value; also of a deployment's, column's and segment's.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Labels of a rule, segments of an observation: beyond a few nobody reads them.
pub const LABELS_MAX: usize = 16;
/// Bytes in a sentence: a description, a comment.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Bytes in a link.
pub const LINK_BYTES_MAX: usize = 2048;
/// Characters of a caller's text in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// Names and values that tell one alert from another.
pub type Labels = BTreeMap<String, String>;

/// A caller's text for a message: of bounded length, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

/// 1 to 64 lower-case letters, digits and inner hyphens, a letter first.
pub(crate) fn check(what: &str, name: &str) -> Result<(), AlertsError> {
    let good = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good {
        return Ok(());
    }
    Err(AlertsError::Invalid(format!(
        "{what}: `{}` is no name: use 1 to {NAME_CHARS_MAX} lower-case letters, digits and inner hyphens, a letter first",
        shown(name)
    )))
}

/// One line of 1 to `max` bytes.
pub(crate) fn check_line(what: &str, text: &str, max: usize) -> Result<(), AlertsError> {
    if text.is_empty() {
        return Err(AlertsError::Invalid(format!("{what}: it is empty")));
    }
    if text.len() > max {
        return Err(AlertsError::Invalid(format!(
            "{what}: {} bytes; at most {max} are allowed",
            text.len()
        )));
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(c) => Err(AlertsError::Invalid(format!(
            "{what}: it has the control character {}",
            c.escape_default()
        ))),
    }
}

/// A label's name as Prometheus and Alertmanager have it: letters, digits and `_`, no digit first.
pub(crate) fn check_label_name(what: &str, name: &str) -> Result<(), AlertsError> {
    let good = name.len() <= LABEL_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good {
        return Ok(());
    }
    Err(AlertsError::Invalid(format!(
        "{what}: `{}` is no label name: use 1 to {LABEL_NAME_BYTES_MAX} letters, digits and `_`, no digit first",
        shown(name)
    )))
}

/// At most [`LABELS_MAX`] entries of bounded lines.
pub(crate) fn check_entries<'a>(
    what: &str,
    entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<(), AlertsError> {
    if entries.len() > LABELS_MAX {
        return Err(AlertsError::Invalid(format!(
            "{what}: {} entries; at most {LABELS_MAX} are allowed",
            entries.len()
        )));
    }
    for (key, value) in entries {
        check_line(&format!("{what}: a name"), key, LABEL_NAME_BYTES_MAX)?;
        check_line(&format!("{what}.{}", shown(key)), value, LABEL_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// The label of a segment's column: `segment_` and the column, whatever isn't allowed in a label as `_`.
pub(crate) fn segment_label(column: &str) -> String {
    let column: String = column
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("segment_{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["a", "accuracy-low", "x2", &"a".repeat(NAME_CHARS_MAX)] {
            check("rule", good).unwrap();
        }
        for bad in [
            "",
            "a/b",
            "A",
            "a_b",
            "-a",
            "a-",
            "2a",
            &"a".repeat(NAME_CHARS_MAX + 1),
        ] {
            check("rule", bad).unwrap_err();
        }
    }

    #[test]
    fn a_column_becomes_a_label() {
        assert_eq!(segment_label("country"), "segment_country");
        assert_eq!(segment_label("Pays d'été"), "segment_Pays_d__t_");
        check_label_name("label", &segment_label("9 lives")).unwrap();
    }
}
