//! One record of a tenant that everything goes through which makes or removes a version or changes
//! what is live.
//!
//! Key `ledger/{tenant}`. It says how much a tenant has, for quotas, so that asking costs one read
//! however much that is. And it orders what must not cross: who deletes a version replaces the
//! ledger that was read before looking for users of the version, and who makes a revision live
//! replaces the one that was read before looking for the versions that it names. Of two that overlap
//! one finds the ledger changed and looks again.
//!
//! A store from before there were ledgers has none: the first change counts what is there.

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Op, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::TenantId;
use crate::{RegistryError, deployments, models, plugins};

/// How much a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Names of plugins.
    pub plugins: u64,
    /// Versions of plugins, yanked ones included.
    pub plugin_versions: u64,
    /// Models that have a version.
    pub models: u64,
    /// Versions of models.
    pub model_versions: u64,
    /// Live deployments.
    pub deployments: u64,
    /// Bytes of components, models, their descriptions and baselines, and of the specs of all
    /// revisions. What two of them share counts for both: what one costs doesn't depend on another.
    pub stored_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Counts the changes, so that no two of a tenant's ledgers are the same bytes.
    changes: u64,
    #[serde(flatten)]
    usage: Usage,
}

impl Record for Ledger {
    const KIND: &'static str = "ledger";
    const FORMAT: u32 = 1;
}

/// A ledger as it was read: taken before anything is looked up that a commit will rest on.
pub(crate) struct Opened {
    key: String,
    stored: Option<Stored<Ledger>>,
    ledger: Ledger,
}

impl Opened {
    /// The tenant's ledger.
    pub(crate) fn read(store: &Store, tenant: &TenantId) -> Result<Self, RegistryError> {
        let key = format!("ledger/{tenant}");
        let stored = record::get::<Ledger>(store.metadata(), &key)?;
        let ledger = match &stored {
            Some(stored) => stored.record,
            None => Ledger {
                changes: 0,
                usage: count(store, tenant)?,
            },
        };
        Ok(Self { key, stored, ledger })
    }

    /// The operation that makes a commit fail if the ledger changed since it was read.
    pub(crate) fn change(&self, edit: impl FnOnce(&mut Usage)) -> Result<Op, RegistryError> {
        let mut new = self.ledger;
        new.changes += 1;
        edit(&mut new.usage);
        Ok(match &self.stored {
            Some(stored) => stored.replace(&self.key, &new)?,
            None => record::create(&self.key, &new)?,
        })
    }
}

/// How much a tenant has: one read.
///
/// # Errors
///
/// The store.
pub fn usage(store: &Store, tenant: &TenantId) -> Result<Usage, RegistryError> {
    Ok(Opened::read(store, tenant)?.ledger.usage)
}

/// Count everything.
fn count(store: &Store, tenant: &TenantId) -> Result<Usage, RegistryError> {
    let mut usage = Usage::default();
    plugins::count(store, tenant, &mut usage)?;
    models::count(store, tenant, &mut usage)?;
    deployments::count(store, tenant, &mut usage)?;
    Ok(usage)
}
