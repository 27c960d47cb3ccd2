//! Policies in Cedar: the schema, the default policies, a tenant's own, and what they decide.
//!
//! A tenant's own policies are put beside the defaults and may permit and forbid. What keeps them to
//! the tenant is not in their text: they are used only where one of its keys asks for one of its own
//! things (see [`crate::Access::authorize`]).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use caisson_registry::TenantId;
use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, Request, RestrictedExpression, Schema, Validator,
};

use crate::action::{Action, Kind, Resource};
use crate::policy_text::{PolicyError, read};
use crate::principal::Principal;
use crate::role::Role;

const SCHEMA: &str = include_str!("../policies/caisson.cedarschema");
const DEFAULTS: &str = include_str!("../policies/default.cedar");
/// Which default policy keeps a key to its deployments.
pub(crate) const KEY_DEPLOYMENTS: &str = "key-deployments";

/// What policies decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    /// This policy forbids.
    Forbidden(String),
    /// No policy permits.
    NotPermitted,
    /// This policy has no answer. It may be one that forbids, so there is none at all.
    Failed {
        policy: String,
        error: String,
    },
}

/// Cedar with the schema and the default policies.
pub(crate) struct Engine {
    validator: Validator,
    authorizer: Authorizer,
    defaults: Arc<PolicySet>,
    /// The actions with their groups.
    actions: Entities,
    types: Types,
}

struct Types {
    action: EntityTypeName,
    key: EntityTypeName,
    role: EntityTypeName,
    tenant: EntityTypeName,
    plugin: EntityTypeName,
    model: EntityTypeName,
    deployment: EntityTypeName,
}

impl Engine {
    /// Read the schema and the default policies.
    ///
    /// # Errors
    ///
    /// They are damaged; the tests say that they are not.
    pub(crate) fn new() -> Result<Self, PolicyError> {
        const SCHEMA_NAME: &str = "caisson.cedarschema";
        let broken = |e: &dyn fmt::Display| PolicyError::new(SCHEMA_NAME, e.to_string());
        let schema = Schema::from_str(SCHEMA).map_err(|e| broken(&e))?;
        let type_name = |name: &str| EntityTypeName::from_str(name).map_err(|e| broken(&e));
        let types = Types {
            action: type_name("Action")?,
            key: type_name("Key")?,
            role: type_name("Role")?,
            tenant: type_name("Tenant")?,
            plugin: type_name("Plugin")?,
            model: type_name("Model")?,
            deployment: type_name("Deployment")?,
        };
        let actions = schema.action_entities().map_err(|e| broken(&e))?;
        let validator = Validator::new(schema);
        let defaults = read(&validator, "default.cedar", DEFAULTS)?;
        let mut named = PolicySet::new();
        for policy in defaults.policies() {
            let name = policy.annotation("id").unwrap_or("default");
            let policy = policy.new_id(PolicyId::new(name));
            named
                .add(policy)
                .map_err(|e| PolicyError::new("default.cedar", e.to_string()))?;
        }
        Ok(Self {
            validator,
            authorizer: Authorizer::new(),
            defaults: Arc::new(named),
            actions,
            types,
        })
    }

    /// The default policies alone.
    pub(crate) fn defaults(&self) -> &Arc<PolicySet> {
        &self.defaults
    }

