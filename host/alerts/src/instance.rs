//! One alert: a rule and what it looks at. There is one for each pair, however often values come.

use caisson_store::record::Record;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::AlertsError;
use crate::name::{self, LABEL_VALUE_BYTES_MAX, LINK_BYTES_MAX, Labels, segment_label};
use crate::notification::Status;
use crate::period::Period;
use crate::phase::Phase;
use crate::rules::{Catalogue, Metric, NoData, Operator, Rule, Severity};

/// Bytes of an alert's id, before they are hexadecimal: no two are alike by chance.
const ID_BYTES: usize = 16;

/// The time that a value was computed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Its begin.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Its end.
    #[schemars(with = "String")]
    pub to: Timestamp,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Of which metric of the catalogue.
    pub metric: String,
    /// Values of its parameters: `column=age`.
    #[serde(default)]
    pub params: Labels,
    /// Of which deployment.
    pub deployment: String,
    /// Of which part of its traffic; empty for all of it.
    #[serde(default)]
    pub segment: Labels,
    /// Only for this rule, where the value was computed for one.
    #[serde(default)]
    pub rule: Option<String>,
    /// The value.
    pub value: f64,
    /// As of when. Each alert takes values in the order of their times and leaves out what isn't
    /// later than what it has seen, so a value that is observed again changes nothing.
    pub at: Timestamp,
    /// Computed over which time.
    #[serde(default)]
    pub window: Option<Window>,
    /// Where to see more: a URL, or a path of this installation.
    #[serde(default)]
    pub evidence: Option<String>,
}

impl Observation {
    /// Refuse what can't be an observation.
    pub(crate) fn check(&self) -> Result<(), AlertsError> {
        let entries = |labels: &'_ Labels, what| {
            name::check_entries(what, labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        };
        entries(&self.params, "params")?;
        entries(&self.segment, "segment")?;
        for param in self.params.keys() {
            name::check_label_name("params", param)?;
        }
        name::check_line("metric", &self.metric, name::LABEL_NAME_BYTES_MAX)?;
        name::check_line("deployment", &self.deployment, LABEL_VALUE_BYTES_MAX)?;
        if let Some(link) = &self.evidence {
            name::check_line("evidence", link, LINK_BYTES_MAX)?;
            if !["/", "https://", "http://"]
                .iter()
                .any(|start| link.starts_with(start))
            {
                return Err(AlertsError::Invalid(format!(
                    "evidence: `{}` is neither an http URL nor a path of this installation",
                    name::shown(link)
                )));
            }
        }
        if !self.value.is_finite() {
            return Err(AlertsError::Invalid(format!(
                "the value of {} is {}; leave out what can't be computed",
                self.metric, self.value
            )));
        }
        Ok(())
    }

    /// Does a rule look at it? `subject` is its own.
    pub(crate) fn is_for(&self, rule: &Rule, subject: &Subject) -> bool {
        self.rule.as_ref().is_none_or(|name| *name == rule.name) && covers(rule, subject)
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            metric: self.metric.clone(),
            params: self.params.clone(),
            deployment: self.deployment.clone(),
            segment: self.segment.clone(),
        }
    }
}

/// What an alert looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    metric: String,
    params: Labels,
    deployment: String,
    segment: Labels,
}

/// Does a rule look at this?
pub(crate) fn covers(rule: &Rule, subject: &Subject) -> bool {
    let segment = rule.segment.len() == subject.segment.len()
        && rule.segment.iter().all(|(column, pattern)| {
            subject
                .segment
                .get(column)
                .is_some_and(|value| pattern.matches(value))
        });
    segment
        && rule.metric.matches(&subject.metric, &subject.params)
        && rule.deployment.matches(&subject.deployment)
}

/// What a rule asks, as it was when the latest value was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// How the value is compared.
    pub operator: Operator,
    /// With what.
    pub threshold: f64,
    /// For how long it has to hold.
    #[serde(rename = "for")]
    pub held: Period,
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    pub(crate) description: String,
    pub(crate) condition: Condition,
    pub(crate) subject: Subject,
    pub(crate) labels: Labels,
    pub(crate) phase: Phase,
    /// Was it handed to receivers that this episode fires?
    pub(crate) notified: bool,
    pub(crate) value: Option<f64>,
    pub(crate) reason: String,
    pub(crate) window: Option<Window>,
    pub(crate) evidence: Option<String>,
    /// The time of the latest value.
    pub(crate) last_at: Timestamp,
    /// When the latest value came. After a start it is the start: what happened before isn't known.
    #[serde(skip)]
    pub(crate) seen_at: Timestamp,
    /// Has it a record?
    #[serde(skip)]
    pub(crate) stored: bool,
}

impl Record for Instance {
    const KIND: &'static str = "alert";
    const FORMAT: u32 = 1;
}

impl Instance {
    pub(crate) fn new(tenant: &str, rule: &Rule, subject: Subject, now: Timestamp) -> Self {
        Self {
            id: id(tenant, &rule.name, &subject),
            rule: rule.name.clone(),
            severity: rule.severity,
            description: rule.description.clone(),
            condition: condition(rule),
            labels: labels(tenant, rule, &subject),
            subject,
            phase: Phase::Inactive,
            notified: false,
            value: None,
            reason: String::new(),
            window: None,
            evidence: None,
            last_at: Timestamp::MIN,
            seen_at: now,
            stored: false,
        }
    }

