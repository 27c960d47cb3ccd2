//! How a plugin is named: `impute`, `impute@0.1.0`, `impute@^0.1`, and `std/impute@^0.1` for a
//! first-party one.

use std::fmt;
use std::str::FromStr;

use semver::{Version, VersionReq};

use super::check_length;
use crate::RegistryError;
use crate::names::{self, TenantId};

/// What stands before the name of a first-party plugin. Names have no slash, so it is nothing else.
const STD_PREFIX: &str = "std/";

/// Which versions a reference allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// That one: `1.2.3` or `=1.2.3`.
    Exact(Version),
    /// The highest of those that a requirement of Cargo's matches.
    Requirement(VersionReq),
}

/// A plugin as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// Is it a first-party one?
    pub std: bool,
    /// The plugin's name.
    pub name: String,
    /// Which versions.
    pub wanted: Wanted,
}

impl PluginRef {
    /// That version of the same plugin.
    pub fn at(&self, version: Version) -> Self {
        Self {
            wanted: Wanted::Exact(version),
            ..self.clone()
        }
    }

    /// Whose plugin `tenant` means by this.
    pub(crate) fn owner(&self, tenant: &TenantId) -> TenantId {
        if self.std { TenantId::std() } else { tenant.clone() }
    }
}

impl FromStr for PluginRef {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let (plugin, version) = text.split_once('@').unwrap_or((text, "*"));
        let (std, name) = match plugin.strip_prefix(STD_PREFIX) {
            Some(name) => (true, name),
            None => (false, plugin),
        };
        names::check("plugin", name)?;
        check_length("version requirement", version)?;
        let exact = version.strip_prefix('=').unwrap_or(version).trim();
        let wanted = match Version::parse(exact) {
            Ok(version) => Wanted::Exact(version),
            Err(_) => {
                Wanted::Requirement(VersionReq::parse(version).map_err(|e| RegistryError::Version {
                    what: "version requirement",
                    text: names::shown(version),
                    reason: e.to_string(),
                })?)
            }
        };
        Ok(Self {
            std,
            name: name.to_owned(),
            wanted,
        })
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.std { STD_PREFIX } else { "" };
        match &self.wanted {
            Wanted::Exact(version) => write!(f, "{prefix}{}@{version}", self.name),
            Wanted::Requirement(any) if *any == VersionReq::STAR => write!(f, "{prefix}{}", self.name),
            Wanted::Requirement(requirement) => write!(f, "{prefix}{}@{requirement}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_reference() {
        for (text, shown) in [
            ("impute", "impute"),
            ("impute@*", "impute"),
            ("impute@0.1.0", "impute@0.1.0"),
            ("impute@=0.1.0", "impute@0.1.0"),
            ("impute@= 0.1.0-rc.1", "impute@0.1.0-rc.1"),
            ("impute@^0.1", "impute@^0.1"),
            ("std/impute", "std/impute"),
            ("std/impute@0.1.0", "std/impute@0.1.0"),
            ("impute@=0.1", "impute@=0.1"),
        ] {
            let reference: PluginRef = text.parse().unwrap();
            assert_eq!(reference.to_string(), shown);
            assert_eq!(reference.std, text.starts_with("std/"));
        }
        for bad in [
            "",
            "std/",
            "other/impute",
            "std/std/x",
            "std/../x",
            "impute/",
            "@1.0.0",
            "impute@",
        ] {
            assert!(bad.parse::<PluginRef>().is_err(), "{bad}");
        }
    }
}
