//! Diagnosis and report: what is said of a real model whose traffic changed, and the page in a browser.

use caisson_test_tools::browser;
use serde_json::Value;

use crate::harness::{Keyed, Server, cdnow, eventually, one_column, plugin};

const NAME: &str = "cdnow-repurchase";
/// Of the newest deploy.
const MESSAGE: &str = "<script>alert(1)</script>";

/// The example with monitors over windows of 2,000 rows, and a description that is no markup.
fn deploy_watched(server: &Keyed, message: &str) {
    let yaml = String::from_utf8(cdnow("deployment.yaml")).unwrap();
    let (spec, _) = yaml.split_once("monitors:").unwrap();
    let spec = spec.replace(
        "Does this customer buy again",
        "<b onclick=alert(1)>Does</b> this customer buy again",
    );
    let window = "window: {size: 2000, clock: rows}, alarm: {n: 1, m: 1}";
    let monitors = format!(
        "monitors:
  - {{name: ks, plugin: ks@^0.1, on: input, config: {{columns: [recency_weeks, tenure_weeks, frequency, monetary]}}, {window}}}
  - {{name: prediction, plugin: ks@^0.1, on: predictions, config: {{columns: [probability]}}, {window}}}
monitoring: {{window: {{size: 2000, clock: rows}}, private: [customer_id]}}
"
    );
    let path = format!("/v1/deployments?message={message}");
    let answer = server.post(&path, "application/yaml", format!("{spec}{monitors}").as_bytes());
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
}

