//! Webhooks: what they get, signed how, and what they can't do.

use caisson_alerts::{DELIVERY_HEADER, Notification, Options, SIGNATURE_HEADER, Window, signature};
use jiff::Timestamp;

use crate::sink::{Answer, Sink};
use crate::support::{Certificates, Fixture, accuracy, deliver, now, options, receiver, runtime, webhook};

const KEY: &str = "0123456789abcdef-of-acme";

#[test]
fn a_webhook_gets_all_that_it_needs_to_know() {
    let (fixture, sink) = (Fixture::new(), Sink::start());
    fixture.acme(&sink.url());
    let at = now();
    let mut observation = accuracy(0.81, at);
    observation.window = Some(Window {
        from: "2026-03-01T09:00:00Z".parse().unwrap(),
        to: "2026-03-01T10:00:00Z".parse().unwrap(),
    });
    fixture.alerts.observe("acme", &[observation], at).unwrap();
    let request = deliver(&fixture.alerts, || sink.wait(1).remove(0));
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Notification = serde_json::from_str(&request.body).unwrap();
    assert_eq!(request.headers[DELIVERY_HEADER], body.id);
    assert!(!request.headers.contains_key(SIGNATURE_HEADER), "there is no key");
    assert_eq!(
        body.reason,
        "accuracy of churn is 0.81, below the threshold 0.85; \
         measured from 2026-03-01T09:00:00Z to 2026-03-01T10:00:00Z"
    );
    assert_eq!(
        body.evidence.as_deref(),
        Some("https://caisson.example.org/v1/monitors/churn")
    );
    let alert = &fixture.alerts.alerts("acme", now())[0];
    assert_eq!((&body.alert, &body.labels), (&alert.id, &alert.labels));
    let labels: Vec<String> = body.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        labels.join(" "),
        "alertname=accuracy-low deployment=churn metric=accuracy severity=critical team=churn tenant=acme"
    );
    assert_eq!((body.starts_at, body.ends_at), (at, None));
}

#[test]
fn a_signature_verifies_and_is_of_now() {
    let (fixture, sink) = (Fixture::new(), Sink::start());
    fixture.acme(&sink.url());
    let spec = serde_json::json!({"name": "hook", "webhook": {"url": sink.url(), "signing_key": KEY}});
    fixture.alerts.put_receiver("acme", receiver(spec)).unwrap();
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let request = deliver(&fixture.alerts, || sink.wait(1).remove(0));
    let header = &request.headers[SIGNATURE_HEADER];
    let time: i64 = header
        .strip_prefix("t=")
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((now().as_second() - time).abs() < 60);
    let time = Timestamp::from_second(time).unwrap();
    assert_eq!(*header, signature(KEY.as_bytes(), time, request.body.as_bytes()));
    assert_ne!(
        *header,
        signature(b"another key of the same", time, request.body.as_bytes())
    );
}

#[test]
fn a_test_says_in_words_how_it_went() {
    let refused = Sink::answering(|_, _| Answer::Status(404, ""));
    let elsewhere = Sink::start();
    let location: &'static str = format!("location: {}\r\n", elsewhere.url()).leak();
    let redirects = Sink::answering(move |_, _| Answer::Status(307, location));
    let hangs = Sink::answering(|_, _| Answer::Hang);
    let endless = Sink::answering(|_, _| Answer::Endless);
    let good = Sink::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let fixture = Fixture::with(Options {
        timeout: std::time::Duration::from_secs(1),
        ..options()
    });
    for (url, expected) in [
        (good.url(), "delivered"),
        // Its answer has no end, and nobody reads it.
        (endless.url(), "delivered"),
        (refused.url(), "it answered 404 Not Found"),
        (
            redirects.url(),
            "it answered 307 Temporary Redirect; redirects aren't followed, so give the final URL",
        ),
        (hangs.url(), "it didn't answer within 1 s"),
        (format!("http://{closed}/"), "it can't be reached"),
        (
            "http://no-such-host.invalid/".to_owned(),
            "its host has no address; check its name",
        ),
    ] {
        fixture
            .alerts
            .put_receiver("acme", webhook("hook", &url))
            .unwrap();
        let found = runtime()
            .block_on(fixture.alerts.test_receiver("acme", "hook"))
            .unwrap()
            .map_or_else(|e| e.to_string(), |()| "delivered".to_owned());
        assert_eq!(found, expected, "{url}");
    }
    assert_eq!(elsewhere.seen().len(), 0);
    assert_eq!(good.seen()[0].status(), "test");
}

#[test]
fn addresses_inside_are_refused_before_and_after_their_names_are_resolved() {
    let sink = Sink::start();
    let fixture = Fixture::with(Options {
        network: caisson_alerts::Network::default(),
        ..options()
    });
    let port = sink.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
    ] {
        let url = format!("http://{host}:{port}/");
        let error = fixture
            .alerts
            .put_receiver("acme", webhook("hook", &url))
            .unwrap_err();
        assert!(error.to_string().contains("isn't public"), "{url}: {error}");
    }
    // A name is known only when something is delivered.
    let url = format!("http://localhost:{port}/");
    fixture
        .alerts
        .put_receiver("acme", webhook("hook", &url))
        .unwrap();
    let error = runtime()
        .block_on(fixture.alerts.test_receiver("acme", "hook"))
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("isn't at a public address"), "{error}");
    assert_eq!(sink.seen().len(), 0);
    // Where the operator allows it, the same name is fine.
    let allowed = Fixture::with(options());
    allowed
        .alerts
        .put_receiver("acme", webhook("hook", &url))
        .unwrap();
    runtime()
        .block_on(allowed.alerts.test_receiver("acme", "hook"))
        .unwrap()
        .unwrap();
    assert_eq!(sink.seen()[0].headers["host"], format!("localhost:{port}"));
}

