//! Texts that are shown to nobody once they are given.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";

/// A password, key or token. Neither `Debug` nor `Serialize` shows it: what is read out and written
/// back is refused rather than taken as a secret of eight letters.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is shown in place of one.
    pub(crate) fn hidden() -> Self {
        Self::from(HIDDEN)
    }

    /// Is it what was shown in place of one?
    pub(crate) fn is_hidden(&self) -> bool {
        self.0 == HIDDEN
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
