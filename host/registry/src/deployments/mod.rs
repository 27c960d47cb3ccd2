//! Deployments: immutable revisions, and one pointer that says which is live.
//!
//! Keys `deployment/{tenant}/{name}` (the pointer) and `revision/{tenant}/{name}/{number}`. A new
//! revision and the pointer to it are one commit, which fails if something that the revision is built
//! on was removed meanwhile. A spec may hold fitted vocabularies of megabytes, so it is a blob; so is
//! what a monitor computed from its baseline.

mod diff;
mod monitor_state;
mod pins;
mod record;

use std::collections::BTreeSet;
use std::fmt;

use caisson_store::record::{self as records, Stored};
use caisson_store::{Store, StoreError};
use serde_json::Value;

pub use diff::{Shown, SpecChange, SpecDiff};
pub use monitor_state::FittedState;
pub use pins::{ModelPin, Pins};
pub use record::{NewRevision, Origin, RevisionRecord, RevisionSummary};

use crate::ledger::{Opened, Usage};
use crate::names::{self, TenantId};
use crate::plugins::PluginRef;
use crate::table::{self, Attempt, change, number_key};
use crate::text::{WHY_BYTES_MAX, check_actor, check_text, sorted};
use crate::{RegistryError, now};
use record::{Pointer, StoredRevision};

/// Deployments of a tenant, and revisions of a deployment, in one list.
const LIST_MAX: usize = 100_000;
/// Bytes of a stored spec.
const SPEC_BYTES_MAX: u64 = 64 << 20;

/// The deployments of all tenants.
#[derive(Clone)]
pub struct DeploymentStore {
    store: Store,
}

impl fmt::Debug for DeploymentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeploymentStore")
    }
}