#[test]
fn a_receiver_that_cant_be_one_is_refused() {
    let fixture = Fixture::new();
    let good = "https://example.org/hook";
    for (spec, expected) in [
        (serde_json::json!({"name": "a"}), "exactly one of"),
        (
            serde_json::json!({"name": "a", "webhook": {"url": good}, "slack": {"url": good}}),
            "exactly one of",
        ),
        (
            serde_json::json!({"name": "A", "webhook": {"url": good}}),
            "is no name",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": "nothing"}}),
            "it is no URL",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": "ftp://example.org"}}),
            "neither https",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": "https://u:p@example.org"}}),
            "a user in it",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": "https://example.org/#x"}}),
            "a fragment",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": good, "signing_key": "short"}}),
            "it has 5 bytes",
        ),
        (
            serde_json::json!({"name": "a", "webhook": {"url": good, "signing_key": "(hidden)"}}),
            "in place of a secret",
        ),
        (
            serde_json::json!({"name": "a", "email": {"host": "mx", "from": "a@b.c", "to": []}}),
            "0 addresses",
        ),
        (
            serde_json::json!({"name": "a", "email": {"host": "mx", "from": "a", "to": ["a@b.c"]}}),
            "`a` is no address",
        ),
        (
            serde_json::json!({"name": "a", "email": {"host": "mx", "from": "a@b.c", "to": ["a@b.c\nBcc: x@y.z"]}}),
            "control character",
        ),
        (
            serde_json::json!({"name": "a", "email": {"host": "mx", "from": "a@b.c", "to": ["a@b.c"], "username": "u"}}),
            "a username needs a password",
        ),
    ] {
        let error = fixture
            .alerts
            .put_receiver("acme", receiver(spec.clone()))
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{spec}: {error}");
    }
    let unknown = serde_json::json!({"name": "a", "webhook": {"url": good, "secret": "x"}});
    serde_json::from_value::<caisson_alerts::ReceiverSpec>(unknown).unwrap_err();
}

#[test]
fn secrets_are_shown_to_nobody() {
    let sink = Sink::start();
    let fixture = Fixture::new();
    let secrets = [
        KEY,
        "T0K3N",
        "hunter2-hunter2",
        "services/T000/B000",
        "key=s3cr3t",
    ];
    for spec in [
        serde_json::json!({"name": "hook", "webhook": {"url": format!("{}?key=s3cr3t", sink.url()), "signing_key": KEY}}),
        serde_json::json!({"name": "am", "alertmanager": {"url": sink.url(), "bearer_token": "T0K3N"}}),
        serde_json::json!({"name": "slack", "slack": {"url": "https://hooks.example.org/services/T000/B000"}}),
        serde_json::json!({"name": "mail", "email": {
            "host": "mx.example.org", "from": "a@b.c", "to": ["a@b.c"], "username": "u", "password": "hunter2-hunter2",
        }}),
    ] {
        let spec = receiver(spec);
        let shown = format!("{spec:?}");
        for secret in &secrets[..4] {
            assert!(!shown.contains(secret), "{shown}");
        }
        fixture.alerts.put_receiver("acme", spec).unwrap();
    }
    let fixture = fixture.reopen(options());
    let views = fixture.alerts.receivers("acme");
    let shown = format!("{views:?}{}", serde_json::to_string(&views).unwrap());
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
    // What is shown can't be given back by mistake.
    for view in views {
        let name = view.receiver.name.clone();
        fixture
            .alerts
            .put_receiver("acme", view.receiver)
            .expect_err(&name);
    }
    // And they are there all the same.
    runtime()
        .block_on(fixture.alerts.test_receiver("acme", "hook"))
        .unwrap()
        .unwrap();
    let request = &sink.seen()[0];
    assert_eq!(request.line, "POST /hook?key=s3cr3t HTTP/1.1");
    assert!(request.headers.contains_key(SIGNATURE_HEADER));
}

#[test]
fn bodies_are_what_their_schema_says() {
    let validator = jsonschema::validator_for(&Notification::json_schema()).unwrap();
    let (fixture, sink) = (Fixture::new(), Sink::start());
    fixture.acme(&sink.url());
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let request = deliver(&fixture.alerts, || sink.wait(1).remove(0));
    validator.validate(&request.json()).unwrap();
    runtime()
        .block_on(fixture.alerts.test_receiver("acme", "hook"))
        .unwrap()
        .unwrap();
    validator.validate(&sink.seen()[1].json()).unwrap();
}

#[test]
fn https_trusts_the_operators_authority_and_the_right_name() {
    let certificates = Certificates::new();
    let sink = Sink::tls(certificates.server());
    let port = sink.address.port();
    for (roots, host, expected) in [
        (vec![certificates.root.clone()], "localhost", "delivered"),
        (vec![certificates.root.clone()], "127.0.0.1", "TLS failed"),
        (vec![], "localhost", "TLS failed"),
    ] {
        let fixture = Fixture::with(Options { roots, ..options() });
        let url = format!("https://{host}:{port}/");
        fixture
            .alerts
            .put_receiver("acme", webhook("hook", &url))
            .unwrap();
        let found = runtime()
            .block_on(fixture.alerts.test_receiver("acme", "hook"))
            .unwrap()
            .map_or_else(|e| e.to_string(), |()| "delivered".to_owned());
        assert!(found.contains(expected), "{host}: {found}");
    }
    assert_eq!(sink.seen().len(), 1);
}
