//! API keys: made, listed, revoked, and let in.
//!
//! Keys `access-key/{tenant}/{key-id}`. What a key may do is fixed when it is made: to change it,
//! make another and revoke the first. Revoked and expired keys stay in the list, as long as there is
//! room.
//!
//! [`Access::authenticate`] looks into a map in memory that every change of keys changes before it
//! returns. It takes no lock and doesn't touch the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caisson_registry::table::{self, Attempt, change};
use caisson_registry::{NAME_CHARS_MAX, NAME_PATTERN, RegistryError, TenantId, check_name, now, shown};
use caisson_store::record::{self, Record};
use caisson_store::{Expect, Op};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::key_text::{KeyId, KeyText, Parts, SecretHash};
use crate::principal::{Principal, next_serial};
use crate::role::Role;
use crate::tenant_state::TenantState;
use crate::tenants::SYSTEM_TENANT;
use crate::{Access, AccessError, AuthError};

/// Keys of one tenant, dead ones included: one for each service, person and pipeline, and their
/// predecessors.
const KEYS_MAX: usize = 1000;
/// Characters of an owner: RFC 5321 allows an address 254.
const OWNER_CHARS_MAX: usize = 254;
/// Deployments in a key's list. Who needs more has a key without one.
const KEY_DEPLOYMENTS_MAX: usize = 100;

/// A key about to be made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// For people and policies. Two keys may share one, as a key and its successor do.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = NAME_CHARS_MAX))]
    pub name: String,
    /// The person whose key it is, such as `alice@example.org`: who approves what they asked for with
    /// another key of theirs is found out by this. Whoever makes the key answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it ends, RFC 3339; never if left out.
    #[serde(default)]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// The only deployments that it is for, 100 at most, whatever its role.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(min = 1), inner(regex(pattern = NAME_PATTERN), length(max = NAME_CHARS_MAX)))]
    pub deployments: Option<BTreeSet<String>>,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRecord {
    /// The public part of its text.
    pub id: String,
    /// For people and policies.
    pub name: String,
    /// The person whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
    /// The only deployments that it is for.
    pub deployments: Option<BTreeSet<String>>,
    /// When it was taken back, RFC 3339.
    pub revoked_at: Option<String>,
    /// By whom.
    pub revoked_by: Option<String>,
}

impl KeyRecord {
    /// When it was revoked or ends, whichever is first.
    pub(crate) fn dead_since(&self) -> Result<Option<Timestamp>, AccessError> {
        let mut first: Option<Timestamp> = None;
        for end in [&self.revoked_at, &self.expires_at].into_iter().flatten() {
            let end = parsed_time(end)?;
            first = Some(first.map_or(end, |first| first.min(end)));
        }
        Ok(first)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    key: KeyRecord,
    /// In hexadecimal.
    secret_sha256: String,
}

impl Record for StoredKey {
    const KIND: &'static str = "key";
    const FORMAT: u32 = 1;
}

/// A key in memory.
pub(crate) struct Entry {
    secret: SecretHash,
    pub(crate) principal: Arc<Principal>,
}

impl Access {
    /// Make a key of a tenant. Its text is nowhere but in the answer.
    ///
    /// # Errors
    ///
    /// `by` has less than the new key would; a name, time or deployment that can't be; too many keys
    /// in use; there is no such tenant; the store.
    pub fn create_key(
        &self,
        tenant: &TenantId,
        new: NewKey,
        by: &Principal,
    ) -> Result<(KeyRecord, KeyText), AccessError> {
        // An operator gives a tenant its first key, whatever that may do inside.
        let operator = by.tenant.id().as_str() == SYSTEM_TENANT && by.role == Role::Admin;
        if !operator && !by.role.includes(new.role) {
            return Err(AccessError::Escalation {
                role: new.role,
                by: by.role,
            });
        }
        if by.is_revoked() || by.has_expired() || !by.tenant.is_active() {
            return Err(AccessError::invalid(
                "the key that asks",
                "it was revoked or has expired, or its tenant was suspended; use one that is good",
            ));
        }
        // A key that ends doesn't leave one behind that doesn't.
        let mut new = new;
        if let Some(end) = by.expires_at
            && !operator
        {
            let wanted = new.expires_at.as_deref().map(parsed_time).transpose()?;
            new.expires_at = Some(wanted.map_or(end, |wanted| wanted.min(end)).to_string());
        }
        let text = KeyText::generate()?;
        let record = self.insert_key(tenant, new, &text, by.to_string())?;
        Ok((record, text))
    }

    /// All keys of a tenant, the revoked and expired too, by id.
    ///
    /// # Errors
    ///
    /// There is no such tenant; the store.
    pub fn keys(&self, tenant: &TenantId) -> Result<Vec<KeyRecord>, AccessError> {
        self.tenant_state(tenant)?;
        Ok(self
            .stored_keys(tenant)?
            .into_iter()
            .map(|stored| stored.key)
            .collect())
    }

