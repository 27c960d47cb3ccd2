//! States as a tenant sees them: which alerts there are, when they fire, and what survives.

use caisson_alerts::{Alert, Catalogue, INSTANCES_MAX, Observed, Options, Phase};
use jiff::Timestamp;

use crate::support::{Fixture, RULE, accuracy, minutes, observation, options, webhook};

const HELD: &str = "
rules:
  - {name: low, metric: accuracy, operator: '<', threshold: 0.85, severity: critical, for: 10m, keep_firing_for: 5m}
";

fn state(alert: &Alert) -> &'static str {
    match alert.phase {
        Phase::Inactive => "inactive",
        Phase::Pending { .. } => "pending",
        Phase::Firing { .. } => "firing",
        Phase::Resolved { .. } => "resolved",
    }
}

fn states(fixture: &Fixture, now: Timestamp) -> Vec<&'static str> {
    fixture.alerts.alerts("acme", now).iter().map(state).collect()
}

fn observe(fixture: &Fixture, value: f64, at: Timestamp) -> Observed {
    fixture
        .alerts
        .observe("acme", &[accuracy(value, at)], at)
        .unwrap()
}

#[test]
fn an_alert_lives_through_restarts_in_every_state() {
    let mut fixture = Fixture::new();
    fixture.alerts.put_rules("acme", HELD, minutes(0)).unwrap();
    for (minute, value, expected) in [
        (0, 0.9, None),
        (5, 0.8, Some("pending")),
        (10, 0.8, Some("pending")),
        (15, 0.8, Some("firing")),
        (20, 0.9, Some("firing")),
        (22, 0.8, Some("firing")),
        (25, 0.9, Some("firing")),
        (30, 0.9, Some("resolved")),
        (35, 0.8, Some("pending")),
        (40, 0.9, None),
    ] {
        observe(&fixture, value, minutes(minute));
        for _ in 0..2 {
            let found = states(&fixture, minutes(minute));
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "minute {minute}");
            fixture = fixture.reopen(options());
        }
    }
}

#[test]
fn a_reason_is_in_words() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", HELD, minutes(0)).unwrap();
    for (minute, value, expected) in [
        (
            0,
            0.8,
            "accuracy of churn is 0.8, below the threshold 0.85 not yet for 10m",
        ),
        (
            10,
            0.7,
            "accuracy of churn is 0.7, below the threshold 0.85 for 10m",
        ),
        (
            20,
            0.9,
            "accuracy of churn is 0.9, no longer below the threshold 0.85",
        ),
        (
            25,
            0.91,
            "accuracy of churn is 0.91, no longer below the threshold 0.85 for 5m",
        ),
    ] {
        observe(&fixture, value, minutes(minute));
        assert_eq!(fixture.alerts.alerts("acme", minutes(minute))[0].reason, expected);
    }
}

#[test]
fn each_rule_and_thing_is_one_alert() {
    let fixture = Fixture::new();
    let rules = "
rules:
  - {name: drift, metric: drift, operator: '>', threshold: 0.1, severity: warning, deployment: 'churn*'}
  - {name: drift-bad, metric: 'drift{column=age}', operator: '>', threshold: 0.5, severity: critical}
  - {name: swiss, metric: accuracy, operator: '<', threshold: 0.9, severity: info, segment: {country: CH}}
  - {name: all, metric: accuracy, operator: '<', threshold: 0.9, severity: info}
";
    fixture.alerts.put_rules("acme", rules, minutes(0)).unwrap();
    let drift = |column: &str, deployment: &str| {
        let mut drift = observation("drift", deployment, 0.7, minutes(1));
        drift.params = [
            ("check".to_owned(), "ks".to_owned()),
            ("column".to_owned(), column.to_owned()),
        ]
        .into();
        drift
    };
    let mut swiss = accuracy(0.5, minutes(1));
    swiss.segment = [("country".to_owned(), "CH".to_owned())].into();
    let mut austrian = swiss.clone();
    austrian.segment = [("country".to_owned(), "AT".to_owned())].into();
    let mut only = accuracy(0.5, minutes(1));
    only.rule = Some("another".to_owned());
    let values = [
        drift("age", "churn"),
        drift("age", "churn-eu"),
        drift("age", "fraud"),
        drift("country", "churn"),
        swiss,
        austrian,
        only,
    ];
    let observed = fixture.alerts.observe("acme", &values, minutes(1)).unwrap();
    let mut found: Vec<String> = fixture
        .alerts
        .alerts("acme", minutes(1))
        .iter()
        .map(|a| {
            let of = ["deployment", "column", "segment_country"]
                .map(|l| a.labels.get(l).map_or("-", String::as_str));
            format!("{} {}", a.rule, of.join(" "))
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "drift churn age -",
            "drift churn country -",
            "drift churn-eu age -",
            "drift-bad churn age -",
            "drift-bad churn-eu age -",
            "drift-bad fraud age -",
            "swiss churn - CH",
        ]
    );
    assert_eq!((observed.compared, observed.fired), (7, 7));
    // The same again is nothing new.
    let again = fixture.alerts.observe("acme", &values, minutes(2)).unwrap();
    assert_eq!((again.late, again.fired), (7, 0));
    assert_eq!(fixture.alerts.alerts("acme", minutes(1)).len(), 7);
}

