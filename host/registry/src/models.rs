//! Models: `name@number`, with signature, metadata and baseline; and aliases that point at a
//! version.
//!
//! Versions count 1, 2, 3, … without gaps, whoever registers at the same time. Registering the
//! same model file with the same signature, metadata and baseline again gives the version that is
//! there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;

use caisson_store::record::{self, Record, Stored};
use caisson_store::{BlobInfo, Digest, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::check_size;
use crate::names::{check_name, shorten};
use crate::retry::{Attempt, until_committed};
use crate::{LIST_ITEMS_MAX, List, Outcome, RegistryError, TenantId, json, now, reference};

/// Bytes of a model file: the most that one protobuf message, which an ONNX file is, can have.
pub const MODEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of a baseline. A hundred thousand rows of a hundred columns in a compact form.
pub const BASELINE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes of a baseline's content type.
const CONTENT_TYPE_BYTES_MAX: u64 = 128;
/// Bytes of a signature as JSON. With the metadata it must fit one record of 112 KiB.
pub const MODEL_SIGNATURE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the metadata as JSON: names, parameters and scores of a training run.
pub const MODEL_METADATA_BYTES_MAX: u64 = 32 * 1024;
/// Versions of one model: daily retraining for 27 years.
pub const MODEL_VERSIONS_MAX: u64 = 10_000;
/// Aliases of one model; each is a role, such as `champion`.
pub const ALIASES_MAX: usize = 32;

const KIND: &str = "model";
/// What [`VersionRef::Latest`] is written as; no alias may be called so.
const LATEST: &str = "latest";

/// Where a model's bytes are.
#[derive(Debug)]
pub enum ModelSource {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, which is copied.
    File(PathBuf),
    /// In the store: a stream that was written with [`caisson_store::Blobs::writer`].
    Blob(BlobInfo),
}

/// A model to register.
#[derive(Debug)]
pub struct ModelUpload {
    /// The model file.
    pub model: ModelSource,
    /// Names, types and shapes of inputs and outputs, as JSON of the caller's design.
    pub signature: Value,
    /// What else to keep with it.
    pub metadata: Value,
    /// The reference data that drift is measured against.
    pub baseline: Option<Baseline>,
}

/// Reference data and their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Media type of the bytes.
    pub content_type: String,
    /// The data.
    pub bytes: Vec<u8>,
}

/// A baseline in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRecord {
    /// Media type of the bytes.
    pub content_type: String,
    /// Digest of the data.
    pub digest: Digest,
    /// Bytes of the data.
    pub size: u64,
}

/// One registered version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The model's name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// Digest of the model file.
    pub digest: Digest,
    /// Bytes of the model file.
    pub size: u64,
    /// When it was registered: RFC 3339, UTC.
    pub created_at: String,
    /// Names, types and shapes of inputs and outputs.
    pub signature: Value,
    /// What else is kept with it.
    pub metadata: Value,
    /// The reference data.
    pub baseline: Option<BaselineRecord>,
}

impl Record for ModelRecord {
    const KIND: &'static str = "model version";
    const FORMAT: u32 = 1;
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub latest: u64,
    /// What each alias points at.
    pub aliases: BTreeMap<String, u64>,
    /// When its first version was registered: RFC 3339, UTC.
    pub created_at: String,
}

impl Record for Model {
    const KIND: &'static str = "model";
    const FORMAT: u32 = 1;
}

/// Which version has this content.
#[derive(Serialize, Deserialize)]
struct ContentRecord {
    version: u64,
}

impl Record for ContentRecord {
    const KIND: &'static str = "model content";
    const FORMAT: u32 = 1;
}

/// A version as people write it: `3`, `champion`, `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// By number.
    Number(u64),
    /// What the alias points at.
    Alias(String),
    /// The newest.
    Latest,
}

impl FromStr for VersionRef {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text == LATEST {
            return Ok(Self::Latest);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return text
                .parse()
                .map(Self::Number)
                .map_err(|_| RegistryError::InvalidVersion {
                    kind: KIND,
                    version: shorten(text),
                    detail: "use a number, an alias or `latest`".to_owned(),
                });
        }
        check_name("alias", text)?;
        Ok(Self::Alias(text.to_owned()))
    }
}

/// What an alias has to be for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasExpect {
    /// Anything.
    Any,
    /// Not set.
    Absent,
    /// Pointing at this version.
    Version(u64),
}

