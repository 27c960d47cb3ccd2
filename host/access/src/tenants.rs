//! Tenants: made, listed, suspended, deleted.
//!
//! Keys `tenant/{id}`, and `tenant-deleted/{id}` for the names that are never given out again.
//! Deleting removes the record and leaves the tombstone in one commit, which ends every key of the
//! tenant; the keys' and policies' records go after that, at the next start if the process ends
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use caisson_registry::signature::{PublicKey, SIGNATURE_KEYS_MAX, SignaturePolicy};
use caisson_registry::table::{self, Attempt, change};
use caisson_registry::text::LINE_PATTERN;
use caisson_registry::{NAME_CHARS_MAX, NAME_PATTERN, RegistryError, TenantId, check_name, now};
use caisson_store::record::{self, Record};
use caisson_store::{COMMIT_OPS_MAX, Expect, Op, PAGE_ENTRIES_MAX};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::keys::keys_prefix;
use crate::policies::policies_prefix;
use crate::quotas::Quotas;
use crate::tenant_state::TenantState;
use crate::{Access, AccessError};

/// The platform's operators: its admins manage tenants.
pub const SYSTEM_TENANT: &str = "system";
/// What `caisson serve --dev` works as.
pub const DEV_TENANT: &str = "default";

/// Tenants in one list.
const TENANTS_MAX: usize = 100_000;
/// Aliases that a tenant protects: as many as one model has, and few have more than two.
const PROTECTED_ALIASES_MAX: usize = 64;
/// Characters of a display name: a line.
const DISPLAY_NAME_CHARS_MAX: usize = 128;

/// May a tenant's keys be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TenantStatus")]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Yes.
    Active,
    /// Not until an operator resumes it.
    Suspended,
}

/// What a tenant decides for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Take plugins only with a signature of one of `signing_keys`.
    pub require_signed_plugins: bool,
    /// Ed25519 public keys by name: their 32 bytes in base64.
    #[schemars(extend("propertyNames" = name_schema(), "maxProperties" = SIGNATURE_KEYS_MAX))]
    pub signing_keys: BTreeMap<String, String>,
    /// Make keys only with an owner, and let a model version be approved only by another person than the
    /// one who asked, which two keys with owners show.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_key_owners: bool,
    /// Put each prediction request into the audit log, which otherwise has changes and refusals alone.
    pub log_predictions: bool,
    /// Aliases that deployments in production follow, 64 at most: they are moved by approvers, and to
    /// approved versions only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(
        with = "Vec<String>",
        inner(regex(pattern = NAME_PATTERN), length(max = NAME_CHARS_MAX))
    )]
    pub protected_aliases: BTreeSet<String>,
}

fn name_schema() -> serde_json::Value {
    serde_json::json!({ "pattern": NAME_PATTERN, "maxLength": NAME_CHARS_MAX })
}

impl Settings {
    /// Refuse what can't be meant.
    fn check(&self) -> Result<(), AccessError> {
        self.signature_policy()?;
        if self.protected_aliases.len() > PROTECTED_ALIASES_MAX {
            return Err(AccessError::invalid(
                "protected_aliases",
                format!(
                    "there are {}; at most {PROTECTED_ALIASES_MAX} are allowed",
                    self.protected_aliases.len()
                ),
            ));
        }
        for alias in &self.protected_aliases {
            check_name("protected alias", alias)?;
        }
        Ok(())
    }

    /// Whose signatures on plugins these settings believe.
    ///
    /// # Errors
    ///
    /// A key that is none, too many, or one is needed and there is none. Settings that a tenant has
    /// were checked.
    pub fn signature_policy(&self) -> Result<SignaturePolicy, AccessError> {
        let mut keys = BTreeMap::new();
        for (name, text) in &self.signing_keys {
            check_name("signing key", name)?;
            let invalid = |reason: String| AccessError::invalid(format!("the signing key `{name}`"), reason);
            let bytes: [u8; 32] = STANDARD
                .decode(text)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| invalid("give the 32 bytes of an ed25519 public key in base64".to_owned()))?;
            let key = PublicKey::from_bytes(&bytes).map_err(|e| invalid(e.to_string()))?;
            keys.insert(name.clone(), key);
        }
        SignaturePolicy::new(self.require_signed_plugins, keys)
            .map_err(|e| AccessError::invalid("the settings", e.to_string()))
    }
}

/// One tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRecord {
    /// Its name in keys, paths and metrics.
    pub id: TenantId,
    /// For people.
    pub display_name: String,
    /// May its keys be used?
    pub status: Status,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Its own quotas; where they say nothing, the host's defaults count.
    pub quotas: Quotas,
    /// What it decides for itself.
    pub settings: Settings,
}

impl Record for TenantRecord {
    const KIND: &'static str = "tenant";
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) id: TenantId,
    deleted_at: String,
}

impl Record for Tombstone {
    const KIND: &'static str = "deleted tenant";
    const FORMAT: u32 = 1;
}

