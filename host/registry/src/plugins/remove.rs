//! Deleting a version that nothing uses.
//!
//! Only one that is yanked, so that nothing new comes to need it, and that no revision is built on to
//! which a deployment that is served can go back. Its name and version are never given to other bytes,
//! and its component goes with the next sweep of the store, unless another record names it: another
//! tenant's plugin, or a revision in the history of a deployment that was deleted.

use caisson_store::Op;
use caisson_store::record::{self as records, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plugins, key, parse_version};
use crate::deployments::DeploymentStore;
use crate::ledger::Opened;
use crate::names::{self, TenantId};
use crate::plugins::{PluginRef, Wanted};
use crate::table::{Attempt, change};
use crate::text::{check_actor, check_why};
use crate::{RegistryError, now};

/// A plugin version that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginDeletion {
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it was: SHA-256 in hexadecimal, and not as records name the blobs that they keep.
    pub sha256: String,
    /// Who deleted it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Record for PluginDeletion {
    const KIND: &'static str = "deleted plugin";
    const FORMAT: u32 = 1;
}

impl Plugins {
    /// Delete a version.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotYanked`]; [`RegistryError::InUse`] while a revision of a deployment that is
    /// live is built on it; no such version; the store.
    pub fn delete(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &str,
        by: &str,
        why: &str,
    ) -> Result<PluginDeletion, RegistryError> {
        check_actor(by)?;
        check_why(why)?;
        names::check("plugin", name)?;
        let version = parse_version(version)?;
        let (key, grave) = (key(tenant, name, &version), deletion_key(tenant, name, &version));
        let reference = PluginRef {
            std: false,
            name: name.to_owned(),
            wanted: Wanted::Exact(version.clone()),
        };
        let deployments = DeploymentStore::new(self.store.clone());
        change(&self.store, name, || {
            // Before looking for users: a revision that is made meanwhile changes the ledger.
            let ledger = Opened::read(&self.store, tenant)?;
            let Some(stored) = self.stored(&key)? else {
                return Err(self.not_found(tenant, &reference)?);
            };
            let gone = &stored.record;
            if gone.yanked.is_none() {
                return Err(RegistryError::NotYanked(reference.to_string()));
            }
            let users = deployments.users_of_plugin(tenant, &reference)?;
            if !users.is_empty() {
                return Err(RegistryError::InUse {
                    what: reference.to_string(),
                    users,
                });
            }
            let last = self.versions(tenant, name)?.len() == 1;
            let deletion = PluginDeletion {
                name: name.to_owned(),
                version: version.to_string(),
                sha256: gone.digest.hex(),
                by: by.to_owned(),
                why: why.to_owned(),
                at: now(),
            };
            let buried = match records::get::<PluginDeletion>(self.store.metadata(), &grave)? {
                Some(earlier) => earlier.replace(&grave, &deletion)?,
                None => records::create(&grave, &deletion)?,
            };
            let ops = vec![
                ledger.change(|usage| {
                    usage.plugins = usage.plugins.saturating_sub(u64::from(last));
                    usage.plugin_versions = usage.plugin_versions.saturating_sub(1);
                    usage.stored_bytes = usage.stored_bytes.saturating_sub(gone.size);
                })?,
                Op::delete(key.clone(), stored.unchanged()),
                buried,
            ];
            Ok(Attempt {
                ops,
                answer: deletion,
            })
        })
    }

    /// Refuse other bytes for a version that was deleted.
    pub(super) fn check_not_buried(
        &self,
        tenant: &TenantId,
        record: &super::PluginRecord,
    ) -> Result<(), RegistryError> {
        let grave = deletion_key(tenant, &record.name, &record.version);
        match records::get::<PluginDeletion>(self.store.metadata(), &grave)? {
            Some(found) if found.record.sha256 != record.digest.hex() => Err(RegistryError::PluginGone {
                name: record.name.clone(),
                version: record.version.to_string(),
                existing: found.record.sha256,
            }),
            _ => Ok(()),
        }
    }
}

fn deletion_key(tenant: &TenantId, name: &str, version: &semver::Version) -> String {
    format!("plugin-deleted/{tenant}/{name}/{version}")
}
