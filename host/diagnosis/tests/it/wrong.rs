//! Why answers are wrong.

use caisson_diagnosis::evidence::{Drift, Feature, Model, Performance, Target};
use caisson_diagnosis::{EventKind, Question, Severity, diagnose};

use crate::{ago, event, feature, healthy, none, now, only};

fn drifted(name: &str, importance: Option<f64>) -> Feature {
    Feature {
        status: Drift::Drifted,
        statistic: Some(0.31),
        importance,
        ..feature(name, Target::Input)
    }
}

#[test]
fn drifted_features_are_ranked_by_what_they_matter_to_the_model() {
    let mut evidence = healthy();
    evidence.features = vec![
        drifted("noise", Some(0.001)),
        drifted("gap", Some(0.08)),
        drifted("recency", Some(0.6)),
        drifted("color", None),
        feature("age", Target::Input),
    ];
    let found = diagnose(&evidence);
    let drift: Vec<_> = found
        .findings
        .iter()
        .filter(|finding| finding.code == "drift")
        .collect();
    let names: Vec<&str> = drift
        .iter()
        .map(|finding| finding.sentence.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(names, ["recency", "gap", "color"]);
    assert_eq!(
        drift.iter().map(|finding| finding.severity).collect::<Vec<_>>(),
        [Severity::Critical, Severity::Warning, Severity::Warning]
    );
    assert!(
        drift[0]
            .sentence
            .contains("60 % of what the prediction depends on"),
        "{:?}",
        drift[0]
    );
    let idle = only(&found, "drift-unimportant");
    assert!(
        idle.sentence.contains("`noise`") && idle.severity == Severity::Notice,
        "{idle:?}"
    );
    assert!(found.wrong.contains("`recency`"), "{}", found.wrong);
}

#[test]
fn a_warning_is_a_notice_and_many_features_are_one_finding() {
    let mut evidence = healthy();
    let warn = |name: &str| Feature {
        status: Drift::Warn,
        ..drifted(name, Some(0.4))
    };
    evidence.features = vec![warn("a")];
    assert_eq!(only(&diagnose(&evidence), "drift").severity, Severity::Notice);
    evidence.features = (0..12).map(|i| drifted(&format!("f{i}"), Some(0.05))).collect();
    let found = diagnose(&evidence);
    assert_eq!(
        found
            .findings
            .iter()
            .filter(|finding| finding.code == "drift")
            .count(),
        8
    );
    assert!(only(&found, "drift-more").evidence[0].value == "4");
}

#[test]
fn a_shifted_prediction_is_told_apart() {
    let mut evidence = healthy();
    evidence.features[1].status = Drift::Drifted;
    let found = diagnose(&evidence);
    assert!(only(&found, "prediction-shift").sentence.contains("`score`"));
    none(&found, "drift");
}

#[test]
fn a_jump_of_the_missing_rate_is_said_once_a_column() {
    let mut evidence = healthy();
    let gone = Feature {
        missing_before: 0.01,
        missing_now: 0.4,
        ..feature("recency", Target::Input)
    };
    evidence.features = vec![
        gone.clone(),
        Feature {
            monitor: "other".to_owned(),
            ..gone
        },
    ];
    let found = diagnose(&evidence);
    let missing = only(&found, "missing-rate");
    assert_eq!(
        missing.sentence,
        "`recency` is missing more often: 40 % of the rows, 1.0 % in the reference."
    );
    assert_eq!(missing.severity, Severity::Warning);
}

#[test]
fn refused_rows_count_from_one_in_a_hundred() {
    let mut evidence = healthy();
    evidence.periods[0].rejected = 99;
    none(&diagnose(&evidence), "rejected-rows");
    evidence.periods[0].rejected = 100;
    assert_eq!(
        only(&diagnose(&evidence), "rejected-rows").severity,
        Severity::Warning
    );
    evidence.periods[0].rejected = 2_000;
    assert_eq!(
        only(&diagnose(&evidence), "rejected-rows").severity,
        Severity::Critical
    );
    evidence.periods[0].rows = 40;
    none(&diagnose(&evidence), "rejected-rows");
}

fn accuracy(is_worse: Option<bool>, estimated: bool) -> Performance {
    Performance {
        metric: "accuracy".to_owned(),
        segment: None,
        value: Some(0.81),
        interval: Some((0.78, 0.84)),
        baseline: Some(0.9),
        is_worse,
        p_value: Some(0.0001),
        rows: 600,
        estimated,
        since: Some(ago(30)),
    }
}

#[test]
fn worse_performance_is_critical_and_an_estimate_a_warning() {
    let mut evidence = healthy();
    evidence.performance = vec![accuracy(Some(true), false)];
    let found = diagnose(&evidence);
    let worse = only(&found, "performance");
    assert!(worse.sentence.contains("0.810 against 0.900"), "{worse:?}");
    assert_eq!(
        (worse.severity, worse.question),
        (Severity::Critical, Question::Wrong)
    );
    evidence.performance = vec![accuracy(Some(true), true)];
    assert_eq!(
        only(&diagnose(&evidence), "performance").severity,
        Severity::Warning
    );
    for is_worse in [Some(false), None] {
        evidence.performance = vec![accuracy(is_worse, false)];
        none(&diagnose(&evidence), "performance");
    }
}

#[test]
fn a_change_just_before_is_named_and_one_long_ago_is_not() {
    let mut evidence = healthy();
    evidence.performance = vec![accuracy(Some(true), false)];
    evidence.events = vec![
        event(
            40,
            EventKind::Alias,
            "alias `champion` of `churn` moved from 2 to 3",
        ),
        event(10, EventKind::Deploy, "revision 9 went live"),
    ];
    let found = diagnose(&evidence);
    let change = only(&found, "after-a-change");
    assert!(
        change
            .sentence
            .contains("10 minutes after a change: alias `champion`"),
        "{change:?}"
    );
    assert!(change.next_step.contains("alias back"), "{change:?}");
    // Who adds a monitor is not to blame for what it finds.
    evidence.events = vec![event(10, EventKind::Watch, "revision 9 went live")];
    none(&diagnose(&evidence), "after-a-change");
    evidence.events = vec![event(60 * 24, EventKind::Deploy, "revision 2 went live")];
    none(&diagnose(&evidence), "after-a-change");
    // Drift has a beginning too.
    evidence.performance.clear();
    evidence.features = vec![drifted("recency", Some(0.5))];
    evidence.events = vec![event(61, EventKind::Rollback, "revision 2 is live again")];
    only(&diagnose(&evidence), "after-a-change");
}

#[test]
fn more_failures_than_before_are_critical() {
    let mut evidence = healthy();
    evidence.periods[0].failures = 50;
    let found = diagnose(&evidence);
    assert!(
        only(&found, "failing-more")
            .sentence
            .contains("5.0 % of the requests fail, 0 % before")
    );
    evidence.periods[1].failures = 45;
    none(&diagnose(&evidence), "failing-more");
}

#[test]
fn an_old_model_and_a_newer_version_are_noticed() {
    let mut evidence = healthy();
    let model = |days: i64, newest| Model {
        name: "churn".to_owned(),
        version: 3,
        registered: now() - jiff::SignedDuration::from_hours(24 * days),
        newest,
    };
    evidence.model = Some(model(10, 3));
    none(&diagnose(&evidence), "stale-model");
    evidence.model = Some(model(120, 3));
    assert!(
        only(&diagnose(&evidence), "stale-model")
            .sentence
            .contains("120 days ago")
    );
    evidence.model = Some(model(10, 5));
    assert!(
        only(&diagnose(&evidence), "stale-model")
            .sentence
            .contains("version 5 is there")
    );
}
