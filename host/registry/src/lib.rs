//! Plugins, models and deployments of tenants: names, versions, digests.
//!
//! - [`Plugins`]: immutable `name@semver`, resolved from requirements such as `name@^1.2`.
//! - [`Models`]: versions numbered from 1 without gaps; aliases moved by compare-and-set.
//! - [`DeploymentStore`]: immutable revisions, and one pointer that says which is live.
//!
//! Everything belongs to a [`TenantId`], which is part of every key: there is no call that could
//! return another tenant's record. Bytes are blobs by digest; a record is written after the blobs
//! that it names. Calls are synchronous and may wait for the disk.

mod deployments;
mod error;
mod models;
mod names;
mod plugins;
pub mod table;

pub use deployments::{DeploymentStore, RevisionRecord};
pub use error::RegistryError;
pub use models::{Baseline, ModelRecord, ModelUpload, Models, VersionRef};
pub use names::{TenantId, check as check_name, check_model_name, shown};
pub use plugins::{PluginRecord, PluginUpload, Plugins};

/// What storing something did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It is new.
    Created(R),
    /// It was there already, the same to the byte.
    Unchanged(R),
}

impl<R> Outcome<R> {
    /// The record, new or not.
    pub fn into_record(self) -> R {
        match self {
            Self::Created(record) | Self::Unchanged(record) => record,
        }
    }
}

/// The time now, RFC 3339 in UTC with milliseconds.
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
        .to_string()
}
