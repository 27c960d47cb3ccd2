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
    PolicyId, PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;

use crate::action::{Action, Kind, Resource};
use crate::principal::Principal;
use crate::role::Role;

const SCHEMA: &str = include_str!("../policies/caisson.cedarschema");
const DEFAULTS: &str = include_str!("../policies/default.cedar");
/// Which default policy keeps a key to its deployments.
pub(crate) const KEY_DEPLOYMENTS: &str = "key-deployments";

/// Brackets within brackets in a policy. Cedar's parser calls itself for each, and a few thousand
/// would end the process; people write four.
const NESTING_MAX: usize = 32;
/// Dots in one path, as in `principal.tenant.name`. Cedar makes `principal has a.b.c` a condition for
/// each part of the path, each of which has the whole path before it: a thousand take it minutes.
const PATH_DOTS_MAX: usize = 8;
/// Problems of one policy that a message lists. The first ones cause the others.
const ISSUES_MAX: usize = 8;
/// Characters of one such problem: Cedar may quote the whole policy.
const ISSUE_CHARS_MAX: usize = 400;

/// A policy that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The policy.
    pub name: String,
    /// What is wrong with it, the first ones.
    pub issues: Vec<PolicyIssue>,
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyIssue {
    /// Line and column, counted from 1, where Cedar says where.
    pub at: Option<(usize, usize)>,
    /// What is wrong, and what would do.
    pub message: String,
}

impl PolicyError {
    fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            issues: vec![PolicyIssue {
                at: None,
                message: message.into(),
            }],
        }
    }

    fn of<'a>(name: &str, text: &str, problems: impl Iterator<Item = &'a dyn Diagnostic>) -> Self {
        let mut issues: Vec<((usize, usize), PolicyIssue)> = problems
            .map(|problem| {
                let label = problem.labels().and_then(|mut labels| labels.next());
                let (offset, bytes) = label.map_or((0, usize::MAX), |label| (label.offset(), label.len()));
                let at = (bytes < usize::MAX).then(|| line_and_column(text, offset));
                ((bytes, offset), PolicyIssue::of(at, problem))
            })
            .collect();
        // Cedar gives them in any order; what is about the smallest part says the most.
        issues.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.message.cmp(&y.message)));
        let issues = issues.into_iter().map(|(_, issue)| issue);
        Self {
            name: name.to_owned(),
            issues: issues.take(ISSUES_MAX).collect(),
        }
    }

    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        "bad-policy"
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy `{}` can't be used", self.name)?;
        for (i, PolicyIssue { at, message }) in self.issues.iter().enumerate() {
            f.write_str(if i == 0 { ": " } else { "; " })?;
            if let Some((line, column)) = at {
                write!(f, "line {line}, column {column}: ")?;
            }
            f.write_str(message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

impl PolicyIssue {
    fn of(at: Option<(usize, usize)>, problem: &dyn Diagnostic) -> Self {
        let mut message = problem.to_string();
        if let Some(help) = problem.help() {
            message = format!("{message} ({help})");
        }
        Self {
            at,
            message: without_numbers(message).chars().take(ISSUE_CHARS_MAX).collect(),
        }
    }
}

/// Without Cedar's own numbers for the policies of a text; the place says more.
fn without_numbers(mut message: String) -> String {
    const FOR: &str = "for policy `policy";
    const END: &str = "`, ";
    while let Some(start) = message.find(FOR) {
        let Some(length) = message.get(start..).and_then(|rest| rest.find(END)) else {
            break;
        };
        message.replace_range(start..start + length + END.len(), "");
    }
    message
}

/// Counted from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

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
            Kind::Tenant
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

fn read(validator: &Validator, name: &str, text: &str) -> Result<PolicySet, PolicyError> {
    check_shape(name, text)?;
    let set = PolicySet::from_str(text)
        .map_err(|errors| PolicyError::of(name, text, errors.iter().map(|e| e as &dyn Diagnostic)))?;
    if set.num_of_templates() > 0 {
        return Err(PolicyError::new(
            name,
            "`?principal` and `?resource` stand for what nobody fills in; name it, or leave it open",
        ));
    }
    if set.is_empty() {
        return Err(PolicyError::new(
            name,
            "it is empty; write a `permit` or a `forbid`",
        ));
    }
    let result = validator.validate(&set, ValidationMode::Strict);
    let mut errors = result
        .validation_errors()
        .map(|e| e as &dyn Diagnostic)
        .peekable();
    // A policy that never applies and a name in look-alike letters are only warnings to Cedar; one
    // that was meant to forbid something doesn't.
    let mut warnings = result
        .validation_warnings()
        .map(|w| w as &dyn Diagnostic)
        .peekable();
    if errors.peek().is_some() {
        Err(PolicyError::of(name, text, errors))
    } else if warnings.peek().is_some() {
        Err(PolicyError::of(name, text, warnings))
    } else {
        Ok(set)
    }
}

/// Refuse what would take the parser too deep or the validator too long, see the limits.
fn check_shape(name: &str, text: &str) -> Result<(), PolicyError> {
    let (mut depth, mut dots) = (0_usize, 0_usize);
    let mut letters = text.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        let mut in_path = false;
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            // What closes a bracket in a string or a comment closes none.
            '"' => loop {
                match letters.next() {
                    Some((_, '\\')) => drop(letters.next()),
                    Some((_, '"')) | None => break,
                    Some(_) => {}
                }
            },
            '/' if letters.peek().is_some_and(|&(_, next)| next == '/') => {
                letters
                    .by_ref()
                    .find(|&(_, letter)| letter == '\n' || letter == '\r');
                in_path = true;
            }
            '.' => {
                dots += 1;
                in_path = true;
            }
            _ => in_path = letter.is_whitespace() || letter.is_alphanumeric() || letter == '_',
        }
        if !in_path {
            dots = 0;
        }
        let problem = if depth > NESTING_MAX {
            format!("brackets are nested more than {NESTING_MAX} deep")
        } else if dots > PATH_DOTS_MAX {
            format!("a path has more than {PATH_DOTS_MAX} dots")
        } else {
            continue;
        };
        return Err(PolicyError {
            name: name.to_owned(),
            issues: vec![PolicyIssue {
                at: Some(line_and_column(text, offset)),
                message: problem,
            }],
        });
    }
    Ok(())
}