    /// Take a key back. In effect when this returns. A key that is revoked stays as it is.
    ///
    /// # Errors
    ///
    /// There is none of this id in this tenant; the store.
    pub fn revoke_key(&self, tenant: &TenantId, id: &str, by: &Principal) -> Result<KeyRecord, AccessError> {
        let missing = || {
            AccessError::Registry(RegistryError::NotFound {
                what: "key",
                name: shown(id),
                hint: "; `caisson key list` shows what there is".to_owned(),
            })
        };
        let key_id = KeyId::of(id).ok_or_else(missing)?;
        let state = self.tenant_state(tenant)?;
        let _changing = state.changing();
        let path = key_path(tenant, id);
        let record = change(self.store(), id, || {
            let stored = record::get::<StoredKey>(self.store().metadata(), &path)?.ok_or_else(missing)?;
            if stored.record.key.revoked_at.is_some() {
                return Ok(Attempt {
                    ops: vec![stored.check(&path)],
                    answer: stored.record.key,
                });
            }
            let mut new = stored.record.clone();
            new.key.revoked_at = Some(now());
            new.key.revoked_by = Some(by.to_string());
            Ok::<_, AccessError>(Attempt {
                ops: vec![stored.replace(&path, &new)?],
                answer: new.key,
            })
        })?;
        if let Some(entry) = self.0.keys.pin().get(&key_id) {
            entry.principal.revoked.store(true, Ordering::Release);
        }
        Ok(record)
    }

    /// Who presents this key?
    ///
    /// # Errors
    ///
    /// [`AuthError`]. A wrong secret takes as long as an unknown id, and gets the same answer.
    pub fn authenticate(&self, presented: &str) -> Result<Arc<Principal>, AuthError> {
        self.authenticate_at(presented, Timestamp::now())
    }

    /// [`Access::authenticate`] at a given time.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn authenticate_at(&self, presented: &str, now: Timestamp) -> Result<Arc<Principal>, AuthError> {
        let parts = Parts::of(presented).ok_or(AuthError::Malformed)?;
        let hash = parts.secret_hash();
        let keys = self.0.keys.pin();
        let entry = keys.get(&parts.key_id);
        let expected = entry.map_or(SecretHash::NONE, |entry| entry.secret);
        let same = hash.matches(&expected);
        let Some(entry) = entry.filter(|_| same) else {
            return Err(AuthError::Unknown);
        };
        let principal = &entry.principal;
        if principal.is_revoked() {
            return Err(AuthError::Revoked);
        }
        if principal.expires_at.is_some_and(|end| end <= now) {
            return Err(AuthError::Expired);
        }
        if !principal.tenant.is_active() {
            return Err(AuthError::Suspended);
        }
        Ok(principal.clone())
    }

    /// Put a tenant's stored keys into memory, at open.
    pub(crate) fn load_keys(&self, state: &Arc<TenantState>) -> Result<(), AccessError> {
        let keys = self.0.keys.pin();
        for stored in self.stored_keys(state.id())? {
            let (id, entry) = entry(state, &stored)?;
            keys.insert(id, entry);
        }
        Ok(())
    }

    /// Store a key of this text.
    pub(crate) fn insert_key(
        &self,
        tenant: &TenantId,
        new: NewKey,
        text: &KeyText,
        created_by: String,
    ) -> Result<KeyRecord, AccessError> {
        check_name("key", &new.name)?;
        new.owner.as_deref().map_or(Ok(()), check_owner)?;
        if let Some(deployments) = &new.deployments {
            check_deployments(deployments)?;
        }
        if let Some(end) = &new.expires_at
            && parsed_time(end)? <= Timestamp::now()
        {
            return Err(AccessError::invalid(
                "expires_at",
                "give a time that is yet to come",
            ));
        }
        let parts = Parts::of(text.expose()).ok_or(AccessError::OperatorKey("it isn't a key"))?;
        let stored = StoredKey {
            key: KeyRecord {
                id: parts.id.to_owned(),
                name: new.name,
                owner: new.owner,
                role: new.role,
                created_at: now(),
                created_by,
                expires_at: new.expires_at,
                deployments: new.deployments,
                revoked_at: None,
                revoked_by: None,
            },
            secret_sha256: parts.secret_hash().to_hex(),
        };
        let state = self.tenant_state(tenant)?;
        let _changing = state.changing();
        // One that was deleted a moment ago gets no key any more.
        let settings = self.tenant(tenant)?.settings;
        if settings.require_key_owners && stored.key.owner.is_none() {
            return Err(AccessError::invalid(
                "owner",
                "the tenant's keys need one; name the person whose key it is (`--owner alice@example.org`)",
            ));
        }
        // Random ids don't meet; a given one may be anything.
        if self.0.keys.pin().contains_key(&parts.key_id) {
            return Err(AccessError::OperatorKey(
                "another key of this server has its id; give a new one",
            ));
        }
        let room = self.room_for_one(tenant)?;
        let mut ops = vec![record::create(&key_path(tenant, parts.id), &stored)?];
        ops.extend(
            room.as_ref()
                .map(|id| Op::delete(key_path(tenant, id), Expect::Any)),
        );
        change(self.store(), parts.id, || {
            Ok::<_, AccessError>(Attempt {
                ops: ops.clone(),
                answer: (),
            })
        })?;
        let keys = self.0.keys.pin();
        if let Some(id) = room.as_deref().and_then(KeyId::of) {
            keys.remove(&id);
        }
        let (id, entry) = entry(&state, &stored)?;
        keys.insert(id, entry);
        Ok(stored.key)
    }

