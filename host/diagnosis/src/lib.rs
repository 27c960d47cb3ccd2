//! Why is it slow, and why is it wrong?
//!
//! [`diagnose`] takes what was gathered about a deployment ([`Evidence`]) and gives a [`Diagnosis`]: for
//! either question one sentence, and findings, the worst first. A finding says what was found, with the
//! numbers that it rests on and where they can be read, and what to do next.
//!
//! | module | what |
//! | --- | --- |
//! | [`evidence`] | what is known, and what isn't |
//! | [`finding`] | what is said |
//! | `slow` | where a request's time goes, queues, cold instances, deadlines |
//! | `wrong` | failures, refused rows, performance, drift, missing values, the model's age |
//! | `changes` | what was changed shortly before something became worse |
//!
//! Nothing is gathered here, and nothing is decided from less than it takes: a rate of three requests is no
//! rate. What is not known is listed with how to get to know it. Every limit of the rules is a named
//! constant beside its rule.

mod changes;
pub mod evidence;
pub mod finding;
mod slow;
mod words;
mod wrong;

pub use evidence::Evidence;
pub use finding::{Absent, Diagnosis, Event, EventKind, Fact, Finding, Question, Severity};

/// Findings of one diagnosis: a page is for a person.
pub const FINDINGS_MAX: usize = 40;
/// Events of the time line, the newest: what was changed long ago explains nothing of today.
pub const EVENTS_MAX: usize = 100;

/// Say what the evidence shows.
pub fn diagnose(evidence: &Evidence) -> Diagnosis {
    let mut findings = slow::findings(evidence);
    findings.extend(wrong::findings(evidence));
    findings.extend(changes::findings(evidence));
    // Stable: of equal ones, the rule's own order holds.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings.truncate(FINDINGS_MAX);
    let mut events = evidence.events.clone();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(EVENTS_MAX);
    Diagnosis {
        deployment: evidence.deployment.clone(),
        revision: evidence.revision,
        at: evidence.now,
        slow: answer(Question::Slow, &findings, evidence),
        wrong: answer(Question::Wrong, &findings, evidence),
        findings,
        events,
        unknown: evidence.absent.clone(),
    }
}

/// One sentence for a question: the worst finding's, or that there is none.
fn answer(question: Question, findings: &[Finding], evidence: &Evidence) -> String {
    let mut of = findings.iter().filter(|finding| finding.question == question);
    let quiet = evidence.recent().is_none_or(|recent| recent.requests == 0);
    match (of.find(|finding| finding.severity > Severity::Notice), question) {
        (Some(worst), _) => worst.sentence.clone(),
        (None, Question::Slow) if quiet => {
            "There were no requests lately, so nothing can be said of their speed.".to_owned()
        }
        (None, Question::Slow) => "Nothing that is measured slows it down.".to_owned(),
        (None, Question::Wrong) if evidence.features.is_empty() && evidence.performance.is_empty() => {
            "Neither drift nor performance is watched, so nothing can be said of its answers.".to_owned()
        }
        (None, Question::Wrong) => "Nothing that is watched says that its answers are wrong.".to_owned(),
    }
}
