//! Who may do what, and how much of it: tenants, API keys, roles and policies, quotas.
//!
//! - A **tenant** owns what is registered, and is what quotas apply to.
//! - A **key** belongs to one tenant and has one role; [`Access::authenticate`] makes a [`Principal`]
//!   of its text.
//! - A **policy** in Cedar says what a key may do; [`Access::authorize`] decides. Roles are policies
//!   that every tenant has.
//! - A **quota** limits what a tenant uses; [`TenantState::admit`] lets a request in.
//!
//! The store holds the truth, and memory holds all of it that a request needs: these three calls
//! never touch the store or wait for a change. Every change is on the disk and
//! in effect when its call returns. Changes wait for the disk, so asynchronous callers put them into
//! `tokio::task::spawn_blocking`.
//!
//! This crate knows nothing of HTTP, plugins or models.

mod action;
mod authorize;
mod bucket;
mod error;
mod first_start;
mod gauge;
mod key_text;
mod keys;
mod policies;
mod policy;
mod policy_text;
mod principal;
mod quotas;
mod role;
mod tenant_state;
mod tenants;
mod usage;

use std::fmt;
use std::sync::Arc;

use caisson_registry::{TenantId, table};
use caisson_store::Store;

pub use action::{Action, Kind, Resource};
pub use authorize::{Decision, Reason, Refusal};
pub use error::{AccessError, AuthError};
pub use first_start::FirstAdmin;
pub use key_text::{KeyText, without_secret};
pub use keys::{KeyRecord, NewKey};
pub use policies::PolicyRecord;
pub use policy_text::{PolicyError, PolicyIssue};
pub use principal::Principal;
pub use quotas::{OverQuota, Quota, QuotaFault, Quotas};
pub use role::Role;
pub use tenant_state::TenantState;
pub use tenants::{DEV_TENANT, NewTenant, SYSTEM_TENANT, Settings, Status, TenantRecord};
pub use usage::Admission;

/// The tenants of a store with their keys, policies and quotas. Clones are handles on the same.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    store: Store,
    defaults: Quotas,
    tenants: papaya::HashMap<TenantId, Arc<TenantState>>,
    keys: papaya::HashMap<key_text::KeyId, keys::Entry>,
    engine: policy::Engine,
    decisions: authorize::Decisions,
}

impl Access {
    /// Load everything from a store. `defaults` are the quotas of tenants that have no others.
    ///
    /// # Errors
    ///
    /// Defaults that can't be meant; the store, or a record in it that can't be read.
    pub fn open(store: Store, defaults: Quotas) -> Result<Self, AccessError> {
        defaults.check()?;
        let access = Self(Arc::new(Inner {
            store,
            defaults,
            tenants: papaya::HashMap::new(),
            keys: papaya::HashMap::new(),
            engine: policy::Engine::new()?,
            decisions: authorize::Decisions::new(),
        }));
        for tombstone in table::list::<tenants::Tombstone>(
            access.store(),
            tenants::TOMBSTONES,
            // No name is ever forgotten, so there may be any number.
            usize::MAX,
        )? {
            access.remove_leftovers(&tombstone.id)?;
        }
        for record in access.tenants()? {
            let state = Arc::new(TenantState::new(&record, access.default_quotas()));
            access.load_keys(&state)?;
            access.load_policies(&state)?;
            access.0.tenants.pin().insert(record.id, state);
        }
        Ok(access)
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn default_quotas(&self) -> &Quotas {
        &self.0.defaults
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}
