//! Aliases: names such as `champion` for a version, moved by compare-and-set.
//!
//! Where they point stands in the model's head; keys `alias-change/{tenant}/{name}/{number}` say how
//! they got there, one sequence for all aliases of a model, written in the same commit.

use std::collections::BTreeMap;

use caisson_store::record::{self, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::LATEST;
use super::{Models, head_key};
use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change, number_key};
use crate::text::check_actor;
use crate::{RegistryError, now};

/// Aliases of one model: `champion`, `challenger` and a few more.
const ALIASES_MAX: usize = 64;

/// A move of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AliasChange {
    /// Counted from 1 in each model.
    pub number: u64,
    /// The alias.
    pub alias: String,
    /// Where it pointed; nowhere if it was new.
    pub from: Option<u64>,
    /// Where it points since; nowhere if it was removed.
    pub to: Option<u64>,
    /// Who moved it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Record for AliasChange {
    const KIND: &'static str = "alias change";
    const FORMAT: u32 = 1;
}

impl Models {
    /// Move an alias to a version (`None`: remove it), if it points where `expect` says (`None`:
    /// nowhere).
    ///
    /// # Errors
    ///
    /// [`RegistryError::AliasMoved`]; no such model or version; too many aliases; `latest`, which is
    /// always the newest version.
    pub fn set_alias(
        &self,
        tenant: &TenantId,
        name: &str,
        alias: &str,
        to: Option<u64>,
        expect: Option<u64>,
        by: &str,
    ) -> Result<AliasChange, RegistryError> {
        names::check("alias", alias)?;
        check_actor(by)?;
        if alias == LATEST {
            return Err(RegistryError::Text {
                what: format!("the alias `{LATEST}`"),
                reason: "it always means the newest version; use another name".to_owned(),
            });
        }
        change(&self.store, name, || {
            let Some(stored) = self.head(tenant, name)? else {
                return Err(RegistryError::NotFound {
                    what: "model",
                    name: names::shown(name),
                    hint: String::new(),
                });
            };
            // After the head was read: a deletion changes the head.
            if let Some(version) = to {
                self.stored_version(tenant, name, version)?;
            }
            let mut head = stored.record.clone();
            let from = head.aliases.get(alias).copied();
            if from != expect {
                let say = |v: Option<u64>| v.map_or_else(|| "nothing".to_owned(), |v| format!("version {v}"));
                return Err(RegistryError::AliasMoved {
                    alias: alias.to_owned(),
                    found: say(from),
                    expected: say(expect),
                });
            }
            if from.is_none() && to.is_none() {
                return Err(RegistryError::NotFound {
                    what: "alias",
                    name: format!("{name}@{alias}"),
                    hint: String::new(),
                });
            }
            match to {
                Some(version) => head.aliases.insert(alias.to_owned(), version),
                None => head.aliases.remove(alias),
            };
            if head.aliases.len() > ALIASES_MAX {
                return Err(RegistryError::TooMany {
                    what: format!("aliases of `{name}`"),
                    max: ALIASES_MAX as u64,
                });
            }
            head.alias_changes += 1;
            let made = AliasChange {
                number: head.alias_changes,
                alias: alias.to_owned(),
                from,
                to,
                by: by.to_owned(),
                at: now(),
            };
            let ops = vec![
                stored.replace(&head_key(tenant, name), &head)?,
                record::create(&change_key(tenant, name, made.number), &made)?,
            ];
            Ok(Attempt { ops, answer: made })
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

    /// Up to `limit` moves of a model's aliases after number `after` (0: from the first).
    ///
    /// # Errors
    ///
    /// The store.
    pub fn alias_history(
        &self,
        tenant: &TenantId,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AliasChange>, RegistryError> {
        if names::check("model", name).is_err() {
            return Ok(Vec::new());
        }
        table::numbered(&self.store, after, limit, |number| {
            change_key(tenant, name, number)
        })
    }
}

fn change_key(tenant: &TenantId, name: &str, number: u64) -> String {
    format!("alias-change/{tenant}/{name}/{}", number_key(number))
}
