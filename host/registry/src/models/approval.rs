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
    /// Who: a key.
    pub by: &'a str,
    /// The person whose key it is, if that is known.
    pub owner: Option<&'a str>,
    /// Why; may be empty.
    pub why: &'a str,
    /// Where from, if the caller looked: the step isn't taken from elsewhere.
    pub expected_from: Option<Stage>,
    /// Who may approve what someone asked to be approved.
    pub four_eyes: FourEyes,
}

/// Who may approve what someone asked to be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    /// Anyone.
    No,
    /// Another person where both keys have an owner, and another key otherwise.
    Keys,
    /// Another person: both keys need an owner.
    Owners,
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
    /// Who: a key.
    pub by: String,
    /// The person whose key it was, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
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
    /// [`RegistryError::FourEyes`]; [`RegistryError::Unowned`]; no such version; the store.
    pub fn transition(
        &self,
        tenant: &TenantId,
        name: &str,
        version: u64,
        step: Transition<'_>,
    ) -> Result<TransitionRecord, RegistryError> {
        check_actor(step.by)?;
        step.owner.map_or(Ok(()), check_actor)?;
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
            if step.to == Stage::Approved {
                check_eyes(
                    &what(),
                    &step,
                    new.requested_by.as_deref(),
                    new.requested_for.as_deref(),
                )?;
            }
            let taken = TransitionRecord {
                number: new.transitions + 1,
                from: new.stage,
                to: step.to,
                by: step.by.to_owned(),
                owner: step.owner.map(str::to_owned),
                why: step.why.to_owned(),
                at: now(),
            };
            new.stage = step.to;
            new.transitions = taken.number;
            if step.to == Stage::Pending {
                new.requested_by = Some(step.by.to_owned());
                new.requested_for = step.owner.map(str::to_owned);
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

/// Is it someone else who approves?
fn check_eyes(
    what: &str,
    step: &Transition<'_>,
    asked_by: Option<&str>,
    asked_for: Option<&str>,
) -> Result<(), RegistryError> {
    let unowned = |by: &str| RegistryError::Unowned {
        what: what.to_owned(),
        by: by.to_owned(),
    };
    let same = match (step.four_eyes, asked_for, step.owner) {
        (FourEyes::No, ..) => false,
        (_, Some(asked), Some(approves)) => asked == approves,
        (FourEyes::Keys, ..) => asked_by == Some(step.by),
        (FourEyes::Owners, _, None) => return Err(unowned(step.by)),
        (FourEyes::Owners, None, _) => return Err(unowned(asked_by.unwrap_or("who asked"))),
    };
    if same {
        return Err(RegistryError::FourEyes {
            what: what.to_owned(),
            by: step.owner.unwrap_or(step.by).to_owned(),
        });
    }
    Ok(())
}

fn transition_key(tenant: &TenantId, name: &str, version: u64, number: u64) -> String {
    format!(
        "model-transition/{tenant}/{name}/{}/{}",
        number_key(version),
        number_key(number)
    )
}
