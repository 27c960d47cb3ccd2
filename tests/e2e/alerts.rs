//! Alerts: what a deployment does becomes values, rules turn values into alerts, receivers hear of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Keyed, Server, cdnow, eventually, guest, one_column, plugin};

const SIGNING_KEY: &str = "an example of a signing key, thirty two";
/// Loopback may be told, and rules are evaluated every second.
const FLAGS: &[&str] = &[
    "--alert-allow",
    "127.0.0.0/8",
    "--alert-interval-seconds",
    "1",
    "--alert-base-url",
    "https://caisson.example.org/",
];
const RULES: &str = "
rules:
  - {name: failing, metric: error_rate, operator: '>', threshold: 0.05, severity: critical, for: 0s, window: 1m}
";
/// Long enough for a few evaluations on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// What a webhook was sent.
struct Request {
    signature: String,
    body: Vec<u8>,
}

impl Request {
    /// Its body, if the signature is its own.
    fn verified(&self) -> Value {
        let (time, hex) = self.signature.split_once(',').unwrap();
        let (time, hex) = (time.strip_prefix("t=").unwrap(), hex.strip_prefix("v1=").unwrap());
        let signed = [time.as_bytes(), b".", &self.body].concat();
        assert_eq!(hex, hmac(SIGNING_KEY.as_bytes(), &signed));
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// HMAC-SHA256 (RFC 2104), of a key that fits a block.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    let outer = Sha256::digest([&pad(0x5c)[..], &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A webhook on loopback: its URL, and what it is sent.
fn webhook() -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut length, mut signature, mut line) = (0, String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some((name, value)) = line.trim().split_once(": ") {
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "caisson-signature" => value.clone_into(&mut signature),
                        _ => {}
                    }
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() || sender.send(Request { signature, body }).is_err() {
                continue;
            }
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let _ = reader.get_mut().write_all(answer);
        }
    });
    (url, requests)
}

/// The next notification, and its id's `status`.
fn next(requests: &Receiver<Request>, status: &str) -> Value {
    let told = requests.recv_timeout(SOON).unwrap().verified();
    assert_eq!(told["status"], status, "{told}");
    told
}

fn deploy(developer: &Keyed, behave: &str) {
    developer.deploy(&one_column(
        "shaky",
        json!([{"plugin": "hostile", "config": {"behave": behave}}]),
    ));
}

