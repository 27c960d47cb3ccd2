//! Why a change was refused, and why a key was.
//!
//! - [`AccessError`]: a change of tenants, keys, policies or quotas that can't be made.
//! - [`AuthError`]: a presented key that isn't let in.
//!
//! A refused action is a [`Refusal`](crate::Refusal), and one too many an
//! [`OverQuota`](crate::OverQuota). `code()` is stable and machine-readable on all of them.

use caisson_registry::RegistryError;
use caisson_store::StoreError;

use crate::policy_text::PolicyError;
use crate::role::Role;

/// Why a change was refused, or failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A tenant's name that is Caisson's own.
    #[error("the tenant `{id}` is Caisson's own: {why}")]
    Reserved {
        /// Which.
        id: String,
        /// What it is for.
        why: &'static str,
    },
    /// There is one already.
    #[error("the tenant `{0}` exists; choose another name")]
    TenantExists(String),
    /// There was one, and it had another owner.
    #[error(
        "a tenant `{0}` existed and was deleted; its name is never given out again, so that nothing that \
         still carries it comes to belong to someone else: choose another name"
    )]
    TenantDeleted(String),
    /// Something would be left without an owner.
    #[error("the tenant `{id}` still owns {what}; delete that first")]
    StillOwns {
        /// The tenant.
        id: String,
        /// What it has, in words.
        what: String,
    },
    /// A value that can't be.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which value.
        what: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// A key may not give more than it has.
    #[error("a key with the role {by} can't make one with the role {role}; use a key that has that role")]
    Escalation {
        /// The role asked for.
        role: Role,
        /// The role of the key that asked.
        by: Role,
    },
    /// The first operator's key can't be this one.
    #[error("the given operator key can't be used: {0}")]
    OperatorKey(&'static str),
    /// A policy that Cedar refuses.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers ({0}); nothing was changed")]
    Random(getrandom::Error),
    /// Names, limits, missing records, and the store.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl AccessError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reserved { .. } => "tenant-reserved",
            Self::TenantExists(_) => "tenant-exists",
            Self::TenantDeleted(_) => "tenant-deleted",
            Self::StillOwns { .. } => "tenant-not-empty",
            Self::Invalid { .. } => "invalid",
            Self::Escalation { .. } => "escalation",
            Self::OperatorKey(_) => "bad-operator-key",
            Self::Policy(e) => e.code(),
            Self::Random(_) => "no-random-numbers",
            Self::Registry(e) => e.code(),
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

impl From<StoreError> for AccessError {
    fn from(e: StoreError) -> Self {
        Self::Registry(e.into())
    }
}

/// Why a presented key isn't let in. What a message tells of a key is told only to who knows its
/// secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Not of the form of a key.
    #[error("this is no Caisson key; one looks like `csn_<12 characters>_<43 characters>`")]
    Malformed,
    /// No key has this id, or the secret is another.
    #[error("this key is not known here")]
    Unknown,
    /// Its time is over.
    #[error("this key has expired; ask for a new one")]
    Expired,
    /// It was taken back.
    #[error("this key was revoked; ask for a new one")]
    Revoked,
    /// Its tenant may not do anything for now.
    #[error("this key's tenant is suspended; ask who runs this server")]
    Suspended,
}

impl AuthError {
    /// Stable and machine-readable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "key-malformed",
            Self::Unknown => "key-unknown",
            Self::Expired => "key-expired",
            Self::Revoked => "key-revoked",
            Self::Suspended => "tenant-suspended",
        }
    }
}
