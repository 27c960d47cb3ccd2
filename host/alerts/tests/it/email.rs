//! E-mail, to a real mail server in each way of protecting the connection.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use caisson_alerts::Options;
use serde_json::Value;

use crate::python;
use crate::support::{
    Certificates, Fixture, RULE, accuracy, deliver, now, options, receiver, runtime, until,
};

const PASSWORD: &str = "correct horse battery";

struct MailServer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MailServer {
    fn start(mode: &str, certificates: &Certificates) -> Self {
        let mut child = Command::new(python::python())
            .arg(python::file("smtp_server.py"))
            .arg(mode)
            .arg(certificates.chain())
            .arg(certificates.key())
            .args(["alerts", PASSWORD])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .next()
            .expect("the mail server ended")
            .unwrap()
            .parse()
            .unwrap();
        Self { child, lines, port }
    }

    fn message(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

fn fixture(certificates: &Certificates, email: Value) -> Fixture {
    let fixture = Fixture::with(Options {
        roots: vec![certificates.root.clone()],
        ..options()
    });
    fixture.alerts.put_rules("acme", RULE, now()).unwrap();
    let spec = serde_json::json!({"name": "mail", "email": email});
    fixture.alerts.put_receiver("acme", receiver(spec)).unwrap();
    fixture
}

fn email(port: u16, tls: &str) -> Value {
    serde_json::json!({
        "host": "localhost", "port": port, "tls": tls,
        "username": "alerts", "password": PASSWORD,
        "from": "Caisson <alerts@example.org>", "to": ["Ada <ada@example.org>", "bob@example.org"],
    })
}

fn test(fixture: &Fixture) -> String {
    runtime()
        .block_on(fixture.alerts.test_receiver("acme", "mail"))
        .unwrap()
        .map_or_else(|e| e.to_string(), |()| "delivered".to_owned())
}

#[test]
fn mail_goes_over_starttls_and_over_tls() {
    let certificates = Certificates::new();
    for mode in ["starttls", "tls"] {
        let mut server = MailServer::start(mode, &certificates);
        let fixture = fixture(&certificates, email(server.port, mode));
        fixture
            .alerts
            .observe("acme", &[accuracy(0.1, now())], now())
            .unwrap();
        let message = deliver(&fixture.alerts, || {
            let message = server.message();
            until("it is off the list", || {
                fixture.alerts.receivers("acme")[0].delivered == 1
            });
            message
        });
        assert_eq!((&message["tls"], &message["login"]), (&true.into(), &true.into()));
        assert_eq!(message["from"], "alerts@example.org");
        assert_eq!(
            message["to"],
            serde_json::json!(["ada@example.org", "bob@example.org"])
        );
        let content = message["content"].as_str().unwrap();
        for part in [
            "From: Caisson <alerts@example.org>\r\n",
            "Subject: [FIRING] critical: accuracy-low (churn)\r\n",
            "accuracy of churn is 0.1, below the threshold 0.85\r\n",
            "evidence: https://caisson.example.org/v1/monitors/churn\r\n",
            "team: churn\r\n",
        ] {
            assert!(content.contains(part), "{part:?} isn't in {content}");
        }
        // The id of the message is that of the notification.
        let id = content.lines().find_map(|l| l.strip_prefix("id: ")).unwrap();
        assert!(
            content.contains(&format!("Message-ID: <{id}@example.org>\r\n")),
            "{content}"
        );
    }
}

#[test]
fn plain_text_is_for_this_machine() {
    let certificates = Certificates::new();
    let mut server = MailServer::start("none", &certificates);
    let mut plain = email(server.port, "none");
    plain
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key != "username" && key != "password");
    assert_eq!(test(&fixture(&certificates, plain.clone())), "delivered");
    assert_eq!(server.message()["tls"], false);
    // An address that is no loopback, allowed or not.
    plain["host"] = "192.0.2.1".into();
    let spec = receiver(serde_json::json!({"name": "mail", "email": plain}));
    let fixture = Fixture::with(Options {
        network: caisson_alerts::Network::new(vec!["192.0.2.0/24".parse().unwrap()]),
        ..options()
    });
    fixture.alerts.put_receiver("acme", spec.clone()).unwrap();
    assert!(
        test(&fixture).contains("use `tls: starttls`"),
        "{}",
        test(&fixture)
    );
    let fixture = Fixture::new();
    let error = fixture.alerts.put_receiver("acme", spec).unwrap_err();
    assert!(error.to_string().contains("isn't a public address"), "{error}");
}

#[test]
fn what_goes_wrong_is_said_without_what_the_server_said() {
    let certificates = Certificates::new();
    let server = MailServer::start("starttls", &certificates);
    let plain = MailServer::start("none", &certificates);
    let changed = |port: u16, tls: &str, key: &str, value: &str| {
        let mut email = email(port, tls);
        email[key] = value.into();
        email
    };
    for (what, email, expected) in [
        (
            "another password",
            changed(server.port, "starttls", "password", "guess"),
            "the mail server answered 535",
        ),
        (
            "no STARTTLS to be had",
            email(plain.port, "starttls"),
            "the mail server doesn't offer what is needed (STARTTLS, or a way to log in)",
        ),
        (
            "a certificate of another name",
            changed(server.port, "starttls", "host", "127.0.0.1"),
            "TLS with the mail server failed: invalid peer certificate",
        ),
        (
            "nobody there",
            changed(server.port, "starttls", "host", "127.0.0.2"),
            "the mail server can't be reached",
        ),
    ] {
        let found = test(&fixture(&certificates, email));
        assert!(found.starts_with(expected), "{what}: {found}");
    }
    // The certificate is of nobody that is trusted.
    let others = Certificates::new();
    let found = test(&fixture(&others, email(server.port, "starttls")));
    assert!(
        found.starts_with("TLS with the mail server failed: invalid peer certificate"),
        "{found}"
    );
    // A refusal's code is said, and its text isn't.
    let fixture = fixture(&certificates, email(server.port, "starttls"));
    let rules = RULE.replace("labels", "description: please refuse, labels");
    fixture.alerts.put_rules("acme", &rules, now()).unwrap();
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    deliver(&fixture.alerts, || {
        until("it is refused", || {
            fixture.alerts.receivers("acme")[0].last_failure.is_some()
        });
    });
    let failure = fixture.alerts.receivers("acme").remove(0).last_failure.unwrap();
    assert_eq!(failure.reason, "the mail server answered 550");
}