/// A tenant about to be made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name.
    pub id: TenantId,
    /// For people; the name again if left out.
    #[serde(default)]
    #[schemars(regex(pattern = LINE_PATTERN), length(max = DISPLAY_NAME_CHARS_MAX))]
    pub display_name: String,
    /// Its own quotas.
    #[serde(default, deserialize_with = "object")]
    pub quotas: Quotas,
    /// What it decides for itself.
    #[serde(default, deserialize_with = "object")]
    pub settings: Settings,
}

/// An object, and no list, which serde would take for a struct too.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let members = serde_json::Map::deserialize(deserializer)?;
    serde_json::from_value(members.into()).map_err(D::Error::custom)
}

impl NewTenant {
    /// With the host's quotas and the default settings.
    pub fn named(id: TenantId) -> Self {
        Self {
            id,
            display_name: String::new(),
            quotas: Quotas::default(),
            settings: Settings::default(),
        }
    }
}

impl Access {
    /// Make a tenant.
    ///
    /// # Errors
    ///
    /// The name is Caisson's own, taken, or was another tenant's; a value that can't be; the store.
    pub fn create_tenant(&self, new: NewTenant) -> Result<TenantRecord, AccessError> {
        refuse_reserved(&new.id)?;
        self.insert_tenant(new)
    }

    /// [`Access::create_tenant`] for Caisson's own names too.
    pub(crate) fn insert_tenant(&self, new: NewTenant) -> Result<TenantRecord, AccessError> {
        self.check_quotas(&new.quotas)?;
        new.settings.check()?;
        let display_name = match new.display_name.as_str() {
            "" => new.id.to_string(),
            given => checked_display_name(given)?,
        };
        let record = TenantRecord {
            id: new.id,
            display_name,
            status: Status::Active,
            created_at: now(),
            quotas: new.quotas,
            settings: new.settings,
        };
        let id = &record.id;
        let (key, tombstone) = (tenant_key(id), tombstone_key(id));
        if self.0.tenants.len() >= TENANTS_MAX {
            return Err(RegistryError::TooMany {
                what: "tenants".to_owned(),
                max: TENANTS_MAX as u64,
            }
            .into());
        }
        change(self.store(), id.as_str(), || {
            if record::get::<Tombstone>(self.store().metadata(), &tombstone)?.is_some() {
                return Err(AccessError::TenantDeleted(id.to_string()));
            }
            if record::get::<TenantRecord>(self.store().metadata(), &key)?.is_some() {
                return Err(AccessError::TenantExists(id.to_string()));
            }
            Ok(Attempt {
                ops: vec![
                    Op::check(tombstone.as_str(), Expect::Absent),
                    record::create(&key, &record)?,
                ],
                answer: (),
            })
        })?;
        let state = Arc::new(TenantState::new(&record, self.default_quotas()));
        self.0.tenants.pin().insert(id.clone(), state);
        Ok(record)
    }

    /// One tenant.
    ///
    /// # Errors
    ///
    /// There is none; the store.
    pub fn tenant(&self, id: &TenantId) -> Result<TenantRecord, AccessError> {
        record::get::<TenantRecord>(self.store().metadata(), &tenant_key(id))?
            .map(|stored| stored.record)
            .ok_or_else(|| no_tenant(id))
    }

