//! Delivery: in order, at least once, and one receiver's trouble is its own.

use std::time::{Duration, Instant};

use caisson_alerts::{DELIVERY_HEADER, IN_FLIGHT_MAX, Options, Retry, WAITING_MAX};
use jiff::SignedDuration;

use crate::sink::{Answer, Sink};
use crate::support::{Fixture, RULE, accuracy, deliver, now, observation, options, until, webhook};

/// The alert fires and resolves so many times.
fn flap(fixture: &Fixture, times: i64) {
    let begin = now() - SignedDuration::from_secs(2 * times);
    for i in 0..2 * times {
        let at = begin + SignedDuration::from_secs(i);
        let value = if i % 2 == 0 { 0.1 } else { 0.9 };
        fixture
            .alerts
            .observe("acme", &[accuracy(value, at)], now())
            .unwrap();
    }
}

#[test]
fn what_fails_is_tried_again_with_one_id_and_in_order() {
    let fixture = Fixture::new();
    // Two of three fail.
    let sink = Sink::answering(|_, before| Answer::Status(if before % 3 == 2 { 204 } else { 503 }, ""));
    fixture.acme(&sink.url());
    flap(&fixture, 2);
    let requests = deliver(&fixture.alerts, || {
        let requests = sink.wait(12);
        until("the last one is off the list", || {
            fixture.alerts.receivers("acme")[0].waiting == 0
        });
        requests
    });
    let statuses: Vec<String> = requests.iter().map(|r| r.status()).collect();
    let each = |status: &str| vec![status.to_owned(); 3];
    let expected = [each("firing"), each("resolved"), each("firing"), each("resolved")].concat();
    assert_eq!(statuses, expected);
    let mut ids: Vec<String> = requests.iter().map(|r| r.id()).collect();
    assert!(requests.iter().all(|r| r.headers[DELIVERY_HEADER] == r.id()));
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
    let view = &fixture.alerts.receivers("acme")[0];
    assert_eq!((view.delivered, view.failed_attempts), (4, 8));
    assert_eq!(view.last_failure, None);
    // Nothing is left for later.
    let fixture = fixture.reopen(options());
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 0);
}

#[test]
fn a_dead_receiver_keeps_nobody_waiting() {
    let fixture = Fixture::with(Options {
        timeout: Duration::from_secs(8),
        ..options()
    });
    let (dead, refusing, good) = (
        Sink::answering(|_, _| Answer::Hang),
        Sink::answering(|_, _| Answer::Status(500, "")),
        Sink::start(),
    );
    fixture.acme(&good.url());
    for i in 0..8 {
        let sink = if i % 2 == 0 { &dead } else { &refusing };
        let spec = webhook(&format!("a-dead-{i}"), &sink.url());
        fixture.alerts.put_receiver("acme", spec).unwrap();
    }
    let values: Vec<_> = (0..40)
        .map(|i| observation("accuracy", &format!("d{i}"), 0.1, now()))
        .collect();
    fixture.alerts.observe("acme", &values, now()).unwrap();
    let start = Instant::now();
    deliver(&fixture.alerts, || {
        good.wait(40);
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        until("the hanging ones time out", || {
            fixture
                .alerts
                .receivers("acme")
                .iter()
                .all(|r| r.receiver.name == "hook" || r.last_failure.is_some())
        });
    });
    let views = fixture.alerts.receivers("acme");
    let of = |name: &str| views.iter().find(|v| v.receiver.name == name).unwrap();
    assert_eq!((of("hook").waiting, of("hook").delivered), (0, 40));
    assert_eq!(of("a-dead-0").waiting, 40);
    assert_eq!(
        of("a-dead-0").last_failure.as_ref().unwrap().reason,
        "it didn't answer within 8 s"
    );
    assert_eq!(
        of("a-dead-1").last_failure.as_ref().unwrap().reason,
        "it answered 500 Internal Server Error"
    );
    // Four hanging receivers; each was asked for as many as go side by side, and then for one.
    assert!(
        dead.seen().len() <= 4 * (IN_FLIGHT_MAX + 1),
        "{}",
        dead.seen().len()
    );
}

#[test]
fn one_that_is_refused_keeps_no_other_back() {
    let fixture = Fixture::new();
    let sink = Sink::answering(|request, _| {
        let poison = request.json()["labels"]["deployment"] == "poison";
        Answer::Status(if poison { 400 } else { 200 }, "")
    });
    fixture.acme(&sink.url());
    let values: Vec<_> = std::iter::once("poison".to_owned())
        .chain((0..20).map(|i| format!("d{i}")))
        .map(|deployment| observation("accuracy", &deployment, 0.1, now()))
        .collect();
    fixture.alerts.observe("acme", &values, now()).unwrap();
    deliver(&fixture.alerts, || {
        until("all others", || {
            fixture.alerts.receivers("acme")[0].delivered == 20
        });
    });
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 1);
}

