//! What people write into records: authors, reasons, descriptions, tags. Every text has a limit, and
//! none has control characters, which would reach terminals and logs and take six bytes each as JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::RegistryError;
use crate::names::shown;

/// Bytes of the name of who did something: an account, a key's name, an address.
pub(crate) const ACTOR_BYTES_MAX: usize = 256;
/// Bytes of a reason or of a revision's message: a paragraph, with a link.
pub const WHY_BYTES_MAX: usize = 2048;
/// Bytes of a description: a page. It stands in the version's record beside the tags.
pub const DESCRIPTION_BYTES_MAX: usize = 8 * 1024;
/// Tags of a version. With keys and values at their longest, with the description, and with every quote
/// escaped, they fit one record.
pub const TAGS_MAX: usize = 64;
/// Bytes of a tag's key.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// Bytes of a tag's value.
pub const TAG_VALUE_BYTES_MAX: usize = 512;

/// What one line looks like, for descriptions of the API.
pub const LINE_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// What lines together look like.
pub const TEXT_PATTERN: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$";

/// Who does something: not empty, one line.
pub(crate) fn check_actor(by: &str) -> Result<(), RegistryError> {
    if by.trim().is_empty() {
        return Err(RegistryError::Text {
            what: "the name of who does this".to_owned(),
            reason: "it is empty".to_owned(),
        });
    }
    check_line("the name of who does this", by, ACTOR_BYTES_MAX)
}

/// Why someone does something: any text, also none.
pub(crate) fn check_why(why: &str) -> Result<(), RegistryError> {
    check_text("the reason", why, WHY_BYTES_MAX)
}

/// One line of at most `max` bytes.
pub(crate) fn check_line(what: &str, text: &str, max: usize) -> Result<(), RegistryError> {
    check(what, text, max, |_| false)
}

/// Lines of at most `max` bytes together.
pub(crate) fn check_text(what: &str, text: &str, max: usize) -> Result<(), RegistryError> {
    check(what, text, max, |c| matches!(c, '\n' | '\t'))
}

fn check(what: &str, text: &str, max: usize, allowed: fn(char) -> bool) -> Result<(), RegistryError> {
    if text.len() > max {
        return Err(RegistryError::TooMany {
            what: format!("{} bytes of {what}", text.len()),
            max: max as u64,
        });
    }
    match text.chars().find(|&c| c.is_control() && !allowed(c)) {
        None => Ok(()),
        Some(c) => Err(RegistryError::Text {
            what: what.to_owned(),
            reason: format!("it has the control character {}", c.escape_default()),
        }),
    }
}

/// All tags of a version.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), RegistryError> {
    if tags.len() > TAGS_MAX {
        return Err(RegistryError::TooMany {
            what: format!("{} tags", tags.len()),
            max: TAGS_MAX as u64,
        });
    }
    for (key, value) in tags {
        if key.is_empty() {
            return Err(RegistryError::Text {
                what: "a tag's key".to_owned(),
                reason: "it is empty".to_owned(),
            });
        }
        check_line("a tag's key", key, TAG_KEY_BYTES_MAX)?;
        check_line(&format!("the tag `{}`", shown(key)), value, TAG_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// The same JSON with the keys of all objects in order. Whether an object keeps the order in which it
/// was written depends on what else is built with serde_json; what is stored must not.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
