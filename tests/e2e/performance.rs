//! Ground truth and performance: labels in every form, what becomes of them, and values that are
//! scikit-learn's.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Keyed, Server, cdnow};
use crate::python::{python, run};

/// A deployment that answers what it is sent: predictions that a test chooses.
fn echo(name: &str, truth: Value, performance: Value) -> Value {
    json!({
        "name": name,
        "input": [
            {"name": "at", "type": "text"},
            {"name": "region", "type": "text", "nullable": true},
            {"name": "customer", "type": "int64"},
            {"name": "score", "type": "fp64"},
            {"name": "class", "type": "text"},
            {"name": "number", "type": "fp64"},
            {"name": "probabilities", "type": "fp64", "shape": [3]},
        ],
        "log": {"sample": 1, "flush_seconds": 1, "event_time": {"column": "at"}},
        "ground_truth": truth,
        "performance": performance,
    })
}

fn binary(more: Value) -> Value {
    let mut performance = json!({
        "task": "binary", "scores": ["score"], "positive": 1, "window": {"seconds": 60},
    });
    for (key, value) in more.as_object().unwrap() {
        performance[key] = value.clone();
    }
    performance
}

fn bought() -> Value {
    json!({"label": {"name": "bought", "type": "int64"}})
}

/// A row at a second after noon.
fn row(second: i64, score: f64) -> Value {
    json!({
        "at": format!("2026-01-01T12:{:02}:{:02}Z", second / 60, second % 60),
        "region": if second % 2 == 0 { "north" } else { "south" },
        "customer": second, "score": score, "class": "a", "number": score, "probabilities": [0.2, 0.3, 0.5],
    })
}

fn path(name: &str, what: &str) -> String {
    format!("/v1/deployments/{name}/{what}")
}