#[test]
fn late_and_early_values_change_nothing() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    observe(&fixture, 0.9, minutes(10));
    for at in [minutes(10), minutes(9)] {
        let late = fixture
            .alerts
            .observe("acme", &[accuracy(0.1, at)], minutes(10))
            .unwrap();
        assert_eq!((late.compared, late.late, late.fired), (1, 1, 0));
    }
    let early = [accuracy(0.1, minutes(16))];
    let error = fixture.alerts.observe("acme", &early, minutes(10)).unwrap_err();
    assert!(error.to_string().contains("still to come"), "{error}");
    let error = fixture
        .alerts
        .observe("acme", &[accuracy(f64::NAN, minutes(11))], minutes(11));
    assert!(error.unwrap_err().to_string().contains("NaN"));
    let unknown = [observation("nothing", "churn", 1.0, minutes(11))];
    let error = fixture.alerts.observe("acme", &unknown, minutes(11)).unwrap_err();
    assert!(
        error.to_string().contains("there is no metric `nothing`"),
        "{error}"
    );
    let mut link = accuracy(0.1, minutes(11));
    link.evidence = Some("javascript:alert(1)".to_owned());
    fixture.alerts.observe("acme", &[link], minutes(11)).unwrap_err();
    assert_eq!(states(&fixture, minutes(10)), Vec::<&str>::new());
}

#[test]
fn absence_is_what_the_rule_says() {
    for (policy, after, reason) in [
        (
            "keep",
            "firing",
            "accuracy of churn is 0.1, below the threshold 0.85",
        ),
        ("resolve", "resolved", "no value of accuracy of churn for 1h"),
        (
            "fire",
            "firing",
            "accuracy of churn is 0.1, below the threshold 0.85",
        ),
    ] {
        let fixture = Fixture::new();
        let rules = RULE.replace("labels", &format!("no_data: {policy}, no_data_after: 1h, labels"));
        fixture.alerts.put_rules("acme", &rules, minutes(0)).unwrap();
        observe(&fixture, 0.1, minutes(0));
        fixture.alerts.tick(minutes(59)).unwrap();
        assert_eq!(states(&fixture, minutes(59)), ["firing"], "{policy}");
        fixture.alerts.tick(minutes(60)).unwrap();
        assert_eq!(states(&fixture, minutes(60)), [after], "{policy}");
        assert_eq!(fixture.alerts.alerts("acme", minutes(60))[0].reason, reason);
    }
    // What was fine fires when it is gone, after a restart, too; and ends when it is back.
    let fixture = Fixture::new();
    let rules = RULE.replace("labels", "no_data: fire, no_data_after: 1h, labels");
    fixture.alerts.put_rules("acme", &rules, minutes(0)).unwrap();
    observe(&fixture, 0.9, minutes(0));
    let fixture = fixture.reopen(options());
    assert_eq!(states(&fixture, minutes(0)), Vec::<&str>::new());
    let opened = Timestamp::now();
    fixture
        .alerts
        .tick(opened + jiff::SignedDuration::from_mins(61))
        .unwrap();
    let alert = &fixture.alerts.alerts("acme", opened)[0];
    assert_eq!((state(alert), alert.value), ("firing", None));
    assert_eq!(alert.reason, "no value of accuracy of churn for 1h");
    let later = opened + jiff::SignedDuration::from_mins(62);
    observe(&fixture, 0.9, later);
    assert_eq!(states(&fixture, later), ["resolved"]);
}

