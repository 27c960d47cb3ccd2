//! Who asks: a key that was let in.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;

use crate::role::Role;
use crate::tenant_state::TenantState;

/// A key that was let in, without its secret. It never changes, except that it may be revoked.
#[derive(Debug)]
pub struct Principal {
    pub(crate) tenant: Arc<TenantState>,
    pub(crate) key_id: String,
    pub(crate) key_name: String,
    pub(crate) owner: Option<String>,
    pub(crate) role: Role,
    pub(crate) deployments: Option<BTreeSet<String>>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked: AtomicBool,
    /// Stands for all of the above where decisions are kept: no two that ever were have the same.
    pub(crate) serial: u64,
}

/// The next [`Principal::serial`].
pub(crate) fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Principal {
    /// Whose key it is.
    pub fn tenant(&self) -> &Arc<TenantState> {
        &self.tenant
    }

    /// The key's public id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key's name, for people and policies.
    pub fn key_name(&self) -> &str {
        &self.key_name
    }

    /// The person whose key it is, if that was said when it was made.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The key's role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The only deployments that the key is for; `None` for a key that isn't restricted.
    pub fn deployments(&self) -> Option<&BTreeSet<String>> {
        self.deployments.as_ref()
    }

    /// Has the key's time ended since it was let in?
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= Timestamp::now())
    }

    /// Has the key been taken back since it was let in? A request that goes on for long asks now
    /// and then.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }
}

/// `acme/ci (Ab3dEf6hIj9k)`, as it stands in records of who did something.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.tenant.id(), self.key_name, self.key_id)
    }
}
