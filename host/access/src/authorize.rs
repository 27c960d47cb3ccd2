//! May this key do that?
//!
//! A decision depends on the key, the action, the resource's name and owner, and the policies, and on
//! nothing else of a request, so it is kept and looked up. Another policy has another generation,
//! which no kept decision has; a revoked key and a suspended tenant are looked at every time.

use std::fmt;
use std::sync::Arc;

use caisson_registry::TenantId;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use smol_str::SmolStr;

use crate::Access;
use crate::action::{Action, Resource};
use crate::policies::OwnPolicies;
use crate::policy::{KEY_DEPLOYMENTS, Verdict};
use crate::principal::Principal;
use crate::role::Role;

/// Decisions kept: 10,000 busy keys with six each. About 200 bytes apiece.
const DECISIONS_MAX: usize = 65_536;
/// Bytes of a resource's name: twice what a name has. What a caller sends instead of one may be
/// longer, and neither a policy's patterns nor the kept decisions should meet it.
const NAME_BYTES_MAX: usize = 128;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, and why.
    Deny(Arc<Refusal>),
}

impl Decision {
    /// May it?
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }

    /// For `?`.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn into_result(self) -> Result<(), Arc<Refusal>> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(refusal) => Err(refusal),
        }
    }
}

/// Why an action is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `deployment:churn:predict`.
    pub permission: String,
    /// Why.
    pub reason: Reason,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// This policy forbids it.
    Forbidden {
        /// Its name.
        policy: String,
    },
    /// The key is for these deployments only.
    OtherDeployment {
        /// Which.
        only: Vec<String>,
    },
    /// No policy permits it.
    NotPermitted {
        /// The key's role.
        role: Role,
        /// The first role that may, if one may.
        needs: Option<Role>,
    },
    /// It belongs to another tenant.
    OtherTenant,
    /// This policy has no answer, and might be one that forbids it.
    PolicyFailed {
        /// Its name.
        policy: String,
        /// What Cedar says.
        error: String,
    },
    /// The tenant's policies were written for another release, and this one can't read them.
    PoliciesUnreadable {
        /// Which one, where, and what of it.
        error: String,
    },
    /// Nothing has so long a name.
    NameTooLong,
    /// The key was revoked since it was let in.
    Revoked,
    /// The tenant was suspended since the key was let in.
    Suspended,
}

/// The default policy that keeps tenants from what concerns the whole server.
const SERVER_WIDE: &str = "server-wide";

