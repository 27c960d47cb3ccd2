//! A tenant's own policies: written, listed, deleted.
//!
//! Keys `access-policy/{tenant}/{name}`. A policy is checked before it is stored. One that a later
//! release can't read any more closes what its tenant's policies decide, and nothing else, until it
//! is replaced or deleted: to leave it out could permit what it forbids.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caisson_registry::table::{self, Attempt, change};
use caisson_registry::{RegistryError, TenantId, check_name, now, shown};
use caisson_store::Op;
use caisson_store::record::{self, Record};
use cedar_policy::PolicySet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Engine;
use crate::policy_text::PolicyError;
use crate::principal::Principal;
use crate::tenant_state::TenantState;
use crate::{Access, AccessError};

/// Policies of one tenant. All of them are looked at for each decision that isn't kept.
const POLICIES_MAX: usize = 32;
/// Bytes of one policy: a few hundred lines.
const POLICY_BYTES_MAX: usize = 8 * 1024;

/// One policy of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRecord {
    /// Its name.
    pub name: String,
    /// One or more `permit` and `forbid`, in Cedar.
    pub text: String,
    /// When it was last written, RFC 3339.
    pub updated_at: String,
    /// By whom.
    pub updated_by: String,
}

impl Record for PolicyRecord {
    const KIND: &'static str = "policy";
    const FORMAT: u32 = 1;
}

/// A tenant's own policies in memory.
pub(crate) struct OwnPolicies {
    /// No two that ever were have the same.
    pub(crate) generation: u64,
    /// With the defaults beside them; `None` where there are none.
    pub(crate) set: Result<Option<Arc<PolicySet>>, PolicyError>,
    each: Each,
}

/// Policies by name, as they were read.
type Each = BTreeMap<String, Result<Arc<PolicySet>, PolicyError>>;

impl OwnPolicies {
    pub(crate) fn none() -> Self {
        Self::new(Each::new(), Ok(None))
    }

    fn of(each: Each, engine: &Engine) -> Self {
        if each.is_empty() {
            return Self::none();
        }
        let read: Result<Vec<_>, PolicyError> = each
            .iter()
            .map(|(name, set)| match set {
                Ok(set) => Ok((&**name, &**set)),
                Err(error) => Err(error.clone()),
            })
            .collect();
        let set = read.and_then(|own| engine.with_defaults(own.into_iter()));
        Self::new(each, set.map(Some))
    }

    fn new(each: Each, set: Result<Option<Arc<PolicySet>>, PolicyError>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            generation: NEXT.fetch_add(1, Ordering::Relaxed),
            set,
            each,
        }
    }
}

impl Access {
    /// Write a policy of a tenant, in place of the one of this name if there is one. In effect when
    /// this returns.
    ///
    /// # Errors
    ///
    /// Not a name; not Cedar, or not of the schema, with line and column; too many or too long; there
    /// is no such tenant; the store.
    pub fn put_policy(
        &self,
        tenant: &TenantId,
        name: &str,
        text: &str,
        by: &Principal,
    ) -> Result<PolicyRecord, AccessError> {
        check_name("policy", name)?;
        let too_many = |what: String, max: usize| {
            AccessError::from(RegistryError::TooMany {
                what,
                max: max as u64,
            })
        };
        if text.len() > POLICY_BYTES_MAX {
            return Err(too_many(
                format!("bytes of the policy `{name}`"),
                POLICY_BYTES_MAX,
            ));
        }
        let set = Arc::new(self.0.engine.read(name, text)?);
        let record = PolicyRecord {
            name: name.to_owned(),
            text: text.to_owned(),
            updated_at: now(),
            updated_by: by.to_string(),
        };
        let path = policy_path(tenant, name);
        self.change_policies(tenant, name, Some(set), |policies| {
            let op = match record::get::<PolicyRecord>(self.store().metadata(), &path)? {
                Some(stored) => stored.replace(&path, &record)?,
                None if policies >= POLICIES_MAX => {
                    return Err(too_many(
                        format!("policies of the tenant `{tenant}`"),
                        POLICIES_MAX,
                    ));
                }
                None => record::create(&path, &record)?,
            };
            Ok((op, record.clone()))
        })
    }