    /// Take a value in; false for one that isn't later than what it has seen.
    pub(crate) fn observe(
        &mut self,
        tenant: &str,
        rule: &Rule,
        metric: &Metric,
        observation: &Observation,
        now: Timestamp,
    ) -> bool {
        self.seen_at = now;
        if observation.at <= self.last_at {
            return false;
        }
        let holds = rule.operator.holds(observation.value, rule.threshold);
        self.phase = self
            .phase
            .observe(holds, observation.at, rule.held, rule.keep_firing_for);
        self.last_at = observation.at;
        self.value = Some(observation.value);
        self.window = observation.window;
        self.evidence.clone_from(&observation.evidence);
        self.labels = labels(tenant, rule, &self.subject);
        self.severity = rule.severity;
        self.description.clone_from(&rule.description);
        self.condition = condition(rule);
        self.reason = self.words(rule, metric, observation.value, holds);
        true
    }

    fn words(&self, rule: &Rule, metric: &Metric, value: f64, holds: bool) -> String {
        let relation = if holds { "" } else { "no longer " };
        let length = match (&self.phase, holds) {
            (Phase::Firing { .. } | Phase::Pending { .. }, true) if !rule.held.is_zero() => {
                let still = if self.phase.is_firing() {
                    "for"
                } else {
                    "not yet for"
                };
                format!(" {still} {}", rule.held)
            }
            (Phase::Resolved { .. }, false) if !rule.keep_firing_for.is_zero() => {
                format!(" for {}", rule.keep_firing_for)
            }
            _ => String::new(),
        };
        let window = self
            .window
            .map_or_else(String::new, |w| format!("; measured from {} to {}", w.from, w.to));
        format!(
            "{} is {}, {relation}{} the threshold {}{length}{window}",
            self.what(&metric.title),
            metric.value(value),
            rule.operator.words(),
            metric.value(rule.threshold),
        )
    }

    /// `accuracy of churn (country=CH)`.
    fn what(&self, title: &str) -> String {
        let mut parts = Vec::new();
        for (key, value) in self.subject.params.iter().chain(&self.subject.segment) {
            parts.push(format!("{key}={value}"));
        }
        let parts = match parts.is_empty() {
            true => String::new(),
            false => format!(" ({})", parts.join(", ")),
        };
        format!("{title} of {}{parts}", self.subject.deployment)
    }

    /// No value came for as long as the rule allows.
    pub(crate) fn no_data(&mut self, rule: &Rule, catalogue: &Catalogue, now: Timestamp) {
        let phase = self.phase.no_data(rule.no_data, now);
        if phase != self.phase {
            self.phase = phase;
            self.value = None;
            let metric = &self.subject.metric;
            // A later release may measure it no longer, which is one reason for its absence.
            let title = catalogue.get(metric).map_or(metric.as_str(), |m| &m.title);
            self.reason = format!("no value of {} for {}", self.what(title), rule.no_data_after);
        }
    }

    /// No rule looks at it any more.
    pub(crate) fn abandon(&mut self, now: Timestamp) {
        let phase = self.phase.end(now);
        if phase != self.phase {
            self.phase = phase;
            self.reason = format!(
                "the rule {} was removed, or changed so that it doesn't cover this any more",
                self.rule
            );
        }
    }

    /// What receivers have to be told now; taken as told.
    pub(crate) fn settle(&mut self, silenced: bool) -> Option<Status> {
        match self.phase {
            Phase::Firing { .. } if !self.notified && !silenced => {
                self.notified = true;
                Some(Status::Firing)
            }
            Phase::Firing { .. } => None,
            // Also for what is silenced by now: who was told that it fires has to hear that it ended.
            _ if self.notified => {
                self.notified = false;
                Some(Status::Resolved)
            }
            _ => None,
        }
    }

    /// Does it need a record? What is inactive doesn't, unless its absence would be news.
    pub(crate) fn is_kept(&self, policy: Option<NoData>) -> bool {
        self.phase != Phase::Inactive || policy == Some(NoData::Fire)
    }
}

fn condition(rule: &Rule) -> Condition {
    Condition {
        operator: rule.operator,
        threshold: rule.threshold,
        held: rule.held,
    }
}

fn labels(tenant: &str, rule: &Rule, subject: &Subject) -> Labels {
    let mut labels = rule.labels.clone();
    for (column, value) in &subject.segment {
        labels.insert(segment_label(column), value.clone());
    }
    labels.extend(subject.params.clone());
    let own = [
        ("alertname", rule.name.as_str()),
        ("severity", &rule.severity.to_string()),
        ("tenant", tenant),
        ("deployment", &subject.deployment),
        ("metric", &subject.metric),
    ];
    labels.extend(own.map(|(label, value)| (label.to_owned(), value.to_owned())));
    labels
}

/// The same for the same rule and subject for ever, whatever else of the rule changes.
fn id(tenant: &str, rule: &str, subject: &Subject) -> String {
    let text = serde_json::json!([tenant, rule, subject]).to_string();
    let hash = Sha256::digest(text);
    hex::encode(hash.iter().take(ID_BYTES).copied().collect::<Vec<u8>>())
}
