//! The one rule for names, and the tenant's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RegistryError;

/// Bytes in a name: a DNS label has 63, and the plugin contract says 64.
pub const NAME_BYTES_MAX: usize = 64;

/// Check a name: 1 to 64 lower-case letters, digits and inner hyphens, a letter first. `kind` is
/// for the message: `plugin`, `model`, `alias`.
///
/// # Errors
///
/// [`RegistryError::InvalidName`].
pub fn check_name(kind: &'static str, name: &str) -> Result<(), RegistryError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(inner)
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    Err(RegistryError::InvalidName {
        kind,
        name: shorten(name),
    })
}

/// A text of a caller's for a message: of bounded length, control characters escaped.
pub(crate) fn shorten(text: &str) -> String {
    const CHARS: usize = 80;
    let mut short: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    short
}

/// A tenant: the owner of everything else here. Its name follows [`check_name`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TenantId(String);

impl TenantId {
    /// A tenant of this name, whether it has anything or not.
    ///
    /// # Errors
    ///
    /// [`RegistryError::InvalidName`].
    pub fn new(name: impl Into<String>) -> Result<Self, RegistryError> {
        let name = name.into();
        check_name("tenant", &name)?;
        Ok(Self(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    /// The tenant of an installation that doesn't tell tenants apart: `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<Self, RegistryError> {
        Self::new(name)
    }
}

impl TryFrom<String> for TenantId {
    type Error = RegistryError;

    fn try_from(name: String) -> Result<Self, RegistryError> {
        Self::new(name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_letter_and_then_letters_digits_and_inner_hyphens() {
        let longest = "a".repeat(64);
        for good in ["a", "one-hot", "log1p", "a--b", longest.as_str()] {
            assert!(check_name("plugin", good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            "-a",
            "a-",
            "1a",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "../etc/passwd",
            "..",
            "a b",
            "a\0",
            "a\n",
            "ä",
            "a@1",
            too_long.as_str(),
        ] {
            let error = check_name("plugin", bad).unwrap_err();
            assert_eq!(error.code(), "invalid-name", "{bad:?}");
            assert!(error.to_string().contains("a letter first"), "{error}");
        }
        assert!(TenantId::new("../x").is_err());
        assert!(serde_json::from_str::<TenantId>("\"a/b\"").is_err());
        assert_eq!(TenantId::default(), TenantId::new("default").unwrap());
    }

    #[test]
    fn texts_of_callers_are_cut_and_escaped() {
        assert_eq!(shorten("a\n\u{1b}[31m"), "a\\n\\u{1b}[31m");
        assert_eq!(shorten(&"x".repeat(1_000_000)).chars().count(), 81);
        assert_eq!(shorten(&"ü".repeat(80)), "ü".repeat(80));
    }
}