#[test]
fn a_metric_that_is_measured_no_longer_is_absent() {
    let fixture = Fixture::new();
    let rules = RULE.replace("labels", "no_data: resolve, no_data_after: 1h, labels");
    fixture.alerts.put_rules("acme", &rules, minutes(0)).unwrap();
    observe(&fixture, 0.1, minutes(0));
    let fixture = fixture.reopen(Options {
        catalogue: Catalogue::default(),
        ..options()
    });
    let later = Timestamp::now() + jiff::SignedDuration::from_mins(61);
    fixture.alerts.tick(later).unwrap();
    let alert = &fixture.alerts.alerts("acme", later)[0];
    assert_eq!(
        (state(alert), alert.reason.as_str()),
        ("resolved", "no value of accuracy of churn for 1h")
    );
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, later)], later)
        .unwrap_err();
}

#[test]
fn what_no_rule_looks_at_ends() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    observe(&fixture, 0.1, minutes(0));
    // Another threshold keeps it, and the next value decides.
    let rules = RULE.replace("0.85", "0.05");
    fixture.alerts.put_rules("acme", &rules, minutes(1)).unwrap();
    assert_eq!(states(&fixture, minutes(1)), ["firing"]);
    observe(&fixture, 0.1, minutes(2));
    assert_eq!(states(&fixture, minutes(2)), ["resolved"]);
    observe(&fixture, 0.01, minutes(3));
    let rules = rules.replace("labels", "deployment: fraud, labels");
    fixture.alerts.put_rules("acme", &rules, minutes(4)).unwrap();
    let alert = &fixture.alerts.alerts("acme", minutes(4))[0];
    assert_eq!(state(alert), "resolved");
    assert!(
        alert.reason.contains("doesn't cover this any more"),
        "{}",
        alert.reason
    );
    // Shown for a day.
    fixture.alerts.tick(minutes(23 * 60)).unwrap();
    assert_eq!(states(&fixture, minutes(4)).len(), 1);
    fixture.alerts.tick(minutes(25 * 60)).unwrap();
    assert_eq!(states(&fixture, minutes(4)).len(), 0);
    assert_eq!(states(&fixture.reopen(options()), minutes(4)).len(), 0);
}

#[test]
fn a_tenant_has_a_number_of_alerts_and_those_that_matter_stay() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    let values = |prefix: &str, n: usize, value: f64, minute: i64| {
        (0..n)
            .map(|i| observation("accuracy", &format!("{prefix}{i}"), value, minutes(minute)))
            .collect::<Vec<_>>()
    };
    let fine = values("fine", INSTANCES_MAX, 0.9, 0);
    let observed = fixture.alerts.observe("acme", &fine, minutes(0)).unwrap();
    assert_eq!(observed.refused, 0);
    // What is fine makes room for what fires, until there is nothing but what fires.
    let bad = values("bad", INSTANCES_MAX, 0.1, 1);
    let observed = fixture.alerts.observe("acme", &bad, minutes(1)).unwrap();
    assert_eq!((observed.fired, observed.refused), (INSTANCES_MAX, 0));
    let more = values("more", 3, 0.1, 2);
    let observed = fixture.alerts.observe("acme", &more, minutes(2)).unwrap();
    assert_eq!((observed.fired, observed.refused), (0, 3));
    assert_eq!(fixture.alerts.alerts("acme", minutes(2)).len(), INSTANCES_MAX);
    // What resolved makes room, too.
    let good = [observation("accuracy", "bad7", 0.9, minutes(3))];
    fixture.alerts.observe("acme", &good, minutes(3)).unwrap();
    let observed = fixture.alerts.observe("acme", &more, minutes(3)).unwrap();
    assert_eq!((observed.fired, observed.refused), (1, 2));
}

#[test]
fn a_new_receiver_hears_of_what_begins_after_it() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    observe(&fixture, 0.1, minutes(0));
    fixture
        .alerts
        .put_receiver("acme", webhook("hook", "https://example.org/"))
        .unwrap();
    observe(&fixture, 0.1, minutes(1));
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 0);
    observe(&fixture, 0.9, minutes(2));
    observe(&fixture, 0.1, minutes(3));
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 2);
}