impl DeploymentStore {
    /// The deployments in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Store a new revision and make it live.
    ///
    /// # Errors
    ///
    /// Not a name; a text or spec that is too long; something that it is built on isn't there, or is
    /// something else; a rollback of a revision that isn't there; the store.
    pub fn append(
        &self,
        tenant: &TenantId,
        name: &str,
        revision: NewRevision,
    ) -> Result<RevisionRecord, RegistryError> {
        names::check("deployment", name)?;
        check_actor(&revision.author)?;
        check_text(
            "the message",
            revision.message.as_deref().unwrap_or_default(),
            WHY_BYTES_MAX,
        )?;
        let text = serde_json::to_vec(&sorted(revision.spec.clone()))
            .map_err(|_| RegistryError::Store(StoreError::BadRequest("a spec that JSON can't hold")))?;
        if text.len() as u64 > SPEC_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of a deployment".into(),
                max: SPEC_BYTES_MAX,
            });
        }
        let spec = self.store.blobs().put(&text)?;
        let created_at = now();
        let stored = change(&self.store, name, || {
            // Before looking at what it is built on: whoever removes a version changes the ledger.
            let ledger = Opened::read(&self.store, tenant)?;
            revision.pins.check(&self.store, tenant)?;
            // The spec of a rollback is there already.
            let bytes = match revision.origin {
                Origin::Rollback { of }
                    if self.stored_revision(tenant, name, of)?.record.spec == spec.digest =>
                {
                    0
                }
                _ => spec.size,
            };
            let pointer = self.pointer(tenant, name)?;
            let number = pointer.as_ref().map_or(0, |p| p.record.latest) + 1;
            let was_live = pointer.as_ref().is_some_and(|p| p.record.live.is_some());
            let new = Pointer {
                name: name.to_owned(),
                live: Some(number),
                latest: number,
            };
            let made = StoredRevision {
                name: name.to_owned(),
                number,
                spec: spec.digest,
                author: revision.author.clone(),
                created_at: created_at.clone(),
                message: revision.message.clone(),
                origin: revision.origin,
                pins: Some(revision.pins.clone()),
                stored_bytes: Some(bytes),
            };
            let key = pointer_key(tenant, name);
            let ops = vec![
                match pointer {
                    Some(stored) => stored.replace(&key, &new)?,
                    None => records::create(&key, &new)?,
                },
                records::create(&revision_key(tenant, name, number), &made)?,
                ledger.change(|usage| {
                    usage.deployments += u64::from(!was_live);
                    usage.stored_bytes += bytes;
                })?,
            ];
            Ok::<_, RegistryError>(Attempt { ops, answer: made })
        })?;
        Ok(stored.with_spec(revision.spec))
    }

    /// The live revision of every deployment, by name. One whose record or specification is damaged is
    /// named in the log, and doesn't stop the others.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn list_live(&self, tenant: &TenantId) -> Result<Vec<RevisionRecord>, RegistryError> {
        let prefix = format!("deployment/{tenant}/");
        let pointers: Vec<Pointer> = table::list_readable(&self.store, &prefix, LIST_MAX)?;
        let mut live = Vec::with_capacity(pointers.len());
        for pointer in pointers {
            let Some(number) = pointer.live else { continue };
            match self.revision(tenant, &pointer.name, number) {
                Ok(revision) => live.push(revision),
                Err(RegistryError::Store(error)) if error.is_of_one_thing() => {
                    tracing::error!(deployment = pointer.name, number, %error, "the live revision can't be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }

    /// The live revision of one deployment; `None` if there is no such deployment, or it was deleted.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn live(&self, tenant: &TenantId, name: &str) -> Result<Option<RevisionRecord>, RegistryError> {
        self.live_number(tenant, name)?
            .map(|number| self.revision(tenant, name, number))
            .transpose()
    }

    /// The number of the live revision, without reading its spec.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn live_number(&self, tenant: &TenantId, name: &str) -> Result<Option<u64>, RegistryError> {
        Ok(self.pointer(tenant, name)?.and_then(|stored| stored.record.live))
    }

    /// The number of the latest revision, live or not, of a deployment that may have been deleted.
    ///
    /// # Errors
    ///
    /// There never was one of that name; the store.
    pub fn latest_number(&self, tenant: &TenantId, name: &str) -> Result<u64, RegistryError> {
        match self.pointer(tenant, name)? {
            Some(stored) => Ok(stored.record.latest),
            None => Err(not_found(name)),
        }
    }

    /// Up to `limit` revisions of one deployment, deleted or not, before number `before` (`None`:
    /// from the latest), the later ones first; none if there is no such deployment.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn history(
        &self,
        tenant: &TenantId,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RevisionSummary>, RegistryError> {
        let Some(pointer) = self.pointer(tenant, name)?.map(|stored| stored.record) else {
            return Ok(Vec::new());
        };
        let end = before.unwrap_or(u64::MAX).min(pointer.latest.saturating_add(1));
        (1..end)
            .rev()
            .take(limit)
            .map(|number| {
                let stored = self.stored_revision(tenant, name, number)?.record;
                Ok(RevisionSummary {
                    number,
                    live: pointer.live == Some(number),
                    author: stored.author,
                    message: stored.message,
                    origin: stored.origin,
                    created_at: stored.created_at,
                })
            })
            .collect()
    }

    /// How the specs of two revisions differ.
    ///
    /// # Errors
    ///
    /// One isn't there, or its spec is missing or damaged.
    pub fn diff(&self, tenant: &TenantId, name: &str, from: u64, to: u64) -> Result<SpecDiff, RegistryError> {
        let (from, to) = (
            self.revision(tenant, name, from)?,
            self.revision(tenant, name, to)?,
        );
        Ok(SpecDiff::of(&from.spec, &to.spec))
    }

    /// One revision.
    ///
    /// # Errors
    ///
    /// There is none; its spec is missing or damaged.
    pub fn revision(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
    ) -> Result<RevisionRecord, RegistryError> {
        let stored = self.stored_revision(tenant, name, number)?.record;
        let spec = self.spec(&stored)?;
        Ok(stored.with_spec(spec))
    }

    /// Stop a deployment being live. Its revisions stay.
    ///
    /// # Errors
    ///
    /// There is none of that name; the store.
    pub fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), RegistryError> {
        change(&self.store, name, || {
            let ledger = Opened::read(&self.store, tenant)?;
            match self.pointer(tenant, name)? {
                Some(stored) if stored.record.live.is_some() => {
                    let gone = Pointer {
                        live: None,
                        ..stored.record.clone()
                    };
                    let ops = vec![
                        stored.replace(&pointer_key(tenant, name), &gone)?,
                        ledger.change(|usage| usage.deployments = usage.deployments.saturating_sub(1))?,
                    ];
                    Ok(Attempt { ops, answer: () })
                }
                _ => Err(not_found(name)),
            }
        })
    }

    /// The live deployments that are built on a model version, in words.
    pub(crate) fn users_of_model(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
    ) -> Result<Vec<String>, RegistryError> {
        let wanted = ModelPin {
            name: name.to_owned(),
            version,
        };
        let mut users = Vec::new();
        for pointer in self.pointers(tenant)? {
            let Some(live) = pointer.live else { continue };
            if self.models_of(tenant, &pointer.name, live)?.contains(&wanted) {
                users.push(format!("deployment {}", pointer.name));
            }
        }
        Ok(users)
    }

    /// The revisions of live deployments, the live ones and those to go back to, that are built on a
    /// plugin version, in words.
    pub(crate) fn users_of_plugin(
        &self,
        tenant: &TenantId,
        reference: &PluginRef,
    ) -> Result<Vec<String>, RegistryError> {
        let wanted = reference.to_string();
        let mut users = Vec::new();
        for pointer in self.pointers(tenant)? {
            let Some(live) = pointer.live else { continue };
            for number in 1..=pointer.latest {
                let stored = self.stored_revision(tenant, &pointer.name, number)?.record;
                let uses = match &stored.pins {
                    Some(pins) => pins.plugins.contains_key(&wanted),
                    None => pins::plugins_in(&self.spec(&stored)?).contains(&wanted),
                };
                if uses {
                    let state = if number == live { "live" } else { "to go back to" };
                    users.push(format!("deployment {} revision {number} ({state})", pointer.name));
                }
            }
        }
        Ok(users)
    }

    fn models_of(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
    ) -> Result<BTreeSet<ModelPin>, RegistryError> {
        let stored = self.stored_revision(tenant, name, number)?.record;
        match stored.pins {
            Some(pins) => Ok(pins.models),
            None => Ok(pins::models_in(&self.spec(&stored)?)),
        }
    }

    fn spec(&self, stored: &StoredRevision) -> Result<Value, RegistryError> {
        let text = self.store.blobs().read(&stored.spec, SPEC_BYTES_MAX)?;
        serde_json::from_slice(&text).map_err(|e| {
            RegistryError::Store(StoreError::BadRecord {
                kind: "deployment spec",
                key: stored.spec.to_string(),
                detail: e.to_string(),
            })
        })
    }

    fn stored_revision(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
    ) -> Result<Stored<StoredRevision>, RegistryError> {
        if names::check("deployment", name).is_err() {
            return Err(not_found(name));
        }
        if let Some(stored) = records::get(self.store.metadata(), &revision_key(tenant, name, number))? {
            return Ok(stored);
        }
        Err(RegistryError::NotFound {
            what: "revision",
            name: number.to_string(),
            hint: match self.latest_number(tenant, name)? {
                1 => format!(" of `{}`: it has revision 1 alone", names::shown(name)),
                latest => format!(" of `{}`: it has revisions 1 to {latest}", names::shown(name)),
            },
        })
    }

    fn pointers(&self, tenant: &TenantId) -> Result<Vec<Pointer>, RegistryError> {
        table::list(&self.store, &format!("deployment/{tenant}/"), LIST_MAX)
    }

    fn pointer(&self, tenant: &TenantId, name: &str) -> Result<Option<Stored<Pointer>>, RegistryError> {
        if names::check("deployment", name).is_err() {
            return Ok(None);
        }
        Ok(records::get(self.store.metadata(), &pointer_key(tenant, name))?)
    }
}

/// Count what a tenant has.
pub(crate) fn count(store: &Store, tenant: &TenantId, usage: &mut Usage) -> Result<(), RegistryError> {
    let deployments = DeploymentStore::new(store.clone());
    for pointer in deployments.pointers(tenant)? {
        usage.deployments += u64::from(pointer.live.is_some());
        for number in 1..=pointer.latest {
            let stored = deployments.stored_revision(tenant, &pointer.name, number)?.record;
            usage.stored_bytes += match stored.stored_bytes {
                Some(bytes) => bytes,
                None => store.blobs().size(&stored.spec)?,
            };
        }
    }
    Ok(())
}

fn not_found(name: &str) -> RegistryError {
    RegistryError::NotFound {
        what: "deployment",
        name: names::shown(name),
        hint: String::new(),
    }
}

fn pointer_key(tenant: &TenantId, name: &str) -> String {
    format!("deployment/{tenant}/{name}")
}

fn revision_key(tenant: &TenantId, name: &str, number: u64) -> String {
    format!("revision/{tenant}/{name}/{}", number_key(number))
}
