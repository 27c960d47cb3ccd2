//! Names that are keys, path segments and metric labels at once, so they are narrow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RegistryError;

/// Characters in a name.
pub const NAME_CHARS_MAX: usize = 64;
/// What a name looks like, for descriptions of the API; its length is bounded besides.
pub const NAME_PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";

/// Characters of a caller's text in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// 1 to 64 lower-case letters, digits and inner hyphens, a letter first.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Refuse what isn't a name; `what` it would be the name of is for the message.
///
/// # Errors
///
/// [`RegistryError::Name`].
pub fn check(what: &'static str, name: &str) -> Result<(), RegistryError> {
    if is_name(name) {
        return Ok(());
    }
    Err(RegistryError::Name {
        what,
        name: shown(name),
    })
}

/// A caller's text for a message: of bounded length, control characters escaped.
pub fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

/// Refuse what can't be a model's name, before anything is uploaded.
///
/// # Errors
///
/// [`RegistryError::Name`].
pub fn check_model_name(name: &str) -> Result<(), RegistryError> {
    check("model", name)
}

/// The tenant whose plugins everyone may use and nobody but the operator may change.
const STD: &str = "std";

/// An owner of plugins, models and deployments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = NAME_PATTERN, "maxLength" = NAME_CHARS_MAX))]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The owner of first-party plugins, which every tenant may use as `std/NAME`. Give no one else
    /// this name.
    pub fn std() -> Self {
        Self(STD.into())
    }
}

impl FromStr for TenantId {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<Self, RegistryError> {
        check("tenant", name)?;
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = RegistryError;

    fn try_from(name: String) -> Result<Self, RegistryError> {
        name.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.as_str().to_owned()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["a", "one-hot", "x2", &"a".repeat(NAME_CHARS_MAX)] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "../x",
            "a/b",
            "A",
            "a_b",
            "-a",
            "a-",
            "2a",
            "a b",
            "ü",
            &"a".repeat(NAME_CHARS_MAX + 1),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