#[test]
fn what_is_hopeless_is_given_up_and_counted() {
    let fixture = Fixture::with(Options {
        retry: Retry {
            attempts_max: 3,
            ..options().retry
        },
        ..options()
    });
    let sink = Sink::answering(|_, _| Answer::Status(500, ""));
    fixture.acme(&sink.url());
    flap(&fixture, 1);
    deliver(&fixture.alerts, || {
        until("both are given up", || {
            fixture.alerts.receivers("acme")[0].given_up == 2
        });
    });
    // The one that fires was tried until it was given up, and then the one that resolves.
    let statuses: Vec<String> = sink.seen().iter().map(|r| r.status()).collect();
    assert_eq!(
        statuses.iter().filter(|s| *s == "firing").count(),
        3,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| *s == "resolved").count(),
        3,
        "{statuses:?}"
    );
    let fixture = fixture.reopen(options());
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 0);
    // By age, whatever the attempts.
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    fixture
        .alerts
        .tick(now() + SignedDuration::from_hours(23))
        .unwrap();
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 1);
    fixture
        .alerts
        .tick(now() + SignedDuration::from_hours(25))
        .unwrap();
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, 0);
}

#[test]
fn a_full_list_is_bounded_on_disk_too_and_what_it_drops_is_counted() {
    let fixture = Fixture::new();
    fixture.acme("https://example.org/");
    let pairs = WAITING_MAX as i64 / 2;
    flap(&fixture, pairs);
    let view = fixture.alerts.receivers("acme").remove(0);
    assert_eq!((view.waiting, view.dropped), (WAITING_MAX, 0));
    // One more that fires makes a pair go that fired and resolved.
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let view = fixture.alerts.receivers("acme").remove(0);
    assert_eq!((view.waiting, view.dropped), (WAITING_MAX - 1, 2));
    let fixture = fixture.reopen(options());
    assert_eq!(fixture.alerts.receivers("acme")[0].waiting, WAITING_MAX - 1);
    // What is told in the end alternates, and ends with what is so now.
    let sink = Sink::start();
    fixture
        .alerts
        .put_receiver("acme", webhook("hook", &sink.url()))
        .unwrap();
    let requests = deliver(&fixture.alerts, || sink.wait(WAITING_MAX - 1));
    for (i, request) in requests.iter().enumerate() {
        let expected = if i % 2 == 0 { "firing" } else { "resolved" };
        assert_eq!(request.status(), expected, "{i}");
    }
}

#[test]
fn receivers_hear_of_what_they_ask_for() {
    let fixture = Fixture::new();
    fixture.alerts.put_rules("acme", RULE, now()).unwrap();
    for (name, matchers, send_resolved) in [
        ("all", vec![], true),
        ("firing-only", vec!["team=churn"], false),
        ("others", vec!["team!=churn"], true),
        ("critical", vec!["severity=critical", "deployment=ch*"], true),
    ] {
        let mut spec = webhook(name, "https://example.org/");
        spec.matchers = matchers.iter().map(|m| m.parse().unwrap()).collect();
        spec.send_resolved = send_resolved;
        fixture.alerts.put_receiver("acme", spec).unwrap();
    }
    flap(&fixture, 1);
    let waiting: Vec<_> = fixture
        .alerts
        .receivers("acme")
        .into_iter()
        .map(|v| (v.receiver.name, v.waiting))
        .collect();
    let expected = [("all", 2), ("critical", 2), ("firing-only", 1), ("others", 0)];
    assert_eq!(waiting, expected.map(|(n, w)| (n.to_owned(), w)));
}

#[test]
fn what_is_being_delivered_at_shutdown_gets_its_time() {
    let fixture = Fixture::new();
    let sink = Sink::answering(|_, _| {
        std::thread::sleep(Duration::from_millis(500));
        Answer::Status(200, "")
    });
    fixture.acme(&sink.url());
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    // Shut down as soon as the request is there, before its answer.
    deliver(&fixture.alerts, || sink.wait(1));
    let view = &fixture.alerts.receivers("acme")[0];
    assert_eq!((view.delivered, view.waiting), (1, 0));
}

#[test]
fn a_receiver_says_how_long_to_wait() {
    let fixture = Fixture::new();
    let sink = Sink::answering(|_, before| match before {
        0 => Answer::Status(429, "retry-after: 1\r\n"),
        _ => Answer::Status(200, ""),
    });
    fixture.acme(&sink.url());
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let start = Instant::now();
    deliver(&fixture.alerts, || sink.wait(2));
    assert!(start.elapsed() >= Duration::from_secs(1));
}