    /// The default policies and these beside them.
    ///
    /// # Errors
    ///
    /// None that their names, each of which is there once, don't exclude.
    pub(crate) fn with_defaults<'a>(
        &self,
        own: impl Iterator<Item = (&'a str, &'a PolicySet)>,
    ) -> Result<Arc<PolicySet>, PolicyError> {
        let mut all = PolicySet::clone(&self.defaults);
        for (name, set) in own {
            for (number, policy) in set.policies().enumerate() {
                // No default's name has a `#`, so a tenant's policy never passes for one.
                let policy = policy.new_id(PolicyId::new(format!("{name}#{number}")));
                all.add(policy)
                    .map_err(|e| PolicyError::new(name, e.to_string()))?;
            }
        }
        Ok(Arc::new(all))
    }

    /// Parse a policy and check it against the schema.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub(crate) fn read(&self, name: &str, text: &str) -> Result<PolicySet, PolicyError> {
        read(&self.validator, name, text)
    }

    /// What these policies say to this principal, as if it had this role.
    pub(crate) fn decide(
        &self,
        policies: &PolicySet,
        principal: &Principal,
        role: Role,
        action: Action,
        resource: &Resource<'_>,
    ) -> Verdict {
        match self.response(policies, principal, role, action, resource) {
            Ok(verdict) => verdict,
            // What makes an entity can't fail on names and lists of names; were it to, the answer
            // is no.
            Err(error) => Verdict::Failed {
                policy: "caisson.cedarschema".to_owned(),
                error,
            },
        }
    }

    fn response(
        &self,
        policies: &PolicySet,
        principal: &Principal,
        role: Role,
        action: Action,
        resource: &Resource<'_>,
    ) -> Result<Verdict, String> {
        let types = &self.types;
        let own_tenant = principal.tenant().id();
        let key = self.key(principal, role)?;
        let mut entities = vec![self.tenant(own_tenant)?];
        if resource.tenant != own_tenant {
            entities.push(self.tenant(resource.tenant)?);
        }
        let kind = match action.kind() {
            Kind::Plugin => Some(&types.plugin),
            Kind::Model => Some(&types.model),
            Kind::Deployment => Some(&types.deployment),
            Kind::Alert
            | Kind::Receiver
            | Kind::Tenant
            | Kind::Quota
            | Kind::Key
            | Kind::Policy
            | Kind::Audit
            | Kind::Backup
            | Kind::Metrics => None,
        };
        let target = match kind {
            Some(kind) => {
                let uid = uid(kind, resource.name);
                entities.push(self.owned(&uid, resource.tenant, resource.name)?);
                uid
            }
            None => uid(&types.tenant, resource.tenant.as_str()),
        };
        let request = Request::new(
            key.uid(),
            uid(&types.action, action.as_str()),
            target,
            Context::empty(),
            None,
        )
        .map_err(|e| e.to_string())?;
        entities.push(key);
        let entities = self
            .actions
            .clone()
            .add_entities(entities, None)
            .map_err(|e| e.to_string())?;
        let response = self.authorizer.is_authorized(&request, policies, &entities);
        if let Some(error) = response.diagnostics().errors().next() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            return Ok(Verdict::Failed {
                policy: policy_name(error.policy_id()),
                error: error.to_string(),
            });
        }
        Ok(match response.decision() {
            CedarDecision::Allow => Verdict::Allow,
            CedarDecision::Deny => response
                .diagnostics()
                .reason()
                .map(policy_name)
                // Cedar names all in any order; an answer is always the same.
                .min()
                .map_or(Verdict::NotPermitted, Verdict::Forbidden),
        })
    }

    fn key(&self, principal: &Principal, role: Role) -> Result<Entity, String> {
        let types = &self.types;
        let mut attributes = HashMap::from([
            (
                "tenant".to_owned(),
                RestrictedExpression::new_entity_uid(uid(&types.tenant, principal.tenant().id().as_str())),
            ),
            (
                "name".to_owned(),
                RestrictedExpression::new_string(principal.key_name().to_owned()),
            ),
            (
                "role".to_owned(),
                RestrictedExpression::new_entity_uid(uid(&types.role, role.as_str())),
            ),
        ]);
        if let Some(deployments) = principal.deployments() {
            let names = deployments.iter().cloned().map(RestrictedExpression::new_string);
            attributes.insert("deployments".to_owned(), RestrictedExpression::new_set(names));
        }
        let roles: HashSet<EntityUid> = Role::ALL
            .into_iter()
            .filter(|&other| role.includes(other))
            .map(|other| uid(&types.role, other.as_str()))
            .collect();
        Entity::new(uid(&types.key, principal.key_id()), attributes, roles).map_err(|e| e.to_string())
    }

    fn tenant(&self, id: &TenantId) -> Result<Entity, String> {
        self.owned(&uid(&self.types.tenant, id.as_str()), id, id.as_str())
    }

    fn owned(&self, uid_of_it: &EntityUid, tenant: &TenantId, name: &str) -> Result<Entity, String> {
        let attributes = HashMap::from([
            (
                "tenant".to_owned(),
                RestrictedExpression::new_entity_uid(uid(&self.types.tenant, tenant.as_str())),
            ),
            (
                "name".to_owned(),
                RestrictedExpression::new_string(name.to_owned()),
            ),
        ]);
        Entity::new(uid_of_it.clone(), attributes, HashSet::new()).map_err(|e| e.to_string())
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// The name that a person gave.
fn policy_name(id: &PolicyId) -> String {
    let id: &str = id.as_ref();
    id.split_once('#').map_or(id, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_schema_has_every_action_and_no_other() {
        let engine = Engine::new().unwrap();
        let schema = engine.validator.schema();
        let groups: HashSet<&EntityUid> = schema.action_groups().collect();
        let declared: BTreeSet<String> = schema
            .actions()
            .filter(|action| !groups.contains(action))
            .map(|action| action.id().unescaped().to_owned())
            .collect();
        let listed: BTreeSet<String> = Action::ALL.iter().map(|a| a.as_str().to_owned()).collect();
        assert_eq!(declared, listed);
        for action in Action::ALL {
            assert_eq!(
                action.as_str(),
                format!("{}:{}", action.kind().as_str(), action.verb())
            );
        }
    }

    #[test]
    fn the_default_policies_have_names() {
        let engine = Engine::new().unwrap();
        let names: BTreeSet<String> = engine
            .defaults
            .policies()
            .map(|policy| policy.id().to_string())
            .collect();
        assert!(names.contains(KEY_DEPLOYMENTS), "{names:?}");
        assert!(
            names.iter().all(|name| name.contains('-') && !name.contains('#')),
            "{names:?}"
        );
    }
}