impl Refusal {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self.reason {
            Reason::Revoked => "key-revoked",
            Reason::Suspended => "tenant-suspended",
            _ => "forbidden",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not permitted: ", self.permission)?;
        match &self.reason {
            Reason::Forbidden { policy } if policy == SERVER_WIDE => {
                f.write_str("only operators may, with a key of the tenant `system`")
            }
            Reason::Forbidden { policy } => write!(f, "the policy `{policy}` forbids it"),
            Reason::OtherDeployment { only } => {
                write!(f, "this key is only for the deployments {}", only.join(", "))
            }
            Reason::NotPermitted {
                role,
                needs: Some(needs),
            } => write!(f, "this key has the role {role}, and the role {needs} would do"),
            Reason::NotPermitted { role, needs: None } => {
                write!(
                    f,
                    "this key has the role {role}, and no role of this tenant would do"
                )
            }
            Reason::OtherTenant => f.write_str("it belongs to another tenant"),
            Reason::PolicyFailed { policy, error } => {
                write!(
                    f,
                    "the policy `{policy}` has no answer ({error}); correct or delete it"
                )
            }
            Reason::PoliciesUnreadable { error } => {
                write!(
                    f,
                    "{error}; until it is corrected or deleted only policies can be managed"
                )
            }
            Reason::NameTooLong => {
                write!(f, "names have at most {NAME_BYTES_MAX} bytes")
            }
            Reason::Revoked => f.write_str("this key was revoked"),
            Reason::Suspended => f.write_str("this key's tenant is suspended"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Decisions by what they depend on.
pub(crate) struct Decisions(Cache<Asked, Decision>);

impl Decisions {
    pub(crate) fn new() -> Self {
        Self(Cache::new(DECISIONS_MAX))
    }
}

/// Small, and mostly in one piece: what costs here is memory that isn't in the processor's cache.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    principal: u64,
    policies: u64,
    action: Action,
    /// `None` for the principal's own.
    tenant: Option<TenantId>,
    name: SmolStr,
}

/// [`Asked`], to look it up. Hashes alike, so it has the same fields in the same order.
#[derive(Hash)]
struct Asking<'a> {
    principal: u64,
    policies: u64,
    action: Action,
    tenant: Option<&'a TenantId>,
    name: &'a str,
}

impl Equivalent<Asked> for Asking<'_> {
    fn equivalent(&self, asked: &Asked) -> bool {
        self.principal == asked.principal
            && self.policies == asked.policies
            && self.action == asked.action
            && self.tenant == asked.tenant.as_ref()
            && self.name == asked.name.as_str()
    }
}

impl Access {
    /// May this key do this action to this resource?
    ///
    /// The default policies say what each role may. A tenant's own policies count too where one of
    /// its keys asks for one of its own things, except for its policies themselves: who may read,
    /// write and delete those is for the defaults alone, so no policy can shut its tenant out. Where
    /// a tenant's policy has no answer, or can't be read, the answer is no.
    pub fn authorize(&self, principal: &Principal, action: Action, resource: &Resource<'_>) -> Decision {
        let denied = |reason| {
            Decision::Deny(Arc::new(Refusal {
                permission: resource.permission(action),
                reason,
            }))
        };
        if principal.is_revoked() {
            return denied(Reason::Revoked);
        }
        if !principal.tenant().is_active() {
            return denied(Reason::Suspended);
        }
        if resource.name.len() > NAME_BYTES_MAX {
            return denied(Reason::NameTooLong);
        }
        let own = principal.tenant().own_policies();
        let same_tenant = principal.tenant().id() == resource.tenant;
        let asking = Asking {
            principal: principal.serial,
            policies: own.generation,
            action,
            tenant: (!same_tenant).then_some(resource.tenant),
            name: resource.name,
        };
        if let Some(kept) = self.0.decisions.0.get(&asking) {
            return kept;
        }
        let decision = match self.reason_against(principal, action, resource, &own) {
            None => Decision::Allow,
            Some(reason) => denied(reason),
        };
        let asked = Asked {
            principal: asking.principal,
            policies: asking.policies,
            action,
            tenant: asking.tenant.cloned(),
            name: resource.name.into(),
        };
        self.0.decisions.0.insert(asked, decision.clone());
        decision
    }

    fn reason_against(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
        own: &OwnPolicies,
    ) -> Option<Reason> {
        let engine = &self.0.engine;
        let same_tenant = principal.tenant().id() == resource.tenant;
        let policies = match &own.set {
            Ok(Some(set)) if same_tenant && !action.is_about_policies() => set,
            Err(error) if same_tenant && !action.is_about_policies() => {
                return Some(Reason::PoliciesUnreadable {
                    error: error.to_string(),
                });
            }
            _ => engine.defaults(),
        };
        match engine.decide(policies, principal, principal.role(), action, resource) {
            Verdict::Allow => None,
            Verdict::Forbidden(policy) if policy == KEY_DEPLOYMENTS => Some(Reason::OtherDeployment {
                only: principal.deployments().into_iter().flatten().cloned().collect(),
            }),
            Verdict::Forbidden(policy) => Some(Reason::Forbidden { policy }),
            Verdict::Failed { policy, error } => Some(Reason::PolicyFailed { policy, error }),
            Verdict::NotPermitted => {
                let needs = Role::ALL.into_iter().find(|&role| {
                    engine.decide(policies, principal, role, action, resource) == Verdict::Allow
                });
                Some(match needs {
                    None if !same_tenant => Reason::OtherTenant,
                    needs => Reason::NotPermitted {
                        role: principal.role(),
                        needs,
                    },
                })
            }
        }
    }
}
