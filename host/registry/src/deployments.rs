//! Deployments: immutable revisions, and one pointer that says which of them is live.
//!
//! A revision has a *spec*, what the tenant wrote, and what it was *pinned* to: the plugin digests
//! and model versions that its references meant when it was made. Both are JSON of the caller's
//! design. The spec, which may carry large vocabularies, is a blob; what it is pinned to is in the
//! record, so that the blobs named there are seen to be in use.

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Digest, Expect, Op, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::check_size;
use crate::names::check_name;
use crate::retry::{Attempt, until_committed};
use crate::{LIST_ITEMS_MAX, List, RegistryError, TenantId, json, now};

/// Bytes of a spec as JSON. Configs with encoders and vocabularies of tens of thousands of entries
/// fit.
pub const SPEC_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of the pinned versions as JSON: a few hundred for each stage.
pub const PINNED_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the author's name.
const AUTHOR_BYTES_MAX: u64 = 256;
/// Revisions of one deployment: one every ten minutes for two years.
const REVISIONS_MAX: u64 = 100_000;
/// Bytes of one monitor's state: the sketch of a baseline.
pub const MONITOR_STATE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Monitors with a state in one revision.
pub const MONITOR_STATES_MAX: usize = 256;

const KIND: &str = "deployment";

/// A deployment in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Its newest revision.
    pub latest: u64,
    /// The revision that serves; none where it was deleted.
    pub live: Option<u64>,
    /// When its first revision was made: RFC 3339, UTC.
    pub created_at: String,
    /// When it was deleted, if it is.
    pub deleted_at: Option<String>,
}

impl Record for Deployment {
    const KIND: &'static str = "deployment";
    const FORMAT: u32 = 1;
}

/// A revision without its spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// The deployment's name.
    pub name: String,
    /// 1, 2, 3, … without gaps.
    pub number: u64,
    /// Who made it.
    pub author: String,
    /// When: RFC 3339, UTC.
    pub created_at: String,
    /// Digest of the spec.
    pub spec: Digest,
    /// What its references meant.
    pub pinned: Value,
}

impl Record for RevisionRecord {
    const KIND: &'static str = "deployment revision";
    const FORMAT: u32 = 1;
}

/// A revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// All but the spec.
    pub record: RevisionRecord,
    /// What the tenant wrote.
    pub spec: Value,
}

/// Where a monitor's state is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorState {
    /// The monitor's name.
    pub monitor: String,
    /// Digest of the state.
    pub digest: Digest,
    /// Bytes of the state.
    pub size: u64,
    /// When it was computed: RFC 3339, UTC.
    pub created_at: String,
}

impl Record for MonitorState {
    const KIND: &'static str = "monitor state";
    const FORMAT: u32 = 1;
}

/// What has to be live for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveExpect {
    /// Anything.
    Any,
    /// Nothing: the deployment is new, or was deleted.
    Nothing,
    /// This revision.
    Revision(u64),
}

/// The deployments of a registry.
#[derive(Clone, Copy)]
pub struct DeploymentStore<'a> {
    store: &'a Store,
}

