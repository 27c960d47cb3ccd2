//! Models: versions numbered from 1 without gaps, and aliases.
//!
//! Keys `model/{tenant}/{name}` (the head: how many versions, and where each alias points),
//! `model-version/{tenant}/{name}/{number}`, and `model-content/{tenant}/{name}/{digest}`, which
//! says which version has this file, signature, metadata and baseline. A version's signature and
//! metadata may be large, so they are a blob of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Digest, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change, number_key};
use crate::{Outcome, RegistryError, now};

/// Versions of one model, and models in one list.
const VERSIONS_MAX: usize = 100_000;
/// Aliases of one model: `champion`, `challenger` and a few more.
const ALIASES_MAX: usize = 64;
/// Bytes of an ONNX file; protobuf ends there.
const MODEL_BYTES_MAX: u64 = 2 << 30;
/// Bytes of signature and metadata, as JSON.
const DETAILS_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a baseline.
const BASELINE_BYTES_MAX: u64 = 1 << 30;

/// Reference rows, as uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// `text/csv`.
    pub content_type: String,
    /// The rows.
    pub bytes: Vec<u8>,
}

/// Where a version's baseline is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRecord {
    /// `text/csv`.
    pub content_type: String,
    /// Its digest.
    pub digest: Digest,
}

/// A model version about to be registered; its file was checked before.
#[derive(Debug)]
pub struct ModelUpload {
    /// The ONNX file.
    pub file: PathBuf,
    /// Inputs and outputs.
    pub signature: Value,
    /// What the uploader says of it.
    pub metadata: Value,
    /// Reference rows.
    pub baseline: Option<Baseline>,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    /// The model's name.
    pub name: String,
    /// Counted from 1.
    pub version: u64,
    /// Digest of the ONNX file.
    pub digest: Digest,
    /// Bytes of the ONNX file.
    pub size: u64,
    /// Reference rows.
    pub baseline: Option<BaselineRecord>,
    /// Inputs and outputs.
    pub signature: Value,
    /// What the uploader says of it.
    pub metadata: Value,
    /// When it was registered, RFC 3339.
    pub created_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct VersionRecord {
    name: String,
    version: u64,
    digest: Digest,
    size: u64,
    baseline: Option<BaselineRecord>,
    details: Digest,
    created_at: String,
}

impl Record for VersionRecord {
    const KIND: &'static str = "model version";
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct ContentRecord {
    version: u64,
}

impl Record for ContentRecord {
    const KIND: &'static str = "model content";
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct Details {
    signature: Value,
    metadata: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    name: String,
    latest: u64,
    aliases: BTreeMap<String, u64>,
}

impl Record for Head {
    const KIND: &'static str = "model";
    const FORMAT: u32 = 1;
}

/// A version as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// That one.
    Number(u64),
    /// The highest.
    Latest,
    /// Where this alias points.
    Alias(String),
}

impl FromStr for VersionRef {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|&n| n > 0)
                .map(Self::Number)
                .ok_or_else(|| RegistryError::Version {
                    what: "model version",
                    text: names::shown(text),
                    reason: "versions are whole numbers from 1".to_owned(),
                });
        }
        names::check("alias", text)?;
        Ok(Self::Alias(text.to_owned()))
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Latest => f.write_str("latest"),
            Self::Alias(name) => f.write_str(name),
        }
    }
}

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

    /// Register a version. The same file, signature, metadata and baseline as an existing version's
    /// give that version, unchanged.
    ///
    /// # Errors
    ///
    /// Not a name; too many versions; the file can't be read; the store.
    pub fn register(
        &self,
        tenant: &TenantId,
        name: &str,
        upload: ModelUpload,
    ) -> Result<Outcome<ModelRecord>, RegistryError> {
        names::check("model", name)?;
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
            signature: upload.signature,
            metadata: upload.metadata,
        };
        let text = serde_json::to_vec(&details)
            .map_err(|_| RegistryError::Store(StoreError::BadRequest("metadata that JSON can't hold")))?;
        if text.len() as u64 > DETAILS_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of signature and metadata".into(),
                max: DETAILS_BYTES_MAX,
            });
        }
        let described = blobs.put(&text)?;
        let baseline = match upload.baseline {
            None => None,
            Some(given) => Some(BaselineRecord {
                content_type: given.content_type,
                digest: blobs.put(&given.bytes)?.digest,
            }),
        };
        let content_key = content_key(tenant, name, &model.digest, &described.digest, baseline.as_ref());
        let outcome = change(&self.store, name, || {
            if let Some(content) = record::get::<ContentRecord>(self.store.metadata(), &content_key)? {
                let existing = self.version(tenant, name, content.record.version)?;
                return Ok(Attempt {
                    ops: vec![content.check(&content_key)],
                    answer: Outcome::Unchanged(existing),
                });
            }
            let head = self.head(tenant, name)?;
            let latest = head.as_ref().map_or(0, |h| h.record.latest);
            if latest as usize >= VERSIONS_MAX {
                return Err(RegistryError::TooMany {
                    what: format!("versions of `{name}`"),
                    max: VERSIONS_MAX as u64,
                });
            }
            let record = VersionRecord {
                name: name.to_owned(),
                version: latest + 1,
                digest: model.digest,
                size: model.size,
                baseline: baseline.clone(),
                details: described.digest,
                created_at: now(),
            };
            let ops = vec![
                head_op(tenant, name, head, |head| head.latest = record.version)?,
                record::create(&version_key(tenant, name, record.version), &record)?,
                record::create(
                    &content_key,
                    &ContentRecord {
                        version: record.version,
                    },
                )?,
            ];
            Ok(Attempt {
                ops,
                answer: Outcome::Created(record),
            })
        })?;
        let full = |record: VersionRecord| with_details(record, details);
        Ok(match outcome {
            Outcome::Created(record) => Outcome::Created(full(record)),
            Outcome::Unchanged(record) => Outcome::Unchanged(full(record)),
        })
    }

    /// The latest version of every model, by name.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn list(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, RegistryError> {
        let heads: Vec<Head> = table::list(&self.store, &format!("model/{tenant}/"), VERSIONS_MAX)?;
        heads
            .iter()
            .map(|head| self.full(self.version(tenant, &head.name, head.latest)?))
            .collect()
    }

    /// Every version of one model; none if there is no such model.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<ModelRecord>, RegistryError> {
        if names::check("model", name).is_err() {
            return Ok(Vec::new());
        }
        let prefix = format!("model-version/{tenant}/{name}/");
        let records: Vec<VersionRecord> = table::list(&self.store, &prefix, VERSIONS_MAX)?;
        records.into_iter().map(|record| self.full(record)).collect()
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
            VersionRef::Latest => head.latest,
            VersionRef::Number(n) if (1..=head.latest).contains(n) => *n,
            VersionRef::Number(_) => return Err(missing(format!("; its versions are 1 to {}", head.latest))),
            VersionRef::Alias(alias) => *head.aliases.get(alias).ok_or_else(|| {
                let known: Vec<&str> = head.aliases.keys().map(String::as_str).collect();
                missing(format!(
                    "; its aliases are {known:?}, its latest version is {}",
                    head.latest
                ))
            })?,
        };
        self.full(self.version(tenant, name, number)?)
    }

    /// Move an alias to a version, if it points where `expect` says (`None`: nowhere).
    ///
    /// # Errors
    ///
    /// [`RegistryError::AliasMoved`]; no such version; too many aliases.
    pub fn set_alias(
        &self,
        tenant: &TenantId,
        name: &str,
        alias: &str,
        version: u64,
        expect: Option<u64>,
    ) -> Result<(), RegistryError> {
        names::check("alias", alias)?;
        self.resolve(tenant, name, &VersionRef::Number(version))?;
        change(&self.store, name, || {
            let head = self.head(tenant, name)?;
            let aliases = head
                .as_ref()
                .map(|h| h.record.aliases.clone())
                .unwrap_or_default();
            let found = aliases.get(alias).copied();
            if found != expect {
                let say = |v: Option<u64>| v.map_or_else(|| "nothing".to_owned(), |v| format!("version {v}"));
                return Err(RegistryError::AliasMoved {
                    alias: alias.to_owned(),
                    found: say(found),
                    expected: say(expect),
                });
            }
            if found.is_none() && aliases.len() >= ALIASES_MAX {
                return Err(RegistryError::TooMany {
                    what: format!("aliases of `{name}`"),
                    max: ALIASES_MAX as u64,
                });
            }
            let op = head_op(tenant, name, head, |head| {
                head.aliases.insert(alias.to_owned(), version);
            })?;
            Ok(Attempt {
                ops: vec![op],
                answer: (),
            })
        })
    }

    /// Where each alias points.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn aliases(&self, tenant: &TenantId, name: &str) -> Result<BTreeMap<String, u64>, RegistryError> {
        Ok(self
            .head(tenant, name)?
            .map(|h| h.record.aliases)
            .unwrap_or_default())
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

    fn head(&self, tenant: &TenantId, name: &str) -> Result<Option<Stored<Head>>, RegistryError> {
        Ok(record::get(self.store.metadata(), &head_key(tenant, name))?)
    }

    fn version(&self, tenant: &TenantId, name: &str, version: u64) -> Result<VersionRecord, RegistryError> {
        let key = version_key(tenant, name, version);
        match record::get::<VersionRecord>(self.store.metadata(), &key)? {
            Some(stored) => Ok(stored.record),
            None => Err(RegistryError::NotFound {
                what: "model",
                name: format!("{name}@{version}"),
                hint: String::new(),
            }),
        }
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
        created_at: record.created_at,
    }
}

/// Change the head as it was read, or make it.
fn head_op(
    tenant: &TenantId,
    name: &str,
    head: Option<Stored<Head>>,
    edit: impl FnOnce(&mut Head),
) -> Result<caisson_store::Op, RegistryError> {
    let key = head_key(tenant, name);
    Ok(match head {
        Some(stored) => {
            let mut new = stored.record.clone();
            edit(&mut new);
            stored.replace(&key, &new)?
        }
        None => {
            let mut new = Head {
                name: name.to_owned(),
                latest: 0,
                aliases: BTreeMap::new(),
            };
            edit(&mut new);
            record::create(&key, &new)?
        }
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
