//! Why the registry said no, and what the caller does about it.

use caisson_store::{Digest, StoreError};

/// Whose fault an error is, for a caller that turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request makes no sense.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// It disagrees with what is there.
    Conflict,
    /// Too much of it.
    TooLarge,
    /// The disk is full.
    Full,
    /// Others were faster too many times; trying again helps.
    Busy,
    /// The storage's fault.
    Internal,
}

/// Why the registry said no. The message says what to do; [`RegistryError::code`] is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A name that breaks the rule.
    #[error(
        "`{name}` can't be the name of a {kind}: \
         use 1 to 64 lower-case letters, digits and inner hyphens, a letter first"
    )]
    InvalidName {
        /// What it was to name.
        kind: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// A version that is none.
    #[error("`{version}` is no version of a {kind}: {detail}")]
    InvalidVersion {
        /// Of what.
        kind: &'static str,
        /// The text, shortened.
        version: String,
        /// What is wrong, and what is right.
        detail: String,
    },
    /// A part of an upload that can't be taken.
    #[error("the {what} can't be taken: {detail}")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// What is wrong, and what is right.
        detail: String,
    },
    /// There is nothing of this name.
    #[error("there is no {kind} `{name}`; {hint}")]
    NotFound {
        /// What.
        kind: &'static str,
        /// Its name.
        name: String,
        /// How to see what there is, or to make it.
        hint: &'static str,
    },
    /// There is something of this name, and not in this version.
    #[error(
        "{kind} `{name}` has no version {wanted}; {}",
        available_text(available, hint)
    )]
    NoSuchVersion {
        /// What.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What was asked for.
        wanted: String,
        /// Some of what there is, newest first; empty where a list would not help.
        available: Vec<String>,
        /// What else to say.
        hint: &'static str,
    },
    /// The version is taken by other bytes.
    #[error(
        "plugin {name}@{version} exists with other bytes ({existing}, and these are {given}); \
         versions are immutable: raise the version"
    )]
    PluginConflict {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The digest that is registered.
        existing: Digest,
        /// The digest of the upload.
        given: Digest,
    },
    /// Something else than was expected is there: somebody was faster.
    #[error(
        "{what} is {}, and {} was expected; look again and decide anew",
        found.map_or_else(|| "not set".to_owned(), |n| n.to_string()),
        expected.map_or_else(|| "nothing".to_owned(), |n| n.to_string())
    )]
    Moved {
        /// What is not as expected.
        what: String,
        /// What the caller expected.
        expected: Option<u64>,
        /// What is there.
        found: Option<u64>,
    },
    /// More than a limit allows.
    #[error("the {what} has {size} bytes, and the limit is {max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// Too many of them.
    #[error("{what}: the limit is {max}; {hint}")]
    TooMany {
        /// What there are too many of, and where.
        what: String,
        /// The limit.
        max: u64,
        /// What to do.
        hint: &'static str,
    },
    /// Others changed the same thing each time.
    #[error("{what} is being changed by others all the time; try again")]
    Busy {
        /// What.
        what: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid-name",
            Self::InvalidVersion { .. } => "invalid-version",
            Self::Invalid { .. } => "invalid-upload",
            Self::NotFound { kind, .. } => match *kind {
                "plugin" => "plugin-not-found",
                "model" => "model-not-found",
                "deployment" => "deployment-not-found",
                _ => "not-found",
            },
            Self::NoSuchVersion { .. } => "version-not-found",
            Self::PluginConflict { .. } => "plugin-conflict",
            Self::Moved { .. } => "changed-meanwhile",
            Self::TooLarge { .. } => "too-large",
            Self::TooMany { .. } => "too-many",
            Self::Busy { .. } => "busy",
            Self::Store(error) => error.code(),
        }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::InvalidName { .. } | Self::InvalidVersion { .. } | Self::Invalid { .. } => Class::Invalid,
            Self::NotFound { .. } | Self::NoSuchVersion { .. } => Class::NotFound,
            Self::PluginConflict { .. } | Self::Moved { .. } | Self::TooMany { .. } => Class::Conflict,
            Self::TooLarge { .. } | Self::Store(StoreError::TooLarge { .. }) => Class::TooLarge,
            Self::Store(StoreError::Full { .. }) => Class::Full,
            Self::Busy { .. } => Class::Busy,
            Self::Store(_) => Class::Internal,
        }
    }
}

fn available_text(available: &[String], hint: &str) -> String {
    match (available.is_empty(), hint.is_empty()) {
        (true, _) => hint.to_owned(),
        (false, true) => format!("there are {}", available.join(", ")),
        (false, false) => format!("there are {}; {hint}", available.join(", ")),
    }
}

/// Refuse more than `max` bytes of something.
pub(crate) fn check_size(what: &'static str, size: usize, max: u64) -> Result<(), RegistryError> {
    let size = size as u64;
    if size > max {
        return Err(RegistryError::TooLarge { what, size, max });
    }
    Ok(())
}
