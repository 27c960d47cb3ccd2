//! Why the registry refused, or failed.

use caisson_store::{Digest, StoreError};

use crate::models::Stage;
use crate::signature::SignatureError;

/// Users of a thing that are named in a refusal.
const USERS_SHOWN: usize = 10;

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
    /// A text that can't be kept.
    #[error("{what}: {reason}")]
    Text {
        /// Which text.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing new may be built on a yanked version.
    #[error(
        "{reference} was yanked by {by}: {why}; what runs on it goes on, and something new needs another version{hint}"
    )]
    Yanked {
        /// `name@version`.
        reference: String,
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// What else there is, or nothing.
        hint: String,
    },
    /// What is stored under a pinned name isn't what was pinned.
    #[error("{reference} was pinned as {pinned}, and it is {found} now; deploy anew")]
    PinMismatch {
        /// `name@version`.
        reference: String,
        /// The digest that was pinned.
        pinned: Digest,
        /// The digest that is there.
        found: Digest,
    },
    /// A signature doesn't verify, or is missing.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Something can't be removed while it is used.
    #[error("{what} is used by {}; change them first", list(.users))]
    InUse {
        /// `churn@3`.
        what: String,
        /// `alias champion`, `deployment churn`.
        users: Vec<String>,
    },
    /// A step between two stages that there isn't.
    #[error("{what} is {from}, and from there it can become {}, not {to}", legal_steps(*.from))]
    IllegalTransition {
        /// `churn@3`.
        what: String,
        /// Its stage.
        from: Stage,
        /// The stage asked for.
        to: Stage,
    },
    /// A version isn't in the stage that the caller thought.
    #[error("{what} is {found}, not {expected}; read it again and decide anew")]
    StageMoved {
        /// `churn@3`.
        what: String,
        /// Its stage.
        found: Stage,
        /// What it was thought to be.
        expected: Stage,
    },
    /// Who asked for an approval doesn't give it.
    #[error("{by} asked for the approval of {what}, so someone else must give it")]
    FourEyes {
        /// `churn@3`.
        what: String,
        /// Who.
        by: String,
    },
    /// An approval takes two people, and a key doesn't say whose it is.
    #[error(
        "the approval of {what} takes two people, and the key {by} has no owner: make keys with `caisson key create --owner`, and ask again"
    )]
    Unowned {
        /// `churn@3`.
        what: String,
        /// The key.
        by: String,
    },
    /// Only what is yanked is deleted, so that nothing new chooses it meanwhile.
    #[error("{0} isn't yanked; yank it first, so that nothing new comes to need it")]
    NotYanked(String),
    /// A version was deleted, and its name is never given to other bytes.
    #[error(
        "{name}@{version} was deleted and had other contents ({existing}); a version never changes: give the new component a new version"
    )]
    PluginGone {
        /// The plugin.
        name: String,
        /// Its version.
        version: String,
        /// Digest of what was there.
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
    /// Is it for want of room on the disk?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::Full { .. }))
    }

    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "bad-name",
            Self::Version { .. } => "bad-version",
            Self::NotFound { what: "plugin", .. } => "plugin-not-found",
            Self::NotFound { what: "model", .. } => "model-not-found",
            Self::NotFound { .. } => "not-found",
            Self::PluginConflict { .. } => "plugin-conflict",
            Self::Text { .. } => "bad-text",
            Self::Yanked { .. } => "yanked",
            Self::PinMismatch { .. } => "pin-mismatch",
            Self::Signature(e) => e.code(),
            Self::InUse { .. } => "in-use",
            Self::IllegalTransition { .. } => "illegal-transition",
            Self::StageMoved { .. } => "stage-moved",
            Self::FourEyes { .. } => "four-eyes",
            Self::Unowned { .. } => "no-owner",
            Self::NotYanked(_) => "not-yanked",
            Self::PluginGone { .. } => "plugin-conflict",
            Self::AliasMoved { .. } => "alias-moved",
            Self::TooMany { .. } => "too-many",
            Self::Contended(_) => "contended",
            Self::Store(e) => e.code(),
        }
    }
}

fn list(users: &[String]) -> String {
    let shown = users.iter().take(USERS_SHOWN).cloned().collect::<Vec<_>>();
    match users.len().checked_sub(USERS_SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn legal_steps(from: Stage) -> String {
    let names: Vec<&str> = from.next().iter().map(|stage| stage.name()).collect();
    names.join(" or ")
}
