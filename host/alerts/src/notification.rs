//! What receivers are told.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::{Condition, Instance, Window};
use crate::name::Labels;
use crate::phase::Phase;
use crate::rules::Severity;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It fires.
    Firing,
    /// It fired and doesn't any more.
    Resolved,
    /// Nothing: someone tries the receiver.
    Test,
}

impl Status {
    /// As it stands in a subject line.
    pub(crate) fn upper(self) -> &'static str {
        match self {
            Self::Firing => "FIRING",
            Self::Resolved => "RESOLVED",
            Self::Test => "TEST",
        }
    }
}

/// One notification, to one receiver: the body of a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Of this notification to this receiver; the same in every attempt, so a receiver that has seen it
    /// leaves it out.
    pub id: String,
    /// What became of the alert.
    pub status: Status,
    /// The alert's id: the same whenever the same rule fires for the same thing.
    pub alert: String,
    /// The tenant.
    pub tenant: String,
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The rule's description.
    pub description: String,
    /// The alert's labels.
    pub labels: Labels,
    /// Why, in words: value, threshold, window.
    pub reason: String,
    /// The value; null where none came.
    pub value: Option<f64>,
    /// What the rule asks; null in a test.
    pub condition: Option<Condition>,
    /// The time that the value was computed over.
    pub window: Option<Window>,
    /// Where to see more.
    pub evidence: Option<String>,
    /// When it began to fire.
    #[schemars(with = "String")]
    pub starts_at: Timestamp,
    /// When it resolved.
    #[schemars(with = "Option<String>")]
    pub ends_at: Option<Timestamp>,
}

impl Notification {
    /// The JSON Schema of a webhook's body.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Of an alert as it is now.
    pub(crate) fn of(
        id: String,
        status: Status,
        tenant: &str,
        instance: &Instance,
        base_url: Option<&str>,
    ) -> Self {
        let (starts_at, ends_at) = match instance.phase {
            Phase::Firing { since, .. } | Phase::Pending { since } => (since, None),
            Phase::Resolved { since, at } => (since, Some(at)),
            Phase::Inactive => (instance.last_at, Some(instance.last_at)),
        };
        let evidence = instance.evidence.as_ref().map(|link| match base_url {
            Some(base) if link.starts_with('/') => format!("{}{link}", base.trim_end_matches('/')),
            _ => link.clone(),
        });
        Self {
            id,
            status,
            alert: instance.id.clone(),
            tenant: tenant.to_owned(),
            rule: instance.rule.clone(),
            severity: instance.severity,
            description: instance.description.clone(),
            labels: instance.labels.clone(),
            reason: instance.reason.clone(),
            value: instance.value,
            condition: Some(instance.condition.clone()),
            window: instance.window,
            evidence,
            starts_at,
            ends_at,
        }
    }

    /// One for trying a receiver.
    pub(crate) fn test(id: String, tenant: &str, now: Timestamp) -> Self {
        let labels = [
            ("alertname", "receiver-test"),
            ("severity", "info"),
            ("tenant", tenant),
        ];
        Self {
            alert: id.clone(),
            id,
            status: Status::Test,
            tenant: tenant.to_owned(),
            rule: "receiver-test".to_owned(),
            severity: Severity::Info,
            description: String::new(),
            labels: labels.map(|(l, v)| (l.to_owned(), v.to_owned())).into(),
            reason: "someone tries this receiver; nothing is wrong".to_owned(),
            value: None,
            condition: None,
            window: None,
            evidence: None,
            starts_at: now,
            ends_at: Some(now),
        }
    }

    /// `[FIRING] critical: accuracy-low (churn)`.
    pub(crate) fn title(&self) -> String {
        let deployment = self
            .labels
            .get("deployment")
            .map_or_else(String::new, |d| format!(" ({d})"));
        format!(
            "[{}] {}: {}{deployment}",
            self.status.upper(),
            self.severity,
            self.rule
        )
    }
}
