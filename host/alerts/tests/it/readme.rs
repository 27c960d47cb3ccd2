//! What the README shows works as it stands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use caisson_alerts::{Alerts, Notification, ReceiverSpec, RulesFile, signature};
use jiff::{SignedDuration, Timestamp};

use crate::python::{node, python};
use crate::support::{Fixture, accuracy, catalogue, now};

const README: &str = include_str!("../../README.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect()
}

#[test]
fn the_rules_are_taken() {
    let file = RulesFile::parse(blocks("yaml")[0], &catalogue()).unwrap();
    assert_eq!(file.rules.len(), 5);
}

#[test]
fn the_receivers_are_taken() {
    let fixture = Fixture::new();
    for document in blocks("yaml")[1].split("---\n") {
        let receiver: ReceiverSpec = serde_saphyr::from_str(document).unwrap();
        fixture.alerts.put_receiver("acme", receiver).unwrap();
    }
    assert_eq!(fixture.alerts.receivers("acme").len(), 4);
}

#[test]
fn the_body_is_one_of_these_rules() {
    let shown: Notification = serde_json::from_str(blocks("json")[0]).unwrap();
    let fixture = Fixture::new();
    let begin: Timestamp = "2026-03-01T09:50:00Z".parse().unwrap();
    fixture
        .alerts
        .put_rules("acme", blocks("yaml")[0], begin)
        .unwrap();
    let mut value = accuracy(0.81, begin);
    value.segment = [("country".to_owned(), "CH".to_owned())].into();
    observe(&fixture.alerts, &value);
    value.at = shown.starts_at;
    value.window = shown.window;
    observe(&fixture.alerts, &value);
    let alert = fixture.alerts.alerts("acme", now()).remove(0);
    assert_eq!(alert.reason, shown.reason);
    assert_eq!(alert.labels, shown.labels);
    assert_eq!((alert.rule, alert.severity), (shown.rule, shown.severity));
}

fn observe(alerts: &Alerts, value: &caisson_alerts::Observation) {
    alerts
        .observe("acme", std::slice::from_ref(value), value.at)
        .unwrap();
}

#[test]
fn the_python_verifies_signatures() {
    let code = format!(
        "import sys\n{}\nprint(verify(sys.argv[1], sys.argv[2], sys.argv[3].encode()))",
        blocks("python")[0]
    );
    verifies("verify.py", &code, &python());
}

#[test]
fn the_node_verifies_signatures() {
    let code = format!(
        "{}\nconst [key, header, body] = process.argv.slice(2);\n\
         console.log(verify(key, header, Buffer.from(body)) ? 'True' : 'False');",
        blocks("js")[0]
    );
    verifies("verify.js", &code, &node());
}

fn verifies(name: &str, code: &str, program: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let script: PathBuf = dir.path().join(name);
    std::fs::write(&script, code).unwrap();
    let key = "0123456789abcdef-é";
    let body = "{\"reason\":\"café\"}";
    let good = signature(key.as_bytes(), now(), body.as_bytes());
    let old = now() - SignedDuration::from_mins(6);
    for (key, header, body, expected) in [
        (key, good.clone(), body, "True"),
        ("another key of any length", good.clone(), body, "False"),
        (key, good.clone(), "{}", "False"),
        (key, good.replace("t=1", "t=2"), body, "False"),
        (key, good.replace("v1=", "v1=00"), body, "False"),
        (
            key,
            signature(key.as_bytes(), old, body.as_bytes()),
            body,
            "False",
        ),
    ] {
        let output = Command::new(program)
            .arg(&script)
            .args([key, &header, body])
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(found.trim(), expected, "{header} {body}: {complaints}");
    }
}