/// So many requests, all answered with this status.
fn predict(developer: &Keyed, requests: usize, status: u16) {
    for _ in 0..requests {
        let rows = json!({"rows": [{"x": 1.0}]});
        let answer = developer.post_json("/v1/deployments/shaky/predict", &rows);
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

fn the_alert(client: &Keyed) -> Value {
    let answer = client.get("/v1/alerts");
    assert_eq!(answer.status, 200, "{answer:?}");
    let alerts = answer.body["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1, "{answer:?}");
    alerts[0].clone()
}

#[test]
fn a_deployment_that_fails_is_told_and_that_it_recovers_too() {
    let (server, operator) = Server::spawn_keyed(tempfile::tempdir().unwrap(), FLAGS);
    let (acme, other) = (operator.tenant("acme"), operator.tenant("other"));
    let (developer, viewer) = (acme.key_of("developer"), acme.key_of("viewer"));
    let (url, requests) = webhook();

    // Receivers are an admin's, rules a developer's, and a viewer looks on.
    let hook = json!({"webhook": {"url": url, "signing_key": SIGNING_KEY}}).to_string();
    let put_hook = |who: &Keyed| who.put("/v1/receivers/hook", "application/json", hook.as_bytes());
    let put_rules = |who: &Keyed, text: &str| who.put("/v1/alert-rules", "application/yaml", text.as_bytes());
    assert_eq!(put_hook(&developer).status, 403);
    let made = put_hook(&acme);
    assert_eq!(made.status, 200, "{made:?}");
    assert!(!made.body.to_string().contains(SIGNING_KEY), "{made:?}");
    assert_eq!(put_rules(&viewer, RULES).status, 403);
    let misspelt = put_rules(&developer, &RULES.replace("error_rate", "eror_rate"));
    assert_eq!(
        (misspelt.status, misspelt.code()),
        (400, "bad-rules"),
        "{misspelt:?}"
    );
    assert!(misspelt.error().contains("line 3") && misspelt.error().contains("did you mean `error_rate`?"));
    let no_window = put_rules(&developer, &RULES.replace("1m", "7m"));
    assert!(
        no_window.error().contains("there are `5m`, `1m`, `15m`"),
        "{no_window:?}"
    );
    let applied = put_rules(&developer, RULES);
    assert_eq!(applied.status, 200, "{applied:?}");
    assert_eq!(viewer.get("/v1/alert-rules").body, applied.body);

    developer.push(&guest("hostile"));
    deploy(&developer, "panic");
    predict(&developer, 5, 500);
    let firing = next(&requests, "firing");
    assert_eq!(
        (
            &firing["tenant"],
            &firing["rule"],
            &firing["labels"]["deployment"],
            &firing["value"]
        ),
        (&json!("acme"), &json!("failing"), &json!("shaky"), &json!(1.0))
    );
    let evidence = firing["evidence"].as_str().unwrap();
    let path = evidence.strip_prefix("https://caisson.example.org").unwrap();
    assert_eq!(viewer.get(path).status, 200, "{evidence}");
    assert_eq!(the_alert(&viewer)["state"], "firing");

    // Another tenant has nothing of it.
    for (path, list) in [
        ("/v1/alerts", "alerts"),
        ("/v1/alert-rules", "rules"),
        ("/v1/receivers", "receivers"),
        ("/v1/silences", "silences"),
    ] {
        assert_eq!(other.get(path).body, json!({list: []}), "{path}");
    }

    // What fired goes on firing after the process ended, is told once, and resolves.
    eventually("the delivery is noted", || {
        (acme.get("/v1/receivers").body["receivers"][0]["waiting"] == 0).then_some(())
    });
    let (server, operator) = Server::spawn_keyed(server.kill(), FLAGS);
    let [acme, developer, viewer] = [acme, developer, viewer].map(|key| key.at(&server));
    assert_eq!(the_alert(&viewer)["state"], "firing");
    deploy(&developer, "well");
    predict(&developer, 20, 200);
    let resolved = next(&requests, "resolved");
    assert_eq!(resolved["alert"], firing["alert"]);
    assert_eq!(the_alert(&viewer)["state"], "resolved");

    // Silenced, it fires and nobody hears of it, until the silence ends.
    let silence = json!({"matchers": ["deployment=shaky"], "until": "2999-01-01T00:00:00Z", "comment": "x"});
    let too_long = developer.post_json("/v1/silences", &silence);
    assert_eq!(
        (too_long.status, too_long.code()),
        (400, "bad-alerting"),
        "{too_long:?}"
    );
    let until = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let silence = json!({"matchers": ["deployment=shaky"], "until": until, "comment": "being repaired"});
    assert_eq!(viewer.post_json("/v1/silences", &silence).status, 403);
    let silenced = developer.post_json("/v1/silences", &silence);
    assert_eq!(silenced.status, 201, "{silenced:?}");
    assert!(
        silenced.body["author"]
            .as_str()
            .unwrap()
            .starts_with("developer ("),
        "{silenced:?}"
    );
    let id = silenced.body["id"].as_str().unwrap();
    deploy(&developer, "panic");
    predict(&developer, 5, 500);
    let alert = eventually("the silenced alert fires", || {
        Some(the_alert(&viewer)).filter(|alert| alert["state"] == "firing")
    });
    assert_eq!(alert["silenced"], true, "{alert}");
    let quiet = requests
        .recv_timeout(Duration::from_secs(3))
        .map(|r| r.verified());
    assert_eq!(quiet, Err(RecvTimeoutError::Timeout));
    let path = format!("/v1/silences/{id}");
    assert_eq!(other.at(&server).delete(&path).status, 404);
    assert_eq!(developer.delete(&path).status, 200);
    assert_eq!(next(&requests, "firing")["alert"], firing["alert"]);

    // Changes are in the audit log.
    let log = acme.get("/v1/audit").body.to_string();
    for action in ["receiver:update", "alert:configure", "alert:silence"] {
        assert!(log.contains(action), "{action}: {log}");
    }

    // What fires for a deployment that is deleted ends with it.
    assert_eq!(developer.delete("/v1/deployments/shaky").status, 200);
    let ended = next(&requests, "resolved");
    assert!(
        ended["reason"].as_str().unwrap().contains("shaky is gone"),
        "{ended}"
    );
    assert_eq!(operator.delete("/v1/tenants/acme").status, 200);
    server.stop();
}

#[test]
fn the_newest_drift_report_is_a_value_and_the_command_line_does_everything() {
    let server = Server::spawn(tempfile::tempdir().unwrap(), &[&["--dev"], FLAGS].concat());
    server.push_cdnow();
    let answer = server.post("/v1/deployments", "application/yaml", &cdnow("deployment.yaml"));
    assert_eq!(answer.status, 201, "{answer:?}");
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let said = |args: &[&str]| {
        let output = server.cli(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };

    let rules = file(
        "rules.yaml",
        "rules:
  - {name: drifted, metric: drift_status, operator: '>=', threshold: 2, severity: warning}
  - {name: score, metric: drift_score, operator: '>', threshold: 0, severity: info}
  - {name: slow, metric: latency_p95_ms, operator: '>', threshold: 0, severity: info, window: 15m}
",
    );
    assert!(said(&["alert", "rules", "apply", "-f", &rules]).contains("3 rules"));
    let shown = file("shown.yaml", &said(&["alert", "rules", "show"]));
    assert!(said(&["alert", "rules", "apply", "-f", &shown]).contains("3 rules"));

    let (url, requests) = webhook();
    let pager = file(
        "pager.yaml",
        &format!("matchers: [alertname=drifted]\nwebhook: {{url: '{url}', signing_key: '{SIGNING_KEY}'}}\n"),
    );
    said(&["alert", "receiver", "set", "pager", "-f", &pager]);
    said(&["alert", "receiver", "test", "pager"]);
    next(&requests, "test");

    let later = server.post(
        "/v1/deployments/cdnow-repurchase/drift?record=true",
        "text/csv",
        &cdnow("later_months.csv"),
    );
    assert_eq!(later.body["status"], "drifted", "{later:?}");
    let monitors = later.body["monitors"].as_array().unwrap();
    let drifted: Vec<&Value> = monitors.iter().filter(|m| m["status"] == "drifted").collect();
    for _ in &drifted {
        let told = next(&requests, "firing");
        let monitor = &told["labels"]["monitor"];
        assert!(drifted.iter().any(|m| m["name"] == *monitor), "{told}");
    }
    let scores = eventually("every monitor has a score", || {
        let alerts: Value = serde_json::from_str(&said(&["alert", "list", "--json"])).unwrap();
        let alerts = alerts["alerts"].as_array().unwrap().clone();
        let scores: Vec<Value> = alerts.into_iter().filter(|a| a["rule"] == "score").collect();
        (scores.len() == monitors.len()).then_some(scores)
    });
    for score in scores {
        let monitor = monitors
            .iter()
            .find(|m| m["name"] == score["labels"]["monitor"])
            .unwrap();
        let features = monitor["features"].as_array().unwrap();
        let largest = features
            .iter()
            .filter_map(|f| f["statistic"].as_f64())
            .reduce(f64::max);
        assert_eq!(score["value"].as_f64(), largest, "{score}");
    }

    let predicted = server.post(
        "/v1/deployments/cdnow-repurchase/predict",
        "text/csv",
        &cdnow("test_customers.csv"),
    );
    assert_eq!(predicted.status, 200, "{predicted:?}");
    eventually("the latency is a value", || {
        let list = said(&["alert", "list"]);
        list.lines()
            .any(|line| line.contains("slow") && line.contains("95th percentile"))
            .then_some(())
    });

    let id = said(&[
        "alert",
        "silence",
        "add",
        "alertname=drifted",
        "--until",
        "1h",
        "-m",
        "known",
    ]);
    assert!(said(&["alert", "silence", "list"]).contains(id.trim()));
    assert!(said(&["alert", "silence", "end", id.trim()]).contains("ended"));
    let list = said(&["alert", "receiver", "list"]);
    assert!(
        list.contains("pager") && list.contains("webhook") && !list.contains(SIGNING_KEY),
        "{list}"
    );
    said(&["alert", "receiver", "delete", "pager"]);
    let gone = server.cli(&["alert", "receiver", "test", "pager"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&gone.stderr).contains("receiver-not-found"),
        "{gone:?}"
    );
}

#[test]
fn receivers_are_at_public_addresses_unless_the_operator_allows_others() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let hook = json!({"name": "hook", "webhook": {"url": "http://127.0.0.1:9/"}}).to_string();
    let put = |path: &str, body: &str| server.put(path, "application/json", body.as_bytes());
    let refused = put("/v1/receivers/hook", &hook);
    assert_eq!(
        (refused.status, refused.code()),
        (400, "bad-alerting"),
        "{refused:?}"
    );
    assert!(refused.error().contains("operator"), "{refused:?}");
    let public = hook.replace("127.0.0.1:9", "caisson.example.org");
    let other = put("/v1/receivers/other", &public);
    assert_eq!((other.status, other.code()), (400, "bad-alerting"), "{other:?}");
    assert_eq!(put("/v1/receivers/hook", &public).status, 200);
    // What can't be read is placed, and not quoted: it has secrets.
    let broken = put(
        "/v1/receivers/hook",
        "{\"webhook\": {\"url\": \"http://x\", \"signing\": \"sesame\"}}",
    );
    assert_eq!(broken.status, 400);
    assert!(
        broken.error().contains("signing") && !broken.error().contains("sesame"),
        "{broken:?}"
    );
    let schema = server.get("/v1/alert-rules-schema.json");
    assert_eq!(
        (schema.status, schema.body["type"].as_str()),
        (200, Some("object"))
    );
}
