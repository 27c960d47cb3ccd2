//! Tenants see, silence and tell nobody's alerts but their own.

use crate::sink::Sink;
use crate::support::{Fixture, RULE, accuracy, deliver, minutes, now, options, runtime, webhook};

#[test]
fn two_tenants_have_nothing_in_common() {
    let fixture = Fixture::new();
    let sinks = [Sink::start(), Sink::start()];
    // `acme-2` and `acme` share a beginning; keys must not.
    for (tenant, sink) in ["acme", "acme-2"].iter().zip(&sinks) {
        fixture.alerts.put_rules(tenant, RULE, minutes(0)).unwrap();
        fixture
            .alerts
            .put_receiver(tenant, webhook("hook", &sink.url()))
            .unwrap();
    }
    let silence = caisson_alerts::SilenceSpec {
        matchers: vec!["alertname=*".parse().unwrap()],
        from: now(),
        until: now() + jiff::SignedDuration::from_hours(1),
        author: "ada".to_owned(),
        comment: "none".to_owned(),
    };
    let silence = fixture.alerts.silence("acme-2", silence, now()).unwrap();
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let requests = deliver(&fixture.alerts, || sinks[0].wait(1));
    assert_eq!(requests[0].json()["tenant"], "acme");
    assert_eq!(sinks[1].seen().len(), 0);
    assert!(fixture.alerts.alerts("acme-2", now()).is_empty());
    assert!(!fixture.alerts.alerts("acme", now())[0].silenced);
    assert!(fixture.alerts.silences("acme").is_empty());
    fixture
        .alerts
        .expire_silence("acme", &silence.id, now())
        .unwrap_err();
    for tenant in ["other", "acme/../acme-2", ""] {
        assert!(fixture.alerts.alerts(tenant, now()).is_empty());
        assert!(fixture.alerts.rules(tenant).is_empty());
        assert!(fixture.alerts.receivers(tenant).is_empty());
        fixture.alerts.remove_receiver(tenant, "hook").unwrap_err();
        runtime()
            .block_on(fixture.alerts.test_receiver(tenant, "hook"))
            .unwrap_err();
    }
    for tenant in ["acme/../acme-2", "", "ACME"] {
        fixture.alerts.put_rules(tenant, RULE, now()).unwrap_err();
        fixture.alerts.forget(tenant).unwrap_err();
    }
    // One is forgotten, and the other isn't.
    fixture
        .alerts
        .observe("acme-2", &[accuracy(0.1, now())], now())
        .unwrap();
    fixture.alerts.forget("acme").unwrap();
    let fixture = fixture.reopen(options());
    assert!(fixture.alerts.rules("acme").is_empty());
    assert!(fixture.alerts.alerts("acme", now()).is_empty());
    assert!(fixture.alerts.receivers("acme").is_empty());
    assert_eq!(fixture.alerts.alerts("acme-2", now()).len(), 1);
    assert_eq!(fixture.alerts.receivers("acme-2").len(), 1);
    assert_eq!(fixture.alerts.silences("acme-2").len(), 1);
}
