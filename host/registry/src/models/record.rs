//! What is kept of a model and of its versions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use caisson_store::Digest;
use caisson_store::record::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approval::Stage;
use super::lineage::Lineage;
use crate::RegistryError;
use crate::names;

/// The name that means the newest version; no alias can have it.
pub(super) const LATEST: &str = "latest";

/// Reference rows, as uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// `text/csv`.
    pub content_type: String,
    /// The rows.
    pub bytes: Vec<u8>,
}

/// Where a version's baseline is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineRecord {
    /// `text/csv`.
    pub content_type: String,
    /// Its digest.
    pub digest: Digest,
}

/// A model version about to be registered; its file was checked before.
#[derive(Debug, Clone, Default)]
pub struct ModelUpload {
    /// The ONNX file.
    pub file: PathBuf,
    /// Inputs and outputs.
    pub signature: Value,
    /// What the uploader says of it.
    pub metadata: Value,
    /// Reference rows.
    pub baseline: Option<Baseline>,
    /// How good it is: names and numbers.
    pub metrics: BTreeMap<String, f64>,
    /// Digest of the training data, `sha256:…`.
    pub training_data_digest: Option<String>,
    /// What it was made from.
    pub lineage: Lineage,
    /// A page for people; can be changed later.
    pub description: String,
    /// Keys and values; can be changed later.
    pub tags: BTreeMap<String, String>,
    /// Who registers it.
    pub created_by: String,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelRecord {
    /// The model's name.
    pub name: String,
    /// Counted from 1; never used twice, not even after a deletion.
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
    /// How good it is.
    pub metrics: BTreeMap<String, f64>,
    /// Digest of the training data.
    pub training_data_digest: Option<String>,
    /// What it was made from.
    pub lineage: Lineage,
    /// A page for people.
    pub description: String,
    /// Keys and values.
    pub tags: BTreeMap<String, String>,
    /// How far it is approved.
    pub stage: Stage,
    /// When it was registered, RFC 3339.
    pub created_at: String,
    /// Who registered it; empty for versions from before that was kept.
    pub created_by: String,
}

/// The small part of a version. All but `description`, `tags` and what belongs to the stage stays as
/// it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionRecord {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) baseline: Option<BaselineRecord>,
    pub(super) details: Digest,
    pub(super) created_at: String,
    #[serde(default)]
    pub(super) created_by: String,
    /// Bytes of file, details and baseline; `None` in a record from before that was kept.
    #[serde(default)]
    pub(super) stored_bytes: Option<u64>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) stage: Stage,
    /// Who asked for the approval that is pending or was given.
    #[serde(default)]
    pub(super) requested_by: Option<String>,
    /// The person whose key that was, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) requested_for: Option<String>,
    /// Changes of the stage so far.
    #[serde(default)]
    pub(super) transitions: u64,
}

impl Record for VersionRecord {
    const KIND: &'static str = "model version";
    /// 2: it can change, and a release that doesn't know the new fields would drop them.
    const FORMAT: u32 = 2;
}

/// Which version has this content.
#[derive(Serialize, Deserialize)]
pub(super) struct ContentRecord {
    pub(super) version: u64,
}

impl Record for ContentRecord {
    const KIND: &'static str = "model content";
    const FORMAT: u32 = 1;
}

/// The large part of a version: a blob. Without the later fields it is, to the byte, what it was
/// before there were any, so an old version is found again.
#[derive(Serialize, Deserialize)]
pub(super) struct Details {
    pub(super) signature: Value,
    pub(super) metadata: Value,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metrics: BTreeMap<String, f64>,
    // The other name is that of the first records.
    #[serde(default, alias = "training_data", skip_serializing_if = "Option::is_none")]
    pub(super) training_data_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Lineage::is_unknown")]
    pub(super) lineage: Lineage,
}

/// One model: how many versions, and where each alias points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) name: String,
    /// The highest number given out.
    pub(super) latest: u64,
    pub(super) aliases: BTreeMap<String, u64>,
    /// Versions that were deleted.
    #[serde(default)]
    pub(super) deleted: u64,
    /// The highest version that there is; `None` if it is `latest`, or if there is none.
    #[serde(default)]
    pub(super) newest: Option<u64>,
    /// Changes of aliases so far.
    #[serde(default)]
    pub(super) alias_changes: u64,
}

impl Record for Head {
    const KIND: &'static str = "model";
    /// 2: versions can be missing.
    const FORMAT: u32 = 2;
}

impl Head {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            latest: 0,
            aliases: BTreeMap::new(),
            deleted: 0,
            newest: None,
            alias_changes: 0,
        }
    }

    /// Versions that there are.
    pub(super) fn versions(&self) -> u64 {
        self.latest.saturating_sub(self.deleted)
    }

    /// The highest version that there is.
    pub(super) fn newest(&self) -> Option<u64> {
        (self.versions() > 0).then(|| self.newest.unwrap_or(self.latest))
    }
}

/// A version that was deleted. It keeps no blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ModelDeletion")]
pub struct Deletion {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Who deleted it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Record for Deletion {
    const KIND: &'static str = "deleted model version";
    const FORMAT: u32 = 1;
}

/// A version as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// That one.
    Number(u64),
    /// The highest that there is.
    Latest,
    /// Where this alias points.
    Alias(String),
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
            Self::Latest => f.write_str(LATEST),
            Self::Alias(name) => f.write_str(name),
        }
    }
}
