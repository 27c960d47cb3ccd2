//! Why the registry refused, or failed.

use caisson_store::StoreError;

/// Why the registry refused, or failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Not a name.
    #[error(
        "`{name}` is no {what} name: use 1 to 64 lower-case letters, digits and inner hyphens, a letter first"
    )]
    Name {
        /// Of what.
        what: &'static str,
        /// As given, cut and escaped.
        name: String,
    },
    /// Not a version or requirement.
    #[error("`{text}` is no {what}: {reason}")]
    Version {
        /// `semantic version`, `version requirement`, `model version`.
        what: &'static str,
        /// As given.
        text: String,
        /// Why.
        reason: String,
    },
    /// There is none.
    #[error("there is no {what} `{name}`{hint}")]
    NotFound {
        /// `plugin`, `model`, `deployment`.
        what: &'static str,
        /// Which.
        name: String,
        /// What there is, in words, or nothing.
        hint: String,
    },
    /// A plugin version is immutable, and these are other bytes.
    #[error(
        "{name}@{version} exists with other contents ({existing}); a version never changes: give the new component a new version"
    )]
    PluginConflict {
        /// The plugin.
        name: String,
        /// Its version.
        version: String,
        /// Digest of what is there.
        existing: String,
    },
    /// An alias isn't where the caller thought.
    #[error("the alias `{alias}` points at {found}, not at {expected}; read it again and decide anew")]
    AliasMoved {
        /// The alias.
        alias: String,
        /// Where it is.
        found: String,
        /// Where it was thought to be.
        expected: String,
    },
    /// Past a limit.
    #[error("{what}: at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: String,
        /// The limit.
        max: u64,
    },
    /// Others kept changing the same thing.
    #[error("`{0}` is being changed by others; try again")]
    Contended(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "bad-name",
            Self::Version { .. } => "bad-version",
            Self::NotFound { what: "plugin", .. } => "plugin-not-found",
            Self::NotFound { what: "model", .. } => "model-not-found",
            Self::NotFound { .. } => "not-found",
            Self::PluginConflict { .. } => "plugin-conflict",
            Self::AliasMoved { .. } => "alias-moved",
            Self::TooMany { .. } => "too-many",
            Self::Contended(_) => "contended",
            Self::Store(e) => e.code(),
        }
    }
}
