//! The prediction log: what was answered is in Parquet files that others read, and nobody else's is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Keyed, Server, cdnow, one_column, plugin};
use crate::python::{python, run};

/// A deployment of one column that clips at ten, with this log.
fn clip(log: Value) -> Value {
    let mut spec = one_column(
        "clip",
        json!([{"plugin": "clip", "config": {"columns": {"x": {"max": 10}}}}]),
    );
    spec["log"] = log;
    spec
}

/// The rows that DuckDB gives for a query on the files of a tenant, `FILES` in the query.
fn duckdb(data: &Path, tenant: &str, query: &str) -> Vec<Value> {
    let files = data.join(format!("objects/predictions/tenant={tenant}/**/*.parquet"));
    let files = format!(
        "read_parquet('{}', hive_partitioning = true, union_by_name = true)",
        files.display()
    );
    let program = "import duckdb, json, sys\n\
                   found = duckdb.sql(sys.argv[1])\n\
                   print(json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()]))";
    let python = python("duckdb", "requirements.txt");
    let rows = run(Command::new(python).args(["-c", program, &query.replace("FILES", &files)]));
    serde_json::from_slice(&rows).unwrap()
}

/// Wait until the log has this many rows in its files.
fn wait_for(client: &Keyed, name: &str, rows: u64) -> Value {
    let start = Instant::now();
    loop {
        let status = client.get(&format!("/v1/deployments/{name}/log")).body;
        if status["rows"]["logged"] == rows {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_row_of_a_real_model_is_logged_as_it_was_answered() {
    let server = Server::start();
    server.push_cdnow();
    let yaml = String::from_utf8(cdnow("deployment.yaml")).unwrap();
    let log = "log:\n  sample: 1\n  features: true\n  redact: {customer_id: hash}\n  flush_seconds: 1\n";
    let answer = server.post(
        "/v1/deployments",
        "application/yaml",
        format!("{yaml}\n{log}").as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = server.post_with(
        "/v1/deployments/cdnow-repurchase/predict",
        "text/csv",
        &cdnow("test_customers.csv"),
        &[("X-Request-Id", "all-of-them")],
    );
    assert_eq!(answer.header("x-request-id"), Some("all-of-them"));
    let answered = answer.body["rows"].as_array().unwrap();
    wait_for(&server, "cdnow-repurchase", answered.len() as u64);
    let columns = duckdb(
        server.data.path(),
        "default",
        "SELECT column_name FROM (DESCRIBE SELECT * FROM FILES)",
    );
    let names: Vec<&str> = columns
        .iter()
        .map(|c| c["column_name"].as_str().unwrap())
        .collect();
    for name in [
        "input_recency_weeks",
        "feature_recency_weeks",
        "output_customer_id",
        "deployment",
        "date",
        "hour",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let outputs: Vec<&String> = answered[0].as_object().unwrap().keys().collect();
    let list: Vec<String> = outputs
        .iter()
        .map(|name| format!("output_{name} AS \"{name}\""))
        .collect();
    let logged = duckdb(
        server.data.path(),
        "default",
        &format!(
            "SELECT {} FROM FILES WHERE request_id = 'all-of-them' AND revision = 1 AND latency_seconds > 0 ORDER BY row",
            list.join(", ")
        ),
    );
    assert_eq!(logged.len(), answered.len());
    for (logged, answered) in logged.iter().zip(answered) {
        for name in &outputs {
            match name.as_str() {
                "customer_id" => assert_eq!(logged[*name].as_str().unwrap().len(), 32),
                // Neither JSON has more digits than the float has.
                name => match (logged[name].as_f64(), answered[name].as_f64()) {
                    (Some(a), Some(b)) => assert_eq!(a as f32, b as f32, "{name}"),
                    _ => assert_eq!(logged[name], answered[name], "{name}"),
                },
            }
        }
    }
    // The same customer is the same hash in what was sent and what was answered.
    let same = "SELECT count(*) AS n FROM FILES WHERE input_customer_id = output_customer_id";
    assert_eq!(
        duckdb(server.data.path(), "default", same)[0]["n"],
        answered.len() as u64
    );
}

#[test]
fn each_form_of_request_is_logged_under_its_id() {
    let server = Server::start();
    server.push(&plugin("clip"));
    server.deploy(&clip(json!({"sample": 1, "flush_seconds": 1})));
    let rows = |id: &str| {
        let query =
            format!("SELECT row, input_x, output_x FROM FILES WHERE request_id = '{id}' ORDER BY row");
        duckdb(server.data.path(), "default", &query)
    };
    let predict = "/v1/deployments/clip/predict";
    let made = server.post_json(predict, &json!({"rows": [{"x": 4}, {"x": 40}, {"x": null}]}));
    let id = made.header("x-request-id").unwrap().to_owned();
    let again = server.post_json(predict, &json!({"rows": []}));
    assert_ne!(again.header("x-request-id"), Some(id.as_str()));
    let tensors =
        json!({"id": "oip-7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [5]}]});
    let answer = server.post_json("/v2/models/clip/infer", &tensors);
    assert_eq!(
        (answer.status, answer.header("x-request-id")),
        (200, Some("oip-7"))
    );
    let lines: String = (0..3000)
        .map(|x| {
            if x == 1500 {
                "{\"x\": \"no\"}\n".to_owned()
            } else {
                format!("{{\"x\": {x}}}\n")
            }
        })
        .collect();
    let form = "application/x-ndjson";
    let headers = [("Content-Type", form), ("X-Request-Id", "stream")];
    let text = server.text_of_post(predict, &headers, lines.as_bytes());
    assert_eq!(text.lines().count(), 3000);
    wait_for(&server, "clip", 3 + 1 + 2999);
    let expected = json!([
        {"row": 0, "input_x": 4.0, "output_x": 4.0},
        {"row": 1, "input_x": 40.0, "output_x": 10.0},
        {"row": 2, "input_x": null, "output_x": null},
    ]);
    assert_eq!(json!(rows(&id)), expected);
    assert_eq!(
        json!(rows("oip-7")),
        json!([{"row": 0, "input_x": 5.0, "output_x": 5.0}])
    );
    let streamed = rows("stream");
    assert_eq!(streamed.len(), 2999);
    assert!(
        streamed
            .iter()
            .all(|row| row["row"].as_f64() == row["input_x"].as_f64() && row["row"] != 1500)
    );
    // An id that no log can hold, and a deployment without a log, which reads none.
    let long = "x".repeat(129);
    let refused = server.post_with(
        predict,
        "application/json",
        b"{\"rows\":[]}",
        &[("X-Request-Id", &long)],
    );
    assert_eq!((refused.status, refused.code()), (400, "bad-request-id"));
    server.deploy(&one_column("plain", json!([])));
    let plain = "/v1/deployments/plain/predict";
    let answer = server.post_with(
        plain,
        "application/json",
        b"{\"rows\":[]}",
        &[("X-Request-Id", &long)],
    );
    assert_eq!((answer.status, answer.header("x-request-id")), (200, None));
    assert_eq!(server.get("/v1/deployments/plain/log").status, 404);
}

#[test]
fn a_log_that_can_not_be_is_refused_when_deployed() {
    let server = Server::start();
    server.push(&plugin("clip"));
    for (log, status, word) in [
        (json!({"sample": 0}), 400, "log.sample"),
        (json!({"sample": 1, "columns": []}), 400, "columns"),
        (json!({"sample": 1, "redact": {"email": "drop"}}), 422, "email"),
        (json!({"sample": 1, "redact": {"x": "hash"}}), 422, "hashed"),
        (
            json!({"sample": 1, "event_time": {"column": "x"}}),
            422,
            "neither text nor int64",
        ),
    ] {
        let answer = server.post_json("/v1/deployments", &clip(log.clone()));
        assert_eq!(answer.status, status, "{log}: {answer:?}");
        assert!(answer.error().contains(word), "{log}: {}", answer.error());
    }
}

#[test]
fn a_kill_loses_only_what_waited_and_a_stop_loses_nothing() {
    let server = Server::start();
    server.push(&plugin("clip"));
    let one = |server: &Server, id: &str| {
        let answer = server.post_with(
            "/v1/deployments/clip/predict",
            "application/json",
            b"{\"rows\":[{\"x\":1}]}",
            &[("X-Request-Id", id)],
        );
        assert_eq!(answer.status, 200);
    };
    let ids = |data: &Path| -> Vec<Value> {
        let rows = duckdb(data, "default", "SELECT request_id FROM FILES ORDER BY 1");
        rows.into_iter().map(|row| row["request_id"].clone()).collect()
    };
    server.deploy(&clip(json!({"sample": 1, "flush_seconds": 1})));
    one(&server, "flushed");
    wait_for(&server, "clip", 1);
    server.deploy(&clip(json!({"sample": 1, "flush_seconds": 3600})));
    one(&server, "waited");
    let server = Server::start_in(server.kill());
    assert_eq!(ids(server.data.path()), ["flushed"]);
    one(&server, "stopped");
    let data = server.stop();
    assert_eq!(ids(data.path()), ["flushed", "stopped"]);
    // What is stored is known again after a start.
    let server = Server::start_in(data);
    let start = Instant::now();
    while server.get("/v1/deployments/clip/log").body["stored_bytes"] == 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(config.path(), "[predictions]\nbuffer_bytes = 4194304\n").unwrap();
    let flags = ["--dev", "--config", config.path().to_str().unwrap()];
    let server = Server::spawn(tempfile::tempdir().unwrap(), &flags);
    server.deploy(&{
        let mut spec = one_column("same", json!([]));
        spec["log"] = json!({"sample": 1, "flush_seconds": 1});
        spec
    });
    let rows: Vec<Value> = (0..60_000).map(|x| json!({"x": x})).collect();
    // 480 kB fit a deployment's mebibyte; three times in a second they may not, and twice as wide never do.
    let answer = server.post_json("/v1/deployments/same/predict", &json!({"rows": rows}));
    assert_eq!(answer.status, 200);
    wait_for(&server, "same", 60_000);
    let shown = server.cli(&["deployment", "log", "same"]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(
        shown.contains("logged: 60000") && !shown.contains("dropped"),
        "{shown}"
    );
    let wide: Vec<Value> = (0..30)
        .map(|n| json!({"name": format!("c{n}"), "type": "fp32"}))
        .collect();
    server.deploy(&json!({"name": "wide", "input": wide, "log": {"sample": 1}}));
    let row: serde_json::Map<String, Value> = (0..30).map(|n| (format!("c{n}"), json!(n))).collect();
    let rows = vec![Value::Object(row); 10_000];
    let answer = server.post_json("/v1/deployments/wide/predict", &json!({"rows": rows}));
    assert_eq!(answer.status, 200);
    let status = server.get("/v1/deployments/wide/log").body;
    assert_eq!(status["rows"]["dropped"]["memory"], 10_000, "{status}");
    let metrics = server.metrics();
    let series = |line: &&str| {
        line.starts_with("caisson_log_dropped_rows_total")
            && line.contains("deployment=\"wide\"")
            && line.contains("reason=\"memory\"")
    };
    let line = metrics.lines().find(series).unwrap();
    assert!(line.ends_with(" 10000"), "{line}");
}

#[test]
fn tenants_have_their_own_files_and_they_go_with_the_tenant() {
    let (server, operator) = Server::start_keyed();
    let (ann, bob) = (operator.tenant("ann"), operator.tenant("bob"));
    for tenant in [&ann, &bob] {
        let mut spec = one_column("same", json!([]));
        spec["log"] = json!({"sample": 1, "flush_seconds": 1});
        tenant.deploy(&spec);
        let answer = tenant.post_json("/v1/deployments/same/predict", &json!({"rows": [{"x": 1}]}));
        assert_eq!(answer.status, 200);
        wait_for(tenant, "same", 1);
    }
    let usage = operator.get("/v1/tenants/ann/usage").body;
    assert!(usage["usage"]["stored_bytes"].as_u64().unwrap() > 1000, "{usage}");
    let folder = |tenant: &str| {
        server
            .data
            .path()
            .join(format!("objects/predictions/tenant={tenant}"))
    };
    assert!(folder("ann").is_dir() && folder("bob").is_dir());
    // Only its own is in what a tenant sees.
    assert_eq!(bob.delete("/v1/deployments/same").status, 200);
    assert_eq!(bob.get("/v1/deployments/same/log").status, 404);
    assert_eq!(ann.get("/v1/deployments/same/log").status, 200);
    assert_eq!(operator.delete("/v1/tenants/bob").status, 200);
    assert!(folder("ann").is_dir() && !folder("bob").exists());
}
