//! Deployments: immutable revisions, and one pointer that says which is live.
//!
//! Keys `deployment/{tenant}/{name}` (the pointer), `revision/{tenant}/{name}/{number}` and
//! `monitor-state/{tenant}/{name}/{number}/{monitor}`. A new revision and the pointer to it are one
//! commit. A spec may hold fitted vocabularies of megabytes, so it is a blob; so is what a monitor
//! computed from its baseline.

use std::fmt;

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Digest, Expect, Op, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change, number_key};
use crate::{RegistryError, now};

/// Deployments of a tenant, and revisions of a deployment, in one list.
const LIST_MAX: usize = 100_000;
/// Bytes of one monitor's state: the sketch of a baseline.
const MONITOR_STATE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of an author's name.
const AUTHOR_BYTES_MAX: usize = 256;
/// Bytes of a stored spec.
const SPEC_BYTES_MAX: u64 = 64 << 20;

/// One revision.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionRecord {
    /// The deployment.
    pub name: String,
    /// Counted from 1; never used twice, not even after a deletion.
    pub number: u64,
    /// The spec, every reference pinned.
    pub spec: Value,
    /// Who made it.
    pub author: String,
    /// When, RFC 3339.
    pub created_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredRevision {
    name: String,
    number: u64,
    spec: Digest,
    author: String,
    created_at: String,
}

