//! Deleting a version that nothing uses.
//!
//! Its number is never given out again, its history of stages and aliases stays, and its blobs go
//! with the next sweep of the store.

use caisson_store::record;
use caisson_store::{Expect, Op};

use super::{Deletion, Models, content_key, head_key, version_key};
use crate::deployments::DeploymentStore;
use crate::ledger::Opened;
use crate::names::{self, TenantId};
use crate::table::{Attempt, change, number_key};
use crate::text::{check_actor, check_why};
use crate::{RegistryError, now};

impl Models {
    /// Delete a version.
    ///
    /// # Errors
    ///
    /// [`RegistryError::InUse`] while an alias points at it or a live deployment is built on it; no
    /// such version; the store.
    pub fn delete(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        by: &str,
        why: &str,
    ) -> Result<Deletion, RegistryError> {
        check_actor(by)?;
        check_why(why)?;
        let deployments = DeploymentStore::new(self.store.clone());
        change(&self.store, name, || {
            // Before looking for users: a deployment that goes live meanwhile changes the ledger, and
            // an alias that moves changes the head.
            let ledger = Opened::read(&self.store, tenant)?;
            let stored = self.stored_version(tenant, name, version)?;
            let Some(head) = self.head(tenant, name)? else {
                return Err(RegistryError::Contended(name.to_owned()));
            };
            let aliases = head.record.aliases.iter().filter(|(_, at)| **at == version);
            let mut users: Vec<String> = aliases.map(|(alias, _)| format!("alias {alias}")).collect();
            users.extend(deployments.users_of_model(tenant, name, version)?);
            if !users.is_empty() {
                return Err(RegistryError::InUse {
                    what: format!("{name}@{version}"),
                    users,
                });
            }
            let mut new = head.record.clone();
            new.deleted += 1;
            if head.record.newest() == Some(version) {
                let others = self.version_records(tenant, name)?;
                new.newest = others
                    .iter()
                    .map(|record| record.version)
                    .rfind(|&other| other != version);
            }
            let bytes = self.stored_bytes(&stored.record)?;
            let gone = &stored.record;
            let content = content_key(tenant, name, &gone.digest, &gone.details, gone.baseline.as_ref());
            let deletion = Deletion {
                name: name.to_owned(),
                version,
                by: by.to_owned(),
                why: why.to_owned(),
                at: now(),
            };
            let key = version_key(tenant, name, version);
            let ops = vec![
                ledger.change(|usage| {
                    usage.models = usage.models.saturating_sub(u64::from(new.versions() == 0));
                    usage.model_versions = usage.model_versions.saturating_sub(1);
                    usage.stored_bytes = usage.stored_bytes.saturating_sub(bytes);
                })?,
                head.replace(&head_key(tenant, name), &new)?,
                Op::delete(key, stored.unchanged()),
                Op::delete(content, Expect::Any),
                record::create(&deletion_key(tenant, name, version), &deletion)?,
            ];
            Ok(Attempt {
                ops,
                answer: deletion,
            })
        })
    }

    /// Who deleted a version, if it was.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn deletion(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
    ) -> Result<Option<Deletion>, RegistryError> {
        names::check("model", name)?;
        let found = record::get(self.store.metadata(), &deletion_key(tenant, name, version))?;
        Ok(found.map(|stored| stored.record))
    }
}

fn deletion_key(tenant: &TenantId, name: &str, version: u64) -> String {
    format!("model-deleted/{tenant}/{name}/{}", number_key(version))
}
