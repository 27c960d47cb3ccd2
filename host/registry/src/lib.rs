//! Plugins, models and deployments of tenants: names, versions, digests.
//!
//! - [`Plugins`]: immutable `name@semver`, resolved from requirements such as `name@^1.2`; signed,
//!   and yanked where nothing new should use them. [`signature`] is the form of the signatures.
//! - [`Models`]: versions numbered from 1 without gaps, with their lineage and approval; aliases moved
//!   by compare-and-set.
//! - [`DeploymentStore`]: immutable revisions, pinned to what they are built on, and one pointer that
//!   says which is live.
//! - [`usage`]: how much a tenant has.
//!
//! Everything belongs to a [`TenantId`], which is part of every key: there is no call that could
//! return another tenant's record, but for the plugins of [`TenantId::std`], which everyone may use.
//! Bytes are blobs by digest; a record is written after the blobs that it names. Calls are synchronous
//! and may wait for the disk.

mod deployments;
mod error;
mod forget;
mod ledger;
mod models;
mod names;
mod plugins;
pub mod signature;
pub mod table;
pub mod text;

pub use caisson_store::Digest;
pub use deployments::{
    DeploymentStore, FittedState, ModelPin, NewRevision, Origin, Pins, RevisionRecord, RevisionSummary,
    Shown, SpecChange, SpecDiff,
};
pub use error::RegistryError;
pub use forget::forget;
pub use ledger::{Usage, usage};
pub use models::{
    AliasChange, Baseline, BaselineRecord, Deletion, FourEyes, Lineage, ModelRecord, ModelUpload, Models,
    Parent, Source, Stage, Transition, TransitionRecord, VersionRef,
};
pub use names::{NAME_CHARS_MAX, NAME_PATTERN, TenantId, check as check_name, check_model_name, shown};
pub use plugins::{
    PluginDeletion, PluginRecord, PluginRef, PluginUpload, Plugins, Provenance, SignatureRecord, Wanted, Yank,
};

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