fn predict(client: &Keyed, name: &str, id: &str, rows: &[Value]) {
    let body = json!({ "rows": rows }).to_string();
    let answer = client.post_with(
        &path(name, "predict"),
        "application/json",
        body.as_bytes(),
        &[("X-Request-Id", id)],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Wait until the log has this many rows, and tell the performance.
fn evaluate(client: &Keyed, name: &str, rows: u64) {
    let start = Instant::now();
    while client.get(&path(name, "log")).body["rows"]["logged"]
        .as_u64()
        .unwrap()
        < rows
    {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = client.post(&path(name, "performance"), "application/json", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The newest window of all, and its part of all rows.
fn newest(client: &Keyed, name: &str) -> (Value, Value) {
    let answer = client.get(&path(name, "performance"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let window = answer.body["windows"][0].clone();
    let part = window["parts"][0].clone();
    (window, part)
}

#[test]
fn labels_come_in_every_form_late_twice_and_stated_anew() {
    let server = Server::start();
    server.deploy(&echo("shop", bought(), binary(json!({"segments": ["region"]}))));
    let rows: Vec<Value> = (0..10).map(|i| row(i, if i < 5 { 0.9 } else { 0.1 })).collect();
    predict(&server, "shop", "first", &rows);
    predict(&server, "shop", "closes", &[row(130, 0.5)]);
    // Before the log is written; JSON, CSV, NDJSON, Arrow and Parquet.
    let send = |form: &str, body: &[u8]| server.post(&path("shop", "feedback"), form, body);
    let one = |row: i64, bought: i64| json!({"request_id": "first", "row": row, "bought": bought});
    let answer = send(
        "application/json",
        json!({"rows": [one(0, 1), one(1, 1)]}).to_string().as_bytes(),
    );
    assert_eq!(
        (answer.status, &answer.body["accepted"]),
        (200, &json!(2)),
        "{answer:?}"
    );
    let csv = b"bought,row,request_id,observed_at\n1,2,first,2026-01-02T00:00:00Z\n0,3,first,\n";
    assert_eq!(send("text/csv", csv).body["accepted"], 2);
    let lines = format!("{}\n{}\n", one(4, 0), one(5, 1));
    assert_eq!(send("application/x-ndjson", lines.as_bytes()).body["accepted"], 2);
    // A deployment of the columns of feedback makes the files.
    server.deploy(&json!({"name": "table", "input": [
        {"name": "request_id", "type": "text"}, {"name": "row", "type": "int64"}, {"name": "bought", "type": "int64"},
    ]}));
    for (row, form) in [
        (6, "application/vnd.apache.parquet"),
        (7, "application/vnd.apache.arrow.stream"),
    ] {
        let rows = json!({"rows": [one(row, 0), one(row + 2, 0)]}).to_string();
        let file = server.bytes(
            &path("table", "predict"),
            "application/json",
            rows.as_bytes(),
            form,
        );
        let answer = send(form, &file);
        assert_eq!(answer.body["accepted"], 2, "{answer:?}");
    }
    evaluate(&server, "shop", 11);
    let (window, part) = newest(&server, "shop");
    assert_eq!(window["window"]["start"], "2026-01-01T12:00:00Z");
    assert_eq!(
        (&part["predictions"], &part["labelled"]),
        (&json!(10), &json!(10))
    );
    // Right: 0, 1, 2 and 6 to 9.
    assert_eq!(part["metrics"]["accuracy"]["value"], 0.7);
    assert_eq!(
        part["confusion"],
        json!({"labels": ["0", "1"], "counts": [[4, 2], [1, 3]]})
    );
    let counts = server.get(&path("shop", "feedback")).body;
    assert_eq!(
        (&counts["labels"], &counts["unmatched"]),
        (&json!(10), &json!(0)),
        "{counts}"
    );
    // Again, anew, and of nothing.
    let more = json!({"rows": [one(0, 1), one(3, 1), {"request_id": "nobody", "bought": 1}]});
    assert_eq!(
        send("application/json", more.to_string().as_bytes()).body["accepted"],
        3
    );
    evaluate(&server, "shop", 11);
    let (window, part) = newest(&server, "shop");
    assert_eq!((&window["statement"], &part["restated"]), (&json!(2), &json!(1)));
    assert_eq!(part["metrics"]["accuracy"]["value"], 0.8);
    let counts = server.get(&path("shop", "feedback")).body;
    for (name, count) in [
        ("labels", 12),
        ("matched", 11),
        ("unmatched", 1),
        ("duplicates", 1),
        ("restated", 1),
    ] {
        assert_eq!(counts[name], count, "{name}: {counts}");
    }
    let both = server.get(&path("shop", "performance?statements=true")).body;
    assert_eq!(both["windows"].as_array().unwrap().len(), 2);
    assert_eq!(
        both["windows"][1]["parts"][0]["metrics"]["accuracy"]["value"],
        0.7
    );
    // One segment, one metric.
    let north = server
        .get(&path(
            "shop",
            "performance?segment=region%3Dnorth&metric=accuracy",
        ))
        .body;
    let parts = north["windows"][0]["parts"].as_array().unwrap();
    assert_eq!((parts.len(), &parts[0]["segment"]["value"]), (1, &json!("north")));
    assert_eq!(parts[0]["metrics"].as_object().unwrap().len(), 1);
    for query in [
        "segment=region",
        "segment=x%3D1",
        "metric=acuracy",
        "limit=0",
        "form=1",
    ] {
        let answer = server.get(&path("shop", &format!("performance?{query}")));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    // What was sent and answered.
    let logged = server
        .get(&path("shop", "predictions?request_id=first&limit=4"))
        .body;
    assert_eq!(
        (logged["rows"].as_array().unwrap().len(), &logged["truncated"]),
        (4, &json!(true))
    );
    assert_eq!(logged["rows"][1]["output_score"], 0.9);
    assert_eq!(logged["rows"][1]["input_probabilities"], json!([0.2, 0.3, 0.5]));
    let none = server
        .get(&path("shop", "predictions?to=2020-01-01T00:00:00Z"))
        .body;
    assert_eq!(none["rows"], json!([]));
    // The command line.
    let shown = server.cli(&["performance", "shop", "--evaluate", "--metric", "accuracy"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("0.8000 [") && text.contains("region=north"),
        "{text}"
    );
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    file.write_all(b"request_id,row,bought\nfirst,0,1\nfirst,x,1\n")
        .unwrap();
    let output = server.cli(&["feedback", "shop", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1 labels are kept\n");
    let output = server.cli(&["predictions", "shop", "--limit", "2"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("output_score"));
}

#[test]
fn an_acknowledged_label_survives_a_kill_and_what_was_said_a_restart() {
    let server = Server::start();
    server.deploy(&echo(
        "shop",
        bought(),
        binary(json!({"window": {"seconds": 60, "step_seconds": 30}})),
    ));
    predict(&server, "shop", "a", &[row(0, 0.9), row(40, 0.2), row(70, 0.9)]);
    predict(&server, "shop", "closes", &[row(300, 0.5)]);
    evaluate(&server, "shop", 4);
    let sent = json!({"rows": [{"request_id": "a", "row": 0, "bought": 1}, {"request_id": "a", "row": 1, "bought": 1}]});
    assert_eq!(server.post_json(&path("shop", "feedback"), &sent).status, 200);
    let server = Server::start_in(server.kill());
    evaluate(&server, "shop", 0);
    let body = server.get(&path("shop", "performance")).body;
    let said: Vec<(String, u64, u64)> = body["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| {
            let part = &window["parts"][0];
            let count = |name: &str| part[name].as_u64().unwrap();
            let start = window["window"]["start"].as_str().unwrap().to_owned();
            (start, count("predictions"), count("labelled"))
        })
        .collect();
    let expected = [
        ("2026-01-01T12:01:00Z", 1, 0),
        ("2026-01-01T12:00:30Z", 2, 1),
        ("2026-01-01T12:00:00Z", 2, 2),
        ("2026-01-01T11:59:30Z", 1, 1),
    ];
    assert_eq!(
        said,
        expected.map(|(start, rows, labels)| (start.to_owned(), rows, labels))
    );
    let statements = |body: &Value| -> Vec<Value> {
        let windows = body["windows"].as_array().unwrap();
        windows.iter().map(|w| w["statement"].clone()).collect()
    };
    assert_eq!(statements(&body), [1, 2, 2, 2]);
    let server = Server::start_in(server.stop());
    evaluate(&server, "shop", 0);
    assert_eq!(
        statements(&server.get(&path("shop", "performance")).body),
        [1, 2, 2, 2]
    );
    // A rule on it, and the end of all of it.
    assert_eq!(server.delete("/v1/deployments/shop").status, 200);
    for folder in ["labels", "performance"] {
        assert!(
            !server.data.path().join("objects").join(folder).exists(),
            "{folder}"
        );
    }
}

#[test]
fn what_is_no_label_is_refused_and_says_why() {
    let (server, operator) = Server::start_keyed();
    let (ann, bob) = (operator.tenant("ann"), operator.tenant("bob"));
    for tenant in [&ann, &bob] {
        tenant.deploy(&echo("shop", bought(), binary(json!({}))));
        predict(tenant, "shop", "same", &[row(0, 0.9)]);
        predict(tenant, "shop", "closes", &[row(100, 0.9)]);
    }
    let send = |form: &str, body: &[u8]| ann.post(&path("shop", "feedback"), form, body);
    let long = format!(
        "{{\"rows\":[{{\"request_id\":\"{}\",\"bought\":1}}]}}",
        "x".repeat(129)
    );
    for (form, body, status, word) in [
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"\",\"bought\":1}]}",
            400,
            "request_id",
        ),
        ("application/json", long.as_str(), 400, "128 characters"),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\\u0000b\",\"bought\":1}]}",
            400,
            "printable",
        ),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\",\"row\":-1,\"bought\":1}]}",
            400,
            "counted from 0",
        ),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\",\"bought\":1.5}]}",
            400,
            "bought",
        ),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\"}]}",
            400,
            "bought",
        ),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\",\"bougth\":1}]}",
            400,
            "bougth",
        ),
        (
            "application/json",
            "{\"rows\":[{\"request_id\":\"a\",\"bought\":1,\"observed_at\":\"soon\"}]}",
            400,
            "no time",
        ),
        ("text/csv", "request_id,bought\na,NaN\n", 400, "bought"),
        ("application/vnd.apache.parquet", "PAR1", 400, "Parquet"),
        ("image/png", "x", 415, "application/json"),
    ] {
        let answer = send(form, body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.error().contains(word), "{word}: {}", answer.error());
    }
    // Some are labels.
    let answer = send("text/csv", b"request_id,bought\nsame,1\n,0\nother,x\n");
    assert_eq!(
        (&answer.body["accepted"], &answer.body["refused"]),
        (&json!(1), &json!(2)),
        "{answer:?}"
    );
    assert_eq!(answer.body["errors"][0]["row"], 1, "{answer:?}");
    // A hundred megabytes that never make a row, and as many that make millions of them are read in parts.
    let endless = vec![b'x'; 100 << 20];
    let answer = send("application/x-ndjson", &endless);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(send("application/json", &endless).status, 413);
    // Whose they are is said by the key alone.
    evaluate(&ann, "shop", 2);
    evaluate(&bob, "shop", 2);
    assert_eq!(newest(&ann, "shop").1["labelled"], 1);
    assert_eq!(newest(&bob, "shop").1["labelled"], 0);
    assert_eq!(bob.get(&path("shop", "feedback")).body["labels"], 0);
    // Roles: a predictor says what came true, and reads neither rows nor more than states.
    let predictor = ann.key_of("predictor");
    let viewer = ann.key_of("viewer");
    let one = json!({"rows": [{"request_id": "same", "bought": 1}]});
    assert_eq!(predictor.post_json(&path("shop", "feedback"), &one).status, 200);
    assert_eq!(predictor.get(&path("shop", "predictions")).status, 403);
    assert_eq!(viewer.post_json(&path("shop", "feedback"), &one).status, 403);
    assert_eq!(viewer.get(&path("shop", "performance")).status, 200);
    assert_eq!(viewer.get(&path("shop", "predictions")).status, 403);
    assert_eq!(ann.get(&path("shop", "predictions")).status, 200);
    // Without a file that says what they are.
    ann.deploy(&json!({"name": "plain", "input": [{"name": "x", "type": "fp32"}]}));
    for what in ["feedback", "performance", "predictions"] {
        assert_eq!(ann.get(&path("plain", what)).status, 404, "{what}");
    }
    // What they take counts as the tenant's, and goes with it.
    let usage = operator.get("/v1/tenants/ann/usage").body;
    assert!(usage["usage"]["stored_bytes"].as_u64().unwrap() > 1000, "{usage}");
    let folder = |tenant: &str| server.data.path().join(format!("objects/labels/tenant={tenant}"));
    assert!(folder("ann").is_dir());
    assert_eq!(ann.delete("/v1/deployments/shop").status, 200);
    assert!(!folder("ann").exists());
}

#[test]
fn a_deployment_that_gets_worse_fires_an_alert() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        config.path(),
        "[performance]\ninterval_seconds = 1\n[alerts]\ninterval_seconds = 1\n",
    )
    .unwrap();
    let flags = ["--dev", "--config", config.path().to_str().unwrap()];
    let server = Server::spawn(tempfile::tempdir().unwrap(), &flags);
    let performance = binary(json!({
        "reference": {"accuracy": 0.95}, "alarm": {"n": 1, "m": 1}, "segments": ["region"],
    }));
    server.deploy(&echo("shop", bought(), performance));
    let rules = json!({"rules": [
        {"name": "inaccurate", "metric": "accuracy", "operator": "<", "threshold": 0.85, "severity": "critical"},
        {"name": "worse", "metric": "degraded", "operator": ">=", "threshold": 1, "severity": "warning"},
    ]});
    let answer = server.put(
        "/v1/alert-rules",
        "application/json",
        rules.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let rows: Vec<Value> = (0..59).map(|i| row(i, 0.9)).collect();
    predict(&server, "shop", "a", &rows);
    predict(&server, "shop", "closes", &[row(100, 0.9)]);
    let labels: Vec<Value> = (0..59)
        .map(|i| json!({"request_id": "a", "row": i, "bought": i64::from(i < 30)}))
        .collect();
    let answer = server.post_json(&path("shop", "feedback"), &json!({ "rows": labels }));
    assert_eq!(answer.body["accepted"], 59, "{answer:?}");
    let start = Instant::now();
    loop {
        let alerts = server.get("/v1/alerts").body;
        let fires = |name: &str| {
            let all = alerts["alerts"].as_array().unwrap().iter();
            all.filter(|alert| alert["rule"] == name)
                .any(|alert| alert["state"] == "firing")
        };
        if fires("inaccurate") && fires("worse") {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{alerts}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let shown = server.cli(&["performance", "shop"]);
    assert_eq!(shown.status.code(), Some(2), "worse than it should be");
}

/// The metrics of a table by scikit-learn.
fn sklearn(table: &Value) -> Value {
    let program = r#"
import json, sys
import sklearn.metrics as m
t = json.load(open(sys.argv[1]))
out = {}
if t["task"] == "binary":
    y, s = t["labels"], t["scores"]
    p = [int(x >= 0.5) for x in s]
    out = {"roc_auc": m.roc_auc_score(y, s), "pr_auc": m.average_precision_score(y, s),
           "log_loss": m.log_loss(y, s), "brier": m.brier_score_loss(y, s),
           "precision": m.precision_score(y, p), "recall": m.recall_score(y, p), "f1": m.f1_score(y, p)}
elif t["task"] == "multiclass":
    y, s, c = t["labels"], t["scores"], t["classes"]
    p = [c[max(range(len(c)), key=lambda k: r[k])] for r in s]
    out = {"roc_auc": m.roc_auc_score(y, s, multi_class="ovr", labels=c), "log_loss": m.log_loss(y, s, labels=c)}
else:
    y, p = t["labels"], t["numbers"]
    out = {"mae": m.mean_absolute_error(y, p), "rmse": m.root_mean_squared_error(y, p), "r2": m.r2_score(y, p),
           "mape": m.mean_absolute_percentage_error(y, p), "median_absolute_error": m.median_absolute_error(y, p)}
if t["task"] in ("binary", "multiclass"):
    out["accuracy"] = m.accuracy_score(y, p)
    out["mcc"] = m.matthews_corrcoef(y, p)
    for a in ("macro", "micro", "weighted"):
        out["precision_" + a] = m.precision_score(y, p, average=a)
        out["recall_" + a] = m.recall_score(y, p, average=a)
        out["f1_" + a] = m.f1_score(y, p, average=a)
print(json.dumps(out))
"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), table.to_string()).unwrap();
    let python = python("sklearn", "requirements-performance.txt");
    let printed = run(Command::new(python).args(["-c", program]).arg(file.path()));
    serde_json::from_slice(&printed).unwrap()
}

/// Are a part's metrics those of scikit-learn?
fn agree(part: &Value, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        let value = &part["metrics"][name];
        let (found, expected) = (value["value"].as_f64(), expected.as_f64().unwrap());
        let found = found.unwrap_or_else(|| panic!("{name}: {value}"));
        // The median of errors comes from a sketch, which is within 1.3 % of the ranks beyond 200 rows.
        let within = if name == "median_absolute_error" {
            0.05 * expected
        } else {
            1e-9
        };
        assert!(
            (found - expected).abs() <= within,
            "{name}: {found} and {expected}"
        );
        assert!(
            value["low"].as_f64().unwrap() <= found && found <= value["high"].as_f64().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_real_model_on_its_test_set_has_scikit_learns_values() {
    let server = Server::start();
    server.push_cdnow();
    let yaml = String::from_utf8(cdnow("deployment.yaml")).unwrap();
    let more = "log: {sample: 1, flush_seconds: 1}\n\
                ground_truth:\n  label: {name: bought, type: int64}\n  join: {key: {columns: [customer_id], within_seconds: 600}}\n\
                performance:\n  task: binary\n  scores: [probability]\n  positive: 1\n  window: {rows: 2000, step_rows: 500}\n";
    let answer = server.post(
        "/v1/deployments",
        "application/yaml",
        format!("{yaml}\n{more}").as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let name = "cdnow-repurchase";
    let answer = server.post(&path(name, "predict"), "text/csv", &cdnow("test_customers.csv"));
    let answered = answer.body["rows"].as_array().unwrap().clone();
    // Labels of customers, a moment later.
    let labels = String::from_utf8(cdnow("test_labels.csv")).unwrap();
    let mut lines = labels.lines();
    let mut sent = format!("{},event_time\n", lines.next().unwrap());
    let later = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", "+60 seconds"])
        .output()
        .unwrap();
    let later = String::from_utf8(later.stdout).unwrap();
    let mut of_customer = std::collections::HashMap::new();
    for line in lines {
        let (customer, bought) = line.split_once(',').unwrap();
        of_customer.insert(customer.parse::<i64>().unwrap(), bought.parse::<i64>().unwrap());
        sent.push_str(&format!("{line},{}\n", later.trim()));
    }
    let answer = server.post(&path(name, "feedback"), "text/csv", sent.as_bytes());
    assert_eq!(answer.body["accepted"], of_customer.len(), "{answer:?}");
    evaluate(&server, name, answered.len() as u64);
    let (window, part) = newest(&server, name);
    let first = window["window"]["start_row"].as_u64().unwrap() as usize;
    let rows = &answered[first..first + 2000];
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let table = json!({
        "task": "binary",
        // As the float that the model gave.
        "scores": rows.iter().map(|row| f64::from(number(row, "probability") as f32)).collect::<Vec<_>>(),
        "labels": rows.iter().map(|row| of_customer[&(number(row, "customer_id") as i64)]).collect::<Vec<_>>(),
    });
    assert_eq!(part["labelled"], 2000, "{part}");
    agree(&part, &sklearn(&table));
}

#[test]
fn classes_and_numbers_have_scikit_learns_values() {
    let server = Server::start();
    let truth = |kind: &str| json!({"label": {"name": "y", "type": kind}});
    let window = json!({"seconds": 600});
    server.deploy(&echo(
        "classes",
        truth("text"),
        json!({"task": "multiclass", "scores": ["probabilities"], "classes": ["a", "b", "c"], "window": window}),
    ));
    server.deploy(&echo(
        "numbers",
        truth("fp64"),
        json!({"task": "forecast", "prediction": "number", "naive_error": 2.0, "window": window}),
    ));
    // Any numbers that don't repeat: multiples of the golden ratio.
    let any = |i: i64, salt: f64| ((i as f64 + salt) * 0.618_033_988_749_895).fract();
    let rows: Vec<Value> = (0..300)
        .map(|i| {
            let raw = [any(i, 0.0) + 0.05, any(i, 17.3) + 0.05, any(i, 91.7) + 0.05];
            let sum: f64 = raw.iter().sum();
            let mut row = row(i, 0.5);
            row["probabilities"] = json!(raw.map(|p| p / sum));
            row["number"] = json!(10.0 + 5.0 * any(i, 3.1));
            row
        })
        .collect();
    let classes: Vec<&str> = (0..300)
        .map(|i| ["a", "b", "c"][(any(i, 0.2) * 3.0) as usize])
        .collect();
    let numbers: Vec<f64> = (0..300).map(|i| 10.0 + 6.0 * any(i, 3.4)).collect();
    for (name, labels) in [("classes", json!(classes)), ("numbers", json!(numbers))] {
        predict(&server, name, "a", &rows);
        predict(&server, name, "closes", &[row(900, 0.5)]);
        let labels: Vec<Value> = labels
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, y)| json!({"request_id": "a", "row": i, "y": y}))
            .collect();
        let answer = server.post_json(&path(name, "feedback"), &json!({ "rows": labels }));
        assert_eq!(answer.body["accepted"], 300, "{answer:?}");
        evaluate(&server, name, 301);
    }
    let of = |rows: &[Value], name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let table = json!({
        "task": "multiclass", "labels": classes, "classes": ["a", "b", "c"], "scores": of(&rows, "probabilities"),
    });
    agree(&newest(&server, "classes").1, &sklearn(&table));
    let part = newest(&server, "numbers").1;
    let table = json!({"task": "regression", "labels": numbers, "numbers": of(&rows, "number")});
    let expected = sklearn(&table);
    agree(&part, &expected);
    let value = |name: &str| part["metrics"][name]["value"].as_f64().unwrap();
    assert!((value("mase") - value("mae") / 2.0).abs() < 1e-12);
    let right = (1..300).filter(|&i| {
        let predicted = |i: usize| rows[i]["number"].as_f64().unwrap();
        numbers[i].partial_cmp(&numbers[i - 1]) == predicted(i).partial_cmp(&predicted(i - 1))
    });
    assert!((value("directional_accuracy") - right.count() as f64 / 299.0).abs() < 1e-12);
}
