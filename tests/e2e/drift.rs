//! Drift: the baseline against itself is stable, shifted traffic is not, feature by feature.

use serde_json::{Value, json};

use crate::harness::{Server, cdnow, plugin};

#[test]
fn the_same_customers_are_stable_and_later_months_are_not() {
    let server = Server::with_cdnow();
    let same = server.post(
        "/v1/deployments/cdnow-repurchase/drift",
        "text/csv",
        &cdnow("test_customers.csv"),
    );
    assert_eq!(same.status, 200, "{same:?}");
    let monitors = same.body["monitors"].as_array().unwrap();
    assert!(!monitors.is_empty());
    for monitor in monitors {
        assert!(monitor["status"] != "drifted", "{monitor}");
        assert!(!monitor["features"].as_array().unwrap().is_empty(), "{monitor}");
    }
    let later = server.post(
        "/v1/deployments/cdnow-repurchase/drift",
        "text/csv",
        &cdnow("later_months.csv"),
    );
    assert_eq!(
        (later.status, later.body["status"].as_str()),
        (200, Some("drifted")),
        "{later:?}"
    );
    let drifted: Vec<&Value> = later.body["monitors"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|m| m["features"].as_array().unwrap())
        .filter(|f| f["status"] == "drifted")
        .collect();
    assert!(!drifted.is_empty());
    assert!(
        drifted
            .iter()
            .all(|f| f["statistic"].is_number() && !f["detail"].as_str().unwrap().is_empty())
    );
}

#[test]
fn asking_changes_nothing_unless_it_says_so() {
    let (_server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    acme.push_cdnow();
    let made = acme.post("/v1/deployments", "application/yaml", &cdnow("deployment.yaml"));
    assert_eq!(made.status, 201, "{made:?}");
    let path = "/v1/deployments/cdnow-repurchase/drift";
    let later = cdnow("later_months.csv");
    let scored = || acme.metrics().contains("caisson_drift_score{");
    assert_eq!(acme.post(path, "text/csv", &later).status, 200);
    assert!(!scored());
    let recording = format!("{path}?record=true");
    let predictor = acme.key_of("predictor");
    assert_eq!(predictor.post(path, "text/csv", &later).status, 200);
    assert_eq!(predictor.post(&recording, "text/csv", &later).status, 403);
    assert!(!scored());
    assert_eq!(
        acme.key_of("developer")
            .post(&recording, "text/csv", &later)
            .status,
        200
    );
    assert!(scored());
}

#[test]
fn monitors_are_checked_when_deployed() {
    let server = Server::start();
    server.push(&plugin("ks"));
    let spec = json!({
        "name": "m", "input": [{"name": "x", "type": "fp32"}],
        "monitors": [{"name": "a", "plugin": "ks"}]
    });
    let answer = server.post_json("/v1/deployments", &spec);
    assert_eq!((answer.status, answer.code()), (422, "no-baseline"), "{answer:?}");
    server.deploy(&json!({"name": "n", "input": [{"name": "x", "type": "fp32"}]}));
    let answer = server.post_json("/v1/deployments/n/drift", &json!({"rows": [{"x": 1}]}));
    assert_eq!((answer.status, answer.code()), (422, "no-monitors"), "{answer:?}");
}

#[test]
fn a_baseline_that_is_not_in_the_input_columns_is_refused() {
    let server = Server::start();
    server.push_cdnow();
    let metadata = json!({});
    let answer = server.push_model(
        "cdnow-repurchase",
        &cdnow("model.onnx"),
        &metadata,
        Some(b"wrong,columns\n1,2\n"),
    );
    assert_eq!(
        (answer.status, answer.body["version"].as_u64()),
        (201, Some(2)),
        "{answer:?}"
    );
    let text = String::from_utf8(cdnow("deployment.yaml"))
        .unwrap()
        .replace("version: 1", "version: 2");
    let answer = server.post("/v1/deployments", "application/yaml", text.as_bytes());
    assert_eq!(
        (answer.status, answer.code()),
        (422, "baseline-mismatch"),
        "{answer:?}"
    );
}
