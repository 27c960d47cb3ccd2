//! Numbers that a tenant can have.

use caisson_alerts::{OBSERVATIONS_MAX, RECEIVERS_MAX};

use crate::support::{Fixture, RULE, accuracy, minutes, options, webhook};

#[test]
fn receivers_are_bounded_and_can_be_replaced_and_removed() {
    let fixture = Fixture::new();
    for i in 0..RECEIVERS_MAX {
        let spec = webhook(&format!("hook-{i}"), "https://example.org/");
        fixture.alerts.put_receiver("acme", spec).unwrap();
    }
    let error = fixture
        .alerts
        .put_receiver("acme", webhook("one-more", "https://example.org/"));
    assert_eq!(error.unwrap_err().code(), "too-many");
    let replaced = webhook("hook-3", "https://example.org/other");
    fixture.alerts.put_receiver("acme", replaced.clone()).unwrap();
    let error = fixture
        .alerts
        .remove_receiver("acme", "hook")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("there is no receiver `hook`; there are hook-0, hook-1"),
        "{error}"
    );
    // What waits goes with it.
    fixture.alerts.put_rules("acme", RULE, minutes(0)).unwrap();
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, minutes(0))], minutes(0))
        .unwrap();
    fixture.alerts.remove_receiver("acme", "hook-7").unwrap();
    let fixture = fixture.reopen(options());
    let receivers = fixture.alerts.receivers("acme");
    assert_eq!(receivers.len(), RECEIVERS_MAX - 1);
    assert!(receivers.iter().all(|r| r.waiting == 1));
    assert!(receivers.iter().any(|r| r.receiver == replaced));
    fixture
        .alerts
        .put_receiver("acme", webhook("hook-7", "https://example.org/"))
        .unwrap();
    let receivers = fixture.alerts.receivers("acme");
    assert_eq!(
        receivers.iter().map(|r| r.waiting).sum::<usize>(),
        RECEIVERS_MAX - 1
    );
}

#[test]
fn values_come_in_bounded_numbers() {
    let fixture = Fixture::new();
    let values = vec![accuracy(0.1, minutes(0)); OBSERVATIONS_MAX + 1];
    let error = fixture.alerts.observe("acme", &values, minutes(0)).unwrap_err();
    assert_eq!(error.code(), "too-many");
    fixture.alerts.observe("acme", &values[1..], minutes(0)).unwrap();
}
