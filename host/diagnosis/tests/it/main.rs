//! Findings on constructed evidence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod slow;
mod wrong;

use caisson_diagnosis::evidence::{Drift, Evidence, Feature, Period, Stage, StageKind, Target};
use caisson_diagnosis::{Diagnosis, Event, EventKind, Finding, Severity, diagnose};
use jiff::{SignedDuration, Timestamp};

/// Noon of some day.
pub fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

pub fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// A healthy deployment: quick, watched, nothing drifted, nothing changed.
pub fn healthy() -> Evidence {
    Evidence {
        deployment: "churn".to_owned(),
        revision: 3,
        now: now(),
        periods: vec![period(0.0, 300.0), period(300.0, 900.0)],
        stages: vec![
            stage("transforms[0] impute@0.1.0", StageKind::Plugin, 1000, 40.0),
            stage("transforms[1] standardize@0.1.0", StageKind::Plugin, 1000, 45.0),
            stage("model churn@3", StageKind::Model, 1000, 50.0),
        ],
        features: vec![
            feature("recency", Target::Input),
            feature("score", Target::Predictions),
        ],
        ..Evidence::default()
    }
}

pub fn period(ends_ago: f64, starts_ago: f64) -> Period {
    Period {
        starts_ago_seconds: starts_ago,
        ends_ago_seconds: ends_ago,
        requests: 1000,
        failures: 0,
        rows: 10_000,
        rejected: 0,
        p50_ms: Some(2.0),
        p95_ms: Some(4.0),
        p99_ms: Some(6.0),
    }
}

pub fn stage(name: &str, kind: StageKind, calls: u64, total_ms: f64) -> Stage {
    Stage {
        name: name.to_owned(),
        kind,
        calls,
        total_ms,
        p95_ms: None,
        failures: std::collections::BTreeMap::new(),
        cold: None,
    }
}

pub fn feature(name: &str, target: Target) -> Feature {
    Feature {
        name: name.to_owned(),
        target,
        monitor: "watch".to_owned(),
        status: Drift::Stable,
        method: "ks".to_owned(),
        statistic: Some(0.02),
        threshold: Some(0.1),
        p_value: Some(0.4),
        detail: String::new(),
        missing_before: 0.0,
        missing_now: 0.0,
        importance: Some(0.5),
        since: Some(ago(60)),
    }
}

pub fn event(minutes_ago: i64, kind: EventKind, text: &str) -> Event {
    Event {
        at: ago(minutes_ago),
        kind,
        text: text.to_owned(),
        by: Some("ann".to_owned()),
    }
}

/// The only finding of a rule.
#[track_caller]
pub fn only<'a>(diagnosis: &'a Diagnosis, code: &str) -> &'a Finding {
    let mut all = diagnosis.findings.iter().filter(|finding| finding.code == code);
    let first = all.next().unwrap_or_else(|| panic!("no {code}: {diagnosis:#?}"));
    assert!(all.next().is_none(), "more than one {code}");
    assert!(
        !first.next_step.is_empty() && !first.evidence.is_empty(),
        "{first:?}"
    );
    first
}

#[track_caller]
pub fn none(diagnosis: &Diagnosis, code: &str) {
    let found: Vec<&Finding> = diagnosis
        .findings
        .iter()
        .filter(|finding| finding.code == code)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_is_wrong_with_a_healthy_deployment() {
    let diagnosis = diagnose(&healthy());
    assert!(diagnosis.findings.is_empty(), "{diagnosis:#?}");
    assert_eq!(diagnosis.slow, "Nothing that is measured slows it down.");
    assert_eq!(
        diagnosis.wrong,
        "Nothing that is watched says that its answers are wrong."
    );
}

#[test]
fn nothing_is_claimed_from_nothing() {
    let diagnosis = diagnose(&Evidence::default());
    assert!(diagnosis.findings.is_empty());
    assert!(
        diagnosis.slow.contains("no requests lately"),
        "{}",
        diagnosis.slow
    );
    assert!(
        diagnosis.wrong.contains("Neither drift nor performance"),
        "{}",
        diagnosis.wrong
    );
}

#[test]
fn the_worst_stands_first_and_lists_are_bounded() {
    let mut evidence = healthy();
    evidence.periods[0].rejected = 9_000;
    evidence.stages[2].total_ms = 5_000.0;
    evidence.features = (0..200)
        .map(|i| Feature {
            status: Drift::Drifted,
            missing_now: 0.5,
            ..feature(&format!("f{i}"), Target::Input)
        })
        .collect();
    evidence.events = (0..500)
        .map(|i| event(i, EventKind::Deploy, "revision"))
        .collect();
    let diagnosis = diagnose(&evidence);
    assert!(diagnosis.findings.is_sorted_by(|a, b| a.severity >= b.severity));
    assert_eq!(diagnosis.findings[0].severity, Severity::Critical);
    assert_eq!(diagnosis.findings.len(), caisson_diagnosis::FINDINGS_MAX);
    assert_eq!(diagnosis.events.len(), caisson_diagnosis::EVENTS_MAX);
    assert_eq!(diagnosis.events[0].at, now(), "the newest first");
}
