//! Models: versions numbered from 1 without gaps, their approval, and aliases.
//!
//! Keys `model/{tenant}/{name}` (the head: how many versions, and where each alias points),
//! `model-version/{tenant}/{name}/{number}`, and `model-content/{tenant}/{name}/{digest}`, which
//! says which version has this file, signature, metadata, baseline, metrics and lineage. What of these
//! may be large is a blob of its own. A deleted version leaves `model-deleted/{tenant}/{name}/{number}`.

mod aliases;
mod approval;
mod lineage;
mod record;
mod remove;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;

use caisson_store::record::{self as records, Stored};
use caisson_store::{Digest, Op, Store, StoreError};

pub use aliases::AliasChange;
pub use approval::{FourEyes, Stage, Transition, TransitionRecord};
pub use lineage::{Lineage, Parent, Source};
pub use record::{Baseline, BaselineRecord, Deletion, ModelRecord, ModelUpload, VersionRef};

use crate::ledger::{Opened, Usage};
use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change, number_key};
use crate::text::{ACTOR_BYTES_MAX, DESCRIPTION_BYTES_MAX, check_line, check_tags, check_text, sorted};
use crate::{Outcome, RegistryError, now};
use lineage::{check_data_digest, check_metrics};
use record::{ContentRecord, Details, Head, VersionRecord};

/// Versions of one model, and models in one list.
const VERSIONS_MAX: usize = 100_000;
/// Bytes of an ONNX file; protobuf ends there.
const MODEL_BYTES_MAX: u64 = 2 << 30;
/// Bytes of signature, metadata, metrics and lineage, as JSON.
const DETAILS_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a baseline.
const BASELINE_BYTES_MAX: u64 = 1 << 30;

/// The models of all tenants.
#[derive(Clone)]
pub struct Models {
    store: Store,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Models")
    }
}

