//! What is kept of a deployment and of its revisions.

use caisson_store::Digest;
use caisson_store::record::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pins::Pins;

/// A revision about to be made.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// The spec, every reference pinned.
    pub spec: Value,
    /// What it is built on.
    pub pins: Pins,
    /// Who makes it.
    pub author: String,
    /// Why, in the author's words.
    pub message: Option<String>,
    /// How it came about.
    pub origin: Origin,
}

/// How a revision came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// Someone sent a spec.
    #[default]
    Apply,
    /// Someone went back to an earlier revision.
    Rollback {
        /// Its number.
        of: u64,
    },
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RevisionRecord {
    /// The deployment.
    pub name: String,
    /// Counted from 1; never used twice, not even after a deletion.
    pub number: u64,
    /// The spec, every reference pinned.
    pub spec: Value,
    /// What it is built on; `None` for revisions from before that was kept.
    pub pins: Option<Pins>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: Option<String>,
    /// How it came about.
    pub origin: Origin,
    /// When, RFC 3339.
    pub created_at: String,
}

/// A revision without its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RevisionSummary {
    /// Counted from 1.
    pub number: u64,
    /// Is it the live one?
    pub live: bool,
    /// Who made it.
    pub author: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How it came about.
    pub origin: Origin,
    /// When, RFC 3339.
    pub created_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredRevision {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) spec: Digest,
    pub(super) author: String,
    pub(super) created_at: String,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) origin: Origin,
    #[serde(default)]
    pub(super) pins: Option<Pins>,
    /// Bytes of the spec, none for a rollback's; `None` in a record from before that was kept.
    #[serde(default)]
    pub(super) stored_bytes: Option<u64>,
}

impl Record for StoredRevision {
    const KIND: &'static str = "revision";
    /// 2: what it is pinned to, which a release that doesn't know it wouldn't hold it to.
    const FORMAT: u32 = 2;
}

impl StoredRevision {
    pub(super) fn with_spec(self, spec: Value) -> RevisionRecord {
        RevisionRecord {
            name: self.name,
            number: self.number,
            spec,
            pins: self.pins,
            author: self.author,
            message: self.message,
            origin: self.origin,
            created_at: self.created_at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) name: String,
    /// The live revision; `None` when deleted.
    pub(super) live: Option<u64>,
    /// The highest number given out.
    pub(super) latest: u64,
}

impl Record for Pointer {
    const KIND: &'static str = "deployment";
    const FORMAT: u32 = 1;
}