impl<'a> DeploymentStore<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Add a revision and make it live, in one step. A deployment that was deleted comes back, and
    /// goes on counting where it stopped.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Moved`] where something else than `expect` is live; those of a bad name and
    /// of parts that are too large; those of the storage.
    pub fn append(
        &self,
        tenant: &TenantId,
        name: &str,
        spec: &Value,
        pinned: &Value,
        author: &str,
        expect: LiveExpect,
    ) -> Result<Revision, RegistryError> {
        check_name(KIND, name)?;
        let text = json::canonical("deployment's spec", spec, SPEC_BYTES_MAX)?;
        json::canonical("deployment's pinned versions", pinned, PINNED_BYTES_MAX)?;
        check_size("author's name", author.len(), AUTHOR_BYTES_MAX)?;
        let blob = self.store.blobs().put(text.as_bytes())?;
        let key = head_key(tenant, name);
        let record = until_committed(
            self.store,
            || format!("deployment {name}"),
            || {
                let head = record::get::<Deployment>(self.store.metadata(), &key)?;
                check_live(name, head.as_ref().and_then(|h| h.record.live), expect)?;
                let number = head.as_ref().map_or(1, |h| h.record.latest + 1);
                if number > REVISIONS_MAX {
                    return Err(RegistryError::TooMany {
                        what: format!("revisions of deployment {name}"),
                        max: REVISIONS_MAX,
                        hint: "go on under another name",
                    });
                }
                let created_at = now();
                let new_head = Deployment {
                    name: name.to_owned(),
                    latest: number,
                    live: Some(number),
                    created_at: head
                        .as_ref()
                        .map_or_else(|| created_at.clone(), |h| h.record.created_at.clone()),
                    deleted_at: None,
                };
                let record = RevisionRecord {
                    name: name.to_owned(),
                    number,
                    author: author.to_owned(),
                    created_at,
                    spec: blob.digest,
                    pinned: pinned.clone(),
                };
                Ok(Attempt {
                    ops: vec![
                        match &head {
                            Some(head) => head.replace(&key, &new_head)?,
                            None => record::create(&key, &new_head)?,
                        },
                        record::create(&revision_key(tenant, name, number), &record)?,
                    ],
                    answer: record,
                })
            },
        )?;
        Ok(Revision {
            record,
            spec: spec.clone(),
        })
    }

    /// Make an older or newer revision live: a roll-back, or its undoing.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Moved`] where something else than `expect` is live;
    /// [`RegistryError::NotFound`] for a deployment that isn't there or was deleted;
    /// [`RegistryError::NoSuchVersion`]; those of the storage.
    pub fn set_live(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        expect: LiveExpect,
    ) -> Result<(), RegistryError> {
        self.record(tenant, name, number)?;
        self.change_head(tenant, name, |deployment| {
            check_live(name, deployment.live, expect)?;
            deployment.live = Some(number);
            Ok(())
        })
    }

    /// Take a deployment out of service. Its revisions stay, for the record.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] for a deployment that isn't there or was deleted; those of the
    /// storage.
    pub fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), RegistryError> {
        self.change_head(tenant, name, |deployment| {
            deployment.live = None;
            deployment.deleted_at = Some(now());
            Ok(())
        })
    }

    fn change_head(
        &self,
        tenant: &TenantId,
        name: &str,
        change: impl Fn(&mut Deployment) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let key = head_key(tenant, name);
        until_committed(
            self.store,
            || format!("deployment {name}"),
            || {
                let head = self.head(tenant, name)?;
                if head.record.deleted_at.is_some() {
                    return Err(not_found(name));
                }
                let mut new_head = head.record.clone();
                change(&mut new_head)?;
                Ok(Attempt {
                    ops: vec![head.replace(&key, &new_head)?],
                    answer: (),
                })
            },
        )
    }

    /// A deployment, deleted ones included.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`]; those of a bad name; those of the storage.
    pub fn get(&self, tenant: &TenantId, name: &str) -> Result<Deployment, RegistryError> {
        Ok(self.head(tenant, name)?.record)
    }

    /// The revision that serves; none where the deployment isn't there or was deleted.
    ///
    /// # Errors
    ///
    /// Those of a bad name; those of the storage.
    pub fn live(&self, tenant: &TenantId, name: &str) -> Result<Option<Revision>, RegistryError> {
        check_name(KIND, name)?;
        let head = record::get::<Deployment>(self.store.metadata(), &head_key(tenant, name))?;
        match head.and_then(|h| h.record.live) {
            Some(number) => self.revision(tenant, name, number).map(Some),
            None => Ok(None),
        }
    }

    /// One revision with its spec.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::NoSuchVersion`]; those of the storage: the
    /// spec's blob may be missing or damaged.
    pub fn revision(&self, tenant: &TenantId, name: &str, number: u64) -> Result<Revision, RegistryError> {
        let record = self.record(tenant, name, number)?;
        let text = self.store.blobs().read(&record.spec, SPEC_BYTES_MAX)?;
        let spec = serde_json::from_slice(&text).map_err(|e| StoreError::BadRecord {
            kind: "deployment spec",
            key: record.spec.to_string(),
            detail: e.to_string(),
        })?;
        Ok(Revision { record, spec })
    }

    /// The revisions of a deployment in order, without their specs, after the revision `after`
    /// where that is given. Those of a deleted deployment too.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`]; those of a bad name; those of the storage.
    pub fn revisions(
        &self,
        tenant: &TenantId,
        name: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<List<RevisionRecord>, RegistryError> {
        self.head(tenant, name)?;
        let prefix = format!("deployment-revision/{tenant}/{name}/");
        let after = after.map(|number| revision_key(tenant, name, number));
        let limit = limit.clamp(1, LIST_ITEMS_MAX);
        let page = record::scan::<RevisionRecord>(self.store.metadata(), &prefix, after.as_deref(), limit)?;
        Ok(List {
            next: page.next.and(page.records.last().map(|r| r.number.to_string())),
            items: page.records,
        })
    }

    /// The deployments of a tenant by name, after the name `after` where that is given; without
    /// the deleted ones, so that a page may have fewer items than there is room for.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub fn list(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<List<Deployment>, RegistryError> {
        let after = after.map(|name| head_key(tenant, name));
        let limit = limit.clamp(1, LIST_ITEMS_MAX);
        let mut page = record::scan::<Deployment>(
            self.store.metadata(),
            &head_key(tenant, ""),
            after.as_deref(),
            limit,
        )?;
        let next = page.next.and(page.records.last().map(|d| d.name.clone()));
        page.records.retain(|deployment| deployment.deleted_at.is_none());
        Ok(List {
            items: page.records,
            next,
        })
    }

    /// Keep the state that a monitor of a revision computed from its baseline; what was kept
    /// before is replaced.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::NoSuchVersion`], [`RegistryError::TooLarge`],
    /// [`RegistryError::TooMany`]; those of a bad name; those of the storage.
    pub fn put_monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
        state: &[u8],
    ) -> Result<MonitorState, RegistryError> {
        check_name("monitor", monitor)?;
        check_size("monitor's state", state.len(), MONITOR_STATE_BYTES_MAX)?;
        self.record(tenant, name, number)?;
        let others = self.monitor_states(tenant, name, number)?;
        if others.len() >= MONITOR_STATES_MAX && others.iter().all(|other| other.monitor != monitor) {
            return Err(RegistryError::TooMany {
                what: format!("monitors of revision {number} of deployment {name}"),
                max: MONITOR_STATES_MAX as u64,
                hint: "use fewer",
            });
        }
        let blob = self.store.blobs().put(state)?;
        let record = MonitorState {
            monitor: monitor.to_owned(),
            digest: blob.digest,
            size: blob.size,
            created_at: now(),
        };
        let key = monitor_key(tenant, name, number, monitor);
        let bytes = record::encode(&record)?;
        until_committed(
            self.store,
            || format!("monitor {monitor}"),
            || {
                Ok(Attempt {
                    ops: vec![Op::put(key.as_str(), Expect::Any, bytes.clone())],
                    answer: (),
                })
            },
        )?;
        Ok(record)
    }

    /// The state that a monitor of a revision computed, if it has.
    ///
    /// # Errors
    ///
    /// Those of a bad name; those of the storage: the blob may be missing or damaged.
    pub fn monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        check_name(KIND, name)?;
        check_name("monitor", monitor)?;
        let key = monitor_key(tenant, name, number, monitor);
        match record::get::<MonitorState>(self.store.metadata(), &key)? {
            Some(stored) => Ok(Some(
                self.store
                    .blobs()
                    .read(&stored.record.digest, MONITOR_STATE_BYTES_MAX)?,
            )),
            None => Ok(None),
        }
    }

    /// The monitors of a revision that have a state, by name.
    ///
    /// # Errors
    ///
    /// Those of a bad name; those of the storage.
    pub fn monitor_states(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
    ) -> Result<Vec<MonitorState>, RegistryError> {
        check_name(KIND, name)?;
        let prefix = monitor_key(tenant, name, number, "");
        let page = record::scan(self.store.metadata(), &prefix, None, MONITOR_STATES_MAX)?;
        Ok(page.records)
    }

    fn record(&self, tenant: &TenantId, name: &str, number: u64) -> Result<RevisionRecord, RegistryError> {
        check_name(KIND, name)?;
        let key = revision_key(tenant, name, number);
        if let Some(stored) = record::get::<RevisionRecord>(self.store.metadata(), &key)? {
            return Ok(stored.record);
        }
        let deployment = self.head(tenant, name)?.record;
        Err(RegistryError::NoSuchVersion {
            kind: KIND,
            name: deployment.name,
            wanted: number.to_string(),
            available: vec![format!("revisions 1 to {}", deployment.latest)],
            hint: "",
        })
    }

    fn head(&self, tenant: &TenantId, name: &str) -> Result<Stored<Deployment>, RegistryError> {
        check_name(KIND, name)?;
        record::get(self.store.metadata(), &head_key(tenant, name))?.ok_or_else(|| not_found(name))
    }
}

fn check_live(name: &str, found: Option<u64>, expect: LiveExpect) -> Result<(), RegistryError> {
    let expected = match expect {
        LiveExpect::Any => return Ok(()),
        LiveExpect::Nothing => None,
        LiveExpect::Revision(number) => Some(number),
    };
    if found == expected {
        return Ok(());
    }
    Err(RegistryError::Moved {
        what: format!("the live revision of deployment {name}"),
        expected,
        found,
    })
}

fn not_found(name: &str) -> RegistryError {
    RegistryError::NotFound {
        kind: KIND,
        name: name.to_owned(),
        hint: "list the deployments to see what there is, or deploy it first",
    }
}

fn head_key(tenant: &TenantId, name: &str) -> String {
    format!("deployment/{tenant}/{name}")
}

fn revision_key(tenant: &TenantId, name: &str, number: u64) -> String {
    format!("deployment-revision/{tenant}/{name}/{number:020}")
}

fn monitor_key(tenant: &TenantId, name: &str, number: u64, monitor: &str) -> String {
    format!("monitor-state/{tenant}/{name}/{number:020}/{monitor}")
}
