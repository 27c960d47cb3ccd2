//! What a plugin says of itself, checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::{WireManifest, WireWorld};
use crate::error::UploadError;

/// The contract that this host offers: `wit/`, package `caisson:plugin`.
pub const WIT_VERSION: &str = wit_version!();

/// Characters of a plugin's name; it is part of URLs, metric labels and file names.
pub const NAME_CHARS_MAX: usize = 64;
/// Bytes of a version.
pub const VERSION_BYTES_MAX: usize = 64;
/// Bytes of a config schema, as `wit/types.wit` says.
pub const CONFIG_SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Bytes of the help text, as `wit/types.wit` says.
pub const HELP_BYTES_MAX: usize = 16 << 10;

/// The world that a plugin implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Changes columns.
    Transform,
    /// Judges rows.
    Validator,
    /// Compares current data with a reference.
    DriftCheck,
    /// Predicts with host-run models.
    Predictor,
}

impl World {
    /// Every world.
    pub const ALL: [Self; 4] = [
        Self::Transform,
        Self::Validator,
        Self::DriftCheck,
        Self::Predictor,
    ];

    /// Its name in `wit/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Validator => "validator",
            Self::DriftCheck => "drift-check",
            Self::Predictor => "predictor",
        }
    }

    /// What it exports besides `describe` and `configure`.
    pub const fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Transform => &["apply"],
            Self::Validator => &["validate"],
            Self::DriftCheck => &["fit", "check"],
            Self::Predictor => &["predict"],
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for World {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|w| w.name() == name).ok_or_else(|| {
            format!("`{name}` is no plugin world: transform, validator, drift-check or predictor")
        })
    }
}

/// What `describe` returned, checked against the rules of `wit/types.wit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower-case letters, digits and inner hyphens, a letter first.
    pub name: String,
    /// A semantic version.
    pub version: semver::Version,
    /// The world.
    pub world: World,
    /// JSON Schema of the config: an object or a boolean.
    pub config_schema: Value,
    /// One paragraph of help.
    pub help: String,
}

impl Manifest {
    pub(crate) fn check(wire: WireManifest, exported: World) -> Result<Self, UploadError> {
        let bad = |message: String| Err(UploadError::Manifest(message));
        if !is_plugin_name(&wire.name) {
            let shown = crate::text::tame(&wire.name, NAME_CHARS_MAX);
            return bad(format!(
                "the name {shown:?} is not allowed: 1 to {NAME_CHARS_MAX} lower-case letters, digits and inner hyphens, a letter first"
            ));
        }
        let version = match semver::Version::parse(&wire.version) {
            Ok(version) if wire.version.len() <= VERSION_BYTES_MAX => version,
            Ok(_) => return bad(format!("the version has more than {VERSION_BYTES_MAX} bytes")),
            Err(error) => {
                let shown = crate::text::tame(&wire.version, VERSION_BYTES_MAX);
                return bad(format!("{shown:?} is no semantic version such as 1.2.3: {error}"));
            }
        };
        let world = World::from(wire.world);
        if world != exported {
            return bad(format!(
                "it says that it is a {world}, and its exports are those of a {exported}"
            ));
        }
        if wire.config_schema.len() > CONFIG_SCHEMA_BYTES_MAX {
            return bad(format!(
                "the config schema has {} bytes; at most {CONFIG_SCHEMA_BYTES_MAX} are allowed",
                wire.config_schema.len()
            ));
        }
        if wire.help.len() > HELP_BYTES_MAX {
            return bad(format!(
                "the help has {} bytes; at most {HELP_BYTES_MAX} are allowed",
                wire.help.len()
            ));
        }
        let config_schema: Value = match serde_json::from_str(&wire.config_schema) {
            Ok(schema @ (Value::Object(_) | Value::Bool(_))) => schema,
            Ok(_) => {
                return bad(
                    "the config schema is JSON and no JSON Schema: it must be an object or a boolean"
                        .to_owned(),
                );
            }
            Err(error) => return bad(format!("the config schema is not JSON: {error}")),
        };
        Ok(Self {
            name: wire.name,
            version,
            world,
            config_schema,
            help: wire.help,
        })
    }
}

/// `[a-z][a-z0-9-]*` without a hyphen at the end, at most [`NAME_CHARS_MAX`] characters.
pub fn is_plugin_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

impl From<WireWorld> for World {
    fn from(wire: WireWorld) -> Self {
        match wire {
            WireWorld::Transform => Self::Transform,
            WireWorld::Validator => Self::Validator,
            WireWorld::DriftCheck => Self::DriftCheck,
            WireWorld::Predictor => Self::Predictor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> WireManifest {
        WireManifest {
            name: "one-hot".into(),
            version: "1.2.3-rc.1".into(),
            world: WireWorld::Transform,
            config_schema: r#"{"type":"object"}"#.into(),
            help: "Helps.".into(),
        }
    }

    #[test]
    fn a_good_manifest_passes() {
        let manifest = Manifest::check(wire(), World::Transform).unwrap();
        assert_eq!(manifest.name, "one-hot");
        assert_eq!(manifest.version.to_string(), "1.2.3-rc.1");
    }

    #[test]
    fn names_versions_worlds_schemas_and_lengths_are_checked() {
        for name in [
            "",
            "../x",
            "a/b",
            "A",
            "1a",
            "-a",
            "a-",
            "a b",
            "ä",
            &"a".repeat(65),
        ] {
            let error = Manifest::check(
                WireManifest {
                    name: name.into(),
                    ..wire()
                },
                World::Transform,
            )
            .unwrap_err();
            assert!(error.to_string().contains("not allowed"), "{name}: {error}");
        }
        for (change, expect) in [
            (
                WireManifest {
                    version: "1.2".into(),
                    ..wire()
                },
                "no semantic version",
            ),
            (
                WireManifest {
                    version: format!("1.2.3-{}", "a".repeat(64)),
                    ..wire()
                },
                "more than 64 bytes",
            ),
            (
                WireManifest {
                    config_schema: "{".into(),
                    ..wire()
                },
                "not JSON",
            ),
            (
                WireManifest {
                    config_schema: "3".into(),
                    ..wire()
                },
                "no JSON Schema",
            ),
            (
                WireManifest {
                    config_schema: format!("\"{}\"", "a".repeat(65_536)),
                    ..wire()
                },
                "at most 65536",
            ),
            (
                WireManifest {
                    help: "a".repeat(16_385),
                    ..wire()
                },
                "at most 16384",
            ),
            (
                WireManifest {
                    world: WireWorld::Validator,
                    ..wire()
                },
                "it says that it is a validator",
            ),
        ] {
            let error = Manifest::check(change, World::Transform).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        assert!(
            Manifest::check(
                WireManifest {
                    help: "a".repeat(16_384),
                    ..wire()
                },
                World::Transform
            )
            .is_ok()
        );
        assert!(is_plugin_name(&"a".repeat(64)));
    }
}