impl Models {
    /// The models in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Register a version. What has the same file, signature, metadata, baseline, metrics, training
    /// data and lineage as an existing version is that version, unchanged: its description and tags
    /// too stay as they are.
    ///
    /// # Errors
    ///
    /// Not a name; too many versions; a text, metric or lineage out of its bounds, or parents that
    /// never were; the file can't be read; the store.
    pub fn register(
        &self,
        tenant: &TenantId,
        name: &str,
        upload: ModelUpload,
    ) -> Result<Outcome<ModelRecord>, RegistryError> {
        names::check("model", name)?;
        check_upload(&upload)?;
        self.check_parents(tenant, &upload.lineage)?;
        let blobs = self.store.blobs();
        let file = File::open(&upload.file).map_err(|source| {
            RegistryError::Store(StoreError::Io {
                action: "open",
                path: upload.file.clone(),
                source,
            })
        })?;
        let model = blobs.put_from(file, MODEL_BYTES_MAX)?;
        let details = Details {
            signature: sorted(upload.signature),
            metadata: sorted(upload.metadata),
            metrics: upload.metrics,
            training_data_digest: upload.training_data_digest,
            lineage: upload.lineage,
        };
        let text = serde_json::to_vec(&details)
            .map_err(|_| RegistryError::Store(StoreError::BadRequest("metadata that JSON can't hold")))?;
        if text.len() as u64 > DETAILS_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of signature, metadata, metrics and lineage".into(),
                max: DETAILS_BYTES_MAX,
            });
        }
        let described = blobs.put(&text)?;
        let mut stored_bytes = model.size + described.size;
        let baseline = match upload.baseline {
            None => None,
            Some(given) => {
                let blob = blobs.put(&given.bytes)?;
                stored_bytes += blob.size;
                Some(BaselineRecord {
                    content_type: given.content_type,
                    digest: blob.digest,
                })
            }
        };
        let content_key = content_key(tenant, name, &model.digest, &described.digest, baseline.as_ref());
        let mut record = VersionRecord {
            name: name.to_owned(),
            version: 0,
            digest: model.digest,
            size: model.size,
            baseline,
            details: described.digest,
            created_at: now(),
            created_by: upload.created_by,
            stored_bytes: Some(stored_bytes),
            description: upload.description,
            tags: upload.tags,
            stage: Stage::Draft,
            requested_by: None,
            requested_for: None,
            transitions: 0,
        };
        let outcome = change(&self.store, name, || {
            let ledger = Opened::read(&self.store, tenant)?;
            if let Some(content) = records::get::<ContentRecord>(self.store.metadata(), &content_key)? {
                let existing = self.stored_version(tenant, name, content.record.version)?;
                return Ok(Attempt {
                    ops: vec![content.check(&content_key)],
                    answer: Outcome::Unchanged(existing.record),
                });
            }
            let head = self.head(tenant, name)?;
            let mut new = head
                .as_ref()
                .map_or_else(|| Head::new(name), |head| head.record.clone());
            if new.versions() as usize >= VERSIONS_MAX {
                return Err(RegistryError::TooMany {
                    what: format!("versions of `{name}`"),
                    max: VERSIONS_MAX as u64,
                });
            }
            let first = new.versions() == 0;
            new.latest += 1;
            new.newest = None;
            record.version = new.latest;
            let ops = vec![
                head_op(tenant, head, &new)?,
                records::create(&version_key(tenant, name, record.version), &record)?,
                records::create(
                    &content_key,
                    &ContentRecord {
                        version: record.version,
                    },
                )?,
                ledger.change(|usage| add(usage, first, stored_bytes))?,
            ];
            Ok(Attempt {
                ops,
                answer: Outcome::Created(record.clone()),
            })
        })?;
        let full = |record: VersionRecord| with_details(record, details);
        Ok(match outcome {
            Outcome::Created(record) => Outcome::Created(full(record)),
            Outcome::Unchanged(record) => Outcome::Unchanged(full(record)),
        })
    }

    /// The newest version of every model that has one, by name.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn list(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, RegistryError> {
        self.heads(tenant)?
            .iter()
            .filter_map(|head| Some((head, head.newest()?)))
            .map(|(head, newest)| self.full(self.stored_version(tenant, &head.name, newest)?.record))
            .collect()
    }

    /// Every version of one model; none if there is no such model.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<ModelRecord>, RegistryError> {
        self.version_records(tenant, name)?
            .into_iter()
            .map(|record| self.full(record))
            .collect()
    }

    /// The version that a reference means.
    ///
    /// # Errors
    ///
    /// There is none: the message says what there is.
    pub fn resolve(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &VersionRef,
    ) -> Result<ModelRecord, RegistryError> {
        names::check("model", name)?;
        let missing = |hint: String| RegistryError::NotFound {
            what: "model",
            name: format!("{name}@{version}"),
            hint,
        };
        let Some(head) = self.head(tenant, name)?.map(|h| h.record) else {
            return Err(missing("; `caisson model list` shows what there is".to_owned()));
        };
        let number = match version {
            VersionRef::Latest => head
                .newest()
                .ok_or_else(|| missing("; all its versions were deleted".to_owned()))?,
            VersionRef::Number(n) => *n,
            VersionRef::Alias(alias) => *head.aliases.get(alias).ok_or_else(|| {
                let known: Vec<&str> = head.aliases.keys().map(String::as_str).collect();
                missing(format!("; its aliases are {known:?}, {}", numbers(&head)))
            })?,
        };
        self.full(self.stored_version(tenant, name, number)?.record)
    }

    /// Write another description.
    ///
    /// # Errors
    ///
    /// No such version; too long; the store.
    pub fn set_description(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        description: &str,
    ) -> Result<ModelRecord, RegistryError> {
        check_text("the description", description, DESCRIPTION_BYTES_MAX)?;
        self.edit(tenant, name, version, |record| {
            description.clone_into(&mut record.description);
            Ok(())
        })
    }

    /// Set these tags, and remove those that are `None`; the others stay.
    ///
    /// # Errors
    ///
    /// No such version; too many or too long tags; the store.
    pub fn set_tags(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<ModelRecord, RegistryError> {
        self.edit(tenant, name, version, |record| {
            for (key, value) in changes {
                match value {
                    Some(value) => record.tags.insert(key.clone(), value.clone()),
                    None => record.tags.remove(key),
                };
            }
            check_tags(&record.tags)
        })
    }

    /// Refuse a version that isn't there.
    pub(crate) fn exists(&self, tenant: &TenantId, name: &str, version: u64) -> Result<(), RegistryError> {
        self.stored_version(tenant, name, version).map(|_| ())
    }

    /// The ONNX file, checked against its digest.
    ///
    /// # Errors
    ///
    /// It is missing or damaged.
    pub fn model_path(&self, record: &ModelRecord) -> Result<PathBuf, RegistryError> {
        Ok(self.store.blobs().path(&record.digest)?)
    }

    /// The baseline, checked against its digest.
    ///
    /// # Errors
    ///
    /// It is missing or damaged.
    pub fn baseline(&self, record: &ModelRecord) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(baseline) = &record.baseline else {
            return Ok(None);
        };
        Ok(Some(
            self.store.blobs().read(&baseline.digest, BASELINE_BYTES_MAX)?,
        ))
    }

    fn edit(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        edit: impl Fn(&mut VersionRecord) -> Result<(), RegistryError>,
    ) -> Result<ModelRecord, RegistryError> {
        let edited = change(&self.store, name, || {
            let stored = self.stored_version(tenant, name, version)?;
            let mut new = stored.record.clone();
            edit(&mut new)?;
            Ok::<_, RegistryError>(Attempt {
                ops: vec![stored.replace(&version_key(tenant, name, version), &new)?],
                answer: new,
            })
        })?;
        self.full(edited)
    }

    /// Refuse parents that never were. One that was deleted is still where a version comes from.
    fn check_parents(&self, tenant: &TenantId, lineage: &Lineage) -> Result<(), RegistryError> {
        for parent in &lineage.parents {
            let latest = self
                .head(tenant, &parent.name)?
                .map_or(0, |head| head.record.latest);
            if !(1..=latest).contains(&parent.version) {
                return Err(RegistryError::NotFound {
                    what: "model",
                    name: format!("{}@{}", parent.name, parent.version),
                    hint: ", which the lineage names as a parent".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn heads(&self, tenant: &TenantId) -> Result<Vec<Head>, RegistryError> {
        table::list(&self.store, &format!("model/{tenant}/"), VERSIONS_MAX)
    }

    fn head(&self, tenant: &TenantId, name: &str) -> Result<Option<Stored<Head>>, RegistryError> {
        if names::check("model", name).is_err() {
            return Ok(None); // A name that can't be stored isn't there.
        }
        Ok(records::get(self.store.metadata(), &head_key(tenant, name))?)
    }

    fn version_records(&self, tenant: &TenantId, name: &str) -> Result<Vec<VersionRecord>, RegistryError> {
        if names::check("model", name).is_err() {
            return Ok(Vec::new());
        }
        table::list(
            &self.store,
            &format!("model-version/{tenant}/{name}/"),
            VERSIONS_MAX,
        )
    }

    fn stored_version(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
    ) -> Result<Stored<VersionRecord>, RegistryError> {
        names::check("model", name)?;
        if let Some(stored) = records::get(self.store.metadata(), &version_key(tenant, name, version))? {
            return Ok(stored);
        }
        let hint = match self.deletion(tenant, name, version)? {
            Some(deleted) => format!("; it was deleted by {} at {}", deleted.by, deleted.at),
            None => match self.head(tenant, name)? {
                Some(head) => format!("; {}", numbers(&head.record)),
                None => "; `caisson model list` shows what there is".to_owned(),
            },
        };
        Err(RegistryError::NotFound {
            what: "model",
            name: format!("{name}@{version}"),
            hint,
        })
    }

    fn full(&self, record: VersionRecord) -> Result<ModelRecord, RegistryError> {
        let text = self.store.blobs().read(&record.details, DETAILS_BYTES_MAX)?;
        let details: Details = serde_json::from_slice(&text).map_err(|e| {
            RegistryError::Store(StoreError::BadRecord {
                kind: "model details",
                key: record.details.to_string(),
                detail: e.to_string(),
            })
        })?;
        Ok(with_details(record, details))
    }

    /// Bytes that a version keeps.
    fn stored_bytes(&self, record: &VersionRecord) -> Result<u64, RegistryError> {
        if let Some(bytes) = record.stored_bytes {
            return Ok(bytes);
        }
        let blobs = self.store.blobs();
        let baseline = match &record.baseline {
            Some(baseline) => blobs.size(&baseline.digest)?,
            None => 0,
        };
        Ok(record.size + blobs.size(&record.details)? + baseline)
    }
}

/// Count what a tenant has.
pub(crate) fn count(store: &Store, tenant: &TenantId, usage: &mut Usage) -> Result<(), RegistryError> {
    let models = Models::new(store.clone());
    for head in models.heads(tenant)? {
        for (i, record) in models.version_records(tenant, &head.name)?.iter().enumerate() {
            add(usage, i == 0, models.stored_bytes(record)?);
        }
    }
    Ok(())
}

fn add(usage: &mut Usage, first: bool, bytes: u64) {
    usage.models += u64::from(first);
    usage.model_versions += 1;
    usage.stored_bytes += bytes;
}

fn check_upload(upload: &ModelUpload) -> Result<(), RegistryError> {
    check_metrics(&upload.metrics)?;
    upload.lineage.check()?;
    if let Some(digest) = &upload.training_data_digest {
        check_data_digest("the digest of the training data", digest)?;
    }
    check_text("the description", &upload.description, DESCRIPTION_BYTES_MAX)?;
    check_tags(&upload.tags)?;
    check_line(
        "the name of who registers it",
        &upload.created_by,
        ACTOR_BYTES_MAX,
    )
}

/// Which versions a model has, in words.
fn numbers(head: &Head) -> String {
    match (head.deleted, head.newest()) {
        (_, None) => "all its versions were deleted".to_owned(),
        (0, Some(newest)) => format!("its versions are 1 to {newest}"),
        (deleted, Some(newest)) => {
            format!("its versions are 1 to {newest} but for {deleted} that were deleted")
        }
    }
}

fn with_details(record: VersionRecord, details: Details) -> ModelRecord {
    ModelRecord {
        name: record.name,
        version: record.version,
        digest: record.digest,
        size: record.size,
        baseline: record.baseline,
        signature: details.signature,
        metadata: details.metadata,
        metrics: details.metrics,
        training_data_digest: details.training_data_digest,
        lineage: details.lineage,
        description: record.description,
        tags: record.tags,
        stage: record.stage,
        created_at: record.created_at,
        created_by: record.created_by,
    }
}

/// Change the head as it was read, or make it.
fn head_op(tenant: &TenantId, head: Option<Stored<Head>>, new: &Head) -> Result<Op, RegistryError> {
    let key = head_key(tenant, &new.name);
    Ok(match head {
        Some(stored) => stored.replace(&key, new)?,
        None => records::create(&key, new)?,
    })
}

fn head_key(tenant: &TenantId, name: &str) -> String {
    format!("model/{tenant}/{name}")
}

fn version_key(tenant: &TenantId, name: &str, version: u64) -> String {
    format!("model-version/{tenant}/{name}/{}", number_key(version))
}

/// All that makes a version what it is, as one digest.
fn content_key(
    tenant: &TenantId,
    name: &str,
    model: &Digest,
    details: &Digest,
    baseline: Option<&BaselineRecord>,
) -> String {
    let baseline = baseline.map_or_else(String::new, |b| format!("{} {}", b.digest, b.content_type));
    let content = Digest::of(format!("{model} {details} {baseline}").as_bytes());
    format!("model-content/{tenant}/{name}/{}", content.hex())
}
