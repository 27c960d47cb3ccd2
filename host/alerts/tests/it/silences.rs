//! Silences: who isn't told, and who is told afterwards.

use caisson_alerts::{SILENCES_MAX, SilenceSpec};
use jiff::Timestamp;

use crate::support::{Fixture, RULE, accuracy, minutes, options, webhook};

fn spec(matcher: &str, from: Timestamp, until: Timestamp) -> SilenceSpec {
    SilenceSpec {
        matchers: vec![matcher.parse().unwrap()],
        from,
        until,
        author: "ada".to_owned(),
        comment: "the warehouse is being moved".to_owned(),
    }
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    fixture
        .alerts
        .put_receiver("acme", webhook("hook", "https://example.org/"))
        .unwrap();
    fixture
}

fn waiting(fixture: &Fixture) -> usize {
    fixture.alerts.receivers("acme")[0].waiting
}

fn observe(fixture: &Fixture, value: f64, minute: i64) {
    let at = minutes(minute);
    fixture
        .alerts
        .observe("acme", &[accuracy(value, at)], at)
        .unwrap();
}

#[test]
fn what_still_fires_after_a_silence_is_told_then() {
    let fixture = fixture();
    fixture
        .alerts
        .silence("acme", spec("team=ch*", minutes(0), minutes(10)), minutes(0))
        .unwrap();
    observe(&fixture, 0.1, 1);
    assert_eq!(waiting(&fixture), 0);
    let alerts = fixture.alerts.alerts("acme", minutes(1));
    assert!(alerts[0].silenced && alerts[0].phase.is_firing());
    let fixture = fixture.reopen(options());
    fixture.alerts.tick(minutes(9)).unwrap();
    assert_eq!(waiting(&fixture), 0);
    fixture.alerts.tick(minutes(10)).unwrap();
    assert_eq!(waiting(&fixture), 1);
    fixture.alerts.tick(minutes(11)).unwrap();
    assert_eq!(waiting(&fixture), 1);
}

#[test]
fn what_began_and_ended_in_silence_is_told_to_nobody() {
    let fixture = fixture();
    fixture
        .alerts
        .silence("acme", spec("alertname=*", minutes(0), minutes(10)), minutes(0))
        .unwrap();
    observe(&fixture, 0.1, 1);
    observe(&fixture, 0.9, 2);
    fixture.alerts.tick(minutes(20)).unwrap();
    assert_eq!(waiting(&fixture), 0);
}

#[test]
fn who_was_told_that_it_fires_hears_that_it_ended() {
    let fixture = fixture();
    observe(&fixture, 0.1, 1);
    assert_eq!(waiting(&fixture), 1);
    fixture
        .alerts
        .silence("acme", spec("alertname=*", minutes(2), minutes(10)), minutes(2))
        .unwrap();
    observe(&fixture, 0.9, 3);
    assert_eq!(waiting(&fixture), 2);
}

#[test]
fn others_are_told_before_and_beside_a_silence() {
    let fixture = fixture();
    let alerts = &fixture.alerts;
    alerts
        .silence("acme", spec("team=fraud", minutes(0), minutes(10)), minutes(0))
        .unwrap();
    alerts
        .silence("acme", spec("team!=churn", minutes(0), minutes(10)), minutes(0))
        .unwrap();
    alerts
        .silence("acme", spec("team=churn", minutes(5), minutes(10)), minutes(0))
        .unwrap();
    observe(&fixture, 0.1, 1);
    assert_eq!(waiting(&fixture), 1);
}

#[test]
fn a_silence_can_be_ended_and_is_shown_for_a_week() {
    let fixture = fixture();
    let spec = spec("team=churn", minutes(0), minutes(60));
    let silence = fixture.alerts.silence("acme", spec.clone(), minutes(0)).unwrap();
    observe(&fixture, 0.1, 1);
    let ended = fixture
        .alerts
        .expire_silence("acme", &silence.id, minutes(5))
        .unwrap();
    assert_eq!(ended.spec.until, minutes(5));
    fixture.alerts.tick(minutes(5)).unwrap();
    assert_eq!(waiting(&fixture), 1);
    let error = fixture
        .alerts
        .expire_silence("acme", "nothing", minutes(5))
        .unwrap_err();
    assert_eq!(error.code(), "silence-not-found");
    let fixture = fixture.reopen(options());
    assert_eq!(fixture.alerts.silences("acme"), [ended]);
    fixture.alerts.tick(minutes(8 * 24 * 60)).unwrap();
    assert_eq!(fixture.alerts.silences("acme"), []);
}

#[test]
fn silences_are_bounded() {
    let fixture = fixture();
    let good = spec("team=churn", minutes(0), minutes(60));
    for (what, bad) in [
        (
            "matcher",
            SilenceSpec {
                matchers: Vec::new(),
                ..good.clone()
            },
        ),
        (
            "matchers",
            SilenceSpec {
                matchers: vec!["a=b".parse().unwrap(); 17],
                ..good.clone()
            },
        ),
        (
            "ended",
            SilenceSpec {
                until: minutes(0),
                ..good.clone()
            },
        ),
        (
            "ended",
            SilenceSpec {
                from: minutes(-9),
                until: minutes(-1),
                ..good.clone()
            },
        ),
        (
            "90 days",
            SilenceSpec {
                until: minutes(91 * 24 * 60),
                ..good.clone()
            },
        ),
        (
            "author",
            SilenceSpec {
                author: String::new(),
                ..good.clone()
            },
        ),
        (
            "comment",
            SilenceSpec {
                comment: "x".repeat(2000),
                ..good.clone()
            },
        ),
    ] {
        let error = fixture
            .alerts
            .silence("acme", bad, minutes(0))
            .unwrap_err()
            .to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
    for _ in 0..SILENCES_MAX {
        fixture.alerts.silence("acme", good.clone(), minutes(0)).unwrap();
    }
    let error = fixture.alerts.silence("acme", good, minutes(0)).unwrap_err();
    assert_eq!(error.code(), "too-many");
    // Those that end make room, and of those that ended some are shown.
    for round in 1..4 {
        for silence in fixture.alerts.silences("acme") {
            fixture
                .alerts
                .expire_silence("acme", &silence.id, minutes(round))
                .unwrap();
        }
        let next = spec("team=churn", minutes(0), minutes(60));
        for _ in 0..SILENCES_MAX {
            fixture
                .alerts
                .silence("acme", next.clone(), minutes(round))
                .unwrap();
        }
    }
    assert_eq!(fixture.alerts.silences("acme").len(), 2 * SILENCES_MAX);
    assert_eq!(
        fixture.reopen(options()).alerts.silences("acme").len(),
        2 * SILENCES_MAX
    );
}