/// The models of a registry.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    store: &'a Store,
}

/// A model's parts, stored and checked, before it has a version.
struct Stage {
    digest: Digest,
    size: u64,
    signature: Value,
    metadata: Value,
    baseline: Option<BaselineRecord>,
    /// Digest of all of the above.
    content: Digest,
}

impl<'a> Models<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Register a version of a model.
    ///
    /// # Errors
    ///
    /// Those of a bad name, of parts that are too large, and of the storage.
    pub fn register(
        &self,
        tenant: &TenantId,
        name: &str,
        upload: ModelUpload,
    ) -> Result<Outcome<ModelRecord>, RegistryError> {
        check_name(KIND, name)?;
        let stage = self.stage(upload)?;
        let head_key = head_key(tenant, name);
        let content_key = format!("model-content/{tenant}/{name}/{}", stage.content.hex());
        let metadata = self.store.metadata();
        until_committed(
            self.store,
            || format!("model {name}"),
            || {
                if let Some(content) = record::get::<ContentRecord>(metadata, &content_key)? {
                    return Ok(Attempt {
                        ops: vec![content.check(&content_key)],
                        answer: Outcome::Unchanged(self.get(tenant, name, content.record.version)?),
                    });
                }
                let head = record::get::<Model>(metadata, &head_key)?;
                let new_head = next_head(name, head.as_ref())?;
                let version = new_head.latest;
                let record = ModelRecord {
                    name: name.to_owned(),
                    version,
                    digest: stage.digest,
                    size: stage.size,
                    created_at: now(),
                    signature: stage.signature.clone(),
                    metadata: stage.metadata.clone(),
                    baseline: stage.baseline.clone(),
                };
                Ok(Attempt {
                    ops: vec![
                        match &head {
                            Some(head) => head.replace(&head_key, &new_head)?,
                            None => record::create(&head_key, &new_head)?,
                        },
                        record::create(&version_key(tenant, name, version), &record)?,
                        record::create(&content_key, &ContentRecord { version })?,
                    ],
                    answer: Outcome::Created(record),
                })
            },
        )
    }

    /// Write the blobs and check everything that is attached.
    fn stage(&self, upload: ModelUpload) -> Result<Stage, RegistryError> {
        let signature = json::canonical("signature", &upload.signature, MODEL_SIGNATURE_BYTES_MAX)?;
        let metadata = json::canonical("metadata", &upload.metadata, MODEL_METADATA_BYTES_MAX)?;
        if let Some(baseline) = &upload.baseline {
            check_size(
                "baseline's content type",
                baseline.content_type.len(),
                CONTENT_TYPE_BYTES_MAX,
            )?;
            check_size("baseline", baseline.bytes.len(), BASELINE_BYTES_MAX)?;
        }
        let blobs = self.store.blobs();
        let model = match upload.model {
            ModelSource::Bytes(bytes) => {
                check_size("model", bytes.len(), MODEL_BYTES_MAX)?;
                blobs.put(&bytes)?
            }
            ModelSource::File(path) => {
                let file = File::open(&path).map_err(|e| RegistryError::Invalid {
                    what: "model file",
                    detail: format!("{}: {e}", path.display()),
                })?;
                blobs.put_from(file, MODEL_BYTES_MAX)?
            }
            ModelSource::Blob(info) if blobs.contains(&info.digest) => info,
            ModelSource::Blob(_) => {
                return Err(StoreError::BadRequest("the blob of a model was not written").into());
            }
        };
        let baseline = match upload.baseline {
            None => None,
            Some(Baseline { content_type, bytes }) => {
                let BlobInfo { digest, size } = blobs.put(&bytes)?;
                Some(BaselineRecord {
                    content_type,
                    digest,
                    size,
                })
            }
        };
        // Length first, so that no two different contents run together.
        let mut content = Vec::new();
        for part in [
            model.digest.to_string(),
            signature,
            metadata,
            baseline
                .as_ref()
                .map_or_else(String::new, |b| b.content_type.clone()),
            baseline
                .as_ref()
                .map_or_else(String::new, |b| b.digest.to_string()),
        ] {
            content.extend_from_slice(&(part.len() as u64).to_le_bytes());
            content.extend_from_slice(part.as_bytes());
        }
        Ok(Stage {
            digest: model.digest,
            size: model.size,
            signature: upload.signature,
            metadata: upload.metadata,
            baseline,
            content: Digest::of(&content),
        })
    }

    /// One version of a model.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::NoSuchVersion`]; those of a bad name; those of
    /// the storage.
    pub fn get(&self, tenant: &TenantId, name: &str, version: u64) -> Result<ModelRecord, RegistryError> {
        check_name(KIND, name)?;
        let key = version_key(tenant, name, version);
        if let Some(stored) = record::get::<ModelRecord>(self.store.metadata(), &key)? {
            return Ok(stored.record);
        }
        let model = self.head(tenant, name)?.record;
        Err(RegistryError::NoSuchVersion {
            kind: KIND,
            name: model.name,
            wanted: version.to_string(),
            available: vec![format!("1 to {}", model.latest)],
            hint: "",
        })
    }

    /// The models of a tenant by name, after the name `after` where that is given.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub fn list(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<List<Model>, RegistryError> {
        let after = after.map(|name| head_key(tenant, name));
        let limit = limit.clamp(1, LIST_ITEMS_MAX);
        let page = record::scan::<Model>(
            self.store.metadata(),
            &head_key(tenant, ""),
            after.as_deref(),
            limit,
        )?;
        Ok(List {
            next: page.next.and(page.records.last().map(|m| m.name.clone())),
            items: page.records,
        })
    }

    /// The versions of a model in order, after the version `after` where that is given.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`]; those of a bad name; those of the storage.
    pub fn versions(
        &self,
        tenant: &TenantId,
        name: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<List<ModelRecord>, RegistryError> {
        self.head(tenant, name)?;
        let prefix = format!("model-version/{tenant}/{name}/");
        let after = after.map(|version| version_key(tenant, name, version));
        let limit = limit.clamp(1, LIST_ITEMS_MAX);
        let page = record::scan::<ModelRecord>(self.store.metadata(), &prefix, after.as_deref(), limit)?;
        Ok(List {
            next: page.next.and(page.records.last().map(|m| m.version.to_string())),
            items: page.records,
        })
    }

    /// A model's newest version and its aliases.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`]; those of a bad name; those of the storage.
    pub fn model(&self, tenant: &TenantId, name: &str) -> Result<Model, RegistryError> {
        Ok(self.head(tenant, name)?.record)
    }

    /// What each alias of a model points at.
    ///
    /// # Errors
    ///
    /// As [`Models::model`].
    pub fn aliases(&self, tenant: &TenantId, name: &str) -> Result<BTreeMap<String, u64>, RegistryError> {
        Ok(self.model(tenant, name)?.aliases)
    }

    /// Point an alias at a version, if it is what the caller expects.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Moved`] where it is not; [`RegistryError::NoSuchVersion`];
    /// [`RegistryError::TooMany`]; as [`Models::model`].
    pub fn set_alias(
        &self,
        tenant: &TenantId,
        name: &str,
        alias: &str,
        version: u64,
        expect: AliasExpect,
    ) -> Result<(), RegistryError> {
        check_alias(alias)?;
        self.get(tenant, name, version)?;
        self.change_aliases(tenant, name, alias, expect, |aliases| {
            if aliases.len() >= ALIASES_MAX && !aliases.contains_key(alias) {
                return Err(RegistryError::TooMany {
                    what: format!("aliases of model {name}"),
                    max: ALIASES_MAX as u64,
                    hint: "remove one first",
                });
            }
            aliases.insert(alias.to_owned(), version);
            Ok(())
        })
    }

    /// Remove an alias, if it is what the caller expects.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Moved`] where it is not; as [`Models::model`].
    pub fn remove_alias(
        &self,
        tenant: &TenantId,
        name: &str,
        alias: &str,
        expect: AliasExpect,
    ) -> Result<(), RegistryError> {
        check_alias(alias)?;
        self.change_aliases(tenant, name, alias, expect, |aliases| {
            aliases.remove(alias);
            Ok(())
        })
    }

    fn change_aliases(
        &self,
        tenant: &TenantId,
        name: &str,
        alias: &str,
        expect: AliasExpect,
        change: impl Fn(&mut BTreeMap<String, u64>) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let key = head_key(tenant, name);
        until_committed(
            self.store,
            || format!("model {name}"),
            || {
                let head = self.head(tenant, name)?;
                let found = head.record.aliases.get(alias).copied();
                let expected = match expect {
                    AliasExpect::Any => found,
                    AliasExpect::Absent => None,
                    AliasExpect::Version(version) => Some(version),
                };
                if found != expected {
                    return Err(RegistryError::Moved {
                        what: format!("alias {alias} of model {name}"),
                        expected,
                        found,
                    });
                }
                let mut new_head = head.record.clone();
                change(&mut new_head.aliases)?;
                Ok(Attempt {
                    ops: vec![head.replace(&key, &new_head)?],
                    answer: (),
                })
            },
        )
    }

    /// The version that a reference means now; deployments keep the answer.
    ///
    /// # Errors
    ///
    /// As [`Models::get`].
    pub fn resolve(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &VersionRef,
    ) -> Result<ModelRecord, RegistryError> {
        let number = match version {
            VersionRef::Number(number) => *number,
            VersionRef::Latest => self.model(tenant, name)?.latest,
            VersionRef::Alias(alias) => {
                let model = self.model(tenant, name)?;
                match model.aliases.get(alias) {
                    Some(number) => *number,
                    None => {
                        return Err(RegistryError::NoSuchVersion {
                            kind: KIND,
                            name: name.to_owned(),
                            wanted: format!("with the alias {}", shorten(alias)),
                            available: model.aliases.keys().map(|a| format!("alias {a}")).collect(),
                            hint: "give a number, `latest`, or set the alias first",
                        });
                    }
                }
            }
        };
        self.get(tenant, name, number)
    }

    /// As [`Models::resolve`], of `name` (the newest version), `name@3`, `name@champion` or
    /// `name@latest`.
    ///
    /// # Errors
    ///
    /// As [`Models::get`]; those of a bad version.
    pub fn resolve_reference(
        &self,
        tenant: &TenantId,
        reference: &str,
    ) -> Result<ModelRecord, RegistryError> {
        let (name, version) = reference::split(KIND, reference)?;
        let version = version.map_or(Ok(VersionRef::Latest), str::parse)?;
        self.resolve(tenant, name, &version)
    }

    /// The model file, checked against its digest, for a runtime that loads by path. It must not
    /// be changed.
    ///
    /// # Errors
    ///
    /// Those of the storage: the blob may be missing or damaged.
    pub fn model_path(&self, record: &ModelRecord) -> Result<PathBuf, RegistryError> {
        Ok(self.store.blobs().path(&record.digest)?)
    }

    /// The reference data of a version, if it has any.
    ///
    /// # Errors
    ///
    /// Those of the storage: the blob may be missing or damaged.
    pub fn baseline(&self, record: &ModelRecord) -> Result<Option<Baseline>, RegistryError> {
        let Some(baseline) = &record.baseline else {
            return Ok(None);
        };
        Ok(Some(Baseline {
            content_type: baseline.content_type.clone(),
            bytes: self.store.blobs().read(&baseline.digest, BASELINE_BYTES_MAX)?,
        }))
    }

    fn head(&self, tenant: &TenantId, name: &str) -> Result<Stored<Model>, RegistryError> {
        check_name(KIND, name)?;
        record::get(self.store.metadata(), &head_key(tenant, name))?.ok_or_else(|| RegistryError::NotFound {
            kind: KIND,
            name: name.to_owned(),
            hint: "list the models to see what there is, or push it first",
        })
    }
}

fn head_key(tenant: &TenantId, name: &str) -> String {
    format!("model/{tenant}/{name}")
}

/// Digits enough that keys are in the order of the numbers.
fn version_key(tenant: &TenantId, name: &str, version: u64) -> String {
    format!("model-version/{tenant}/{name}/{version:020}")
}

fn check_alias(alias: &str) -> Result<(), RegistryError> {
    check_name("alias", alias)?;
    if alias == LATEST {
        return Err(RegistryError::Invalid {
            what: "alias",
            detail: "`latest` always means the newest version; use another name".to_owned(),
        });
    }
    Ok(())
}

fn next_head(name: &str, head: Option<&Stored<Model>>) -> Result<Model, RegistryError> {
    let mut model = match head {
        Some(head) => head.record.clone(),
        None => Model {
            name: name.to_owned(),
            latest: 0,
            aliases: BTreeMap::new(),
            created_at: now(),
        },
    };
    if model.latest >= MODEL_VERSIONS_MAX {
        return Err(RegistryError::TooMany {
            what: format!("versions of model {name}"),
            max: MODEL_VERSIONS_MAX,
            hint: "go on under another name",
        });
    }
    model.latest += 1;
    Ok(model)
}