/// Send the rows of a CSV, 200 at a time: stages' times count from twenty calls on.
fn predict(server: &Keyed, csv: &[u8], rows: usize) {
    let text = String::from_utf8(csv.to_vec()).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let lines: Vec<&str> = lines.take(rows).collect();
    for part in lines.chunks(200) {
        let body = format!("{header}\n{}\n", part.join("\n"));
        let answer = server.post(
            &format!("/v1/deployments/{NAME}/predict"),
            "text/csv",
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn codes(diagnosis: &Value) -> Vec<&str> {
    let findings = diagnosis["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

#[test]
fn a_model_whose_customers_changed_is_diagnosed_and_its_report_is_a_page() {
    let server = Server::start();
    server.push_cdnow();
    server.push(&plugin("ks"));
    deploy_watched(&server, "%3Cscript%3Ealert(1)%3C/script%3E");
    predict(&server, &cdnow("later_months.csv"), 6_100);
    eventually("three windows", || {
        let path = format!("/v1/deployments/{NAME}/drift?monitor=ks&limit=10");
        (server.get(&path).body["windows"].as_array().unwrap().len() == 3).then_some(())
    });
    let path = format!("/v1/deployments/{NAME}/diagnosis");
    eventually("what columns are worth", || {
        let said = server.get(&path).body.to_string();
        (!said.contains("It is being computed")).then_some(())
    });
    let diagnosis = server.get(&path).body;
    let found = codes(&diagnosis);
    assert!(found.contains(&"drift"), "{diagnosis:#}");
    let findings = diagnosis["findings"].as_array().unwrap();
    let drift = findings
        .iter()
        .find(|finding| finding["code"] == "drift")
        .unwrap();
    let importance = drift["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .find(|fact| fact["label"] == "importance");
    assert!(importance.is_some(), "{drift:#}");
    assert!(
        diagnosis["wrong"].as_str().unwrap().contains("drifted"),
        "{diagnosis:#}"
    );
    let events = diagnosis["events"].as_array().unwrap();
    let deploy = events.iter().find(|event| event["kind"] == "deploy").unwrap();
    assert_eq!(deploy["text"], format!("revision 1 went live: {MESSAGE}"));
    assert!(events.iter().any(|event| event["kind"] == "drift"), "{events:#?}");
    // Every finding can be acted on.
    for finding in findings {
        assert!(!finding["next_step"].as_str().unwrap().is_empty(), "{finding:#}");
        assert!(!finding["evidence"].as_array().unwrap().is_empty(), "{finding:#}");
    }

    let shown = server.cli(&["diagnose", NAME]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    for word in [
        "WHY IS IT SLOW?",
        "WHY IS IT WRONG?",
        "TIME LINE",
        "next: ",
        "drifted",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours in a text: {text:?}");
    let json = server.cli(&["diagnose", NAME, "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["deployment"], NAME);

    // It stays, for who wants to look at it.
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cdnow-report.html");
    let _ = std::fs::remove_file(&file);
    let out = file.to_str().unwrap();
    let written = server.cli(&["report", NAME, "--out", out]);
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    let again = server.cli(&["report", NAME, "--out", out]);
    assert!(!again.status.success(), "a report over another file");
    assert!(std::fs::metadata(&file).unwrap().len() < 2 << 20);

    let Some(browser) = browser::find().unwrap() else {
        return;
    };
    let seen = browser.look(&file, (1280, 900)).unwrap();
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    assert!(seen.requests.is_empty(), "{:?}", seen.requests);
    assert!(seen.active.is_empty(), "{:?}", seen.active);
    assert!(seen.overflow <= 0.0);
    // Nine features but the private one, predictions, five lines of drift, stages and two lines of latency.
    assert!(seen.charts.len() >= 9 + 1 + 5 + 3, "{} charts", seen.charts.len());
    assert!(
        seen.charts
            .iter()
            .all(|(width, height)| *width > 200.0 && *height > 25.0),
        "{:?}",
        seen.charts
    );
    for text in [
        "recency_weeks",
        "model cdnow-repurchase@1",
        MESSAGE,
        "<b onclick=alert(1)>Does</b>",
        "Why is it wrong?",
        "threshold",
    ] {
        assert!(seen.text.contains(text), "{text} isn't shown");
    }
    let pdf = browser.pdf(&file).unwrap();
    assert!(
        pdf.starts_with(b"%PDF") && pdf.len() > 30_000,
        "{} bytes",
        pdf.len()
    );
}

#[test]
fn what_is_not_there_is_said_with_how_to_get_it() {
    let (server, operator) = Server::start_keyed();
    let admin = operator.tenant("acme");
    admin.deploy(&one_column("bare", serde_json::json!([])));
    let viewer = admin.key_of("viewer");
    let diagnosis = viewer.get("/v1/deployments/bare/diagnosis");
    assert_eq!(diagnosis.status, 200, "{diagnosis:?}");
    assert!(codes(&diagnosis.body).is_empty(), "{diagnosis:?}");
    assert!(
        diagnosis.body["slow"]
            .as_str()
            .unwrap()
            .contains("no requests lately")
    );
    let unknown = diagnosis.body["unknown"].to_string();
    for what in ["no monitors", "no model", "ground_truth"] {
        assert!(unknown.contains(what), "{what}: {unknown}");
    }
    let page = viewer.text("/v1/deployments/bare/report");
    for what in [
        "Drift over time",
        "Performance isn&#39;t measured.",
        "nothing to compare with",
    ] {
        assert!(page.contains(what), "{what}: {page}");
    }
    // Nobody else's.
    let other = operator.tenant("other");
    for what in ["diagnosis", "report"] {
        assert_eq!(other.get(&format!("/v1/deployments/bare/{what}")).status, 404);
        assert_eq!(server.get(&format!("/v1/deployments/bare/{what}")).status, 401);
    }
}

#[test]
fn a_revision_that_only_watches_is_told_as_such() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let clip = |max: f64| {
        let columns = serde_json::json!({"x": {"min": 0.0, "max": max}});
        one_column(
            "watched",
            serde_json::json!([{"plugin": "clip@^0.1", "config": {"columns": columns}}]),
        )
    };
    let mut spec = clip(1.0);
    server.deploy(&spec);
    spec["description"] = "Numbers between 0 and 1".into();
    spec["log"] = serde_json::json!({"sample": 1.0});
    server.deploy(&spec);
    server.deploy(&clip(2.0));
    let diagnosis = server.get("/v1/deployments/watched/diagnosis").body;
    let mut told: Vec<_> = diagnosis["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["text"].as_str().unwrap(), event["kind"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("revision 1 went live", "deploy"),
            (
                "revision 2 went live, which only watches the answers otherwise",
                "watch"
            ),
            // The log goes, and the numbers change.
            ("revision 3 went live", "deploy"),
        ],
        "{diagnosis:#}"
    );
}
