//! Silences: for some time, nobody is told of some alerts. The alerts change their states all the same.

use caisson_store::record::Record;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AlertsError;
use crate::name::{LABEL_VALUE_BYTES_MAX, Labels, TEXT_BYTES_MAX, check_line};
use crate::pattern::Matcher;

/// Silences of a tenant that haven't ended.
pub const SILENCES_MAX: usize = 100;
/// The longest silence: what is to be silent for longer is a rule to remove.
const SILENCE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long a silence is shown after its end.
pub(crate) const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What to silence, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceSpec {
    /// Which alerts: those for which all hold; at least one.
    pub matchers: Vec<Matcher>,
    /// From when.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// To when, exclusively.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Who wants it.
    pub author: String,
    /// Why.
    pub comment: String,
}

impl SilenceSpec {
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), AlertsError> {
        let bad = |why: &str| Err(AlertsError::Invalid(format!("silence: {why}")));
        Matcher::check_number(&self.matchers)?;
        check_line("silence: author", &self.author, LABEL_VALUE_BYTES_MAX)?;
        check_line("silence: comment", &self.comment, TEXT_BYTES_MAX)?;
        if self.matchers.is_empty() {
            return bad("it needs a matcher; `alertname=*` is all alerts");
        }
        if self.until <= self.from || self.until <= now {
            return bad("it ends before it begins, or has ended");
        }
        if self.until.duration_since(self.from.max(now)) > SILENCE_MAX {
            return bad("it lasts for more than 90 days; remove or change the rule");
        }
        Ok(())
    }
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// What and when; `until` is earlier than asked for where someone ended it.
    #[serde(flatten)]
    pub spec: SilenceSpec,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for Silence {
    const KIND: &'static str = "silence";
    const FORMAT: u32 = 1;
}

impl Silence {
    /// Does it silence these now?
    pub(crate) fn covers(&self, labels: &Labels, now: Timestamp) -> bool {
        self.spec.from <= now && now < self.spec.until && Matcher::all(&self.spec.matchers, labels)
    }

    /// When has it ended so long ago that it isn't shown any more?
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.spec.until) > ENDED_KEPT
    }
}
