//! What a diagnosis says.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Why is it slow?
    Slow,
    /// Why is it wrong?
    Wrong,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

/// One number or word that a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// Its value, with its unit.
    pub value: String,
    /// Where it can be read, as a path of this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Which question it answers.
    pub question: Question,
    /// Which rule found it; stable and machine-readable, such as `bottleneck`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub sentence: String,
    /// What that rests on.
    pub evidence: Vec<Fact>,
    /// What to do.
    pub next_step: String,
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A revision went live.
    Deploy,
    /// A revision went live that answers as the one before: only what watches the answers differs.
    Watch,
    /// An earlier revision went live again.
    Rollback,
    /// An alias of the model was moved.
    Alias,
    /// A version of the model was registered.
    Model,
    /// An alert fires.
    AlertFiring,
    /// An alert ended.
    AlertResolved,
    /// An alarm on drift was raised or ended.
    Drift,
    /// An alarm on performance was raised or ended.
    Performance,
}

impl EventKind {
    /// Was it somebody's doing?
    pub fn is_change(self) -> bool {
        self.changes_answers() || self == Self::Watch
    }

    /// Was it somebody's doing, and can answers be other ones since?
    pub fn changes_answers(self) -> bool {
        matches!(self, Self::Deploy | Self::Rollback | Self::Alias)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// In words.
    pub text: String,
    /// Who, where it was somebody's doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Something that isn't known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Absent {
    /// What.
    pub what: String,
    /// How to get to know it.
    pub how: String,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// The deployment's name.
    pub deployment: String,
    /// Its live revision.
    pub revision: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Why is it slow? In one sentence.
    pub slow: String,
    /// Why is it wrong? In one sentence.
    pub wrong: String,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What happened, the newest first.
    pub events: Vec<Event>,
    /// What isn't known, and how to get to know it.
    pub unknown: Vec<Absent>,
}

impl Diagnosis {
    /// The findings of a question, the worst first.
    pub fn of(&self, question: Question) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.question == question)
    }
}

/// Puts a finding together.
pub(crate) struct Draft(Finding);

impl Draft {
    pub(crate) fn slow(code: &str, severity: Severity, sentence: String) -> Self {
        Self::new(Question::Slow, code, severity, sentence)
    }

    pub(crate) fn wrong(code: &str, severity: Severity, sentence: String) -> Self {
        Self::new(Question::Wrong, code, severity, sentence)
    }

    fn new(question: Question, code: &str, severity: Severity, sentence: String) -> Self {
        Self(Finding {
            question,
            code: code.to_owned(),
            severity,
            sentence,
            evidence: Vec::new(),
            next_step: String::new(),
        })
    }

    pub(crate) fn fact(self, label: &str, value: impl Into<String>) -> Self {
        self.push(label, value.into(), None)
    }

    pub(crate) fn linked(self, label: &str, value: impl Into<String>, link: String) -> Self {
        self.push(label, value.into(), Some(link))
    }

    fn push(mut self, label: &str, value: String, link: Option<String>) -> Self {
        self.0.evidence.push(Fact {
            label: label.to_owned(),
            value,
            link,
        });
        self
    }

    pub(crate) fn next(mut self, step: impl Into<String>) -> Finding {
        self.0.next_step = step.into();
        self.0
    }
}
