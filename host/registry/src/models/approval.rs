//! Approval of a model version: its stage, and how it got there.
//!
//! ```text
//! draft → pending → approved → archived
//!   ↑________|  rejected          |
//!            ↑____________________|  asked for again
//! ```
//!
//! A draft and a rejected version can be archived too. Keys
//! `model-transition/{tenant}/{name}/{version}/{number}`: a step is written in the same commit as the
//! stage that it leads to, and stays when the version is deleted.

use std::fmt;

use caisson_store::record::{self, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Models, version_key};
use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change, number_key};
use crate::text::{check_actor, check_why};
use crate::{RegistryError, now};

/// How far a version is approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nobody asked for an approval.
    #[default]
    Draft,
    /// Someone asked.
    Pending,
    /// Someone gave it.
    Approved,
    /// Not to be used any more.
    Archived,
}

impl Stage {
    /// The stages that this one can become.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Pending, Self::Archived],
            Self::Pending => &[Self::Approved, Self::Draft],
            Self::Approved => &[Self::Archived],
            Self::Archived => &[Self::Pending],
        }
    }

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Archived => "archived",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A step that someone takes.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// Where to.
    pub to: Stage,
    /// Who.
    pub by: &'a str,
    /// Why; may be empty.
    pub why: &'a str,
    /// Where from, if the caller looked: the step isn't taken from elsewhere.
    pub expected_from: Option<Stage>,
    /// Must someone else than who asked approve?
    pub four_eyes: bool,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransitionRecord {
    /// Counted from 1 in each version.
    pub number: u64,
    /// Where from.
    pub from: Stage,
    /// Where to.
    pub to: Stage,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Record for TransitionRecord {
    const KIND: &'static str = "stage transition";
    const FORMAT: u32 = 1;
}

impl Models {
    /// Take a version from its stage to another.
    ///
    /// # Errors
    ///
    /// [`RegistryError::IllegalTransition`] lists the legal ones; [`RegistryError::StageMoved`];
    /// [`RegistryError::FourEyes`]; no such version; the store.
    pub fn transition(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        step: Transition<'_>,
    ) -> Result<TransitionRecord, RegistryError> {
        check_actor(step.by)?;
        check_why(step.why)?;
        let key = version_key(tenant, name, version);
        change(&self.store, name, || {
            let stored = self.stored_version(tenant, name, version)?;
            let mut new = stored.record.clone();
            let what = || format!("{name}@{version}");
            if let Some(expected) = step.expected_from.filter(|&expected| expected != new.stage) {
                return Err(RegistryError::StageMoved {
                    what: what(),
                    found: new.stage,
                    expected,
                });
            }
            if !new.stage.next().contains(&step.to) {
                return Err(RegistryError::IllegalTransition {
                    what: what(),
                    from: new.stage,
                    to: step.to,
                });
            }
            if step.to == Stage::Approved && step.four_eyes && new.requested_by.as_deref() == Some(step.by) {
                return Err(RegistryError::FourEyes {
                    what: what(),
                    by: step.by.to_owned(),
                });
            }
            let taken = TransitionRecord {
                number: new.transitions + 1,
                from: new.stage,
                to: step.to,
                by: step.by.to_owned(),
                why: step.why.to_owned(),
                at: now(),
            };
            new.stage = step.to;
            new.transitions = taken.number;
            if step.to == Stage::Pending {
                new.requested_by = Some(step.by.to_owned());
            }
            let ops = vec![
                stored.replace(&key, &new)?,
                record::create(&transition_key(tenant, name, version, taken.number), &taken)?,
            ];
            Ok(Attempt { ops, answer: taken })
        })
    }

    /// Up to `limit` steps of a version after number `after` (0: from the first), deleted or not.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn transitions(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TransitionRecord>, RegistryError> {
        if names::check("model", name).is_err() {
            return Ok(Vec::new());
        }
        table::numbered(&self.store, after, limit, |number| {
            transition_key(tenant, name, version, number)
        })
    }
}

fn transition_key(tenant: &TenantId, name: &str, version: u64, number: u64) -> String {
    format!(
        "model-transition/{tenant}/{name}/{}/{}",
        number_key(version),
        number_key(number)
    )
}