    /// A tenant has as many keys as it may: which one, dead the longest, goes for a new one.
    fn room_for_one(&self, tenant: &TenantId) -> Result<Option<String>, AccessError> {
        let page = self
            .store()
            .metadata()
            .scan(keys_prefix(tenant).as_bytes(), None, KEYS_MAX)?;
        if page.entries.len() < KEYS_MAX && page.next.is_none() {
            return Ok(None);
        }
        let stored = self.stored_keys(tenant)?;
        if stored.len() < KEYS_MAX {
            return Ok(None);
        }
        let now = Timestamp::now();
        let mut longest: Option<(Timestamp, String)> = None;
        for StoredKey { key, .. } in stored {
            if let Some(since) = key.dead_since()?.filter(|&since| since <= now)
                && longest.as_ref().is_none_or(|(other, _)| since < *other)
            {
                longest = Some((since, key.id));
            }
        }
        match longest {
            Some((_, id)) => Ok(Some(id)),
            None => Err(RegistryError::TooMany {
                what: format!("keys in use of the tenant `{tenant}`"),
                max: KEYS_MAX as u64,
            }
            .into()),
        }
    }

    fn stored_keys(&self, tenant: &TenantId) -> Result<Vec<StoredKey>, AccessError> {
        Ok(table::list(self.store(), &keys_prefix(tenant), KEYS_MAX)?)
    }
}

/// Where a tenant's keys are.
pub(crate) fn keys_prefix(tenant: &TenantId) -> String {
    format!("access-key/{tenant}/")
}

fn key_path(tenant: &TenantId, id: &str) -> String {
    format!("{}{id}", keys_prefix(tenant))
}

fn entry(tenant: &Arc<TenantState>, stored: &StoredKey) -> Result<(KeyId, Entry), AccessError> {
    let StoredKey { key, secret_sha256 } = stored;
    let expires_at = key.expires_at.as_deref().map(parsed_time).transpose()?;
    let (Some(id), Some(secret)) = (KeyId::of(&key.id), SecretHash::from_hex(secret_sha256)) else {
        return Err(AccessError::invalid(
            format!("the stored key {}", key.id),
            "its id or its hash can't be read; restore the latest backup into a new data folder",
        ));
    };
    let entry = Entry {
        secret,
        principal: Arc::new(Principal {
            tenant: tenant.clone(),
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            owner: key.owner.clone(),
            role: key.role,
            deployments: key.deployments.clone(),
            expires_at,
            revoked: AtomicBool::new(key.revoked_at.is_some()),
            serial: next_serial(),
        }),
    };
    Ok((id, entry))
}

fn parsed_time(text: &str) -> Result<Timestamp, AccessError> {
    text.parse().map_err(|_| {
        AccessError::invalid(
            "expires_at",
            format!(
                "`{}` is no time; write one such as `2027-01-31T12:00:00Z`",
                shown(text)
            ),
        )
    })
}

/// One line that names somebody.
fn check_owner(owner: &str) -> Result<(), AccessError> {
    let fault = if owner.trim().is_empty() || owner.trim() != owner {
        "it is empty, or begins or ends with a space"
    } else if owner.chars().count() > OWNER_CHARS_MAX {
        "it is longer than an address of electronic mail may be"
    } else if owner.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    Err(AccessError::invalid(
        "owner",
        format!("{fault}; name a person, such as `alice@example.org`"),
    ))
}

fn check_deployments(deployments: &BTreeSet<String>) -> Result<(), AccessError> {
    if deployments.is_empty() {
        return Err(AccessError::invalid(
            "deployments",
            "an empty list leaves a key that may do nothing; leave it out for a key without restriction",
        ));
    }
    if deployments.len() > KEY_DEPLOYMENTS_MAX {
        return Err(RegistryError::TooMany {
            what: "deployments of one key".to_owned(),
            max: KEY_DEPLOYMENTS_MAX as u64,
        }
        .into());
    }
    for name in deployments {
        check_name("deployment", name)?;
    }
    Ok(())
}