    /// All tenants, by name.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn tenants(&self) -> Result<Vec<TenantRecord>, AccessError> {
        Ok(table::list(self.store(), "tenant/", TENANTS_MAX)?)
    }

    /// A tenant in memory, for work that no request asks for.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn tenant_state(&self, id: &TenantId) -> Result<Arc<TenantState>, AccessError> {
        self.0.tenants.pin().get(id).cloned().ok_or_else(|| no_tenant(id))
    }

    /// Let none of a tenant's keys in until it is resumed. In effect when this returns.
    ///
    /// # Errors
    ///
    /// There is none, or it is Caisson's own; the store.
    pub fn suspend_tenant(&self, id: &TenantId) -> Result<TenantRecord, AccessError> {
        refuse_reserved(id)?;
        self.change_tenant(id, |record| record.status = Status::Suspended)
    }

    /// Let a suspended tenant's keys in again.
    ///
    /// # Errors
    ///
    /// There is none; the store.
    pub fn resume_tenant(&self, id: &TenantId) -> Result<TenantRecord, AccessError> {
        self.change_tenant(id, |record| record.status = Status::Active)
    }

    /// Give a tenant quotas of its own, in place of those that it had. They apply from the next
    /// request; what runs goes on.
    ///
    /// # Errors
    ///
    /// Numbers that can't be meant; there is no such tenant; the store.
    pub fn set_quotas(&self, id: &TenantId, quotas: Quotas) -> Result<TenantRecord, AccessError> {
        self.check_quotas(&quotas)?;
        self.change_tenant(id, |record| record.quotas = quotas.clone())
    }

    /// Give a tenant other settings, in place of those that it had.
    ///
    /// # Errors
    ///
    /// A signing key that is none, or too many; a protected alias that is no name, or too many; there is no
    /// such tenant; the store.
    pub fn set_settings(&self, id: &TenantId, settings: Settings) -> Result<TenantRecord, AccessError> {
        settings.check()?;
        self.change_tenant(id, |record| record.settings = settings.clone())
    }

    /// Delete a tenant with its keys and policies, for good: its name is never given out again.
    ///
    /// What else it owns is the caller's to know: `still_owns` is asked while none of the tenant's
    /// keys is let in, and what it names in words (`2 deployments`) refuses the deletion. Requests
    /// that were let in before may still end meanwhile.
    ///
    /// # Errors
    ///
    /// It still owns something; there is none, or it is Caisson's own; what `still_owns` gives; the
    /// store.
    pub fn delete_tenant(
        &self,
        id: &TenantId,
        still_owns: impl FnOnce() -> Result<Option<String>, AccessError>,
    ) -> Result<(), AccessError> {
        refuse_reserved(id)?;
        let state = self.tenant_state(id)?;
        let _changing = state.changing();
        let was_active = state.is_active();
        state.set_active(false);
        let deleted = still_owns()
            .and_then(|owned| match owned {
                Some(what) => Err(AccessError::StillOwns {
                    id: id.to_string(),
                    what,
                }),
                None => Ok(()),
            })
            .and_then(|()| self.bury(id));
        if let Err(e) = deleted {
            state.set_active(was_active);
            return Err(e);
        }
        self.0.tenants.pin().remove(id);
        self.0
            .keys
            .pin()
            .retain(|_, entry| entry.principal.tenant().id() != id);
        self.remove_leftovers(id)
    }

    /// Put the tombstone in the record's place.
    fn bury(&self, id: &TenantId) -> Result<(), AccessError> {
        let key = tenant_key(id);
        change(self.store(), id.as_str(), || {
            let stored =
                record::get::<TenantRecord>(self.store().metadata(), &key)?.ok_or_else(|| no_tenant(id))?;
            let tombstone = Tombstone {
                id: id.clone(),
                deleted_at: now(),
            };
            Ok(Attempt {
                ops: vec![
                    Op::delete(key.as_str(), stored.unchanged()),
                    record::create(&tombstone_key(id), &tombstone)?,
                ],
                answer: (),
            })
        })
    }

    /// Remove what a deleted tenant had here.
    pub(crate) fn remove_leftovers(&self, id: &TenantId) -> Result<(), AccessError> {
        let metadata = self.store().metadata();
        for prefix in [keys_prefix(id), policies_prefix(id)] {
            loop {
                let page = metadata.scan(prefix.as_bytes(), None, PAGE_ENTRIES_MAX)?;
                for entries in page.entries.chunks(COMMIT_OPS_MAX) {
                    let ops: Vec<Op> = entries
                        .iter()
                        .map(|(key, _)| Op::delete(key.clone(), Expect::Any))
                        .collect();
                    // Nothing is expected, so nothing conflicts.
                    let _done = metadata.commit(&ops)?;
                }
                if page.next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn change_tenant(
        &self,
        id: &TenantId,
        edit: impl Fn(&mut TenantRecord),
    ) -> Result<TenantRecord, AccessError> {
        let state = self.tenant_state(id)?;
        let _changing = state.changing();
        let key = tenant_key(id);
        let record = change(self.store(), id.as_str(), || {
            let stored =
                record::get::<TenantRecord>(self.store().metadata(), &key)?.ok_or_else(|| no_tenant(id))?;
            let mut record = stored.record.clone();
            edit(&mut record);
            Ok::<_, AccessError>(Attempt {
                ops: vec![stored.replace(&key, &record)?],
                answer: record,
            })
        })?;
        state.apply(&record, self.default_quotas());
        Ok(record)
    }

    fn check_quotas(&self, quotas: &Quotas) -> Result<(), AccessError> {
        quotas.or(self.default_quotas()).check()
    }
}

fn tenant_key(id: &TenantId) -> String {
    format!("tenant/{id}")
}

fn tombstone_key(id: &TenantId) -> String {
    format!("{TOMBSTONES}{id}")
}

/// Where the tombstones are.
pub(crate) const TOMBSTONES: &str = "tenant-deleted/";

pub(crate) fn no_tenant(id: &TenantId) -> AccessError {
    AccessError::Registry(RegistryError::NotFound {
        what: "tenant",
        name: id.to_string(),
        hint: "; `caisson tenant list` shows what there is".to_owned(),
    })
}

fn refuse_reserved(id: &TenantId) -> Result<(), AccessError> {
    let why = if id.as_str() == SYSTEM_TENANT {
        "the operators' keys are in it"
    } else if *id == TenantId::std() {
        "first-party plugins are in it"
    } else {
        return Ok(());
    };
    Err(AccessError::Reserved {
        id: id.to_string(),
        why,
    })
}

fn checked_display_name(name: &str) -> Result<String, AccessError> {
    if name.chars().count() > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(AccessError::invalid(
            "the display name",
            format!("use one line of at most {DISPLAY_NAME_CHARS_MAX} characters"),
        ));
    }
    Ok(name.to_owned())
}