impl Record for StoredRevision {
    const KIND: &'static str = "revision";
    const FORMAT: u32 = 1;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MonitorState {
    digest: Digest,
    created_at: String,
}

impl Record for MonitorState {
    const KIND: &'static str = "monitor state";
    const FORMAT: u32 = 1;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    name: String,
    /// The live revision; `None` when deleted.
    live: Option<u64>,
    /// The highest number given out.
    latest: u64,
}

impl Record for Pointer {
    const KIND: &'static str = "deployment";
    const FORMAT: u32 = 1;
}

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
    /// Not a name; the store.
    pub fn append(
        &self,
        tenant: &TenantId,
        name: &str,
        spec: Value,
        author: &str,
    ) -> Result<RevisionRecord, RegistryError> {
        names::check("deployment", name)?;
        if author.len() > AUTHOR_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of an author's name".into(),
                max: AUTHOR_BYTES_MAX as u64,
            });
        }
        let text = serde_json::to_vec(&spec)
            .map_err(|_| RegistryError::Store(StoreError::BadRequest("a spec that JSON can't hold")))?;
        if text.len() as u64 > SPEC_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of a deployment".into(),
                max: SPEC_BYTES_MAX,
            });
        }
        let digest = self.store.blobs().put(&text)?.digest;
        let stored = change(&self.store, name, || {
            let pointer = self.pointer(tenant, name)?;
            let number = pointer.as_ref().map_or(0, |p| p.record.latest) + 1;
            let new = Pointer {
                name: name.to_owned(),
                live: Some(number),
                latest: number,
            };
            let revision = StoredRevision {
                name: name.to_owned(),
                number,
                spec: digest,
                author: author.to_owned(),
                created_at: now(),
            };
            let key = pointer_key(tenant, name);
            let ops = vec![
                match pointer {
                    Some(stored) => stored.replace(&key, &new)?,
                    None => record::create(&key, &new)?,
                },
                record::create(&revision_key(tenant, name, number), &revision)?,
            ];
            Ok::<_, RegistryError>(Attempt {
                ops,
                answer: revision,
            })
        })?;
        Ok(with_spec(stored, spec))
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
        let live = self.pointer(tenant, name)?.and_then(|stored| stored.record.live);
        live.map(|number| self.revision(tenant, name, number)).transpose()
    }

    /// Up to `limit` revisions of one deployment, deleted or not, after number `after` (0: from the
    /// first), in order; none if there is no such deployment.
    ///
    /// # Errors
    ///
    /// The store; a spec is missing or damaged.
    pub fn revisions(
        &self,
        tenant: &TenantId,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RevisionRecord>, RegistryError> {
        let latest = self
            .pointer(tenant, name)?
            .map_or(0, |stored| stored.record.latest);
        let wanted = after.saturating_add(1)..=latest;
        wanted
            .take(limit)
            .map(|number| self.revision(tenant, name, number))
            .collect()
    }

    /// Keep what a monitor of a revision computed from its baseline; it replaces what was kept
    /// before.
    ///
    /// # Errors
    ///
    /// No such revision; not a monitor's name; too large; the store.
    pub fn put_monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
        state: &[u8],
    ) -> Result<(), RegistryError> {
        names::check("monitor", monitor)?;
        if state.len() as u64 > MONITOR_STATE_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of a monitor's state".into(),
                max: MONITOR_STATE_BYTES_MAX,
            });
        }
        let revision = self.stored_revision(tenant, name, number)?;
        let state = MonitorState {
            digest: self.store.blobs().put(state)?.digest,
            created_at: now(),
        };
        let key = monitor_key(tenant, name, number, monitor);
        change(&self.store, name, || {
            let ops = vec![
                revision.check(&revision_key(tenant, name, number)),
                Op::put(key.as_str(), Expect::Any, record::encode(&state)?),
            ];
            Ok(Attempt { ops, answer: () })
        })
    }

    /// What [`DeploymentStore::put_monitor_state`] kept, checked against its digest.
    ///
    /// # Errors
    ///
    /// Not a name; it is missing or damaged; the store.
    pub fn monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        names::check("deployment", name)?;
        names::check("monitor", monitor)?;
        let key = monitor_key(tenant, name, number, monitor);
        let Some(stored) = record::get::<MonitorState>(self.store.metadata(), &key)? else {
            return Ok(None);
        };
        Ok(Some(
            self.store
                .blobs()
                .read(&stored.record.digest, MONITOR_STATE_BYTES_MAX)?,
        ))
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
        let stored = self.stored_revision(tenant, name, number)?;
        let text = self.store.blobs().read(&stored.record.spec, SPEC_BYTES_MAX)?;
        let spec = serde_json::from_slice(&text).map_err(|e| {
            RegistryError::Store(StoreError::BadRecord {
                kind: "deployment spec",
                key: stored.record.spec.to_string(),
                detail: e.to_string(),
            })
        })?;
        Ok(with_spec(stored.record, spec))
    }

    /// Stop a deployment being live. Its revisions stay.
    ///
    /// # Errors
    ///
    /// There is none of that name; the store.
    pub fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), RegistryError> {
        change(&self.store, name, || match self.pointer(tenant, name)? {
            Some(stored) if stored.record.live.is_some() => {
                let gone = Pointer {
                    live: None,
                    ..stored.record.clone()
                };
                let op = stored.replace(&pointer_key(tenant, name), &gone)?;
                Ok(Attempt {
                    ops: vec![op],
                    answer: (),
                })
            }
            _ => Err(not_found(name)),
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
        record::get(self.store.metadata(), &revision_key(tenant, name, number))?
            .ok_or_else(|| not_found(&format!("{name} revision {number}")))
    }

    fn pointer(&self, tenant: &TenantId, name: &str) -> Result<Option<Stored<Pointer>>, RegistryError> {
        if names::check("deployment", name).is_err() {
            return Ok(None);
        }
        Ok(record::get(self.store.metadata(), &pointer_key(tenant, name))?)
    }
}

fn with_spec(stored: StoredRevision, spec: Value) -> RevisionRecord {
    RevisionRecord {
        name: stored.name,
        number: stored.number,
        spec,
        author: stored.author,
        created_at: stored.created_at,
    }
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

fn monitor_key(tenant: &TenantId, name: &str, number: u64, monitor: &str) -> String {
    format!("monitor-state/{tenant}/{name}/{}/{monitor}", number_key(number))
}
