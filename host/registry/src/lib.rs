//! What a tenant has: plugins by semantic version, models by number, deployments by revision.
//!
//! Everything here is a record in [`caisson_store`]; what was registered never changes, and what
//! moves (aliases, the live revision) moves by compare-and-swap. Bytes are blobs, written before
//! the record that names them. This crate doesn't know what a plugin or a model *is*: whoever
//! calls [`Plugins::put`] has verified the component and read its manifest, whoever calls
//! [`Models::register`] has loaded the model and read its signature.
//!
//! Names of tenants, plugins, models, aliases, deployments and monitors follow one rule (see
//! [`check_name`]), so none of them can leave its place in a key, a path or a log line. Every
//! text, list and count is bounded by a constant next to its use.
//!
//! Calls are synchronous, and those that write wait for the disk: asynchronous callers put them
//! into `tokio::task::spawn_blocking`. A [`Registry`] is a handle: clone it into the closure.

mod deployments;
mod error;
mod json;
mod models;
mod names;
mod plugins;
mod reference;
mod retry;

use std::time::Duration;

use caisson_store::{Store, SweepReport};
use serde::{Deserialize, Serialize};

pub use deployments::{
    Deployment, DeploymentStore, LiveExpect, MONITOR_STATE_BYTES_MAX, MONITOR_STATES_MAX, MonitorState,
    PINNED_BYTES_MAX, Revision, RevisionRecord, SPEC_BYTES_MAX,
};
pub use error::{Class, RegistryError};
pub use models::{
    ALIASES_MAX, AliasExpect, BASELINE_BYTES_MAX, Baseline, BaselineRecord, MODEL_BYTES_MAX,
    MODEL_METADATA_BYTES_MAX, MODEL_SIGNATURE_BYTES_MAX, MODEL_VERSIONS_MAX, Model, ModelRecord, ModelSource,
    ModelUpload, Models, VersionRef,
};
pub use names::{NAME_BYTES_MAX, TenantId, check_name};
pub use plugins::{
    CONFIG_SCHEMA_BYTES_MAX, HELP_BYTES_MAX, IMPORT_BYTES_MAX, IMPORTS_MAX, PLUGIN_BYTES_MAX,
    PLUGIN_VERSIONS_MAX, Plugin, PluginRecord, PluginUpload, PluginVersion, Plugins,
};

/// Blobs younger than this are not swept: their record may be about to be written.
const ORPHAN_GRACE: Duration = Duration::from_secs(3600);
/// Items on a page of a list; a larger limit is cut to this.
pub const LIST_ITEMS_MAX: usize = 1000;

/// Plugins, models and deployments of all tenants in one store.
#[derive(Clone)]
pub struct Registry {
    store: Store,
}

impl Registry {
    /// The registry in this store. Blobs that no record names (a crash came between the two) are
    /// removed; see [`Store::sweep_orphans`].
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub fn open(store: Store) -> Result<(Self, SweepReport), RegistryError> {
        let report = store.sweep_orphans(ORPHAN_GRACE)?;
        Ok((Self { store }, report))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Plugins.
    pub fn plugins(&self) -> Plugins<'_> {
        Plugins::new(&self.store)
    }

    /// Models.
    pub fn models(&self) -> Models<'_> {
        Models::new(&self.store)
    }

    /// Deployments and their revisions.
    pub fn deployments(&self) -> DeploymentStore<'_> {
        DeploymentStore::new(&self.store)
    }
}

/// What registering something came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It is new.
    Created(T),
    /// The same was there before; this is it.
    Unchanged(T),
}

impl<T> Outcome<T> {
    /// What is registered, new or not.
    pub fn record(&self) -> &T {
        match self {
            Self::Created(record) | Self::Unchanged(record) => record,
        }
    }

    /// What is registered, new or not.
    pub fn into_record(self) -> T {
        match self {
            Self::Created(record) | Self::Unchanged(record) => record,
        }
    }

    /// Is it new?
    pub fn is_created(&self) -> bool {
        matches!(self, Self::Created(_))
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where there may be more: what to give as `after` for the next page.
    pub next: Option<String>,
}

/// Now, as RFC 3339 in UTC with milliseconds.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        let text = now();
        assert_eq!(text.len(), "2025-01-31T23:59:59.123Z".len(), "{text}");
        let time: jiff::Timestamp = text.parse().unwrap();
        let age = jiff::Timestamp::now().as_millisecond() - time.as_millisecond();
        assert!((0..60_000).contains(&age), "{text}");
    }
}