    /// All policies of a tenant's own, by name.
    ///
    /// # Errors
    ///
    /// There is no such tenant; the store.
    pub fn policies(&self, tenant: &TenantId) -> Result<Vec<PolicyRecord>, AccessError> {
        self.tenant_state(tenant)?;
        self.stored_policies(tenant)
    }

    /// One policy of a tenant's own.
    ///
    /// # Errors
    ///
    /// There is none of this name, or no such tenant; the store.
    pub fn policy(&self, tenant: &TenantId, name: &str) -> Result<PolicyRecord, AccessError> {
        self.tenant_state(tenant)?;
        check_name("policy", name)?;
        record::get::<PolicyRecord>(self.store().metadata(), &policy_path(tenant, name))?
            .map(|stored| stored.record)
            .ok_or_else(|| no_policy(name))
    }

    /// Delete a policy. In effect when this returns.
    ///
    /// # Errors
    ///
    /// There is none of this name, or no such tenant; the store.
    pub fn delete_policy(&self, tenant: &TenantId, name: &str) -> Result<PolicyRecord, AccessError> {
        check_name("policy", name)?;
        let path = policy_path(tenant, name);
        self.change_policies(tenant, name, None, |_| {
            let stored = record::get::<PolicyRecord>(self.store().metadata(), &path)?
                .ok_or_else(|| no_policy(name))?;
            Ok((Op::delete(path.as_str(), stored.unchanged()), stored.record))
        })
    }

    /// Put a tenant's stored policies into memory, at open.
    pub(crate) fn load_policies(&self, state: &TenantState) -> Result<(), AccessError> {
        let each = self
            .stored_policies(state.id())?
            .into_iter()
            .map(|record| {
                let set = self.0.engine.read(&record.name, &record.text);
                (record.name, set.map(Arc::new))
            })
            .collect();
        let policies = OwnPolicies::of(each, &self.0.engine);
        if let Err(error) = &policies.set {
            tracing::error!(tenant = %state.id(), %error, "refusing what this tenant's policies decide");
        }
        state.set_policies(policies);
        Ok(())
    }

    /// Store what `edit` makes of a policy, given how many there are, and use `set` from then on.
    fn change_policies(
        &self,
        tenant: &TenantId,
        name: &str,
        set: Option<Arc<PolicySet>>,
        edit: impl Fn(usize) -> Result<(Op, PolicyRecord), AccessError>,
    ) -> Result<PolicyRecord, AccessError> {
        let state = self.tenant_state(tenant)?;
        let _changing = state.changing();
        // One that was deleted a moment ago gets no policy any more.
        self.tenant(tenant)?;
        let mut each = state.own_policies().each.clone();
        let changed = change(self.store(), name, || {
            let (op, answer) = edit(each.len())?;
            Ok::<_, AccessError>(Attempt {
                ops: vec![op],
                answer,
            })
        })?;
        match set {
            Some(set) => each.insert(name.to_owned(), Ok(set)),
            None => each.remove(name),
        };
        state.set_policies(OwnPolicies::of(each, &self.0.engine));
        Ok(changed)
    }

    fn stored_policies(&self, tenant: &TenantId) -> Result<Vec<PolicyRecord>, AccessError> {
        Ok(table::list(self.store(), &policies_prefix(tenant), POLICIES_MAX)?)
    }
}

/// Where a tenant's policies are.
pub(crate) fn policies_prefix(tenant: &TenantId) -> String {
    format!("access-policy/{tenant}/")
}

fn policy_path(tenant: &TenantId, name: &str) -> String {
    format!("{}{name}", policies_prefix(tenant))
}

fn no_policy(name: &str) -> AccessError {
    AccessError::Registry(RegistryError::NotFound {
        what: "policy",
        name: shown(name),
        hint: "; `caisson policy list` shows what there is".to_owned(),
    })
}
